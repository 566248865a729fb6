package github

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"golang.org/x/time/rate"
)

const (
	requestTimeout = 30 * time.Second // one attempt
	maxRetryWait   = 5 * time.Second
	maxRetries     = 3
	maxAnswer      = 64 << 20 // bytes of one answer; far more than a Dockerfile or a list of pull requests
)

// newTransport stacks, from the outside: credentials and bounds, limits, conditional requests, repetition, the wire.
func newTransport(cfg Config, base *url.URL) (http.RoundTripper, *apps) {
	wire := cfg.Transport
	if wire == nil {
		wire = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		}
	}
	retry := retryablehttp.NewClient()
	retry.HTTPClient = &http.Client{Transport: wire, Timeout: requestTimeout, CheckRedirect: keepMethod}
	retry.Logger = nil // it would log each URL at its own liking
	retry.RetryMax, retry.RetryWaitMin, retry.RetryWaitMax = maxRetries, cfg.RetryWait, max(cfg.RetryWait, maxRetryWait)
	retry.CheckRetry, retry.Backoff = repeatable, backoff
	retry.ErrorHandler = retryablehttp.PassthroughErrorHandler // else the last answer's status is lost
	var repeated http.RoundTripper = &retryablehttp.RoundTripper{Client: retry}
	c := &credentials{cfg: cfg, host: base.Host, next: &limits{
		line: cfg.Line, now: cfg.Now, sleep: cfg.Sleep, next: newETags(repeated), reads: map[string]*reads{}, perSecond: rate.Limit(cfg.ReadsPerSecond),
	}}
	if cfg.App != nil {
		c.apps = newApps(*cfg.App, base, repeated)
	}
	return c, c.apps
}

// errElsewhere refuses to send the token to a host that it is not for.
var errElsewhere = errors.New("github: refusing to follow to another host")

// credentials adds the token, and logs what was asked.
type credentials struct {
	cfg  Config
	host string
	apps *apps // nil: cfg.Token
	next http.RoundTripper
}

func (t *credentials) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.host {
		return nil, fmt.Errorf("%w: %s instead of %s", errElsewhere, req.URL.Host, t.host)
	}
	resp, err := t.send(req)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && t.apps != nil && (req.Body == nil || req.GetBody != nil) {
		resp.Body.Close() // a token may be revoked before it expires
		account, _ := owner(req)
		t.apps.forget(account)
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		resp, err = t.send(req)
	}
	return resp, err
}

func (t *credentials) send(req *http.Request) (*http.Response, error) {
	token, installation, err := t.token(req)
	if err != nil {
		return nil, err
	}
	ctx := context.WithValue(req.Context(), repeatKey{}, safeToRepeat(req))
	req = req.Clone(context.WithValue(ctx, installationKey{}, installation))
	req.Header.Set("Authorization", "Bearer "+token)
	start := time.Now()
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	t.cfg.Log.DebugContext(ctx, "github", "method", req.Method, "path", req.URL.Path, "status", resp.StatusCode,
		"duration", time.Since(start))
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// token returns what a request is sent with, and whom GitHub counts it for.
func (t *credentials) token(req *http.Request) (token, installation string, err error) {
	if t.apps == nil {
		if token, err = t.cfg.Token(req.Context()); err != nil {
			return "", "", fmt.Errorf("github: token: %w", err)
		}
		return token, byToken, nil
	}
	account, repo := owner(req)
	if account == "" {
		return "", "", fmt.Errorf("github: %s %s: an App has no token for what belongs to no account", req.Method, req.URL.Path)
	}
	i, token, err := t.apps.token(req.Context(), account, repo)
	if err != nil {
		return "", "", err
	}
	return token, i.String(), nil
}

// repeatKey marks requests in their context; an error of the wire no longer knows its request.
type repeatKey struct{}

// safeToRepeat says that making the request twice does no harm: reads, and git objects, which are named by their
// content. A pull request or a ref is looked up instead when its answer was lost.
func safeToRepeat(req *http.Request) bool {
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		return true
	}
	if req.Method != http.MethodPost {
		return false
	}
	for _, kind := range []string{"/git/blobs", "/git/trees", "/git/commits"} {
		if strings.HasSuffix(req.URL.Path, kind) {
			return true
		}
	}
	return false
}

// repeatable decides on another attempt. Rate limits are never waited for here: the scheduler knows better.
func repeatable(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	safe, _ := ctx.Value(repeatKey{}).(bool)
	if !safe || errors.Is(err, errElsewhere) || resp != nil && resp.StatusCode == http.StatusTooManyRequests {
		return false, nil
	}
	again, _ := retryablehttp.DefaultRetryPolicy(ctx, resp, err) // its error would hide the answer
	return again, nil
}

// backoff doubles the wait, and does not obey Retry-After: it may be an hour.
func backoff(least, most time.Duration, attempt int, _ *http.Response) time.Duration {
	return min(least<<min(attempt, 10), most)
}

// keepMethod follows redirects of renamed repositories, but not those that would turn a write into a read.
func keepMethod(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) >= 5:
		return errors.New("github: too many redirects")
	case req.Method != first.Method:
		return http.ErrUseLastResponse
	case req.URL.Host != first.URL.Host:
		return fmt.Errorf("%w: %s instead of %s", errElsewhere, req.URL.Host, first.URL.Host)
	}
	return nil
}

// bounded fails instead of reading without end.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("github: answer is longer than %d bytes", int64(maxAnswer))
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
