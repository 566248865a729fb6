package judge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// Candidate judges a digest of a base that is to take the place of before, which is empty when there is none. What fails in
// both forbids nothing: not to promote it would keep the worse one.
func (j *Judge) Candidate(ctx context.Context, _ *catalog.Catalog, b catalog.Base, digest, before string) (*store.Verdict, error) {
	inv, err := j.Inventory(ctx, b.Name, b.Image+"@"+digest, b.Platform)
	if err != nil {
		return nil, err
	}
	subject := policy.Subject{Image: b.Name, Kind: string(graph.Base)}
	var old *inventory.Inventory
	var was *Sheet
	if before != "" {
		if old, err = j.Inventory(ctx, b.Name, b.Image+"@"+before, b.Platform); err != nil {
			return nil, fmt.Errorf("what it replaces: %w", err)
		}
		if was, err = j.sheet(ctx, subject, b.Image+"@"+before, old, nil); err != nil {
			return nil, err
		}
	}
	is, err := j.sheet(ctx, subject, b.Image+"@"+digest, inv, old)
	if err != nil {
		return nil, err
	}
	if err := j.Keep(ctx, is); err != nil {
		return nil, err
	}
	return Summary(is, was), nil
}

const toldIDs = 20 // of what was fixed

// Summary is what is kept of a verdict with a rollout, beside the sheet of what the digest replaces, which may be nil.
func Summary(is, was *Sheet) *store.Verdict {
	v := &store.Verdict{
		Outcome: string(is.Verdict.Outcome), At: is.At.UnixMilli(), Policies: is.Verdict.Policies, Findings: len(is.Verdict.Findings),
		Failing: is.Verdict.Outcomes[policy.Fails], Excepted: is.Verdict.Outcomes[policy.Excepted] + is.Verdict.Outcomes[policy.NotAffected], Unknown: is.Verdict.Unknown,
	}
	if was == nil {
		for _, f := range is.Verdict.Findings {
			if f.Outcome == policy.Fails {
				v.Blocking = append(v.Blocking, Words(f.Finding))
			}
		}
		return v
	}
	change := policy.Compare(was.Findings(), is.Findings())
	v.Compared = compared(change, was.Subject.Digest)
	fails := map[string]bool{}
	for _, f := range is.Verdict.Findings {
		if f.Outcome == policy.Fails {
			fails[identity(f.Finding)] = true
		}
	}
	for _, f := range change.New {
		if fails[identity(f)] {
			v.Blocking = append(v.Blocking, Words(f))
		}
	}
	return v
}

func identity(f policy.Finding) string {
	return fmt.Sprintf("%s %s %s %s %s %s %d", f.Kind, f.ID, f.Type, f.Package, f.Version, f.Path, f.Line)
}

// compared counts vulnerabilities.
func compared(c policy.Comparison, before string) *store.Compared {
	out := &store.Compared{Before: before, Severities: map[policy.Severity]int{}}
	for _, f := range c.Fixed {
		if f.Kind != policy.Vulnerability {
			continue
		}
		out.Fixed++
		out.Severities[f.Severity]++
		if len(out.FixedIDs) < toldIDs && !slices.Contains(out.FixedIDs, f.ID) {
			out.FixedIDs = append(out.FixedIDs, f.ID)
		}
	}
	out.New, out.Remaining = count(c.New), count(c.Remaining)
	return out
}

func count(all []policy.Finding) (n int) {
	for _, f := range all {
		if f.Kind == policy.Vulnerability {
			n++
		}
	}
	return n
}

// Words names a finding in a sentence: "CVE-2026-1234 in libssl3 3.0.20 (fixed in 3.0.22)", "root-user".
func Words(f policy.Finding) string {
	switch {
	case f.Kind == policy.Vulnerability && f.FixedIn != "":
		return fmt.Sprintf("%s in %s %s (fixed in %s)", f.ID, f.Package, f.Version, f.FixedIn)
	case f.Kind == policy.Vulnerability:
		return fmt.Sprintf("%s in %s %s", f.ID, f.Package, f.Version)
	case f.Path != "":
		return fmt.Sprintf("%s: %s", f.ID, f.Path)
	case f.Package != "":
		return fmt.Sprintf("%s: %s", f.ID, f.Package)
	}
	return f.ID
}

// Keep writes a verdict down as the last on its digest. A change of outcome is in the audit log, with the rule that makes it.
func (j *Judge) Keep(ctx context.Context, s *Sheet) error {
	state, err := j.State(ctx)
	if err != nil {
		return err
	}
	return j.keep(ctx, s, state)
}

func (j *Judge) keep(ctx context.Context, s *Sheet, state string) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	k := store.Judgement{Digest: s.Subject.Digest, Image: s.Subject.Image, Outcome: string(s.Verdict.Outcome), Basis: state, At: s.At.UnixMilli(),
		Tally: tally(s.Verdict), Uses: uses(s.Verdict), Body: string(body)}
	if !s.Verdict.Next.IsZero() {
		k.Next = s.Verdict.Next.UnixMilli()
	}
	return j.Store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		before, err := store.SaveJudgement(ctx, q, k)
		if err != nil || before == k.Outcome {
			return err
		}
		return store.Audit(ctx, q, store.Event{At: k.At, Actor: "rebuilder", Kind: "automation", Rule: ruleOf(s.Verdict), Action: "verdict " + k.Outcome, Object: k.Image, Detail: k.Digest})
	})
}

// tally counts a verdict's findings, in the order in which the kinds of them come first.
func tally(v policy.Verdict) (out []store.Tally) {
	at := map[store.Tally]int{}
	for _, f := range v.Findings {
		like := store.Tally{Kind: f.Kind, Severity: f.Severity, Outcome: f.Outcome, Fixable: f.FixedIn != ""}
		i, ok := at[like]
		if !ok {
			i = len(out)
			at[like], out = i, append(out, like)
		}
		out[i].Count++
	}
	return out
}

// uses counts what each exception does to a verdict's findings, or would, in the order in which they come first.
func uses(v policy.Verdict) (out []store.ExceptionUse) {
	at := map[string]int{}
	use := func(e *policy.Exception) *store.ExceptionUse {
		i, ok := at[e.ID]
		if !ok {
			i = len(out)
			at[e.ID], out = i, append(out, store.ExceptionUse{Exception: e.ID})
		}
		return &out[i]
	}
	for _, f := range v.Findings {
		if f.Outcome == policy.Excepted && f.Exception != nil {
			use(f.Exception).Excuses++
		}
		for _, e := range []*policy.Exception{f.Expired, f.Asked} {
			if e != nil {
				use(e).Would++
			}
		}
	}
	return out
}

func ruleOf(v policy.Verdict) string {
	if len(v.Policies) == 0 {
		return "no policy"
	}
	return "policy " + v.Policies[len(v.Policies)-1]
}
