package api

import (
	"strings"
	"testing"
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
)

// A digest of an upstream that is not taken yet is said with its reason and its end; it needs no person, and what stands on the
// digest before is as current as it can be.
func TestWhatIsNotTakenYetIsSaid(t *testing.T) {
	f := small(t)
	now := f.Now().UTC()
	u := f.facts.Upstreams["u"]
	u.Untaken = &plan.Untaken{Digest: digestOf("newer"), Reason: "points to 0123456789ab, which has no linux/arm64 yet", Since: now.Add(-time.Hour), Next: now.Add(23 * time.Hour), Who: "who publishes it"}
	f.facts.Upstreams["u"] = u
	r := f.look(t)
	snap := r.Loop.Last()
	snap.Plan = &plan.Plan{NotDone: []plan.NotDone{{Image: "u", Reason: "u " + u.Untaken.Reason, Since: u.Untaken.Since, Next: u.Untaken.Next, Who: u.Untaken.Who}}}
	r.Loop = looked{snap}

	s, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Untaken) != 1 || s.Untaken[0].Image != "u" || s.Untaken[0].Digest != digestOf("newer").String() || s.Untaken[0].Reason == "" || !s.Untaken[0].Next.Equal(u.Untaken.Next) {
		t.Errorf("status: %+v", s.Untaken)
	}
	if len(s.Needs) != 0 || s.Fleet.States[Behind] != 1 || s.Fleet.States[Stuck] != 0 || s.Fleet.States[Current] != 8 {
		t.Errorf("needs %+v, states %v", s.Needs, s.Fleet.States)
	}
	w, err := r.Why(t.Context(), "u", "")
	if err != nil {
		t.Fatal(err)
	}
	if w.Untaken == nil || w.Image.State != Behind || w.Waits == nil || w.Waits.Then != "taken by itself, at the latest" || !w.Waits.Next.Equal(u.Untaken.Next) || w.Waits.Who == "" {
		t.Errorf("why: %+v, untaken %+v, waits %+v", w.Image, w.Untaken, w.Waits)
	}
	d, err := r.Why(t.Context(), "d", "")
	if err != nil || d.Image.State != Current || !strings.Contains(d.Image.Sentence, "what u points to now is not taken yet") || d.Untaken != nil {
		t.Errorf("what stands on it: %+v %v", d.Image, err)
	}
}

func TestParentsThatTheCatalogDoesNotNameAreSaid(t *testing.T) {
	r := small(t).look(t)
	r.Loop.Last().World.Unlisted = []observe.Unlisted{
		{Image: "app", Evidence: graph.FromAnnotation, Reference: "docker.io/library/golang"},
		{Image: "app", Evidence: graph.FromProvenance, Digest: digestOf("x").String()},
		{Image: "of an older catalog", Evidence: graph.FromAnnotation, Reference: "y"},
	}
	g, err := r.Graph(t.Context())
	if err != nil || len(g.Unlisted) != 2 {
		t.Fatalf("graph: %+v %v", g.Unlisted, err)
	}
	w, err := r.Why(t.Context(), "app", "")
	if err != nil || len(w.Unlisted) != 2 {
		t.Fatalf("why: %+v %v", w.Unlisted, err)
	}
	for i, want := range []string{
		"its annotation claims docker.io/library/golang, which the catalog does not name",
		"its provenance claims an image@" + Short(digestOf("x").String()) + ", which the catalog does not name",
	} {
		if w.Unlisted[i].Sentence != want {
			t.Errorf("%q, want %q", w.Unlisted[i].Sentence, want)
		}
	}
	if w, err := r.Why(t.Context(), "d", ""); err != nil || len(w.Unlisted) != 0 {
		t.Errorf("another image: %+v %v", w.Unlisted, err)
	}
}

// Where platforms differ each is said with what it stands on.
func TestPlatformsThatDifferAreSaid(t *testing.T) {
	f := newFleet(t)
	f.add(t, graph.Base, "d", "", false)
	f.add(t, graph.Base, "child", "d", false)
	f.edges = nil
	for platform, digest := range map[string]string{"linux/amd64": "new", "linux/arm64": "old"} {
		f.edges = append(f.edges, graph.Edge{Parent: "d", Child: "child", Kind: graph.Inherits, Evidence: graph.FromLayers, Platform: platform, Digest: digestOf(digest).String()})
	}
	w, err := f.look(t).Why(t.Context(), "child", "")
	if err != nil || len(w.Built) != 2 {
		t.Fatalf("%+v %v", w.Built, err)
	}
	if a, b := w.Built[0], w.Built[1]; a.Platform != "linux/amd64" || a.Digest != digestOf("new").String() || b.Platform != "linux/arm64" || b.Digest != digestOf("old").String() {
		t.Errorf("%+v", w.Built)
	}
}
