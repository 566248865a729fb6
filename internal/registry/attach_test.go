package registry

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const spdx = "application/spdx+json"

// worlds are registries that list what is attached, and those that do not.
func worlds(t *testing.T, test func(t *testing.T, w *world, c *Client)) {
	t.Helper()
	for kind, world := range map[string]func(*testing.T) *world{"with referrers": newWorldWithReferrers, "without referrers": newWorld} {
		t.Run(kind, func(t *testing.T) { test(t, world(t), newClient(t, Config{})) })
	}
}

func TestAttach(t *testing.T) {
	worlds(t, func(t *testing.T, w *world, c *Client) {
		subject := w.host + "/base@" + w.push(t, "base:1", imageFor(t, "linux/amd64")).String()
		annotations := map[string]string{"org.example.note": "yes"}
		if got, err := c.Referrers(t.Context(), subject); err != nil || len(got) != 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		body := []byte(`{"spdxVersion":"SPDX-2.3"}`)
		digest, err := c.Attach(t.Context(), subject, spdx, annotations, body, spdx)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Referrers(t.Context(), subject)
		if err != nil || len(got) != 1 || got[0].Digest != digest || got[0].ArtifactType != spdx || !maps.Equal(got[0].Annotations, annotations) {
			t.Fatalf("%+v, %v", got, err)
		}
		if have := content(t, w.host+"/base@"+digest.String()); have != string(body) {
			t.Errorf("attached is %q", have)
		}
		if _, err := c.Attach(t.Context(), subject, "application/vnd.cyclonedx+json", nil, []byte("{}"), "application/vnd.cyclonedx+json"); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Referrers(t.Context(), subject); err != nil || len(got) != 2 {
			t.Errorf("a second one: %+v, %v", got, err)
		}
	})
}

// The same document is the same artifact, and nothing is written again.
func TestAttachTwice(t *testing.T) {
	worlds(t, func(t *testing.T, w *world, c *Client) {
		subject := w.host + "/base@" + w.push(t, "base:1", imageFor(t, "linux/amd64")).String()
		first, err := c.Attach(t.Context(), subject, spdx, nil, []byte("a"), spdx)
		if err != nil {
			t.Fatal(err)
		}
		w.seen()
		second, err := c.Attach(t.Context(), subject, spdx, nil, []byte("a"), spdx)
		if err != nil || first != second {
			t.Errorf("%s, then %s, %v", first, second, err)
		}
		for _, r := range w.seen() {
			if !strings.HasPrefix(r, "GET ") && !strings.HasPrefix(r, "HEAD ") {
				t.Errorf("it is there, and yet: %s", r)
			}
		}
	})
}

// Whoever was killed after the manifest and before the list begins anew and ends with one of each.
func TestAttachIsFinished(t *testing.T) {
	w, c := newWorld(t), newClient(t, Config{})
	subject := w.host + "/base@" + w.push(t, "base:1", imageFor(t, "linux/amd64")).String()
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/sha256-") {
			return false
		}
		rw.WriteHeader(http.StatusForbidden)
		return true
	})
	first, err := c.Attach(t.Context(), subject, spdx, nil, []byte("a"), spdx)
	if err == nil {
		t.Fatal("the list could not be written, and there was no error")
	}
	w.breakWith(nil)
	second, err := c.Attach(t.Context(), subject, spdx, nil, []byte("a"), spdx)
	if err != nil || first != second {
		t.Errorf("%s, then %s, %v", first, second, err)
	}
	if got, err := c.Referrers(t.Context(), subject); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Another writer's list replaces ours while we write: ours is written again.
func TestAttachBesideAnother(t *testing.T) {
	w, c := newWorld(t), newClient(t, Config{})
	subject := w.host + "/base@" + w.push(t, "base:1", imageFor(t, "linux/amd64")).String()
	lost := 0
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256-") && lost == 0 {
			lost++
			rw.WriteHeader(http.StatusCreated) // and nothing of it stays
			return true
		}
		return false
	})
	if _, err := c.Attach(t.Context(), subject, spdx, nil, []byte("a"), spdx); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Referrers(t.Context(), subject); err != nil || len(got) != 1 || lost != 1 {
		t.Errorf("%+v, %v, lost %d", got, err, lost)
	}
}

func TestAttachToNothing(t *testing.T) {
	w, c := newWorld(t), newClient(t, Config{})
	w.push(t, "base:1", imageFor(t, "linux/amd64"))
	if _, err := c.Attach(t.Context(), w.host+"/base@"+hashOf("a").String(), spdx, nil, nil, spdx); !errors.Is(err, ErrNotFound) {
		t.Errorf("a digest that is not there: %v", err)
	}
	if _, err := c.Attach(t.Context(), w.host+"/base:1", spdx, nil, nil, spdx); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("a tag: %v", err)
	}
	if _, err := c.Referrers(t.Context(), w.host+"/base:1"); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("a tag: %v", err)
	}
}

// content is the one layer of an artifact.
func content(t *testing.T, ref string) string {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(r)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	rc, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	got, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}
