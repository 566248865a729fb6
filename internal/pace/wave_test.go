package pace_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"rebuilder/internal/pace"
)

var steps = []pace.Wave{{Name: "canary", Canary: true, Count: 3}, {Name: "10%", Share: 10}, {Name: "50%", Share: 50}, {Name: "100%", Share: 100}}

func members(n int) []pace.Member {
	out := make([]pace.Member, n)
	for i := range out {
		out[i] = pace.Member{Name: fmt.Sprintf("app-%d", i), Owner: fmt.Sprintf("team-%d", i%7)}
	}
	return out
}

// sizes says how many are in each wave.
func sizes(waves []pace.Wave, of map[string]int) []int {
	out := make([]int, max(len(waves), 1))
	for _, w := range of {
		out[w]++
	}
	return out
}

func TestAssign(t *testing.T) {
	for _, c := range []struct {
		name  string
		waves []pace.Wave
		n     int
		want  []int
	}{
		{"no waves: all at once", nil, 5, []int{5}},
		{"one wave: all at once", steps[3:], 5, []int{5}},
		{"shares count those before them", steps, 100, []int{3, 7, 40, 50}},
		{"never more than a quarter are picked", steps, 6, []int{1, 0, 2, 3}},
		{"one alone is its own canary", steps, 1, []int{1, 0, 0, 0}},
		{"nobody", steps, 0, []int{0, 0, 0, 0}},
		{"the last wave is everybody", []pace.Wave{{Share: 10}, {Share: 50}}, 10, []int{1, 9}},
		{"without canaries", steps[1:], 1000, []int{100, 400, 500}},
	} {
		got := pace.Assign(c.waves, members(c.n))
		if s := sizes(c.waves, got); len(got) != c.n || !slices.Equal(s, c.want) {
			t.Errorf("%s: %v, want %v", c.name, s, c.want)
		}
	}
}

func TestCanaries(t *testing.T) {
	all := members(100)
	for _, i := range []int{13, 26} {
		all[i].Canary = true
	}
	got := pace.Assign(steps, all)
	if s := sizes(steps, got); got["app-13"] != 0 || got["app-26"] != 0 || s[0] != 2 {
		t.Errorf("those that are named, and nobody else: %v", s)
	}
	all = members(100)
	for _, i := range []int{3, 10, 50} { // the first two are of one owner
		all[i].Tried = true
	}
	got = pace.Assign(steps, all)
	first := slices.DeleteFunc(slices.Sorted(maps.Keys(got)), func(n string) bool { return got[n] != 0 })
	owners := map[int]bool{}
	for _, n := range first {
		var i int
		fmt.Sscanf(n, "app-%d", &i)
		owners[i%7] = true
	}
	if len(first) != 3 || len(owners) != 3 || got["app-50"] != 0 || got["app-3"] == got["app-10"] {
		t.Errorf("picked are %v: want those that were tried, of three owners", first)
	}
}

// One that comes moves nobody but those at the edge of a wave.
func TestAssignIsStable(t *testing.T) {
	before := pace.Assign(steps[1:], members(200))
	for n := 201; n < 220; n++ {
		after := pace.Assign(steps[1:], members(n))
		moved := 0
		for name, w := range before {
			if after[name] != w {
				moved++
			}
		}
		if moved > 2*(n-200) {
			t.Errorf("%d more moved %d of 200", n-200, moved)
		}
	}
	reversed := members(200)
	slices.Reverse(reversed)
	if !maps.Equal(before, pace.Assign(steps[1:], reversed)) {
		t.Error("the order in which they are given makes a difference")
	}
}
