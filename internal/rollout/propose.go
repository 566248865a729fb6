package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"rebuilder/internal/catalog"
	"rebuilder/internal/dockerfile"
	"rebuilder/internal/durable"
	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// message is what an application is told in one turn.
type message struct {
	turn  Turn
	app   catalog.Application
	facts []plan.Application // of its images, in their order
	stuck []string           // what cannot be read or rewritten, each with the reason
	wants map[string]string  // base -> digest, of all that it names
}

// part is what one pull request, or one dispatch, tells: a base line, or all of them.
type part struct {
	key    string // of the proposal in the store
	line   string // what the pull request is known by on the forge
	wants  map[string]string
	change change
}

// change is what a pull request changes.
type change struct {
	files map[string][]byte
	lines []line
	stuck []string
}

// outcome is what became of telling an application: its first proposal, and what is to be said beside it.
type outcome struct {
	store.Proposal
	All    map[string]string // what it was told of in all its proposals
	Notes  []string
	Partly *failure // why it was not told of all
}

// parts are the pull requests that an application gets: one for each base line that is to change, or one for all, and those
// that it got earlier in the rollout. An application whose recipe is as wanted gets one without a change: only its image is
// missing.
func (r *Runner) parts(ctx context.Context, m *message, key string) ([]part, error) {
	repo := m.app.Repository + " " + m.app.Branch
	all, err := r.rewrite(ctx, m, m.wants)
	if err != nil {
		return nil, err
	}
	if m.app.Proposals.OnePerRepository {
		return []part{{key: key, line: repo, wants: m.wants, change: all}}, nil
	}
	if len(m.wants) == 1 {
		for base := range m.wants {
			return []part{{key: key, line: repo + " " + r.lineOf(base), wants: m.wants, change: all}}, nil
		}
	}
	rest := maps.Clone(m.wants)
	var parts []part
	for _, base := range basesOf(all.lines) {
		p := part{key: key + " " + base, line: repo + " " + r.lineOf(base), wants: map[string]string{base: m.wants[base]}}
		if p.change, err = r.rewrite(ctx, m, p.wants); err != nil {
			return nil, err
		}
		delete(rest, base)
		parts = append(parts, p)
	}
	if parts, err = r.earlier(ctx, m, repo, parts); err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		return []part{{key: key, line: repo, wants: m.wants, change: all}}, nil
	}
	if parts[0].change.files != nil {
		maps.Copy(parts[0].wants, rest) // those that are named as wanted already: the images are to stand on them, too
	}
	return parts, nil
}

// earlier adds to parts those that the application was told of before in the rollout, and whose change is merged by now.
func (r *Runner) earlier(ctx context.Context, m *message, repo string, parts []part) ([]part, error) {
	rows, err := store.Proposals(ctx, r.store.Q(), m.turn.Rollout)
	if err != nil {
		return nil, err
	}
	for _, p := range rows {
		again := slices.ContainsFunc(parts, func(o part) bool { return o.key == p.Key })
		if p.Application == m.app.Name && p.Line != "" && !again {
			parts = append(parts, part{key: p.Key, line: p.Line, wants: p.Wants})
		}
	}
	return parts, nil
}

// lineOf names a base line as people do: "base/debian:stable".
func (r *Runner) lineOf(base string) string {
	if b, f := r.base(base); f == nil {
		return base + ":" + b.Channel
	}
	return base
}

// tellAll tells each part. One that is refused does not stop the others: the outcome says so beside what was told. The
// application waits when a part is held, and fails when all of them do.
func (r *Runner) tellAll(ctx context.Context, m *message, parts []part) (outcome, error) {
	out := outcome{All: m.wants, Proposal: store.Proposal{Application: m.app.Name, Wants: m.wants}}
	told := false
	for _, part := range parts {
		p, notes, err := r.tellPart(ctx, m, part)
		var f *failure
		switch {
		case errors.As(err, &f) && f.State == store.Waiting:
			return out, f
		case f != nil && out.Partly == nil:
			out.Partly = f
		case err != nil && f == nil:
			return out, err
		case f == nil && !told:
			told, out.Proposal = true, p
		}
		out.Notes = append(out.Notes, notes...)
	}
	if !told {
		return out, out.Partly
	}
	return out, nil
}

// tellPart tells one part, unless it was told before.
func (r *Runner) tellPart(ctx context.Context, m *message, part part) (store.Proposal, []string, error) {
	p, _, err := store.GetProposal(ctx, r.store.Q(), part.key)
	if err != nil {
		return p, nil, err
	}
	if p.Key == "" {
		p = store.Proposal{Key: part.key, Rollout: m.turn.Rollout, Application: m.app.Name, Repository: m.app.Repository, Branch: m.app.Branch, Strategy: string(m.app.Strategy),
			Line: part.line, State: store.ProposalPlanned, CreatedAt: r.cfg.Now().UnixMilli()}
	}
	if p.State != store.ProposalPlanned && maps.Equal(p.Wants, part.wants) {
		return p, nil, nil
	}
	// The intent, before the effect. Of other digests than before nothing has become yet.
	p.State, p.Wants, p.Reason, p.MergedAt, p.BuiltAt, p.EndedAt = store.ProposalPlanned, part.wants, "", 0, 0, 0
	if err := store.SaveProposal(ctx, r.store.Q(), p); err != nil {
		return p, nil, err
	}
	// After the intent: what is put in quarantine from here on finds it, and takes it back.
	if f, err := r.soundWants(ctx, part.wants); err != nil || f != nil {
		return p, nil, orErr(f, err)
	}
	var notes []string
	if m.app.Strategy == catalog.Dispatch {
		err = r.dispatch(ctx, m.app, &p)
	} else {
		notes, err = r.propose(ctx, m, part, &p)
	}
	if err != nil {
		return p, notes, err
	}
	p.State, p.OpenedAt = store.ProposalOpen, r.cfg.Now().UnixMilli()
	return p, notes, store.SaveProposal(ctx, r.store.Q(), p)
}

// postpone has the application wait, and gives it another turn then.
func (r *Runner) postpone(ctx dbos.Context, t Turn, f *failure) error {
	r.hold()
	_, err := durable.Transaction(ctx, r.engine, "postpone", func(ctx context.Context, q store.Querier) (bool, error) {
		_, err := store.MoveNode(ctx, q, store.Move{Rollout: t.Rollout, Image: t.Image, To: store.Waiting, Reason: f.Reason, Next: f.Next, Who: f.Who, At: r.cfg.Now().UnixMilli(), Rule: "hold",
			Detail: func(d *store.NodeDetail) { d.HeldUntil = f.Next }})
		if err != nil {
			return false, err
		}
		_, err = store.NextAttempt(ctx, q, t.Rollout, t.Image)
		return true, err
	})
	r.cfg.Changed()
	return err
}

// propose opens or updates the pull request that pins the wanted digests of a part.
func (r *Runner) propose(ctx context.Context, m *message, part part, p *store.Proposal) (notes []string, err error) {
	app, commit := m.app, m.facts[0].Commit
	again, err := r.wayBack(ctx, part.wants)
	if err != nil {
		return nil, err
	}
	n := known(*p)
	n.Again = again
	if len(part.change.files) == 0 { // the recipe is as wanted: only its image is missing
		return nil, r.proposed(ctx, n, p)
	}
	text, err := r.words(ctx, m.turn, app, m.facts, part.change.lines, part.change.stuck, part.wants)
	if err != nil {
		return nil, err
	}
	n.Base, n.Files, n.Title, n.Body, n.Trailers = commit, part.change.files, text.Title, text.Body, text.Trailers
	n.Labels, n.Reviewers, n.Draft = app.Proposals.Labels, app.Proposals.Reviewers, app.Proposals.Draft || text.Draft
	n.Pins = map[string]string{}
	for _, base := range basesOf(part.change.lines) {
		n.Pins[base] = part.wants[base]
	}
	asked, err := r.restrain(ctx, m, &n)
	if err != nil {
		return nil, err
	}
	p.BaseCommit = commit
	if err := store.SaveProposal(ctx, r.store.Q(), *p); err != nil { // so that a repetition knows what to look for
		return nil, err
	}
	pr, err := r.forge.Propose(ctx, n)
	if err != nil {
		return nil, r.refused(app, err)
	}
	if err := r.pushed(ctx, app.Repository, pr); err != nil {
		return nil, err
	}
	p.Number, p.URL, p.Head = pr.Number, pr.URL, pr.Head
	if err := r.obeyed(ctx, asked, pr); err != nil {
		return nil, err
	}
	return pr.Notes, r.answered(ctx, m, part, pr, p)
}

// answered says what the forge's answer means, when it is not simply an open pull request.
func (r *Runner) answered(ctx context.Context, m *message, part part, pr notify.PullRequest, p *store.Proposal) error {
	switch {
	case pr.Never:
		return r.declined(ctx, p, fmt.Sprintf("pull request #%d has the label %s: nothing is proposed for this base here until it is taken off", pr.Number, notify.LabelPrefix+string(notify.Never)))
	case pr.Human && !pr.Current:
		return &failure{State: store.Blocked, Reason: fmt.Sprintf("pull request #%d has commits by somebody else; it was left alone", pr.Number), Who: "owner of " + m.app.Repository}
	case pr.State == notify.Closed:
		return r.declined(ctx, p, fmt.Sprintf("pull request #%d was closed without merging: this digest is not proposed again", pr.Number))
	case pr.State == notify.Merged && pr.Number > 0:
		return r.mergedBefore(ctx, m.app, m.facts[0].Commit, p)
	}
	return nil
}

// refused turns what the forge refuses into what the image waits for, or what a person has to do.
func (r *Runner) refused(app catalog.Application, err error) error {
	var held *notify.Held
	var no *notify.Refused
	switch {
	case errors.As(err, &held):
		return &failure{State: store.Waiting, Reason: held.Reason, Who: held.Who, Next: held.Until.UnixMilli()}
	case errors.As(err, &no):
		return &failure{State: store.Blocked, Reason: err.Error(), Who: no.Who}
	}
	return noted("propose to "+app.Repository, err)
}

// proposed finds the pull request of a try whose end was never written down, and that somebody has merged since.
func (r *Runner) proposed(ctx context.Context, n notify.Proposal, p *store.Proposal) error {
	if n.Base == "" {
		return nil // this is the first try
	}
	pr, err := r.forge.Proposed(ctx, n)
	if errors.Is(err, notify.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p.Number, p.URL, p.Head = pr.Number, pr.URL, pr.Head
	return nil
}

// mergedBefore is asked when the very change that was to be proposed has been merged, and was not there when the
// Dockerfiles were read. Either it came in between, and the pull request is what was told; or a person has taken it back.
func (r *Runner) mergedBefore(ctx context.Context, app catalog.Application, read string, p *store.Proposal) error {
	tip, err := r.forge.Head(ctx, app.Repository, app.Branch)
	if err != nil || tip != read {
		return err
	}
	return r.declined(ctx, p, fmt.Sprintf("pull request #%d was merged and taken back: this digest is not proposed again", p.Number))
}

// declined remembers that a person said no to these digests.
func (r *Runner) declined(ctx context.Context, p *store.Proposal, reason string) error {
	p.State, p.EndedAt, p.Reason = store.ProposalClosed, r.cfg.Now().UnixMilli(), reason
	if err := store.SaveProposal(ctx, r.store.Q(), *p); err != nil {
		return err
	}
	return &failure{State: store.Skipped, Reason: p.Reason}
}

// line is one reference that a pull request changes.
type line struct {
	File     string
	Line     int
	From, To string
	Base     string
}

// rewrite pins the wanted digests and touches no other byte. What cannot be read or rewritten is stuck, and stops nothing but
// itself; when all of it is, that is a failure.
func (r *Runner) rewrite(ctx context.Context, m *message, wants map[string]string) (change, error) {
	owner := "owner of " + m.app.Repository
	out := change{files: map[string][]byte{}, stuck: slices.Clone(m.stuck)}
	for i, img := range m.app.Images {
		if m.facts[i].Problem != "" {
			continue // stuck already
		}
		if err := r.repin(ctx, m, i, img, wants, &out); err != nil {
			return out, err
		}
	}
	more, err := r.pin(ctx, m.app, m.facts[0].Commit, m.facts[0].Pins, wants, out.files)
	var f *failure
	switch {
	case errors.As(err, &f) && len(out.files) > 0:
		out.stuck = append(out.stuck, f.Reason)
	case err != nil:
		return out, err
	}
	out.lines = append(out.lines, more...)
	if len(out.files) == 0 && len(out.stuck) > 0 {
		return out, &failure{State: store.Blocked, Reason: "its Dockerfile cannot be rewritten: " + strings.Join(out.stuck, "; "), Who: owner}
	}
	return out, nil
}

// repin rewrites the Dockerfile of one image.
func (r *Runner) repin(ctx context.Context, m *message, i int, img catalog.ApplicationImage, wants map[string]string, to *change) error {
	src, ok := to.files[img.Dockerfile]
	if !ok {
		var err error
		src, err = r.forge.ReadFile(ctx, m.app.Repository, m.facts[i].Commit, img.Dockerfile)
		if errors.Is(err, notify.ErrNotFound) {
			to.stuck = append(to.stuck, fmt.Sprintf("%s has no %s", m.app.Repository, img.Dockerfile))
			return nil
		}
		if err != nil {
			return err
		}
	}
	f, err := dockerfile.Parse(img.Dockerfile, src, img.Args)
	if err != nil {
		to.stuck = append(to.stuck, err.Error())
		return nil
	}
	known := map[string]string{} // reference without digest -> base
	for _, ref := range m.facts[i].References {
		if !ref.Left {
			known[ref.Reference] = ref.Base
		}
		if want := wants[ref.Base]; want != "" && ref.Pinned.String() != want && !ref.Rewritable {
			to.stuck = append(to.stuck, fmt.Sprintf("%s:%d %s", ref.File, ref.Line, ref.Why))
		}
	}
	var lines []line
	out, err := f.Rewrite(func(ref dockerfile.Reference) (string, bool) {
		name, _, _ := strings.Cut(ref.Name, "@")
		base := known[name]
		now := name + "@" + wants[base]
		if base == "" || wants[base] == "" || ref.Name == now || !ref.Rewritable {
			return "", false
		}
		lines = append(lines, line{File: img.Dockerfile, Line: ref.Line, From: ref.Name, To: now, Base: base})
		return now, true
	})
	if err != nil {
		to.stuck = append(to.stuck, err.Error())
		return nil
	}
	if string(out) != string(src) {
		to.files[img.Dockerfile] = out
	}
	to.lines = append(to.lines, lines...)
	return nil
}

// known is what the forge finds the pull request of a proposal by.
func known(p store.Proposal) notify.Proposal {
	repo := p.Repository + " " + p.Branch
	line, one := strings.CutPrefix(p.Line, repo+" ")
	n := notify.Proposal{Key: repo, Repo: p.Repository, Branch: p.Branch, Slug: "bases", Base: p.BaseCommit}
	if one {
		n.Key, n.Slug = p.Line, strings.NewReplacer("/", "-", ":", "-").Replace(line)
	}
	return n
}

// hourly is how long pushes are counted.
const hourly = time.Hour

// restrain adds to a proposal what it must not do now, and what people have asked for.
func (r *Runner) restrain(ctx context.Context, m *message, n *notify.Proposal) (asked []store.Control, err error) {
	ro, err := store.GetRollout(ctx, r.store.Q(), m.turn.Rollout)
	if err != nil {
		return nil, err
	}
	if ro.Pace.Critical == "" && n.Again == "" { // what is critical, and the way back, wait for no cool-down
		n.CoolDown = m.app.Proposals.CoolDown
	}
	n.NoPush, err = r.noPush(ctx, m.app)
	if err != nil {
		return nil, err
	}
	return r.heed(ctx, m.app, n)
}

// noPush says that the branches of a repository were pushed to often enough for now; nil when they were not.
func (r *Runner) noPush(ctx context.Context, app catalog.Application) (*notify.Held, error) {
	most := app.Proposals.PushesPerHour
	if most == 0 {
		return nil, nil
	}
	now := r.cfg.Now()
	times, err := store.EffectTimes(ctx, r.store.Q(), pushes, app.Repository, now.Add(-hourly).UnixMilli())
	if err != nil || len(times) < most {
		return nil, err
	}
	return &notify.Held{
		Until:  time.UnixMilli(times[len(times)-most]).Add(hourly),
		Reason: fmt.Sprintf("%d of %d pushes to %s within an hour are made (proposals.pushes_per_hour)", len(times), most, app.Repository),
		Who:    "who keeps the catalog",
	}, nil
}

const pushes = "push" // a kind of effect

// pushed records that a branch was pushed to, to count it.
func (r *Runner) pushed(ctx context.Context, repo string, pr notify.PullRequest) error {
	if !pr.Pushed {
		return nil
	}
	key := "push " + repo + " " + pr.HeadCommit
	if _, _, err := r.store.Ledger().Begin(ctx, key, pushes, repo); err != nil {
		return err
	}
	return r.store.Ledger().Done(ctx, key, fmt.Sprintf("pull request #%d", pr.Number))
}

func digestOf(wants map[string]string) string {
	var parts []string
	for _, b := range slices.Sorted(maps.Keys(wants)) {
		parts = append(parts, b+"="+short(wants[b]))
	}
	return strings.Join(parts, ",")
}
