package durable

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCensus(t *testing.T) {
	type look struct {
		at    int // seconds
		beats map[string]int64
		still string
	}
	for name, looks := range map[string][]look{
		"one stands still for a lapse": {
			{0, map[string]int64{"a": 1, "b": 1}, ""},
			{20, map[string]int64{"a": 1, "b": 2}, ""},
			{40, map[string]int64{"a": 1, "b": 3}, ""},
			{60, map[string]int64{"a": 1, "b": 4}, "a"},
			{80, map[string]int64{"a": 1, "b": 5}, "a"},
		},
		"it comes back": {
			{0, map[string]int64{"a": 1}, ""},
			{30, map[string]int64{"a": 1}, ""},
			{60, map[string]int64{"a": 1}, "a"},
			{70, map[string]int64{"a": 2}, ""},
			{100, map[string]int64{"a": 2}, ""},
			{130, map[string]int64{"a": 2}, "a"},
		},
		"a clock that goes backwards is a change": {
			{0, map[string]int64{"a": 9}, ""},
			{30, map[string]int64{"a": 9}, ""},
			{60, map[string]int64{"a": 8}, ""},
		},
		"the observer was away: it starts anew": {
			{0, map[string]int64{"a": 1}, ""},
			{20, map[string]int64{"a": 1}, ""},
			{51, map[string]int64{"a": 1}, ""},
			{71, map[string]int64{"a": 1}, ""},
			{91, map[string]int64{"a": 1}, ""},
			{111, map[string]int64{"a": 1}, "a"},
		},
		"who was gone and is there again has all its time": {
			{0, map[string]int64{"a": 1}, ""},
			{30, map[string]int64{}, ""},
			{60, map[string]int64{"a": 1}, ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := census{lapse: time.Minute}
			start := time.Now()
			for _, l := range looks {
				still := c.observe(start.Add(time.Duration(l.at)*time.Second), l.beats)
				if got := strings.Join(slices.Sorted(maps.Keys(still)), " "); got != l.still {
					t.Errorf("after %d s: %q stand still, want %q", l.at, got, l.still)
				}
			}
		})
	}
}

func TestActiveCountsRuns(t *testing.T) {
	var a active
	first, second := a.add("w"), a.add("w")
	first()
	if !a.has("w") {
		t.Error("forgotten while its second run goes on")
	}
	second()
	if a.has("w") || len(a.runs) != 0 {
		t.Error("remembered after its end")
	}
}
