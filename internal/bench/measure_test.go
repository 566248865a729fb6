package main

import "testing"

func TestAtMost(t *testing.T) {
	for _, c := range []struct {
		name         string
		limit, value float64
		want         Measure
	}{
		{"below", 2, 0.32149, Measure{Name: "x", Value: 0.321, Unit: "s", Goal: "<= 2", Holds: true}},
		{"at the bound", 2, 2, Measure{Name: "x", Value: 2, Unit: "s", Goal: "<= 2", Holds: true}},
		{"above, though it rounds to the bound", 2, 2.001, Measure{Name: "x", Value: 2, Unit: "s", Goal: "<= 2", Holds: false}},
		{"nothing allowed", 0, 0, Measure{Name: "x", Value: 0, Unit: "s", Goal: "<= 0", Holds: true}},
		{"nothing allowed, something there", 0, 1, Measure{Name: "x", Value: 1, Unit: "s", Goal: "<= 0", Holds: false}},
		{"large", 10_000, 1234.5, Measure{Name: "x", Value: 1230, Unit: "s", Goal: "<= 10000", Holds: true}},
		{"a bound with a fraction", 1.5, 1.16, Measure{Name: "x", Value: 1.16, Unit: "s", Goal: "<= 1.5", Holds: true}},
	} {
		got := atMost(c.limit, "x", c.value, "s")
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if limit, ok := got.limit(); !ok || limit != c.limit {
			t.Errorf("%s: limit %v, %v", c.name, limit, ok)
		}
	}
	if _, ok := known("x", 1, "s").limit(); ok {
		t.Error("a measure without a goal has a limit")
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v", c.values, got)
		}
	}
}

func TestMemoryClass(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		size uint64
		want string
	}{{gib / 2, "at most 1 GiB"}, {gib, "at most 1 GiB"}, {2 * gib, "1 to 2 GiB"}, {3 * gib, "2 to 4 GiB"}, {24*gib - 1, "16 to 32 GiB"}, {32 * gib, "16 to 32 GiB"}, {32*gib + 1, "32 to 64 GiB"}} {
		if got := memoryClass(c.size); got != c.want {
			t.Errorf("%d: %s, want %s", c.size, got, c.want)
		}
	}
}

func TestPerOperation(t *testing.T) {
	const out = `goos: linux
pkg: rebuilder/internal/graph
BenchmarkAffected10k-2   	    1804	    657226 ns/op
BenchmarkAffected10k-2   	    1800	    657000.5 ns/op	  12 B/op
BenchmarkAffected10kMore-2 	    1800	    1 ns/op
PASS
`
	got, err := perOperation([]byte(out), "BenchmarkAffected10k")
	if err != nil || len(got) != 2 || got[0] != 657226 || got[1] != 657000.5 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := perOperation([]byte("PASS\n"), "BenchmarkGone"); err == nil {
		t.Error("a benchmark that did not run is no error")
	}
}
