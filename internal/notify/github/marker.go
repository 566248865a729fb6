package github

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"rebuilder/internal/notify"
)

// marker is what a pull request's body remembers for the next run, hidden from readers. Anybody may edit it: it is a
// hint, and what depends on it is checked against the commits.
type marker struct {
	Proposal string     `json:"proposal"`           // digest of the files that were proposed
	Commit   string     `json:"commit"`             // the commit we made last
	Text     string     `json:"text"`               // digest of the title and body we wrote last
	Declined []declined `json:"declined,omitempty"` // proposals for the same key that were closed unmerged
}

// declined is a proposal that somebody closed. It is not made again.
type declined struct {
	Proposal string `json:"proposal"`
	Number   int    `json:"number"`
}

const (
	maxDeclined = 20
	maxText     = 60_000 // bytes of a body; GitHub takes 65,536 characters
)

var markerPattern = regexp.MustCompile(`<!-- rebuilder:v1 ([A-Za-z0-9+/=]+) -->`)

// findMarker returns the last marker in a body.
func findMarker(body string) (marker, bool) {
	found := markerPattern.FindAllStringSubmatch(body, -1)
	if len(found) == 0 {
		return marker{}, false
	}
	data, err := base64.StdEncoding.DecodeString(found[len(found)-1][1])
	var m marker
	if err != nil || json.Unmarshal(data, &m) != nil {
		return marker{}, false
	}
	return m, true
}

func (m marker) String() string {
	data, _ := json.Marshal(m) // text and numbers only
	return "<!-- rebuilder:v1 " + base64.StdEncoding.EncodeToString(data) + " -->"
}

// bodyWith puts the marker below a text, which is cut where GitHub would refuse it.
func bodyWith(text string, m marker) string {
	if len(text) > maxText {
		cut := maxText
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "\n\n(cut here: too long for a pull request)"
	}
	return strings.TrimRight(text, "\n") + "\n\n" + m.String()
}

// digest identifies what a proposal changes. Title and body are not part of it: a closed pull request is not opened
// again because its words changed.
func digest(p notify.Proposal) string {
	paths := make([]string, 0, len(p.Files))
	for path := range p.Files {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	parts := []string{p.Key, p.Repo, p.Branch}
	for _, path := range paths {
		parts = append(parts, path, string(p.Files[path]))
	}
	if p.Again != "" {
		parts = append(parts, p.Again)
	}
	return hash(parts...)
}

func textDigest(p notify.Proposal) string { return hash(p.Title, p.Body) }

// hash is the first half of a SHA-256 over the parts and their lengths.
func hash(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:", len(part))
		io.WriteString(h, part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// trailer names the proposal in a commit, so that a commit is known to be ours even when a kill came before the pull
// request could say so.
const trailer = "Rebuilder-Proposal: "

func commitMessage(p notify.Proposal) string {
	return p.Title + "\n\n" + strings.Join(append(slices.Clone(p.Trailers), trailer+digest(p)), "\n") + "\n"
}

// proposalOf returns the digest in a commit's message, "" when it has none.
func proposalOf(message string) string {
	for _, line := range strings.Split(message, "\n") {
		if found, ok := strings.CutPrefix(line, trailer); ok {
			return strings.TrimSpace(found)
		}
	}
	return ""
}

const branchPrefix = "rebuilder/"

var unfitForBranch = regexp.MustCompile(`[^a-z0-9_-]+`)

// branchName is where a key's proposals live; the first has no number.
func branchName(p notify.Proposal, generation int) string {
	slug := strings.Trim(unfitForBranch.ReplaceAllString(strings.ToLower(p.Slug), "-"), "-")
	if len(slug) > 60 {
		slug = strings.Trim(slug[:60], "-")
	}
	if slug == "" {
		slug = "base"
	}
	sum := sha256.Sum256([]byte(p.Key))
	name := branchPrefix + slug + "-" + hex.EncodeToString(sum[:4])
	if generation > 1 {
		name += fmt.Sprintf("-%d", generation)
	}
	return name
}

func decodeBase64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.ReplaceAll(text, "\n", ""))
}
