package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func TestLedger(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		at := time.UnixMilli(1000)
		l := st.WithClock(func() time.Time { return at }).Ledger()
		ctx := t.Context()
		tick := func() { at = at.Add(time.Millisecond) }

		if err := l.Done(ctx, "push/1", "early"); err == nil {
			t.Error("an effect ended that was not begun")
		}
		want := store.Effect{Key: "push/1", Kind: "push", Object: "base/debian", StartedAt: 1000}
		if e, done, err := l.Begin(ctx, "push/1", "push", "base/debian"); e != want || done || err != nil {
			t.Errorf("first begin: %+v %v %v", e, done, err)
		}
		tick()
		if e, done, err := l.Begin(ctx, "push/1", "other", "other"); e != want || done || err != nil {
			t.Errorf("begun again: %+v %v %v: want what the first one wrote", e, done, err)
		}
		tick()
		if err := l.Done(ctx, "push/1", "sha256:1"); err != nil {
			t.Fatal(err)
		}
		tick()
		if err := l.Done(ctx, "push/1", "sha256:2"); err != nil {
			t.Fatal(err)
		}
		want.DoneAt, want.Result = 1002, "sha256:1"
		if e, done, err := l.Begin(ctx, "push/1", "push", "base/debian"); e != want || !done || err != nil {
			t.Errorf("after its end: %+v %v %v", e, done, err)
		}
	})
}

func TestLedgerBeginTogether(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		const callers, keys = 8, 10
		var mu sync.Mutex
		objects := map[string]map[string]bool{}
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for k := range keys {
					key := fmt.Sprint("key/", k)
					e, done, err := st.Ledger().Begin(t.Context(), key, "push", fmt.Sprint("by ", c))
					if err != nil || done {
						t.Errorf("begin: done %v, %v", done, err)
						return
					}
					mu.Lock()
					if objects[key] == nil {
						objects[key] = map[string]bool{}
					}
					objects[key][e.Object] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for key, seen := range objects {
			if len(seen) != 1 {
				t.Errorf("%s: callers saw different first ones: %v", key, seen)
			}
		}
		if n := count(t, st.Q(), `SELECT count(*) FROM effect`); n != keys {
			t.Errorf("%d rows for %d keys", n, keys)
		}
	})
}

func TestEffects(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		at := time.UnixMilli(0)
		l := st.WithClock(func() time.Time { at = at.Add(time.Millisecond); return at }).Ledger()
		err := st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			for _, e := range [][3]string{{"1", "push", "a"}, {"2", "push", "b"}, {"3", "tag", "a"}} {
				if _, _, err := l.In(q).Begin(ctx, e[0], e[1], e[2]); err != nil {
					return err
				}
			}
			return l.In(q).Done(ctx, "1", "ok")
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			filter store.EffectFilter
			want   string
		}{
			{store.EffectFilter{}, "321"},
			{store.EffectFilter{Kind: "push"}, "21"},
			{store.EffectFilter{Object: "a"}, "31"},
			{store.EffectFilter{Open: true}, "32"},
			{store.EffectFilter{Open: true, Kind: "push", Object: "a"}, ""},
			{store.EffectFilter{Limit: 1}, "3"},
		} {
			all, err := l.Effects(t.Context(), c.filter)
			got := ""
			for _, e := range all {
				got += e.Key
			}
			if err != nil || got != c.want {
				t.Errorf("%+v: %q, want %q (%v)", c.filter, got, c.want, err)
			}
		}
	})
}
