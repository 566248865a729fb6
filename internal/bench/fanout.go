package main

import (
	"context"
	"fmt"
)

// measureFanOut tells 500 repositories under GitHub's limits, on a virtual clock. The benchmark fails when the forge
// refuses anything, or when an urgent pull request waits behind another.
func measureFanOut(ctx context.Context, c config, say func(string)) ([]Measure, error) {
	say("opening 500 pull requests on a virtual clock")
	const function = "BenchmarkFanOut500"
	out, err := runBenchmark(ctx, c.goTool, c.root, function, "./internal/line", "-benchtime", "1x", "-count", "1")
	if err != nil {
		return nil, err
	}
	value := map[string]float64{}
	for _, unit := range []string{"minutes", "refused", "early", "writes/one-file", "writes/others", "writes/minute", "writes/hour"} {
		all, err := reported(out, function, unit)
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", function, err, out)
		}
		value[unit] = median(all)
	}
	const what = "500 pull requests under GitHub's limits, "
	return []Measure{
		atMost(195, what+"on a virtual clock", value["minutes"], "min"),
		atMost(0, what+"refused requests", value["refused"], "requests"),
		atMost(3, what+"writes for one that changes one file", value["writes/one-file"], "writes"),
		atMost(4, what+"writes for one that changes more", value["writes/others"], "writes"),
		atMost(0, what+"opened before an urgent one that waited", value["early"], "pull requests"),
		atMost(60, what+"writes in the fullest minute", value["writes/minute"], "writes"),
		atMost(400, what+"writes in the fullest hour", value["writes/hour"], "writes"),
	}, nil
}
