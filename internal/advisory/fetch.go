package advisory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	maxDownload = 2 << 30   // bytes of a file
	maxIndex    = 256 << 20 // bytes of a mirror's list
	lookTimeout = time.Hour // of one source
)

// patient is a client that repeats what fails for reasons that pass.
func patient() *http.Client {
	retry := retryablehttp.NewClient()
	retry.Logger = nil
	retry.RetryMax = 3
	retry.RetryWaitMax = 10 * time.Second
	retry.ErrorHandler = retryablehttp.PassthroughErrorHandler // else the last answer's status is lost
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.ResponseHeaderTimeout = time.Minute
		retry.HTTPClient = &http.Client{Transport: t}
	}
	return retry.StandardClient()
}

// seen is what a file is known by, so that it is read again only when it is another.
type seen struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	Stat         string `json:"stat,omitempty"` // size and time of a local file
}

// errSame says that a file is as it was.
var errSame = errors.New("not modified")

// get asks for a file. It returns errSame when that is as was says.
func get(ctx context.Context, client *http.Client, address string, was seen) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: not an address", shown(address))
	}
	if was.ETag != "" {
		req.Header.Set("If-None-Match", was.ETag)
	}
	if was.LastModified != "" {
		req.Header.Set("If-Modified-Since", was.LastModified)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", shown(address), plain(err))
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp, nil
	case resp.StatusCode == http.StatusNotModified && was != (seen{}):
		err = errSame
	default:
		err = fmt.Errorf("GET %s: %s", shown(address), resp.Status)
	}
	resp.Body.Close()
	return nil, err
}

// plain leaves the address out of an error, which may hold a password.
func plain(err error) error {
	for u := (interface{ Unwrap() error })(nil); errors.As(err, &u); {
		inner := u.Unwrap()
		if inner == nil {
			break
		}
		err = inner
	}
	return err
}

// restful is how long a file must have been as it is until its date is trusted to change with it: dates have whole seconds.
const restful = time.Minute

func validators(h http.Header) seen {
	s := seen{ETag: h.Get("ETag")}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	answered, err2 := http.ParseTime(h.Get("Date"))
	if err == nil && err2 == nil && answered.Sub(modified) >= restful {
		s.LastModified = h.Get("Last-Modified")
	}
	return s
}

// read returns a file of at most limit bytes, and what it is known by from now on.
func read(ctx context.Context, client *http.Client, address string, was seen, limit int64) ([]byte, seen, error) {
	resp, err := get(ctx, client, address, was)
	if err != nil {
		return nil, was, err
	}
	defer resp.Body.Close()
	raw, err := atMost(resp.Body, limit)
	if err != nil {
		return nil, was, fmt.Errorf("GET %s: %w", shown(address), err)
	}
	return raw, validators(resp.Header), nil
}

// download brings a file to disk for as long as use takes.
func (b *Book) download(ctx context.Context, address string, was seen, use func(path string) error) (seen, error) {
	resp, err := get(ctx, b.client, address, was)
	if err != nil {
		return was, err
	}
	defer resp.Body.Close()
	f, err := os.CreateTemp("", "rebuilder-advisories-")
	if err != nil {
		return was, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	n, err := io.Copy(f, io.LimitReader(resp.Body, maxDownload+1))
	switch {
	case err != nil:
		return was, fmt.Errorf("GET %s: %w", shown(address), err)
	case n > maxDownload:
		return was, fmt.Errorf("GET %s: it has more than %d bytes", shown(address), int64(maxDownload))
	}
	if err := f.Close(); err != nil {
		return was, err
	}
	return validators(resp.Header), use(f.Name())
}

// atMost reads all of what must not be longer than limit.
func atMost(r io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("it has more than %d bytes", limit)
	}
	return raw, err
}

// onDisk is what a local file is known by.
func onDisk(info os.FileInfo) seen {
	return seen{Stat: fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())}
}
