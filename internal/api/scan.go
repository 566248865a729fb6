package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"

	"rebuilder/internal/judge"
	"rebuilder/internal/registry"
)

// ScanRequest names what is to be judged. It may be anything that the daemon's credentials can read.
type ScanRequest struct {
	// Reference is a name of the graph, a digest that was read, or a reference, which is read from its registry.
	Reference string `json:"reference"`
	Platform  string `json:"platform,omitempty"` // left out: of a name its own, else linux/amd64
}

const (
	usualPlatform = "linux/amd64"
	scansAtOnce   = 4 // that may read images from registries
)

// scan judges whatever is named, also what the catalog does not know.
func (s *Server) scan(r *http.Request) (any, error) {
	var q ScanRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	v, j, err := s.scanned(r.Context(), q)
	if err != nil {
		return nil, err
	}
	return s.sheet(r.Context(), v, j)
}

func (s *Server) scanned(ctx context.Context, q ScanRequest) (*view, *judge.Sheet, error) {
	v, err := s.view(ctx)
	if err != nil {
		return nil, nil, err
	}
	j, err := s.anything(ctx, v, q)
	return v, j, err
}

// anything asks for what is known by a name or a digest first, and for a reference when it is neither.
func (s *Server) anything(ctx context.Context, v *view, q ScanRequest) (*judge.Sheet, error) {
	if q.Platform == "" || s.Judge == nil {
		j, err := s.judged(ctx, v, q.Reference)
		if err == nil || !absent(err) {
			return j, err
		}
	}
	if i, mistake := v.find(q.Reference); mistake == nil {
		q.Reference = i.Reference
	}
	return s.pulled(ctx, q)
}

// absent says that an image may be had from its registry, though nothing is known of it here.
func absent(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Code == CodeNotFound || e.Code == CodeNotRead)
}

// pulled judges what a reference points to now. Few are read at once: each may be large.
func (s *Server) pulled(ctx context.Context, q ScanRequest) (*judge.Sheet, error) {
	if s.d.Registry == nil {
		return nil, &Error{http.StatusServiceUnavailable, CodeNotReady, "this daemon reads no images from registries", "name an image that it knows: rebuilder images"}
	}
	if q.Platform == "" {
		q.Platform = usualPlatform
	}
	select {
	case s.scans <- struct{}{}:
		defer func() { <-s.scans }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	j, err := s.Judge.Reference(ctx, s.d.Registry, q.Reference, q.Platform)
	switch {
	case err == nil:
		return j, nil
	case errors.Is(err, new(name.ErrBadName)):
		return nil, badRequest("see all images: rebuilder images", "%v", err)
	case errors.Is(err, registry.ErrNotFound), errors.Is(err, judge.ErrUnknown):
		return nil, notFound("see all images: rebuilder images\nor name a repository with its registry, and a tag or a digest", "%v", err)
	case ctx.Err() != nil:
		return nil, err
	}
	return nil, &Error{http.StatusBadGateway, CodeUnavailable, err.Error(), "the daemon reads images from where it runs, with its own credentials"}
}

// judgeError makes an answer of what a judge says of an image that it does not know.
func judgeError(err error, hint string) error {
	switch {
	case errors.Is(err, judge.ErrUnknown):
		return notFound(hint, "%v", err)
	case errors.Is(err, judge.ErrNotRead):
		return &Error{http.StatusConflict, CodeNotRead, err.Error(), hint}
	case errors.Is(err, judge.ErrSeveral):
		return badRequest("name more of it", "%v", err)
	}
	return err
}

// Scan judges whatever is named and returns its fact sheet. The daemon may pull the image for it: it needs the token.
func (c *Client) Scan(ctx context.Context, q ScanRequest) (s Sheet, err error) {
	return s, c.call(ctx, planPatience, http.MethodPost, q, &s, nil, "scan")
}
