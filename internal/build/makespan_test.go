package build

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

// fleet is a graph of builds: each takes a while and waits for its parents, which come before it.
type fleet struct {
	takes   []time.Duration
	parents [][]int
}

// oneRoot is the shape of one image below all others. While it is built all workers but one stand idle, which the bound
// does not know: on many workers no order comes near it.
const oneRoot = "one root"

// shapes are the forms that an organisation's images have, of n builds.
var shapes = map[string]func(r *rand.Rand, n int) fleet{
	// Few operating systems, below each some languages, below each applications.
	"tiers": func(r *rand.Rand, n int) fleet {
		return grow(r, n, func(i int) []int {
			switch {
			case i < 4:
				return nil
			case i < 40:
				return []int{r.IntN(4)}
			case i < 200:
				return []int{4 + r.IntN(36)}
			}
			return []int{40 + r.IntN(160)}
		})
	},
	oneRoot: func(r *rand.Rand, n int) fleet {
		return grow(r, n, func(i int) []int {
			if i == 0 {
				return nil
			}
			return []int{0}
		})
	},
	// Each stands on any earlier one.
	"any earlier one": func(r *rand.Rand, n int) fleet {
		return grow(r, n, func(i int) []int {
			if i < 8 {
				return nil
			}
			return []int{r.IntN(i)}
		})
	},
	// Each stands on one, and every third copies from another.
	"two parents": func(r *rand.Rand, n int) fleet {
		return grow(r, n, func(i int) []int {
			switch {
			case i < 8:
				return nil
			case i%3 == 0:
				return []int{r.IntN(i), r.IntN(i)}
			}
			return []int{r.IntN(i)}
		})
	},
	// Chains of ten among images that stand on nothing of ours.
	"chains": func(r *rand.Rand, n int) fleet {
		return grow(r, n, func(i int) []int {
			if i < n-100 || i%10 == 0 {
				return nil
			}
			return []int{i - 1}
		})
	},
}

// grow makes a fleet whose builds take a minute or so, some much longer.
func grow(r *rand.Rand, n int, parents func(i int) []int) fleet {
	var f fleet
	for i := range n {
		f.takes = append(f.takes, time.Duration(40*math.Exp(0.8*r.NormFloat64())*float64(time.Second)))
		f.parents = append(f.parents, parents(i))
	}
	return f
}

// below is for each build the time of the longest chain that begins with it.
func (f fleet) below() []time.Duration {
	out := slices.Clone(f.takes)
	for i := len(out) - 1; i >= 0; i-- {
		for _, p := range f.parents[i] {
			out[p] = max(out[p], f.takes[p]+out[i])
		}
	}
	return out
}

// least is the time that no order of the builds can beat.
func (f fleet) least(places int) time.Duration {
	var work time.Duration
	for _, t := range f.takes {
		work += t
	}
	return max(work/time.Duration(places), slices.Max(f.below()))
}

// makespan plays the builds on the workers that s has, through s, on a clock of its own.
func (f fleet) makespan(s *Scheduler, priority []time.Duration) time.Duration {
	began := time.Unix(0, 0)
	now := began
	s.now = func() time.Time { return now }
	missing := make([]int, len(f.takes))
	children := make([][]int, len(f.takes))
	for i, ps := range f.parents {
		missing[i] = len(ps)
		for _, p := range ps {
			children[p] = append(children[p], i)
		}
	}
	waiting := map[int]*ticket{}
	var running ends
	start := func() {
		for i, t := range waiting {
			if t.got != nil {
				heap.Push(&running, end{now.Add(f.takes[i]), i, t.got})
				delete(waiting, i)
			}
		}
	}
	for i, n := range missing {
		if n == 0 {
			waiting[i] = s.enter(Want{Priority: priority[i]})
		}
	}
	for start(); len(running) > 0; start() {
		e := heap.Pop(&running).(end)
		now = e.at
		e.on.Release()
		for _, c := range children[e.build] {
			if missing[c]--; missing[c] == 0 {
				waiting[c] = s.enter(Want{Priority: priority[c]})
			}
		}
	}
	return now.Sub(began)
}

type end struct {
	at    time.Time
	build int
	on    *Member
}

type ends []end

func (e ends) Len() int { return len(e) }
func (e ends) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].build < e[j].build
}
func (e ends) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)   { *e = append(*e, x.(end)) }
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// worstMakespan is the longest makespan of 1,000 builds, as a multiple of what no order can beat: of all shapes, on some
// numbers of workers, several times. prioritised says whether builds come with the time of what waits for them.
func worstMakespan(seeds uint64, workerCounts []int, prioritised bool) (worst float64, where string) {
	for name, shape := range shapes {
		for _, workers := range workerCounts {
			if workers > 8 && name == oneRoot {
				continue
			}
			for seed := range seeds {
				f := shape(rand.New(rand.NewPCG(seed, 1)), 1000)
				priority := make([]time.Duration, 1000)
				if prioritised {
					priority = f.below()
				}
				s := &Scheduler{}
				for i := range workers {
					s.Join(Worker{Name: strconv.Itoa(i)}, Open)
				}
				if ratio := float64(f.makespan(s, priority)) / float64(f.least(workers)); ratio > worst {
					worst, where = ratio, fmt.Sprintf("%s, %d workers, seed %d", name, workers, seed)
				}
			}
		}
	}
	return worst, where
}

func TestMakespan(t *testing.T) {
	if worst, where := worstMakespan(1, []int{8, 32}, true); worst > 1.05 {
		t.Errorf("makespan is %.3f times the least possible: %s", worst, where)
	}
	if worst, _ := worstMakespan(1, []int{32}, false); worst < 1.2 {
		t.Errorf("makespan without priorities is %.3f times the least possible: then what are they for?", worst)
	}
}

// BenchmarkMakespan is what `make bench` reports.
func BenchmarkMakespan(b *testing.B) {
	for _, how := range []struct {
		name        string
		prioritised bool
	}{{"Priority", true}, {"Arrival", false}} {
		b.Run(how.name, func(b *testing.B) {
			worst := 0.0
			for b.Loop() {
				worst, _ = worstMakespan(10, []int{2, 4, 8, 16, 32}, how.prioritised)
			}
			b.ReportMetric(worst, "times")
		})
	}
}
