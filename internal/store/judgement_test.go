package store_test

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func TestJudgement(t *testing.T) {
	tally := []store.Tally{{Kind: policy.Vulnerability, Severity: policy.SeverityHigh, Outcome: policy.Fails, Fixable: true, Count: 3}}
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		save := func(outcome string, at int64) (before string) {
			t.Helper()
			before, err := store.SaveJudgement(t.Context(), st.Q(), store.Judgement{Digest: "sha256:a", Image: "base/debian", Outcome: outcome, Basis: "b", At: at, Next: at + 9, Tally: tally, Body: "{}"})
			if err != nil {
				t.Fatal(err)
			}
			return before
		}
		if _, found, err := store.GetJudgement(t.Context(), st.Q(), "sha256:a"); err != nil || found {
			t.Fatalf("found %v, %v", found, err)
		}
		for _, c := range []struct {
			outcome string
			at      int64
			before  string
			since   int64
		}{{"fail", 1, "", 1}, {"fail", 2, "fail", 1}, {"pass", 3, "fail", 3}, {"fail", 4, "pass", 4}} {
			if before := save(c.outcome, c.at); before != c.before {
				t.Errorf("at %d: before was %q, want %q", c.at, before, c.before)
			}
			j, found, err := store.GetJudgement(t.Context(), st.Q(), "sha256:a")
			if want := (store.Judgement{Digest: "sha256:a", Image: "base/debian", Outcome: c.outcome, Basis: "b", At: c.at, Since: c.since, Next: c.at + 9, Tally: tally, Body: "{}"}); err != nil || !found || !reflect.DeepEqual(j, want) {
				t.Errorf("at %d: %+v, %v, %v", c.at, j, found, err)
			}
		}
		if _, err := store.SaveJudgement(t.Context(), st.Q(), store.Judgement{Digest: "sha256:b", Outcome: "fine"}); err == nil {
			t.Error("an outcome that is none was taken")
		}
		all, err := store.JudgedOf(t.Context(), st.Q(), []string{"sha256:b", "sha256:a"})
		if j := all["sha256:a"]; err != nil || len(all) != 1 || j.Outcome != "fail" || j.Since != 4 || !slices.Equal(j.Tally, tally) || j.Body != "" {
			t.Errorf("of all: %+v, %v", all, err)
		}
	})
}

func TestWhatExceptionsDo(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		uses := []store.ExceptionUse{{Exception: "EX-1", Excuses: 2}, {Exception: "ACME-1", Would: 1}}
		for i, j := range []store.Judgement{{Digest: "sha256:a", Uses: uses[1:]}, {Digest: "sha256:a", Uses: uses}, {Digest: "sha256:b"}} {
			j.Image, j.Outcome, j.At = "base/debian", "pass", int64(i)
			if _, err := store.SaveJudgement(t.Context(), st.Q(), j); err != nil {
				t.Fatal(err)
			}
		}
		all, err := store.Judged(t.Context(), st.Q())
		if err != nil || len(all) != 2 || !reflect.DeepEqual(all["sha256:a"].Uses, uses) || len(all["sha256:b"].Uses) != 0 {
			t.Errorf("%+v, %v", all, err)
		}
		before, found, err := store.JudgementBefore(t.Context(), st.Q(), "base/debian", "sha256:b")
		if err != nil || !found || before.Digest != "sha256:a" || !reflect.DeepEqual(before.Uses, uses) {
			t.Errorf("before: %+v %v %v", before, found, err)
		}
		if _, found, err := store.JudgementBefore(t.Context(), st.Q(), "base/other", "sha256:b"); err != nil || found {
			t.Errorf("before the first: %v %v", found, err)
		}
	})
}

func TestScanned(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		for _, s := range []store.Scanned{{"sha256:a", "trivy", 1, "", "{}"}, {"sha256:a", "grype", 1, "no such program", ""}, {"sha256:b", "trivy", 1, "", "{}"}, {"sha256:a", "trivy", 2, "killed", ""}} {
			if err := store.SaveScanned(t.Context(), st.Q(), s); err != nil {
				t.Fatal(err)
			}
		}
		all, err := store.ScannedOf(t.Context(), st.Q(), "sha256:a")
		if err != nil || len(all) != 2 || all[0] != (store.Scanned{"sha256:a", "grype", 1, "no such program", ""}) || all[1] != (store.Scanned{"sha256:a", "trivy", 2, "killed", ""}) {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

func TestProvenance(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		if p, err := store.GetProvenance(t.Context(), st.Q(), "b-1"); err != nil || p != nil {
			t.Fatalf("%s, %v", p, err)
		}
		for _, body := range []string{`{"a":1}`, `{"a":2}`, ""} {
			if err := store.SaveProvenance(t.Context(), st.Q(), "b-1", []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := store.GetProvenance(t.Context(), st.Q(), "b-1"); err != nil || string(p) != `{"a":2}` {
			t.Errorf("%s, %v", p, err)
		}
	})
}

func TestReadBefore(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		for i, of := range []struct{ image, platform string }{{"base/debian", "linux/amd64"}, {"base/debian", "linux/arm64"}, {"base/other", "linux/amd64"}, {"base/debian", "linux/amd64"}} {
			inv := &inventory.Inventory{Format: inventory.Format, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(strconv.Itoa(i), 64)}, Platform: of.platform}
			if err := store.SaveInventory(t.Context(), st.Q(), of.image, inv, int64(i)); err != nil {
				t.Fatal(err)
			}
		}
		for before, want := range map[int64]string{0: "", 3: "0", 4: "3 0"} {
			all, err := store.ReadBefore(t.Context(), st.Q(), "base/debian", "linux/amd64", before, 9)
			var got []string
			for _, r := range all {
				got = append(got, r.Digest[len(r.Digest)-1:])
			}
			if err != nil || strings.Join(got, " ") != want {
				t.Errorf("before %d: %v, %v; want %s", before, got, err, want)
			}
		}
	})
}
