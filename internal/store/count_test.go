package store_test

import (
	"context"
	"maps"
	"reflect"
	"testing"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func TestCountByState(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		tree(t, st)
		move(t, st, "debian", store.Building)
		got, err := store.CountByState(context.Background(), st.Q(), "rollout_node")
		if want := map[string]int{"waiting": 3, "building": 1}; err != nil || !maps.Equal(got, want) {
			t.Errorf("%v, %v", got, err)
		}
		for _, empty := range []string{"build", "proposal"} {
			if got, err := store.CountByState(context.Background(), st.Q(), empty); err != nil || got == nil || len(got) != 0 {
				t.Errorf("%s: %v, %v", empty, got, err)
			}
		}
		if _, err := store.CountByState(context.Background(), st.Q(), "audit; DROP TABLE audit"); err == nil {
			t.Error("a table without states was counted")
		}
	})
}

func TestBuildDurations(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx := context.Background()
		bounds := []int{5, 60}
		if got, err := store.BuildDurations(ctx, st.Q(), bounds); err != nil || len(got) != 0 {
			t.Errorf("of none: %v, %v", got, err)
		}
		for id, b := range map[string]store.Build{
			"b-1": {State: "done", Started: 1000, Ended: 6000},
			"b-2": {State: "done", Started: 1000, Ended: 6001},
			"b-3": {State: "done", Started: 1000, Ended: 100_000},
			"b-4": {State: "failed", Started: 1000, Ended: 1500},
			"b-5": {State: "running", Started: 1000},
		} {
			b.ID, b.Image = id, "debian"
			if err := store.SaveBuild(ctx, st.Q(), b); err != nil {
				t.Fatal(err)
			}
		}
		got, err := store.BuildDurations(ctx, st.Q(), bounds)
		want := []store.Durations{
			{State: "done", Count: 3, Sum: 5000 + 5001 + 99_000, Buckets: []int{1, 2}},
			{State: "failed", Count: 1, Sum: 500, Buckets: []int{1, 1}},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestLastFix(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx := context.Background()
		if _, found, err := store.LastFix(ctx, st.Q()); err != nil || found {
			t.Errorf("in an empty store: %v, %v", found, err)
		}
		for _, r := range []store.Rollout{
			{ID: "r-1", Cause: "package", State: store.Finished, EndedAt: 10},
			{ID: "r-2", Cause: "package", State: store.Finished, EndedAt: 20, PublishedAt: 5},
			{ID: "r-3", Cause: "package", State: store.Broken, EndedAt: 30},
			{ID: "r-4", Cause: "recipe", State: store.Finished, EndedAt: 40},
			{ID: "r-5", Cause: "package", State: store.Running},
		} {
			if _, err := store.CreateRollout(ctx, st.Q(), r, nil); err != nil {
				t.Fatal(err)
			}
		}
		if r, found, err := store.LastFix(ctx, st.Q()); err != nil || !found || r.ID != "r-2" || r.PublishedAt != 5 {
			t.Errorf("%+v, %v, %v", r, found, err)
		}
	})
}
