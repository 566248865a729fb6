package main

import (
	"context"
	"fmt"
)

// measureSchedule is how near the pool's line brings a thousand builds to what no order of them can beat.
func measureSchedule(ctx context.Context, goTool, root string) ([]Measure, error) {
	const function = "BenchmarkMakespan"
	out, err := runBenchmark(ctx, goTool, root, function, "./internal/build", "-benchtime", "1x")
	if err != nil {
		return nil, err
	}
	const least = "1,000 simulated builds on 2 to 32 workers, to max(critical path, work / workers)"
	worst := map[string]float64{}
	for _, how := range []string{"Priority", "Arrival"} {
		all, err := reported(out, function+"/"+how, "times")
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", function, err, out)
		}
		worst[how] = median(all)
	}
	return []Measure{
		atMost(1.05, least+", worst of five shapes", worst["Priority"], "times"),
		known("the same, in order of arrival", worst["Arrival"], "times"),
	}, nil
}
