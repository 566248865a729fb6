package plan_test

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/plan"
)

func TestImageForAPlatform(t *testing.T) {
	amd, arm := digest("amd"), digest("arm")
	img := plan.Image{Reference: "r/go:1", Digest: amd, DiffIDs: []v1.Hash{digest("layer")}, Platform: "linux/amd64", Manifests: map[string]v1.Hash{"linux/amd64": amd, "linux/arm64": arm}}
	for _, c := range []struct {
		name, platform string
		of             plan.Image
		digest         v1.Hash
		layers         int
		unknown        string
	}{
		{"none is asked for", "", img, amd, 1, ""},
		{"its own", "linux/amd64", img, amd, 1, ""},
		{"another", "linux/arm64", img, arm, 0, ""},
		{"one that is not there", "linux/s390x", img, v1.Hash{}, 0, "r/go:1 has no image for linux/s390x"},
		{"of an image that is not there", "linux/arm64", plan.Image{Reference: "r/go:1"}, v1.Hash{}, 0, ""},
		{"of an image that is not known", "linux/arm64", plan.Image{Unknown: "503"}, v1.Hash{}, 0, "503"},
	} {
		if got := c.of.For(c.platform); got.Digest != c.digest || len(got.DiffIDs) != c.layers || got.Unknown != c.unknown {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if img.Digest != amd || img.Unknown != "" {
		t.Error("asking for a platform changed the image")
	}
}
