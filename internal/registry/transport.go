package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const (
	// maxDocument bounds every response that is not a blob: manifests, tokens, errors. The OCI specification asks
	// registries to take manifests of 4 MiB.
	maxDocument = 16 << 20
	// maxWait is the longest Retry-After that is waited for; longer ones are the caller's to schedule.
	maxWait = 30 * time.Second
)

// newTransport stacks what every request passes, outermost first.
func newTransport(c Config) http.RoundTripper {
	t := c.Transport
	if t == nil {
		t = remote.DefaultTransport
	}
	if c.Observe != nil {
		t = &observed{next: t, observe: c.Observe}
	}
	t = newSecured(t, c.Insecure)
	t = &bounded{next: t}
	t = &limited{next: t, perHost: or(c.PerHost, 8), slots: map[string]chan struct{}{}}
	return &retried{next: t, attempts: or(c.Attempts, 4), backoff: or(c.Backoff, 300*time.Millisecond), log: c.Log}
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// observed reports each attempt.
type observed struct {
	next    http.RoundTripper
	observe func(method, host string, write bool, status int)
}

func (t *observed) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	code := 0
	if resp != nil {
		code = resp.StatusCode
	}
	t.observe(r.Method, r.URL.Host, writes(r), code)
	return resp, err
}

// writes is false for the POST that fetches a token: that one does not go to the registry's API.
func writes(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return strings.HasPrefix(r.URL.Path, "/v2/")
}

// secured refuses plain HTTP to hosts that neither are loopback nor were named insecure; the library below us would
// fall back to it by itself for private addresses.
type secured struct {
	next     http.RoundTripper
	insecure map[string]bool
}

func newSecured(next http.RoundTripper, insecure []string) *secured {
	t := &secured{next: next, insecure: map[string]bool{}}
	for _, host := range insecure {
		t.insecure[host] = true
	}
	return t
}

func (t *secured) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "http" || t.insecure[r.URL.Host] || loopback(r.URL.Hostname()) {
		return t.next.RoundTrip(r)
	}
	return nil, fmt.Errorf("%w: http://%s", ErrPlainHTTP, r.URL.Host)
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// bounded cuts off everything but blobs after maxDocument bytes. Blobs are bounded by the size in their descriptor.
type bounded struct{ next http.RoundTripper }

func (t *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil || strings.Contains(r.URL.Path, "/blobs/") || isBlobRedirect(r) {
		return resp, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxDocument, url: r.URL.Redacted()}
	return resp, nil
}

// isBlobRedirect says that r follows a registry's redirect, as blobs kept in an object store do.
func isBlobRedirect(r *http.Request) bool {
	for r.Response != nil && r.Response.Request != nil {
		r = r.Response.Request
		if strings.Contains(r.URL.Path, "/blobs/") {
			return true
		}
	}
	return false
}

type boundedBody struct {
	io.ReadCloser
	left int64
	url  string
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%s is larger than %d bytes", b.url, maxDocument)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}

// limited holds a slot of the host for as long as a request runs and, where it succeeded, until its body was read.
type limited struct {
	next    http.RoundTripper
	perHost int
	mu      sync.Mutex
	slots   map[string]chan struct{}
}

func (t *limited) RoundTrip(r *http.Request) (*http.Response, error) {
	slots := t.host(r.URL.Host)
	select {
	case slots <- struct{}{}:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	release := sync.OnceFunc(func() { <-slots })
	resp, err := t.next.RoundTrip(r)
	// Only the body of a success is worth a slot, and only it is sure to be closed.
	if err != nil || resp.StatusCode != http.StatusOK || r.Method == http.MethodHead {
		release()
		return resp, err
	}
	stop := context.AfterFunc(r.Context(), release)
	resp.Body = &releasing{ReadCloser: resp.Body, release: func() { stop(); release() }}
	return resp, nil
}

func (t *limited) host(host string) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.slots[host]
	if !ok {
		s = make(chan struct{}, t.perHost)
		t.slots[host] = s
	}
	return s
}

type releasing struct {
	io.ReadCloser
	release func()
}

func (b *releasing) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.release()
	}
	return n, err
}

func (b *releasing) Close() error {
	b.release()
	return b.ReadCloser.Close()
}

// retried repeats requests that may be repeated: all we make but POST and PATCH. A PUT of a manifest names its content
// or a tag, so that a second one changes nothing.
type retried struct {
	next     http.RoundTripper
	attempts int
	backoff  time.Duration
	log      *slog.Logger
}

func (t *retried) RoundTrip(r *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, err := t.next.RoundTrip(r)
		wait, again := t.wait(r, resp, err, attempt)
		if !again {
			return resp, err
		}
		t.report(r, resp, err, wait)
		if resp != nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
			_ = resp.Body.Close()
		}
		if err := sleep(r.Context(), wait); err != nil {
			return nil, err
		}
		if r, err = rewound(r); err != nil {
			return nil, err
		}
	}
}

// wait says whether another attempt is due, and after how long.
func (t *retried) wait(r *http.Request, resp *http.Response, err error, attempt int) (time.Duration, bool) {
	if attempt >= t.attempts || !repeatable(r) || r.Context().Err() != nil {
		return 0, false
	}
	if err != nil && !passing(err) || err == nil && !busy(resp.StatusCode) {
		return 0, false
	}
	mean := t.backoff
	for range attempt - 1 {
		mean *= 3
	}
	wait := mean/2 + rand.N(mean+1) // half to one and a half of the mean: callers that failed together part
	if asked := retryAfter(resp); asked > 0 {
		wait = asked + rand.N(t.backoff+1)
	}
	return wait, wait <= maxWait
}

func (t *retried) report(r *http.Request, resp *http.Response, err error, wait time.Duration) {
	if t.log == nil {
		return
	}
	why := "connection"
	if resp != nil {
		why = resp.Status
	} else if err != nil {
		why = err.Error()
	}
	t.log.Warn("registry request is retried", "method", r.Method, "host", r.URL.Host, "path", r.URL.Path, "why", why, "wait", wait)
}

func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodPut:
		return r.Body == nil || r.GetBody != nil
	}
	return false
}

// rewound is the request with its body at the start again.
func rewound(r *http.Request) (*http.Request, error) {
	if r.GetBody == nil {
		return r, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	again.Body = body
	return again, nil
}

func busy(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// passing errors are those of a connection that may work the next time; a certificate or a name does not change.
func passing(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// retryAfter reads the header's seconds; dates are not worth the trouble of clocks that differ.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	s, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || s < 0 {
		return 0
	}
	return time.Duration(min(s, 86400)) * time.Second
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
