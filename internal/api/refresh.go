package api

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"

	"rebuilder/internal/catalog"
	"rebuilder/internal/store"
)

// RefreshRequest asks for fresh builds. By is what the caller says; the proof is the token.
type RefreshRequest struct {
	ID     string   `json:"id,omitempty"` // the caller's own, so that asking twice is asking once; left out: asked once
	Images []string `json:"images"`       // bases
	Reason string   `json:"reason,omitempty"`
	By     string   `json:"by,omitempty"`
}

// Refreshing is the answer to asking for fresh builds.
type Refreshing struct {
	ID     string    `json:"id"`
	Images []string  `json:"images"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`    // when it was asked for first
	Again  bool      `json:"again"` // it was asked for before: this changed nothing
	// Automatic false: a plan is made and shown, and a person applies it.
	Automatic bool `json:"automatic"`
}

const maxRefresh = 1000 // images of one request

var requestID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

func (s *Server) refresh(r *http.Request) (any, error) {
	var q RefreshRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	if err := s.checkRefresh(&q); err != nil {
		return nil, err
	}
	var first store.Request
	created := false
	err := s.d.Store.Tx(r.Context(), func(ctx context.Context, tx store.Querier) (err error) {
		first, created, err = store.AskRefresh(ctx, tx, store.Request{ID: q.ID, Images: q.Images, Reason: q.Reason, Actor: person(q.By), At: s.d.Now().UnixMilli()})
		return err
	})
	if errors.Is(err, store.ErrOtherRequest) {
		return nil, &Error{http.StatusConflict, CodeBadRequest, err.Error(), "give this one an id of its own"}
	}
	if err != nil {
		return nil, err
	}
	if created {
		s.d.Loop.Wake()
	}
	return Refreshing{ID: first.ID, Images: first.Images, Reason: first.Reason, By: first.Actor, At: at(first.At), Again: !created, Automatic: s.automatic()}, nil
}

// checkRefresh refuses what is not a base of the catalog, and gives a request without an id one.
func (s *Server) checkRefresh(q *RefreshRequest) error {
	c := s.d.Loop.Last().Catalog
	switch {
	case len(q.Images) == 0:
		return badRequest("name bases of the catalog: rebuilder refresh base/debian", "no image is named")
	case len(q.Images) > maxRefresh:
		return badRequest("ask in parts", "%d images are more than %d", len(q.Images), maxRefresh)
	case q.ID != "" && !requestID.MatchString(q.ID):
		return badRequest("letters, digits and . _ -, at most 100", "%q cannot be the id of a request", q.ID)
	case c == nil:
		return &Error{http.StatusServiceUnavailable, CodeNotReady, "no catalog is loaded yet", "try again"}
	}
	for _, name := range q.Images {
		if !slices.ContainsFunc(c.Bases, func(b catalog.Base) bool { return b.Name == name }) {
			return notFound("only bases are built here: rebuilder graph lists them", "the catalog has no base %q", name)
		}
	}
	if q.ID == "" {
		q.ID = uuid.NewString()
	}
	return nil
}

// Refresh asks for fresh builds of bases, whether or not anything is known to be newer. The same id once more changes
// nothing; one that is left out is made, so that the call may not be repeated.
func (c *Client) Refresh(ctx context.Context, q RefreshRequest) (r Refreshing, err error) {
	return r, c.call(ctx, planPatience, http.MethodPost, q, &r, nil, "refresh")
}
