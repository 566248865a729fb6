package main

import (
	"slices"
	"strconv"
)

// Measure is one figure and the bound that it must keep. bench.json is a list of them.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"` // three significant digits
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal"`  // "<= 120", in Unit, or noGoal
	Holds bool    `json:"holds"` // true without a goal
	From  string  `json:"from"`  // the command that measures it
}

const noGoal = "none"

// atMost is a measure with a goal. Whether it holds is decided before the value is rounded.
func atMost(limit float64, name string, value float64, unit string) Measure {
	return Measure{Name: name, Value: round(value), Unit: unit, Goal: "<= " + number(limit), Holds: value <= limit}
}

// known is a measure that explains others and has no goal.
func known(name string, value float64, unit string) Measure {
	return Measure{Name: name, Value: round(value), Unit: unit, Goal: noGoal, Holds: true}
}

// limit is the bound of a goal; ok is false without one.
func (m Measure) limit() (limit float64, ok bool) {
	const prefix = len("<= ")
	if len(m.Goal) <= prefix || m.Goal == noGoal {
		return 0, false
	}
	limit, err := strconv.ParseFloat(m.Goal[prefix:], 64)
	return limit, err == nil
}

// share says how much of its goal a measure uses up: "12 %".
func (m Measure) share() string {
	limit, ok := m.limit()
	if !ok || limit == 0 {
		return ""
	}
	return strconv.FormatFloat(100*m.Value/limit, 'f', 0, 64) + " %"
}

func (m Measure) verdict() string {
	switch {
	case !m.Holds:
		return "NO"
	case m.Goal == noGoal:
		return ""
	}
	return "yes"
}

// missed returns the measures that do not hold.
func missed(all []Measure) []Measure {
	return slices.DeleteFunc(slices.Clone(all), func(m Measure) bool { return m.Holds })
}

func round(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil {
		return v
	}
	return r
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// median of an odd number of values; of an even number, the upper of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
