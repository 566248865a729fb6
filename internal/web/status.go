package web

import (
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/store"
)

// maxNodes bounds how many images of one rollout a page shows; the rest is counted.
const maxNodes = 200

// status is the page's view of how things are.
type status struct {
	api.Status
	Style   string
	Current int  // of Fleet.Images
	Refresh bool // a rollout runs: look again soon
	Shares  []share
	Active  []active
}

// share is one state's part of the fleet.
type share struct {
	State api.ImageState
	Count int
	Words string
}

// active is a rollout that has not ended, the images that still move first.
type active struct {
	api.Rollout
	Shown []api.Node
	More  int
}

func newStatus(s api.Status, style string) status {
	v := status{Status: s, Style: style, Current: s.Fleet.States[api.Current]}
	for _, state := range api.ImageStates() {
		v.Shares = append(v.Shares, share{state, s.Fleet.States[state], meaning(state)})
	}
	for _, r := range s.Running {
		v.Refresh = v.Refresh || r.State == string(store.Running)
		a := active{Rollout: r, Shown: slices.Clone(r.Nodes)}
		slices.SortStableFunc(a.Shown, func(x, y api.Node) int { return order(x) - order(y) })
		if len(a.Shown) > maxNodes {
			a.More = len(a.Shown) - maxNodes
			a.Shown = a.Shown[:maxNodes]
		}
		v.Active = append(v.Active, a)
	}
	return v
}

// order puts what went wrong first, then what moves, then what waits, then what is finished.
func order(n api.Node) int {
	s := store.NodeState(n.State)
	switch {
	case s.Ended() && !s.Good():
		return 0
	case !s.Ended() && s != store.Waiting:
		return 1
	case s == store.Waiting:
		return 2
	}
	return 3
}

func meaning(s api.ImageState) string {
	switch s {
	case api.Current:
		return "current"
	case api.Rebuilding:
		return "rebuilding"
	case api.Awaiting:
		return "told, waiting"
	case api.Behind:
		return "fix available"
	case api.Stuck:
		return "stuck"
	}
	return "unknown"
}

// tone is the colour family of a state, always shown beside its word. To wait for one's parents is nothing to look at.
func tone(state string) string {
	switch state {
	case "current", "done", "unchanged", "skipped", "built", "ok", "pass":
		return "good"
	case "rebuilding", "building", "testing", "scanning", "promoting", "running", "planned":
		return "busy"
	case "awaiting", "telling", "open", "merged", "behind", "paused", "halted", "grace":
		return "wait"
	case "stuck", "failed", "blocked", "not-taken", "quarantined", "broken", "unreachable", "cancelled", "late", "fail", "fails":
		return "bad"
	}
	return "none"
}

// words are the functions that the templates use.
func words() template.FuncMap {
	return template.FuncMap{
		"tone": tone, "short": api.Short, "count": api.Count, "number": api.Thousands, "when": api.When,
		"stamp":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"elapsed": func(from, to time.Time) string { return api.Age(to.Sub(from)) },
		"ago":     func(t, now time.Time) string { return api.Age(now.Sub(t)) },
		"until":   func(t, now time.Time) string { return until(t, now) },
		"log":     func(build string) string { return "/api/v1/builds/" + url.PathEscape(build) + "/log" },
		"rollout": func(id string) string { return "/api/v1/rollouts/" + url.PathEscape(id) },
		"why": func(image string) string {
			return "/api/v1/images/" + strings.ReplaceAll(url.PathEscape(image), "%2F", "/") + "/why"
		},
		"image": func(name string) string { return "/images/" + strings.ReplaceAll(url.PathEscape(name), "%2F", "/") },
		"of":    of, "size": size, "setting": setting,
		"outside": outside, "outcomes": api.Outcomes,
		"percent": func(n, of int) string { return percent(n, of) },
	}
}

func until(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	if t.Sub(now) < time.Second {
		return "now"
	}
	return "in " + api.Age(t.Sub(now))
}

// outside says that an address may be linked to: it came from a forge.
func outside(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

func percent(n, of int) string {
	if of == 0 {
		return "0"
	}
	return fmt.Sprint(100 * n / of)
}
