// Package registrytest is a registry in memory that is as strict as those in use: a blob is in the repositories that it was
// pushed to or mounted into, and in no other. It counts what it is asked for.
package registrytest

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const maxManifest = 4 << 20

// Registry serves the distribution API, referrers and mounts included.
type Registry struct {
	next http.Handler

	mu     sync.Mutex
	has    map[string]bool // "repository sha256:.."
	counts Counts
	fault  func(w http.ResponseWriter, r *http.Request, next http.Handler) bool
}

// Counts is what a registry was asked for.
type Counts struct {
	Requests  int
	Mounted   int
	BlobBytes int64 // read and written
}

// New returns an empty registry.
func New() *Registry {
	return &Registry{has: map[string]bool{}, next: registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))}
}

// Counted returns what it was asked for since it was asked this.
func (s *Registry) Counted() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	s.counts = Counts{}
	return c
}

// BreakWith has f answer requests in its place; false: it is served as ever.
func (s *Registry) BreakWith(f func(w http.ResponseWriter, r *http.Request, next http.Handler) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *Registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.counts.Requests++
	fault := s.fault
	s.mu.Unlock()
	if fault == nil || !fault(w, r, http.HandlerFunc(s.serve)) {
		s.serve(w, r)
	}
}

func (s *Registry) serve(w http.ResponseWriter, r *http.Request) {
	repository, what, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
	manifests, _, isManifest := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
	switch {
	case isManifest && r.Method == http.MethodPut:
		s.manifest(w, r, manifests)
	case !ok:
		s.next.ServeHTTP(w, r)
	case strings.HasPrefix(what, "uploads/"):
		s.upload(w, r, repository)
	case !s.in(repository, what):
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
	default:
		s.next.ServeHTTP(&measured{ResponseWriter: w, s: s, count: r.Method == http.MethodGet}, r)
	}
}

// upload is any part of an upload, or a mount.
func (s *Registry) upload(w http.ResponseWriter, r *http.Request, repository string) {
	q := r.URL.Query()
	if blob, from := q.Get("mount"), q.Get("from"); blob != "" && s.in(from, blob) {
		s.put(repository, blob)
		s.mu.Lock()
		s.counts.Mounted++
		s.mu.Unlock()
		w.Header().Set("Location", "/v2/"+repository+"/blobs/"+blob)
		w.Header().Set("Docker-Content-Digest", blob)
		w.WriteHeader(http.StatusCreated)
		return
	}
	body := r.Body
	r.Body = &measuredBody{body, s}
	got := &measured{ResponseWriter: w, s: s}
	s.next.ServeHTTP(got, r)
	if digest := q.Get("digest"); digest != "" && got.status == http.StatusCreated {
		s.put(repository, digest)
	}
}

// manifest refuses one whose blobs are not in the repository.
func (s *Registry) manifest(w http.ResponseWriter, r *http.Request, repository string) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxManifest))
	var m v1.Manifest
	if err != nil || json.Unmarshal(body, &m) != nil {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID")
		return
	}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if d.Digest.Hex != "" && !s.in(repository, d.Digest.String()) {
			refuse(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")
			return
		}
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	s.next.ServeHTTP(w, r)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code}}}) // nobody is told that it could not be written
}

func (s *Registry) in(repository, blob string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has[repository+" "+blob]
}

func (s *Registry) put(repository, blob string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[repository+" "+blob] = true
}

func (s *Registry) moved(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.BlobBytes += int64(n)
}

// measured is an answer whose status is kept and whose bytes are counted.
type measured struct {
	http.ResponseWriter
	s      *Registry
	count  bool
	status int
}

func (m *measured) WriteHeader(status int) {
	m.status = status
	m.ResponseWriter.WriteHeader(status)
}

func (m *measured) Write(p []byte) (int, error) {
	n, err := m.ResponseWriter.Write(p)
	if m.count {
		m.s.moved(n)
	}
	return n, err
}

type measuredBody struct {
	io.ReadCloser
	s *Registry
}

func (b *measuredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.s.moved(n)
	return n, err
}
