package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"
)

// Statement is what somebody says of a vulnerability in an image (VEX).
type Statement struct {
	Author        string   `json:"author"`
	Vulnerability string   `json:"vulnerability"`
	Aliases       []string `json:"aliases,omitempty"`
	// What it is about: images by patterns as of path.Match over names in the graph, or by digest; neither: all.
	Images  []string `json:"images,omitempty"`
	Digests []string `json:"digests,omitempty"`
	// Packages are package URLs; what one leaves out is any. Empty: the whole image.
	Packages      []string        `json:"packages,omitempty"`
	Status        StatementStatus `json:"status"`
	Justification string          `json:"justification,omitempty"`
	Impact        string          `json:"impact,omitempty"` // why, in the author's words
	At            time.Time       `json:"at"`               // of several, the last counts
}

// StatementStatus is a status as of OpenVEX.
type StatementStatus string

const (
	StatusNotAffected        StatementStatus = "not_affected"
	StatusAffected           StatementStatus = "affected"
	StatusFixed              StatementStatus = "fixed"
	StatusUnderInvestigation StatementStatus = "under_investigation"
)

// clears says that nothing is to be done about what the statement is about.
func (s Statement) clears() bool { return s.Status == StatusNotAffected || s.Status == StatusFixed }

// about says that a statement is about an image.
func (s Statement) about(subject Subject) bool {
	if len(s.Images) == 0 && len(s.Digests) == 0 {
		return true
	}
	return len(s.Images) > 0 && matches(s.Images, subject.Image) || subject.Digest != "" && slices.Contains(s.Digests, subject.Digest)
}

// statements are those about one image, by every name of their vulnerability in upper case.
type statements map[string][]Statement

func statementsFor(all []Statement, subject Subject) statements {
	out := statements{}
	for _, s := range all {
		if !s.about(subject) {
			continue
		}
		names := map[string]bool{}
		for _, name := range append([]string{s.Vulnerability}, s.Aliases...) {
			if key := strings.ToUpper(name); key != "" && !names[key] {
				names[key] = true
				out[key] = append(out[key], s)
			}
		}
	}
	return out
}

// of returns the last statement about a finding, nil when there is none. Of two of the same moment the more careful counts.
func (x statements) of(f Finding) *Statement {
	var last *Statement
	for _, name := range append([]string{f.ID}, f.Aliases...) {
		for _, s := range x[strings.ToUpper(name)] {
			if covers(s.Packages, f) && (last == nil || s.after(*last) > 0) {
				last = &s
			}
		}
	}
	return last
}

// after orders statements: by time, then the more careful last, then by what they say.
func (s Statement) after(o Statement) int {
	careful := func(s Statement) int {
		if s.clears() {
			return 0
		}
		return 1
	}
	return cmp.Or(s.At.Compare(o.At), cmp.Compare(careful(s), careful(o)),
		cmp.Compare(s.Author, o.Author), cmp.Compare(s.Status, o.Status), cmp.Compare(s.Justification, o.Justification), cmp.Compare(s.Impact, o.Impact),
		slices.Compare(s.Packages, o.Packages), slices.Compare(s.Images, o.Images), slices.Compare(s.Digests, o.Digests),
		cmp.Compare(s.Vulnerability, o.Vulnerability), slices.Compare(s.Aliases, o.Aliases))
}

// covers says that a finding's package is among package URLs; none are all. Of a package of a distribution its source's name
// does as well.
func covers(purls []string, f Finding) bool {
	if len(purls) == 0 {
		return true
	}
	found, err := packageurl.FromString(f.PURL)
	if err != nil {
		return slices.Contains(purls, f.PURL) && f.PURL != ""
	}
	return slices.ContainsFunc(purls, func(s string) bool {
		p, err := packageurl.FromString(s)
		if err != nil || p.Type != found.Type || p.Namespace != "" && p.Namespace != found.Namespace {
			return false
		}
		if p.Name != found.Name && (f.Source == "" || p.Name != f.Source) || p.Version != "" && p.Version != found.Version {
			return false
		}
		have := found.Qualifiers.Map()
		for key, value := range p.Qualifiers.Map() {
			if have[key] != value {
				return false
			}
		}
		return true
	})
}
