package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/plan"
)

// sighting is a digest with platforms "amd64 arm64"; times are hours before noon, taken -1 for never.
func sighting(digest, platforms string, first, since, taken float64) plan.Sighting {
	ago := func(hours float64) time.Time { return noon.Add(-time.Duration(hours * float64(time.Hour))) }
	s := plan.Sighting{Digest: hash(digest), Manifests: map[string]v1.Hash{}, FirstSeen: ago(first), Since: ago(since)}
	if taken >= 0 {
		s.Taken = ago(taken)
	}
	for _, p := range strings.Fields(platforms) {
		s.Manifests["linux/"+p] = hash(digest + p[:2])
	}
	return s
}

func TestTake(t *testing.T) {
	a := sighting("A", "amd64 arm64", 100, 100, 100)
	for _, c := range []struct {
		name    string
		history []plan.Sighting // what it points to now first
		needs   string
		gone    bool
		want    string
		says    string
		next    float64 // hours after noon
	}{
		{"the first that was ever seen, whatever it is", []plan.Sighting{sighting("A", "arm64", 0, 0, -1)}, "linux/amd64", false, "A", "", 0},
		{"nothing moved", []plan.Sighting{a}, "linux/amd64", false, "A", "", 0},
		{"a new one that has all", []plan.Sighting{sighting("B", "amd64 arm64 riscv64", 0, 0, -1), a}, "linux/amd64", false, "B", "", 0},
		{"a new one that lacks what the one before had", []plan.Sighting{sighting("B", "amd64", 1, 1, -1), a}, "linux/amd64", false, "A", "has no linux/arm64 yet", 23},
		{"a new one that lacks what a base needs", []plan.Sighting{sighting("B", "amd64 arm64", 2, 2, -1), a}, "linux/amd64 linux/s390x", false, "A", "has no linux/s390x yet", 22},
		{"it did not become complete in a day", []plan.Sighting{sighting("B", "amd64", 24, 24, -1), a}, "linux/amd64", false, "B", "", 0},
		{"the complete one came after it", []plan.Sighting{sighting("C", "amd64 arm64", 0, 0, -1), sighting("B", "amd64", 1, 1, -1), a}, "linux/amd64", false, "C", "", 0},
		{"back to one that we built from", []plan.Sighting{sighting("A", "amd64 arm64", 100, 1, 100), sighting("B", "amd64 arm64", 10, 10, 10)}, "linux/amd64", false, "B", "points back to", 23},
		{"back to one that we did not build from", []plan.Sighting{sighting("B", "amd64 arm64", 10, 1, -1), sighting("C", "amd64 arm64", 5, 5, 5), a}, "linux/amd64", false, "C", "points back to", 23},
		{"and forward again", []plan.Sighting{sighting("B", "amd64 arm64", 10, 0, 10), sighting("A", "amd64 arm64", 100, 1, 100)}, "linux/amd64", false, "B", "", 0},
		{"back for a day: it was meant", []plan.Sighting{sighting("A", "amd64 arm64", 100, 24, 100), sighting("B", "amd64 arm64", 30, 30, 30)}, "linux/amd64", false, "A", "", 0},
		{"the one that was taken is gone", []plan.Sighting{sighting("A", "amd64 arm64", 100, 1, 100), sighting("B", "amd64 arm64", 10, 10, 10)}, "linux/amd64", true, "A", "", 0},
		{"no index, another one", []plan.Sighting{sighting("B", "amd64", 0, 0, -1), sighting("A", "amd64", 9, 9, 9)}, "linux/amd64", false, "B", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, untaken := plan.Take(c.history, strings.Fields(c.needs), c.gone, noon)
			if got.Digest != hash(c.want) {
				t.Errorf("takes %s", got.Digest)
			}
			switch {
			case untaken == nil && c.says == "":
			case untaken == nil || c.says == "" || !strings.Contains(untaken.Reason, c.says):
				t.Errorf("untaken %+v, want %q", untaken, c.says)
			case untaken.Digest != c.history[0].Digest || untaken.Since != c.history[0].Since || untaken.Who == "" || !untaken.Next.Equal(noon.Add(time.Duration(c.next*float64(time.Hour)))):
				t.Errorf("untaken %+v", untaken)
			}
		})
	}
}

// TestTakeOfARestlessReference lets a reference point here and there, as mirrors make it, with the memory that the store
// keeps.
func TestTakeOfARestlessReference(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var history []plan.Sighting
		now, last := noon, v1.Hash{}
		point := func(digest, platforms string) {
			i := slices.IndexFunc(history, func(s plan.Sighting) bool { return s.Digest == hash(digest) })
			s := sighting(digest, platforms, 0, 0, -1)
			s.FirstSeen, s.Since = now, now
			if i >= 0 {
				s.FirstSeen, s.Taken = history[i].FirstSeen, history[i].Taken
				if i == 0 {
					s.Since = history[0].Since
				}
				s.Manifests = history[i].Manifests
				history = slices.Delete(history, i, i+1)
			}
			history = append([]plan.Sighting{s}, history...)
			got, untaken := plan.Take(history, []string{"linux/amd64"}, false, now)
			i = slices.IndexFunc(history, func(s plan.Sighting) bool { return s.Digest == got.Digest })
			if (untaken == nil) != (i == 0) || untaken != nil && (untaken.Digest != s.Digest || !untaken.Next.After(now)) {
				t.Fatalf("seed %d: takes %s of %v, untaken %+v", seed, got.Digest, history, untaken)
			}
			if moved := last != (v1.Hash{}) && got.Digest != last; moved {
				if old := !history[i].Taken.IsZero(); old && now.Sub(history[i].Since) < 24*time.Hour {
					t.Fatalf("seed %d: goes back to %s after %s", seed, got.Digest, now.Sub(history[i].Since))
				} else if old {
					seen["went back"]++
				}
				seen["moved"]++
			}
			if untaken != nil {
				seen["untaken"]++
			}
			history[i].Taken, last = now, got.Digest
		}
		for k := range 40 {
			now = now.Add(time.Duration(1+r.IntN(40)) * time.Hour / 4)
			digest, platforms := fmt.Sprint("D", k), "amd64 arm64"
			if r.IntN(3) > 0 {
				digest = fmt.Sprint("D", max(0, k-1-r.IntN(4)))
			}
			if r.IntN(4) == 0 {
				platforms = "amd64"
			}
			point(digest, platforms)
		}
		now = now.Add(24 * time.Hour)
		point("D3", "amd64")
		now = now.Add(24 * time.Hour)
		point("D3", "amd64")
		if last != hash("D3") {
			t.Fatalf("seed %d: it stands for a day and %s is taken", seed, last)
		}
	}
	for _, k := range []string{"moved", "untaken", "went back"} {
		if seen[k] == 0 {
			t.Errorf("no case met %q", k)
		}
	}
}

func TestWhatIsNotTakenIsSaid(t *testing.T) {
	w := current()
	u := w.f.Upstreams["upstream/debian"]
	u.Untaken = &plan.Untaken{Digest: hash("U2"), Reason: "points to it, which has no linux/arm64 yet", Since: noon.Add(-time.Hour), Next: noon.Add(23 * time.Hour), Who: "who publishes it"}
	w.f.Upstreams["upstream/debian"] = u
	p := w.make(t)
	want := plan.NotDone{Image: "upstream/debian", Reason: "r/upstream/debian:12 points to it, which has no linux/arm64 yet", Since: noon.Add(-time.Hour), Next: noon.Add(23 * time.Hour), Who: "who publishes it"}
	if !p.Empty() || !slices.Contains(p.NotDone, want) {
		t.Errorf("%s\n%+v", steps(p), p.NotDone)
	}
	if same := current().make(t); same.ID != p.ID {
		t.Error("what is not taken makes it another plan")
	}
}
