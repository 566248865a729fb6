package store_test

import (
	"context"
	"errors"
	"testing"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func TestQuarantine(t *testing.T) {
	t.Parallel()
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		add := func(z store.Quarantine) bool {
			t.Helper()
			var created bool
			if err := st.Tx(ctx, func(ctx context.Context, q store.Querier) (err error) {
				created, err = store.AddQuarantine(ctx, q, z, "rollback")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return created
		}
		bad := store.Quarantine{Image: "base/debian", Digest: "sha256:b", Reason: "TLS is broken", Actor: "ada", Kind: store.Human, At: 10}
		like := store.Quarantine{Image: "base/python", Digest: "sha256:c", Because: "sha256:b", Reason: "made from it", Actor: "rebuilder", Kind: store.Automation, At: 11}
		far := store.Quarantine{Image: "base/django", Digest: "sha256:d", Because: "sha256:c", Reason: "made from it", Actor: "rebuilder", Kind: store.Automation, At: 12}
		if !add(bad) || !add(like) || !add(far) {
			t.Fatal("a new one must be created")
		}
		again := bad
		again.Reason, again.Actor = "another", "bob"
		if add(again) {
			t.Error("one that stands was created again")
		}
		if z, stands, err := store.GetQuarantine(ctx, q, "base/debian", "sha256:b"); err != nil || !stands || z != bad {
			t.Errorf("%+v, %v, %v", z, stands, err)
		}
		if _, stands, err := store.GetQuarantine(ctx, q, "base/python", "sha256:b"); err != nil || stands {
			t.Errorf("a digest is quarantined as another image: %v, %v", stands, err)
		}
		if all, err := store.Quarantines(ctx, q, ""); err != nil || len(all) != 3 || all[0] != far {
			t.Errorf("%+v, %v", all, err)
		}
		if err := st.Tx(ctx, func(ctx context.Context, q store.Querier) error {
			cleared, err := store.ClearQuarantine(ctx, q, "base/debian", "sha256:b", "bob", "it was the proxy", 20)
			if len(cleared) != 3 || cleared[0].Digest != "sha256:b" || cleared[2].ClearedBy != "bob" {
				t.Errorf("cleared %+v", cleared)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if all, err := store.Quarantines(ctx, q, ""); err != nil || len(all) != 0 {
			t.Errorf("still there: %+v, %v", all, err)
		}
		if all, err := store.QuarantineHistory(ctx, q, "base/debian", 0); err != nil || len(all) != 1 || all[0].ClearedWhy != "it was the proxy" {
			t.Errorf("%+v, %v", all, err)
		}
		if !add(again) {
			t.Error("what was cleared can be quarantined again")
		}
		events, err := store.AuditLog(ctx, q, store.AuditFilter{Object: "base/debian"})
		if err != nil || len(events) != 3 || events[1].Action != "clear quarantine" || events[1].Actor != "bob" || events[1].Kind != store.Human {
			t.Errorf("%+v, %v", events, err)
		}
	})
}

func TestQuarantineNeedsAPersonAndAReason(t *testing.T) {
	t.Parallel()
	st := storetest.Open(t, storetest.SQLite(t))
	var refused store.Refused
	if _, err := store.AddQuarantine(t.Context(), st.Q(), store.Quarantine{Image: "a", Digest: "b", Actor: "ada"}, "manual"); !errors.As(err, &refused) {
		t.Errorf("without a reason: %v", err)
	}
	if _, err := store.ClearQuarantine(t.Context(), st.Q(), "a", "b", "ada", "", 1); !errors.As(err, &refused) {
		t.Errorf("cleared without a reason: %v", err)
	}
}

func TestChannelMove(t *testing.T) {
	t.Parallel()
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		m := store.ChannelMove{ID: "1", Verb: store.MoveRollback, Image: "base/debian", Channel: "stable", Expected: "sha256:i", From: "sha256:b", To: "sha256:a", Reason: "TLS", Actor: "ada", Override: true, AskedAt: 5}
		begin := func(m store.ChannelMove) (created bool, err error) {
			err = st.Tx(ctx, func(ctx context.Context, q store.Querier) (err error) {
				created, err = st.Ledger().In(q).BeginChannelMove(ctx, m)
				return err
			})
			return created, err
		}
		if created, err := begin(m); err != nil || !created {
			t.Fatal(created, err)
		}
		if created, err := begin(m); err != nil || created {
			t.Errorf("the same id twice: %v, %v", created, err)
		}
		other := m
		other.ID = "2"
		if _, err := begin(other); err == nil {
			t.Error("two move one channel at once")
		}
		open, err := store.OpenChannelMoves(ctx, q)
		if err != nil || len(open) != 1 || open[0].State != store.MoveBegun || !open[0].Override || open[0].Expected != "sha256:i" {
			t.Fatalf("%+v, %v", open, err)
		}
		m = open[0]
		m.State, m.MovedAt, m.EndedAt = store.MoveDone, 6, 7
		if err := store.SaveChannelMove(ctx, q, m); err != nil {
			t.Fatal(err)
		}
		if got, found, err := store.GetChannelMove(ctx, q, "1"); err != nil || !found || got != m {
			t.Errorf("%+v, %v, %v", got, found, err)
		}
		if open, err := store.OpenChannelMoves(ctx, q); err != nil || len(open) != 0 {
			t.Errorf("%+v, %v", open, err)
		}
		if n, err := store.CountChannelMoves(ctx, q, store.MoveRollback); err != nil || n != 1 {
			t.Errorf("%d, %v", n, err)
		}
		if all, err := store.ChannelMoves(ctx, q, "base/debian", 0); err != nil || len(all) != 1 {
			t.Errorf("%+v, %v", all, err)
		}
		effects, err := st.Ledger().Effects(ctx, store.EffectFilter{Object: "base/debian", Open: true})
		if err != nil || len(effects) != 1 || effects[0].Key != "rollback 1" {
			t.Errorf("%+v, %v", effects, err)
		}
		events, err := store.AuditLog(ctx, q, store.AuditFilter{Object: "base/debian"})
		if err != nil || len(events) != 1 || events[0].Action != "rollback with override" || events[0].Kind != store.Human {
			t.Errorf("%+v, %v", events, err)
		}
	})
}
