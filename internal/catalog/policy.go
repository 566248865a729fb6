package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// rules are the ids of the rules of hygiene. A test compares them with internal/policy, which this package does not import.
var rules = []string{
	"root-user", "no-password", "setuid-file", "setgid-file", "world-writable", "shell", "package-manager",
	"forbidden-package", "missing-package", "missing-label", "too-large", "grown", "too-old", "unapproved-base",
	"unknown-base", "latest-tag", "dockerfile-lint", "unknown-content",
}

var (
	severities = []string{"unknown", "negligible", "low", "medium", "high", "critical"}
	levels     = []string{string(LevelOff), string(LevelObserve), string(LevelEnforce)}
	entryName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
)

// entryName reads the name of an entry that is in no graph and, from then on, calls the table by it.
func (r *reader) entryName(t *table, example string) string { return r.entryID(t, "name", example) }

func (r *reader) entryID(t *table, key, example string) string {
	s := t.need(key, example)
	if s == "" {
		return ""
	}
	t.name = fmt.Sprintf("%s %q", t.path, s)
	if !entryName.MatchString(s) {
		t.wrong(key, "letters, digits and - . _, such as "+quoted(example), ": %s = %q cannot be a %s", key, s, key)
	}
	return s
}

// unique notes a name that an earlier entry of the same table has.
func unique[T any](t *table, name string, before []T, of func(T) (string, int)) {
	for _, o := range before {
		if first, line := of(o); name != "" && first == name {
			key := "name"
			if t.has("id") {
				key = "id"
			}
			t.wrong(key, fmt.Sprintf("choose another: %s = %q", key, name+"-2"),
				": the %s %q is taken by the %s on line %d", key, name, t.path, line)
			return
		}
	}
}

func (r *reader) policy(t *table) Policy {
	p := Policy{Line: t.at.key.line, Name: r.entryName(t, "payments")}
	p.Images = r.imagesOf(t)
	p.Match = t.texts("match")
	p.Severity = t.word("severity", "severity", severities)
	p.OnlyFixable = given(t, "only_fixable", t.boolean("only_fixable", true))
	p.Grace = given(t, "grace", t.duration("grace", 0, true))
	p.Exploited = given(t, "exploited", t.boolean("exploited", true))
	p.EPSS = given(t, "epss", t.number("epss", 0.0001, 1, 0.5))
	p.Vulnerabilities = Level(t.word("vulnerabilities", "level", levels))
	p.Secrets = Level(t.word("secrets", "level", levels))
	p.Rules = r.rules(t)
	p.ForbidPackages, _ = t.words("forbid_packages", "telnet")
	p.RequirePackages, _ = t.words("require_packages", "ca-certificates")
	p.RequireLabels, _ = t.words("require_labels", "org.opencontainers.image.source")
	p.AllowSetuid, _ = t.words("allow_setuid", "/usr/bin/su")
	p.MaxSize = t.size("max_size", 0, 1)
	p.MaxAge = t.duration("max_age", 0, false)
	t.end()
	unique(t, p.Name, r.catalog.Policies, func(o Policy) (string, int) { return o.Name, o.Line })
	return p
}

// rules reads the levels of hygiene's rules.
func (r *reader) rules(t *table) map[string]Level {
	v, ok := t.get("rules")
	if !ok {
		return nil
	}
	given, ok := v.(map[string]any)
	if !ok {
		t.wrongType("rules", "a table", `{ root-user = "enforce" }`)
		return nil
	}
	out := make(map[string]Level, len(given))
	for id, v := range given {
		level, isText := v.(string)
		at := t.at.of("rules").of(id)
		switch {
		case id == "vulnerabilities" || id == "secrets":
			t.add(at.key, "write the line "+id+` = "enforce" above rules`, "%s: %q is no rule of hygiene", t.name, id)
		case !slices.Contains(rules, id):
			t.add(at.key, didYouMean(id, rules), "%s: %q is no rule", t.name, id)
		case !isText:
			t.add(at.value, fmt.Sprintf(`write it as %s = "enforce"`, id), "%s: %s of rules must be text in quotes, not %s", t.name, id, kindOf(v))
		case !slices.Contains(levels, level):
			t.add(at.value, didYouMean(level, levels), "%s: %q is no level", t.name, level)
		default:
			out[id] = Level(level)
		}
	}
	return out
}

// imagesOf reads the images that an entry is for. A name without wildcards must be one of the catalog's: an entry for none
// would say nothing without a word. Images that nobody declared are named by their registry, and cannot be known here.
func (r *reader) imagesOf(t *table) []string { return r.namedBy(t, "images", "base/*") }

// namedBy is imagesOf of another key.
func (r *reader) namedBy(t *table, key, example string) []string {
	patterns, at := t.patterns(key, example)
	name := t.name
	r.later = append(r.later, func() {
		for i, s := range patterns {
			first, _, _ := strings.Cut(s, "/")
			if _, known := r.names[s]; known || isHost(first) || strings.ContainsAny(s, `*?[\`) {
				continue
			}
			t.add(at[i], r.otherImage(s), "%s: %q is no image of this catalog", name, s)
		}
	})
	return patterns
}

// otherImage is a hint: the name in the graph that was most likely meant.
func (r *reader) otherImage(given string) string {
	if n := nearest(given, r.sortedNames()); n != "" {
		return "did you mean " + quoted(n) + "?"
	}
	return `write the name of an upstream, a base or an application's image, or a pattern over names: "base/*"`
}

const maxException = 366 * 24 * time.Hour

var (
	findingName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:+/-]{0,199}$`)
	countedID   = regexp.MustCompile(`^(?i:ex)-[0-9]+$`)
)

func (r *reader) exception(t *table) Exception {
	e := Exception{Line: t.at.key.line, ID: r.entryID(t, "id", "ACME-41")}
	e.Finding = t.need("finding", "CVE-2026-1234")
	e.Images = r.imagesOf(t)
	e.Package = t.text("package")
	e.Reason = t.need("reason", "the parser is not reachable: uploads are off")
	e.Owner = t.need("owner", "platform team")
	e.Approver = t.text("approver")
	e.Expires = r.expires(t)
	t.end()
	unique(t, e.ID, r.catalog.Exceptions, func(o Exception) (string, int) { return o.ID, o.Line })
	if countedID.MatchString(e.ID) {
		t.wrong("id", "call it otherwise, such as "+quoted("ACME-41"), ": EX- and a number are for exceptions that are asked for by rebuilder exception request")
	}
	if e.Finding != "" && !findingName.MatchString(e.Finding) {
		t.wrong("finding", `one advisory or one rule, such as "CVE-2026-1234" or "root-user"; what it is excused for is said by images and package`,
			": finding = %q is not the name of a finding", e.Finding)
	}
	return e
}

// expires reads the last moment of an exception: a date, in quotes or not, means the end of that day.
func (r *reader) expires(t *table) time.Time {
	v, ok := t.get("expires")
	if !ok {
		t.need("expires", "2027-03-31")
		return time.Time{}
	}
	at, ok := lastMoment(v)
	if !ok {
		t.wrong("expires", `a date such as "2027-03-31", whose end is meant, or a time with its zone, "2027-03-31T12:00:00Z"`, ": expires is not a date")
		return time.Time{}
	}
	if at.After(r.now.Add(maxException)) {
		t.wrong("expires", "give it at most a year: what is to last longer is looked at again then, by somebody who may know better",
			": an exception until %s is as good as for ever", at.Format(time.DateOnly))
	}
	return at
}

func lastMoment(v any) (time.Time, bool) {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case time.Time: // TOML's own; the package names the zones of what has none
		switch v.Location().String() {
		case "date-local":
			text = v.Format(time.DateOnly)
		case "datetime-local", "time-local":
			return time.Time{}, false
		default:
			return v.UTC(), true
		}
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.Add(24*time.Hour - time.Second), true
	}
	at, err := time.Parse(time.RFC3339, text)
	return at.UTC(), err == nil
}
