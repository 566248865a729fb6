package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	patience    = 15 * time.Second // of one request
	maxAnswer   = 4 << 10          // bytes that are read of an answer
	maxSaid     = 300              // characters of it that are kept
	maxWait     = time.Hour        // that a subscriber may ask for
	leastSecret = 16               // characters
)

// Result is what came of one try.
type Result struct {
	Status int // of HTTP; 0: there was no answer
	Took   time.Duration
	Error  string        // empty: it was taken
	After  time.Duration // the subscriber asks for patience; 0: it does not
	Gone   bool          // it does not want any more
}

// Poster posts events. Its zero value is usable, and safe for concurrent use.
type Poster struct {
	// Transport is http.DefaultTransport when nil.
	Transport http.RoundTripper
	// Now is time.Now when nil.
	Now func() time.Time
}

// Post sends an event once, to exactly that address: no redirect is followed, the time is bounded, and of the answer little is
// read. secret is the key of the signature: whsec_ and base64, or text.
func (p Poster) Post(ctx context.Context, address, secret string, e Event, source string) Result {
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	start := time.Now()
	r := p.post(ctx, address, secret, e, source, now())
	r.Took = time.Since(start)
	return r
}

func (p Poster) post(ctx context.Context, address, secret string, e Event, source string, now time.Time) Result {
	body, err := e.Encode(source)
	if err != nil {
		return Result{Error: err.Error()}
	}
	signature, err := sign(secret, e.ID(), now, body)
	if err != nil {
		return Result{Error: err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return Result{Error: "its address is none"}
	}
	h := req.Header
	h.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	h.Set("User-Agent", "rebuilder")
	h.Set(standardwebhooks.HeaderWebhookID, e.ID())
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, signature)
	transport := p.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	c := http.Client{Timeout: patience, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Do(req)
	if err != nil {
		return Result{Error: unaddressed(err)}
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return answered(res, text)
}

func answered(res *http.Response, text []byte) Result {
	r := Result{Status: res.StatusCode}
	if res.StatusCode/100 == 2 {
		return r
	}
	r.Error = fmt.Sprintf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))
	if res.StatusCode/100 == 3 {
		r.Error += ": it answers with a redirect, which is not followed"
	} else if said := line(string(text)); said != "" && !strings.HasPrefix(said, "<") {
		r.Error += ": " + said
	}
	if n, err := strconv.Atoi(strings.TrimSpace(res.Header.Get("Retry-After"))); err == nil && n > 0 {
		r.After = min(time.Duration(min(n, int(maxWait/time.Second)))*time.Second, maxWait)
	}
	r.Gone = res.StatusCode == http.StatusGone
	return r
}

// sign makes the signature of Standard Webhooks.
func sign(secret, id string, now time.Time, body []byte) (string, error) {
	if strings.HasPrefix(secret, "whsec_") {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return "", errors.New("its secret begins with whsec_, and what follows is not base64")
		}
		return wh.Sign(id, now, body)
	}
	if len(secret) < leastSecret {
		return "", fmt.Errorf("its secret has less than %d characters", leastSecret)
	}
	wh, err := standardwebhooks.NewWebhookRaw([]byte(secret))
	if err != nil {
		return "", err
	}
	return wh.Sign(id, now, body)
}

// unaddressed is an error of a request without the address, which stands in the catalog and may be long.
func unaddressed(err error) string {
	var u *url.Error
	if !errors.As(err, &u) {
		return line(err.Error())
	}
	if u.Timeout() {
		return fmt.Sprintf("no answer within %s", patience)
	}
	return line(u.Err.Error())
}

// line is s as one line that can be seen, cut at what the log keeps.
func line(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case c == unicode.ReplacementChar || !unicode.IsPrint(c):
			return -1
		}
		return c
	}, s)
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) > maxSaid {
		return string(r[:maxSaid-1]) + "…"
	}
	return string(r)
}
