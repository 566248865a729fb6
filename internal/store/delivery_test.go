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

func TestDeliveries(t *testing.T) {
	const day = 24 * 3_600_000
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		first := func(webhook string, at int64, want int, ids ...string) {
			t.Helper()
			if n, err := store.FirstDelivery(t.Context(), st.Q(), webhook, at, ids...); err != nil || n != want {
				t.Errorf("%s %v: %d new, want %d (%v)", webhook, ids, n, want, err)
			}
		}
		first("harbor", day, 1, "a")
		first("harbor", day, 0, "a")
		first("registry", day, 1, "a") // another sender's ids are others
		first("registry", 2*day, 1, "a", "b")
		first("registry", 2*day, 0, "a", "b")
		first("registry", 2*day, 1, "")
		first("registry", 2*day, 1, "")
		first("registry", 2*day, 0)

		if err := store.ForgetDeliveries(t.Context(), st.Q(), 8*day+1); err != nil {
			t.Fatal(err)
		}
		first("registry", 9*day, 1, "a", "b") // b is a day younger
		if err := store.ForgetDeliveries(t.Context(), st.Q(), 9*day); err != nil {
			t.Fatal(err)
		}
		first("registry", 9*day, 0, "a", "b")
	})
}

// However many replicas a delivery arrives at, one takes it.
func TestADeliveryIsTakenOnce(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		taken := 0
		for range 8 {
			wg.Go(func() {
				n, err := store.FirstDelivery(t.Context(), st.Q(), "harbor", 1, "x")
				mu.Lock()
				defer mu.Unlock()
				if taken += n; err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if taken != 1 {
			t.Errorf("taken %d times", taken)
		}
	})
}

func TestDeliveriesAreBounded(t *testing.T) {
	st := storetest.Open(t, storetest.SQLite(t))
	if err := st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
		_, err := q.Exec(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<60000)
			INSERT INTO delivery(webhook, id, at) SELECT 'harbor', 'd'||i, i FROM n`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := store.ForgetDeliveries(t.Context(), st.Q(), 1); err != nil {
		t.Fatal(err)
	}
	if n := count(t, st.Q(), `SELECT count(*) FROM delivery`); n != 50_000 {
		t.Errorf("%d are remembered", n)
	}
	if n := count(t, st.Q(), `SELECT min(at) FROM delivery`); n != 10_001 {
		t.Errorf("the oldest is %d: not the newest are remembered", n)
	}
}

func TestSlots(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		for _, c := range []struct {
			at    int64
			taken bool
			last  int64
		}{{100, true, 100}, {100, false, 100}, {90, false, 100}, {200, true, 200}} {
			taken, err := store.TakeSlot(t.Context(), st.Q(), "refresh", c.at)
			last, err2 := store.LastSlot(t.Context(), st.Q(), "refresh")
			if err := errors.Join(err, err2); err != nil || taken != c.taken || last != c.last {
				t.Errorf("%d: taken %v, last %d, %v", c.at, taken, last, err)
			}
		}
		for _, c := range []struct {
			but  string
			last int64
		}{{"refresh", 200}, {"another", 0}} {
			if err := store.ForgetSlots(t.Context(), st.Q(), c.but); err != nil {
				t.Fatal(err)
			}
			if last, err := store.LastSlot(t.Context(), st.Q(), "refresh"); err != nil || last != c.last {
				t.Errorf("all but %s forgotten: last %d, %v", c.but, last, err)
			}
		}
	})
}

func TestRefreshes(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		want := func(wanted, cause string, images ...string) {
			t.Helper()
			if err := store.WantRefresh(t.Context(), st.Q(), store.Refresh{Wanted: wanted, Cause: cause, Reason: "r " + wanted, Since: 7}, images); err != nil {
				t.Fatal(err)
			}
		}
		is := func(image, wanted string, due bool) {
			t.Helper()
			r, err := store.GetRefresh(t.Context(), st.Q(), image)
			all, err2 := store.Refreshes(t.Context(), st.Q())
			if err := errors.Join(err, err2); err != nil || r.Wanted != wanted || r.Due() != due || all[image] != r {
				t.Errorf("%s: %+v of %+v, want %q due %v (%v)", image, r, all, wanted, due, err)
			}
		}
		done := func(image, wanted string) {
			t.Helper()
			if err := store.Refreshed(t.Context(), st.Q(), image, wanted, 9); err != nil {
				t.Fatal(err)
			}
		}
		is("base/a", "", false)
		want("s1", "refresh", "base/a", "base/b", "base/a")
		is("base/a", "s1", true)
		done("base/a", "s1")
		done("base/a", "s1")
		is("base/a", "s1", false)
		is("base/b", "s1", true)
		want("s1", "refresh", "base/a") // the same slot once more
		is("base/a", "s1", false)
		want("s2", "refresh", "base/a", "base/b")
		done("base/b", "s1") // came too late
		is("base/b", "s2", true)
		want("m1", "manual", "base/a")
		want("s3", "refresh", "base/a", "base/b")
		is("base/a", "m1", true) // what a person asked for stays
		is("base/b", "s3", true)
		done("base/a", "m1")
		want("s4", "refresh", "base/a")
		is("base/a", "s4", true)
		want("m2", "manual", "base/a")
		is("base/a", "m2", true)
	})
}

func TestARequestIsTakenOnce(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ask := func(r store.Request) (first store.Request, created bool, err error) {
			err = st.Tx(t.Context(), func(ctx context.Context, q store.Querier) (err error) {
				first, created, err = store.AskRefresh(ctx, q, r)
				return err
			})
			return first, created, err
		}
		r := store.Request{ID: "1", Images: []string{"base/b", "base/a"}, Reason: "the mirror was wrong", Actor: "ada", At: 5}
		for i := range 3 {
			r.At += int64(i)
			first, created, err := ask(r)
			if err != nil || created != (i == 0) || first.At != 5 || !slices.Equal(first.Images, []string{"base/a", "base/b"}) {
				t.Errorf("%+v %v %v", first, created, err)
			}
			if i == 0 {
				if err := store.Refreshed(t.Context(), st.Q(), "base/a", "request 1", 9); err != nil {
					t.Fatal(err)
				}
			}
		}
		a, errA := store.GetRefresh(t.Context(), st.Q(), "base/a")
		b, errB := store.GetRefresh(t.Context(), st.Q(), "base/b")
		if a.Due() || !b.Due() || b.Cause != "manual" || b.Reason != "ada asked for it: the mirror was wrong" || errors.Join(errA, errB) != nil {
			t.Errorf("%+v %+v", a, b)
		}
		log, err := store.AuditLog(t.Context(), st.Q(), store.AuditFilter{Action: "refresh", Actor: "ada", Kind: store.Human})
		if err != nil || len(log) != 2 {
			t.Errorf("%+v %v", log, err)
		}
		r.Images = []string{"base/c"}
		if _, _, err := ask(r); !errors.Is(err, store.ErrOtherRequest) {
			t.Errorf("other images: %v", err)
		}
		if c, err := store.GetRefresh(t.Context(), st.Q(), "base/c"); c.Due() || err != nil {
			t.Errorf("%+v %v", c, err)
		}
	})
}

// Two replicas that take the same slot at once want it once.
func TestASlotIsTakenOnce(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		n := 0
		for i := range 6 {
			wg.Go(func() {
				taken, err := store.TakeSlot(t.Context(), st.Q(), "refresh", 100)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(fmt.Errorf("%d: %w", i, err))
				}
				if taken {
					n++
				}
			})
		}
		wg.Wait()
		if n != 1 {
			t.Errorf("taken %d times", n)
		}
	})
}
