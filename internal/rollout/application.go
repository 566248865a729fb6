package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"rebuilder/internal/catalog"
	"rebuilder/internal/dockerfile"
	"rebuilder/internal/durable"
	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// Application tells one application, and ends. What becomes of it is followed by Follow: nothing waits for days in here.
func (r *Runner) Application(ctx dbos.Context, t Turn) (string, error) {
	defer r.engine.Track(ctx)()
	ok, err := r.begin(ctx, t, store.Telling, "reads its Dockerfiles")
	if err != nil || !ok {
		return "", err
	}
	p, f, err := step(r, ctx, "tell", func(ctx context.Context) (store.Proposal, error) { return r.tell(ctx, t) })
	switch {
	case err != nil:
		return "", err
	case f != nil:
		if err := r.untold(ctx, p, f); err != nil {
			return "", err
		}
		return string(f.State), r.end(ctx, t, store.Move{To: f.State, Reason: f.Reason, Who: f.Who, Rule: "tell"})
	}
	_, err = durable.Transaction(ctx, r.engine, "told", func(ctx context.Context, q store.Querier) (bool, error) {
		return true, r.told(ctx, q, t, p)
	})
	r.cfg.Changed()
	return p.URL, err
}

// untold remembers that these digests could not be told, so that the next look does not try again at once.
func (r *Runner) untold(ctx dbos.Context, p store.Proposal, f *failure) error {
	if len(p.Wants) == 0 || f.State != store.Failed && f.State != store.Blocked {
		return nil
	}
	_, err := durable.Transaction(ctx, r.engine, "untold", func(ctx context.Context, q store.Querier) (bool, error) {
		in := inputs{Key: plan.TellKey(p.Application, p.Wants)}
		return true, r.remember(ctx, q, p.Application, in, f.State, f.Reason, "")
	})
	return err
}

// told writes what was done on the node, with what it waits for now.
func (r *Runner) told(ctx context.Context, q store.Querier, t Turn, p store.Proposal) error {
	m := store.Move{Rollout: t.Rollout, Image: t.Image, To: store.Telling, At: r.cfg.Now().UnixMilli(), Rule: p.Strategy, Who: "owner of " + p.Repository,
		Detail: func(d *store.NodeDetail) { d.Key, d.URL, d.Number = p.Key, p.URL, p.Number }}
	// Follow may be ending this proposal at this moment. The lock makes one of the two see what the other did.
	if _, err := store.LockRollout(ctx, q, t.Rollout); err != nil {
		return err
	}
	now, _, err := store.GetProposal(ctx, q, p.Key)
	if err != nil {
		return err
	}
	n, err := store.GetNode(ctx, q, t.Rollout, t.Image)
	if err != nil {
		return err
	}
	if n.State.Ended() {
		return r.overtaken(ctx, q, now, n)
	}
	switch {
	case now.State == store.ProposalBuilt:
		m.To, m.Reason = store.Done, now.Reason
	case now.EndedAt > 0:
		m.To, m.Reason = store.Skipped, now.Reason
	case p.Number == 0 && p.Strategy == string(catalog.PullRequest):
		m.Reason = "its Dockerfile is as wanted; waits for its next image"
	case p.Number > 0:
		m.Reason = fmt.Sprintf("pull request #%d waits to be merged", p.Number)
	default:
		m.Reason = "its CI was dispatched; waits for its next image"
	}
	if _, err := store.MoveNode(ctx, q, m); err != nil {
		return err
	}
	return store.Finish(ctx, q, t.Rollout, m.At)
}

// overtaken ends a proposal whose node was ended while it was made, as a newer rollout does.
func (r *Runner) overtaken(ctx context.Context, q store.Querier, p store.Proposal, n store.Node) error {
	if n.State != store.Skipped || p.EndedAt > 0 {
		return nil
	}
	p.State, p.Reason, p.EndedAt = store.ProposalSuperseded, n.Reason, r.cfg.Now().UnixMilli()
	return store.SaveProposal(ctx, q, p)
}

// tell proposes or dispatches, once for an application in a rollout: its images take turns, and the second one finds it
// done.
func (r *Runner) tell(ctx context.Context, t Turn) (p store.Proposal, err error) {
	app, _, f := r.application(t.Image)
	if f != nil {
		return p, f
	}
	if r.forge == nil {
		return p, fail("the catalog has no [forge], so that nobody can be told")
	}
	err = r.inLine(ctx, t, app, func(ctx context.Context) (err error) {
		p, err = r.tellInTurn(ctx, t, app)
		return err
	})
	return p, err
}

// tellInTurn looks and tells. What it sees is fresh: it waited before.
func (r *Runner) tellInTurn(ctx context.Context, t Turn, app catalog.Application) (store.Proposal, error) {
	key := "tell " + t.Rollout + " " + app.Name
	unlock := r.telling.lock(key)
	defer unlock()
	claim, err := r.store.Claim(ctx, key) // against other replicas
	if err != nil {
		return store.Proposal{}, err
	}
	defer claim.Release()
	if over, err := r.over(ctx, t); err != nil || over {
		return store.Proposal{}, orErr(stoppedTelling(over), err)
	}
	facts, err := r.applicationFacts(ctx, app)
	if err != nil {
		return store.Proposal{}, err
	}
	wants, err := r.wants(ctx, facts)
	if err != nil {
		return store.Proposal{}, err
	}
	if f := r.needless(ctx, t); f != nil {
		return store.Proposal{}, f
	}
	if f, err := r.stayed(ctx, t, app, facts, wants); err != nil || f != nil {
		return store.Proposal{}, orErr(f, err)
	}
	p, _, err := store.GetProposal(ctx, r.store.Q(), key)
	if err != nil {
		return p, err
	}
	if p.Key == "" {
		p = store.Proposal{Key: key, Rollout: t.Rollout, Application: app.Name, Repository: app.Repository, Branch: app.Branch, Strategy: string(app.Strategy),
			State: store.ProposalPlanned, CreatedAt: r.cfg.Now().UnixMilli()}
	}
	if p.State != store.ProposalPlanned && maps.Equal(p.Wants, wants) {
		return p, nil
	}
	// The intent, before the effect. Of other digests than before nothing has become yet.
	p.State, p.Wants, p.Reason, p.MergedAt, p.BuiltAt, p.EndedAt = store.ProposalPlanned, wants, "", 0, 0, 0
	if err := store.SaveProposal(ctx, r.store.Q(), p); err != nil {
		return p, err
	}
	// After the intent: what is put in quarantine from here on finds it, and takes it back.
	if f, err := r.soundWants(ctx, wants); err != nil || f != nil {
		return p, orErr(f, err)
	}
	if app.Strategy == catalog.Dispatch {
		err = r.dispatch(ctx, app, &p)
	} else {
		err = r.propose(ctx, t, app, facts, &p)
	}
	if err != nil {
		return p, err
	}
	p.State, p.OpenedAt = store.ProposalOpen, r.cfg.Now().UnixMilli()
	return p, store.SaveProposal(ctx, r.store.Q(), p)
}

// needless says that no parent of this turn was promoted, so that there is nothing to tell.
func (r *Runner) needless(ctx context.Context, t Turn) *failure {
	n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, t.Image)
	if err != nil || len(n.Detail.Step.Parents) == 0 {
		return nil
	}
	var why []string
	for _, name := range n.Detail.Step.Parents {
		p, err := store.GetNode(ctx, r.store.Q(), t.Rollout, name)
		if err != nil || p.State == store.Done {
			return nil
		}
		why = append(why, fmt.Sprintf("%s: %s", name, p.State))
	}
	return &failure{State: store.Skipped, Reason: "nothing new to tell: " + strings.Join(why, ", ")}
}

func (r *Runner) applicationFacts(ctx context.Context, app catalog.Application) ([]plan.Application, error) {
	var out []plan.Application
	for _, i := range app.Images {
		a, err := r.facts.Application(ctx, r.catalog(), app, i)
		if err != nil {
			return nil, err
		}
		if a.Problem != "" {
			return nil, &failure{State: store.Blocked, Reason: a.Problem, Who: "owner of " + app.Repository}
		}
		out = append(out, a)
	}
	return out, nil
}

// wants are the digests on the channels of all bases that the application names.
func (r *Runner) wants(ctx context.Context, facts []plan.Application) (map[string]string, error) {
	out := map[string]string{}
	for _, a := range facts {
		for _, ref := range a.Named() {
			b, f := r.base(ref.Base)
			if f != nil {
				continue
			}
			d, err := r.facts.Wants(ctx, b)
			if err != nil {
				return nil, err
			}
			out[ref.Base] = d.String()
		}
	}
	return out, nil
}

// propose opens or updates the pull request that pins the wanted digests in all Dockerfiles of the application.
func (r *Runner) propose(ctx context.Context, t Turn, app catalog.Application, facts []plan.Application, p *store.Proposal) error {
	commit := facts[0].Commit
	files, lines, err := r.rewrite(ctx, app, commit, facts, p.Wants)
	if err != nil {
		return err
	}
	again, err := r.wayBack(ctx, p.Wants)
	if err != nil {
		return err
	}
	n := notify.Proposal{Key: app.Repository + " " + app.Branch, Repo: app.Repository, Branch: app.Branch, Slug: slug(p.Wants), Base: p.BaseCommit, Again: again}
	if len(files) == 0 { // the recipe is as wanted: only its image is missing
		return r.proposed(ctx, n, p)
	}
	text, err := r.words(ctx, t, app, facts, lines, nil, p.Wants)
	if err != nil {
		return err
	}
	n.Base, n.Files, n.Title, n.Body, n.Labels = commit, files, text.Title, text.Body, []string{"base-image"}
	n.Trailers, n.Draft = text.Trailers, text.Draft
	p.BaseCommit = commit
	if err := store.SaveProposal(ctx, r.store.Q(), *p); err != nil { // so that a repetition knows what to look for
		return err
	}
	pr, err := r.forge.Propose(ctx, n)
	if err != nil {
		return noted("propose to "+app.Repository, err)
	}
	p.Number, p.URL, p.Head = pr.Number, pr.URL, pr.Head
	switch {
	case pr.Human:
		return &failure{State: store.Blocked, Reason: fmt.Sprintf("pull request #%d has commits by somebody else; it was left alone", pr.Number), Who: "owner of " + app.Repository}
	case pr.State == notify.Closed:
		return r.declined(ctx, p, "was closed without merging")
	case pr.State == notify.Merged && pr.Number > 0:
		return r.mergedBefore(ctx, app, commit, p)
	}
	return nil
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
	return r.declined(ctx, p, "was merged and taken back")
}

// declined remembers that a person said no to these digests.
func (r *Runner) declined(ctx context.Context, p *store.Proposal, how string) error {
	p.State, p.EndedAt = store.ProposalClosed, r.cfg.Now().UnixMilli()
	p.Reason = fmt.Sprintf("pull request #%d %s: this digest is not proposed again", p.Number, how)
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

// rewrite pins the wanted digests and touches no other byte.
func (r *Runner) rewrite(ctx context.Context, app catalog.Application, commit string, facts []plan.Application, wants map[string]string) (map[string][]byte, []line, error) {
	files, stuck := map[string][]byte{}, []string{}
	var lines []line
	for i, img := range app.Images {
		src, ok := files[img.Dockerfile]
		if !ok {
			var err error
			if src, err = r.forge.ReadFile(ctx, app.Repository, commit, img.Dockerfile); errors.Is(err, notify.ErrNotFound) {
				return nil, nil, &failure{State: store.Blocked, Reason: fmt.Sprintf("%s has no %s", app.Repository, img.Dockerfile), Who: "owner of " + app.Repository}
			} else if err != nil {
				return nil, nil, err
			}
		}
		f, err := dockerfile.Parse(img.Dockerfile, src, img.Args)
		if err != nil {
			return nil, nil, &failure{State: store.Blocked, Reason: err.Error(), Who: "owner of " + app.Repository}
		}
		known := map[string]string{} // reference without digest -> base
		for _, ref := range facts[i].References {
			if !ref.Left {
				known[ref.Reference] = ref.Base
			}
			if to := wants[ref.Base]; to != "" && ref.Pinned.String() != to && !ref.Rewritable {
				stuck = append(stuck, fmt.Sprintf("%s:%d %s", ref.File, ref.Line, ref.Why))
			}
		}
		out, err := f.Rewrite(func(ref dockerfile.Reference) (string, bool) {
			name, _, _ := strings.Cut(ref.Name, "@")
			base := known[name]
			to := name + "@" + wants[base]
			if base == "" || wants[base] == "" || ref.Name == to || !ref.Rewritable {
				return "", false
			}
			lines = append(lines, line{File: img.Dockerfile, Line: ref.Line, From: ref.Name, To: to, Base: base})
			return to, true
		})
		if err != nil {
			return nil, nil, &failure{State: store.Blocked, Reason: err.Error(), Who: "owner of " + app.Repository}
		}
		if string(out) != string(src) {
			files[img.Dockerfile] = out
		}
	}
	more, err := r.pin(ctx, app, commit, facts[0].Pins, wants, files)
	if err != nil {
		return nil, nil, err
	}
	lines = append(lines, more...)
	if len(files) == 0 && len(stuck) > 0 {
		return nil, nil, &failure{State: store.Blocked, Reason: "its Dockerfile cannot be rewritten: " + strings.Join(stuck, "; "), Who: "owner of " + app.Repository}
	}
	return files, lines, nil
}

func slug(wants map[string]string) string {
	return strings.ReplaceAll(strings.Join(slices.Sorted(maps.Keys(wants)), "-"), "/", "-")
}

func digestOf(wants map[string]string) string {
	var parts []string
	for _, b := range slices.Sorted(maps.Keys(wants)) {
		parts = append(parts, b+"="+short(wants[b]))
	}
	return strings.Join(parts, ",")
}
