package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/plan"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func days(n int64) int64 { return n * (24 * time.Hour).Milliseconds() }

func TestPrune(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		do := func(errs ...error) {
			t.Helper()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		see := func(ref, digest string, at int64, taken bool) {
			t.Helper()
			do(store.SaveSighting(ctx, q, ref, digest, nil, at))
			if taken {
				do(store.TakeSighting(ctx, q, ref, digest, at))
			}
		}
		for _, at := range []int64{100, 1000} {
			name := fmt.Sprint(at)
			do(st.Tx(ctx, func(ctx context.Context, q store.Querier) error {
				_, _, err := store.AskRefresh(ctx, q, store.Request{ID: name, Images: []string{"base/left " + name, "base/kept " + name}, Actor: "ada", At: days(at)})
				return err
			}))
			do(store.SaveOrigins(ctx, q, "base/a", "base", []store.Origin{{Digest: name}}, days(at)))
			for _, image := range []string{"base/judged " + name, "base/judged"} {
				_, err := store.SaveJudgement(ctx, q, store.Judgement{Digest: image + " at " + name, Image: image, Outcome: "pass", At: days(at)})
				do(err)
			}
			do(store.SaveScanned(ctx, q, store.Scanned{Digest: name, Scanner: "trivy", At: days(at)}))
			_, err := store.SeenRepository(ctx, q, name, "http://d", "stable", "h", 0, "", days(at))
			do(err)
			do(store.SaveObserved(ctx, q, store.Observed{Key: "gone " + name, Kind: store.ObservedImage, Place: "r"}), store.ObservedGone(ctx, q, "gone "+name, days(at)))
			do(store.SaveObserved(ctx, q, store.Observed{Key: "here " + name, Kind: store.ObservedImage, Place: "r", LastSeen: days(at)}))
			for _, made := range []int64{at, at + 5} {
				do(store.SavePlan(ctx, q, &plan.Plan{ID: "shown again", MadeAt: time.UnixMilli(days(made))}))
			}
			do(store.SavePlan(ctx, q, &plan.Plan{ID: "shown " + name, MadeAt: time.UnixMilli(days(at))}))
			_, err = q.Exec(ctx, `INSERT INTO plan(id, created_at, applied_at, rollout) VALUES($1,$2,$2,$1)`, "applied "+name, days(at))
			do(err)
		}
		see("followed", "before", days(100), true)
		see("followed", "taken", days(200), true)
		see("followed", "skipped", days(300), false)
		see("followed", "lately", days(1000), false)
		see("followed", "now", days(1001), false)
		see("quiet", "before", days(690), false) // not seen for less than a year
		see("quiet", "now", days(700), false)
		see("left", "before", days(100), true)
		see("left", "now", days(101), true)

		now, images := days(1010), []string{"base/kept 100", "base/kept 1000"}
		n, err := store.Prune(ctx, q, now, images)
		do(err)
		var got []string
		for _, query := range []string{
			`SELECT 'request ' || id FROM request`, `SELECT 'refresh ' || image FROM refresh`, `SELECT 'origin ' || digest FROM origin`,
			`SELECT 'repository ' || key FROM repository`, `SELECT 'observed ' || key FROM observed`, `SELECT 'plan ' || id FROM plan`,
			`SELECT 'seen ' || reference || ' ' || digest FROM seen`, `SELECT 'verdict ' || digest FROM judgement`, `SELECT 'scanned ' || digest FROM scanned`,
		} {
			rows, err := store.Collect(ctx, q, func(s interface{ Scan(...any) error }) (text string, err error) { return text, s.Scan(&text) }, query)
			do(err)
			got = append(got, rows...)
		}
		want := []string{
			"request 1000", "refresh base/kept 100", "refresh base/kept 1000", "refresh base/left 1000", "origin 1000", "repository 1000",
			"observed gone 1000", "observed here 100", "observed here 1000", "plan applied 100", "plan applied 1000", "plan shown 1000", "plan shown again",
			"verdict base/judged 100 at 100", "verdict base/judged 1000 at 1000", "verdict base/judged at 1000", "scanned 1000",
			"seen followed lately", "seen followed now", "seen followed taken", "seen quiet now",
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("left are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
		if n != 13 {
			t.Errorf("%d rows were removed", n)
		}
		if n, err := store.Prune(ctx, q, now, images); n != 0 || err != nil {
			t.Errorf("the second time removes %d, %v", n, err)
		}
	})
}
