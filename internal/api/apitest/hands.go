package apitest

import (
	"context"
	"strings"

	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

// hands move the channel of base/debian on paper: what it is made from and what is in the registry is not looked at.
type hands struct{ w *World }

func (h hands) Rollback(ctx context.Context, b rollout.ByHand) (rollout.Moved, error) {
	switch {
	case b.Base != "base/debian":
		return rollout.Moved{}, &rollout.Refused{Reason: `the catalog has no base "` + b.Base + `"`, Hint: "only bases have channels: rebuilder images --kind base"}
	case h.w.Loop.Moved && !b.Override:
		return rollout.Moved{}, &rollout.Refused{Reason: "registry.example.com/base/debian:stable was moved by somebody else: it points to nothing, and was last moved to 1a2b3c here",
			Hint: "rebuilder rollback base/debian --accept takes it over; --override moves it back"}
	}
	was, err := store.ChannelMoves(ctx, h.w.Store.Q(), b.Base, 1)
	if err != nil || len(was) > 0 && b.To == "" {
		return rollout.Moved{ChannelMove: first(was), Again: true}, err
	}
	m := store.ChannelMove{ID: "m-1", Verb: store.MoveRollback, Image: b.Base, Channel: "stable", From: Digest("base/debian").String(), To: Digest("base/debian old").String(), Reason: b.Reason, Actor: b.By,
		Override: b.Override, State: store.MoveBegun, AskedAt: ms(0)}
	bad := store.Quarantine{Image: b.Base, Digest: m.From, Reason: b.Reason, Actor: b.By, Kind: store.Human, At: ms(0)}
	return rollout.Moved{ChannelMove: m, Quarantined: []store.Quarantine{bad}}, h.w.Store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		if _, err := store.AddQuarantine(ctx, q, bad, "rollback"); err != nil {
			return err
		}
		_, err := h.w.Store.Ledger().In(q).BeginChannelMove(ctx, m)
		return err
	})
}

func first(all []store.ChannelMove) (m store.ChannelMove) {
	if len(all) > 0 {
		m = all[0]
	}
	return m
}

// Finish says that everything is where it should be.
func (h hands) Finish(ctx context.Context) error {
	open, err := store.OpenChannelMoves(ctx, h.w.Store.Q())
	for _, m := range open {
		m.State, m.MovedAt, m.EndedAt = store.MoveDone, ms(0), ms(0)
		if err := store.SaveChannelMove(ctx, h.w.Store.Q(), m); err != nil {
			return err
		}
	}
	return err
}

func (h hands) PromoteByHand(_ context.Context, b rollout.ByHand) (rollout.Moved, error) {
	if !b.Override {
		return rollout.Moved{}, &rollout.Refused{Reason: b.Base + "@" + b.To + " did not pass its gates: its tests were not run", Hint: "promote it all the same, which the audit log shows: --override"}
	}
	return rollout.Moved{ChannelMove: store.ChannelMove{ID: "m-2", Verb: store.MovePromote, Image: b.Base, Channel: "stable", From: Digest("base/debian old").String(), To: Digest("base/debian").String(),
		Reason: b.Reason, Actor: b.By, Override: true, State: store.MoveDone, AskedAt: ms(0), MovedAt: ms(0), EndedAt: ms(0)}}, nil
}

func (h hands) Accept(_ context.Context, b rollout.ByHand) (rollout.Moved, error) {
	return rollout.Moved{ChannelMove: store.ChannelMove{ID: "m-3", Verb: "accept", Image: b.Base, Channel: "stable", From: Digest("base/debian old").String(), To: Digest("base/debian").String(), Reason: b.Reason,
		Actor: b.By, State: store.MoveDone, AskedAt: ms(0), MovedAt: ms(0), EndedAt: ms(0)}}, nil
}

func (h hands) Quarantine(ctx context.Context, b rollout.ByHand) ([]store.Quarantine, error) {
	z := store.Quarantine{Image: b.Base, Digest: Digest(b.Base).String(), Reason: b.Reason, Actor: b.By, Kind: store.Human, At: ms(0)}
	_, err := store.AddQuarantine(ctx, h.w.Store.Q(), z, "manual")
	return []store.Quarantine{z}, err
}

func (h hands) ClearQuarantine(ctx context.Context, b rollout.ByHand) ([]store.Quarantine, error) {
	all, err := store.Quarantines(ctx, h.w.Store.Q(), b.Base)
	if err != nil {
		return nil, err
	}
	for _, z := range all {
		if strings.HasPrefix(strings.TrimPrefix(z.Digest, "sha256:"), b.To) {
			return store.ClearQuarantine(ctx, h.w.Store.Q(), b.Base, z.Digest, b.By, b.Reason, ms(0))
		}
	}
	return nil, &rollout.Refused{Reason: "no digest of " + b.Base + " that begins with " + b.To + " is in quarantine", Hint: "see what is: rebuilder quarantine list"}
}
