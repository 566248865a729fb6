package advisory

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// Bounds of one record. Those of the public databases stay far below.
const (
	maxRecord   = 32 << 20 // bytes of a file
	maxName     = 512      // bytes of an id, of a package's name
	maxNames    = 5_000    // aliases and what is upstream
	maxAffected = 50_000   // packages, once for each release
	maxVersions = 50_000   // in a list
	maxSummary  = 300      // bytes of what is kept of it
)

// record is an OSV record as far as it is read. Its details, references and credits are not: they would be most of what
// is stored.
type record struct {
	ID        string       `json:"id"`
	Modified  string       `json:"modified"`
	Published string       `json:"published"`
	Withdrawn string       `json:"withdrawn"`
	Summary   string       `json:"summary"`
	Details   string       `json:"details"`
	Aliases   []string     `json:"aliases"`
	Upstream  []string     `json:"upstream"`
	Related   []string     `json:"related"`
	Severity  []severity   `json:"severity"`
	Affected  []affected   `json:"affected"`
	Database  specifically `json:"database_specific"`
}

type severity struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

type affected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Severity  []severity   `json:"severity"`
	Ranges    []ranges     `json:"ranges"`
	Versions  []string     `json:"versions"`
	Ecosystem specifically `json:"ecosystem_specific"`
	Database  specifically `json:"database_specific"`
}

type ranges struct {
	Type   string              `json:"type"`
	Events []map[string]string `json:"events"`
}

// specifically is what databases say in words of their own; of another shape it says nothing.
type specifically struct{ severity, urgency string }

// UnmarshalJSON never fails: what is in it is nobody's to define.
func (s *specifically) UnmarshalJSON(b []byte) error {
	var all map[string]json.RawMessage
	if json.Unmarshal(b, &all) != nil {
		return nil
	}
	_ = json.Unmarshal(all["severity"], &s.severity)
	_ = json.Unmarshal(all["urgency"], &s.urgency)
	return nil
}

var cve = regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,}$`)

func isCVE(name string) bool { return cve.MatchString(name) && strings.HasPrefix(name, "CVE-") }

// parse makes what is stored of an OSV record. wanted says which ecosystems are; nil: all that images can have.
func parse(raw []byte, wanted func(ecosystem string) bool) (store.AdvisoryRecord, error) {
	var out store.AdvisoryRecord
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return out, err
	}
	if err := r.check(); err != nil {
		return out, err
	}
	at := func(s string) int64 {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || t.Year() < 1970 {
			return 0 // the zero time is "not known" in some databases
		}
		return t.UnixMilli()
	}
	sev := r.scored()
	out.Advisory = store.Advisory{ID: r.ID, Aliases: r.Aliases, Upstream: r.upstream(), Summary: line(r.Summary), Severity: string(sev.severity), Vector: sev.vector, Score: sev.score,
		Published: at(r.Published), Modified: at(r.Modified), Withdrawn: at(r.Withdrawn)}
	if out.Summary == "" {
		out.Summary = line(r.Details)
	}
	if r.Withdrawn != "" {
		out.Withdrawn = max(out.Withdrawn, 1)
	}
	out.Names = unique(slices.Concat([]string{r.ID}, out.Aliases, out.Upstream))
	if out.Withdrawn == 0 {
		var err error
		if out.Packages, err = r.packages(wanted); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (r record) check() error {
	names := slices.Concat([]string{r.ID}, r.Aliases, r.Upstream, r.Related)
	switch {
	case r.ID == "":
		return errors.New("it has no id: is it an OSV record?")
	case len(names) > maxNames:
		return fmt.Errorf("it has %d names, more than %d", len(names), maxNames)
	case len(r.Affected) > maxAffected:
		return fmt.Errorf("it affects %d packages, more than %d", len(r.Affected), maxAffected)
	}
	for _, n := range names {
		if len(n) > maxName || strings.ContainsFunc(n, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return fmt.Errorf("%.60q is no name of an advisory", n)
		}
	}
	return nil
}

// upstream is what a record gathers: where it names nothing itself, the CVEs that it relates to, as AlmaLinux's do, or the
// one in its own name.
func (r record) upstream() []string {
	if len(r.Upstream) > 0 {
		return r.Upstream
	}
	if slices.ContainsFunc(r.Aliases, isCVE) || isCVE(r.ID) {
		return nil
	}
	if c := cve.FindString(r.ID); c != "" {
		return []string{c}
	}
	if len(r.Affected) == 0 || family(r.Affected[0].Package.Ecosystem) != inventory.RPM {
		return nil // elsewhere, related is what the word says
	}
	return slices.DeleteFunc(slices.Clone(r.Related), func(n string) bool { return !isCVE(n) })
}

// scored is how bad a record says it is: by CVSS, else in words.
func (r record) scored() scored {
	s := best(r.Severity)
	for _, w := range []string{r.Database.severity, r.Database.urgency} {
		if s.severity == policy.SeverityUnknown {
			s.severity = word(w)
		}
	}
	if s.severity == policy.SeverityUnknown {
		s.severity = titled(r.Summary)
	}
	return s
}

// best is the newest CVSS of a list, else its words.
func best(all []severity) (s scored) {
	s.severity = policy.SeverityUnknown
	for _, one := range all {
		if b, ok := base(one.Score); ok {
			if b.version > s.version {
				s = b
			}
		} else if w := word(one.Score); s.version == 0 && w != policy.SeverityUnknown { // "Ubuntu": "medium"
			s.severity = w
		}
	}
	return s
}

// packages are those that a record affects, one for each ecosystem and name: a record may speak of one in several places.
func (r record) packages(wanted func(string) bool) ([]store.AdvisoryPackage, error) {
	type key struct{ ecosystem, name string }
	all := map[key]affects{}
	var order []key
	for _, a := range r.Affected {
		eco, ok := kept(a.Package.Ecosystem)
		if !ok || wanted != nil && !wanted(eco) || a.Package.Name == "" {
			continue
		}
		k := key{eco, a.Package.Name}
		if eco == libraries[inventory.PyPI] {
			k.name = pypi(k.name)
		}
		one, err := a.affects(family(eco))
		if err != nil {
			return nil, fmt.Errorf("%.100s: %w", k.name, err)
		}
		was, ok := all[k]
		if !ok {
			order = append(order, k)
		} else {
			one.Ranges, one.Versions = slices.Concat(was.Ranges, one.Ranges), slices.Concat(was.Versions, one.Versions)
		}
		all[k] = one
	}
	out := make([]store.AdvisoryPackage, 0, len(order))
	for _, k := range order {
		body, err := json.Marshal(all[k])
		if err != nil {
			return nil, err
		}
		out = append(out, store.AdvisoryPackage{Ecosystem: k.ecosystem, Name: k.name, Body: string(body), Fixed: len(all[k].fixes()) > 0})
	}
	return out, nil
}

// affects is what is stored of a package. Ranges of commits say nothing of versions, and are left out.
func (a affected) affects(family string) (out affects, err error) {
	if len(a.Package.Name) > maxName || len(a.Versions) > maxVersions {
		return out, fmt.Errorf("a name of %d bytes and %d versions: more than %d or %d", len(a.Package.Name), len(a.Versions), maxName, maxVersions)
	}
	for _, r := range a.Ranges {
		if r.Type != "ECOSYSTEM" && r.Type != "SEMVER" {
			continue
		}
		var events []event
		for _, e := range r.Events {
			for _, kind := range []string{introduced, fixed, lastAffected, limit} {
				if v, ok := e[kind]; ok {
					events = append(events, event{kind, v})
				}
			}
		}
		if err := checkEvents(events); err != nil {
			return out, err
		}
		out.Ranges = append(out.Ranges, sorted(family, events))
	}
	out.Versions = out.beyond(family, a.Versions)
	s := best(a.Severity)
	for _, w := range []string{a.Ecosystem.severity, a.Ecosystem.urgency, a.Database.severity, a.Database.urgency} {
		if s.severity == policy.SeverityUnknown {
			s.severity = word(w)
		}
	}
	if s.severity != policy.SeverityUnknown {
		out.Severity, out.Vector, out.Score = string(s.severity), s.vector, s.score
	}
	return out, nil
}

// line is a text's first line, bounded and without control characters.
func line(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if len(s) > maxSummary {
		cut := maxSummary
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + " …"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// unique keeps the first of each.
func unique(all []string) []string {
	seen := map[string]bool{}
	out := all[:0:0]
	for _, s := range all {
		if s != "" && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
