package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"rebuilder/internal/pace"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

// Controller does what people ask of rollouts.
type Controller interface {
	Control(ctx context.Context, id string, o rollout.Order) (rollout.Obeyed, error)
}

// ControlRequest says who asks something of a rollout, and why. By is what the caller says; the proof is the token.
type ControlRequest struct {
	By     string   `json:"by,omitempty"`
	Reason string   `json:"reason,omitempty"` // needed to resume what is halted, and to say that something is critical
	Tier   int      `json:"tier,omitempty"`   // of stop: the last that is begun; the first is 1
	Images []string `json:"images,omitempty"` // of retry; none: all that failed
}

// Controlled is what came of it.
type Controlled struct {
	Rollout string `json:"rollout"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Changed bool   `json:"changed"` // false: it was so already
	// AtWork are the images that go on to their end all the same; Again those that are tried again.
	AtWork []string `json:"at_work"`
	Again  []string `json:"again"`
}

const maxControlled = 1000 // images of one request

func (s *Server) control(r *http.Request) (any, error) {
	var q ControlRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	verb := rollout.Verb(r.PathValue("verb"))
	switch {
	case !slices.Contains(rollout.Verbs(), verb):
		return nil, notFound("pause, resume, retry, stop and critical are", "%q is nothing that can be asked of a rollout", verb)
	case s.d.Rollouts == nil:
		return nil, &Error{http.StatusServiceUnavailable, CodeNotReady, "this daemon starts no rollouts", "ask the one that does"}
	case len(q.Images) > maxControlled:
		return nil, badRequest("ask in parts", "%d images are more than %d", len(q.Images), maxControlled)
	}
	id := r.PathValue("id")
	o, err := s.d.Rollouts.Control(r.Context(), id, rollout.Order{Verb: verb, By: person(q.By), Reason: sayable(q.Reason), Tier: q.Tier, Images: q.Images})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil, notFound("list them: rebuilder rollouts", "there is no rollout %q", id)
	case errors.Is(err, rollout.ErrRefused):
		return nil, &Error{http.StatusConflict, CodeBadRequest, err.Error(), "see how it stands: rebuilder rollouts " + id}
	case err != nil:
		return nil, err
	}
	return Controlled{Rollout: o.Rollout.ID, State: string(o.Rollout.State), Reason: o.Rollout.Reason, Changed: o.Changed, AtWork: orEmpty(o.AtWork), Again: orEmpty(o.Again)}, nil
}

// sayable is a reason fit for the audit log.
func sayable(reason string) string {
	if reason == "" {
		return ""
	}
	const longest = 1000
	r := []rune(reason)
	return string(r[:min(len(r), longest)])
}

// Control asks something of a rollout: "pause", "resume", "retry", "stop" or "critical". The same twice changes nothing.
func (c *Client) Control(ctx context.Context, id, verb string, q ControlRequest) (r Controlled, err error) {
	return r, c.call(ctx, planPatience, http.MethodPost, q, &r, nil, "rollouts", id, verb)
}

// Wave is a part of a rollout's applications, told together.
type Wave struct {
	Name   string `json:"name"`
	Images int    `json:"applications"` // the denominator of the others
	Told   int    `json:"told"`
	Proven int    `json:"proven"`
	Failed int    `json:"failed"`
	Left   int    `json:"left"` // nothing to tell, or told by another rollout
	// Waits is what it waits for; empty: it is open.
	Waits string    `json:"waits,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// waits are what order and pace hold now, and how far the waves are.
func (r *Reader) waits(ctx context.Context) (rollout.Waits, error) {
	c := r.Loop.Last().Catalog
	if c == nil {
		return rollout.Waits{}, nil
	}
	return rollout.WaitsOf(ctx, r.Store.Q(), c, r.Now())
}

// waitsOf is waits of some nodes; there are none where nobody waits.
func (r *Reader) waitsOf(ctx context.Context, live []store.Node) (rollout.Waits, error) {
	if !slices.ContainsFunc(live, func(n store.Node) bool { return n.State == store.Waiting }) {
		return rollout.Waits{}, nil
	}
	return r.waits(ctx)
}

// held puts what a node waits for in place of what it was told last.
func held(n store.Node, w rollout.Waits) store.Node {
	h, ok := w.Holds[pace.Ref{Rollout: n.Rollout, Name: n.Image}]
	if !ok || n.State != store.Waiting {
		return n
	}
	n.Reason, n.Who = h.Reason, h.Who
	if !h.Since.IsZero() {
		n.Since = h.Since.UnixMilli()
	}
	if !h.Until.IsZero() {
		n.Next = h.Until.UnixMilli()
	}
	return n
}

// wavesOf is left out of a rollout that tells all at once.
func wavesOf(all []pace.Progress) []Wave {
	if len(all) < 2 {
		return nil
	}
	out := make([]Wave, 0, len(all))
	for _, p := range all {
		out = append(out, Wave{Name: p.Name, Images: p.All, Told: p.Told, Proven: p.Proven, Failed: p.Failed, Left: p.Left, Waits: p.Waits, Since: utc(p.Since), Until: utc(p.Until)})
	}
	return out
}
