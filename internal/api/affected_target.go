package api

import (
	"regexp"
	"strings"

	"rebuilder/internal/patch"
)

// Kinds of what can be asked about.
const (
	TargetPackage  = "package"
	TargetDigest   = "digest"
	TargetAdvisory = "advisory"
)

// target is what Affected and Why are asked about.
type target struct {
	kind    string
	name    string // of the package; the digest, or its beginning; the advisory's id
	op      string // "<", "<=" or "=": only versions of which that is true; empty: any
	version string
}

const maxTarget = 512 // bytes

var (
	advisoryName = regexp.MustCompile(`^(?i:CVE-\d{4}-\d{4,}|GHSA(-[0-9a-z]{4}){3}|(DSA|DLA|USN|RHSA|RHBA|ALSA|RLSA|ELSA|ALAS2?|SUSE|OSV|DEBIAN|ALPINE)-[0-9A-Z]+([-:][0-9A-Z]+)*)$`)
	digest       = regexp.MustCompile(`^sha256:[0-9a-f]{6,64}$`)
	titled       = regexp.MustCompile(`^[^@]*[/:][^@]*@(sha256:)?([0-9a-f]{12,64})$`)
	pinned       = regexp.MustCompile(`^[^@]+@(sha256:[0-9a-f]{6,64})$`)
)

// parseTarget reads PACKAGE[@VERSION|<VERSION|<=VERSION], a digest, an image with a digest, or an advisory's id.
func parseTarget(asked string) (target, *Error) {
	asked = strings.TrimSpace(asked)
	const way = `ask for a package (openssl, openssl@3.0.15-1, "openssl<3.0.17-1"), a digest (sha256:...) or an advisory (CVE-2026-1234)`
	switch {
	case asked == "":
		return target{}, badRequest(way, "what to look for is missing")
	case len(asked) > maxTarget:
		return target{}, badRequest(way, "%.40q...: longer than %d bytes", asked, maxTarget)
	case digest.MatchString(asked):
		return target{kind: TargetDigest, name: asked}, nil
	case pinned.MatchString(asked):
		return target{kind: TargetDigest, name: pinned.FindStringSubmatch(asked)[1]}, nil
	case strings.HasPrefix(asked, "sha256:"):
		return target{}, badRequest("give at least 6 of its hexadecimal digits", "%.100q is no digest", asked)
	case titled.MatchString(asked):
		return target{kind: TargetDigest, name: "sha256:" + titled.FindStringSubmatch(asked)[2]}, nil
	}
	if id, ok := advisoryID(asked); ok {
		return target{kind: TargetAdvisory, name: id}, nil
	}
	t := target{kind: TargetPackage, name: asked}
	if i := strings.IndexAny(asked, "@<"); i >= 0 {
		t.name, t.op, t.version = strings.TrimSpace(asked[:i]), "=", asked[i+1:]
		if asked[i] == '<' {
			t.op = "<"
			if rest, ok := strings.CutPrefix(t.version, "="); ok {
				t.op, t.version = "<=", rest
			}
		}
		t.version = strings.TrimSpace(t.version)
		if t.name == "" || t.version == "" {
			return t, badRequest(way, "%q: want a package's name, then a version", asked)
		}
	}
	if strings.ContainsAny(t.name+t.version, " \t\n<>@\"") {
		return t, badRequest(way, "%q is neither a package with a version nor anything else that is known", asked)
	}
	return t, nil
}

// advisoryID says whether a text is an advisory's id, and how it is written.
func advisoryID(s string) (string, bool) {
	if !advisoryName.MatchString(s) {
		return "", false
	}
	if prefix, rest, _ := strings.Cut(s, "-"); strings.EqualFold(prefix, "GHSA") {
		return "GHSA-" + strings.ToLower(rest), true
	}
	return strings.ToUpper(s), true
}

// asks says whether a version is one that is asked for; an error says that it cannot be told.
func (t target) asks(family, version string) (bool, error) {
	if t.op == "" || t.op == "=" && version == t.version {
		return true, nil
	}
	order, err := patch.Compare(family, version, t.version)
	if err != nil {
		return false, err
	}
	return order == 0 && t.op != "<" || order < 0 && t.op != "=", nil
}

// words is a target as it is said in a sentence.
func (t target) words() string {
	switch t.op {
	case "=":
		return t.name + " " + t.version
	case "<":
		return t.name + " older than " + t.version
	case "<=":
		return t.name + " " + t.version + " or older"
	}
	return t.name
}
