package registry

import (
	"errors"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestCompanion(t *testing.T) {
	w, c := newWorld(t), newClient(t, Config{})
	ref := w.host + "/base@" + w.push(t, "base:1", imageFor(t, "linux/amd64")).String()
	if m, err := c.Companion(t.Context(), ref, ".sig"); m != nil || err != nil {
		t.Fatalf("%+v, %v", m, err)
	}
	for i, body := range []string{"a", "b"} {
		if err := c.AddToCompanion(t.Context(), ref, ".sig", []byte(body), "text/plain", map[string]string{"n": body}); err != nil {
			t.Fatal(err)
		}
		m, err := c.Companion(t.Context(), ref, ".sig")
		if err != nil || len(m.Layers) != i+1 {
			t.Fatalf("%+v, %v", m, err)
		}
		got, err := c.Document(t.Context(), ref, m.Layers[i])
		if err != nil || string(got) != body || m.Layers[i].Annotations["n"] != body {
			t.Errorf("%q of %+v, %v", got, m.Layers[i], err)
		}
	}
	if err := c.AddToCompanion(t.Context(), strings.Replace(ref, "@sha256:", "@sha256:"+strings.Repeat("0", 64), 1)[:len(ref)], ".sig", nil, "text/plain", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("beside what is not there: %v", err)
	}
}

func TestDocumentIsBounded(t *testing.T) {
	w, c := newWorld(t), newClient(t, Config{})
	ref := w.host + "/base@" + w.push(t, "base:1", imageFor(t, "linux/amd64")).String()
	m, err := c.Manifest(t.Context(), ref, mustHash(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*v1.Descriptor){
		"longer than it says": func(d *v1.Descriptor) { d.Size-- },
		"far too large":       func(d *v1.Descriptor) { d.Size = maxBlob + 1 },
		"negative":            func(d *v1.Descriptor) { d.Size = -1 },
	} {
		d := m.Layers[0]
		change(&d)
		if _, err := c.Document(t.Context(), ref, d); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
	if m, err := c.Manifest(t.Context(), ref, v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}); m != nil || err != nil {
		t.Errorf("what is not there: %+v, %v", m, err)
	}
}

func mustHash(t *testing.T, ref string) v1.Hash {
	t.Helper()
	_, digest, _ := strings.Cut(ref, "@")
	h, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
