package watch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

// drip is a server that answers after a while, and then sends one byte after each pause. What takes 0 never ends.
type drip struct{ header, pause time.Duration }

func (d drip) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := pause(r.Context(), d.header); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Request: r, Body: dripBody{r.Context(), d.pause}}, nil
}

type dripBody struct {
	ctx   context.Context
	pause time.Duration
}

func (d dripBody) Read(p []byte) (int, error) {
	if err := pause(d.ctx, d.pause); err != nil {
		return 0, err
	}
	p[0] = 'x'
	return 1, nil
}

func (dripBody) Close() error { return nil }

func pause(ctx context.Context, d time.Duration) error {
	var over <-chan time.Time
	if d > 0 {
		over = time.After(d)
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// What a server does not send does not hold up the others, nor does what it sends byte by byte.
func TestSlowServers(t *testing.T) {
	for name, c := range map[string]struct {
		server drip
		within time.Duration
		want   time.Duration // at which it is given up
	}{
		"nothing at all":  {drip{}, headTimeout, stallTimeout},
		"a header alone":  {drip{header: time.Second}, fetchTimeout, stallTimeout},
		"byte by byte":    {drip{header: time.Second, pause: time.Second}, headTimeout, headTimeout},
		"a file of bytes": {drip{header: time.Second, pause: 50 * time.Second}, fetchTimeout, fetchTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &Watcher{client: &http.Client{Transport: c.server}}
				began := time.Now()
				resp, done, err := d.get(t.Context(), &url.URL{Scheme: "http", Host: "h"}, validators{}, c.within)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					done()
				}
				if !errors.Is(err, errSlow) || time.Since(began) != c.want {
					t.Errorf("%v after %v, want %v after %v", err, time.Since(began), errSlow, c.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		d := &Watcher{client: &http.Client{Transport: drip{}}}
		if _, _, err := d.get(ctx, &url.URL{Scheme: "http", Host: "h"}, validators{}, headTimeout); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
	})
}
