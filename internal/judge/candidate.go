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
func (j *Judge) Candidate(ctx context.Context, b catalog.Base, digest, before string) (*store.Verdict, error) {
	inv, err := j.Inventory(ctx, b.Name, b.Image+"@"+digest, b.Platform)
	if err != nil {
		return nil, err
	}
	g, err := j.ground(ctx)
	if err != nil {
		return nil, err
	}
	hash, err := g.hash()
	if err != nil {
		return nil, err
	}
	subject := policy.Subject{Image: b.Name, Kind: string(graph.Base)}
	if b.Context == "" { // an application's image that we build
		subject.Kind = string(graph.Application)
	}
	on := basis(hash, j.world(), subject)
	var old *inventory.Inventory
	var was *Sheet
	if before != "" {
		if old, err = j.Inventory(ctx, b.Name, b.Image+"@"+before, b.Platform); err != nil {
			return nil, fmt.Errorf("what it replaces: %w", err)
		}
		if was, err = j.sheet(ctx, g, subject, b.Image+"@"+before, old, nil); err != nil {
			return nil, err
		}
	}
	is, err := j.sheet(ctx, g, subject, b.Image+"@"+digest, inv, old)
	if err != nil {
		return nil, err
	}
	if err := j.keep(ctx, is, on); err != nil {
		return nil, err
	}
	return Summary(is, was), nil
}

const told = 20 // of each list

// Summary is what is kept of a verdict with a rollout, beside the sheet of what the digest replaces, which may be nil. What
// only a scanner finds that could say nothing of one of the two is not compared: it is neither new nor fixed.
func Summary(is, was *Sheet) *store.Verdict {
	v := &store.Verdict{
		Outcome: string(is.Verdict.Outcome), At: is.At.UnixMilli(), Policies: is.Verdict.Policies, Findings: len(is.Verdict.Findings),
		Failing: is.Verdict.Outcomes[policy.Fails], Excepted: is.Verdict.Outcomes[policy.Excepted] + is.Verdict.Outcomes[policy.NotAffected], Unknown: is.Verdict.Unknown,
	}
	if was == nil {
		for _, f := range is.Verdict.Findings {
			if f.Outcome == policy.Fails {
				block(v, f.Finding)
			}
		}
		v.Unknown = atMost(v.Unknown)
		return v
	}
	change, unknown := compare(was, is)
	v.Compared = compared(change, was.Subject.Digest)
	fails := map[string]bool{}
	for _, f := range is.Verdict.Findings {
		if f.Outcome == policy.Fails {
			fails[identity(f.Finding)] = true
		}
	}
	for _, f := range change.New {
		if fails[identity(f)] {
			block(v, f)
		}
	}
	v.Unknown = append(slices.Clip(v.Unknown), unknown...)
	v.Unknown = atMost(v.Unknown)
	return v
}

// block takes down a finding that forbids a promotion.
func block(v *store.Verdict, f policy.Finding) {
	if v.BlockingCount++; len(v.Blocking) < told {
		v.Blocking = append(v.Blocking, Words(f))
	}
}

// silent are the scanners that could say nothing of one of some images.
func silent(sheets ...*Sheet) (names []string) {
	for _, s := range sheets {
		for _, src := range s.Sources {
			if !src.Again.IsZero() && !slices.Contains(names, src.Name) {
				names = append(names, src.Name)
			}
		}
	}
	return names
}

// heard are the findings that not only those have found.
func heard(s *Sheet, dumb []string) []policy.Finding {
	return slices.DeleteFunc(s.Findings(), func(f policy.Finding) bool {
		return len(f.FoundBy) > 0 && !slices.ContainsFunc(f.FoundBy, func(by string) bool { return !slices.Contains(dumb, by) })
	})
}

// atMost are the first sentences of what may be many.
func atMost(all []string) []string {
	if len(all) <= told {
		return all
	}
	return append(all[:told-1:told-1], fmt.Sprintf("%d more things", len(all)-told+1))
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
		if len(out.FixedIDs) < told && !slices.Contains(out.FixedIDs, f.ID) {
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

// keep writes a verdict down as the last on its digest, with its basis. A change of outcome is in the audit log, with the rule
// that makes it.
func (j *Judge) keep(ctx context.Context, s *Sheet, basis string) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	k := store.Judgement{Digest: s.Subject.Digest, Image: s.Subject.Image, Outcome: string(s.Verdict.Outcome), Basis: basis, At: s.At.UnixMilli(),
		Tally: tally(s.Verdict), Uses: uses(s.Verdict), Body: string(body)}
	if !s.next.IsZero() {
		k.Next = s.next.UnixMilli()
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
