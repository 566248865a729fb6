package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// paged answers lists as the distribution specification says, two entries a page, which the registry behind does not.
func paged(t *testing.T, names []string, key string) func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/_catalog") && !strings.HasSuffix(r.URL.Path, "/tags/list") {
			return false
		}
		last := r.URL.Query().Get("last")
		at, _ := slices.BinarySearch(names, last+"\x00")
		page := names[at:min(at+2, len(names))]
		if at+2 < len(names) {
			rw.Header().Set("Link", fmt.Sprintf(`<%s?last=%s&n=2>; rel="next"`, r.URL.Path, page[len(page)-1]))
		}
		if err := json.NewEncoder(rw).Encode(map[string]any{key: page}); err != nil {
			t.Error(err)
		}
		return true
	}
}

func all(t *testing.T, list func(cursor string) ([]string, string, error)) (got []string) {
	t.Helper()
	for cursor, pages := "", 0; pages < 10; pages++ {
		some, next, err := list(cursor)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, some...)
		if cursor = next; cursor == "" {
			return got
		}
	}
	t.Fatal("the list does not end")
	return nil
}

func TestLists(t *testing.T) {
	w := newWorld(t)
	for _, ref := range []string{"team/a:1", "team/a:2", "b:latest"} {
		w.push(t, ref, imageFor(t, "linux/amd64"))
	}
	c := newClient(t, Config{})
	repositories := func(cursor string) ([]string, string, error) { return c.Repositories(t.Context(), w.host, cursor) }
	tags := func(cursor string) ([]string, string, error) { return c.Tags(t.Context(), w.host+"/team/a", cursor) }
	got := all(t, repositories)
	slices.Sort(got)
	if !slices.Equal(got, []string{"b", "team/a"}) {
		t.Errorf("repositories %q", got)
	}
	if got := all(t, tags); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("tags %q", got)
	}
	if _, _, err := c.Tags(t.Context(), w.host+"/none", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such repository: %v", err)
	}
	names := []string{"a", "b", "c", "d", "e"}
	w.breakWith(paged(t, names, "repositories"))
	w.seen()
	if got := all(t, repositories); !slices.Equal(got, names) {
		t.Errorf("repositories by page: %q", got)
	}
	if seen := w.seen(); len(seen) != 3 {
		t.Errorf("three pages took %q", seen)
	}
	w.breakWith(paged(t, names, "tags"))
	if got := all(t, tags); !slices.Equal(got, names) {
		t.Errorf("tags by page: %q", got)
	}
}

func TestNoCatalog(t *testing.T) {
	for _, code := range []int{401, 403, 404, 405, 501} {
		w := newWorld(t)
		w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "_catalog") {
				rw.WriteHeader(code)
				return true
			}
			return false
		})
		c := newClient(t, Config{Attempts: 1})
		if _, _, err := c.Repositories(t.Context(), w.host, ""); !errors.Is(err, ErrNoCatalog) {
			t.Errorf("%d: %v", code, err)
		}
		if _, _, err := c.Repositories(t.Context(), w.host, "last=a"); err == nil || errors.Is(err, ErrNoCatalog) {
			t.Errorf("%d in the middle: %v", code, err)
		}
	}
}

// A list that a registry breaks off, or leads elsewhere with, is an error: never a short list.
func TestHostileLists(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"no JSON": func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") },
		"cut off": func(w http.ResponseWriter) { fmt.Fprint(w, `{"repositories":["a","b`) },
		"too large": func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"repositories":["`+strings.Repeat("a", maxDocument)+`"]}`)
		},
		"to another host": func(w http.ResponseWriter) { w.Header().Set("Location", "http://127.0.0.1:1/"); w.WriteHeader(302) },
		"a bad request":   func(w http.ResponseWriter) { w.WriteHeader(400) },
		"leads to itself": func(w http.ResponseWriter) {
			w.Header().Set("Link", `</v2/_catalog?n=100>; rel="next"`)
			fmt.Fprint(w, `{"repositories":["a"]}`)
		},
		"leads to another list": func(w http.ResponseWriter) {
			w.Header().Set("Link", `</v2/a/blobs/x?n=100>; rel="next"`)
			fmt.Fprint(w, `{"repositories":["a"]}`)
		},
		"a long way": func(w http.ResponseWriter) {
			w.Header().Set("Link", `</v2/_catalog?n=`+strings.Repeat("1", maxCursor)+`>; rel="next"`)
			fmt.Fprint(w, `{"repositories":["a"]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/v2/" {
					return false
				}
				answer(rw)
				return true
			})
			if got, next, err := newClient(t, Config{Attempts: 1}).Repositories(t.Context(), w.host, ""); err == nil {
				t.Errorf("got %q and next %q", got[:min(len(got), 3)], next)
			}
		})
	}
}

func TestNextPage(t *testing.T) {
	for link, want := range map[string]string{
		``:                                      "",
		`</v2/_catalog?last=b&n=2>; rel="next"`: "last=b&n=2",
		`</v2/_catalog?last=b&n=2>;rel=next`:    "last=b&n=2",
		`<http://elsewhere.example/v2/_catalog?nextToken=x%3D>; rel="next"`:  "nextToken=x%3D", // asked for here all the same
		`</v2/_catalog?n=1>; rel="first", </v2/_catalog?last=z>; rel="next"`: "last=z",
		`</v2/_catalog?n=1>; rel="prev"`:                                     "",
		`nonsense`:                                                           "",
	} {
		if got, err := nextPage(http.Header{"Link": {link}}, "/v2/_catalog"); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", link, got, err, want)
		}
	}
}

func FuzzNextPage(f *testing.F) {
	f.Add(`</v2/_catalog?last=b&n=2>; rel="next"`)
	f.Add(`<//host/_catalog?%zz>; rel=next, <`)
	f.Fuzz(func(t *testing.T, link string) {
		next, err := nextPage(http.Header{"Link": {link}}, "/v2/_catalog")
		if err != nil && next != "" || len(next) > maxCursor {
			t.Errorf("%q gives %q, %v", link, next, err)
		}
	})
}

func TestDescribe(t *testing.T) {
	w := newWorld(t)
	c := newClient(t, Config{})
	plain := imageFor(t, "linux/arm64/v8")
	plain = mutate.Annotations(plain, map[string]string{
		"org.opencontainers.image.base.name": "registry.example.com/base/debian:stable", "org.opencontainers.image.base.digest": "sha256:1",
	}).(v1.Image)
	digest := w.push(t, "a:1", plain)
	cfg, err := plain.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Describe(t.Context(), w.host+"/a:1")
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != digest || len(got.Platforms) != 1 || got.Requests != 2 {
		t.Fatalf("%+v", got)
	}
	if p := got.Platforms[0]; p.Platform != "linux/arm64" || p.Manifest != digest || !slices.Equal(p.DiffIDs, cfg.RootFS.DiffIDs) ||
		p.BaseName != "registry.example.com/base/debian:stable" || p.BaseDigest != "sha256:1" {
		t.Errorf("%+v", p)
	}
	for _, request := range w.seen() {
		if strings.Contains(request, "/blobs/") && !strings.Contains(request, configOf(t, plain)) {
			t.Errorf("a layer was pulled: %s", request)
		}
	}

	idx, digests := indexOf(t, "unknown/unknown", "linux/arm64/v8", "linux/amd64")
	w.push(t, "b:1", idx)
	got, err = c.Describe(t.Context(), w.host+"/b:1")
	if err != nil || len(got.Platforms) != 2 || got.Requests != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	if a, b := got.Platforms[0], got.Platforms[1]; a.Platform != "linux/amd64" || b.Platform != "linux/arm64" || a.Manifest != digests["linux/amd64"] {
		t.Errorf("%+v", got.Platforms)
	}

	chart := mutate.ConfigMediaType(imageFor(t, "linux/amd64"), "application/vnd.cncf.helm.config.v1+json")
	w.push(t, "chart:1", chart)
	if got, err := c.Describe(t.Context(), w.host+"/chart:1"); err != nil || got.Artifact != "application/vnd.cncf.helm.config.v1+json" || len(got.Platforms) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Describe(t.Context(), w.host+"/a:none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such tag: %v", err)
	}
}

func configOf(t *testing.T, img v1.Image) string {
	t.Helper()
	h, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func TestDescribeBoundsPlatforms(t *testing.T) {
	w := newWorld(t)
	var platforms []string
	for i := range maxPlatforms + 3 {
		platforms = append(platforms, fmt.Sprintf("linux/arch%02d", i))
	}
	idx, _ := indexOf(t, platforms...)
	w.push(t, "many:1", mutate.IndexMediaType(idx, types.DockerManifestList))
	got, err := newClient(t, Config{}).Describe(t.Context(), w.host+"/many:1")
	if err != nil || len(got.Platforms) != maxPlatforms || got.Omitted != 3 {
		t.Errorf("%d platforms, %d omitted, %v", len(got.Platforms), got.Omitted, err)
	}
}
