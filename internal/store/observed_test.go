package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/inventory"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func TestObserved(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		save := func(o store.Observed) {
			t.Helper()
			if err := store.SaveObserved(ctx, q, o); err != nil {
				t.Fatal(err)
			}
		}
		get := func(key string) store.Observed {
			t.Helper()
			o, found, err := store.GetObserved(ctx, q, key)
			if err != nil || !found {
				t.Fatalf("%s: found %v, %v", key, found, err)
			}
			return o
		}
		one := store.Observed{
			Key: "image r/a:1", Kind: store.ObservedImage, Place: "r", Name: "r/a:1", Repository: "r/a", Digest: "d1", LastSeen: 10, Walk: 1,
			Parents: []store.ObservedParent{{Name: "base/debian", Kind: "inherits", Evidence: "layers", Platform: "linux/amd64"}},
			Detail:  store.ObservedDetail{Omitted: 3, Platforms: []store.ObservedPlatform{{Platform: "linux/amd64", DiffIDs: []string{"x"}}}},
		}
		save(one)
		one.LastSeen, one.Walk = 20, 2
		save(one)
		if got := get(one.Key); got.FirstSeen != 10 || got.LastSeen != 20 || got.ChangedAt != 10 || got.Walk != 2 || got.Detail.Omitted != 3 ||
			len(got.Parents) != 1 || got.Parents[0].Platform != "linux/amd64" || got.Detail.Platforms[0].DiffIDs[0] != "x" {
			t.Errorf("seen twice: %+v", got)
		}
		one.LastSeen, one.Digest, one.Parents, one.Unknown = 30, "d2", nil, strings.Repeat("x", 5000)
		save(one)
		if got := get(one.Key); got.FirstSeen != 10 || got.ChangedAt != 30 || len(got.Parents) != 0 || len(got.Unknown) > 2100 {
			t.Errorf("moved: %+v", got)
		}
		two := store.Observed{Key: "image r/b:1", Kind: store.ObservedImage, Place: "r", Name: "r/b:1", Repository: "r/b", LastSeen: 30, Walk: 3}
		save(two)
		unseen, err := store.ObservedUnseen(ctx, q, "r", 3, 10)
		if err != nil || len(unseen) != 1 || unseen[0].Key != one.Key {
			t.Fatalf("unseen: %+v, %v", unseen, err)
		}
		for _, at := range []int64{40, 50} {
			if err := store.ObservedGone(ctx, q, one.Key, at); err != nil {
				t.Fatal(err)
			}
		}
		if got := get(one.Key); got.GoneAt != 40 {
			t.Errorf("gone at %d, want the first time it was noticed", got.GoneAt)
		}
		if unseen, err := store.ObservedUnseen(ctx, q, "r", 3, 10); err != nil || len(unseen) != 0 {
			t.Errorf("what is gone is unseen: %+v, %v", unseen, err)
		}
		all, err := store.ObservedAll(ctx, q)
		if err != nil || len(all) != 2 || all[0].Key != one.Key || len(all[0].Detail.Platforms) != 0 {
			t.Errorf("all: %+v, %v", all, err)
		}
		if err := store.ForgetObserved(ctx, q, one.Key); err != nil {
			t.Fatal(err)
		}
		if _, found, err := store.GetObserved(ctx, q, one.Key); found || err != nil {
			t.Errorf("forgotten: found %v, %v", found, err)
		}
		save(one)
		if got := get(one.Key); got.GoneAt != 0 {
			t.Error("what came back is still gone")
		}
		if err := store.ObservedKept(ctx, q, "r", "r/a", 9, "because"); err != nil {
			t.Fatal(err)
		}
		if got := get(one.Key); got.Walk != 9 || got.Unknown != "because" || got.LastSeen != 30 {
			t.Errorf("kept: %+v", got)
		}
		if got := get(two.Key); got.Walk != 3 {
			t.Errorf("another repository was kept: %+v", got)
		}
		for name, bad := range map[string]string{
			"an unknown kind":  `INSERT INTO observed(key, kind, place, name) VALUES('k', 'tag', 'r', 'n')`,
			"an unknown state": `INSERT INTO observed(key, kind, place, name, state) VALUES('k', 'image', 'r', 'n', 'sleepy')`,
			"an unknown phase": `INSERT INTO walk(place, phase) VALUES('k', 'running')`,
		} {
			if _, err := q.Exec(ctx, bad); err == nil {
				t.Errorf("%s was stored", name)
			}
		}
	})
}

func TestJudgeObserved(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		row := store.Observed{Key: "image r/web:main", Kind: store.ObservedImage, Place: "r", Name: "r/web:main", Digest: "d1", Walk: 1}
		if err := store.SaveObserved(ctx, q, row); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name    string
			change  func(*store.Observed)
			changed bool
		}{
			{"the same", func(*store.Observed) {}, false},
			{"a parent", func(o *store.Observed) { o.Parents = []store.ObservedParent{{Name: "base/debian"}} }, true},
			{"the same again", func(*store.Observed) {}, false},
			{"a long sentence", func(o *store.Observed) { o.Unknown = strings.Repeat("?", 5000) }, true},
			{"the same long sentence", func(*store.Observed) {}, false},
			{"looked at since", func(o *store.Observed) { o.Walk, o.Unknown = 2, "" }, false},
			{"moved since", func(o *store.Observed) { o.Walk, o.Digest = 1, "d2" }, false},
		} {
			c.change(&row)
			if changed, err := store.JudgeObserved(ctx, q, row); changed != c.changed || err != nil {
				t.Errorf("%s: changed %v, %v", c.name, changed, err)
			}
		}
	})
}

func TestWalkHasOneWriter(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		mine, err := store.GetWalk(ctx, q, "r")
		if err != nil || mine.Phase != store.Complete || mine.Number != 0 {
			t.Fatalf("never begun: %+v, %v", mine, err)
		}
		theirs := mine
		mine.Number, mine.Phase, mine.Page, mine.After = 1, store.Walking, "p", "a"
		for range 2 {
			if err := store.SaveWalk(ctx, q, &mine); err != nil {
				t.Fatal(err)
			}
		}
		theirs.Number, theirs.Phase = 7, store.Walking
		if err := store.SaveWalk(ctx, q, &theirs); !errors.Is(err, store.ErrWalkLost) {
			t.Errorf("the second one at the same place: %v", err)
		}
		mine.NotBefore, mine.Scope, mine.NextAt = 5, "patterns", 6
		if err := store.SaveWalk(ctx, q, &mine); err != nil {
			t.Fatal(err)
		}
		got, err := store.GetWalk(ctx, q, "r")
		if err != nil || got != mine {
			t.Errorf("got %+v, want %+v; %v", got, mine, err)
		}
		if err := store.ForgetPlaces(ctx, q, "discovery/", nil); err != nil {
			t.Fatal(err)
		}
		if err := store.SaveWalk(ctx, q, &mine); !errors.Is(err, store.ErrWalkLost) {
			t.Errorf("of a place that was forgotten meanwhile: %v", err)
		}
	})
}

func TestForgetPlaces(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		for _, place := range []string{"a", "b"} {
			w := store.Walk{Place: place, Phase: store.Walking}
			err := errors.Join(store.SaveWalk(ctx, q, &w), store.SaveWatcher(ctx, q, store.Watcher{Name: "discovery/" + place}),
				store.SaveObserved(ctx, q, store.Observed{Key: place, Kind: store.ObservedImage, Place: place, Name: place}))
			if err != nil {
				t.Fatal(err)
			}
		}
		// A heartbeat without a walk, and one of somebody else.
		if err := errors.Join(store.SaveWatcher(ctx, q, store.Watcher{Name: "discovery/c"}), store.SaveWatcher(ctx, q, store.Watcher{Name: "packages"})); err != nil {
			t.Fatal(err)
		}
		err := st.Tx(ctx, func(ctx context.Context, q store.Querier) error {
			return store.ForgetPlaces(ctx, q, "discovery/", []string{"b"})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"walk", "observed"} {
			if n := count(t, q, `SELECT count(*) FROM `+table); n != 1 {
				t.Errorf("%d rows are left in %s, want those of b", n, table)
			}
		}
		left, err := store.Watchers(ctx, q)
		if err != nil || len(left) != 2 || left[0].Name != "discovery/b" || left[1].Name != "packages" {
			t.Errorf("heartbeats %+v, %v", left, err)
		}
	})
}

func TestAncestors(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		layer := func(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }
		read := func(image, digest string, at int64, layers ...string) {
			inv := &inventory.Inventory{Format: inventory.Format, Digest: layer(digest), Platform: "linux/amd64"}
			for _, l := range layers {
				inv.DiffIDs = append(inv.DiffIDs, layer(l))
			}
			if err := store.SaveInventory(ctx, q, image, inv, at); err != nil {
				t.Fatal(err)
			}
		}
		read("base/debian", "1", 1, "a")
		read("base/java", "2", 2, "a", "b")
		read("base/java", "3", 3, "a", "b") // another configuration, the same layers
		read("base/go", "4", 4, "a", "c")
		read("base/empty", "5", 5)
		for _, want := range []int{3, 2, 0} {
			if n, err := store.IndexAncestors(ctx, q, 3); err != nil || n != want {
				t.Fatalf("indexed %d, %v, want %d", n, err, want)
			}
		}
		for _, c := range []struct{ layers, want string }{
			{"a b d", "base/java 3, base/java 2, base/debian 1"},
			{"a b", "base/java 3, base/java 2, base/debian 1"},
			{"a", "base/debian 1"},
			{"b a", ""},
			{"d", ""},
			{"", ""},
		} {
			var diff []string
			for _, l := range strings.Fields(c.layers) {
				diff = append(diff, layer(l).String())
			}
			before := slices.Clone(diff)
			got, err := store.Ancestors(ctx, q, diff)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, a := range got {
				names = append(names, a.Image+" "+strings.TrimPrefix(a.Digest, "sha256:")[:1])
			}
			if s := strings.Join(names, ", "); s != c.want {
				t.Errorf("%q: got %q, want %q", c.layers, s, c.want)
			}
			if !slices.Equal(diff, before) {
				t.Error("the caller's layers were changed")
			}
		}
	})
}
