package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// forbidden says why a digest of an image is not to be used; nil when it may be.
func (r *Runner) forbidden(ctx context.Context, image, digest string) (*failure, error) {
	z, stands, err := store.GetQuarantine(ctx, r.store.Q(), image, digest)
	if err != nil || !stands {
		return nil, err
	}
	return heldBack(z), nil
}

func heldBack(z store.Quarantine) *failure {
	return &failure{State: store.Quarantined, Reason: inQuarantine(z), Gate: store.GateQuarantine, Digest: z.Digest,
		Who: fmt.Sprintf("who answers for it: rebuilder quarantine clear %s %s --reason ..", z.Image, short(z.Digest))}
}

func inQuarantine(z store.Quarantine) string {
	return fmt.Sprintf("%s@%s is in quarantine, by %s: %s", z.Image, short(z.Digest), z.Actor, z.Reason)
}

// orErr is a failure as an error, or the error; never a typed nil.
func orErr(f *failure, err error) error {
	if err != nil || f == nil {
		return err
	}
	return f
}

// soundParents skips a build that would stand on what is in quarantine. It is no memory of its inputs: once the parent has
// another image, there are others.
func (r *Runner) soundParents(ctx context.Context, in plan.Inputs) (*failure, error) {
	for _, p := range in.Parents {
		f, err := r.forbidden(ctx, p.Name, p.Digest.String())
		if err != nil {
			return nil, err
		}
		if f != nil {
			return &failure{State: store.Skipped, Reason: "stands on what is not to be used: " + f.Reason, Who: f.Who}, nil
		}
	}
	return nil, nil
}

// soundWants says which of the wanted digests are in quarantine; nil: none.
func (r *Runner) soundWants(ctx context.Context, wants map[string]string) (*failure, error) {
	for _, image := range slices.Sorted(maps.Keys(wants)) {
		if f, err := r.forbidden(ctx, image, wants[image]); err != nil || f != nil {
			return f, err
		}
	}
	return nil, nil
}

// over says that the node of a turn was ended by somebody else.
func (r *Runner) over(ctx context.Context, t Turn) (bool, error) {
	n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, t.Image)
	return n.State.Ended(), err
}

func stoppedTelling(over bool) *failure {
	if !over {
		return nil
	}
	return &failure{State: store.Skipped, Reason: "stopped before it was told"}
}

// ours skips a build of a base whose channel somebody else moved: nobody overwrites what he was not told of.
func (r *Runner) ours(ctx context.Context, image, channel, now string) (*failure, error) {
	if now == "" {
		return nil, nil
	}
	last, err := store.Promotions(ctx, r.store.Q(), image, 1)
	if err != nil || len(last) == 0 || last[0].Channel != channel || last[0].To == now {
		return nil, err
	}
	begun, err := r.begun(ctx, image, now)
	if err != nil || begun {
		return nil, err
	}
	return &failure{State: store.Skipped, Reason: fmt.Sprintf("its channel was moved by somebody else from %s to %s", short(last[0].To), short(now)),
		Who: fmt.Sprintf("who keeps it: rebuilder rollback %s --accept takes it over, --override moves it back", image)}, nil
}

// begun says that a channel points where a promotion of ours was about to move it that is not written down as done yet.
func (r *Runner) begun(ctx context.Context, image, now string) (bool, error) {
	open, err := r.store.Ledger().Effects(ctx, store.EffectFilter{Kind: "promote", Object: image, Open: true})
	return slices.ContainsFunc(open, func(e store.Effect) bool { return strings.HasSuffix(e.Key, " "+short(now)) }), err
}

// unsuspected puts a candidate in quarantine that has something of what a person put there, and says so; nil when it has
// nothing of it.
func (r *Runner) unsuspected(ctx context.Context, image string, in inputs, inv *inventory.Inventory) (*failure, error) {
	digest := inv.Digest.String()
	if f, err := r.forbidden(ctx, image, digest); err != nil || f != nil {
		return f, err
	}
	all, err := store.Quarantines(ctx, r.store.Q(), image)
	if err != nil {
		return nil, err
	}
	candidate := inside{Fingerprint: inv.Fingerprint, Packages: versions(inv), Recipe: in.Recipe, Parents: parents(in.Inputs)}
	for _, z := range all {
		if z.Because != "" {
			continue
		}
		bad, before, err := r.compared(ctx, z)
		if err != nil {
			return nil, err
		}
		reason := like(candidate, bad, before)
		if reason == "" {
			continue
		}
		like := store.Quarantine{Image: image, Digest: digest, Because: z.Digest, Actor: "rebuilder", Kind: store.Automation, At: r.cfg.Now().UnixMilli(),
			Reason: fmt.Sprintf("%s %s, which %s put there: %s", reason, short(z.Digest), z.Actor, z.Reason)}
		return heldBack(like), r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
			_, err := store.AddQuarantine(ctx, q, like, "quarantine")
			return err
		})
	}
	return nil, nil
}

// compared is what is known of a digest in quarantine, and of the one whose place it took.
func (r *Runner) compared(ctx context.Context, z store.Quarantine) (bad, before inside, err error) {
	if bad, err = r.contentOf(ctx, z.Image, z.Digest); err != nil {
		return bad, before, err
	}
	moves, err := store.Promotions(ctx, r.store.Q(), z.Image, remembered)
	if err != nil {
		return bad, before, err
	}
	for _, p := range slices.Backward(moves) { // the first time that it came
		if p.To == z.Digest && p.From != "" {
			before, err = r.contentOf(ctx, z.Image, p.From)
			return bad, before, err
		}
	}
	return bad, before, nil
}

// remembered is how many moves of a channel are looked through.
const remembered = 500

func (r *Runner) contentOf(ctx context.Context, image, digest string) (c inside, err error) {
	inv, found, err := store.GetInventory(ctx, r.store.Q(), digest)
	if err != nil {
		return c, err
	}
	if found {
		c.Fingerprint, c.Packages = inv.Fingerprint, versions(inv)
	}
	rec, found, err := store.BuildOf(ctx, r.store.Q(), image, digest)
	if err != nil || !found {
		return c, err
	}
	c.Recipe, c.Parents = rec.Detail.Recipe, rec.Detail.Parents
	return c, nil
}

// versions are the versions of each package, all of them where there are several.
func versions(inv *inventory.Inventory) map[string]string {
	out := map[string]string{}
	for _, p := range inv.Packages {
		name := p.Name
		if !slices.Contains([]string{"deb", "apk", "rpm"}, p.Type) {
			name = p.Type + " " + name
		}
		if out[name] != "" {
			out[name] += ", "
		}
		out[name] += p.Version
	}
	return out
}

// claimAgain is how soon a channel that another replica has is asked for again.
const claimAgain = 500 * time.Millisecond

// lockChannel makes this the only one, of all replicas, that moves a base's channel. It waits for its turn.
func (r *Runner) lockChannel(ctx context.Context, image string) (unlock func(), err error) {
	key := "channel " + image
	free := r.channels.lock(key)
	for {
		claim, err := r.store.Claim(ctx, key)
		if err == nil {
			return func() { claim.Release(); free() }, nil
		}
		if !errors.Is(err, store.ErrClaimed) || sleep(ctx, claimAgain) != nil {
			free()
			return nil, fmt.Errorf("channel of %s: %w", image, err)
		}
	}
}

// mayPromote is asked with the channel locked, at the last moment: a person may have moved the channel since the gates.
func (r *Runner) mayPromote(ctx context.Context, t Turn, digest string) error {
	n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, t.Image)
	if err != nil {
		return err
	}
	if n.State.Ended() && n.State != store.Done {
		return &failure{State: n.State, Reason: n.Reason, Who: n.Who}
	}
	return orErr(r.forbidden(ctx, t.Image, digest))
}

// stop ends, in the transaction that quarantines digests, what running rollouts do with them: the nodes that made them, those
// whose builds stand on them, and, of the image whose channel is moved back, all: they were compared with what is there no more.
// What was told is taken back by Withdraw.
func (r *Runner) stop(ctx context.Context, q store.Querier, moved string, all []store.Quarantine, now int64) error {
	bad := map[string]store.Quarantine{}
	for _, z := range all {
		bad[z.Digest] = z
	}
	running, err := store.RunningRollouts(ctx, q)
	if err != nil {
		return err
	}
	for _, ro := range running {
		if _, err := store.LockRollout(ctx, q, ro.ID); err != nil {
			return err
		}
		nodes, err := store.Nodes(ctx, q, ro.ID)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			m, err := stops(ctx, q, n, moved, bad)
			if err != nil {
				return err
			}
			if m == nil {
				continue
			}
			m.Rollout, m.Image, m.At, m.Rule = n.Rollout, n.Image, now, "quarantine"
			if _, err := store.MoveNode(ctx, q, *m); err != nil {
				return err
			}
			if n.State.Ended() {
				continue // it released its children then
			}
			if _, err := r.release(ctx, q, *m); err != nil {
				return err
			}
		}
	}
	return nil
}

// stops says how a node ends because of what is in quarantine; nil when it goes on.
func stops(ctx context.Context, q store.Querier, n store.Node, moved string, bad map[string]store.Quarantine) (*store.Move, error) {
	if n.State == store.Telling || n.State.Ended() && n.State != store.Done || !builtByUs(n) {
		return nil, nil
	}
	if z, ok := bad[n.After]; ok && z.Image == n.Image {
		return &store.Move{To: store.Quarantined, Reason: inQuarantine(z), Who: "who answers for it"}, nil
	}
	if n.State == store.Done {
		return nil, nil
	}
	if n.Image == moved {
		return &store.Move{To: store.Skipped, Reason: "its channel was moved by a person meanwhile: it is decided anew"}, nil
	}
	if n.Detail.Build == "" {
		return nil, nil // it reads what it stands on yet, or stands on nothing of it
	}
	rec, err := store.GetBuild(ctx, q, n.Detail.Build)
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, digest := range rec.Detail.Parents {
		if z, ok := bad[digest]; ok {
			return &store.Move{To: store.Quarantined, Reason: "stands on what is not to be used: " + inQuarantine(z), Who: "who answers for " + z.Image}, nil
		}
	}
	return nil, nil
}

// lastBuilds is how many of a base's builds are looked through for those that stand on something.
const lastBuilds = 20

// madeFrom are the digests of bases that we built on one that is put in quarantine, and on those in turn: they hold all that is
// in it. They are in quarantine because of it.
func (r *Runner) madeFrom(ctx context.Context, z store.Quarantine) ([]store.Quarantine, error) {
	bad := map[string]bool{z.Digest: true}
	var out []store.Quarantine
	builds := map[string][]store.Build{}
	for _, b := range r.catalog().Bases {
		all, err := store.Builds(ctx, r.store.Q(), b.Name, lastBuilds)
		if err != nil {
			return nil, err
		}
		builds[b.Name] = all
	}
	for grew := true; grew; {
		grew = false
		for _, b := range r.catalog().Bases {
			for _, rec := range builds[b.Name] {
				if rec.Digest == "" || bad[rec.Digest] || rec.Detail.Trial != "" {
					continue
				}
				for _, digest := range rec.Detail.Parents {
					if !bad[digest] {
						continue
					}
					bad[rec.Digest], grew = true, true
					out = append(out, store.Quarantine{Image: b.Name, Digest: rec.Digest, Because: digest, Reason: fmt.Sprintf("made from %s@%s: %s", z.Image, short(z.Digest), z.Reason),
						Actor: z.Actor, Kind: z.Kind, At: z.At})
					break
				}
			}
		}
	}
	return out, nil
}

// Withdraw takes back what was proposed of digests that are in quarantine and not merged yet. It looks before it acts, changes
// nothing when nothing is to be taken back, and goes on where it was cut off. It returns how many proposals were taken back;
// the error says of which it could not be done.
func (r *Runner) Withdraw(ctx context.Context) (taken int, err error) {
	all, err := store.Quarantines(ctx, r.store.Q(), "")
	if err != nil || len(all) == 0 {
		return 0, err
	}
	live, err := store.LiveProposals(ctx, r.store.Q())
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, p := range live {
		z, ok := unwanted(p, all)
		if !ok {
			continue
		}
		did, err := r.takeBack(ctx, p, z)
		if err != nil {
			errs = append(errs, fmt.Errorf("withdraw from %s: %w", p.Repository, err))
		}
		if did {
			taken++
		}
	}
	return taken, errors.Join(errs...)
}

// unwanted says that a proposal that is not merged yet wants a digest that is in quarantine.
func unwanted(p store.Proposal, all []store.Quarantine) (store.Quarantine, bool) {
	if p.State != store.ProposalPlanned && p.State != store.ProposalOpen {
		return store.Quarantine{}, false
	}
	i := slices.IndexFunc(all, func(z store.Quarantine) bool { return p.Wants[z.Image] == z.Digest })
	if i < 0 {
		return store.Quarantine{}, false
	}
	return all[i], true
}

// takeBack closes one pull request and ends its proposal, while nobody else is at it.
func (r *Runner) takeBack(ctx context.Context, p store.Proposal, z store.Quarantine) (bool, error) {
	key := "tell " + p.Rollout + " " + p.Application
	unlock := r.telling.lock(key)
	defer unlock()
	claim, err := r.store.Claim(ctx, key)
	if err != nil {
		return false, err
	}
	defer claim.Release()
	p, found, err := store.GetProposal(ctx, r.store.Q(), p.Key)
	if _, still := unwanted(p, []store.Quarantine{z}); err != nil || !found || !still {
		return false, err
	}
	if err := r.findProposed(ctx, &p); err != nil {
		return false, err
	}
	reason := "withdrawn: " + inQuarantine(z)
	if p.Number > 0 && r.forge != nil {
		open, err := r.closeProposed(ctx, p, reason)
		if err != nil || !open {
			return false, err // merged meanwhile, which is seen by who follows it
		}
	}
	p.State, p.Reason, p.EndedAt = store.ProposalSuperseded, reason, r.cfg.Now().UnixMilli()
	return true, r.eachNode(ctx, p, func(q store.Querier, n store.Node) error {
		_, err := store.MoveNode(ctx, q, store.Move{Rollout: n.Rollout, Image: n.Image, To: store.Quarantined, Reason: reason, Who: "who answers for " + z.Image, At: p.EndedAt, Rule: "quarantine",
			Detail: func(d *store.NodeDetail) { d.Key, d.URL, d.Number = p.Key, p.URL, p.Number }})
		return err
	})
}

// findProposed looks for the pull request of a try that was cut off before its number was written down.
func (r *Runner) findProposed(ctx context.Context, p *store.Proposal) error {
	if p.Number > 0 || p.BaseCommit == "" || r.forge == nil {
		return nil
	}
	pr, err := r.forge.Proposed(ctx, known(*p))
	if errors.Is(err, notify.ErrNotFound) {
		return nil
	}
	if err == nil {
		p.Number, p.URL, p.Head = pr.Number, pr.URL, pr.Head
	}
	return err
}

// closeProposed closes a pull request with one line of reason; open is false when it was merged. One that somebody else works on
// is closed, too, and his branch stays.
func (r *Runner) closeProposed(ctx context.Context, p store.Proposal, reason string) (open bool, err error) {
	pr, err := r.forge.PullRequest(ctx, p.Repository, p.Number)
	if errors.Is(err, notify.ErrNotFound) {
		return true, nil
	}
	if err != nil || pr.State == notify.Merged {
		return false, err
	}
	key := fmt.Sprintf("withdraw %s %d", p.Key, p.Number)
	if _, _, err := r.store.Ledger().Begin(ctx, key, "withdraw", p.Repository); err != nil {
		return false, err
	}
	if err := r.forge.ClosePullRequest(ctx, p.Repository, p.Number, reason); err != nil {
		return false, err
	}
	return true, r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if err := r.store.Ledger().In(q).Done(ctx, key, "closed"); err != nil {
			return err
		}
		return store.Audit(ctx, q, store.Event{At: r.cfg.Now().UnixMilli(), Actor: "rebuilder", Kind: store.Automation, Rule: "quarantine", Action: "withdraw",
			Object: p.Application, Detail: fmt.Sprintf("pull request #%d: %s", p.Number, reason)})
	})
}

// stayed says that an application has nothing to go back from: while others are shown the way back, its images stand where that
// leads already.
func (r *Runner) stayed(ctx context.Context, t Turn, app catalog.Application, facts []plan.Application, wants map[string]string) (*failure, error) {
	for k, a := range facts {
		n, err := store.GetNode(ctx, r.store.Q(), t.Rollout, app.Images[k].Name)
		if errors.Is(err, store.ErrNoRows) {
			continue
		}
		if err != nil || n.Detail.Step.Cause != plan.CauseRollback {
			return nil, err
		}
		inv, found, err := store.GetInventory(ctx, r.store.Q(), n.Before)
		if err != nil || !found {
			return nil, err
		}
		a.Image = plan.Image{Digest: inv.Digest, DiffIDs: inv.DiffIDs}
		for _, ref := range a.References {
			stands, err := r.standsOn(ctx, a, ref, wants[ref.Base])
			if err != nil || !stands {
				return nil, err
			}
		}
	}
	return &failure{State: store.Skipped, Reason: "it never left what the others go back to"}, nil
}

// standsOn says that an application has a digest of a base: its recipe names no other, and its layers prove that it stands on it.
func (r *Runner) standsOn(ctx context.Context, a plan.Application, ref plan.Reference, digest string) (bool, error) {
	b, f := r.base(ref.Base)
	if f != nil || ref.Kind != graph.Inherits || ref.Pinned.Hex != "" && ref.Pinned.String() != digest || digest == "" {
		return false, nil
	}
	inv, err := r.facts.Inventory(ctx, b.Name, b.Image+"@"+digest, b.Platform)
	if err != nil {
		return false, err
	}
	return a.StandsOn(plan.Image{Digest: inv.Digest, DiffIDs: inv.DiffIDs}), nil
}

// wayBack is what makes a proposal another one than an earlier one of the same digests, which is over and was undone by us and not
// by its repository's people: the moves that brought these channels back, and the quarantines of these digests that were cleared.
// It is empty when there is none.
func (r *Runner) wayBack(ctx context.Context, wants map[string]string) (string, error) {
	var moves []string
	for image, digest := range wants {
		last, err := store.Promotions(ctx, r.store.Q(), image, 1)
		if err != nil {
			return "", err
		}
		if len(last) == 1 && last[0].To == digest && strings.HasPrefix(last[0].Key, string(store.MoveRollback)+" ") {
			moves = append(moves, last[0].Key)
		}
		z, _, err := store.GetQuarantine(ctx, r.store.Q(), image, digest)
		if err != nil {
			return "", err
		}
		if z.ClearedAt > 0 {
			moves = append(moves, fmt.Sprintf("cleared %s %d", short(digest), z.ClearedAt))
		}
	}
	slices.Sort(moves)
	return strings.Join(moves, ", "), nil
}

// tend is how often what people asked for and could not be finished is tried again.
const tend = 5 * time.Second

// Tend finishes what people asked for and what was cut off, at once and then again and again until ctx ends. It waits for no look
// and no build.
func (r *Runner) Tend(ctx context.Context) {
	for {
		if err := r.Finish(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("a channel that is moved by hand is not there yet", "error", err)
		}
		if sleep(ctx, tend) != nil {
			return
		}
	}
}
