package watch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"rebuilder/internal/inventory"
)

const (
	fetchTimeout = 10 * time.Minute // of one file
	headTimeout  = 2 * time.Minute  // of one head
	stallTimeout = time.Minute      // in which nothing comes
)

var errSlow = errors.New("the server is too slow, or sends nothing")

// validators make a request conditional.
type validators struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	// Root is the address that the head was found at, where a repository has several.
	Root string `json:"root,omitempty"`
	// Sum is the SHA-256 of an rpm repository's repomd.xml, which metalinks name.
	Sum string `json:"sum,omitempty"`
}

// conditional says that there is something to ask by.
func (v validators) conditional() bool { return v.ETag != "" || v.LastModified != "" }

// fetch asks for a head's file. raw is nil when it is as v says.
func (w *Watcher) fetch(ctx context.Context, u *url.URL, v validators, limit int64) (raw []byte, now validators, err error) {
	resp, done, err := w.get(ctx, u, v, headTimeout)
	if err != nil {
		return nil, v, err
	}
	defer done()
	switch {
	case resp.StatusCode == http.StatusNotModified && v.conditional():
		return nil, v, nil
	case missing(resp.StatusCode):
		return nil, v, fmt.Errorf("GET %s: %s: %w", shownURL(u), resp.Status, errMissing)
	case resp.StatusCode != http.StatusOK:
		return nil, v, fmt.Errorf("GET %s: %s", shownURL(u), resp.Status)
	}
	raw, err = io.ReadAll(&atMost{r: resp.Body, left: limit, name: shownURL(u)})
	if err != nil {
		return nil, v, fmt.Errorf("GET %s: %w", shownURL(u), err)
	}
	return raw, validators{ETag: resp.Header.Get("ETag"), LastModified: lastModified(resp.Header), Root: v.Root}, nil
}

// restful is how long a file must have been as it is until its date is trusted to change with it: dates have whole
// seconds, and those of a cluster of servers differ (RFC 9110, section 8.8.2.2).
const restful = time.Minute

// lastModified is the date of a file, unless it may yet change without getting another one.
func lastModified(h http.Header) string {
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	answered, err2 := http.ParseTime(h.Get("Date"))
	if err != nil || err2 != nil || answered.Sub(modified) < restful {
		return ""
	}
	return h.Get("Last-Modified")
}

// missing says that an answer means that there is no such file; object stores say 403.
func missing(status int) bool {
	return status == http.StatusNotFound || status == http.StatusGone || status == http.StatusForbidden
}

// fetchFile brings one file that a head lists to the entry's directory and returns its path there. A file that is there
// already, by its hash, is not asked for.
func (w *Watcher) fetchFile(ctx context.Context, e *entry, next answered, f indexFile) (string, error) {
	to := filepath.Join(e.dir, f.sum+path.Ext(f.name))
	if sameFile(to, f) {
		return to, nil
	}
	if f.size > w.maxBytes {
		return "", fmt.Errorf("%s: %w: %d bytes, more than %d", f.name, ErrTooLarge, f.size, w.maxBytes)
	}
	urls, err := next.head.urls(e.repo, next.validators, f)
	if err != nil {
		return "", err
	}
	for _, u := range urls {
		if err = w.download(ctx, u, f, to); err == nil || !errors.Is(err, errMissing) {
			break
		}
	}
	return to, err
}

var errMissing = errors.New("missing")

// download is atomic: what is at to has been checked.
func (w *Watcher) download(ctx context.Context, u *url.URL, f indexFile, to string) error {
	resp, done, err := w.get(ctx, u, validators{}, fetchTimeout)
	if err != nil {
		return err
	}
	defer done()
	switch {
	case missing(resp.StatusCode):
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
	if err := copyChecked(tmp, resp.Body, f, w.maxBytes); err != nil {
		return fmt.Errorf("GET %s: %w", shownURL(u), err)
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}

// copyChecked reads exactly the bytes that the head promises, and one more to know; at most limit where it says no size.
func copyChecked(to io.Writer, from io.Reader, f indexFile, limit int64) error {
	hash, name := sha256.New(), "SHA-256"
	if len(f.sum) == hex.EncodedLen(sha512.Size) {
		hash, name = sha512.New(), "SHA-512"
	}
	if f.size >= 0 {
		limit = f.size
	}
	n, err := io.Copy(io.MultiWriter(to, hash), io.LimitReader(from, limit+1))
	switch sum := hex.EncodeToString(hash.Sum(nil)); {
	case err != nil:
		return err
	case n > limit && f.size < 0:
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	case n > limit:
		return fmt.Errorf("%w: more than %d bytes", ErrMismatch, limit)
	case n < f.size:
		return fmt.Errorf("%w: %d bytes of %d", ErrMismatch, n, f.size)
	case sum != f.sum:
		return fmt.Errorf("%w: its %s is %s, not %s: the mirror is being updated, or tampered with", ErrMismatch, name, sum, f.sum)
	}
	return nil
}

func sameFile(at string, f indexFile) bool {
	file, err := os.Open(at)
	if err != nil {
		return false
	}
	defer file.Close()
	return copyChecked(io.Discard, file, f, math.MaxInt64-1) == nil
}

func sumOf(raw []byte) string { return fmt.Sprintf("%x", sha256.Sum256(raw)) }

// get makes one request, of which all must have come within a time; done must be called when the body has been read. A
// server from which nothing comes for a while is given up before that.
func (w *Watcher) get(ctx context.Context, u *url.URL, v validators, within time.Duration) (resp *http.Response, done func(), err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	giveUp := func() { cancel(errSlow) }
	whole, stall := time.AfterFunc(within, giveUp), time.AfterFunc(stallTimeout, giveUp)
	end := func() {
		whole.Stop()
		stall.Stop()
		cancel(nil)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		end()
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
	resp, err = w.client.Do(req)
	if err != nil {
		if errors.Is(context.Cause(ctx), errSlow) {
			err = fmt.Errorf("GET %s: %w", shownURL(u), errSlow)
		}
		end()
		return nil, nil, err
	}
	body := resp.Body
	resp.Body = io.NopCloser(&patient{ctx: ctx, r: body, stall: stall})
	return resp, func() { _ = body.Close(); end() }, nil
}

// patient reads a body for as long as something comes.
type patient struct {
	ctx   context.Context // the request's
	r     io.Reader
	stall *time.Timer
}

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.stall.Reset(stallTimeout)
	}
	if err != nil && errors.Is(context.Cause(p.ctx), errSlow) {
		err = errSlow
	}
	return n, err
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
	uri := cmp.Or(repo.URI, repo.Mirrors)
	if u, err := url.Parse(uri); err == nil {
		uri = shownURL(u)
	}
	words := append([]string{strings.TrimRight(uri, "/"), repo.Suite}, repo.Components...)
	return strings.TrimSpace(strings.Join(words, " ")) // only deb has suites
}
