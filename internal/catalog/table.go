package catalog

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// table reads one TOML table strictly: each value is asked for by key and type, and end notes what nobody asked for.
// Its methods note mistakes and return the zero value, so that reading goes on and all mistakes are found.
type table struct {
	*notes
	name string // in messages: `base "base/debian"`, `[registry]`
	path string // in the schema: "base", "application.image"
	data map[string]any
	at   *place
	keys []string // asked for so far
	// missing holds the examples of keys that must be there and are not.
	missing map[string]string
	// accepted gathers every "path.key" that reading asked for; a test compares it with the documentation.
	accepted map[string]bool
}

// get returns the value of a key.
func (t *table) get(key string) (any, bool) {
	if !slices.Contains(t.keys, key) {
		t.keys = append(t.keys, key)
		t.accepted[strings.TrimPrefix(t.path+"."+key, ".")] = true
	}
	v, ok := t.data[key]
	return v, ok
}

func (t *table) has(key string) bool { _, ok := t.data[key]; return ok }

// value is where the value of a key stands, or the table when it has none.
func (t *table) value(key string) span { return t.at.of(key).value }

// wrong notes a mistake in the value of key; the message begins with the table's name.
func (t *table) wrong(key, hint, format string, args ...any) {
	t.add(t.value(key), hint, "%s", t.name+fmt.Sprintf(format, args...))
}

func (t *table) wrongType(key, want, example string) {
	t.wrong(key, "write it as "+key+" = "+example, ": %s must be %s, not %s", key, want, kindOf(t.data[key]))
}

// text returns a string, or "" when the key is missing.
func (t *table) text(key string) string {
	v, ok := t.get(key)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		t.wrongType(key, "text in quotes", fmt.Sprintf("%q", fmt.Sprint(example(v))))
		return ""
	}
	if strings.TrimSpace(s) == "" {
		t.wrong(key, "give it a value or remove the line", ": %s is empty", key)
		return ""
	}
	return s
}

func (t *table) textOr(key, fallback string) string {
	if s := t.text(key); s != "" {
		return s
	}
	return fallback
}

// need is text that must be there; end notes it when it is not.
func (t *table) need(key, example string) string {
	if !t.has(key) {
		if t.missing == nil {
			t.missing = map[string]string{}
		}
		t.missing[key] = example
	}
	return t.text(key)
}

func (t *table) boolean(key string, fallback bool) bool {
	v, ok := t.get(key)
	if !ok {
		return fallback
	}
	b, ok := v.(bool)
	if !ok {
		t.wrongType(key, "true or false, without quotes", fmt.Sprint(fallback))
		return fallback
	}
	return b
}

func (t *table) integer(key string, fallback, least int) int {
	v, ok := t.get(key)
	if !ok {
		return fallback
	}
	n, ok := v.(int64)
	if !ok {
		t.wrongType(key, "a whole number, without quotes", fmt.Sprint(fallback))
		return fallback
	}
	if n < int64(least) || n > 1<<20 {
		t.wrong(key, fmt.Sprintf("the default is %d", fallback), ": %s cannot be %d", key, n)
		return fallback
	}
	return int(n)
}

// duration returns a time such as "90s". Zero is taken only where zeroOK says so.
func (t *table) duration(key string, fallback time.Duration, zeroOK bool) time.Duration {
	v, ok := t.get(key)
	if !ok {
		return fallback
	}
	s, ok := v.(string)
	if !ok {
		t.wrongType(key, `a time in quotes`, quoted("10m"))
		return fallback
	}
	d, err := parseTime(s)
	switch {
	case err != nil:
		t.wrong(key, `numbers with units s, m, h and d: "90s", "10m", "24h", "14d"`, ": %s = %q is not a time", key, s)
	case d < 0, d == 0 && !zeroOK:
		t.wrong(key, `use a time above zero such as "10m"`, ": %s cannot be %q", key, s)
	default:
		return d
	}
	return fallback
}

// parseTime takes what time.ParseDuration takes, and whole days before it, each of 24 hours: "1d12h".
func parseTime(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, err
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || strings.ContainsAny(rest, "+-") || d+more < d {
		return 0, fmt.Errorf("%q is not a time", s)
	}
	return d + more, nil
}

// given is a pointer to the value that was read of key, nil when the key is missing.
func given[T any](t *table, key string, value T) *T {
	if !t.has(key) {
		return nil
	}
	return &value
}

// number returns a number from least to most, with or without a fraction; 0 when the key is missing.
func (t *table) number(key string, least, most, example float64) float64 {
	v, ok := t.get(key)
	if !ok {
		return 0
	}
	var n float64
	switch v := v.(type) {
	case int64:
		n = float64(v)
	case float64:
		n = v
	default:
		t.wrongType(key, "a number, without quotes", fmt.Sprint(example))
		return 0
	}
	if !(n >= least && n <= most) { // so that what is no number is refused, too
		t.wrong(key, fmt.Sprintf("a number from %v to %v", least, most), ": %s cannot be %v", key, n)
		return 0
	}
	return n
}

// maxBytes bounds sizes: 1 PiB.
const maxBytes = 1 << 50

// size returns a number of bytes, written with its unit: "2GiB".
func (t *table) size(key string, fallback, least int64) int64 {
	v, ok := t.get(key)
	if !ok {
		return fallback
	}
	s, ok := v.(string)
	if !ok {
		t.wrongType(key, "a size in quotes", quoted("2GiB"))
		return fallback
	}
	n, err := humanize.ParseBytes(s)
	switch {
	case err != nil, !strings.HasSuffix(strings.ToLower(s), "b"):
		t.wrong(key, `a number with its unit: "512MiB", "2GiB", "1.5GB"`, ": %s = %q is not a size", key, s)
	case n < uint64(least), n > maxBytes:
		t.wrong(key, fmt.Sprintf("a size from %s to %s", humanize.IBytes(uint64(least)), humanize.IBytes(maxBytes)), ": %s cannot be %q", key, s)
	default:
		return int64(n)
	}
	return fallback
}

// word returns one of some words; "" when the key is missing or has none of them.
func (t *table) word(key, what string, known []string) string {
	v, ok := t.get(key)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		t.wrongType(key, "text in quotes", quoted(known[len(known)-1]))
		return ""
	case slices.Contains(known, s):
		return s
	}
	t.wrong(key, didYouMean(s, known), ": %q is no %s", s, what)
	return ""
}

// patterns returns a list of patterns as of path.Match with the place of each.
func (t *table) patterns(key, example string) (patterns []string, at []span) {
	patterns, at = t.words(key, example)
	for i, s := range patterns {
		if _, err := path.Match(s, ""); err != nil {
			t.add(at[i], `* stands for anything but a slash, ? for one character, [a-z] for one of several: "apps/*"`, "%s: %q is not a pattern", t.name, s)
		}
	}
	return patterns, at
}

// texts returns a table of strings such as build arguments, or nil.
func (t *table) texts(key string) map[string]string {
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		t.wrongType(key, "a table", `{ NAME = "value" }`)
		return nil
	}
	out := make(map[string]string, len(m))
	at := t.at.of(key)
	for k, v := range m {
		s, ok := v.(string)
		if !ok {
			t.add(at.of(k).value, fmt.Sprintf("write it as %s = %q", k, fmt.Sprint(example(v))),
				"%s: %s of %s must be text in quotes, not %s", t.name, k, key, kindOf(v))
			continue
		}
		if secretKey.MatchString(k) && s != "" {
			t.hide(s, at.of(k).value, k)
			continue
		}
		out[k] = s
	}
	return out
}

// words returns a list of texts with the place of each, or nil. An empty list is a mistake: it reads as if it said something.
func (t *table) words(key, example string) (words []string, at []span) {
	v, ok := t.get(key)
	if !ok {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		t.wrong(key, fmt.Sprintf("write it as %s = [%q], or remove the line", key, example), ": %s must be a list of texts", key)
		return nil, nil
	}
	for i, e := range list {
		where := t.at.of(key).elem(i).value
		if where.line == 0 {
			where = t.value(key)
		}
		s, ok := e.(string)
		switch {
		case !ok:
			t.add(where, "put it in quotes", "%s: each of %s must be text in quotes, not %s", t.name, key, kindOf(e))
		case strings.TrimSpace(s) == "":
			t.add(where, "give it a value or remove it", "%s: one of %s is empty", t.name, key)
		case slices.Contains(words, s):
			t.add(where, "remove one of them", "%s: %s names %q twice", t.name, key, s)
		default:
			words, at = append(words, s), append(at, where)
		}
	}
	return words, at
}

// section returns the table [key], empty when it is missing.
func (t *table) section(key string) *table {
	s := &table{notes: t.notes, name: "[" + key + "]", path: key, at: t.at.of(key), accepted: t.accepted}
	v, ok := t.get(key)
	if !ok {
		return s
	}
	s.data, ok = v.(map[string]any)
	if !ok {
		t.add(t.value(key), "write ["+key+"] once, on a line of its own, and its keys below", "%s is one table, not %s", key, kindOf(v))
	}
	return s
}

// sections returns the tables [[key]] in their order.
func (t *table) sections(key string) []*table {
	path := strings.TrimPrefix(t.path+"."+key, ".")
	header := "[[" + path + "]]"
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	elems, ok := asTables(v)
	if !ok {
		t.add(t.value(key), "write "+header+" with two brackets, once for each", "%s is a list of tables, not %s", path, kindOf(v))
		return nil
	}
	out := make([]*table, len(elems))
	for i, e := range elems {
		out[i] = &table{notes: t.notes, name: header, path: path, data: e, at: t.at.of(key).elem(i), accepted: t.accepted}
	}
	return out
}

func asTables(v any) ([]map[string]any, bool) {
	switch v := v.(type) {
	case []map[string]any:
		return v, true
	case []any:
		out := make([]map[string]any, len(v))
		for i, e := range v {
			m, ok := e.(map[string]any)
			if !ok {
				return nil, false
			}
			out[i] = m
		}
		return out, true
	}
	return nil, false
}

// end notes every key that was not asked for, and every one that is missing, unless it is there with a typing mistake.
func (t *table) end() {
	for key, v := range t.data {
		if slices.Contains(t.keys, key) {
			continue
		}
		at := t.at.of(key)
		if secretKey.MatchString(key) {
			t.hide(v, at.key, key)
			continue
		}
		delete(t.missing, nearest(key, t.keys))
		t.add(at.key, didYouMean(key, slices.Sorted(slices.Values(t.keys))), "%s takes no key %q", t.name, key)
	}
	for key, example := range t.missing {
		t.add(t.at.key, fmt.Sprintf("add a line such as %s = %q", key, example), "%s has no %s", t.name, key)
	}
}

// kindOf says in words what a TOML value is.
func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case bool:
		return "true or false"
	case int64, float64:
		return "a number"
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	}
	return "a list"
}

// example is what a value of the wrong type may have meant.
func example(v any) any {
	switch v.(type) {
	case string, bool, int64, float64:
		return v
	}
	return "..."
}
