package chat

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
)

const (
	patience  = 15 * time.Second // of one request
	maxAnswer = 1 << 20          // bytes
	maxWait   = time.Hour        // that a medium may ask for
)

// client talks to a chat: in a bounded time, with a bounded answer, to nobody but who was named.
func client(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &http.Client{
		Timeout:       patience,
		Transport:     boundedAnswers{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type boundedAnswers struct{ next http.RoundTripper }

func (b boundedAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	return res, nil
}

// post sends JSON to an address that is a secret, and refuses every answer but a good one.
func post(ctx context.Context, c *http.Client, address string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return &Error{Text: "its address is none: it does not begin with https:// or holds what cannot be in one"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "rebuilder")
	res, err := c.Do(req)
	if err != nil {
		return &Error{Text: unaddressed(err)}
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if res.StatusCode/100 == 2 {
		return nil
	}
	return &Error{Text: answered(res.StatusCode, text), After: after(res.Header.Get("Retry-After"))}
}

// unaddressed is an error of a request without the address: that may be a secret.
func unaddressed(err error) string {
	var u *url.Error // its text begins with method and address
	if !errors.As(err, &u) {
		return "the request could not be sent"
	}
	if u.Timeout() {
		return fmt.Sprintf("no answer within %s", patience)
	}
	return line(u.Err.Error(), maxLine)
}

func answered(status int, text []byte) string {
	s := fmt.Sprintf("%d %s", status, http.StatusText(status))
	if status/100 == 3 {
		return s + ": it answers with a redirect, which is not followed"
	}
	if t := line(string(text), maxLine); t != "" && !strings.HasPrefix(t, "<") {
		s += ": " + t
	}
	return s
}

// after reads a Retry-After in seconds.
func after(s string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxWait)
}
