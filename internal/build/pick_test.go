package build_test

import (
	"fmt"
	"testing"

	"rebuilder/internal/build"
)

func TestPick(t *testing.T) {
	const amd, arm = "linux/amd64", "linux/arm64"
	tests := map[string]struct {
		workers            []build.Worker
		platform, affinity string
		want               string // name; empty: none
	}{
		"none there":                       {nil, amd, "", ""},
		"none for the platform":            {[]build.Worker{{Name: "a", Platforms: []string{amd}}}, arm, "", ""},
		"the one for the platform":         {[]build.Worker{{Name: "a", Platforms: []string{amd}}, {Name: "b", Platforms: []string{amd, arm}}}, arm, "", "b"},
		"a variant is another platform":    {[]build.Worker{{Name: "a", Platforms: []string{"linux/arm/v6"}}}, "linux/arm/v7", "", ""},
		"any platform":                     {[]build.Worker{{Name: "a"}}, arm, "", "a"},
		"the worker's own platform":        {[]build.Worker{{Name: "a", Platforms: []string{amd}}}, "", "", "a"},
		"the name, when all are the same":  {[]build.Worker{{Name: "b"}, {Name: "a"}, {Name: "c"}}, amd, "", "a"},
		"a full one":                       {[]build.Worker{{Name: "a", Parallel: 2, InFlight: 2}}, amd, "", ""},
		"no parallel is one":               {[]build.Worker{{Name: "a", InFlight: 1}}, amd, "", ""},
		"another when one is full":         {[]build.Worker{{Name: "a", Parallel: 2, InFlight: 2}, {Name: "b", Parallel: 2, InFlight: 1}}, amd, "", "b"},
		"the fewest builds":                {[]build.Worker{{Name: "a", Parallel: 8, InFlight: 2}, {Name: "b", Parallel: 8, InFlight: 1}}, amd, "", "b"},
		"for the weight":                   {[]build.Worker{{Name: "a", Parallel: 2, InFlight: 1}, {Name: "b", Parallel: 8, InFlight: 2}}, amd, "", "b"},
		"builds of others count":           {[]build.Worker{{Name: "a", Parallel: 2, Others: 1}, {Name: "b", Parallel: 2}}, amd, "", "b"},
		"builds of others do not fill one": {[]build.Worker{{Name: "a", Parallel: 2, Others: 5}}, amd, "", "a"},
		"fewest go before affinity":        {[]build.Worker{{Name: "a", Parallel: 2, InFlight: 1}, {Name: "b", Parallel: 2}}, amd, "x2", "b"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			got := ""
			if i := build.Pick(tt.workers, tt.platform, tt.affinity); i >= 0 {
				got = tt.workers[i].Name
			}
			if got != tt.want {
				t.Errorf("picked %q, want %q", got, tt.want)
			}
		})
	}
}

// TestAffinity: what belongs together stays together, also when a worker joins, and all get a share.
func TestAffinity(t *testing.T) {
	three := []build.Worker{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	four := append([]build.Worker{{Name: "d"}}, three...)
	const n = 4000
	shares := map[string]int{}
	for i := range n {
		affinity := fmt.Sprint("base/", i)
		was := three[build.Pick(three, "", affinity)].Name
		is := four[build.Pick(four, "", affinity)].Name
		if is != was && is != "d" {
			t.Errorf("%s moved from %s to %s when d joined", affinity, was, is)
		}
		shares[is]++
	}
	for _, w := range four {
		if got := shares[w.Name]; got < n/5 || got > n/3 {
			t.Errorf("%s has %d of %d, want about a quarter", w.Name, got, n)
		}
	}
}
