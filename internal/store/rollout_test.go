package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

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
		for i, key := range []string{"a", "b", "c"} { // the last two are of one rollout
			p := store.Proposal{Key: key, Rollout: fmt.Sprintf("r-%d", min(i, 1)), Application: "app", Strategy: "pull-request", State: store.ProposalOpen, Wants: map[string]string{"x": key}, CreatedAt: int64(i + 1)}
			if err := store.SaveProposal(ctx, st.Q(), p); err != nil {
				t.Fatal(err)
			}
		}
		last, err := store.LastProposals(ctx, st.Q())
		if err != nil || len(last["app"]) != 2 || last["app"][0].Key != "b" || last["app"][1].Wants["x"] != "c" {
			t.Errorf("%+v, %v", last, err)
		}
		live, err := store.LiveProposals(ctx, st.Q())
		if err != nil || len(live) != 3 {
			t.Errorf("%d live, %v", len(live), err)
		}
	})
}

func TestARolloutEndsWithItsLastNodes(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		for round := range 20 { // two nodes that end together must not each leave the end to the other
			id := fmt.Sprint("r-", round)
			nodes := []store.Node{{Rollout: id, Image: "a", State: store.Waiting}, {Rollout: id, Image: "b", State: store.Waiting}}
			if _, err := store.CreateRollout(t.Context(), st.Q(), store.Rollout{ID: id, State: store.Running}, nodes); err != nil {
				t.Fatal(err)
			}
			var g errgroup.Group
			for _, image := range []string{"a", "b"} {
				g.Go(func() error {
					return st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
						if _, err := store.MoveNode(ctx, q, store.Move{Rollout: id, Image: image, To: store.Skipped, At: 5}); err != nil {
							return err
						}
						return store.Finish(ctx, q, id, 5)
					})
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			if r, err := store.GetRollout(t.Context(), st.Q(), id); err != nil || r.State != store.Finished || r.EndedAt != 5 {
				t.Fatalf("round %d: %+v, %v", round, r, err)
			}
		}
	})
}

func TestTwoMovesOfOneNodeAreBothSeen(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		tree(t, st)
		var g errgroup.Group
		for i := range 8 {
			g.Go(func() error {
				return st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
					_, err := store.MoveNode(ctx, q, store.Move{Rollout: "r-1", Image: "debian", To: store.Building, Reason: fmt.Sprint(i), At: 5,
						Detail: func(d *store.NodeDetail) { d.Missing = append(d.Missing, fmt.Sprint(i)) }})
					return err
				})
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if n, err := store.GetNode(t.Context(), st.Q(), "r-1", "debian"); err != nil || len(n.Detail.Missing) != 8 {
			t.Errorf("%d of 8 changes are there: %v, %v", len(n.Detail.Missing), n.Detail.Missing, err)
		}
	})
}

func TestAnEndedRolloutStaysAsItIs(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		tree(t, st)
		set := func(to store.RolloutState) error {
			return store.SetRollout(t.Context(), st.Q(), "r-1", to, "", 9, "test")
		}
		if err := set(store.Cancelled); err != nil {
			t.Fatal(err)
		}
		if err := set(store.Running); err == nil {
			t.Error("a cancelled rollout runs again")
		}
		for _, image := range []string{"debian", "python", "nginx", "app"} {
			move(t, st, image, store.Skipped)
		}
		if err := store.Finish(t.Context(), st.Q(), "r-1", 10); err != nil {
			t.Fatal(err)
		}
		if r, err := store.GetRollout(t.Context(), st.Q(), "r-1"); err != nil || r.State != store.Cancelled || r.EndedAt != 9 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestANodeCannotWaitForOneThatIsNotThere(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		n := store.Node{Rollout: "r-1", Image: "python", State: store.Waiting, Waiting: 1}
		n.Detail.Step.Parents = []string{"debian"}
		err := st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			_, err := store.CreateRollout(ctx, q, store.Rollout{ID: "r-1", State: store.Running}, []store.Node{n})
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "python waits for debian, which is not in it") {
			t.Error(err)
		}
	})
}

func TestTextsFromOutsideAreCut(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		tree(t, st)
		long := strings.Repeat("ä", 50_000)
		err := st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			if _, err := store.MoveNode(ctx, q, store.Move{Rollout: "r-1", Image: "debian", To: store.Failed, Reason: long, At: 5}); err != nil {
				return err
			}
			if err := store.SaveAttempt(ctx, q, store.Attempt{Key: "k", Outcome: "failed", Reason: long}); err != nil {
				return err
			}
			return store.SaveBuild(ctx, q, store.Build{ID: "b", State: "failed", Error: long, Detail: store.BuildDetail{LogTail: slices.Repeat([]string{long}, 200)}})
		})
		if err != nil {
			t.Fatal(err)
		}
		n, _ := store.GetNode(t.Context(), st.Q(), "r-1", "debian")
		a, _, _ := store.GetAttempt(t.Context(), st.Q(), "k")
		b, err := store.GetBuild(t.Context(), st.Q(), "b")
		if err != nil || len(b.Detail.LogTail) != 100 {
			t.Fatalf("%d lines, %v", len(b.Detail.LogTail), err)
		}
		for what, s := range map[string]string{"reason": n.Reason, "memory": a.Reason, "error": b.Error, "log": b.Detail.LogTail[0]} {
			if len(s) > 2100 || len(s) < 1000 || !utf8.ValidString(s) {
				t.Errorf("%s: %d bytes", what, len(s))
			}
		}
	})
}
