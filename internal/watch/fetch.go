package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"rebuilder/internal/inventory"
)

const fetchTimeout = 10 * time.Minute // of one file

// validators make a request conditional.
type validators struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

// fetchRelease asks for InRelease. raw is nil when it is as v says.
func (d *Debian) fetchRelease(ctx context.Context, repo inventory.Repository, v validators) (raw []byte, now validators, err error) {
	u, err := releaseURL(repo, "InRelease")
	if err != nil {
		return nil, v, err
	}
	resp, done, err := d.get(ctx, u, v)
	if err != nil {
		return nil, v, err
	}
	defer done()
	if resp.StatusCode == http.StatusNotModified && v != (validators{}) {
		return nil, v, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, v, fmt.Errorf("GET %s: %s", shownURL(u), resp.Status)
	}
	raw, err = io.ReadAll(&atMost{r: resp.Body, left: maxRelease, name: shownURL(u)})
	if err != nil {
		return nil, v, fmt.Errorf("GET %s: %w", shownURL(u), err)
	}
	return raw, validators{ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}, nil
}

// fetchFile brings one file of a release to dir and returns its path there. A file that is there already, by its
// hash, is not asked for.
func (d *Debian) fetchFile(ctx context.Context, repo inventory.Repository, r *release, f indexFile, dir string) (string, error) {
	to := filepath.Join(dir, f.sha256+path.Ext(f.name))
	if sameFile(to, f) {
		return to, nil
	}
	if f.size > d.maxBytes {
		return "", fmt.Errorf("%s: %w: %d bytes, more than %d", f.name, ErrTooLarge, f.size, d.maxBytes)
	}
	var err error
	for _, name := range namesOf(r, f) {
		if err = d.download(ctx, repo, name, f, to); err == nil || !errors.Is(err, errMissing) {
			break
		}
	}
	return to, err
}

// namesOf lists where a file may be: under its hash it cannot change while the mirror is updated.
func namesOf(r *release, f indexFile) []string {
	if !r.byHash {
		return []string{f.name}
	}
	return []string{path.Join(path.Dir(f.name), "by-hash/SHA256", f.sha256), f.name}
}

var errMissing = errors.New("missing")

// download is atomic: what is at to has been checked.
func (d *Debian) download(ctx context.Context, repo inventory.Repository, name string, f indexFile, to string) error {
	u, err := releaseURL(repo, name)
	if err != nil {
		return err
	}
	resp, done, err := d.get(ctx, u, validators{})
	if err != nil {
		return err
	}
	defer done()
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone, resp.StatusCode == http.StatusForbidden: // object stores say 403
		return fmt.Errorf("GET %s: %s: %w", shownURL(u), resp.Status, errMissing)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("GET %s: %s", shownURL(u), resp.Status)
	}
	tmp, err := os.CreateTemp(filepath.Dir(to), ".download-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if err := copyChecked(tmp, resp.Body, f); err != nil {
		return fmt.Errorf("GET %s: %w", shownURL(u), err)
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}

// copyChecked reads exactly the bytes that the release promises, and one more to know.
func copyChecked(to io.Writer, from io.Reader, f indexFile) error {
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, hash), io.LimitReader(from, f.size+1))
	switch sum := hex.EncodeToString(hash.Sum(nil)); {
	case err != nil:
		return err
	case n > f.size:
		return fmt.Errorf("%w: more than %d bytes", ErrMismatch, f.size)
	case n < f.size:
		return fmt.Errorf("%w: %d bytes of %d", ErrMismatch, n, f.size)
	case sum != f.sha256:
		return fmt.Errorf("%w: its SHA-256 is %s, not %s: the mirror is being updated, or tampered with", ErrMismatch, sum, f.sha256)
	}
	return nil
}

func sameFile(at string, f indexFile) bool {
	file, err := os.Open(at)
	if err != nil {
		return false
	}
	defer file.Close()
	return copyChecked(io.Discard, file, f) == nil
}

// get makes one request; done must be called when the body has been read.
func (d *Debian) get(ctx context.Context, u *url.URL, v validators) (resp *http.Response, done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	req.Header.Set("User-Agent", "rebuilder")
	req.Header.Set("Accept-Encoding", "identity") // what is signed is the bytes as they lie on the server
	req.Header.Set("Cache-Control", "max-age=0")  // proxies are to ask too
	if v.ETag != "" {
		req.Header.Set("If-None-Match", v.ETag)
	}
	if v.LastModified != "" {
		req.Header.Set("If-Modified-Since", v.LastModified)
	}
	resp, err = d.client.Do(req)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return resp, func() { _ = resp.Body.Close(); cancel() }, nil
}

// releaseURL is the address of a file beside a repository's release file.
func releaseURL(repo inventory.Repository, name string) (*url.URL, error) {
	u, err := url.Parse(repo.URI)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", repo.Where, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%s: %s cannot be watched: only http and https can", repo.Where, shownURL(u))
	}
	if isFlat(repo) {
		return u.JoinPath(repo.Suite, name), nil
	}
	return u.JoinPath("dists", repo.Suite, name), nil
}

// shownURL leaves passwords out.
func shownURL(u *url.URL) string { return u.Redacted() }

func repositoryName(repo inventory.Repository) string {
	uri := repo.URI
	if u, err := url.Parse(uri); err == nil {
		uri = shownURL(u)
	}
	return strings.Join(append([]string{strings.TrimRight(uri, "/"), repo.Suite}, repo.Components...), " ")
}
