package api

import (
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/store"
)

// Stage is one step on the way of a fix, and how many have come so far. Of is the denominator of Done; what fell out on the
// way, and what needs nothing, stays in it.
type Stage struct {
	Name  string    `json:"name"` // index, base, promoted, told, merged, built, proven
	What  string    `json:"what"` // what Of counts: "base", "application image"
	Done  int       `json:"done"`
	Of    int       `json:"of"`
	Since time.Time `json:"since,omitzero"` // when the last one came so far; left out while none has
}

// come counts one that has come so far.
func (s *Stage) come(at time.Time) {
	s.Done++
	if at.After(s.Since) {
		s.Since = at
	}
}

// stages says where a rollout's fix is now. A stage that nothing has to pass is left out.
func stages(ro store.Rollout, nodes []store.Node, proposals []store.Proposal) []Stage {
	index := Stage{Name: "index", What: "patch", Of: 1}
	built, promoted := Stage{Name: "base", What: "base"}, Stage{Name: "promoted", What: "base"}
	var apps [4]Stage
	for i, name := range []string{"told", "merged", "built", "proven"} {
		apps[i] = Stage{Name: name, What: "application image"}
	}
	if ro.PublishedAt > 0 {
		index.come(at(ro.NoticedAt))
	}
	byKey := map[string]store.Proposal{}
	for _, p := range proposals {
		byKey[p.Key] = p
	}
	for _, n := range nodes {
		if n.Kind != string(graph.Application) {
			built.Of++
			promoted.Of++
			if wasBuilt(n) {
				built.come(at(n.Since))
			}
			if n.State == store.Done {
				promoted.come(at(n.Since))
			}
			continue
		}
		for i := range apps {
			apps[i].Of++
		}
		reached(n, byKey[n.Detail.Key], &apps)
	}
	var out []Stage
	for _, s := range append([]Stage{index, built, promoted}, apps[:]...) {
		if s.Of > 0 && (s.Name != "index" || s.Done > 0) {
			out = append(out, s)
		}
	}
	return out
}

// wasBuilt says that a base has an image of this rollout, whatever became of it since.
func wasBuilt(n store.Node) bool {
	switch n.State {
	case store.Testing, store.Scanning, store.Promoting, store.Done, store.Unchanged, store.Blocked, store.NotTaken, store.Quarantined:
		return n.Detail.Build != "" || n.After != ""
	}
	return false
}

// reached counts an image of an application: whoever is further has come by all that is before.
func reached(n store.Node, p store.Proposal, apps *[4]Stage) {
	done := n.State == store.Done
	told, merged := at(p.OpenedAt), at(p.MergedAt)
	if done || !told.IsZero() {
		apps[0].come(told)
	}
	if done || !merged.IsZero() {
		apps[1].come(merged)
	}
	if done {
		apps[2].come(at(n.Since))
	}
	if done && n.Detail.Proven {
		apps[3].come(at(n.Since))
	}
}
