package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// goBenchmark is a benchmark of a package that has a goal, or explains one.
type goBenchmark struct {
	measure  string
	pkg      string  // "./internal/graph"
	function string  // "BenchmarkAffected10k"
	limit    float64 // milliseconds an operation; 0: no goal
}

// goBenchmarks are run by `go test -bench`, as anybody can run them alone.
func goBenchmarks() []goBenchmark {
	return []goBenchmark{
		{"blast radius of an image among 10,000 with 100,000 edges", "./internal/graph", "BenchmarkAffected10k", 10},
		{"making that graph", "./internal/graph", "BenchmarkNew10k", 0},
		{"blast radius of an image among 100,000 with 1,000,000 edges", "./internal/graph", "BenchmarkAffected100k", 100},
		{"plan for 10,000 images, nothing to do", "./internal/plan", "BenchmarkMakeRest10k", 0},
		{"plan for 10,000 images, all stand on the patched one", "./internal/plan", "BenchmarkMakePatched10k", 0},
		{"plan for 10,000 images, no application told yet", "./internal/plan", "BenchmarkMakeBehind10k", 0},
		{"reading an index of 64,000 packages", "./internal/watch", "BenchmarkReadPackages", 0},
		{"comparing an image of 400 packages with that index", "./internal/watch", "BenchmarkPatches", 0},
		{"reading that index and comparing 1,000 images with it", "./internal/watch", "BenchmarkIndexAgainstFleet", 1000},
		{"a new advisory against 10,000 inventories of 300 packages, all hit, on SQLite", "./internal/advisory", "BenchmarkRematchSQLite10k", 1000},
		{"the same on PostgreSQL", "./internal/advisory", "BenchmarkRematchPostgres10k", 1000},
		{"importing 10,000 advisories of five packages", "./internal/advisory", "BenchmarkImport10k", 0},
		{"advisories for an image of 300 packages, 20 each", "./internal/advisory", "BenchmarkFindings300", 0},
	}
}

// runs of each benchmark; the median counts.
const benchRuns = 3

// measureGo runs the benchmarks one after the other; goTool is the go command, root the module's directory.
func measureGo(ctx context.Context, goTool, root string) ([]Measure, error) {
	var all []Measure
	for _, b := range goBenchmarks() {
		out, err := runBenchmark(ctx, goTool, root, b.function, b.pkg)
		if err != nil {
			return nil, err
		}
		took, err := perOperation(out, b.function)
		if err != nil {
			return nil, fmt.Errorf("%s in %s: %w\n%s", b.function, b.pkg, err, out)
		}
		ms := median(took) / 1e6
		if b.limit > 0 {
			all = append(all, atMost(b.limit, b.measure, ms, "ms"))
		} else {
			all = append(all, known(b.measure, ms, "ms"))
		}
	}
	return all, nil
}

// runBenchmark returns what go test prints of one benchmark of a package. One with Postgres in its name is given a server.
func runBenchmark(ctx context.Context, goTool, root, function, pkg string, flags ...string) ([]byte, error) {
	args := append([]string{goTool, "test", "-run", "^$", "-bench", "^" + function + "$", "-count", strconv.Itoa(benchRuns)}, flags...)
	if strings.Contains(function, "Postgres") {
		args = append([]string{"scripts/with-postgres"}, args...)
	}
	args = append(args, pkg)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) // #nosec G204 -- our own benchmarks
	cmd.Dir = root
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return out, nil
}

// perOperation finds the nanoseconds an operation of one benchmark in what go test prints:
//
//	BenchmarkAffected10k-2   	    1804	    657226 ns/op
func perOperation(out []byte, function string) ([]float64, error) {
	var all []float64
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		if len(f) < 4 || f[3] != "ns/op" {
			continue
		}
		if name, _, _ := strings.Cut(f[0], "-"); name != function {
			continue
		}
		ns, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			return nil, err
		}
		all = append(all, ns)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no result of %s", function)
	}
	return all, nil
}
