package github

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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
	Pins     string     `json:"pins,omitempty"`     // digest of what they pin
	Commit   string     `json:"commit"`             // the commit we made last
	Text     string     `json:"text"`               // digest of the title and body we wrote last
	Title    string     `json:"title,omitempty"`    // digest of the title alone, to know a person's
	Asked    string     `json:"asked,omitempty"`    // digest of the reviewers that were asked
	Gone     bool       `json:"gone,omitempty"`     // we closed it ourselves: nobody said no
	Declined []declined `json:"declined,omitempty"` // proposals for the same key that were closed unmerged
}

// declined is what somebody closed. It is not proposed again.
type declined struct {
	Pins   string `json:"pins"`
	Number int    `json:"number"`
}

const (
	maxDeclined = 20
	maxText     = 60_000 // bytes of our text in a body,
	maxWhole    = 65_000 // and of all of it; GitHub takes 65,536 characters
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

// Our text stands between two hidden lines. What a person writes above or below stays.
const (
	textBegins = "<!-- rebuilder:begin -->"
	textEnds   = "<!-- rebuilder:end -->"
)

var ourText = regexp.MustCompile(`(?s)` + textBegins + `.*?` + textEnds)

// newBody is the body of a pull request that nobody has edited.
func newBody(text string, m marker) string { return withMarker(framed(text, maxText), m) }

// withText brings our text in a body to what it should be. Where a person took it out it stays out.
func withText(body, text string) string {
	at := ourText.FindStringIndex(body)
	if at == nil {
		return body
	}
	return body[:at[0]] + framed(text, min(maxText, maxWhole-len(body)+at[1]-at[0])) + body[at[1]:]
}

// withMarker has a body end with the marker.
func withMarker(body string, m marker) string {
	rest := strings.TrimRight(markerPattern.ReplaceAllLiteralString(body, ""), "\r\n\t ")
	return strings.TrimLeft(rest+"\n\n"+m.String(), "\n")
}

// framed is a text between our lines, cut where GitHub would refuse it.
func framed(text string, room int) string {
	if room = max(room, 0); len(text) > room {
		cut := room
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "\n\n(cut here: too long for a pull request)"
	}
	return textBegins + "\n" + strings.TrimRight(text, "\n") + "\n" + textEnds
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

// pinsDigest identifies what a person declines by closing: the digests, in whatever files they are.
func pinsDigest(p notify.Proposal) string {
	if len(p.Pins) == 0 {
		return digest(p)
	}
	parts := []string{p.Key, p.Branch, p.Again}
	for _, line := range slices.Sorted(maps.Keys(p.Pins)) {
		parts = append(parts, line, p.Pins[line])
	}
	return hash(parts...)
}

// changeDigest identifies a change apart from what else is in the files: the pins, and where they are.
func changeDigest(p notify.Proposal) string {
	if len(p.Pins) == 0 {
		return digest(p)
	}
	return hash(append([]string{pinsDigest(p)}, slices.Sorted(maps.Keys(p.Files))...)...)
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

// The trailers name the proposal in a commit, so that a commit is known to be ours even when a kill came before the pull
// request could say so.
const (
	trailer       = "Rebuilder-Proposal: " // by its files
	changeTrailer = "Rebuilder-Change: "   // by what it changes
)

func commitMessage(p notify.Proposal) string {
	lines := []string{p.Title, ""}
	for _, line := range p.Trailers {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(append(lines, trailer+digest(p), changeTrailer+changeDigest(p)), "\n") + "\n"
}

// proposalOf returns the digest of the files in a commit's message, "" when it has none.
func proposalOf(message string) string { return trailerOf(message, trailer) }

func trailerOf(message, name string) string {
	for _, line := range strings.Split(message, "\n") {
		if found, ok := strings.CutPrefix(line, name); ok {
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
