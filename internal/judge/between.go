package judge

import (
	"context"
	"fmt"
	"slices"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/policy"
)

// Between judges two digests of a base by what is known now, and says what became of the findings of the first. Nothing of it
// is kept.
func (j *Judge) Between(ctx context.Context, b catalog.Base, before, after string) (policy.Replacement, error) {
	g, err := j.ground(ctx)
	if err != nil {
		return policy.Replacement{}, err
	}
	judged := func(digest string) (*Sheet, error) {
		ref := b.Image + "@" + digest
		inv, err := j.Inventory(ctx, b.Name, ref, b.Platform)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		return j.sheet(ctx, g, policy.Subject{Image: b.Name, Kind: string(graph.Base)}, ref, inv, nil)
	}
	was, err := judged(before)
	if err != nil {
		return policy.Replacement{}, err
	}
	is, err := judged(after)
	if err != nil {
		return policy.Replacement{}, err
	}
	out := policy.Replacement{Was: was.Verdict, Is: is.Verdict}
	out.Findings, out.Unknown = compare(was, is)
	out.Unknown = slices.Concat(is.Verdict.Unknown, out.Unknown)
	return out, nil
}

// compare says what became of findings. What only a scanner finds that could say nothing of one of the two is not compared:
// it is neither new nor fixed, and unknown says so where the verdict does not.
func compare(was, is *Sheet) (c policy.Comparison, unknown []string) {
	dumb := silent(is, was)
	for _, name := range dumb {
		if !slices.Contains(silent(is), name) {
			unknown = append(unknown, "what "+name+" alone finds is not compared: it could say nothing of the image before")
		}
	}
	return policy.Compare(heard(was, dumb), heard(is, dumb)), unknown
}
