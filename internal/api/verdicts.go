package api

import (
	"context"
	"fmt"
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// Judged is the last verdict on what an image is now.
type Judged struct {
	Outcome  string    `json:"outcome"` // pass, fail or unknown
	JudgedAt time.Time `json:"judged_at"`
	Since    time.Time `json:"since"` // since when the outcome is this one
	Findings int       `json:"findings"`
	Fails    int       `json:"fails"` // of Findings
}

// Verdicts counts the last verdicts on the images that the catalog names. Pass, Fail, Unknown and NotJudged add up to Images.
type Verdicts struct {
	Images    int       `json:"images"`
	Pass      int       `json:"pass"`
	Fail      int       `json:"fail"`
	Unknown   int       `json:"unknown"` // they are enforced, and not all could be looked for
	NotJudged int       `json:"not_judged"`
	Oldest    time.Time `json:"oldest,omitzero"` // when the oldest of them was made
}

// verdicts returns what is kept of the verdicts on images, by digest.
func (r *Reader) verdicts(ctx context.Context, images []Image) (map[string]store.Judgement, error) {
	var digests []string
	for _, i := range images {
		if i.Digest != "" {
			digests = append(digests, i.Digest)
		}
	}
	return store.JudgedOf(ctx, r.Store.Q(), digests)
}

func judgedOf(k store.Judgement) *Judged {
	out := &Judged{Outcome: k.Outcome, JudgedAt: at(k.At), Since: at(k.Since)}
	for _, t := range k.Tally {
		out.Findings += t.Count
		if t.Outcome == policy.Fails {
			out.Fails += t.Count
		}
	}
	return out
}

func verdictsOf(images []Image, judged map[string]store.Judgement) (v Verdicts) {
	for _, i := range images {
		if !i.declared() {
			continue
		}
		v.Images++
		k, ok := judged[i.Digest]
		if ok && (v.Oldest.IsZero() || at(k.At).Before(v.Oldest)) {
			v.Oldest = at(k.At)
		}
		switch policy.VerdictOutcome(k.Outcome) {
		case policy.Pass:
			v.Pass++
		case policy.Fail:
			v.Fail++
		case policy.Undecided:
			v.Unknown++
		default:
			v.NotJudged++
		}
	}
	return v
}

// failing are the bases that fail and for which nothing is under way: who keeps one can change it, or ask for an exception.
// What an application fails for is its owner's, and is in the list of images.
func failing(images []Image, judged map[string]store.Judgement) (out []Need) {
	for _, i := range images {
		k := judged[i.Digest]
		if i.Kind != string(graph.Base) || i.State != Current || k.Outcome != string(policy.Fail) {
			continue
		}
		j := judgedOf(k)
		who := i.Owner
		if who == "" {
			who = "who keeps its recipe"
		}
		out = append(out, Need{What: i.Name, State: k.Outcome, Reason: fmt.Sprintf("its policies let %d of %s fail%s", j.Fails, Count(j.Findings, "finding"), fixable(k)), Since: j.Since, Who: who, Command: "rebuilder verify " + i.Name})
	}
	return out
}

// fixable says for how many of the vulnerabilities that fail there is a fix.
func fixable(k store.Judgement) string {
	all, fixes := 0, 0
	for _, t := range k.Tally {
		if t.Kind == policy.Vulnerability && t.Outcome == policy.Fails {
			all += t.Count
			if t.Fixable {
				fixes += t.Count
			}
		}
	}
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("; there is a fix for %d of %s", fixes, Count(all, "vulnerability"))
}
