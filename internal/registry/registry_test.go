package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// world is a registry with a handler in front of it that tests can put faults into.
type world struct {
	host string

	mu       sync.Mutex
	requests []string // "GET 200", as the server saw them
	fault    func(w http.ResponseWriter, r *http.Request) bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.requests = append(w.requests, r.Method+" "+r.URL.Path)
		fault := w.fault
		w.mu.Unlock()
		if fault != nil && fault(rw, r) {
			return
		}
		inner.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.host = strings.TrimPrefix(srv.URL, "http://")
	return w
}

// seen returns the requests since the last call, those for "/v2/" itself left out.
func (w *world) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := slices.DeleteFunc(w.requests, func(s string) bool { return strings.HasSuffix(s, " /v2/") })
	w.requests = nil
	return got
}

func (w *world) breakWith(f func(http.ResponseWriter, *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

func newClient(t *testing.T, c Config) *Client {
	t.Helper()
	c.Backoff = time.Microsecond
	cl, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

func (w *world) push(t *testing.T, ref string, what remote.Taggable) v1.Hash {
	t.Helper()
	r, err := name.ParseReference(w.host + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Push(r, what); err != nil {
		t.Fatal(err)
	}
	w.seen()
	d, err := what.(interface{ Digest() (v1.Hash, error) }).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func imageFor(t *testing.T, platform string) v1.Image {
	t.Helper()
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Variant = p.OS, p.Architecture, p.Variant
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

func indexOf(t *testing.T, platforms ...string) (v1.ImageIndex, map[string]v1.Hash) {
	t.Helper()
	var idx v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	digests := map[string]v1.Hash{}
	for _, platform := range platforms {
		img := imageFor(t, platform)
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			t.Fatal(err)
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
		if digests[platform], err = img.Digest(); err != nil {
			t.Fatal(err)
		}
	}
	return idx, digests
}

func TestResolve(t *testing.T) {
	w := newWorld(t)
	c := newClient(t, Config{})
	idx, digests := indexOf(t, "unknown/unknown", "linux/arm64/v8", "linux/amd64")
	index := w.push(t, "base/debian:12", idx)
	plain := w.push(t, "base/plain:12", imageFor(t, "linux/amd64"))
	none := v1.Hash{}
	for _, x := range []struct {
		ref, platform   string
		index, manifest v1.Hash
		platforms       []string
	}{
		{"base/debian:12", "linux/amd64", index, digests["linux/amd64"], []string{"linux/amd64", "linux/arm64"}},
		{"base/debian:12", "linux/arm64", index, digests["linux/arm64/v8"], []string{"linux/amd64", "linux/arm64"}},
		{"base/debian@" + index.String(), "linux/amd64", index, digests["linux/amd64"], []string{"linux/amd64", "linux/arm64"}},
		{"base/debian@" + digests["linux/amd64"].String(), "linux/amd64", none, digests["linux/amd64"], []string{"linux/amd64"}},
		{"base/debian:12", "", index, none, nil},
		{"base/plain:12", "linux/amd64", none, plain, []string{"linux/amd64"}},
		{"base/plain:12@" + plain.String(), "", none, plain, nil},
	} {
		t.Run(x.ref+" "+x.platform, func(t *testing.T) {
			got, err := c.Resolve(t.Context(), w.host+"/"+x.ref, x.platform)
			if err != nil {
				t.Fatal(err)
			}
			if got.Index != x.index || got.Manifest != x.manifest || !slices.Equal(got.Platforms, x.platforms) {
				t.Errorf("got %+v", got)
			}
			if got.Size == 0 || got.MediaType == "" {
				t.Errorf("size %d, media type %q", got.Size, got.MediaType)
			}
			w.seen()
			again, err := c.Resolve(t.Context(), w.host+"/"+x.ref, x.platform)
			if err != nil || again.Manifest != got.Manifest || again.Index != got.Index {
				t.Fatalf("second time: %+v, %v", again, err)
			}
			if seen := w.seen(); len(seen) != 1 || !strings.HasPrefix(seen[0], "HEAD ") {
				t.Errorf("the second time made %v, want one HEAD", seen)
			}
		})
	}
}

func TestRegistriesWithoutHEAD(t *testing.T) {
	for name, fault := range map[string]func(http.ResponseWriter){
		"not allowed":     func(w http.ResponseWriter) { w.WriteHeader(405) },
		"without headers": func(w http.ResponseWriter) { w.WriteHeader(200) },
	} {
		w := newWorld(t)
		d := w.push(t, "a:1", imageFor(t, "linux/amd64"))
		w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				fault(rw)
			}
			return r.Method == http.MethodHead
		})
		if got, err := newClient(t, Config{}).Digest(t.Context(), w.host+"/a:1"); err != nil || got != d {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func TestResolveFollowsATagThatMoves(t *testing.T) {
	w := newWorld(t)
	c := newClient(t, Config{})
	for range 2 {
		want := w.push(t, "a:1", imageFor(t, "linux/amd64"))
		got, err := c.Resolve(t.Context(), w.host+"/a:1", "linux/amd64")
		if err != nil || got.Manifest != want || got.Digest() != want {
			t.Fatalf("got %+v, %v, want %s", got, err, want)
		}
	}
}

func TestNotFound(t *testing.T) {
	w := newWorld(t)
	c := newClient(t, Config{})
	w.push(t, "a:1", imageFor(t, "linux/amd64"))
	idx, _ := indexOf(t, "linux/arm64")
	w.push(t, "b:1", idx)
	for _, x := range []struct{ ref, platform, want string }{
		{"nobody:1", "linux/amd64", "nobody:1 not found"},
		{"a:2", "linux/amd64", "a:2 not found"},
		{"a@sha256:" + strings.Repeat("0", 64), "linux/amd64", "not found"},
		{"a:1", "linux/arm64", "for linux/arm64 not found: the image has linux/amd64"},
		{"b:1", "linux/amd64", "the image has linux/arm64"},
	} {
		got, err := c.Resolve(t.Context(), w.host+"/"+x.ref, x.platform)
		if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s %s: %v, want ErrNotFound with %q", x.ref, x.platform, err, x.want)
		}
		others := strings.Contains(x.want, "the image has")
		if (got.Digest() != v1.Hash{}) != others || (len(got.Manifests) > 0) != others || got.Manifest != (v1.Hash{}) || got.Has(x.platform) || others && !got.Has(got.Platforms[0]) {
			t.Errorf("%s %s: the others are %+v", x.ref, x.platform, got)
		}
		var nf *NotFound
		if !errors.As(err, &nf) {
			t.Errorf("%s: %T is no *NotFound", x.ref, err)
		}
	}
	if got, err := c.Digest(t.Context(), w.host+"/a:2"); err != nil || got != (v1.Hash{}) {
		t.Errorf("Digest of a missing tag: %v, %v", got, err)
	}
	if _, err := c.Image(t.Context(), w.host+"/a:2", "linux/amd64"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Image of a missing tag: %v", err)
	}
	if err := c.Tag(t.Context(), w.host+"/a", v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}, "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Tag of a missing digest: %v", err)
	}
}

func TestImageIsThePlatforms(t *testing.T) {
	w := newWorld(t)
	c := newClient(t, Config{})
	idx, digests := indexOf(t, "linux/arm64", "linux/amd64")
	w.push(t, "a:1", idx)
	img, err := c.Image(t.Context(), w.host+"/a:1", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := img.Digest(); d != digests["linux/amd64"] {
		t.Errorf("digest %s", d)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	rc, err := layers[1].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if n, err := io.Copy(io.Discard, rc); err != nil || n == 0 {
		t.Errorf("layer: %d bytes, %v", n, err)
	}
	if _, err := c.Image(t.Context(), w.host+"/a:1", ""); err == nil || !strings.Contains(err.Error(), "name one") {
		t.Errorf("without a platform: %v", err)
	}
}

func TestTagIsOnePut(t *testing.T) {
	for name, what := range map[string]remote.Taggable{"manifest": imageFor(t, "linux/amd64"), "index": first(indexOf(t, "linux/amd64"))} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var writes atomic.Int32
			c := newClient(t, Config{Observe: func(_, _ string, write bool, _ int) {
				if write {
					writes.Add(1)
				}
			}})
			d := w.push(t, "a:1", what)
			for range 2 {
				writes.Store(0)
				if err := c.Tag(t.Context(), w.host+"/a", d, "stable"); err != nil {
					t.Fatal(err)
				}
				if writes.Load() != 1 {
					t.Errorf("%d writes, want 1", writes.Load())
				}
				for _, r := range w.seen() {
					if strings.Contains(r, "/blobs/") {
						t.Errorf("a blob was touched: %s", r)
					}
				}
				if got, err := c.Digest(t.Context(), w.host+"/a:stable"); err != nil || got != d {
					t.Errorf("stable is %s, %v, want %s", got, err, d)
				}
			}
		})
	}
}

func first[A, B any](a A, _ B) A { return a }

func TestReadingWritesNothing(t *testing.T) {
	w := newWorld(t)
	var writes, all atomic.Int32
	c := newClient(t, Config{Observe: func(_, host string, write bool, status int) {
		all.Add(1)
		if write {
			writes.Add(1)
		}
		if host != w.host {
			t.Errorf("host %q", host)
		}
	}})
	w.push(t, "a:1", imageFor(t, "linux/amd64"))
	for range 100 {
		if _, err := c.Resolve(t.Context(), w.host+"/a:1", "linux/amd64"); err != nil {
			t.Fatal(err)
		}
	}
	if writes.Load() != 0 || all.Load() < 100 {
		t.Errorf("%d writes of %d requests", writes.Load(), all.Load())
	}
}

func TestRetries(t *testing.T) {
	for _, x := range []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request)
	}{
		{"unavailable", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }},
		{"too many", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "0"); w.WriteHeader(429) }},
		{"connection closed", func(w http.ResponseWriter, _ *http.Request) { hangUp(w) }},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newWorld(t)
			c := newClient(t, Config{})
			d := w.push(t, "a:1", imageFor(t, "linux/amd64"))
			failed := map[string]bool{}
			w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool { // each request once
				w.mu.Lock()
				key := r.Method + r.URL.Path
				again := failed[key]
				failed[key] = true
				w.mu.Unlock()
				if again {
					return false
				}
				x.fault(rw, r)
				return true
			})
			if err := c.Tag(t.Context(), w.host+"/a", d, "stable"); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Digest(t.Context(), w.host+"/a:stable"); err != nil || got != d {
				t.Fatalf("stable is %s, %v", got, err)
			}
		})
	}
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func TestRetriesEnd(t *testing.T) {
	w := newWorld(t)
	var n atomic.Int32
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v2/" {
			n.Add(1)
			rw.WriteHeader(502)
			return true
		}
		return false
	})
	c := newClient(t, Config{Attempts: 3})
	_, err := c.Digest(t.Context(), w.host+"/a:1")
	if err == nil || !strings.Contains(err.Error(), w.host+"/a:1") || !strings.Contains(err.Error(), "502") {
		t.Errorf("error %v", err)
	}
	if n.Load() != 3 {
		t.Errorf("%d attempts, want 3", n.Load())
	}
}

func TestNoRetry(t *testing.T) {
	rt := &retried{attempts: 4, backoff: time.Second}
	req := func(method string) *http.Request { return httptest.NewRequest(method, "/v2/a", nil) }
	answer := func(code int, after string) *http.Response {
		return &http.Response{StatusCode: code, Header: http.Header{"Retry-After": {after}}}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, x := range []struct {
		name    string
		r       *http.Request
		resp    *http.Response
		err     error
		attempt int
		want    bool
	}{
		{"server error", req("GET"), answer(503, ""), nil, 1, true},
		{"asked to wait", req("GET"), answer(429, "5"), nil, 1, true},
		{"asked to wait for hours", req("GET"), answer(429, "7200"), nil, 1, false},
		{"last attempt", req("GET"), answer(503, ""), nil, 4, false},
		{"not allowed", req("GET"), answer(403, ""), nil, 1, false},
		{"upload", req("POST"), answer(503, ""), nil, 1, false},
		{"context ended", req("GET").WithContext(ended), answer(503, ""), nil, 1, false},
		{"connection lost", req("GET"), nil, io.ErrUnexpectedEOF, 1, true},
		{"bad certificate", req("GET"), nil, errors.New("x509: unknown authority"), 1, false},
	} {
		if wait, got := rt.wait(x.r, x.resp, x.err, x.attempt); got != x.want || got && wait <= 0 {
			t.Errorf("%s: %v after %s, want %v", x.name, got, wait, x.want)
		}
	}
	if wait, _ := rt.wait(req("GET"), answer(429, "5"), nil, 1); wait < 5*time.Second {
		t.Errorf("Retry-After of 5 s: waits %s", wait)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPlainHTTPOnlyWhereAllowed(t *testing.T) {
	reached := roundTrip(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 200}, nil })
	rt := newSecured(reached, []string{"registry.test:5000"})
	for url, want := range map[string]bool{
		"https://10.0.0.1/v2/": true, "http://10.0.0.1/v2/": false, "http://registry.test/v2/": false,
		"http://registry.test:5000/v2/": true, "http://127.0.0.1:5000/v2/": true, "http://[::1]:5000/v2/": true,
		"http://localhost:5000/v2/": true, "http://localhost.evil.example/v2/": false,
	} {
		_, err := rt.RoundTrip(httptest.NewRequest("GET", url, nil))
		if (err == nil) != want || err != nil && !errors.Is(err, ErrPlainHTTP) {
			t.Errorf("%s: %v, allowed should be %v", url, err, want)
		}
	}
}

// A registry that speaks no TLS, at an address for which the library below would fall back by itself.
func TestPlainHTTPErrorSaysTheWayOut(t *testing.T) {
	w := newWorld(t)
	to := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme == "https" {
			return nil, errors.New("server gave HTTP response to HTTPS client")
		}
		r = r.Clone(r.Context())
		r.URL.Host = w.host
		return http.DefaultTransport.RoundTrip(r)
	})
	d := w.push(t, "a:1", imageFor(t, "linux/amd64"))
	_, err := newClient(t, Config{Transport: to}).Digest(t.Context(), "10.1.2.3:5000/a:1")
	if !errors.Is(err, ErrPlainHTTP) || !strings.Contains(err.Error(), "insecure") {
		t.Errorf("refused: %v", err)
	}
	got, err := newClient(t, Config{Transport: to, Insecure: []string{"10.1.2.3:5000"}}).Digest(t.Context(), "10.1.2.3:5000/a:1")
	if err != nil || got != d {
		t.Errorf("allowed: %s, %v", got, err)
	}
	if _, err := New(Config{Insecure: []string{"http://x"}}); err == nil {
		t.Error("a URL was taken for a host")
	}
}

func TestHostLimit(t *testing.T) {
	var now, most atomic.Int32
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	rt := &limited{perHost: 3, slots: map[string]chan struct{}{}, next: roundTrip(func(*http.Request) (*http.Response, error) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		entered <- struct{}{}
		<-leave
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("x"))}, nil
	})}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			resp, err := rt.RoundTrip(httptest.NewRequest("GET", "http://h/v2/", nil))
			if err != nil {
				t.Error(err)
				return
			}
			now.Add(-1)
			_ = resp.Body.Close()
			_ = resp.Body.Close() // twice is allowed, and frees one slot
		})
	}
	for range 3 {
		<-entered
	}
	close(leave)
	wg.Wait()
	if most.Load() != 3 {
		t.Errorf("%d at once, want 3", most.Load())
	}
	if n := len(rt.slots["h"]); n != 0 {
		t.Errorf("%d slots are still held", n)
	}
}

func TestHostLimitEndsWithTheContext(t *testing.T) {
	rt := &limited{perHost: 1, slots: map[string]chan struct{}{}, next: roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("x"))}, nil
	})}
	if _, err := rt.RoundTrip(httptest.NewRequest("GET", "http://h/v2/", nil)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rt.RoundTrip(httptest.NewRequest("GET", "http://h/v2/", nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLargeManifestIsCutOff(t *testing.T) {
	w := newWorld(t)
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		if r.Method == http.MethodHead {
			rw.WriteHeader(405)
			return true
		}
		rw.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range 64 {
			if _, err := rw.Write(chunk); err != nil {
				return true
			}
		}
		return true
	})
	_, err := newClient(t, Config{}).Resolve(t.Context(), w.host+"/a:1", "linux/amd64")
	if err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

func TestLargeConfigurationIsNotRead(t *testing.T) {
	w := newWorld(t)
	img := imageFor(t, "linux/amd64")
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	raw := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"size":%d,"digest":%q},"layers":[]}`,
		types.OCIManifestSchema1, types.OCIConfigJSON, int64(1)<<40, m.Config.Digest)
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		d, _, _ := v1.SHA256(strings.NewReader(raw))
		rw.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		rw.Header().Set("Docker-Content-Digest", d.String())
		rw.Header().Set("Content-Length", fmt.Sprint(len(raw)))
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(rw, raw)
		}
		return true
	})
	_, err = newClient(t, Config{}).Resolve(t.Context(), w.host+"/a:1", "linux/amd64")
	if err == nil || !strings.Contains(err.Error(), "configuration has") {
		t.Errorf("got %v", err)
	}
	for _, r := range w.seen() {
		if strings.Contains(r, "/blobs/") {
			t.Errorf("the configuration was asked for: %s", r)
		}
	}
}

// changing is a keychain whose password becomes valid at its second look-up, as those of cloud registries are renewed.
type changing struct{ n atomic.Int32 }

func (c *changing) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "u", Password: fmt.Sprint(c.n.Add(1))}, nil
}

func TestCredentialsAreLookedUpAgain(t *testing.T) {
	w := newWorld(t)
	d := w.push(t, "a:1", imageFor(t, "linux/amd64"))
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if _, password, ok := r.BasicAuth(); ok && password == "2" {
			return false
		}
		rw.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		rw.WriteHeader(401)
		return true
	})
	got, err := newClient(t, Config{Keychain: &changing{}}).Digest(t.Context(), w.host+"/a:1")
	if err != nil || got != d {
		t.Errorf("got %s, %v", got, err)
	}
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		rw.WriteHeader(401)
		return true
	})
	_, err = newClient(t, Config{Keychain: &changing{}}).Digest(t.Context(), w.host+"/a:1")
	if err == nil || !strings.Contains(err.Error(), "docker login") {
		t.Errorf("refused for good: %v", err)
	}
}

// An image that is refused for good leaves the others logged in.
func TestARefusalCostsOthersNothing(t *testing.T) {
	w := newWorld(t)
	w.push(t, "a:1", imageFor(t, "linux/amd64"))
	c := newClient(t, Config{})
	if _, err := c.Digest(t.Context(), w.host+"/a:1"); err != nil {
		t.Fatal(err)
	}
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/secret/") {
			rw.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	if _, err := c.Digest(t.Context(), w.host+"/secret:1"); err == nil {
		t.Fatal("it is not refused")
	}
	w.mu.Lock()
	w.requests = nil
	w.mu.Unlock()
	if _, err := c.Digest(t.Context(), w.host+"/a:1"); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.requests, []string{"HEAD /v2/a/manifests/1"}) {
		t.Errorf("requests %q", w.requests)
	}
}

func TestReferencesThatAreNone(t *testing.T) {
	c := newClient(t, Config{})
	for _, ref := range []string{"", "UPPER/case", "a@sha256:short", "h:5000/a:b:c"} {
		if _, err := c.Resolve(t.Context(), ref, ""); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	if _, err := c.Resolve(t.Context(), "a:1", "amd64"); err == nil || !strings.Contains(err.Error(), `"linux/amd64"`) {
		t.Errorf("platform: %v", err)
	}
}
