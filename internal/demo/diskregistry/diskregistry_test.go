package diskregistry_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"rebuilder/internal/demo/diskregistry"
)

func TestReopenedRegistryHasTagsIndexesAndReferrers(t *testing.T) {
	dir := t.TempDir()
	first, host, stop := serve(t, dir)

	img := image(t)
	tag := parse(t, host+"/a/b:one")
	must(t, remote.Write(tag, img))
	must(t, remote.Tag(tag.Context().Tag("moved"), img))
	newer := image(t)
	must(t, remote.Write(tag.Context().Tag("moved"), newer))
	idx, err := random.Index(64, 1, 2)
	must(t, err)
	must(t, remote.WriteIndex(tag.Context().Tag("index"), idx))
	desc, err := remote.Head(tag)
	must(t, err)
	must(t, remote.Write(tag.Context().Tag("about"), mutate.Subject(image(t), *desc).(v1.Image)))
	must(t, remote.Write(tag.Context().Tag("gone"), img))
	must(t, remote.Delete(tag.Context().Tag("gone")))
	stop()
	must(t, first.Close())

	_, host, stop = serve(t, dir)
	defer stop()
	tag = parse(t, host+"/a/b:one")
	wantDigest(t, tag, img)
	wantDigest(t, tag.Context().Tag("moved"), newer)
	if _, err := remote.Index(tag.Context().Tag("index")); err != nil {
		t.Errorf("index: %v", err)
	}
	if _, err := remote.Head(tag.Context().Tag("gone")); err == nil {
		t.Error("a deleted tag came back")
	}
	refs, err := remote.Referrers(tag.Context().Digest(digest(t, img).String()))
	must(t, err)
	m, err := refs.IndexManifest()
	must(t, err)
	if len(m.Manifests) != 1 {
		t.Errorf("referrers: %d, want 1", len(m.Manifests))
	}
	pulled, err := remote.Image(tag)
	must(t, err)
	layers, err := pulled.Layers()
	must(t, err)
	rc, err := layers[0].Compressed()
	must(t, err)
	must(t, rc.Close())
}

func TestJournalCutOffByAKill(t *testing.T) {
	dir := t.TempDir()
	first, host, stop := serve(t, dir)
	img := image(t)
	must(t, remote.Write(parse(t, host+"/a:1"), img))
	must(t, remote.Write(parse(t, host+"/a:2"), img))
	stop()
	must(t, first.Close())

	file := filepath.Join(dir, "manifests.jsonl")
	data, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, data[:len(data)-10], 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "blobs", "upload-1"), []byte("half"), 0o600))

	second, host, stop := serve(t, dir)
	wantDigest(t, parse(t, host+"/a:1"), img)
	if _, err := remote.Head(parse(t, host+"/a:2")); err == nil {
		t.Error("the manifest whose line was cut off is there")
	}
	must(t, remote.Write(parse(t, host+"/a:3"), img))
	stop()
	must(t, second.Close())
	if _, err := os.Stat(filepath.Join(dir, "blobs", "upload-1")); err == nil {
		t.Error("the cut-off upload is still there")
	}

	_, host, stop = serve(t, dir)
	defer stop()
	wantDigest(t, parse(t, host+"/a:3"), img)
}

func TestBrokenJournalIsAnError(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "manifests.jsonl"), []byte("{}\nnonsense\n{}\n"), 0o600))
	_, err := diskregistry.Open(dir, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v, want one that names line 2", err)
	}
}

func TestManifestTooLarge(t *testing.T) {
	_, host, stop := serve(t, t.TempDir())
	defer stop()
	req, err := http.NewRequest(http.MethodPut, "http://"+host+"/v2/a/manifests/x", strings.NewReader(strings.Repeat("x", 5<<20)))
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func serve(t *testing.T, dir string) (*diskregistry.Registry, string, func()) {
	t.Helper()
	r, err := diskregistry.Open(dir, slog.New(slog.DiscardHandler))
	must(t, err)
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return r, strings.TrimPrefix(s.URL, "http://"), s.Close
}

func image(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(128, 2)
	must(t, err)
	return img
}

func digest(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	h, err := img.Digest()
	must(t, err)
	return h
}

func parse(t *testing.T, ref string) name.Tag {
	t.Helper()
	tag, err := name.NewTag(ref)
	must(t, err)
	return tag
}

func wantDigest(t *testing.T, ref name.Reference, img v1.Image) {
	t.Helper()
	d, err := remote.Head(ref)
	must(t, err)
	if want := digest(t, img); d.Digest != want {
		t.Errorf("%s: digest %s, want %s", ref, d.Digest, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
