package catalog

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	usualScanMemory = 2 << 30
	leastScanMemory = 64 << 20
)

var (
	advisoryKinds = []string{string(OSV), string(ExploitedList), string(EPSS), string(OpenVEX)}
	scannerNames  = []string{"trivy", "grype"}
)

func (r *reader) advisories(t *table) AdvisorySource {
	a := AdvisorySource{Line: t.at.key.line, Name: r.entryName(t, "debian")}
	a.Kind = AdvisoryKind(cmp.Or(t.word("kind", "kind of advisories", advisoryKinds), string(OSV)))
	a.Path, a.URL = t.text("path"), t.text("url")
	a.Ecosystems, _ = t.words("ecosystems", "Debian:12")
	a.Interval = t.duration("interval", time.Hour, false)
	t.end()
	unique(t, a.Name, r.catalog.Advisories, func(o AdvisorySource) (string, int) { return o.Name, o.Line })
	switch {
	case t.has("path") && t.has("url"):
		t.wrong("url", "keep the one that you use; two places are two [[advisories]]", ": both path and url are given")
	case !t.has("path") && !t.has("url"):
		t.add(t.at.key, `add a line such as path = "advisories" or url = "https://mirror.example.com/osv"`, "%s has neither path nor url", t.name)
	case a.Path != "" && strings.Contains(a.Path, "://"):
		t.wrong("path", "write url in place of path", ": path = %q is not a path", a.Path)
	case a.Path != "":
		a.Path = r.absolute(a.Path)
	case a.URL != "" && !isDownload(a.URL):
		t.wrong("url", `write it with https://, as in "https://mirror.example.com/osv"; a file is a path`, ": url = %q is not a web address", a.URL)
	}
	if t.has("ecosystems") && (a.Kind != OSV || a.URL == "") {
		t.wrong("ecosystems", "remove the line: what is there is read whole", ": ecosystems are for the url of an OSV mirror")
	}
	return a
}

// isDownload takes a query, as mirrors have them.
func isDownload(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.Fragment == ""
}

func (r *reader) scanner(t *table) Scanner {
	s := Scanner{Line: t.at.key.line, Name: r.entryName(t, "trivy")}
	s.Command = t.textOr("command", s.Name)
	s.Database = t.text("database")
	s.Timeout = t.duration("timeout", 5*time.Minute, false)
	s.Memory = t.size("memory", usualScanMemory, leastScanMemory)
	t.end()
	if s.Name != "" && !slices.Contains(scannerNames, s.Name) {
		t.wrong("name", didYouMean(s.Name, scannerNames), ": %q is no scanner that is known here", s.Name)
	}
	if s.Database != "" {
		s.Database = r.absolute(s.Database)
	}
	if strings.Contains(s.Command, "/") {
		s.Command = r.absolute(s.Command)
	} else if strings.ContainsAny(s.Command, " \t") {
		t.wrong("command", "name the program alone: it is given its arguments, and no shell runs", ": command = %q is not a program", s.Command)
	}
	unique(t, s.Name, r.catalog.Scanners, func(o Scanner) (string, int) { return o.Name, o.Line })
	return s
}
