// Package announce says what is told to people and programs, and when. What is said of a rollout is made of what the store
// has, as a value (Of); what is due in a chat follows from that and from what was said there before (due); Announcer does it.
// Nothing here changes a rollout or waits for one: a chat that does not answer is tried again later, and the rollout goes on.
package announce

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/notify/chat"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// Facts is what is known of a rollout.
type Facts struct {
	Rollout   store.Rollout
	Nodes     []store.Node
	Proposals []store.Proposal
	Start     store.Event                // who started it; zero: unknown
	Fixes     []string                   // advisories that are known to be gone
	Past      map[string][]time.Duration // by image: how long its last builds took
	Parallel  int                        // builds at once
	URL       string                     // of the daemon's pages; empty: unknown
	Now       time.Time
}

const maxLinks = 5 // open pull requests that are listed

// Of is what there is to say of a rollout.
func Of(f Facts) chat.Message {
	ro := f.Rollout
	m := chat.Message{Rollout: ro.ID, State: string(ro.State), Headline: headline(f), Started: started(f), Progress: progress(f.Nodes), Waits: waits(f), Needs: needs(f),
		Ahead: ahead(f), Ask: "rebuilder rollouts " + ro.ID}
	if ro.State != store.Running && ro.State != store.Finished {
		m.Reason = ro.Reason
	}
	if f.URL != "" {
		m.Page = f.URL + "/"
	}
	m.Links, m.More = open(f)
	return m
}

// headline is the cause, what it fixes, and how far it goes.
func headline(f Facts) string {
	s, fixes := f.Rollout.Title, f.Fixes
	switch n := len(fixes); {
	case n > 3:
		s += fmt.Sprintf(" (%s and %d more)", strings.Join(fixes[:2], ", "), n-2)
	case n > 0:
		s += " (" + strings.Join(fixes, ", ") + ")"
	}
	return s + " → " + count(len(f.Nodes), "image")
}

func started(f Facts) string {
	s := "started " + clock(f.Rollout.CreatedAt, f.Now)
	switch {
	case f.Start.Kind == store.Automation:
		s += " by automation"
	case f.Start.Actor != "":
		s += " by " + f.Start.Actor
	}
	return s
}

// progress is how far each tier of bases is, then how many applications were told, and how many of them stand on the new base.
func progress(nodes []store.Node) []chat.Progress {
	var out []chat.Progress
	told, there := chat.Progress{Name: "applications told"}, chat.Progress{Name: "on their new base"}
	for _, n := range nodes {
		bad := n.State.Ended() && !n.State.Good()
		if n.Kind == string(graph.Application) {
			told.Total++
			there.Total++
			if n.State == store.Telling && n.Detail.Key != "" || n.State.Ended() {
				told.Ended++
			}
			if n.State.Ended() {
				there.Ended++
			}
			if bad {
				there.Bad++
			}
			continue
		}
		name := tierName(n.Tier)
		if len(out) == 0 || out[len(out)-1].Name != name {
			out = append(out, chat.Progress{Name: name})
		}
		p := &out[len(out)-1]
		p.Total++
		if n.State.Ended() {
			p.Ended++
		}
		if bad {
			p.Bad++
		}
	}
	if told.Total > 0 {
		out = append(out, told, there)
	}
	return out
}

func tierName(tier int) string { return fmt.Sprintf("bases, tier %d", tier+1) }

// needs are what a person can do something about: the rollout itself when it stands still, and every image that ended as it
// should not.
func needs(f Facts) []chat.Need {
	var out []chat.Need
	if s := f.Rollout.State; s == store.Paused || s == store.Halted {
		out = append(out, chat.Need{ID: f.Rollout.ID + "@" + string(s), What: "the rollout", State: string(s), Why: f.Rollout.Reason, Who: "who may resume it"})
	}
	for _, n := range f.Nodes {
		if !n.State.Ended() || n.State.Good() {
			continue
		}
		need := chat.Need{ID: fmt.Sprintf("%s@%d", n.Image, n.Since), What: n.Image, State: string(n.State), Why: n.Reason, Who: n.Who, URL: n.Detail.URL}
		if need.Who == "" {
			need.Who = "who keeps its recipe"
		}
		if n.Next > 0 {
			need.Why = strings.TrimSuffix(need.Why, ".") + "; tried again " + clock(n.Next, f.Now)
		}
		out = append(out, need)
	}
	return out
}

// ahead is what is known of the time to come; at the end, how long it took.
func ahead(f Facts) []string {
	ro := f.Rollout
	if ro.State.Ended() {
		s := outcomes(f.Nodes) + "; took " + age(ms(ro.EndedAt).Sub(ms(ro.CreatedAt)))
		if ro.State == store.Finished && ro.PublishedAt > 0 {
			s += ", everywhere " + age(ms(ro.EndedAt).Sub(ms(ro.PublishedAt))) + " after the patch was published"
		}
		return []string{s}
	}
	if at, builds, ok := eta(f); ok {
		return []string{fmt.Sprintf("bases rebuilt about %s (from %s)", clock(at.UnixMilli(), f.Now), count(builds, "past build"))}
	}
	return nil
}

// eta is when the last base is about rebuilt, as far as the past tells: all that are left were built before.
func eta(f Facts) (at time.Time, builds int, ok bool) {
	if f.Rollout.State != store.Running {
		return at, 0, false
	}
	left := map[string]bool{}
	var p plan.Plan
	var spent time.Duration // of the longest that is at work
	for _, n := range f.Nodes {
		if n.Detail.Step.Action != plan.Rebuild || n.State.Ended() {
			continue
		}
		s := n.Detail.Step
		s.Image = n.Image
		s.Parents = slices.DeleteFunc(slices.Clone(s.Parents), func(parent string) bool { return !left[parent] })
		left[n.Image] = true
		p.Steps = append(p.Steps, s)
		if n.State != store.Waiting && len(s.Parents) == 0 {
			spent = max(spent, f.Now.Sub(ms(n.Since)))
		}
	}
	e := plan.EstimateOf(&p, plan.Pace{Builds: f.Past, Parallel: f.Parallel})
	if !e.Known || len(e.Never) > 0 {
		return at, 0, false
	}
	return f.Now.Add(max(e.Takes-spent, 0)), e.Builds, true
}

// open are the first of the pull requests that wait to be merged, and how many there are besides.
func open(f Facts) (links []chat.Link, more int) {
	for _, p := range f.Proposals {
		switch {
		case p.State != store.ProposalOpen || p.Number == 0:
		case len(links) == maxLinks:
			more++
		default:
			links = append(links, chat.Link{Text: fmt.Sprintf("%s #%d, opened %s", p.Repository, p.Number, clock(p.OpenedAt, f.Now)), URL: p.URL})
		}
	}
	return links, more
}

// outcomes counts how the images ended, what went wrong first.
func outcomes(nodes []store.Node) string {
	n := map[store.NodeState]int{}
	for _, x := range nodes {
		n[x.State]++
	}
	var parts []string
	for _, s := range []store.NodeState{store.Failed, store.NotTaken, store.Blocked, store.Quarantined, store.Done, store.Unchanged, store.Skipped} {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return fmt.Sprintf("of %s %s", count(len(nodes), "image"), strings.Join(parts, ", "))
}

// quiet says that nobody has to know: everything was built fresh because it was time to, and nothing has come of it yet.
func quiet(f Facts) bool {
	if f.Rollout.Cause != string(plan.CauseRefresh) || len(needs(f)) > 0 {
		return false
	}
	return !slices.ContainsFunc(f.Nodes, func(n store.Node) bool { return n.State == store.Done || n.State == store.Telling })
}

func ms(at int64) time.Time { return time.UnixMilli(at).UTC() }

// clock says a time: "02:04 UTC", with the day when it is another.
func clock(at int64, now time.Time) string {
	t := ms(at)
	if t.Format(time.DateOnly) != now.UTC().Format(time.DateOnly) {
		return t.Format("15:04 UTC on 2 Jan")
	}
	return t.Format("15:04 UTC")
}

// age says a time span in one or two units.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
