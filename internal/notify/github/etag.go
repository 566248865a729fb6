package github

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

const (
	maxCached     = 16 << 20 // bytes of bodies kept in all
	maxCachedBody = 1 << 20  // of one
)

// etags makes conditional requests: an answer that did not change costs no rate limit and no body. go-github takes a
// 304 for an error, so the kept answer is given instead.
//
// GitHub's tags depend on the Authorization header. They are kept by it, so that another token misses and is not
// given what it may not see.
type etags struct {
	next http.RoundTripper

	mu    sync.Mutex
	byKey map[cacheKey]*list.Element
	used  *list.List // of *cached, newest first
	size  int
}

type cacheKey [sha256.Size]byte

type cached struct {
	key    cacheKey
	tag    string
	header http.Header
	body   []byte
}

func newETags(next http.RoundTripper) *etags {
	return &etags{next: next, byKey: map[cacheKey]*list.Element{}, used: list.New()}
}

func keyOf(req *http.Request) cacheKey {
	h := sha256.New()
	for _, part := range []string{req.Header.Get("Authorization"), req.Header.Get("Accept"), req.URL.String()} {
		io.WriteString(h, strconv.Itoa(len(part))+":"+part)
	}
	return cacheKey(h.Sum(nil))
}

func (t *etags) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet || req.Header.Get("If-None-Match") != "" {
		return t.next.RoundTrip(req)
	}
	key := keyOf(req)
	kept := t.get(key)
	if kept != nil {
		req = req.Clone(req.Context())
		req.Header.Set("If-None-Match", kept.tag)
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && kept != nil:
		return revive(resp, kept), nil
	case resp.StatusCode == http.StatusOK && resp.Header.Get("ETag") != "":
		return resp, t.keep(key, resp)
	}
	return resp, nil
}

// revive turns a 304 into the answer it stands for. Its own headers win: they have the present rate limits.
func revive(resp *http.Response, kept *cached) *http.Response {
	resp.Body.Close()
	header := kept.header.Clone()
	for name, values := range resp.Header {
		if name != "Content-Type" && name != "Content-Length" {
			header[name] = values
		}
	}
	resp.Status, resp.StatusCode, resp.Header = "200 OK", http.StatusOK, header
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(kept.body)), int64(len(kept.body))
	return resp
}

// keep reads a body that is small enough, and lets a larger one pass.
func (t *etags) keep(key cacheKey, resp *http.Response) error {
	body := resp.Body
	start, err := io.ReadAll(io.LimitReader(body, maxCachedBody+1))
	if err != nil {
		return errors.Join(err, body.Close())
	}
	if len(start) > maxCachedBody {
		resp.Body = joined{io.MultiReader(bytes.NewReader(start), body), body}
		return nil
	}
	resp.Body = io.NopCloser(bytes.NewReader(start))
	t.put(&cached{key: key, tag: resp.Header.Get("ETag"), header: resp.Header.Clone(), body: start})
	return body.Close()
}

type joined struct {
	io.Reader
	io.Closer
}

func (t *etags) get(key cacheKey) *cached {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.byKey[key]
	if at == nil {
		return nil
	}
	t.used.MoveToFront(at)
	return at.Value.(*cached)
}

func (t *etags) put(one *cached) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := t.byKey[one.key]; at != nil {
		t.drop(at)
	}
	t.byKey[one.key] = t.used.PushFront(one)
	for t.size += one.weight(); t.size > maxCached; {
		t.drop(t.used.Back())
	}
}

func (t *etags) drop(at *list.Element) {
	one := t.used.Remove(at).(*cached)
	delete(t.byKey, one.key)
	t.size -= one.weight()
}

// weight counts some for the headers, so that many empty answers are bounded too.
func (c *cached) weight() int { return len(c.body) + 2048 }
