package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Proposals says how pull requests are made. [proposals], and [application.proposals] for one application.
type Proposals struct {
	Labels    []string // default "base-image"
	Reviewers []string // logins, and teams as "org/team"
	// Draft makes every pull request a draft. One whose trial build failed is one in any case.
	Draft bool
	// OnePerRepository puts all base lines of an application into one pull request.
	OnePerRepository bool
	// CoolDown is how long nothing newer is proposed after a person closed a pull request; default 7d.
	CoolDown time.Duration
	// PushesPerHour is how often branches of one repository are pushed to within an hour; default 2, 0: no limit.
	PushesPerHour int
	// WithBots is what is done where another bot updates the same line.
	WithBots WithBots
	// Never are the bases that an application is never told of.
	Never []string
}

const (
	usualLabel    = "base-image"
	usualCoolDown = 7 * 24 * time.Hour
	usualPushes   = 2
)

var (
	reviewerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,38}(?:/[A-Za-z0-9][A-Za-z0-9_.-]{0,99})?$`)
	maxLabel     = 50 // characters; GitHub's limit
)

// usualProposals are what [proposals] says, or nobody does.
func (r *reader) usualProposals(t *table) Proposals {
	p := r.proposals(t, Proposals{Labels: []string{usualLabel}, CoolDown: usualCoolDown, PushesPerHour: usualPushes, WithBots: Yield})
	t.end()
	return p
}

// ofApplication reads [application.proposals], whose keys go before those of [proposals].
func (r *reader) ofApplication(t *table) Proposals {
	s := t.section("proposals")
	s.name = "proposals of " + t.name
	p := r.proposals(s, r.catalog.Proposals)
	var at []span
	p.Never, at = s.words("never", "base/debian")
	s.end()
	never, name := p.Never, s.name
	r.later = append(r.later, func() {
		for i, base := range never {
			if !slices.ContainsFunc(r.catalog.Bases, func(b Base) bool { return b.Name == base }) {
				s.add(at[i], r.otherImage(base), "%s: %q is no base of this catalog", name, base)
			}
		}
	})
	return p
}

// proposals reads the keys that both tables have.
func (r *reader) proposals(t *table, usual Proposals) Proposals {
	p := usual
	if labels, at := t.words("labels", usualLabel); labels != nil {
		p.Labels = labels
		for i, l := range labels {
			if len([]rune(l)) > maxLabel || strings.TrimSpace(l) != l || strings.ContainsAny(l, ",\n\r\t") {
				t.add(at[i], fmt.Sprintf("at most %d characters on one line, without a comma", maxLabel), "%s: %q cannot be a label", t.name, l)
			}
		}
	}
	if reviewers, at := t.words("reviewers", "ada"); reviewers != nil {
		p.Reviewers = reviewers
		for i, who := range reviewers {
			if !reviewerName.MatchString(who) {
				t.add(at[i], `a login, "ada", or a team, "acme/platform", without @`, "%s: %q is no reviewer", t.name, who)
			}
		}
	}
	p.Draft = t.boolean("draft", usual.Draft)
	p.OnePerRepository = t.boolean("one_per_repository", usual.OnePerRepository)
	p.CoolDown = t.duration("cool_down", usual.CoolDown, true)
	p.PushesPerHour = t.integer("pushes_per_hour", usual.PushesPerHour, 0)
	p.WithBots = withBots(t, usual.WithBots)
	return p
}
