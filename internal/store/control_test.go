package store_test

import (
	"context"
	"fmt"
	"testing"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func TestControls(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := context.Background(), st.Q()
		c := store.Control{ID: "d-1", Repository: "acme/web", Number: 3, Application: "web", Line: "l", Action: "rebase", Actor: "ada", Comment: 9, At: 5}
		for _, want := range []bool{true, false} { // a delivery comes twice
			if added, err := store.AddControl(ctx, q, c); err != nil || added != want {
				t.Fatalf("added %v, want %v: %v", added, want, err)
			}
		}
		open, err := store.Unanswered(ctx, q)
		if err != nil || len(open) != 1 || open[0].State != store.ControlAsked || open[0].Actor != "ada" || open[0].Comment != 9 {
			t.Fatalf("%+v, %v", open, err)
		}
		c = open[0]
		c.State, c.Until, c.Reason = store.ControlGranted, 7, "until then"
		if err := store.SetControl(ctx, q, c); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Granted(ctx, q, "web"); err != nil || len(got) != 1 || got[0] != c {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := store.Unanswered(ctx, q); err != nil || len(got) != 1 {
			t.Errorf("granted and not answered: %+v, %v", got, err)
		}
		c.Acked = true
		if err := store.SetControl(ctx, q, c); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Unanswered(ctx, q); err != nil || len(got) != 0 {
			t.Errorf("answered: %+v, %v", got, err)
		}
	})
}

// Whoever may comment can ask without end: a hundred of a repository are kept until somebody looks at them.
func TestControlsAreBounded(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, n := context.Background(), 0
		for i := range 150 {
			added, err := store.AddControl(ctx, st.Q(), store.Control{ID: fmt.Sprint(i), Repository: "acme/web", Action: "skip", Actor: "eve", At: 1})
			if err != nil {
				t.Fatal(err)
			}
			if added {
				n++
			}
		}
		if n != 100 {
			t.Errorf("%d are kept", n)
		}
		if added, err := store.AddControl(ctx, st.Q(), store.Control{ID: "x", Repository: "acme/shop", Action: "skip", Actor: "ada", At: 1}); err != nil || !added {
			t.Errorf("another repository: %v %v", added, err)
		}
	})
}

func TestAbandonedPullRequests(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx := context.Background()
		for _, p := range []store.Proposal{
			{Key: "again/old", Number: 1, State: store.ProposalSuperseded, CreatedAt: 1},
			{Key: "again/new", Number: 1, State: store.ProposalOpen, CreatedAt: 2},
			{Key: "left", Number: 2, State: store.ProposalSuperseded, CreatedAt: 3},
			{Key: "done", Number: 3, State: store.ProposalSuperseded, CreatedAt: 4, WithdrawnAt: 5},
			{Key: "merged", Number: 4, State: store.ProposalBuilt, CreatedAt: 5, MergedAt: 6},
			{Key: "by another way", Number: 5, State: store.ProposalBuilt, CreatedAt: 6},
			{Key: "never opened", State: store.ProposalSuperseded, CreatedAt: 7},
			{Key: "twice/1", Number: 6, State: store.ProposalSuperseded, CreatedAt: 8},
			{Key: "twice/2", Number: 6, State: store.ProposalSuperseded, CreatedAt: 9},
		} {
			p.Repository, p.Application = "acme/web", "web"
			if err := store.SaveProposal(ctx, st.Q(), p); err != nil {
				t.Fatal(err)
			}
		}
		got, err := store.Abandoned(ctx, st.Q())
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, p := range got {
			keys = append(keys, p.Key)
		}
		if want := "[twice/2 by another way left]"; fmt.Sprint(keys) != want {
			t.Errorf("%v, want %s", keys, want)
		}
	})
}
