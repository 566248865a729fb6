package api

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/observe"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
	"rebuilder/internal/reconcile"
	"rebuilder/internal/store"
)

func TestTarget(t *testing.T) {
	d := strings.Repeat("0123456789abcdef", 4)
	for asked, want := range map[string]target{
		"openssl":                       {kind: TargetPackage, name: "openssl"},
		" libstdc++6 ":                  {kind: TargetPackage, name: "libstdc++6"},
		"openssl@3.0.15-1~deb12u1":      {kind: TargetPackage, name: "openssl", op: "=", version: "3.0.15-1~deb12u1"},
		"openssl<1:3.0":                 {kind: TargetPackage, name: "openssl", op: "<", version: "1:3.0"},
		"openssl < 3.0":                 {kind: TargetPackage, name: "openssl", op: "<", version: "3.0"},
		"openssl<=3.0":                  {kind: TargetPackage, name: "openssl", op: "<=", version: "3.0"},
		"sha256:" + d:                   {kind: TargetDigest, name: "sha256:" + d},
		"sha256:012345":                 {kind: TargetDigest, name: "sha256:012345"},
		"base/debian@012345678901":      {kind: TargetDigest, name: "sha256:012345678901"},
		"reg:5000/a/b:c@sha256:" + d:    {kind: TargetDigest, name: "sha256:" + d},
		"debian@sha256:0123456789ab":    {kind: TargetDigest, name: "sha256:0123456789ab"},
		"cve-2026-1234":                 {kind: TargetAdvisory, name: "CVE-2026-1234"},
		"ghsa-ABCD-2345-wxyz":           {kind: TargetAdvisory, name: "GHSA-abcd-2345-wxyz"},
		"DSA-5999-1":                    {kind: TargetAdvisory, name: "DSA-5999-1"},
		"RHSA-2026:1234":                {kind: TargetAdvisory, name: "RHSA-2026:1234"},
		"cve-tool":                      {kind: TargetPackage, name: "cve-tool"},
		"usn-":                          {kind: TargetPackage, name: "usn-"},
		"openssl@012345678901":          {kind: TargetPackage, name: "openssl", op: "=", version: "012345678901"},
		"kernel-rt@4.18.0-80.el8:x86":   {kind: TargetPackage, name: "kernel-rt", op: "=", version: "4.18.0-80.el8:x86"},
		"linux-libc-dev@6.1.0+git@nope": {},
		"":                              {},
		"<3":                            {},
		"openssl<":                      {},
		"openssl@":                      {},
		"two words":                     {},
		"sha256:01":                     {},
		"sha256:nothex":                 {},
		strings.Repeat("x", 600):        {},
	} {
		got, err := parseTarget(asked)
		switch {
		case want.kind == "" && err == nil:
			t.Errorf("%.60q was taken as %+v", asked, got)
		case want.kind == "" && (err.Hint == "" || len(err.Message) > 200):
			t.Errorf("%.60q: no way out, or too many words: %v", asked, err)
		case want.kind != "" && (err != nil || got != want):
			t.Errorf("%.60q: %+v %v, want %+v", asked, got, err, want)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"openssl<=3", "a@b", "sha256:abcdef", "x/y@sha256:0123456789ab", "CVE-2026-1234"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTarget(s)
		if err != nil {
			return
		}
		if got.name == "" || len(got.name) > maxTarget || (got.op == "") != (got.version == "") || got.kind == TargetDigest && !strings.HasPrefix(got.name, "sha256:") {
			t.Errorf("%q: %+v", s, got)
		}
		_, _ = got.asks("deb", s)
	})
}

func TestVersionsThatAreAskedFor(t *testing.T) {
	for _, c := range []struct {
		asked, family, version string
		want                   bool
	}{
		{"p", "deb", "whatever", true},
		{"p<1.1", "deb", "1.1~rc1", true},
		{"p<1.1", "deb", "1.1", false},
		{"p<=1.1", "deb", "1.1", true},
		{"p<1.1", "deb", "1:0.1", false},
		{"p@1.1", "deb", "1.1", true},
		{"p@1.1", "deb", "1.2", false},
		{"p@1.1-r0", "apk", "1.1-r0", true},
		{"p<1.1-r1", "apk", "1.1-r0", true},
		{"p<1.1-1.el9", "rpm", "1.1-0.el9", true},
	} {
		target, err := parseTarget(c.asked)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := target.asks(c.family, c.version); err != nil || got != c.want {
			t.Errorf("%s of %s %s: %v %v, want %v", c.asked, c.family, c.version, got, err, c.want)
		}
	}
	if _, err := (target{op: "<", version: "1"}).asks("cran", "2"); err == nil {
		t.Error("the order of an unknown family was told")
	}
}

// looked is a loop that looked once.
type looked struct{ reconcile.Snapshot }

func (l looked) Last() reconcile.Snapshot { return l.Snapshot }

func digestOf(name string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256([]byte(name)))}
}

// fleetOf is a small fleet: u <- d <- j <- app, and what others have on it.
type fleetOf struct {
	Reader
	facts   plan.Facts
	catalog catalog.Catalog
	nodes   []graph.Node
	edges   []graph.Edge
	os      inventory.OS // of images that are added
}

func newFleet(t testing.TB) *fleetOf {
	t.Helper()
	st, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/fleet.db", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return &fleetOf{Reader: Reader{Store: st, Now: func() time.Time { return time.UnixMilli(1e12) }},
		facts: plan.Facts{Upstreams: map[string]plan.Image{}, Bases: map[string]plan.Base{}, Applications: map[string]plan.Application{}}}
}

// add adds an image that stands on a parent, with packages of its own. Its inventory is stored unless unread.
func (f *fleetOf) add(t testing.TB, kind graph.Kind, name, parent string, unread bool, own ...inventory.Package) {
	t.Helper()
	above, _ := f.fact(parent)
	img := plan.Image{Reference: name, Digest: digestOf(name), DiffIDs: append(slices.Clone(above.DiffIDs), digestOf("layer "+name)), FirstSeen: time.UnixMilli(1e11)}
	switch kind {
	case graph.Upstream:
		f.facts.Upstreams[name] = img
		f.catalog.Upstreams = append(f.catalog.Upstreams, catalog.Upstream{Name: name, Image: name})
	case graph.Base:
		f.facts.Bases[name] = plan.Base{Image: img}
		f.catalog.Bases = append(f.catalog.Bases, catalog.Base{Name: name, Image: name, Owner: "platform"})
	case graph.Application:
		f.facts.Applications[name] = plan.Application{Image: img, Application: name}
		f.catalog.Applications = append(f.catalog.Applications, catalog.Application{Name: name, Images: []catalog.ApplicationImage{{Name: name, Image: name}}})
	}
	f.nodes = append(f.nodes, graph.Node{Name: name, Kind: kind})
	if parent != "" {
		f.edges = append(f.edges, graph.Edge{Parent: parent, Child: name, Kind: graph.Inherits, Evidence: graph.FromLayers, Digest: above.Digest.String()})
	}
	if unread {
		return
	}
	inv := &inventory.Inventory{Format: inventory.Format, Digest: img.Digest, OS: f.os, DiffIDs: img.DiffIDs}
	if above.Exists() {
		if was, found, err := store.GetInventory(t.Context(), f.Store.Q(), above.Digest.String()); err != nil {
			t.Fatal(err)
		} else if found {
			inv.Packages = append(inv.Packages, was.Packages...)
		}
	}
	for _, p := range own {
		p.Layer = len(img.DiffIDs) - 1
		inv.Packages = slices.DeleteFunc(inv.Packages, func(o inventory.Package) bool { return o.Name == p.Name })
		inv.Packages = append(inv.Packages, p)
	}
	if err := store.SaveInventory(t.Context(), f.Store.Q(), name, inv, 1); err != nil {
		t.Fatal(err)
	}
}

func (f *fleetOf) fact(name string) (plan.Image, bool) {
	if u, ok := f.facts.Upstreams[name]; ok {
		return u, true
	}
	if b, ok := f.facts.Bases[name]; ok {
		return b.Image, true
	}
	a, ok := f.facts.Applications[name]
	return a.Image, ok
}

func (f *fleetOf) look(t testing.TB) *Reader {
	t.Helper()
	g, err := graph.New(f.nodes, f.edges)
	if err != nil {
		t.Fatal(err)
	}
	f.Loop = looked{reconcile.Snapshot{World: &observe.World{Graph: g, Facts: f.facts}, Plan: &plan.Plan{}, Catalog: &f.catalog, At: f.Now()}}
	return &f.Reader
}

func ssl(version string) inventory.Package {
	return inventory.Package{Type: inventory.Deb, Name: "libssl3", Version: version, Architecture: "amd64", Source: "openssl", SourceVersion: version}
}

// small is the fleet of most tests. child has upgraded what it inherited; unread was not read; copy only copies.
func small(t testing.TB) *fleetOf {
	f := newFleet(t)
	f.add(t, graph.Upstream, "u", "", false, ssl("3.0.15"), inventory.Package{Name: "zlib", Version: "1"})
	f.add(t, graph.Base, "d", "u", false, inventory.Package{Type: "deb", Name: "curl", Version: "8", Architecture: "amd64"})
	f.add(t, graph.Base, "child", "d", false, ssl("3.0.17"))
	f.add(t, graph.Application, "app", "d", false)
	f.add(t, graph.Application, "unread", "d", true)
	f.add(t, graph.Application, "deep", "unread", true)
	f.add(t, graph.Base, "apart", "", false, inventory.Package{Name: "zlib", Version: "1"})
	f.add(t, graph.Application, "copy", "apart", false)
	f.add(t, graph.Base, "scratch", "", false)
	f.edges = append(f.edges, graph.Edge{Parent: "d", Child: "copy", Kind: graph.CopiesFrom, Evidence: graph.FromRecipe, Where: "Dockerfile:4"})
	f.add(t, "observed", "reg/found:main", "d", true)
	return f
}

func partsOf(a Affected) (found, below, unknown []string) {
	for _, f := range a.Found {
		found = append(found, f.Image)
	}
	for _, d := range a.Downstream {
		below = append(below, d.Image)
	}
	for _, n := range a.NotKnown {
		unknown = append(unknown, n.Image)
	}
	return found, below, unknown
}

func TestAffected(t *testing.T) {
	r := small(t).look(t)
	for _, c := range []struct {
		asked                 string
		found, below, unknown string
	}{
		{"openssl", "[u d child app]", "[unread deep copy reg/found:main]", "[scratch]"},
		{"libssl3", "[u d child app]", "[unread deep copy reg/found:main]", "[scratch]"},
		{"openssl<3.0.17", "[u d app]", "[unread deep copy reg/found:main]", "[scratch]"},
		{"openssl@3.0.17", "[child]", "[]", "[scratch unread deep reg/found:main]"},
		{"openssl<=3.0.17", "[u d child app]", "[unread deep copy reg/found:main]", "[scratch]"},
		{"openssl<3.0", "[]", "[]", "[scratch unread deep reg/found:main]"},
		{"nothing", "[]", "[]", "[scratch unread deep reg/found:main]"},
		{"zlib<x:y", "[]", "[]", "[u d child apart scratch app unread deep copy reg/found:main]"}, // no version: nothing can be told
		{digestOf("d").String(), "[d child app unread deep reg/found:main]", "[copy]", "[]"},
		{digestOf("u").String(), "[u d child app unread deep reg/found:main]", "[copy]", "[]"},
		{digestOf("child").String(), "[child]", "[]", "[reg/found:main]"},
		{digestOf("apart").String()[:17], "[apart copy]", "[]", "[reg/found:main]"},
	} {
		a, err := r.Affected(t.Context(), c.asked, false)
		if err != nil {
			t.Errorf("%s: %v", c.asked, err)
			continue
		}
		found, below, unknown := partsOf(a)
		if got, want := fmt.Sprint(found, below, unknown), c.found+" "+c.below+" "+c.unknown; got != want {
			t.Errorf("%s:\n got %s\nwant %s\n%s", c.asked, got, want, a.Sentence)
		}
		if a.Images != 10 || a.Has+a.Below+a.Clean+a.Unknown != a.Images || a.Clean < 0 {
			t.Errorf("%s: %d have it, %d below, %d clean, %d unknown: not %d", c.asked, a.Has, a.Below, a.Clean, a.Unknown, a.Images)
		}
		if a.Sentence == "" || a.AsOf.IsZero() || a.Now.IsZero() {
			t.Errorf("%s: %q as of %s", c.asked, a.Sentence, a.AsOf)
		}
	}
}

// What is copied or compiled in does not show, nor in what is made from it; what is inherited does, once it was read.
func TestWhatMayBeAffectedSaysWhy(t *testing.T) {
	f := newFleet(t)
	f.add(t, graph.Base, "d", "", false, ssl("1"))
	f.add(t, graph.Base, "upgraded", "d", false, ssl("2"))
	f.add(t, graph.Application, "fine", "upgraded", false)
	f.add(t, graph.Base, "static", "", false, inventory.Package{Name: "zlib", Version: "1"})
	f.add(t, graph.Application, "on-static", "static", false)
	f.add(t, graph.Application, "unread-static", "static", true)
	f.add(t, graph.Base, "has-and-copies", "d", false)
	f.add(t, graph.Application, "upgraded-later", "has-and-copies", false, ssl("2"))
	f.add(t, graph.Base, "blind", "d", true)
	f.add(t, graph.Application, "seen", "blind", false, ssl("2"))
	f.add(t, graph.Base, "other", "", false, inventory.Package{Name: "zlib", Version: "1"})
	f.add(t, graph.Application, "of-unread", "other", false)
	for child, e := range map[string]graph.Edge{"static": {Parent: "d", Kind: graph.BuildsWith}, "has-and-copies": {Parent: "d", Kind: graph.CopiesFrom}, "of-unread": {Parent: "blind", Kind: graph.Uses}} {
		e.Child, e.Evidence = child, graph.FromRecipe
		f.edges = append(f.edges, e)
	}
	a, err := f.look(t).Affected(t.Context(), "libssl3@1", false)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range a.Downstream {
		got[d.Image] = fmt.Sprintf("%s %s, read %v: %s", d.Edge, d.Via, d.Read, d.Note)
	}
	blind := "is not known yet"
	for image, want := range map[string]string{
		"static":         "builds-with d, read true: what was compiled in does not show",
		"on-static":      "inherits static, read true: what static was made with is in it, too, and does not show",
		"unread-static":  "inherits static, read false: what is inside " + Short(digestOf("unread-static").String()) + " " + blind,
		"upgraded-later": "inherits has-and-copies, read true: what has-and-copies was made with is in it, too, and does not show",
		"blind":          "inherits d, read false: what is inside " + Short(digestOf("blind").String()) + " " + blind,
		"of-unread":      "uses blind, read true: what came from it does not show",
	} {
		if got[image] != want {
			t.Errorf("%s:\n got %s\nwant %s", image, got[image], want)
		}
		delete(got, image)
	}
	if len(got) > 0 {
		t.Errorf("listed although they were read and are clean: %v", got)
	}
	if want := "libssl3 1 is in 2 of 12 images; 6 more may be affected (2 were not read and are below those, 4 were made with those, which does not show); 4 do not have it; 0 unknown"; a.Sentence != want {
		t.Errorf("%s\nwant\n%s", a.Sentence, want)
	}
}

func TestAffectedSaysWhoBroughtItAndWhoCanFixIt(t *testing.T) {
	f := small(t)
	newer := plan.Patch{Patch: patch.Patch{Type: "deb", Package: "libssl3", Architecture: "amd64", From: "3.0.15", To: "3.0.17"}}
	d := f.facts.Bases["d"]
	d.Patches = []plan.Patch{newer}
	f.facts.Bases["d"] = d
	app := f.facts.Applications["app"]
	app.References = []plan.Reference{{Base: "d", Kind: graph.Inherits}}
	f.facts.Applications["app"] = app
	child := f.facts.Bases["child"]
	child.Stale = "connection refused"
	f.facts.Bases["child"] = child
	a, err := f.look(t).Affected(t.Context(), "openssl", false)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"u":     "layer 1 of 1 by u true, fixed by d, newer 3.0.17 ",
		"d":     "layer 1 of 2 by u true, fixed by d, newer 3.0.17 ",
		"app":   "layer 1 of 3 by u true, fixed by d, newer 3.0.17 ",
		"child": "layer 3 of 3 by child true, fixed by child, newer  its package repositories: connection refused",
	}
	for _, f := range a.Found {
		to := ""
		if f.Newer != nil {
			to = f.Newer.To
		}
		if got := fmt.Sprintf("layer %d of %d by %s %v, fixed by %s, newer %s %s", f.Layer, f.Layers, f.BroughtBy, f.Proven, f.FixedBy, to, f.NewerUnknown); got != want[f.Image] {
			t.Errorf("%s:\n got %s\nwant %s", f.Image, got, want[f.Image])
		}
	}
	if len(a.Found) != len(want) {
		t.Errorf("%d found, want %d", len(a.Found), len(want))
	}
}

func TestAnImageIsNoPackage(t *testing.T) {
	f := small(t)
	f.add(t, graph.Application, "curl", "d", false) // an image and a package
	r := f.look(t)
	var refused *Error
	if _, err := r.Affected(t.Context(), "app", false); !errors.As(err, &refused) || refused.Code != CodeBadRequest || !strings.Contains(refused.Hint, "images --on app") {
		t.Errorf("%v", err)
	}
	if a, err := r.Affected(t.Context(), "curl", false); err != nil || a.Has == 0 {
		t.Errorf("a package with the name of an image: %+v %v", a, err)
	}
}

// Two architectures of one package are two packages: what is newer for one is not for the other.
func TestNewerIsOfTheSameArchitecture(t *testing.T) {
	f := newFleet(t)
	f.add(t, graph.Base, "d", "", false, ssl("1"))
	d := f.facts.Bases["d"]
	d.Patches = []plan.Patch{{Patch: patch.Patch{Type: "deb", Package: "libssl3", Architecture: "i386", From: "1", To: "2"}}}
	f.facts.Bases["d"] = d
	r := f.look(t)
	w, err := r.Why(t.Context(), "d", "libssl3")
	if err != nil || w.Package.Newer != nil {
		t.Errorf("why: %+v %v", w.Package.Newer, err)
	}
	a, err := r.Affected(t.Context(), "libssl3", false)
	if err != nil || a.Found[0].Newer != nil {
		t.Errorf("affected: %+v %v", a.Found, err)
	}
}

func TestEarlierDigestsAreCountedAlwaysAndListedOnRequest(t *testing.T) {
	f := small(t)
	old := &inventory.Inventory{Format: inventory.Format, Digest: digestOf("d, older"), Packages: []inventory.Package{ssl("3.0.1")}}
	if err := store.SaveInventory(t.Context(), f.Store.Q(), "d", old, 5); err != nil {
		t.Fatal(err)
	}
	r := f.look(t)
	for _, all := range []bool{false, true} {
		a, err := r.Affected(t.Context(), "openssl", all)
		if err != nil {
			t.Fatal(err)
		}
		if a.EarlierCount != 1 || (len(a.Earlier) == 1) != all || a.Has != 4 {
			t.Errorf("all %v: %d earlier, %+v, %d have it now", all, a.EarlierCount, a.Earlier, a.Has)
		}
		if all && (a.Earlier[0].Image != "d" || a.Earlier[0].Version != "3.0.1" || a.Earlier[0].ReadAt.UnixMilli() != 5) {
			t.Errorf("%+v", a.Earlier[0])
		}
	}
}

func TestAmbiguousDigestIsRefusedAndUnknownOneIsUnknown(t *testing.T) {
	f := newFleet(t)
	f.add(t, graph.Base, "d", "", false)
	twin := digestOf("d").String()
	twin = twin[:len(twin)-1] + map[bool]string{true: "1", false: "0"}[twin[len(twin)-1] == '0']
	h, err := v1.NewHash(twin)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SaveInventory(t.Context(), f.Store.Q(), "twin", &inventory.Inventory{Digest: h}, 1); err != nil {
		t.Fatal(err)
	}
	r := f.look(t)
	var refused *Error
	if _, err := r.Affected(t.Context(), twin[:20], false); !errors.As(err, &refused) || refused.Code != CodeBadRequest || !strings.Contains(refused.Message, twin) {
		t.Errorf("two digests: %v", err)
	}
	if a, err := r.Affected(t.Context(), twin, false); err != nil || a.Has != 0 || a.Unanswered != "" {
		t.Errorf("one of two, in full: %+v %v", a, err)
	}
	if a, err := r.Affected(t.Context(), digestOf("never").String(), false); err != nil || a.Unanswered == "" || a.Unknown != a.Images {
		t.Errorf("never seen: %+v %v", a, err)
	}
}

func TestFoundImagesAreListedAsUnknown(t *testing.T) {
	f := small(t)
	if err := store.SaveObserved(t.Context(), f.Store.Q(), store.Observed{Key: "k", Kind: store.ObservedImage, Place: "reg", Name: "reg/found:main", Digest: digestOf("found").String(), ChangedAt: 7, Unknown: "platform linux/s390x was not read"}); err != nil {
		t.Fatal(err)
	}
	r := f.look(t)
	all, err := r.Images(t.Context(), ImageFilter{Kinds: []string{"observed"}})
	if err != nil || len(all.Images) != 1 {
		t.Fatalf("%+v %v", all, err)
	}
	i := all.Images[0]
	if want := "found in reg, declared by nobody; its layers are those of d as it is now; platform linux/s390x was not read"; i.Sentence != want || i.State != Unknown || i.StandsOn != "d" || i.Standing != "proven" || i.Packages != nil {
		t.Errorf("%+v\nwant %s", i, want)
	}
	if all.Fleet.Images != 9 || all.Fleet.Observed != 1 {
		t.Errorf("fleet %+v", all.Fleet)
	}
	if a, err := r.Affected(t.Context(), digestOf("found").String(), false); err != nil || a.Has != 1 || a.Found[0].How != "is it" {
		t.Errorf("its own digest: %+v %v", a, err)
	}
	w, err := r.Why(t.Context(), "reg/found:main", "openssl")
	if err != nil || w.Package == nil || w.Package.Unknown == "" || len(w.Chain) != 2 {
		t.Errorf("why: %+v %v", w, err)
	}
}

func TestPinsNameWhatTheySay(t *testing.T) {
	p := inventory.Package{Type: inventory.Deb, Name: "libssl3", Source: "openssl"}
	for pattern, want := range map[string]bool{"libssl3": true, "libssl": false, "libssl*": true, "*": true, "src:openssl": true, "src:libssl3": false, "/^lib/": true, "/[/": false, "[": false, "": false, "/": false} {
		inv := &inventory.Inventory{Pins: []inventory.Pin{{Type: inventory.Deb, Packages: []string{"other", pattern}, Rule: "r", Where: "w"}}}
		if got := len(pinsOf(inv, p)) == 1; got != want {
			t.Errorf("%q names libssl3 of openssl: %v, want %v", pattern, got, want)
		}
	}
	if got := pinsOf(&inventory.Inventory{Pins: []inventory.Pin{{Type: inventory.RPM, Packages: []string{"*"}}}}, p); len(got) != 0 {
		t.Errorf("a rule of another family: %+v", got)
	}
	p.Held = true
	if got := pinsOf(&inventory.Inventory{}, p); len(got) != 1 || got[0].Rule != "hold" {
		t.Errorf("held: %+v", got)
	}
}

// What a question costs over 10,000 images, each of 20 packages, one in five of which has it.
func BenchmarkAffected10k(b *testing.B) {
	f := newFleet(b)
	f.add(b, graph.Upstream, "u", "", false, inventory.Package{Type: "deb", Name: "libc6", Version: "1"})
	for i := range 100 {
		f.add(b, graph.Base, fmt.Sprint("base", i), "u", false, ssl(fmt.Sprint("3.0.", i)))
	}
	for i := range 10_000 {
		own := []inventory.Package{}
		for k := range 17 {
			own = append(own, inventory.Package{Type: "deb", Name: fmt.Sprint("p", (i*7+k)%500), Version: fmt.Sprint(i % 9)})
		}
		if i%5 != 0 {
			own = append(own, ssl("9"))
		}
		f.add(b, graph.Application, fmt.Sprint("app", i), fmt.Sprint("base", i%100), false, own...)
	}
	r := f.look(b)
	b.ResetTimer()
	for b.Loop() {
		if a, err := r.Affected(b.Context(), "openssl<9", false); err != nil || a.Has != 2100 {
			b.Fatal(a.Sentence, err)
		}
	}
}
