package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// measureGraph is what the graph of 100,000 images takes in memory.
func measureGraph(ctx context.Context, goTool, root string) ([]Measure, error) {
	const function = "BenchmarkHeap100k"
	out, err := runBenchmark(ctx, goTool, root, function, "./internal/graph", "-benchtime", "1x")
	if err != nil {
		return nil, err
	}
	held, err := reported(out, function, "MB")
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", function, err, out)
	}
	return []Measure{atMost(200, "graph of 100,000 images with 1,000,000 edges, in memory", median(held), "MB")}, nil
}

// reported finds what a benchmark reports itself, in what go test prints:
//
//	BenchmarkHeap100k-2   	       1	 926314285 ns/op	       158.3 MB
func reported(out []byte, function, unit string) (all []float64, err error) {
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		if len(f) == 0 {
			continue
		}
		if name, _, _ := strings.Cut(f[0], "-"); name != function {
			continue
		}
		for i := 1; i < len(f); i++ {
			if f[i] != unit {
				continue
			}
			v, err := strconv.ParseFloat(f[i-1], 64)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s reports no %s", function, unit)
	}
	return all, nil
}
