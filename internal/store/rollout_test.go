package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/plan"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// tree is debian <- python <- app, and nginx beside python.
func tree(t *testing.T, st *store.Store) {
	t.Helper()
	node := func(image, kind string, parents ...string) store.Node {
		n := store.Node{Rollout: "r-1", Image: image, Kind: kind, State: store.Waiting, Waiting: len(parents), Attempt: 1}
		n.Detail.Step = plan.Step{Image: image, Parents: parents}
		return n
	}
	nodes := []store.Node{node("debian", "base"), node("python", "base", "debian"), node("nginx", "base", "debian"), node("app", "application", "python", "nginx")}
	err := st.Tx(context.Background(), func(ctx context.Context, q store.Querier) error {
		_, err := store.CreateRollout(ctx, q, store.Rollout{ID: "r-1", Plan: "p-1", Cause: "package", Title: "t", State: store.Running, CreatedAt: 1}, nodes)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, st *store.Store, image string, to store.NodeState) {
	t.Helper()
	if err := tryMove(st, image, to); err != nil {
		t.Fatal(err)
	}
}

func tryMove(st *store.Store, image string, to store.NodeState) error {
	return st.Tx(context.Background(), func(ctx context.Context, q store.Querier) error {
		_, err := store.MoveNode(ctx, q, store.Move{Rollout: "r-1", Image: image, To: to, Reason: "because", At: 5, Rule: "test"})
		return err
	})
}

func release(t *testing.T, st *store.Store, image string) (ready []string) {
	t.Helper()
	err := st.Tx(context.Background(), func(ctx context.Context, q store.Querier) (err error) {
		ready, err = store.Release(ctx, q, "r-1", image, 6)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ready
}

func TestChildrenGoWhenTheirLastParentEnds(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		tree(t, st)
		if got := release(t, st, "debian"); !slices.Equal(got, []string{"nginx", "python"}) {
			t.Errorf("after debian: %v", got)
		}
		if got := release(t, st, "python"); len(got) != 0 {
			t.Errorf("app must wait for nginx too, got %v", got)
		}
		n, err := store.GetNode(context.Background(), st.Q(), "r-1", "app")
		if err != nil || n.Waiting != 1 || !strings.Contains(n.Reason, "waits for 1") {
			t.Errorf("app: %+v, %v", n, err)
		}
		if got := release(t, st, "nginx"); !slices.Equal(got, []string{"app"}) {
			t.Errorf("after nginx: %v", got)
		}
	})
}

func TestOnlyTheStatesThatMayFollow(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		tree(t, st)
		if err := tryMove(st, "debian", store.Promoting); err == nil {
			t.Error("waiting -> promoting was accepted")
		}
		for _, s := range []store.NodeState{store.Building, store.Scanning, store.Promoting, store.Done} {
			move(t, st, "debian", s)
		}
		if err := tryMove(st, "debian", store.Building); err == nil {
			t.Error("done -> building was accepted")
		}
	})
}

func TestARepeatedMoveWritesOneAuditRow(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		tree(t, st)
		move(t, st, "debian", store.Building)
		move(t, st, "debian", store.Building)
		events, err := store.AuditLog(context.Background(), st.Q(), store.AuditFilter{Object: "debian"})
		if err != nil || len(events) != 1 {
			t.Errorf("%d rows, %v", len(events), err)
		}
	})
}

func TestARolloutEndsWithItsLastNode(t *testing.T) {
	for _, c := range []struct {
		last store.NodeState
		want store.RolloutState
	}{{store.Skipped, store.Finished}, {store.Failed, store.Broken}} {
		t.Run(string(c.last), func(t *testing.T) {
			storetest.Both(t, func(t *testing.T, st *store.Store) {
				tree(t, st)
				ctx := context.Background()
				finish := func() store.Rollout {
					if err := st.Tx(ctx, func(ctx context.Context, q store.Querier) error { return store.Finish(ctx, q, "r-1", 9) }); err != nil {
						t.Fatal(err)
					}
					r, err := store.GetRollout(ctx, st.Q(), "r-1")
					if err != nil {
						t.Fatal(err)
					}
					return r
				}
				for _, image := range []string{"debian", "python", "nginx"} {
					move(t, st, image, store.Skipped)
				}
				if r := finish(); r.State != store.Running {
					t.Fatalf("ended as %s while app waits", r.State)
				}
				move(t, st, "app", c.last)
				if r := finish(); r.State != c.want || r.EndedAt != 9 {
					t.Errorf("ended as %s at %d", r.State, r.EndedAt)
				}
			})
		})
	}
}

func TestAPlanIsAppliedOnce(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		tree(t, st)
		var created bool
		err := st.Tx(context.Background(), func(ctx context.Context, q store.Querier) (err error) {
			created, err = store.CreateRollout(ctx, q, store.Rollout{ID: "r-1", State: store.Running}, nil)
			return err
		})
		if err != nil || created {
			t.Errorf("created again: %v, %v", created, err)
		}
	})
}

func TestSinceCountsFromTheFirstSight(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx := context.Background()
		for _, c := range []struct {
			digest   string
			at, want int64
		}{{"d1", 10, 10}, {"d1", 20, 10}, {"d2", 30, 30}, {"d2", 40, 30}} {
			since, err := store.SeenImage(ctx, st.Q(), "base/debian", "base", "r/debian:stable", c.digest, "", c.at)
			if err != nil || since != c.want {
				t.Errorf("image %s at %d: since %d, want %d, %v", c.digest, c.at, since, c.want, err)
			}
			since, err = store.SeenRepository(ctx, st.Q(), "k", "http://d", "stable", c.digest, 1, "", c.at)
			if err != nil || since != c.want {
				t.Errorf("repository %s at %d: since %d, want %d, %v", c.digest, c.at, since, c.want, err)
			}
		}
	})
}

func TestTheNewestProposalOfAnApplication(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx := context.Background()
		tree(t, st)
		for i, key := range []string{"a", "b"} {
			p := store.Proposal{Key: key, Rollout: "r-1", Application: "app", Strategy: "pull-request", State: store.ProposalOpen, Wants: map[string]string{"x": key}, CreatedAt: int64(i + 1)}
			if err := store.SaveProposal(ctx, st.Q(), p); err != nil {
				t.Fatal(err)
			}
		}
		last, err := store.LastProposals(ctx, st.Q())
		if err != nil || last["app"].Key != "b" || last["app"].Wants["x"] != "b" {
			t.Errorf("%+v, %v", last, err)
		}
		live, err := store.LiveProposals(ctx, st.Q())
		if err != nil || len(live) != 2 {
			t.Errorf("%d live, %v", len(live), err)
		}
	})
}
