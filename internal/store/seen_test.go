package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/inventory"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func TestSightings(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		see := func(digest string, at int64) {
			t.Helper()
			if err := store.SaveSighting(ctx, q, "r/debian:12", digest, map[string]string{"linux/amd64": "m" + digest}, at); err != nil {
				t.Fatal(err)
			}
		}
		history := func() string {
			t.Helper()
			all, err := store.Sightings(ctx, q, "r/debian:12")
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, s := range all {
				if s.Platforms["linux/amd64"] != "m"+s.Digest {
					t.Errorf("%s: platforms %v", s.Digest, s.Platforms)
				}
				out = append(out, fmt.Sprintf("%s first %d since %d last %d taken %d", s.Digest, s.FirstSeen, s.Since, s.LastSeen, s.TakenAt))
			}
			return strings.Join(out, "; ")
		}
		if got := history(); got != "" {
			t.Errorf("of nothing: %q", got)
		}
		see("a", 10)
		see("a", 20)
		if err := store.TakeSighting(ctx, q, "r/debian:12", "a", 20); err != nil {
			t.Fatal(err)
		}
		if got, want := history(), "a first 10 since 10 last 20 taken 20"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		see("b", 30)
		see("a", 30) // the clock does not tell which came first
		see("a", 40)
		if got, want := history(), "a first 10 since 30 last 40 taken 20; b first 30 since 30 last 30 taken 0"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		see("b", 50)
		see("b", 60)
		if got, want := history(), "b first 30 since 50 last 60 taken 0; a first 10 since 30 last 40 taken 20"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if err := store.SaveSighting(ctx, q, "r/other:1", "a", nil, 70); err != nil {
			t.Fatal(err)
		}
		if got, want := history(), "b first 30 since 50 last 60 taken 0; a first 10 since 30 last 40 taken 20"; got != want {
			t.Errorf("another reference changed it: %q, want %q", got, want)
		}
		for i := range int64(150) {
			see(fmt.Sprint("n", i), 100+i)
		}
		if all, err := store.Sightings(ctx, q, "r/debian:12"); err != nil || len(all) != 100 || all[0].Digest != "n149" {
			t.Errorf("%d rows, %v", len(all), err)
		}
	})
}

func TestOrigins(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		save := func(image, kind string, at int64, platforms ...store.Origin) {
			t.Helper()
			if err := store.SaveOrigins(ctx, q, image, kind, platforms, at); err != nil {
				t.Fatal(err)
			}
		}
		mark := func() string {
			t.Helper()
			m, err := store.LayeredParentsMark(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		empty := mark()
		claims := []store.Claimed{{Evidence: "provenance", Reference: "r/debian:12", Digest: "d", Platform: "linux/amd64"}}
		save("base/debian", "base", 10, store.Origin{Digest: "m1", Platform: "linux/amd64", Layers: []string{"u", "d"}, Claims: claims, Problem: "referrers"})
		save("base/debian", "base", 20, store.Origin{Digest: "m2", Platform: "linux/arm64", Layers: []string{"u"}}, store.Origin{Digest: "none"})
		save("web", "application", 20, store.Origin{Digest: "w1", Layers: []string{"u", "d", "w"}})
		one := mark()
		save("web", "application", 30, store.Origin{Digest: "w2"}, store.Origin{Digest: "w3"})
		if one == empty || mark() != one {
			t.Errorf("marks %q, %q, %q", empty, one, mark())
		}
		got, err := store.GetOrigins(ctx, q, []string{"m1", "m2", "w1", "w2", "w3", "nothing"})
		if err != nil || len(got) != 4 {
			t.Fatalf("%v, %v", got, err)
		}
		if o := got["m1"]; o.Image != "base/debian" || o.Kind != "base" || o.Problem != "referrers" || o.ReadAt != 10 || !slices.Equal(o.Layers, []string{"u", "d"}) || !slices.Equal(o.Claims, claims) {
			t.Errorf("m1: %+v", o)
		}
		if _, ok := got["w1"]; ok {
			t.Error("what an application was before is kept")
		}
		save("base/debian", "base", 40, store.Origin{Digest: "m1", Layers: []string{"u", "d"}})
		if got, err := store.GetOrigins(ctx, q, []string{"m1"}); err != nil || got["m1"].ReadAt != 40 || got["m1"].Problem != "" || len(got["m1"].Claims) != 0 {
			t.Errorf("read again: %+v, %v", got, err)
		}
		if got, err := store.GetOrigins(ctx, q, nil); err != nil || len(got) != 0 {
			t.Errorf("of none: %v, %v", got, err)
		}
	})
}

func TestLayeredParents(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		hash := func(s string) v1.Hash {
			return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", s)}
		}
		for i, x := range []struct{ image, kind, digest string }{{"base/debian", "base", "a"}, {"base/debian", "base", "b"}, {"web", "application", "c"}} {
			if _, err := store.SeenImage(ctx, q, x.image, x.kind, "r", x.digest, "", 1); err != nil {
				t.Fatal(err)
			}
			inv := &inventory.Inventory{Format: inventory.Format, Digest: hash(x.digest), Platform: "linux/amd64", DiffIDs: []v1.Hash{hash("u"), hash(x.digest)}}
			if err := st.Tx(ctx, func(ctx context.Context, q store.Querier) error {
				return store.SaveInventory(ctx, q, x.image, inv, int64(i))
			}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := store.IndexAncestors(ctx, q, 100); err != nil {
			t.Fatal(err)
		}
		layers := []string{hash("u").String(), hash("b").String()}
		if err := store.SaveOrigins(ctx, q, "base/debian", "base", []store.Origin{{Digest: hash("b").String(), Platform: "linux/amd64", Layers: layers}}, 50); err != nil {
			t.Fatal(err)
		}
		got, err := store.LayeredParents(ctx, q)
		if err != nil || len(got) != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
		if got[0].Digest != hash("b").String() || got[1].Digest != hash("a").String() || got[0].Image != "base/debian" || got[1].Platform != "linux/amd64" {
			t.Errorf("%+v", got)
		}
		if all := store.Chains(append(layers, hash("x").String())); len(all) != 3 || all[1] != got[0].Chain || all[1] == got[1].Chain {
			t.Errorf("chains %v are not those of %+v", all, got)
		}
	})
}
