package pace

import (
	"fmt"
	"time"
)

// Limits bound what the fleet is told, over all rollouts. Zero: no limit.
type Limits struct {
	Open   int // applications that are told and waited for: pull requests that are open, runs of CI
	Hourly int // applications that are told within an hour
	// The same of one organization.
	OrganizationOpen, OrganizationHourly int
	RepositoryOpen                       int
	// Reserved is how many percent of each limit but the repositories' are kept for what is critical. Of the rest a tenth is
	// kept from it.
	Reserved int
}

// Given says that there is a limit.
func (l Limits) Given() bool {
	return l.Open+l.Hourly+l.OrganizationOpen+l.OrganizationHourly+l.RepositoryOpen > 0
}

// use is how much of one limit is used.
type use struct {
	critical, others int
	until            time.Time // when the first of an hour leaves it
}

func (u *use) add(l Lane, at time.Time) {
	if l == Critical {
		u.critical++
	} else {
		u.others++
	}
	if u.until.IsZero() || at.Add(time.Hour).Before(u.until) {
		u.until = at.Add(time.Hour)
	}
}

// full says that a limit leaves no room for a lane. A limit of one cannot be shared: what is critical comes first.
func (u *use) full(limit, reserved int, l Lane) bool {
	used := u.critical + u.others
	if limit <= 0 {
		return false
	}
	if used >= limit {
		return true
	}
	if limit == 1 || reserved <= 0 {
		return false
	}
	kept := min(max((limit*reserved+99)/100, 1), limit-1)
	if l != Critical {
		return u.others >= limit-kept
	}
	return u.critical >= limit-max((limit-kept)/10, 1)
}

// budgets counts against the limits.
type budgets struct {
	limits Limits
	uses   map[string]*use
}

func (b *budgets) of(what, whose string) *use {
	key := what + " " + whose
	if b.uses[key] == nil {
		b.uses[key] = &use{}
	}
	return b.uses[key]
}

// count is what is used before anybody else is told.
func count(f Fleet, now time.Time) *budgets {
	b := &budgets{limits: f.Limits, uses: map[string]*use{}}
	if !f.Limits.Given() {
		return b
	}
	for _, r := range f.Rollouts {
		for _, i := range r.Items {
			if i.State == Open {
				b.open(i, r.Lane, i.Told)
			}
		}
	}
	for _, t := range f.Past {
		if t.At.Add(time.Hour).After(now) {
			b.hourly(Item{Repository: t.Repository}, t.Lane, t.At)
		}
	}
	return b
}

func (b *budgets) open(i Item, l Lane, at time.Time) {
	b.of("open", "").add(l, at)
	b.of("open", i.organization()+"/").add(l, at)
	b.of("open", i.Repository).add(l, at)
}

func (b *budgets) hourly(i Item, l Lane, at time.Time) {
	b.of("hourly", "").add(l, at)
	b.of("hourly", i.organization()+"/").add(l, at)
}

func (b *budgets) add(i Item, l Lane, now time.Time) {
	if b.limits.Given() {
		b.open(i, l, now)
		b.hourly(i, l, now)
	}
}

// hold is which limit keeps an application from being told.
func (b *budgets) hold(i Item, l Lane) (Hold, bool) {
	if !b.limits.Given() {
		return Hold{}, false
	}
	org := i.organization()
	for _, c := range []struct {
		use      *use
		limit    int
		reserved int
		words    string
		hourly   bool
	}{
		{b.of("hourly", ""), b.limits.Hourly, b.limits.Reserved, "told within an hour", true},
		{b.of("hourly", org+"/"), b.limits.OrganizationHourly, b.limits.Reserved, "told within an hour in " + org, true},
		{b.of("open", ""), b.limits.Open, b.limits.Reserved, "told and waited for", false},
		{b.of("open", org+"/"), b.limits.OrganizationOpen, b.limits.Reserved, "told and waited for in " + org, false},
		{b.of("open", i.Repository), b.limits.RepositoryOpen, 0, "told and waited for in " + i.Repository, false},
	} {
		if !c.use.full(c.limit, c.reserved, l) {
			continue
		}
		used := c.use.critical + c.use.others
		h := Hold{Reason: fmt.Sprintf("the limit is reached: %d of %d %s", used, c.limit, c.words), Who: "who merges what is open, or who keeps the catalog ([budget])"}
		if used < c.limit {
			h.Reason += "; the rest is kept for " + kept(l)
		}
		if c.hourly {
			h.Until, h.Who = c.use.until, "who keeps the catalog ([budget])"
		}
		return h, true
	}
	return Hold{}, false
}

func kept(l Lane) string {
	if l == Critical {
		return "what is not critical"
	}
	return "what is critical"
}
