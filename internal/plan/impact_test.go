package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
)

func rebuild(image string, tier int, parents ...string) plan.Step {
	return plan.Step{Image: image, Kind: "base", Action: plan.Rebuild, Tier: tier, Parents: parents}
}

func minutes(all ...int) []time.Duration {
	var out []time.Duration
	for _, m := range all {
		out = append(out, time.Duration(m)*time.Minute)
	}
	return out
}

func TestEstimate(t *testing.T) {
	diamond := []plan.Step{rebuild("d", 0), rebuild("j", 1, "d"), rebuild("n", 1, "d"), rebuild("t", 2, "j", "n"), {Image: "web", Action: plan.PullRequest, Tier: 3, Parents: []string{"t"}}}
	all := map[string][]time.Duration{"d": minutes(2), "j": minutes(3, 100, 1), "n": minutes(4, 6), "t": minutes(1), "web": minutes(50)}
	for name, c := range map[string]struct {
		steps    []plan.Step
		past     map[string][]time.Duration
		parallel int
		want     string
	}{
		"no steps":                               {want: "unknown 0 of 0, 0 builds"},
		"never built":                            {steps: diamond, parallel: 2, want: "unknown 0 of 4, 0 builds never [d j n t]"},
		"two at once":                            {steps: diamond, past: all, parallel: 2, want: "8m0s 4 of 4, 7 builds [d n t] 8m0s"},
		"one at once":                            {steps: diamond, past: all, parallel: 1, want: "11m0s 4 of 4, 7 builds [d n t] 8m0s"},
		"no number of builders is one":           {steps: diamond, past: all, want: "11m0s 4 of 4, 7 builds [d n t] 8m0s"},
		"more builders than the graph can use":   {steps: diamond, past: all, parallel: 9, want: "8m0s 4 of 4, 7 builds [d n t] 8m0s"},
		"one unknown counts as the median":       {steps: diamond, past: map[string][]time.Duration{"d": minutes(2), "j": minutes(3), "n": minutes(5)}, parallel: 2, want: "10m0s 3 of 4, 3 builds [d n t] 10m0s never [t]"},
		"nothing is rebuilt":                     {steps: diamond[4:], past: all, parallel: 2, want: "unknown 0 of 0, 0 builds"},
		"a parent that is not rebuilt":           {steps: diamond[1:2], past: all, parallel: 2, want: "3m0s 1 of 1, 3 builds [j] 3m0s"},
		"three that wait for nobody on two":      {steps: []plan.Step{rebuild("a", 0), rebuild("b", 0), rebuild("c", 0)}, past: map[string][]time.Duration{"a": minutes(1), "b": minutes(1), "c": minutes(1)}, parallel: 2, want: "2m0s 3 of 3, 3 builds [a] 1m0s"},
		"builds of no time are no unknown build": {steps: diamond[:1], past: map[string][]time.Duration{"d": {0}}, parallel: 1, want: "0s 1 of 1, 1 builds [d] 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			e := plan.EstimateOf(&plan.Plan{Steps: c.steps}, plan.Pace{Builds: c.past, Parallel: c.parallel})
			got := "unknown"
			if e.Known {
				got = e.Takes.String()
			}
			got += fmt.Sprintf(" %d of %d, %d builds", e.Images, e.Rebuilds, e.Builds)
			if e.Known {
				got += fmt.Sprintf(" %s %s", e.Path, e.Least)
			}
			if len(e.Never) > 0 {
				got += fmt.Sprintf(" never %s", e.Never)
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if e.Takes < e.Least {
				t.Errorf("takes %s, less than its longest path %s", e.Takes, e.Least)
			}
		})
	}
}

func TestImpactCountsEachImageOnce(t *testing.T) {
	g, err := graph.New([]graph.Node{{Name: "u", Kind: graph.Upstream}, {Name: "d", Kind: graph.Base}, {Name: "j", Kind: graph.Base}, {Name: "web", Kind: graph.Application},
		{Name: "jobs", Kind: graph.Application}, {Name: "found", Kind: "observed"}, {Name: "apart", Kind: graph.Base}},
		[]graph.Edge{{Parent: "u", Child: "d"}, {Parent: "d", Child: "j"}, {Parent: "j", Child: "web"}, {Parent: "d", Child: "web"}, {Parent: "j", Child: "jobs"}, {Parent: "web", Child: "found"}})
	if err != nil {
		t.Fatal(err)
	}
	p := &plan.Plan{Steps: []plan.Step{rebuild("d", 0), rebuild("j", 1, "d"), {Image: "web", Kind: "application", Action: plan.PullRequest, Tier: 2, Parents: []string{"j"}}}}
	im := plan.ImpactOf(p, g, map[string]string{"d": "platform", "j": "platform", "web": "web team", "apart": "platform"}, plan.Pace{})
	if im.Images != 7 || im.Reached != 3 || !slices.Equal(im.Below, []string{"jobs", "found"}) {
		t.Errorf("%d of %d reached, below %q", im.Reached, im.Images, im.Below)
	}
	if got, want := fmt.Sprint(im.Kinds), "map[application:2 base:2 observed:1]"; got != want {
		t.Errorf("kinds %s, want %s", got, want)
	}
	said := func(all []plan.Share) (out []string) {
		for _, s := range all {
			out = append(out, fmt.Sprint(s.Owner, s.Tier, s.Images, s.Kinds, s.Actions))
		}
		return out
	}
	if got, want := said(im.Owners), []string{"platform0 2 map[base:2] map[rebuild:2]", "web team0 1 map[application:1] map[pull-request:1]", "0 2 map[application:1 observed:1] map[]"}; !slices.Equal(got, want) {
		t.Errorf("owners\n%q, want\n%q", got, want)
	}
	if got, want := said(im.Tiers), []string{"0 1 map[base:1] map[rebuild:1]", "1 1 map[base:1] map[rebuild:1]", "2 1 map[application:1] map[pull-request:1]", "-1 2 map[application:1 observed:1] map[]"}; !slices.Equal(got, want) {
		t.Errorf("tiers\n%q, want\n%q", got, want)
	}
	if im.Estimate.Known {
		t.Error("an estimate from no builds")
	}
}
