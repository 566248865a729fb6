package api

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/store"
)

// sentence says what a node does or waits for, or how it ended. There is always one.
func sentence(n store.Node) string {
	if n.Reason != "" {
		return n.Reason
	}
	switch n.State {
	case store.Waiting:
		return "waits for its turn"
	case store.Building:
		return "builds"
	case store.Testing:
		return "runs its tests"
	case store.Scanning:
		return "looks inside the new image"
	case store.Promoting:
		return "moves the channel"
	case store.Telling:
		return "tells its repository"
	case store.Done:
		return done(n)
	case store.Unchanged:
		return "its content is what it was; nothing was promoted"
	}
	return "no reason was given"
}

func done(n store.Node) string {
	if n.Kind == "application" {
		return "its layers prove that it stands on the new base"
	}
	if len(n.Detail.Changes) > 0 {
		return "promoted, " + Count(len(n.Detail.Changes), "package") + " changed"
	}
	return "promoted"
}

// followed is what happens to an application that was told.
const followed = "followed until the layers of its image prove the new base"

// then says what happens next to a node by itself; empty when nothing does.
func then(n store.Node) string {
	switch n.State {
	case store.Waiting:
		if n.Waiting > 0 {
			return "starts by itself when its parents are finished"
		}
		return "starts by itself"
	case store.Building, store.Testing, store.Scanning, store.Promoting:
		return "goes on by itself"
	case store.Telling:
		return followed
	case store.Failed:
		if n.Next > 0 {
			return "tried again by itself"
		}
		return "planned again after a while, or when its recipe, parents or packages change"
	case store.NotTaken:
		return "planned again when its recipe, parents or packages change"
	case store.Blocked:
		if n.Kind == string(graph.Base) {
			return "tried again after a while, or when policies, exceptions, its recipe, parents or packages change"
		}
		return "waits for a person"
	}
	return ""
}

// Outcomes counts how the images of a rollout are, what went wrong first: "2 failed, 6 skipped".
func Outcomes(r Rollout) string {
	states := slices.SortedFunc(maps.Keys(r.States), func(a, b string) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a, b))
	})
	var parts []string
	for _, s := range states {
		if n := r.States[s]; n > 0 {
			parts = append(parts, Thousands(n)+" "+s)
		}
	}
	return strings.Join(parts, ", ")
}

// rank puts how an image should not end before how it should.
func rank(state string) int {
	switch {
	case state == string(store.Done):
		return 1
	case store.NodeState(state).Good():
		return 2
	}
	return 0
}

// Count says a number with its noun: "1 image", "3 images", "2 dispatches", "2 vulnerabilities".
func Count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "ch"):
		return Thousands(n) + " " + noun + "es"
	case strings.HasSuffix(noun, "ty"):
		return Thousands(n) + " " + strings.TrimSuffix(noun, "y") + "ies"
	}
	return Thousands(n) + " " + noun + "s"
}

// Thousands writes a number as people read it: 12,345.
func Thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Age says how long a time span is, in one or two units: "4 s", "12 min", "3 h 20 min", "5 days".
func Age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		s := fmt.Sprintf("%d h", int(d.Hours()))
		if m := int(d.Minutes()) % 60; m > 0 {
			s += fmt.Sprintf(" %d min", m)
		}
		return s
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// When says a time for people, with its distance from now: "14:05 UTC, 3 min ago", "02:00 UTC on 9 Dec, in 7 h".
func When(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	t, now = t.UTC(), now.UTC()
	s := t.Format("15:04 UTC")
	if t.Format(time.DateOnly) != now.Format(time.DateOnly) {
		s = t.Format("15:04 UTC on 2 Jan")
		if t.Year() != now.Year() {
			s = t.Format("15:04 UTC on 2 Jan 2006")
		}
	}
	if t.After(now) {
		return s + ", in " + Age(t.Sub(now))
	}
	return s + ", " + Age(now.Sub(t)) + " ago"
}

// On says of which platform a sentence is; empty: of all.
func On(platform, sentence string) string {
	if platform == "" {
		return sentence
	}
	return "on " + platform + " " + sentence
}

// Short is a digest as people read it: twelve digits.
func Short(digest string) string {
	d := strings.TrimPrefix(digest, "sha256:")
	return d[:min(12, len(d))]
}
