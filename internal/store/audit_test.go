package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func TestAuditLog(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		for i := range 250 {
			e := store.Event{At: int64(1000 + i), Actor: "rebuilder", Kind: store.Automation, Rule: "watch", Action: "promote", Object: fmt.Sprint("base/", i%2)}
			if i%10 == 0 {
				e.Actor, e.Kind, e.Rule, e.Action = "ada", store.Human, "", "pause"
			}
			if err := store.Audit(t.Context(), st.Q(), e); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			name        string
			filter      store.AuditFilter
			n           int
			first, last int64
		}{
			{"newest first, 100 of them", store.AuditFilter{}, 100, 1249, 1150},
			{"a limit", store.AuditFilter{Limit: 2}, 2, 1249, 1248},
			{"all", store.AuditFilter{Limit: 5000}, 250, 1249, 1000},
			{"by a human", store.AuditFilter{Kind: store.Human}, 25, 1240, 1000},
			{"by actor and object", store.AuditFilter{Actor: "ada", Object: "base/0"}, 25, 1240, 1000},
			{"by rule and action", store.AuditFilter{Rule: "watch", Action: "promote", Limit: 1}, 1, 1249, 1249},
			{"a span of time", store.AuditFilter{Since: 1010, Until: 1020}, 10, 1019, 1010},
			{"nothing", store.AuditFilter{Object: "base/2"}, 0, 0, 0},
		} {
			got, err := store.AuditLog(t.Context(), st.Q(), c.filter)
			if err != nil || len(got) != c.n {
				t.Errorf("%s: %d events, want %d (%v)", c.name, len(got), c.n, err)
				continue
			}
			if c.n > 0 && (got[0].At != c.first || got[c.n-1].At != c.last) {
				t.Errorf("%s: %d..%d, want %d..%d", c.name, got[0].At, got[c.n-1].At, c.first, c.last)
			}
		}
	})
}

func TestAuditLogPages(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		for range 7 {
			if err := store.Audit(t.Context(), st.Q(), store.Event{Actor: "ada", Kind: store.Human, Action: "look"}); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[string]bool{}
		for f := (store.AuditFilter{Limit: 3}); ; {
			page, err := store.AuditLog(t.Context(), st.Q(), f)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				if e.At == 0 {
					t.Error("no time")
				}
				seen[e.ID] = true
			}
			f.Before = page[len(page)-1].ID
		}
		if len(seen) != 7 {
			t.Errorf("%d of 7 events on the pages", len(seen))
		}
	})
}

func TestAuditGoesWithItsChange(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		no := errors.New("no")
		err := st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			return errors.Join(store.Audit(ctx, q, store.Event{Actor: "ada", Kind: store.Human, Action: "promote"}), no)
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		if all, err := store.AuditLog(t.Context(), st.Q(), store.AuditFilter{}); err != nil || len(all) != 0 {
			t.Errorf("the log tells of what did not happen: %v %v", all, err)
		}
	})
}
