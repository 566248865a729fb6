package observe_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"rebuilder/internal/plan"
)

// platform makes an image that of another platform.
func (w *world) platform(img v1.Image, platform string) v1.Image {
	w.t.Helper()
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.configured(img, func(c *v1.ConfigFile) { c.OS, c.Architecture, c.Variant = p.OS, p.Architecture, p.Variant })
}

func (w *world) configured(img v1.Image, change func(*v1.ConfigFile)) v1.Image {
	w.t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		w.t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	change(cfg)
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		w.t.Fatal(err)
	}
	return img
}

// index is an image of several platforms, each with a layer of its own that says so.
func (w *world) index(images ...v1.Image) v1.ImageIndex {
	w.t.Helper()
	var idx v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		cfg, err := img.ConfigFile()
		if err != nil {
			w.t.Fatal(err)
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: cfg.Platform()}})
	}
	return idx
}

func (w *world) pushIndex(idx v1.ImageIndex, ref string) v1.Hash {
	w.t.Helper()
	r, err := name.ParseReference(w.host + "/" + ref)
	if err == nil {
		err = remote.WriteIndex(r, idx)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := idx.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// both is a release of an upstream for two platforms; amd is the digest of the one that is looked at.
func (w *world) both(release string) (idx v1.ImageIndex, amd v1.Hash) {
	w.t.Helper()
	one := w.image(nil, files{"release": release})
	amd, err := one.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	return w.index(one, w.platform(w.image(nil, files{"release": release, "arm": ""}), "linux/arm64")), amd
}

func (w *world) notDone(p *plan.Plan, image string) plan.NotDone {
	for _, n := range p.NotDone {
		if n.Image == image {
			return n
		}
	}
	return plan.NotDone{}
}

// What a reference points to is taken by the rules of plan.Take, with the memory of all looks, and by rollouts as well.
func TestUpstreamsAreTakenWhenTheyAreReady(t *testing.T) {
	t.Parallel()
	const up = "upstream/debian:12"
	w := newWorld(t)
	c := w.twoBases()
	a, amdA := w.both("A")
	b, amdB := w.both("B")
	d, amdD := w.both("D")
	onlyArm := w.index(w.platform(w.image(nil, files{"release": "C"}), "linux/arm64"))
	for _, x := range []struct {
		name  string
		push  v1.ImageIndex
		after time.Duration
		want  v1.Hash
		says  string
	}{
		{"the first", a, 0, amdA, ""},
		{"at rest", nil, time.Hour, amdA, ""},
		{"a new one", b, time.Hour, amdB, ""},
		{"back to the first", a, time.Minute, amdB, "points back to"},
		{"still, after a while", nil, 23 * time.Hour, amdB, "points back to"},
		{"forward again", b, time.Minute, amdB, ""},
		{"one without the platform that is needed", onlyArm, time.Hour, amdB, "has no linux/amd64 yet"},
		{"it is complete", d, time.Hour, amdD, ""},
		{"back to the first once more", a, time.Hour, amdD, "points back to"},
		{"it stays there", nil, 24 * time.Hour, amdA, ""},
		{"incomplete again", onlyArm, time.Hour, amdA, "points back to"}, // it was there before
		{"for good", nil, 24 * time.Hour, v1.Hash{}, "has no image"},
	} {
		if x.push != nil {
			w.pushIndex(x.push, up)
		}
		w.now = w.now.Add(x.after)
		u := w.look(c).Facts.Upstreams["upstream/debian"]
		if held := x.says != "" && x.want != (v1.Hash{}); u.Digest != x.want || (u.Untaken != nil) != held {
			t.Fatalf("%s: %s, untaken %+v, unknown %q; want %s", x.name, u.Digest, u.Untaken, u.Unknown, x.want)
		}
		if n := w.notDone(w.plan(c), "upstream/debian"); !strings.Contains(n.Reason, x.says) || x.says == "" && n.Reason != "" {
			t.Errorf("%s: %+v", x.name, n)
		} else if u.Untaken != nil && (n.Since.IsZero() || !n.Next.After(w.now) || n.Who == "") {
			t.Errorf("%s: %+v", x.name, n)
		}
		in, _, err := w.obs.Base(t.Context(), c, c.Bases[0])
		if x.want == (v1.Hash{}) {
			if err == nil {
				t.Errorf("%s: it can be built", x.name)
			}
		} else if err != nil || in.Parents[0].Digest != x.want {
			t.Errorf("%s: a build stands on %+v, %v", x.name, in.Parents, err)
		}
	}
}

func TestAnUpstreamWhoseTakenDigestIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.twoBases()
	a, amdA := w.both("A")
	b, _ := w.both("B")
	w.pushIndex(a, "upstream/debian:12")
	w.look(c)
	w.now = w.now.Add(time.Hour)
	digest := w.pushIndex(b, "upstream/debian:12")
	w.look(c)
	w.pushIndex(a, "upstream/debian:12")
	w.now = w.now.Add(time.Hour)
	if u := w.look(c).Facts.Upstreams["upstream/debian"]; u.Untaken == nil || u.Digest == amdA {
		t.Fatalf("%+v", u)
	}
	r, err := name.NewDigest(w.host + "/upstream/debian@" + digest.String())
	if err == nil {
		err = remote.Delete(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if u := w.look(c).Facts.Upstreams["upstream/debian"]; u.Untaken != nil || u.Digest != amdA {
		t.Errorf("nothing can be built from what is gone: %+v", u)
	}
}
