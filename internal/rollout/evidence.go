package rollout

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/coexist"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/plan"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// Comparer is a Judge that can say what became of an image's findings.
type Comparer interface {
	// Between judges two digests of a base by what is known now, and compares them. It keeps nothing.
	Between(ctx context.Context, b catalog.Base, before, after string) (policy.Replacement, error)
}

// words gathers what there is to say of a change, and says it. stuck are the references that it leaves as they are, each with
// the reason.
func (r *Runner) words(ctx context.Context, t Turn, app catalog.Application, facts []plan.Application, lines []line, stuck []string, wants map[string]string) (text, error) {
	q := r.store.Q()
	ro, err := store.GetRollout(ctx, q, t.Rollout)
	if err != nil {
		return text{}, err
	}
	nodes, err := store.Nodes(ctx, q, t.Rollout)
	if err != nil {
		return text{}, err
	}
	c := r.catalog()
	l := letter{Application: app.Name, Rollout: ro, Catalog: c.SHA256, Lines: lines, Stuck: stuck, Bots: botsOf(facts, lines), Advise: app.Proposals.WithBots == catalog.TakeOver,
		AutoMerge: app.AutoMerge != catalog.MergeNever, Controls: hears(c), Paces: pacesOf(app.Proposals)}
	for _, i := range app.Images {
		l.Images = append(l.Images, i.Name)
	}
	if l.Siblings, err = siblingsOf(ctx, q, app, ro.ID, nodes); err != nil {
		return text{}, err
	}
	for _, name := range basesOf(lines) {
		b, err := r.newBase(ctx, nodes, name, wants[name], pinnedBy(lines, name))
		if err != nil {
			return text{}, err
		}
		l.Bases = append(l.Bases, b)
	}
	if l.Failing, err = r.failing(ctx, l); err != nil {
		return text{}, err
	}
	l.Due, err = r.due(ctx, nodes, l)
	return l.text(), err
}

// hears says that the forge tells the daemon what people tick and write.
func hears(c *catalog.Catalog) bool {
	return c.Forge.WebhookSecretEnv != "" || slices.ContainsFunc(c.Webhooks, func(w catalog.Webhook) bool { return w.Kind == catalog.FromGitHub })
}

// pacesOf says how often this may move, and when the next one may come.
func pacesOf(p catalog.Proposals) (out []string) {
	if p.PushesPerHour > 0 {
		out = append(out, fmt.Sprintf("Branches of this repository are pushed to at most %s an hour.", times(p.PushesPerHour)))
	}
	if p.CoolDown > 0 {
		out = append(out, fmt.Sprintf("After you close it, nothing newer is proposed for %s, unless it is critical.", lasting(p.CoolDown)))
	}
	return out
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// lasting is a time as people say it: "7 days", "36h".
func lasting(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "a day"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	s := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func basesOf(lines []line) []string {
	var names []string
	for _, l := range lines {
		names = append(names, l.Base)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// rival is another bot that updates lines which a pull request changes, or may.
type rival struct {
	coexist.Answer
	Lines []string // "Dockerfile:3"
}

// botsOf are the other bots of the lines, each with the lines of one image.
func botsOf(facts []plan.Application, lines []line) (out []rival) {
	for _, f := range facts {
		for _, ref := range f.References {
			if !slices.ContainsFunc(lines, func(l line) bool { return l.File == ref.File && l.Base == ref.Base }) || ref.Left {
				continue
			}
			at := fmt.Sprintf("%s:%d", ref.File, ref.Line)
			for _, a := range ref.Bots {
				i := slices.IndexFunc(out, func(r rival) bool { return r.Answer == a })
				if i < 0 {
					i = len(out)
					out = append(out, rival{Answer: a})
				}
				if !slices.Contains(out[i].Lines, at) {
					out[i].Lines = append(out[i].Lines, at)
				}
			}
		}
	}
	return out
}

// pinnedBy is the digest by which the lines name a base, when they all name the same one.
func pinnedBy(lines []line, base string) (digest string) {
	for _, l := range lines {
		_, d, _ := strings.Cut(l.From, "@")
		if l.Base == base && digest != "" && d != digest {
			return ""
		}
		if l.Base == base {
			digest = d
		}
	}
	return digest
}

// siblings counts the others that the same rollout tells.
type siblings struct {
	Images, Proven      int // images of other applications, and those that stood on their new base by their layers
	Told, Merged, Taken int // pull requests to other applications: open or over, merged, merged and taken back
}

func siblingsOf(ctx context.Context, q store.Querier, app catalog.Application, rollout string, nodes []store.Node) (s siblings, err error) {
	for _, n := range nodes {
		if n.Kind != string(graph.Application) || slices.ContainsFunc(app.Images, func(i catalog.ApplicationImage) bool { return i.Name == n.Image }) {
			continue
		}
		s.Images++
		if n.State == store.Done && n.Detail.Proven {
			s.Proven++
		}
	}
	all, err := store.Proposals(ctx, q, rollout)
	for _, p := range all {
		if p.Application == app.Name || p.Number == 0 {
			continue
		}
		s.Told++
		if p.MergedAt > 0 {
			s.Merged++
		}
		if p.MergedAt > 0 && p.State == store.ProposalClosed {
			s.Taken++
		}
	}
	return s, err
}

// newBase is a base that an application is to stand on.
type newBase struct {
	Name    string
	Digest  string
	Owner   string
	Lineage []string    // what it stands on, the farthest first; empty when that is not known
	Node    *store.Node // what a rollout did to it; nil when that is not known
	Earlier string      // the rollout that did, when it is another one
	Built   int64       // when; 0: that is not known
	Change  *difference // from what the reader has; nil when nothing is known of one of the two
	// Attached names the documents that are beside it in its registry.
	Attached []string
}

// difference is what is another from one digest of a base to the next.
type difference struct {
	From     string // digest
	Pinned   bool   // it is what the reader's Dockerfile names; else what the base was before its last build
	Built    int64  // when From was built; 0: that is not known
	Recipe   recipe
	Packages []store.Change
	Settings []inventory.Setting
	Judged   *policy.Replacement // nil: nobody judged
}

// recipe says whether two digests are of one recipe.
type recipe int

const (
	recipeUnknown recipe = iota
	recipeSame
	recipeChanged
)

func (r *Runner) newBase(ctx context.Context, nodes []store.Node, name, digest, from string) (newBase, error) {
	q := r.store.Q()
	b := newBase{Name: name, Digest: digest, Lineage: r.facts.Lineage(r.catalog(), name)}
	of, f := r.base(name)
	if f != nil {
		return b, f
	}
	b.Owner = of.Owner
	if err := b.promotedBy(ctx, q, nodes); err != nil {
		return b, err
	}
	built, found, err := store.BuildOf(ctx, q, name, digest)
	if err != nil {
		return b, err
	}
	if found {
		b.Built = built.Ended
	}
	if b.Node != nil && r.cfg.Gates.Documents != nil {
		b.Attached = []string{"SBOM (CycloneDX and SPDX)"}
		if p, err := store.GetProvenance(ctx, q, built.ID); err == nil && len(p) > 0 {
			b.Attached = append(b.Attached, "provenance (SLSA)")
		}
	}
	if b.Node != nil && b.Earlier == "" && r.cfg.Gates.Signer != nil {
		b.Attached = append(b.Attached, "its signature")
	}
	b.Change, err = r.difference(ctx, of, b, from, built)
	return b, err
}

const rolloutsBack = 20 // that are looked at for the one that promoted a digest

// promotedBy finds what a rollout did to the base: this one, or the last one that promoted the digest.
func (b *newBase) promotedBy(ctx context.Context, q store.Querier, nodes []store.Node) error {
	ours := func(n store.Node) bool { return n.Image == b.Name && n.State == store.Done && n.After == b.Digest }
	if i := slices.IndexFunc(nodes, ours); i >= 0 {
		b.Node = &nodes[i]
		return nil
	}
	last, err := store.LastNodes(ctx, q, b.Name, rolloutsBack)
	if i := slices.IndexFunc(last, ours); err == nil && i >= 0 {
		b.Node, b.Earlier = &last[i], last[i].Rollout
	}
	return err
}

// difference compares with the digest that the reader's Dockerfile names, or, when nothing is known of that, with what the
// base was before its last build.
func (r *Runner) difference(ctx context.Context, of catalog.Base, b newBase, from string, built store.Build) (*difference, error) {
	q := r.store.Q()
	after, known, err := store.GetInventory(ctx, q, b.Digest)
	if err != nil || !known {
		return nil, err
	}
	d := &difference{From: from, Pinned: true}
	before, known, err := store.GetInventory(ctx, q, from)
	if err != nil {
		return nil, err
	}
	if !known && b.Node != nil {
		d.From, d.Pinned = b.Node.Before, false
		if before, known, err = store.GetInventory(ctx, q, b.Node.Before); err != nil {
			return nil, err
		}
	}
	if !known {
		return nil, nil
	}
	d.Packages, d.Settings = changes(before, after), inventory.Settings(before, after)
	was, found, err := store.BuildOf(ctx, q, b.Name, d.From)
	if err != nil {
		return nil, err
	}
	if found {
		d.Built = was.Ended
	}
	if found && was.Detail.Recipe != "" && built.Detail.Recipe != "" {
		d.Recipe = recipeSame
		if was.Detail.Recipe != built.Detail.Recipe {
			d.Recipe = recipeChanged
		}
	}
	d.Judged, err = r.replaced.of(ctx, r.cfg, of, d.From, b.Digest)
	return d, err
}

// replacements keeps what was made of two digests for a while: many applications are told of the same ones.
type replacements struct {
	mu   sync.Mutex
	kept map[string]replaced
}

type replaced struct {
	at time.Time
	is *policy.Replacement
}

const (
	replacedFor = 10 * time.Minute // new advisories are told soon enough
	maxReplaced = 64
)

func (m *replacements) of(ctx context.Context, cfg Config, b catalog.Base, before, after string) (*policy.Replacement, error) {
	j, ok := cfg.Gates.Judge.(Comparer)
	if !ok {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key, now := b.Name+" "+before+" "+after, cfg.Now()
	if k, ok := m.kept[key]; ok && now.Sub(k.at) < replacedFor {
		return k.is, nil
	}
	is, err := j.Between(ctx, b, before, after)
	if err != nil {
		return nil, fmt.Errorf("compare %s with %s: %w", short(after), short(before), err)
	}
	if m.kept == nil || len(m.kept) >= maxReplaced {
		m.kept = map[string]replaced{}
	}
	m.kept[key] = replaced{now, &is}
	return &is, nil
}

// failing are the last lines of the trials of the reader's application that failed, by the build's id.
func (r *Runner) failing(ctx context.Context, l letter) (map[string][]string, error) {
	out := map[string][]string{}
	for _, t := range l.trials() {
		if t.Outcome != store.TrialFailed && t.Outcome != store.TrialBroken || t.Build == "" {
			continue
		}
		b, err := store.GetBuild(ctx, r.store.Q(), t.Build)
		if err != nil {
			return nil, err
		}
		out[t.Build] = b.Detail.LogTail
	}
	return out, nil
}

// due is when a policy fails the reader's application for what the change would fix.
type due struct {
	Policy string // empty: none does
	ID     string // of the finding
	Others int    // findings that are due as well
	At     time.Time
	Now    bool
}

// due is what the last verdicts on the images of the application say.
func (r *Runner) due(ctx context.Context, nodes []store.Node, l letter) (due, error) {
	fixed := l.fixed()
	var all []policy.Judged
	for _, n := range nodes {
		if !slices.Contains(l.Images, n.Image) || n.Before == "" || len(fixed) == 0 {
			continue
		}
		k, found, err := store.GetJudgement(ctx, r.store.Q(), n.Before)
		if err != nil || !found {
			return due{}, err
		}
		var sheet struct{ Verdict policy.Verdict }
		if err := json.Unmarshal([]byte(k.Body), &sheet); err != nil {
			return due{}, fmt.Errorf("stored verdict on %s: %w", n.Before, err)
		}
		all = append(all, sheet.Verdict.Findings...)
	}
	return dueOf(all, fixed), nil
}

// dueOf finds what fails first of the vulnerabilities that are fixed.
func dueOf(all []policy.Judged, fixed []policy.Finding) (d due) {
	ids := map[string]bool{}
	for _, f := range fixed {
		ids[f.ID] = true
	}
	all = slices.DeleteFunc(slices.Clone(all), func(f policy.Judged) bool {
		return f.Kind != policy.Vulnerability || !ids[f.ID] || f.Outcome != policy.Fails && (f.Outcome != policy.Grace || f.Until.IsZero())
	})
	slices.SortStableFunc(all, func(a, b policy.Judged) int {
		return cmp.Or(failsAt(a).Compare(failsAt(b)), cmp.Compare(a.ID, b.ID))
	})
	all = slices.CompactFunc(all, func(a, b policy.Judged) bool { return a.ID == b.ID })
	if len(all) == 0 {
		return d
	}
	first := all[0]
	d = due{Policy: first.Policy, ID: first.ID, At: first.Until, Now: first.Outcome == policy.Fails}
	for _, f := range all[1:] {
		if f.Outcome == first.Outcome && (d.Now || f.Until.Equal(d.At)) {
			d.Others++
		}
	}
	return d
}

// failsAt is when a finding fails; zero: it does.
func failsAt(f policy.Judged) time.Time {
	if f.Outcome == policy.Fails {
		return time.Time{}
	}
	return f.Until
}
