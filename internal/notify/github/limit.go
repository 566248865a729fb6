package github

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"rebuilder/internal/notify"

	"golang.org/x/time/rate"
)

// maxRefused is how often one write waits for a limit that the forge announces before the caller hears of it.
const maxRefused = 5

// errTurn is a mistake of this program: a write outside of a turn.
var errTurn = errors.New("a write that stood in no line")

type turnKey struct{}

// InTurn implements notify.Queuing.
func (c *Client) InTurn(ctx context.Context, repo, ticket string, fn func(context.Context) error) error {
	t, err := parseRepo(repo)
	if err != nil {
		return err
	}
	return c.inTurn(ctx, t, ticket, fn)
}

// inTurn runs fn, which looks and then writes, once its turn has come. Who has a turn already goes on in it.
func (c *Client) inTurn(ctx context.Context, t target, ticket string, fn func(context.Context) error) error {
	installation, err := c.installation(ctx, t)
	if err != nil {
		return err
	}
	if has, ok := ctx.Value(turnKey{}).(turn); ok && has.installation == installation {
		return fn(ctx)
	}
	entered, err := c.cfg.Line.Enter(ctx, installation, ticket, notify.WriterOf(ctx))
	if err != nil {
		return err
	}
	defer entered.Leave()
	return fn(context.WithValue(ctx, turnKey{}, turn{entered, installation}))
}

type turn struct {
	notify.Turn
	installation string
}

// write makes one content-creating call when the line lets it. What the forge refuses for now waits in the line: a refusal
// changes nothing, so that it is safe to make again.
func (c *Client) write(ctx context.Context, call func() error) error {
	mine, ok := ctx.Value(turnKey{}).(turn)
	if !ok {
		return errTurn
	}
	for n := 1; ; n++ {
		if err := mine.Write(ctx); err != nil {
			return err
		}
		err := call()
		if _, refused := limitedUntil(err, time.Now()); !refused || n == maxRefused || !c.shared {
			return err
		}
	}
}

// byToken is whom GitHub counts what is written with a token for: its user.
const byToken = "token"

// installation names whom GitHub counts what is written to a repository for.
func (c *Client) installation(ctx context.Context, t target) (string, error) {
	if c.apps == nil {
		return byToken, nil
	}
	i, err := c.apps.of(ctx, t.owner, t.name)
	if err != nil {
		return "", err
	}
	return i.String(), nil
}

// Reads are held back, too: GitHub counts a read as one point and a write as five, and takes 900 a minute.
const (
	readBurst   = 60
	readsAtOnce = 8 // of the 100 requests that GitHub answers at once
)

// limits keeps all writers away when GitHub refuses one, and go-github from remembering a refusal for itself: it knows
// one limit, and an App has one for each installation.
type limits struct {
	line  notify.Line
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
	next  http.RoundTripper

	perSecond rate.Limit

	mu    sync.Mutex
	reads map[string]*reads // by installation
}

// reads holds back what this process reads from an installation.
type reads struct {
	rate *rate.Limiter
	here chan struct{}
}

type installationKey struct{}

// wait returns when one more read may be sent.
func (t *limits) wait(ctx context.Context, installation string) (done func(), err error) {
	t.mu.Lock()
	r := t.reads[installation]
	if r == nil {
		r = &reads{rate.NewLimiter(t.perSecond, readBurst), make(chan struct{}, readsAtOnce)}
		t.reads[installation] = r
	}
	t.mu.Unlock()
	select {
	case r.here <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := t.now()
	if d := r.rate.ReserveN(now, 1).DelayFrom(now); d > 0 {
		err = t.sleep(ctx, d)
	}
	return func() { <-r.here }, err
}

func (t *limits) RoundTrip(req *http.Request) (*http.Response, error) {
	installation, _ := req.Context().Value(installationKey{}).(string)
	if req.Method == http.MethodGet {
		done, err := t.wait(req.Context(), installation)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Header.Set("X-From-Cache", "1") // go-github keeps the numbers of others
	if !refuses(resp) {
		return resp, nil
	}
	until := retryTime(resp.Header, t.now())
	resp.StatusCode, resp.Status = http.StatusTooManyRequests, "429 Too Many Requests" // which go-github leaves to us
	why := "the forge refuses for now: " + which(resp.Header)
	if err := t.line.Hold(req.Context(), installation, until, why); err != nil {
		resp.Body.Close()
		return nil, fmt.Errorf("github: %s: %w", why, err)
	}
	return resp, nil
}

// refuses recognises the limits as limitedUntil does, before go-github sees the answer.
func refuses(resp *http.Response) bool {
	if resp.StatusCode != http.StatusForbidden {
		return resp.StatusCode == http.StatusTooManyRequests
	}
	if resp.Header.Get("Retry-After") != "" || resp.Header.Get("X-RateLimit-Remaining") == "0" {
		return true
	}
	start, err := io.ReadAll(io.LimitReader(resp.Body, maxSmall))
	resp.Body = joined{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
	return err == nil && bytes.Contains(bytes.ToLower(start), []byte("rate limit"))
}

// which names the limit by the answer's headers.
func which(header http.Header) string {
	if header.Get("X-RateLimit-Remaining") == "0" {
		return "its hourly limit of requests is used up"
	}
	return "its secondary limit"
}

// alone is the line of a client that was given none: its own writes go one after the other, at a rate.
type alone struct {
	limit *rate.Limiter
	turn  chan struct{} // holds one: a mutex that a context can give up on
}

func newAlone(cfg Config) *alone {
	return &alone{limit: rate.NewLimiter(rate.Limit(cfg.WritesPerSecond), cfg.WriteBurst), turn: make(chan struct{}, 1)}
}

func (a *alone) Enter(ctx context.Context, _, _ string, _ notify.Writer) (notify.Turn, error) {
	select {
	case a.turn <- struct{}{}:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *alone) Write(ctx context.Context) error { return a.limit.Wait(ctx) }
func (a *alone) Leave()                          { <-a.turn }

func (a *alone) Hold(context.Context, string, time.Time, string) error { return nil }
