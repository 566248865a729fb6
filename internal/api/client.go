package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Client asks a daemon. The zero value is not usable; see NewClient.
type Client struct {
	base  *url.URL
	bad   error // what is wrong with the address; every call returns it
	token string
	http  *http.Client
}

// Unreachable is returned when no daemon answered.
type Unreachable struct {
	Server string
	Err    error
}

func (e *Unreachable) Error() string {
	return fmt.Sprintf("cannot reach the daemon at %s: %v", e.Server, e.Err)
}
func (e *Unreachable) Unwrap() error { return e.Err }

var errEnded = errors.New("it ended the connection")

// NewClient returns a client for a daemon at an address like "http://127.0.0.1:5540"; the scheme may be left out. token
// is sent when it is not empty. Nothing is asked yet: what is wrong with the address is the first call's error.
func NewClient(server, token string) *Client {
	c := &Client{token: token, http: &http.Client{}}
	c.base, c.bad = address(server)
	return c
}

func address(server string) (*url.URL, error) {
	text := server
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the daemon's address %q: want http://host:port or https://host", server)
	}
	return u, nil
}

// Status tells how things are.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.get(ctx, &s, nil, "status")
}

// Plan looks at the world and makes a plan. It starts nothing.
func (c *Client) Plan(ctx context.Context) (p Plan, err error) {
	return p, c.call(ctx, planPatience, http.MethodPost, struct{}{}, &p, nil, "plans")
}

// StoredPlan returns a plan that was made before.
func (c *Client) StoredPlan(ctx context.Context, id string) (p Plan, err error) {
	return p, c.get(ctx, &p, nil, "plans", id)
}

// Apply starts exactly that plan. by is the person, for the audit log.
func (c *Client) Apply(ctx context.Context, id, by string) (a Applied, err error) {
	return a, c.call(ctx, planPatience, http.MethodPost, ApplyRequest{By: by}, &a, nil, "plans", id, "apply")
}

// Graph returns all images and what they stand on.
func (c *Client) Graph(ctx context.Context) (g Graph, err error) {
	return g, c.get(ctx, &g, nil, "graph")
}

// Images lists images.
func (c *Client) Images(ctx context.Context, f ImageFilter) (i Images, err error) {
	q := url.Values{"kind": f.Kinds, "state": f.States, "owner": f.Owners}
	if f.On != "" {
		q.Set("on", f.On)
	}
	if f.Stale {
		q.Set("stale", "1")
	}
	return i, c.get(ctx, &i, q, "images")
}

// Affected says which images have a package, a digest or an advisory; with all, earlier digests, too.
func (c *Client) Affected(ctx context.Context, of string, all bool) (a Affected, err error) {
	q := url.Values{"of": {of}}
	if all {
		q.Set("all", "1")
	}
	return a, c.get(ctx, &a, q, "affected")
}

// Why tells everything about an image, and about one of its packages when pkg is not empty.
func (c *Client) Why(ctx context.Context, image, pkg string) (w Why, err error) {
	q := url.Values{}
	if pkg != "" {
		q.Set("package", pkg)
	}
	return w, c.get(ctx, &w, q, append(append([]string{"images"}, strings.Split(image, "/")...), "why")...)
}

// Rollouts lists the newest rollouts.
func (c *Client) Rollouts(ctx context.Context, limit int) (r Rollouts, err error) {
	return r, c.get(ctx, &r, url.Values{"limit": {fmt.Sprint(limit)}}, "rollouts")
}

// Rollout returns one rollout with its images.
func (c *Client) Rollout(ctx context.Context, id string) (r RolloutDetail, err error) {
	return r, c.get(ctx, &r, nil, "rollouts", id)
}

// Build returns one build.
func (c *Client) Build(ctx context.Context, id string) (b Build, err error) {
	return b, c.get(ctx, &b, nil, "builds", id)
}

// Builds lists the newest builds, of one image when image is not empty.
func (c *Client) Builds(ctx context.Context, image string, limit int) (b Builds, err error) {
	q := url.Values{"limit": {fmt.Sprint(limit)}}
	if image != "" {
		q.Set("image", image)
	}
	return b, c.get(ctx, &b, q, "builds")
}

// BuildLog returns a build's log, to be closed; with follow it goes on until the build ends.
func (c *Client) BuildLog(ctx context.Context, id string, follow bool) (io.ReadCloser, error) {
	return c.log(ctx, follow, "builds", id, "log")
}

// ImageLog returns the log of an image's newest build, to be closed; see BuildLog.
func (c *Client) ImageLog(ctx context.Context, image string, follow bool) (io.ReadCloser, error) {
	return c.log(ctx, follow, append(append([]string{"images"}, strings.Split(image, "/")...), "log")...)
}

func (c *Client) log(ctx context.Context, follow bool, path ...string) (io.ReadCloser, error) {
	q := url.Values{}
	if follow {
		q.Set("follow", "1")
	}
	resp, err := c.send(ctx, http.MethodGet, nil, q, path)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Audit returns the newest lines of the audit log, about one object when object is not empty.
func (c *Client) Audit(ctx context.Context, object string, limit int) (a Audit, err error) {
	q := url.Values{"limit": {fmt.Sprint(limit)}}
	if object != "" {
		q.Set("object", object)
	}
	return a, c.get(ctx, &a, q, "audit")
}

func (c *Client) get(ctx context.Context, into any, q url.Values, path ...string) error {
	return c.call(ctx, patience, http.MethodGet, nil, into, q, path...)
}

const maxAnswer = 256 << 20 // bytes; a graph of 100,000 images is some 50 MiB

func (c *Client) call(ctx context.Context, patience time.Duration, method string, body, into any, q url.Values, path ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := c.send(ctx, method, body, q, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("the answer of %s is not what a daemon answers (is something else there?): %w", c.base.Redacted(), err)
	}
	return nil
}

// send asks and turns whatever is not a success into an error.
func (c *Client) send(ctx context.Context, method string, body any, q url.Values, path []string) (*http.Response, error) {
	if c.bad != nil {
		return nil, c.bad
	}
	u := c.base.JoinPath(append([]string{"api", "v1"}, escaped(path)...)...)
	u.RawQuery = q.Encode()
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), payload)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, c.refused(resp)
	}
	return resp, nil
}

func escaped(path []string) []string {
	out := make([]string, len(path))
	for i, p := range path {
		out[i] = url.PathEscape(p)
	}
	return out
}

// unreachable says it in few words where these are known.
func (c *Client) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		err = syscall.ECONNREFUSED
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("no answer in time")
	}
	return &Unreachable{Server: c.base.Redacted(), Err: err}
}

// refused reads the daemon's error; what is not one is said with its status.
func (c *Client) refused(resp *http.Response) error {
	const most = 64 << 10
	b, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return c.unreachable(err)
	}
	var e errorBody
	if json.Unmarshal(b, &e) == nil && e.Error != nil && e.Error.Message != "" {
		e.Error.Status = resp.StatusCode
		return e.Error
	}
	return &Error{Status: resp.StatusCode, Code: CodeInternal, Message: fmt.Sprintf("%s answered %s", c.base.Redacted(), resp.Status), Hint: "is something else than a daemon at that address?"}
}
