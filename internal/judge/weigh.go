package judge

import (
	"context"
	"maps"
	"slices"
	"strings"

	"rebuilder/internal/policy"
)

// Weigher says what becomes of findings in an image, one for each, in their order. What a policy has switched off has no Outcome.
type Weigher func(s policy.Subject, findings []policy.Finding) []policy.Judged

// Weigh returns what weighs vulnerabilities that are called by some names, by the policies, exceptions and statements of now.
// It looks into no image, so that it can be asked for each of a fleet.
func (j *Judge) Weigh(ctx context.Context, names []string) (Weigher, error) {
	c, now := j.Catalog(), j.Now().UTC()
	exceptions, err := j.exceptions(ctx, c)
	if err != nil {
		return nil, err
	}
	called := map[string]bool{}
	for _, n := range names {
		called[strings.ToUpper(n)] = true
	}
	about := func(name string) bool { return called[strings.ToUpper(name)] }
	in := policy.Input{Policies: policiesOf(c), Now: now, Exceptions: slices.DeleteFunc(exceptions, func(e policy.Exception) bool { return !about(e.Finding) })}
	if j.Statements != nil {
		all, _ := j.Statements.Statements(ctx)
		for _, s := range all {
			if about(s.Vulnerability) || slices.ContainsFunc(s.Aliases, about) {
				in.VEX = append(in.VEX, s)
			}
		}
	}
	named := maps.Collect(sayings(c))
	return func(s policy.Subject, findings []policy.Finding) []policy.Judged {
		in := in
		in.Subject = named[s.Image].of(s)
		out := make([]policy.Judged, len(findings))
		for i, f := range findings {
			out[i] = policy.Judged{Finding: f}
			in.Findings = findings[i : i+1]
			if v := policy.Judge(in); len(v.Findings) == 1 {
				out[i] = v.Findings[0]
			}
		}
		return out
	}, nil
}
