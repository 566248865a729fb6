package scan

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	packageurl "github.com/package-url/packageurl-go"

	"rebuilder/internal/patch"
	"rebuilder/internal/policy"
)

const (
	maxFindings = 200_000 // of one report
	maxID       = 200     // bytes of an id
	maxName     = 4096    // bytes of a package's name, version or URL
	maxAliases  = 50
)

// found is what a scanner says of one package, in its own words.
type found struct {
	id                  string
	aliases             []string // and names of advisories about several vulnerabilities
	name, version, purl string
	fixed               []string
	severity, title     string
	score               float64
	vector              string
	exploited           bool
	epss                *float64
	diffID              string
	published           time.Time
}

// collector makes findings of what a scanner says, each once.
type collector struct {
	by   string
	t    Target
	all  []policy.Finding
	seen map[string]bool
}

func (c *collector) add(f found) error {
	if canonical(f.id) == "" || f.name == "" {
		return fmt.Errorf("a vulnerability without id or package (id %.50q, package %.50q)", f.id, f.name)
	}
	if len(f.id) > maxID || max(len(f.name), len(f.version), len(f.purl)) > maxName {
		return fmt.Errorf("vulnerability %.50q of package %.50q has a name or version that is too long", f.id, f.name)
	}
	one := f.finding(c.by, c.layer(f.diffID))
	for _, id := range f.ids() {
		one.ID, one.Aliases = id.name, id.aliases
		key := strings.Join([]string{one.ID, one.Type, one.Package, one.Version}, "\x00")
		if c.seen[key] {
			continue
		}
		if len(c.all) >= maxFindings {
			return fmt.Errorf("more than %d findings", maxFindings)
		}
		if c.seen == nil {
			c.seen = map[string]bool{}
		}
		c.seen[key] = true
		c.all = append(c.all, one)
	}
	return nil
}

// layer is the index of a layer; -1 when it is not among the target's.
func (c *collector) layer(diffID string) int {
	for i, h := range c.t.DiffIDs {
		if h.String() == diffID {
			return i
		}
	}
	return -1
}

func (c *collector) sorted() []policy.Finding {
	slices.SortFunc(c.all, func(a, b policy.Finding) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Version, b.Version), cmp.Compare(a.ID, b.ID))
	})
	return c.all
}

func (f found) finding(by string, layer int) policy.Finding {
	p := identify(f)
	out := policy.Finding{
		Kind: policy.Vulnerability, Title: cut(printable(firstLine(f.title))),
		Type: p.typ, Package: p.name, Version: p.version, Source: p.source, PURL: p.url,
		FixedIn:  lowest(p.typ, p.version, f.fixed),
		Severity: severityOf(f.severity), Score: f.score, Vector: cut(f.vector), Exploited: f.exploited, EPSS: f.epss,
		Layer: layer, FoundBy: []string{by},
	}
	if !f.published.IsZero() {
		out.Published = f.published.UnixMilli()
	}
	return out
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// advisory is a vulnerability by its best known name.
type advisory struct {
	name    string
	aliases []string
}

// ids are the vulnerabilities that one id stands for. Distributions' announcements are about several, each of which is a
// finding of its own; announcements are nobody's alias, or all that they are about would be taken for one.
func (f found) ids() []advisory {
	var cves, others, announcements []string
	for _, id := range append([]string{f.id}, f.aliases...) {
		switch id = canonical(id); {
		case id == "" || len(id) > maxID:
		case strings.HasPrefix(id, "CVE-"):
			cves = append(cves, id)
		case single(id):
			others = append(others, id)
		default:
			announcements = append(announcements, id)
		}
	}
	cves, others = unique(cves), unique(others)
	switch {
	case single(canonical(f.id)) || strings.HasPrefix(canonical(f.id), "CVE-"):
		all := append(cves, others...)
		return []advisory{{all[0], slices.Sorted(slices.Values(all[1:]))}}
	case len(cves) > 0:
		var all []advisory
		for _, cve := range cves {
			all = append(all, advisory{name: cve})
		}
		return all
	case len(others) > 0:
		return []advisory{{others[0], others[1:]}}
	}
	return []advisory{{name: announcements[0]}}
}

// unique are the first ones of each, in order.
func unique(ids []string) []string {
	var out []string
	for _, id := range ids {
		if !slices.Contains(out, id) && len(out) < maxAliases {
			out = append(out, id)
		}
	}
	return out
}

// canonical is an id as its own people write it. Scanners differ in case.
func canonical(id string) string {
	id = printable(id)
	upper := strings.ToUpper(id)
	switch {
	case strings.HasPrefix(upper, "CVE-"):
		return upper
	case strings.HasPrefix(upper, "GHSA-"):
		return "GHSA-" + strings.ToLower(id[len("GHSA-"):])
	}
	return id
}

// single says that an id names one vulnerability, as those of databases do and those of announcements do not.
func single(id string) bool {
	for _, prefix := range []string{"GHSA-", "GO-", "PYSEC-", "RUSTSEC-", "OSV-", "MAL-", "BIT-", "NSWG-", "TEMP-", "GMS-"} {
		if strings.HasPrefix(id, prefix) {
			return true
		}
	}
	return false
}

// identity is a package as inventories name it.
type identity struct{ typ, name, version, source, url string }

// identify reads what a package is from its URL: scanners' own names leave out groups and scopes.
func identify(f found) identity {
	p, err := packageurl.FromString(f.purl)
	if err != nil {
		return identity{name: f.name, version: f.version}
	}
	id := identity{typ: p.Type, name: f.name, version: f.version}
	switch p.Type {
	case packageurl.TypeMaven:
		id.name = strings.TrimPrefix(p.Namespace+":"+p.Name, ":")
	case packageurl.TypeNPM:
		id.name = strings.TrimPrefix(p.Namespace+"/"+p.Name, "/")
	case packageurl.TypePyPi:
		id.name = p.Name
	case packageurl.TypeGolang:
		id.version = goVersion(f.version)
	case packageurl.TypeRPM:
		id.version = strings.TrimPrefix(f.version, "0:")
	}
	id.source = source(p, id.name)
	url := packageurl.NewPackageURL(p.Type, p.Namespace, p.Name, p.Version, nil, "")
	if p.Type == packageurl.TypeGolang {
		url.Version = id.version
	}
	id.url = url.ToString()
	return id
}

// goVersion has the v that modules have; of the standard library some say "go1.26.8", some "1.26.8".
func goVersion(v string) string {
	v = strings.TrimPrefix(v, "go")
	if v != "" && v[0] >= '0' && v[0] <= '9' {
		return "v" + v
	}
	return v
}

// source is the source package in a URL; empty when it is the package itself.
func source(p packageurl.PackageURL, name string) string {
	s := p.Qualifiers.Map()["upstream"]
	if p.Type == packageurl.TypeRPM { // "openssl-3.0.7-1.el9.src.rpm"
		for range 2 {
			s = s[:max(0, strings.LastIndexByte(s, '-'))]
		}
	} else {
		s, _, _ = strings.Cut(s, "@")
	}
	if s == name {
		return ""
	}
	return s
}

// lowest is the first of the versions with the fix that is above the installed one: libraries are fixed in several lines. Where
// they cannot be told, it is the first that is named.
func lowest(typ, installed string, fixed []string) string {
	best := ""
	for _, v := range fixed {
		if v == "" || len(v) > maxName {
			continue
		}
		above, err := patch.Compare(typ, v, installed)
		if err == nil && above <= 0 {
			continue
		}
		if order, err := patch.Compare(typ, v, best); best == "" || err == nil && order < 0 {
			best = v
		}
	}
	if best == "" && len(fixed) > 0 {
		return fixed[0]
	}
	return best
}

// readSmall reads a file of some kilobytes.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 64<<10))
}
