package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/promote"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// ByHand is what a person asks to be done with a base's channel.
type ByHand struct {
	ID       string // the asker's own, so that asking twice is asking once; empty: asked once
	Base     string
	To       string // a digest or the beginning of one that is known; Rollback: empty for the one before
	Reason   string
	By       string
	Override bool // of what speaks against it, which the audit log shows
}

// Refused is why something that a person asked for is not done, and the way out.
type Refused struct{ Reason, Hint string }

func (e *Refused) Error() string { return e.Reason }

func refused(hint, format string, a ...any) error {
	return &Refused{fmt.Sprintf(format, a...), hint}
}

// Moved is what became of a channel that a person moved.
type Moved struct {
	store.ChannelMove
	Again       bool               // it was there, or asked for, before: this call changed nothing
	Quarantined []store.Quarantine // because of it, the named digest first
	Cleared     []store.Quarantine
}

// Rollback moves a base's channel back, by digest, and puts what was there in quarantine, with all that was made from it. Running
// rollouts stop what they do with that, and what was proposed of it is taken back by Withdraw. A channel that somebody else moved
// is not touched without override.
//
// The intent is written first: whatever is cut off is finished by Finish. The error is *Refused when it is not done.
func (r *Runner) Rollback(ctx context.Context, h ByHand) (Moved, error) {
	return r.byHand(ctx, h, store.MoveRollback, r.decideRollback)
}

// PromoteByHand moves a base's channel to a digest that passed the gates that the catalog asks for now. With override it does so
// whatever they say, and what is in quarantine is cleared.
func (r *Runner) PromoteByHand(ctx context.Context, h ByHand) (Moved, error) {
	return r.byHand(ctx, h, store.MovePromote, r.decidePromote)
}

// place is what a channel points to when a person moves it.
type place struct {
	base    catalog.Base
	channel string // what it points to itself; empty: nothing
	image   string // by the digest of its manifest
	moves   []store.Promotion
	strange bool // somebody else moved it there
}

// decided is a move that may be made.
type decidedMove struct {
	to      string
	release string
	again   bool
	bad     []store.Quarantine
}

func (r *Runner) byHand(ctx context.Context, h ByHand, verb store.MoveVerb, decide func(context.Context, place, ByHand) (decidedMove, error)) (Moved, error) {
	b, err := r.itsBase(h.Base)
	if err != nil {
		return Moved{}, err
	}
	if strings.TrimSpace(h.Reason) == "" {
		return Moved{}, refused("say why, for who reads it later: --reason", "to %s %s takes a reason", verb, h.Base)
	}
	unlock, err := r.lockChannel(ctx, b.Name)
	if err != nil {
		return Moved{}, err
	}
	defer unlock()
	h.ID = cmp.Or(h.ID, uuid.NewString())
	if m, found, err := store.GetChannelMove(ctx, r.store.Q(), h.ID); err != nil || found {
		return Moved{ChannelMove: m, Again: true}, errors.Join(err, sameMove(m, h, verb))
	}
	if err := r.finishBase(ctx, b.Name); err != nil {
		return Moved{}, err
	}
	at, err := r.look(ctx, b)
	if err != nil {
		return Moved{}, err
	}
	d, err := decide(ctx, at, h)
	if err != nil || d.again {
		return r.there(ctx, at, h, verb), err
	}
	now := r.cfg.Now().UnixMilli()
	m := Moved{Quarantined: d.bad, ChannelMove: store.ChannelMove{ID: h.ID, Verb: verb, Image: b.Name, Channel: b.Channel, Expected: at.channel, From: at.image, To: d.to, Release: d.release,
		Reason: h.Reason, Actor: h.By, Override: h.Override, State: store.MoveBegun, AskedAt: now}}
	err = r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if _, err := r.store.Ledger().In(q).BeginChannelMove(ctx, m.ChannelMove); err != nil {
			return err
		}
		if m.Cleared, err = store.ClearQuarantine(ctx, q, b.Name, d.to, h.By, string(verb)+" with override: "+h.Reason, now); err != nil {
			return err
		}
		return r.enforce(ctx, q, b.Name, d.bad, string(verb))
	})
	if err != nil {
		return m, err
	}
	m.ChannelMove, err = r.move1(ctx, m.ChannelMove)
	return m, err
}

// itsBase is the base that a person means.
func (r *Runner) itsBase(name string) (catalog.Base, error) {
	b, f := r.base(name)
	if f != nil || b.Context == "" { // an application that is built here is its repository's
		return b, refused("only bases have channels: rebuilder images --kind base", "the catalog has no base %q", name)
	}
	return b, nil
}

// sameMove refuses an id that was used for something else.
func sameMove(m store.ChannelMove, h ByHand, verb store.MoveVerb) error {
	if m.ID == "" || m.Verb == verb && m.Image == h.Base && (h.To == "" || isDigest(m.To, h.To)) {
		return nil
	}
	return refused("give this one an id of its own", "request %s was used for another request, %s of %s to %s", m.ID, m.Verb, m.Image, short(m.To))
}

// there is the answer when nothing is to be done: how the channel came to where it is.
func (r *Runner) there(ctx context.Context, at place, h ByHand, verb store.MoveVerb) Moved {
	m := Moved{Again: true, ChannelMove: store.ChannelMove{Verb: verb, Image: at.base.Name, Channel: at.base.Channel, To: at.image, State: store.MoveDone, Actor: h.By}}
	if len(at.moves) == 0 {
		return m
	}
	if id, ok := strings.CutPrefix(at.moves[0].Key, string(store.MoveRollback)+" "); ok {
		if was, found, err := store.GetChannelMove(ctx, r.store.Q(), id); err == nil && found {
			m.ChannelMove = was
		}
	}
	return m
}

// enforce puts digests in quarantine and stops what running rollouts do with them, in the caller's transaction. moved is the base
// whose channel a person moves; empty: none.
func (r *Runner) enforce(ctx context.Context, q store.Querier, moved string, bad []store.Quarantine, rule string) error {
	for _, z := range bad {
		if _, err := store.AddQuarantine(ctx, q, z, rule); err != nil {
			return err
		}
	}
	return r.stop(ctx, q, moved, bad, r.cfg.Now().UnixMilli())
}

// look says what the channel of a base points to now, and whether we moved it there.
func (r *Runner) look(ctx context.Context, b catalog.Base) (place, error) {
	at := place{base: b}
	channel, err := r.registry.Digest(ctx, b.Reference())
	if err != nil {
		return at, err
	}
	if at.moves, err = store.Promotions(ctx, r.store.Q(), b.Name, remembered); err != nil {
		return at, err
	}
	at.moves = slices.DeleteFunc(at.moves, func(p store.Promotion) bool { return p.Channel != b.Channel })
	if channel == (v1.Hash{}) {
		at.strange = len(at.moves) > 0
		return at, nil
	}
	image, err := r.facts.Wants(ctx, b)
	if errors.Is(err, registry.ErrNotFound) { // it has no image for the platform
		image, err = channel, nil
	}
	if err != nil {
		return at, err
	}
	at.channel, at.image = channel.String(), image.String()
	if len(at.moves) == 0 || at.moves[0].To == at.image {
		return at, nil
	}
	begun, err := r.begun(ctx, b.Name, at.image)
	at.strange = !begun
	return at, err
}

// moved says that somebody else moved a channel.
func (p place) moved() error {
	return refused(fmt.Sprintf("rebuilder rollback %[1]s --accept takes it over; --override moves it back", p.base.Name),
		"%s was moved by somebody else: it points to %s, and was last moved to %s here", p.base.Reference(), orNothing(p.image), short(p.moves[0].To))
}

func orNothing(digest string) string {
	if digest == "" {
		return "nothing"
	}
	return short(digest)
}

func (r *Runner) decideRollback(ctx context.Context, at place, h ByHand) (d decidedMove, err error) {
	if at.strange && !h.Override {
		return d, at.moved()
	}
	switch {
	case h.To != "":
		if d.to, err = r.known(ctx, at.base, h.To); err == nil {
			err = r.sound(ctx, at.base, d.to, h.Override)
		}
	case !at.strange && len(at.moves) > 0 && strings.HasPrefix(at.moves[0].Key, string(store.MoveRollback)+" "):
		d.again = true
		return d, nil
	default:
		d.to, err = r.before(ctx, at)
	}
	if err != nil {
		return d, err
	}
	if d.to == at.image {
		d.again = true
		return d, nil
	}
	d.bad, err = r.spoiled(ctx, at, h, d.to)
	return d, err
}

// spoiled are what a rollback puts in quarantine: what the channel points to, and what was made from it.
func (r *Runner) spoiled(ctx context.Context, at place, h ByHand, to string) (bad []store.Quarantine, err error) {
	for _, digest := range slices.Compact([]string{at.image, at.channel}) {
		if digest == "" {
			continue
		}
		more, err := r.spoils(ctx, at.base.Name, digest, h.Reason, h.By)
		if err != nil {
			return nil, err
		}
		bad = append(bad, more...)
	}
	return slices.DeleteFunc(bad, func(z store.Quarantine) bool { return z.Digest == to }), nil
}

// spoils are the quarantine that a person asks for and those that follow from it.
func (r *Runner) spoils(ctx context.Context, image, digest, reason, by string) ([]store.Quarantine, error) {
	z := store.Quarantine{Image: image, Digest: digest, Reason: reason, Actor: by, Kind: store.Human, At: r.cfg.Now().UnixMilli()}
	more, err := r.madeFrom(ctx, z)
	return append([]store.Quarantine{z}, more...), err
}

// farBack is how many digests of before are looked for in the registry.
const farBack = 50

// before is the newest digest that a channel was at before the one of now, that is not in quarantine and still in the registry. Where
// somebody else moved the channel, it is the one where we left it.
func (r *Runner) before(ctx context.Context, at place) (string, error) {
	seen := map[string]bool{"": true, at.image: true}
	var gone []string
	for _, p := range at.moves[:min(farBack, len(at.moves))] {
		for _, digest := range []string{p.To, p.From} {
			if seen[digest] {
				continue
			}
			seen[digest] = true
			_, bad, err := store.GetQuarantine(ctx, r.store.Q(), at.base.Name, digest)
			if err != nil {
				return "", err
			}
			there, err := r.registry.Digest(ctx, at.base.Image+"@"+digest)
			if err != nil {
				return "", err
			}
			switch {
			case bad:
				gone = append(gone, short(digest)+" is in quarantine")
			case there == (v1.Hash{}):
				gone = append(gone, short(digest)+" is not in the registry any more")
			default:
				return digest, nil
			}
		}
	}
	why := "it was never promoted before"
	if len(gone) > 0 {
		why = strings.Join(gone[:min(5, len(gone))], ", ")
	}
	return "", refused("name a digest: --to DIGEST; or keep it from being used: rebuilder quarantine add", "there is nothing to move %s back to: %s", at.base.Reference(), why)
}

// sound refuses a digest that is not in the registry, or in quarantine without override.
func (r *Runner) sound(ctx context.Context, b catalog.Base, digest string, override bool) error {
	there, err := r.registry.Digest(ctx, b.Image+"@"+digest)
	if err != nil {
		return err
	}
	if there == (v1.Hash{}) {
		return refused("see what there was: rebuilder audit "+b.Reference(), "%s@%s is not in the registry", b.Image, digest)
	}
	z, bad, err := store.GetQuarantine(ctx, r.store.Q(), b.Name, digest)
	if err != nil || !bad || override {
		return err
	}
	return refused("clear it first: rebuilder quarantine clear "+b.Name+" "+short(digest)+" --reason ..; or use --override", "%s", inQuarantine(z))
}

// known is the digest that a person means: a whole one, or the beginning of one that was seen as an image of this base.
func (r *Runner) known(ctx context.Context, b catalog.Base, text string) (string, error) {
	if h, err := v1.NewHash(text); err == nil {
		return h.String(), nil
	}
	all, err := r.digests(ctx, b)
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(d string) bool { return !isDigest(d, text) })
	switch len(all) {
	case 1:
		return all[0], nil
	case 0:
		return "", refused("name it whole, sha256:..", "no digest of %s begins with %.70q", b.Name, text)
	}
	return "", refused("name more of it", "%d digests of %s begin with %.70q", len(all), b.Name, text)
}

// isDigest says that a person may mean a digest by this text: six digits of it are the least.
func isDigest(digest, text string) bool {
	text = strings.TrimPrefix(strings.ToLower(text), "sha256:")
	return len(text) >= 6 && strings.HasPrefix(strings.TrimPrefix(digest, "sha256:"), text)
}

// digests are those of a base that are remembered, each once.
func (r *Runner) digests(ctx context.Context, b catalog.Base) (out []string, err error) {
	moves, err := store.Promotions(ctx, r.store.Q(), b.Name, remembered)
	if err != nil {
		return nil, err
	}
	for _, p := range moves {
		out = append(out, p.To, p.From)
	}
	builds, err := store.Builds(ctx, r.store.Q(), b.Name, remembered)
	if err != nil {
		return nil, err
	}
	for _, rec := range builds {
		out = append(out, rec.Digest)
	}
	bad, err := store.QuarantineHistory(ctx, r.store.Q(), b.Name, remembered)
	for _, z := range bad {
		out = append(out, z.Digest)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(d string) bool { return d == "" }), err
}

// move1 moves the channel of a move that was begun, and writes that down. The caller has locked the channel.
func (r *Runner) move1(ctx context.Context, m store.ChannelMove) (store.ChannelMove, error) {
	if m.State != store.MoveBegun {
		return m, nil
	}
	b, f := r.base(m.Image)
	if f != nil {
		return r.unmoved(ctx, m, f)
	}
	to, err := v1.NewHash(m.To)
	if err != nil {
		return r.unmoved(ctx, m, err)
	}
	var expect v1.Hash
	if m.Expected != "" {
		if expect, err = v1.NewHash(m.Expected); err != nil {
			return r.unmoved(ctx, m, err)
		}
	}
	_, err = promote.Promote(ctx, r.registry, promote.Request{Repository: b.Image, Channel: m.Channel, Digest: to, Expect: expect, Release: m.Release,
		Attest: func(ctx context.Context) error { return r.attestByHand(ctx, b, m) }})
	var moved *promote.Moved
	switch {
	case errors.As(err, &moved):
		return r.unmoved(ctx, m, err)
	case err != nil:
		if m.Problem = err.Error(); ctx.Err() == nil {
			err = errors.Join(err, store.SaveChannelMove(ctx, r.store.Q(), m))
		}
		return m, fmt.Errorf("%s %s, which is tried again by itself: %w", m.Verb, m.Image, err)
	}
	m.State, m.Problem, m.MovedAt = store.MoveWithdrawing, "", r.cfg.Now().UnixMilli()
	if m.Verb == store.MovePromote {
		m.State, m.EndedAt = store.MoveDone, m.MovedAt
	}
	defer r.cfg.Changed()
	return m, r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		p := store.Promotion{Key: m.Key(), Image: m.Image, Channel: m.Channel, From: m.From, To: m.To, Release: m.Release, At: m.MovedAt}
		if created, err := store.SavePromotion(ctx, q, p); err != nil || !created {
			return err
		}
		if err := r.store.Ledger().In(q).Done(ctx, m.Key(), "moved"); err != nil {
			return err
		}
		if err := store.SaveChannelMove(ctx, q, m); err != nil {
			return err
		}
		return store.Audit(ctx, q, store.Event{At: m.MovedAt, Actor: m.Actor, Kind: store.Human, Rule: string(m.Verb), Action: "promote", Object: b.Reference(), Detail: m.To})
	})
}

// unmoved ends a move that cannot be made. What was put in quarantine stays there: that was asked for, too.
func (r *Runner) unmoved(ctx context.Context, m store.ChannelMove, why error) (store.ChannelMove, error) {
	m.State, m.Problem, m.EndedAt = store.MoveFailed, why.Error(), r.cfg.Now().UnixMilli()
	err := r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if err := store.SaveChannelMove(ctx, q, m); err != nil {
			return err
		}
		if err := r.store.Ledger().In(q).Done(ctx, m.Key(), "not moved: "+m.Problem); err != nil {
			return err
		}
		return store.Audit(ctx, q, store.Event{At: m.EndedAt, Actor: "rebuilder", Kind: store.Automation, Rule: string(m.Verb), Action: string(m.Verb) + " failed", Object: m.Image, Detail: m.Problem})
	})
	if err != nil {
		return m, err
	}
	return m, refused("look at the channel, and ask again: rebuilder status", "%s was not moved: %s", m.Image, m.Problem)
}

// finishBase finishes the move of a base that was begun and cut off. The caller has locked the channel.
func (r *Runner) finishBase(ctx context.Context, image string) error {
	open, err := store.OpenChannelMoves(ctx, r.store.Q())
	if err != nil {
		return err
	}
	for _, m := range open {
		if m.Image != image || m.State != store.MoveBegun {
			continue
		}
		var refused *Refused
		if _, err := r.move1(ctx, m); err != nil && !errors.As(err, &refused) {
			return err
		}
	}
	return nil
}

// Finish finishes what people asked for and what was cut off: channels that are not moved yet, and pull requests that are not
// withdrawn yet. It changes nothing when all is done.
func (r *Runner) Finish(ctx context.Context) error {
	open, err := store.OpenChannelMoves(ctx, r.store.Q())
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range open {
		if m.State == store.MoveBegun {
			errs = append(errs, r.finishLocked(ctx, m.Image))
		}
	}
	_, err = r.Withdraw(ctx)
	return errors.Join(append(errs, err, r.withdrawn(ctx, err))...)
}

func (r *Runner) finishLocked(ctx context.Context, image string) error {
	unlock, err := r.lockChannel(ctx, image)
	if err != nil {
		return err
	}
	defer unlock()
	return r.finishBase(ctx, image)
}

// withdrawn ends the rollbacks of which everything was taken back, and notes at the others why it was not.
func (r *Runner) withdrawn(ctx context.Context, problem error) error {
	open, err := store.OpenChannelMoves(ctx, r.store.Q())
	if err != nil || len(open) == 0 {
		return err
	}
	live, err := store.LiveProposals(ctx, r.store.Q())
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range open {
		if m.State != store.MoveWithdrawing {
			continue
		}
		left := slices.ContainsFunc(live, func(p store.Proposal) bool {
			_, bad := unwanted(p, []store.Quarantine{{Image: m.Image, Digest: m.From}})
			return bad
		})
		was := m
		m.Problem = ""
		switch {
		case !left:
			m.State, m.EndedAt = store.MoveDone, r.cfg.Now().UnixMilli()
		case problem != nil:
			m.Problem = problem.Error()
		}
		if m != was {
			errs = append(errs, store.SaveChannelMove(ctx, r.store.Q(), m))
		}
	}
	return errors.Join(errs...)
}

// Accept takes over a channel that somebody else moved: from here on it counts as if we had moved it there.
func (r *Runner) Accept(ctx context.Context, h ByHand) (Moved, error) {
	b, err := r.itsBase(h.Base)
	if err != nil {
		return Moved{}, err
	}
	if strings.TrimSpace(h.Reason) == "" {
		return Moved{}, refused("say why, for who reads it later: --reason", "to accept where %s is takes a reason", h.Base)
	}
	unlock, err := r.lockChannel(ctx, b.Name)
	if err != nil {
		return Moved{}, err
	}
	defer unlock()
	at, err := r.look(ctx, b)
	if err != nil {
		return Moved{}, err
	}
	now := r.cfg.Now().UnixMilli()
	m := Moved{ChannelMove: store.ChannelMove{ID: cmp.Or(h.ID, uuid.NewString()), Verb: "accept", Image: b.Name, Channel: b.Channel, To: at.image, Reason: h.Reason, Actor: h.By, State: store.MoveDone, AskedAt: now, MovedAt: now, EndedAt: now}}
	switch {
	case at.image == "":
		return m, refused("move it back: rebuilder rollback "+b.Name+" --override", "%s points to nothing", b.Reference())
	case !at.strange:
		m.Again = true
		return m, nil
	}
	if err := r.sound(ctx, b, at.image, h.Override); err != nil {
		return m, err
	}
	m.From = at.moves[0].To
	defer r.cfg.Changed()
	return m, r.store.Tx(ctx, func(ctx context.Context, q store.Querier) (err error) {
		if m.Cleared, err = store.ClearQuarantine(ctx, q, b.Name, at.image, h.By, "accepted with override: "+h.Reason, now); err != nil {
			return err
		}
		p := store.Promotion{Key: "accept " + m.ID, Image: b.Name, Channel: b.Channel, From: m.From, To: m.To, At: now}
		if created, err := store.SavePromotion(ctx, q, p); err != nil || !created {
			return err
		}
		if err := r.stop(ctx, q, b.Name, nil, now); err != nil {
			return err
		}
		return store.Audit(ctx, q, store.Event{At: now, Actor: h.By, Kind: store.Human, Rule: "manual", Action: "accept", Object: b.Reference(), Detail: fmt.Sprintf("from %s to %s: %s", m.From, m.To, h.Reason)})
	})
}

// Quarantine keeps a digest of a base, and what was made from it, from being used. It moves no channel. Doing it twice is doing it
// once.
func (r *Runner) Quarantine(ctx context.Context, h ByHand) ([]store.Quarantine, error) {
	b, err := r.itsBase(h.Base)
	if err != nil {
		return nil, err
	}
	digest, err := r.known(ctx, b, h.To)
	if err != nil {
		return nil, err
	}
	bad, err := r.spoils(ctx, b.Name, digest, h.Reason, h.By)
	if err != nil {
		return nil, err
	}
	defer r.cfg.Changed()
	return bad, r.store.Tx(ctx, func(ctx context.Context, q store.Querier) error { return r.enforce(ctx, q, "", bad, "manual") })
}

// ClearQuarantine ends the quarantine of a digest, whatever came with it included. It returns what it cleared.
func (r *Runner) ClearQuarantine(ctx context.Context, h ByHand) (cleared []store.Quarantine, err error) {
	all, err := store.Quarantines(ctx, r.store.Q(), h.Base)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(z store.Quarantine) bool { return !isDigest(z.Digest, h.To) })
	switch len(all) {
	case 0:
		return nil, refused("see what is: rebuilder quarantine list", "no digest of %s that begins with %.70q is in quarantine", h.Base, h.To)
	case 1:
	default:
		return nil, refused("name more of it", "%d digests of %s that begin with %.70q are in quarantine", len(all), h.Base, h.To)
	}
	defer r.cfg.Changed()
	return cleared, r.store.Tx(ctx, func(ctx context.Context, q store.Querier) (err error) {
		cleared, err = store.ClearQuarantine(ctx, q, h.Base, all[0].Digest, h.By, h.Reason, r.cfg.Now().UnixMilli())
		return err
	})
}

// releaseName is the immutable tag of a digest: the one it has, or a new one.
func releaseName(moves []store.Promotion, digest string, now time.Time) string {
	for _, p := range moves {
		if p.To == digest && p.Release != "" {
			return p.Release
		}
	}
	return now.UTC().Format("20060102") + "-" + short(digest)
}
