package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func audit(t *testing.T, st *store.Store, actions ...string) {
	t.Helper()
	for _, a := range actions {
		if err := st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			return store.Audit(ctx, q, store.Event{At: 1, Actor: "ada", Kind: store.Human, Action: a, Object: "x"})
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func to(subscribers ...string) func(store.Event) []store.Outgoing {
	return func(e store.Event) (out []store.Outgoing) {
		for _, s := range subscribers {
			out = append(out, store.Outgoing{Subscriber: s, Event: e.ID, Type: "t." + e.Action, Subject: e.Object, QueuedAt: 10})
		}
		return out
	}
}

func TestOutgoing(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		audit(t, st, "one", "two", "three")
		if n, err := store.HandOut(ctx, st, 2, to("a", "b")); err != nil || n != 2 {
			t.Fatalf("%d rows, %v", n, err)
		}
		if n, err := store.HandOut(ctx, st, 2, to("a")); err != nil || n != 1 {
			t.Fatalf("%d rows, %v", n, err)
		}
		if n, err := store.HandOut(ctx, st, 2, to("a", "b")); err != nil || n != 0 {
			t.Fatalf("%d rows are handed out again, %v", n, err)
		}
		due, err := store.DueOutgoing(ctx, q, "a", 10, 10)
		if err != nil || len(due) != 3 || due[0].Type != "t.one" || due[2].Type != "t.three" || due[0].State != store.OutgoingPending {
			t.Fatalf("%+v %v", due, err)
		}
		if early, err := store.DueOutgoing(ctx, q, "a", 9, 10); err != nil || len(early) != 0 {
			t.Errorf("%+v %v", early, err)
		}
		e, err := store.GetEvent(ctx, q, due[0].Event)
		if err != nil || e.Action != "one" {
			t.Errorf("%+v %v", e, err)
		}

		try := func(o store.Outgoing, state string, next, ended int64, err string) {
			t.Helper()
			o.State, o.NextAt, o.EndedAt = state, next, ended
			if err := store.TriedOutgoing(ctx, q, o, store.Try{At: 11, Status: 500, Took: 3, Error: err}); err != nil {
				t.Fatal(err)
			}
		}
		try(due[0], store.OutgoingDelivered, 0, 12, "")
		try(due[1], store.OutgoingPending, 100, 0, "down")
		again := due[1]
		again.Tries = 1
		try(again, store.OutgoingParked, 100, 200, "still down")
		try(due[2], store.OutgoingPending, 50, 0, "down")
		if at, err := store.NextOutgoing(ctx, q); err != nil || at != 10 { // b's
			t.Errorf("next at %d, %v", at, err)
		}
		counts, err := store.CountOutgoing(ctx, q)
		if want := map[string]int{"delivered": 1, "parked": 1, "pending": 1}; err != nil || fmt.Sprint(counts["a"]) != fmt.Sprint(want) || counts["b"]["pending"] != 2 {
			t.Errorf("%v %v", counts, err)
		}
		parked, err := store.OutgoingEvents(ctx, q, store.OutgoingFilter{State: store.OutgoingParked})
		if err != nil || len(parked) != 1 || parked[0].Tries != 2 || parked[0].Last.Error != "still down" || parked[0].EndedAt != 200 {
			t.Errorf("%+v %v", parked, err)
		}
		if tries, err := store.Tries(ctx, q, "a", parked[0].Event); err != nil || len(tries) != 2 || tries[0].Error != "down" || tries[1].Took != 3 {
			t.Errorf("%+v %v", tries, err)
		}

		var n int
		if err := st.Tx(ctx, func(ctx context.Context, q store.Querier) (err error) {
			n, err = store.RetryOutgoing(ctx, q, "a", "", "ada", 300)
			return err
		}); err != nil || n != 2 {
			t.Errorf("%d are sent again, %v", n, err)
		}
		if due, err = store.DueOutgoing(ctx, q, "a", 300, 10); err != nil || len(due) != 2 || due[0].QueuedAt != 300 || due[1].QueuedAt != 10 {
			t.Errorf("%+v %v", due, err)
		}
		if log, err := store.AuditLog(ctx, q, store.AuditFilter{Action: "retry deliveries"}); err != nil || len(log) != 1 || log[0].Actor != "ada" || log[0].Object != "a" {
			t.Errorf("%+v %v", log, err)
		}

		const month = 30 * 24 * 3_600_000
		if err := store.ForgetOutgoing(ctx, q, month+20, []string{"a"}); err != nil { // b is not in the catalog any more
			t.Fatal(err)
		}
		counts, err = store.CountOutgoing(ctx, q)
		if err != nil || counts["b"] != nil || counts["a"]["delivered"] != 0 || counts["a"]["pending"] != 2 {
			t.Errorf("%v %v", counts, err)
		}
		if err := store.ForgetOutgoing(ctx, q, month+20, nil); err != nil {
			t.Fatal(err)
		}
	})
}

// However many replicas hand out at the same moment, each event goes to each subscriber once.
func TestEachEventIsHandedOutOnce(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		var want []string
		for i := range 40 {
			want = append(want, fmt.Sprintf("t.%02d", i))
			audit(t, st, fmt.Sprintf("%02d", i))
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					n, err := store.HandOut(t.Context(), st, 7, to("a"))
					if err != nil {
						t.Error(err)
					}
					if n < 7 || err != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		due, err := store.DueOutgoing(t.Context(), st.Q(), "a", 10, 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range due {
			got = append(got, o.Type)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// An audit row that is not committed is told to nobody.
func TestOutboxIsOfTheTransaction(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		no := errors.New("no")
		err := st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			if err := store.Audit(ctx, q, store.Event{Actor: "ada", Kind: store.Human, Action: "never", Object: "x"}); err != nil {
				return err
			}
			return no
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		if n, err := store.HandOut(t.Context(), st, 10, to("a")); err != nil || n != 0 {
			t.Errorf("%d rows, %v", n, err)
		}
	})
}

func TestOutlets(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		o, held, err := store.HoldOutlet(ctx, q, store.ChatOutlet, "a", 100, 200)
		if err != nil || !held || o.Since != 100 {
			t.Fatalf("%+v %v %v", o, held, err)
		}
		if _, again, err := store.HoldOutlet(ctx, q, store.ChatOutlet, "a", 150, 250); err != nil || again {
			t.Errorf("held twice, %v", err)
		}
		if _, other, err := store.HoldOutlet(ctx, q, store.SubscriberOutlet, "a", 150, 250); err != nil || !other {
			t.Errorf("another one is not held, %v", err)
		}
		if _, dead, err := store.HoldOutlet(ctx, q, store.ChatOutlet, "a", 200, 300); err != nil || !dead {
			t.Errorf("a dead replica keeps it, %v", err)
		}
		o.Failures, o.Failing, o.Error, o.NextAt = 2, 190, "down", 400
		if err := store.SaveOutlet(ctx, q, o); err != nil {
			t.Fatal(err)
		}
		if _, early, err := store.HoldOutlet(ctx, q, store.ChatOutlet, "a", 399, 500); err != nil || early {
			t.Errorf("it was to be left alone, %v", err)
		}
		now, held, err := store.HoldOutlet(ctx, q, store.ChatOutlet, "a", 400, 500)
		if err != nil || !held || now != o {
			t.Errorf("%+v %v %v, want %+v", now, held, err, o)
		}
		if all, err := store.Outlets(ctx, q); err != nil || len(all) != 2 || all[0].Kind != store.ChatOutlet {
			t.Errorf("%+v %v", all, err)
		}
	})
}

func TestMessages(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		if _, _, err := store.HoldOutlet(ctx, q, store.ChatOutlet, "a", 100, 200); err != nil {
			t.Fatal(err)
		}
		for id, ended := range map[string]int64{"old": 99, "ended": 150, "runs": 0} {
			state := store.Running
			if ended > 0 {
				state = store.Finished
			}
			if _, err := store.CreateRollout(ctx, q, store.Rollout{ID: id, State: state, CreatedAt: 50, EndedAt: ended}, nil); err != nil {
				t.Fatal(err)
			}
		}
		untold := func(want ...string) {
			t.Helper()
			all, err := store.Untold(ctx, q, "a", "closed", 10)
			var got []string
			for _, r := range all {
				got = append(got, r.ID)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q, want %q (%v)", got, want, err)
			}
		}
		untold("ended", "runs") // what was over before the chat was there is not told
		m := store.Message{Chat: "a", Rollout: "ended", Part: "needs 1", State: store.MessageOpen, About: []string{"x@1"}, Tries: 1, CreatedAt: 5}
		if err := store.SaveMessage(ctx, q, m); err != nil {
			t.Fatal(err)
		}
		m.State, m.Remote, m.Hash, m.SentAt = store.MessageSent, "1.2", "h", 6
		if err := store.SaveMessage(ctx, q, m); err != nil {
			t.Fatal(err)
		}
		if all, err := store.Messages(ctx, q, "a", "ended"); err != nil || len(all) != 1 || fmt.Sprint(all[0]) != fmt.Sprint(m) {
			t.Errorf("%+v %v", all, err)
		}
		if err := store.SaveMessage(ctx, q, store.Message{Chat: "a", Rollout: "ended", Part: "closed", State: store.MessageSent}); err != nil {
			t.Fatal(err)
		}
		untold("runs")
	})
}
