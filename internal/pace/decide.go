package pace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lane says how much hurry there is, the greatest first.
type Lane int

const (
	Critical Lane = iota // waits for no wave, soak or window
	Security             // a patched package, or an advisory
	Usual
)

// State is how far an application is in a rollout.
type State int

const (
	Unready State = iota // waits for its bases
	Ready                // could be told
	Open                 // told, and waited for
	Proven               // its image is as it was told
	Failed               // closed, reverted, or it could not be told
	Left                 // nothing to tell, or not by this rollout
)

// Item is one application in one rollout: what is told together.
type Item struct {
	Name       string
	Repository string // "acme/web": its organization is what stands before the slash
	Images     []string
	Labels     map[string]string
	Wave       int
	State      State
	Ready      time.Time // when its bases were finished
	Told       time.Time // zero: not yet
	Ended      time.Time
	Why        string // why it failed
	// Held is why a person keeps it from being told; nil: nobody does.
	Held *Hold
}

// organization is who owns the repository on the forge.
func (i Item) organization() string {
	owner, _, _ := strings.Cut(i.Repository, "/")
	return owner
}

// Budget is how many of those who were told may fail.
type Budget struct {
	Most    int  `json:"most"`
	Percent bool `json:"percent,omitempty"` // Most is of a hundred
}

// String is the budget as the catalog says it: "3", "10%".
func (b Budget) String() string {
	if b.Percent {
		return fmt.Sprintf("%d%%", b.Most)
	}
	return fmt.Sprint(b.Most)
}

// spent says that more failed than may.
func (b Budget) spent(failed, told int) bool {
	if b.Percent {
		return failed*100 > b.Most*told
	}
	return failed > b.Most
}

// Rollout is what is known of one that runs.
type Rollout struct {
	ID      string
	Started time.Time
	Lane    Lane
	// Held is why nothing new of it is begun; nil: it is not held.
	Held  *Hold
	Waves []Wave // none: one
	// Budget is how many may fail; nil: any number.
	Budget *Budget
	// Forgiven is how many failures a person has gone on in spite of.
	Forgiven int
	Items    []Item
}

// Tell is that an application was told, as far as limits remember it.
type Tell struct {
	Repository string
	Lane       Lane
	At         time.Time
}

// Fleet is all that a decision rests on.
type Fleet struct {
	Rollouts []Rollout
	Windows  []Window
	Limits   Limits
	Past     []Tell // of the last hour at least
}

// Ref names an application in a rollout.
type Ref struct{ Rollout, Name string }

// Hold is what somebody waits for.
type Hold struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since,omitzero"` // of what is waited for
	Until  time.Time `json:"until,omitzero"` // zero: at no known time
	Who    string    `json:"who,omitempty"`  // who can act
}

// Go is an application that may be told now.
type Go struct {
	Ref
	Lane Lane
	Rule string // under which it may: "wave 1 of 3 (canary)"
}

// Progress is how far one wave is.
type Progress struct {
	Wave
	// All is how many applications are in it: the denominator of the others.
	All, Told, Proven, Failed, Left int
	Waits                           string    // what it waits for; empty: it is open
	Since, Until                    time.Time // of that; zero: not known
	Opened                          time.Time // when it did; zero: from the start, or not yet
}

// Decision is who may be told now, in order, and what all others wait for.
type Decision struct {
	Go    []Go
	Holds map[Ref]Hold // of those that are Ready and may not
	// Halts are the rollouts whose failure budget is spent while somebody is left to be told, with the reason.
	Halts map[string]string
	Waves map[string][]Progress // by rollout
	// Next is when the first of the holds ends by itself; zero: none does.
	Next time.Time
}

// Decide says who may be told now.
func Decide(f Fleet, now time.Time) Decision {
	d := Decision{Holds: map[Ref]Hold{}, Halts: map[string]string{}, Waves: map[string][]Progress{}}
	windows := begun(f.Windows, now)
	var queue []candidate
	for _, r := range f.Rollouts {
		held := r.Held
		if reason := r.halts(); held == nil && reason != "" {
			d.Halts[r.ID] = reason
			held = &Hold{Reason: "its rollout halts: " + reason, Since: now, Who: Operator}
		}
		waves := r.progress(windows, now)
		d.Waves[r.ID] = waves
		for _, i := range r.Items {
			if i.State != Ready {
				continue
			}
			if h, waits := r.hold(i, held, waves, windows, now); waits {
				d.hold(Ref{r.ID, i.Name}, h)
				continue
			}
			queue = append(queue, candidate{r, i})
		}
	}
	slices.SortFunc(queue, first)
	b := count(f, now)
	for _, c := range queue {
		ref := Ref{c.rollout.ID, c.item.Name}
		if h, waits := b.hold(c.item, c.rollout.Lane); waits {
			d.hold(ref, h)
			continue
		}
		b.add(c.item, c.rollout.Lane, now)
		d.Go = append(d.Go, Go{ref, c.rollout.Lane, c.rollout.rule(c.item)})
	}
	return d
}

// Operator can act on what a person has stopped, or the failure budget.
const Operator = "who runs the daemon"

func (d *Decision) hold(ref Ref, h Hold) {
	d.Holds[ref] = h
	if !h.Until.IsZero() && (d.Next.IsZero() || h.Until.Before(d.Next)) {
		d.Next = h.Until
	}
}

// candidate is somebody whom only the limits could hold.
type candidate struct {
	rollout Rollout
	item    Item
}

// first puts what is in more hurry before what is in less, then older rollouts, then earlier waves.
func first(a, b candidate) int {
	return cmp.Or(
		cmp.Compare(a.rollout.Lane, b.rollout.Lane),
		a.rollout.Started.Compare(b.rollout.Started),
		cmp.Compare(a.rollout.ID, b.rollout.ID),
		cmp.Compare(a.item.Wave, b.item.Wave),
		cmp.Compare(hash(a.item.Name), hash(b.item.Name)),
		cmp.Compare(a.item.Name, b.item.Name))
}

// Failures counts the applications that were told and failed.
func (r Rollout) Failures() (n int) {
	for _, i := range r.Items {
		if i.State == Failed {
			n++
		}
	}
	return n
}

// halts says why the failure budget is spent while somebody is left to be told; empty when it is not.
func (r Rollout) halts() string {
	if r.Budget == nil {
		return ""
	}
	told, failed, left := 0, 0, false
	var who []string
	for _, i := range r.Items {
		if !i.Told.IsZero() {
			told++
		}
		left = left || i.State == Ready || i.State == Unready
		if i.State == Failed {
			failed++
			who = append(who, i.Name+said(": ", i.Why))
		}
	}
	if !left || !r.Budget.spent(failed-r.Forgiven, told) {
		return ""
	}
	s := fmt.Sprintf("%d of %d told failed", failed, told)
	if r.Forgiven > 0 {
		s += fmt.Sprintf(", %d of them since it was resumed", failed-r.Forgiven)
	}
	const named = 3
	slices.Sort(who)
	s += fmt.Sprintf("; the budget is %s: %s", r.Budget, strings.Join(who[:min(named, len(who))], "; "))
	if n := len(who) - named; n > 0 {
		s += fmt.Sprintf("; and %d more", n)
	}
	return s
}

func said(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// rule is under which rule an application is told.
func (r Rollout) rule(i Item) string {
	switch {
	case r.Lane == Critical:
		return "critical lane"
	case len(r.Waves) > 1:
		return title(r.Waves, i.Wave)
	}
	return "order"
}

// frozen is a window, with the newest one that has begun.
type frozen struct {
	Window
	from, to time.Time
}

func begun(windows []Window, now time.Time) []frozen {
	out := make([]frozen, 0, len(windows))
	for _, w := range windows {
		from, to := w.last(now)
		if !from.IsZero() && now.Before(to.Add(w.Spread)) {
			out = append(out, frozen{w, from, to})
		}
	}
	return out
}

// held is what the windows make an application wait for.
func held(windows []frozen, i Item, ready, now time.Time) (h Hold, waits bool) {
	for _, w := range windows {
		if !w.covers(i) {
			continue
		}
		since, until, frozen := w.frozen(i, w.from, w.to, ready, now)
		if !frozen || waits && !until.After(h.Until) {
			continue
		}
		reason := fmt.Sprintf("freeze %q%s", w.Name, said(": ", w.Reason))
		if !now.Before(w.to) {
			reason = fmt.Sprintf("freeze %q is over; those that it held are told one after the other", w.Name)
		}
		h, waits = Hold{Reason: reason, Since: since, Until: until, Who: "who keeps the catalog ([[freeze]])"}, true
	}
	return h, waits
}

// hold is what an application waits for besides the limits.
func (r Rollout) hold(i Item, stop *Hold, waves []Progress, windows []frozen, now time.Time) (Hold, bool) {
	if stop == nil {
		stop = i.Held
	}
	if stop != nil {
		return *stop, true
	}
	if r.Lane == Critical {
		return Hold{}, false
	}
	ready := i.Ready
	if len(waves) > 1 {
		w := waves[i.Wave]
		if w.Waits != "" {
			return Hold{Reason: title(r.Waves, i.Wave) + " " + w.Waits, Since: w.Since, Until: w.Until, Who: "who owns the applications before it, or who runs the daemon"}, true
		}
		if w.Opened.After(ready) {
			ready = w.Opened
		}
	}
	return held(windows, i, ready, now)
}

// progress is how far the waves are, and what each waits for.
func (r Rollout) progress(windows []frozen, now time.Time) []Progress {
	out := make([]Progress, max(len(r.Waves), 1))
	out[0].Wave = Wave{Name: "everybody"}
	for i, w := range r.Waves {
		out[i].Wave = w
	}
	ends := make([]wave, len(out))
	for _, i := range r.Items {
		i.Wave = min(max(i.Wave, 0), len(out)-1)
		p, e := &out[i.Wave], &ends[i.Wave]
		p.All++
		if !i.Told.IsZero() {
			p.Told++
			e.told = later(e.told, i.Told)
		}
		switch i.State {
		case Proven:
			p.Proven++
			e.ended = later(e.ended, i.Ended)
		case Failed:
			p.Failed++
			e.ended = later(e.ended, i.Ended)
		case Left:
			p.Left++
		case Open:
			e.open++
		case Unready:
			e.before++
		case Ready:
			if _, frozen := held(windows, i, i.Ready, now); frozen {
				e.frozen++
			} else {
				e.before++
			}
		}
	}
	if r.Lane == Critical {
		return out
	}
	for i := 1; i < len(out); i++ {
		r.opens(&out[i], out[i-1], ends[i-1], i, now)
	}
	return out
}

// wave is what else counts of one.
type wave struct {
	before, frozen, open int // not told yet, kept from it by a window, told and waited for
	told, ended          time.Time
}

// opens says what the wave after p waits for.
func (r Rollout) opens(next *Progress, p Progress, e wave, i int, now time.Time) {
	if p.Waits != "" {
		next.Waits = fmt.Sprintf("comes after %s, which %s", title(r.Waves, i-1), p.Waits)
		next.Since, next.Until = p.Since, time.Time{}
		return
	}
	var waits []string
	add := func(n int, what string) {
		if n > 0 {
			waits = append(waits, fmt.Sprintf("%d of %d %s", n, p.All, what))
		}
	}
	add(e.before, "not told yet")
	patience := e.told.Add(p.Within)
	if p.Proven == 0 {
		add(e.frozen, "in a freeze")
	}
	lasts := e.open > 0 && (p.Within == 0 || p.Proven == 0 || now.Before(patience))
	if lasts {
		add(e.open, "told and waited for")
	}
	end := e.ended
	switch {
	case len(waits) > 0:
		next.Waits = fmt.Sprintf("waits for %s: %s", title(r.Waves, i-1), strings.Join(waits, ", "))
		next.Since = later(p.Opened, e.told)
		if lasts && p.Within > 0 && p.Proven > 0 && e.before == 0 {
			next.Until = patience
		}
		return
	case e.open > 0:
		end = later(end, patience)
	case end.IsZero(): // nobody in it was told
		next.Opened = p.Opened
		return
	}
	next.Opened = later(p.Opened, end.Add(p.Soak))
	if now.Before(next.Opened) {
		next.Waits = fmt.Sprintf("waits for %s to soak for %s", title(r.Waves, i-1), p.Soak)
		next.Since, next.Until = end, next.Opened
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
