package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"rebuilder/internal/store"
)

// Quarantine is a digest of a base that is never promoted, proposed or built upon until a person clears it.
type Quarantine struct {
	Image      string    `json:"image"`
	Digest     string    `json:"digest"`
	Because    string    `json:"because,omitempty"` // the digest that it is like or is made from; left out: a person named it
	Reason     string    `json:"reason"`
	By         string    `json:"by"`
	Kind       string    `json:"kind"` // human or automation
	Since      time.Time `json:"since"`
	Stands     bool      `json:"stands"` // nobody cleared it
	ClearedAt  time.Time `json:"cleared_at,omitzero"`
	ClearedBy  string    `json:"cleared_by,omitempty"`
	ClearedWhy string    `json:"cleared_why,omitempty"`
	Dependents int       `json:"dependents"` // images that stood on it at the last look
}

// Quarantines lists digests in quarantine, the newest first.
type Quarantines struct {
	Now         time.Time    `json:"now"`
	AsOf        time.Time    `json:"as_of,omitzero"` // of the dependents
	Standing    int          `json:"standing"`
	Quarantines []Quarantine `json:"quarantines"`
}

// QuarantineRequest asks for a digest to be kept from being used, or to be used again.
type QuarantineRequest struct {
	Image  string `json:"image"`
	Digest string `json:"digest"` // or its beginning
	Reason string `json:"reason"`
	By     string `json:"by,omitempty"`
}

func quarantineOf(z store.Quarantine) Quarantine {
	return Quarantine{Image: z.Image, Digest: z.Digest, Because: z.Because, Reason: z.Reason, By: z.Actor, Kind: z.Kind, Since: at(z.At), Stands: z.Stands(),
		ClearedAt: at(z.ClearedAt), ClearedBy: z.ClearedBy, ClearedWhy: z.ClearedWhy}
}

// mostQuarantines are listed, with those that were cleared.
const mostQuarantines = 500

// Quarantines lists what stands, of one image when it is not empty; with all also what was cleared.
func (r *Reader) Quarantines(ctx context.Context, image string, all bool) (Quarantines, error) {
	out := Quarantines{Now: r.Now().UTC(), AsOf: utc(r.Loop.Last().At), Quarantines: []Quarantine{}}
	list, err := store.Quarantines(ctx, r.Store.Q(), image)
	if err != nil {
		return out, err
	}
	out.Standing = len(list)
	if all {
		if list, err = store.QuarantineHistory(ctx, r.Store.Q(), image, mostQuarantines); err != nil {
			return out, err
		}
	}
	for _, z := range list {
		one := quarantineOf(z)
		if z.Stands() {
			on, err := r.dependents(ctx, z)
			if err != nil {
				return out, err
			}
			one.Dependents = len(on)
		}
		out.Quarantines = append(out.Quarantines, one)
	}
	return out, nil
}

// quarantineNeeds are the digests that people put in quarantine: they hold back what comes after them until somebody clears them.
func (r *Reader) quarantineNeeds(ctx context.Context) (out []Need, err error) {
	all, err := store.Quarantines(ctx, r.Store.Q(), "")
	for _, z := range all {
		if z.Because != "" {
			continue
		}
		out = append(out, Need{What: z.Image, State: "quarantined", Since: at(z.At), Who: "who answers for it",
			Reason:  fmt.Sprintf("%s is in quarantine, by %s: %s; what is like it is held back until that is cleared, or built without it", Short(z.Digest), z.Actor, z.Reason),
			Command: fmt.Sprintf("rebuilder quarantine clear %s %s --reason ..", z.Image, Short(z.Digest))})
	}
	return out, err
}

func (s *Server) getQuarantines(r *http.Request) (any, error) {
	all, err := flag(r, "all")
	if err != nil {
		return nil, err
	}
	return s.Quarantines(r.Context(), r.URL.Query().Get("image"), all)
}

func (s *Server) addQuarantine(r *http.Request) (any, error) {
	return s.quarantine(r, func(ctx context.Context, q MoveRequest) ([]store.Quarantine, error) {
		h, err := s.byHand(q)
		if err != nil {
			return nil, err
		}
		done, err := s.d.Hands.Quarantine(ctx, h)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, withdrawPatience)
		defer cancel()
		if err := s.d.Hands.Finish(ctx); err != nil {
			s.d.Log.Warn("not everything could be withdrawn yet", "image", q.Image, "error", err)
		}
		return done, nil
	})
}

func (s *Server) clearQuarantine(r *http.Request) (any, error) {
	return s.quarantine(r, func(ctx context.Context, q MoveRequest) ([]store.Quarantine, error) {
		h, err := s.byHand(q)
		if err != nil {
			return nil, err
		}
		return s.d.Hands.ClearQuarantine(ctx, h)
	})
}

func (s *Server) quarantine(r *http.Request, do func(context.Context, MoveRequest) ([]store.Quarantine, error)) (any, error) {
	var q QuarantineRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	if q.Digest == "" || q.Reason == "" {
		return nil, badRequest("name a digest, and why: --reason", "a quarantine is of a digest, and for a reason")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), movePatience-withdrawPatience)
	defer cancel()
	done, err := do(ctx, MoveRequest{Image: q.Image, To: q.Digest, Reason: q.Reason, By: q.By})
	if err != nil {
		return nil, err
	}
	s.d.Loop.Wake()
	out := Quarantines{Now: s.d.Now().UTC(), AsOf: utc(s.d.Loop.Last().At), Quarantines: []Quarantine{}}
	for _, z := range done {
		out.Quarantines = append(out.Quarantines, quarantineOf(z))
	}
	left, err := store.Quarantines(r.Context(), s.d.Store.Q(), "")
	out.Standing = len(left)
	return out, err
}

// Quarantines lists digests in quarantine; see Reader.Quarantines.
func (c *Client) Quarantines(ctx context.Context, image string, all bool) (z Quarantines, err error) {
	q := url.Values{}
	if image != "" {
		q.Set("image", image)
	}
	if all {
		q.Set("all", "1")
	}
	return z, c.get(ctx, &z, q, "quarantine")
}

// AddQuarantine keeps a digest, and what was made from it, from being used. It is safe to repeat.
func (c *Client) AddQuarantine(ctx context.Context, q QuarantineRequest) (z Quarantines, err error) {
	return z, c.call(ctx, movePatience, http.MethodPost, q, &z, nil, "quarantine")
}

// ClearQuarantine lets a digest be used again, with what was in quarantine because of it. It returns what it cleared.
func (c *Client) ClearQuarantine(ctx context.Context, q QuarantineRequest) (z Quarantines, err error) {
	return z, c.call(ctx, movePatience, http.MethodPost, q, &z, nil, "quarantine", "clear")
}
