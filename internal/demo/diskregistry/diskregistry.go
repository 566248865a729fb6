// Package diskregistry is a container registry that keeps everything on disk, for the demo and for tests.
//
// It is go-containerregistry's registry. That one keeps blobs on disk but manifests and tags in memory; here each
// manifest that it accepts is written to a journal before the client is told, and the journal is played back on Open.
// A registry that was killed at any moment opens with every manifest that a client saw accepted.
package diskregistry

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
)

// maxManifest bounds a manifest's bytes; the OCI specification asks registries for 4 MiB at least.
const maxManifest = 4 << 20

// Registry serves the distribution API, referrers included.
type Registry struct {
	next http.Handler

	mu      sync.Mutex // orders manifest writes as the journal has them
	journal *journal
}

// Open opens the registry in dir, which is made when missing.
func Open(dir string, log *slog.Logger) (*Registry, error) {
	blobs := filepath.Join(dir, "blobs")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	if err := removeUploads(blobs); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	r := &Registry{next: registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs)),
		registry.WithReferrersSupport(true),
		registry.Logger(slog.NewLogLogger(log.With("part", "registry").Handler(), slog.LevelDebug)),
	)}
	j, entries, err := openJournal(filepath.Join(dir, "manifests.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	r.journal = j
	for _, e := range entries {
		if code := r.do(e).code; code >= 300 {
			_ = j.close()
			return nil, fmt.Errorf("open registry: play back manifest %s: status %d; remove %s and start again", e.Path, code, dir)
		}
	}
	return r, nil
}

// Close closes the journal; manifests are refused from then on.
func (r *Registry) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.journal.close()
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if !isManifest(req.URL.Path) || (req.Method != http.MethodPut && req.Method != http.MethodDelete) {
		r.next.ServeHTTP(w, req)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxManifest))
	if err != nil {
		http.Error(w, "manifest: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := entry{Method: req.Method, Path: req.URL.Path, ContentType: req.Header.Get("Content-Type"), Body: body}
	a := r.do(e)
	if a.code < 300 {
		if err := r.journal.append(e); err != nil {
			http.Error(w, "journal: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.code)
	_, _ = w.Write(a.body.Bytes())
}

func (r *Registry) do(e entry) *answer {
	req, err := http.NewRequest(e.Method, e.Path, bytes.NewReader(e.Body))
	if err != nil {
		return &answer{code: http.StatusBadRequest, header: http.Header{}}
	}
	req.Header.Set("Content-Type", e.ContentType)
	a := &answer{code: http.StatusOK, header: http.Header{}}
	r.next.ServeHTTP(a, req)
	return a
}

// answer holds a response back until the journal has the request.
type answer struct {
	code   int
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(code int)        { a.code = code }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func isManifest(path string) bool {
	parts := strings.Split(path, "/")
	return len(parts) >= 4 && parts[1] == "v2" && parts[len(parts)-2] == "manifests"
}

// removeUploads removes what an upload left behind that was cut off by a kill.
func removeUploads(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "upload-*"))
	if err != nil {
		return err
	}
	for _, f := range left {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	return nil
}
