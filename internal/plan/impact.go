package plan

import (
	"cmp"
	"maps"
	"slices"

	"rebuilder/internal/graph"
)

// Impact is how far a plan reaches, and about how long its rebuilds take.
type Impact struct {
	Images  int      `json:"images"`  // of the graph: the denominator of Reached and Below
	Reached int      `json:"reached"` // images that a step is for
	Below   []string `json:"below"`   // images that stand on those, directly or not, and for which there is no step
	// Kinds counts the images that are reached or below, by kind.
	Kinds map[string]int `json:"kinds"`
	// Owners and Tiers count them, too: by owner, most images first, those of nobody last; by tier of the plan. What is
	// below has no tier.
	Owners   []Share  `json:"owners"`
	Tiers    []Share  `json:"tiers"`
	Estimate Estimate `json:"estimate"`
}

// Share is one part of what a plan reaches.
type Share struct {
	Owner   string         `json:"owner,omitempty"` // empty: nobody is named
	Tier    int            `json:"tier"`            // the first is 0; -1: below, without a step
	Images  int            `json:"images"`
	Kinds   map[string]int `json:"kinds"`
	Actions map[string]int `json:"actions,omitempty"` // of its steps
}

// ImpactOf tells how far a plan reaches in a graph. owners are the images' owners; those that have none may be left out.
// pace is what past builds say.
func ImpactOf(p *Plan, g *graph.Graph, owners map[string]string, pace Pace) Impact {
	im := Impact{Images: g.Len(), Reached: len(p.Steps), Below: []string{}, Kinds: map[string]int{}, Estimate: EstimateOf(p, pace)}
	step := make(map[string]Step, len(p.Steps))
	for _, s := range p.Steps {
		step[s.Image] = s
	}
	byOwner, byTier := map[string]*Share{}, map[int]*Share{}
	count := func(image, kind string, tier int, action Action) {
		im.Kinds[kind]++
		shareOf(byOwner, owners[image], Share{Owner: owners[image]}).add(kind, action)
		shareOf(byTier, tier, Share{Tier: tier}).add(kind, action)
	}
	for _, s := range p.Steps {
		count(s.Image, s.Kind, s.Tier, s.Action)
	}
	for _, name := range g.Affected(slices.Sorted(maps.Keys(step))...) {
		n, _ := g.Node(name)
		im.Below = append(im.Below, name)
		count(name, string(n.Kind), -1, "")
	}
	im.Owners, im.Tiers = shares(byOwner, compareOwners), shares(byTier, compareTiers)
	return im
}

func shareOf[K comparable](all map[K]*Share, k K, empty Share) *Share {
	if all[k] == nil {
		empty.Kinds, empty.Actions = map[string]int{}, map[string]int{}
		all[k] = &empty
	}
	return all[k]
}

func (s *Share) add(kind string, a Action) {
	s.Images++
	s.Kinds[kind]++
	if a != "" {
		s.Actions[string(a)]++
	}
}

func shares[K comparable](all map[K]*Share, order func(a, b Share) int) []Share {
	out := make([]Share, 0, len(all))
	for _, s := range all {
		out = append(out, *s)
	}
	slices.SortFunc(out, order)
	return out
}

func compareOwners(a, b Share) int {
	if nobody := (a.Owner == ""); nobody != (b.Owner == "") {
		if nobody {
			return 1
		}
		return -1
	}
	return cmp.Or(b.Images-a.Images, cmp.Compare(a.Owner, b.Owner))
}

// compareTiers puts what has no tier last.
func compareTiers(a, b Share) int { return cmp.Compare(uint(a.Tier), uint(b.Tier)) } // #nosec G115 -- -1 is the greatest
