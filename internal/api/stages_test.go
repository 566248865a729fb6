package api

import (
	"fmt"
	"strings"
	"testing"

	"rebuilder/internal/store"
)

func TestStages(t *testing.T) {
	base := func(s store.NodeState, build string) store.Node {
		return store.Node{Kind: "base", State: s, Since: 1000, Detail: store.NodeDetail{Build: build}}
	}
	app := func(s store.NodeState, key string, proven bool) store.Node {
		return store.Node{Kind: "application", State: s, Since: 9000, Detail: store.NodeDetail{Key: key, Proven: proven}}
	}
	proposals := []store.Proposal{{Key: "open", OpenedAt: 2000}, {Key: "merged", OpenedAt: 2000, MergedAt: 3000}, {Key: "planned"}}
	for _, c := range []struct {
		name      string
		published int64
		nodes     []store.Node
		want      string
	}{
		{"nothing in it", 0, nil, ""},
		{"a patch on offer, nothing built", 500, []store.Node{base(store.Building, "b"), base(store.Waiting, "")}, "index 1/1 base 0/2 promoted 0/2"},
		{"no patch", 0, []store.Node{base(store.Testing, "b"), base(store.Failed, "b"), base(store.Blocked, "b")}, "base 2/3 promoted 0/3"},
		{"who is further has come by all before", 500, []store.Node{base(store.Done, "b"), app(store.Waiting, "", false), app(store.Telling, "planned", false), app(store.Telling, "open", false), app(store.Telling, "merged", false),
			app(store.Done, "", true), app(store.Done, "merged", false)}, "index 1/1 base 1/1 promoted 1/1 told 4/6 merged 3/6 built 2/6 proven 1/6"},
		{"what was skipped stays in the denominator", 0, []store.Node{app(store.Skipped, "", false)}, "told 0/1 merged 0/1 built 0/1 proven 0/1"},
		{"an application alone", 0, []store.Node{app(store.Telling, "open", false)}, "told 1/1 merged 0/1 built 0/1 proven 0/1"},
	} {
		var got []string
		for _, s := range stages(store.Rollout{PublishedAt: c.published, NoticedAt: c.published}, c.nodes, proposals) {
			got = append(got, fmt.Sprintf("%s %d/%d", s.Name, s.Done, s.Of))
			if (s.Done == 0) != s.Since.IsZero() && s.Done > 0 && s.What == "base" {
				t.Errorf("%s: %s since %v", c.name, s.Name, s.Since)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
	}
}
