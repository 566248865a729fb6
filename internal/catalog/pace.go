package catalog

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rebuilder/internal/pace"
	"rebuilder/internal/schedule"
)

// Pace says in which order and how fast applications are told. Its zero value: all at once. [rollout], [budget], [[freeze]]
type Pace struct {
	Waves []pace.Wave // in their order; none: one
	// Canaries are patterns as of path.Match over the names of applications and their images; CanaryLabels are labels. Those
	// that either says are canaries; when nobody is, some are picked.
	Canaries     []string
	CanaryLabels map[string]string
	// FailureBudget is how many of those who were told may fail before the rollout is halted; nil: any number. Default 10 %
	// where there are several waves.
	FailureBudget *pace.Budget
	Limits        pace.Limits
	Freezes       []Freeze
}

// Freeze is a time in which some applications are not told. [[freeze]]
type Freeze struct {
	Name   string
	Reason string
	// Once, or again and again: cron, five fields or "@daily", and how long each lasts.
	From, To time.Time
	Schedule string
	Duration time.Duration
	Timezone string        // IANA name; default "UTC"
	Spread   time.Duration // those that it held are told within so long after its end; default 1h
	Images   []string      // patterns as of path.Match over names of applications and their images; empty: all
	Match    map[string]string
	Line     int
}

// Window returns the freeze as internal/pace takes it.
func (f Freeze) Window() pace.Window {
	w := pace.Window{Name: f.Name, Reason: f.Reason, Images: f.Images, Match: f.Match, From: f.From, To: f.To, For: f.Duration, Spread: f.Spread}
	if f.Schedule != "" {
		w.Schedule, _ = schedule.Parse(f.Schedule, f.Timezone, 0, "") // it was checked when the catalog was read
	}
	return w
}

const (
	usualCanaries = 3
	usualPatience = 72 * time.Hour // of a wave that somebody does not finish
	usualReserved = 20             // percent
	usualFailures = 10             // percent
	usualSpread   = time.Hour
)

// pacing reads what [rollout] says of pace.
func (r *reader) pacing(t *table) Pace {
	p := Pace{CanaryLabels: t.texts("canary_labels")}
	p.Canaries = r.namedBy(t, "canaries", "web")
	usual := pace.Wave{Soak: t.duration("soak", 0, true), Within: t.duration("wave_timeout", usualPatience, true), Count: t.integer("canary_count", usualCanaries, 1)}
	p.Waves = r.waves(t, usual)
	p.FailureBudget = failureBudget(t)
	if p.FailureBudget == nil && len(p.Waves) > 1 {
		p.FailureBudget = &pace.Budget{Most: usualFailures, Percent: true}
	}
	for _, key := range []string{"canaries", "canary_labels", "canary_count"} {
		if t.has(key) && !slices.ContainsFunc(p.Waves, func(w pace.Wave) bool { return w.Canary }) {
			t.wrong(key, `add "canary" as the first of waves: waves = ["canary", "100%"]`, ": %s is given, and no wave is one of canaries", key)
		}
	}
	for _, key := range []string{"soak", "wave_timeout"} {
		if t.has(key) && len(p.Waves) < 2 {
			t.wrong(key, `give the waves, waves = ["canary", "10%", "100%"], or remove the line`, ": %s is for several waves, and there is one", key)
		}
	}
	return p
}

// waves reads a list of waves, each a text or a table with a soak of its own.
func (r *reader) waves(t *table, usual pace.Wave) (out []pace.Wave) {
	v, ok := t.get("waves")
	list, isList := v.([]any)
	if tables, ok := v.([]map[string]any); ok {
		for _, one := range tables {
			list = append(list, one)
		}
		isList = true
	}
	if ok && (!isList || len(list) == 0) {
		t.wrong("waves", `write it as waves = ["canary", "10%", "100%"], or remove the line`, ": waves must be a list")
	}
	before := 0
	for i, e := range list {
		at := t.at.of("waves").elem(i)
		w := usual
		switch e := e.(type) {
		case string:
			w.Name = e
		case map[string]any:
			s := &table{notes: t.notes, name: "one of waves", path: t.path + ".waves", data: e, at: at, accepted: t.accepted}
			w.Name = s.need("tell", "10%")
			w.Soak = s.duration("soak", usual.Soak, true)
			s.end()
		default:
			t.add(at.value, `write it as "10%", or as { tell = "10%", soak = "2h" }`, "%s: each of waves must be text or a table, not %s", t.name, kindOf(e))
		}
		r.wave(t, &w, at.value, i == 0, &before)
		out = append(out, w)
	}
	if n := len(out); n > 0 && (out[n-1].Canary || out[n-1].Share != 100) {
		out = append(out, pace.Wave{Name: "100%", Share: 100, Within: usual.Within})
	}
	return out
}

var share = regexp.MustCompile(`^(100|[1-9][0-9]?)%$`)

// wave checks one wave; before is how many percent are told by those before it.
func (r *reader) wave(t *table, w *pace.Wave, at span, first bool, before *int) {
	switch {
	case w.Name == "":
	case w.Name == "canary" && first:
		w.Canary = true
		return
	case w.Name == "canary":
		t.add(at, `write it first: waves = ["canary", "10%", "100%"]`, "%s: canaries are told before all others", t.name)
	case !share.MatchString(w.Name):
		t.add(at, `"canary", or how many of all are told by then: "10%", "50%", "100%"`, "%s: %q is no wave", t.name, w.Name)
	default:
		w.Share, _ = strconv.Atoi(strings.TrimSuffix(w.Name, "%")) // one to three digits
		if w.Share <= *before {
			t.add(at, `each counts those before it, too: "10%", "50%", "100%"`, "%s: %s comes after %d%%, so that nobody is left for it", t.name, w.Name, *before)
		}
		*before = w.Share
	}
	w.Count = 0
}

// failureBudget reads a number, or a share of those who were told.
func failureBudget(t *table) *pace.Budget {
	switch v, _ := t.get("failure_budget"); v := v.(type) {
	case nil:
		return nil
	case int64:
		if v >= 0 && v <= 1<<20 {
			return &pace.Budget{Most: int(v)}
		}
	case string:
		if v == "0%" || share.MatchString(v) {
			n, _ := strconv.Atoi(strings.TrimSuffix(v, "%"))
			return &pace.Budget{Most: n, Percent: true}
		}
	}
	t.wrong("failure_budget", `how many may fail, failure_budget = 3, or a share of those who were told, failure_budget = "10%"`, ": failure_budget is neither a number nor a share")
	return nil
}

// limits reads [budget].
func (r *reader) limits(t *table) pace.Limits {
	l := pace.Limits{
		Open: t.integer("open", 0, 0), Hourly: t.integer("hourly", 0, 0),
		OrganizationOpen: t.integer("organization_open", 0, 0), OrganizationHourly: t.integer("organization_hourly", 0, 0),
		RepositoryOpen: t.integer("repository_open", 0, 0),
	}
	reserved := t.textOr("reserved", "")
	t.end()
	switch {
	case reserved == "" && l.Given():
		l.Reserved = usualReserved
	case reserved == "" || reserved == "0%":
	case !share.MatchString(reserved) || reserved == "100%":
		t.wrong("reserved", `the share of each limit that is kept for what is critical: "20%"`, ": reserved = %q is no share", reserved)
	case !l.Given():
		t.wrong("reserved", `give the limit of which it is kept, such as hourly = 60, or remove the line`, ": reserved is given, and no limit is")
	default:
		l.Reserved, _ = strconv.Atoi(strings.TrimSuffix(reserved, "%"))
	}
	return l
}

func (r *reader) freeze(t *table) Freeze {
	f := Freeze{Line: t.at.key.line, Name: r.entryName(t, "christmas")}
	f.Reason = t.text("reason")
	f.Timezone = t.textOr("timezone", "UTC")
	f.Spread = t.duration("spread", usualSpread, true)
	f.Images = r.namedBy(t, "images", "shop/*")
	f.Match = t.texts("match")
	zone, err := schedule.Zone(f.Timezone)
	if err != nil {
		t.wrong("timezone", `the name of a place in the time zone database: "Europe/Berlin", "America/New_York", or "UTC"`, ": there is no time zone %q", f.Timezone)
		f.Timezone, zone = "UTC", time.UTC
	}
	f.From, f.To = moment(t, "from", zone, false), moment(t, "to", zone, true)
	f.Schedule = t.text("schedule")
	f.Duration = t.duration("duration", 0, false)
	t.end()
	unique(t, f.Name, r.catalog.Pace.Freezes, func(o Freeze) (string, int) { return o.Name, o.Line })
	r.frozen(t, &f)
	return f
}

// frozen checks when a freeze is: once, or again and again.
func (r *reader) frozen(t *table, f *Freeze) {
	once, again := t.has("from") || t.has("to"), t.has("schedule") || t.has("duration")
	switch {
	case once == again:
		t.add(t.at.key, `from = "2026-12-20" and to = "2027-01-03", or schedule = "0 16 * * 5" and duration = "64h"`, "%s: say either from when to when it is, or its schedule and its duration", t.name)
	case once && t.has("from") != t.has("to"):
		t.add(t.at.key, `give both: from = "2026-12-20" and to = "2027-01-03"`, "%s has a beginning or an end, and not both", t.name)
	case once && !f.From.IsZero() && !f.To.IsZero() && !f.To.After(f.From):
		t.wrong("to", "a date means the end of that day in its time zone", ": it ends before it begins")
	case again && t.has("schedule") != t.has("duration"):
		t.add(t.at.key, `give both: schedule = "0 16 * * 5" and duration = "64h"`, "%s has a schedule or a duration, and not both", t.name)
	case again:
		r.freezeSchedule(t, f)
	}
}

func (r *reader) freezeSchedule(t *table, f *Freeze) {
	s, err := schedule.Parse(f.Schedule, f.Timezone, 0, "")
	if f.Schedule == "" {
		return
	}
	if err != nil {
		t.wrong("schedule", `minute, hour, day of the month, month, day of the week: "0 16 * * 5" is each Friday at four in the afternoon`, ": schedule = %q is not a schedule: %s", f.Schedule, err)
		f.Schedule = ""
		return
	}
	_, slot, next := s.Due(r.now, r.now)
	if gap := next.Sub(slot); f.Duration > 0 && !slot.IsZero() && !next.IsZero() && f.Duration >= gap {
		t.wrong("duration", "make it shorter, or name its end: from and to", ": it lasts %s and begins again after %s, so that nobody is ever told", f.Duration, gap)
	}
}

// moment reads a date, of which end says that its end is meant, or a time, by the clocks of a zone.
func moment(t *table, key string, zone *time.Location, end bool) time.Time {
	v, ok := t.get(key)
	if !ok {
		return time.Time{}
	}
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case time.Time: // TOML's own; the package names the zones of what has none
		switch v.Location().String() {
		case "date-local":
			text = v.Format(time.DateOnly)
		case "datetime-local":
			text = v.Format("2006-01-02T15:04:05")
		case "time-local":
		default:
			return v.UTC()
		}
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		if end {
			day = day.AddDate(0, 0, 1)
		}
		return day.UTC()
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at.UTC()
		}
	}
	t.wrong(key, `a date such as "2026-12-20", or a time by the clocks of its time zone: "2026-12-20T18:00"`, ": %s is not a date", key)
	return time.Time{}
}
