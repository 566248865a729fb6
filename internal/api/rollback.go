package api

import (
	"context"
	"net/http"
	"time"

	"rebuilder/internal/plan"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

// Hands does what people ask to be done with channels.
type Hands interface {
	Rollback(ctx context.Context, h rollout.ByHand) (rollout.Moved, error)
	PromoteByHand(ctx context.Context, h rollout.ByHand) (rollout.Moved, error)
	Accept(ctx context.Context, h rollout.ByHand) (rollout.Moved, error)
	Quarantine(ctx context.Context, h rollout.ByHand) ([]store.Quarantine, error)
	ClearQuarantine(ctx context.Context, h rollout.ByHand) ([]store.Quarantine, error)
	// Finish takes back what was proposed of what is in quarantine; what it cannot do now is done later, by itself.
	Finish(ctx context.Context) error
}

// MoveRequest asks for a base's channel to be moved. By is what the caller says; the proof is the token.
type MoveRequest struct {
	ID       string `json:"id,omitempty"` // the caller's own, so that asking twice is asking once; left out: asked once
	Image    string `json:"image"`        // a base
	To       string `json:"to,omitempty"` // a digest or its beginning; rollback: left out for the one before; promote: or "candidate"
	Reason   string `json:"reason"`
	By       string `json:"by,omitempty"`
	Override bool   `json:"override,omitempty"` // of what speaks against it
	Accept   bool   `json:"accept,omitempty"`   // rollback: keep where somebody else moved it, and go on from there
}

// ChannelMove is what became of a channel that a person moved.
type ChannelMove struct {
	ID       string    `json:"id,omitempty"`
	Verb     string    `json:"verb"` // rollback, promote, accept
	Image    string    `json:"image"`
	Channel  string    `json:"channel"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	Release  string    `json:"release,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	By       string    `json:"by,omitempty"`
	Override bool      `json:"override,omitempty"`
	State    string    `json:"state"`             // moving, withdrawing, done, failed
	Problem  string    `json:"problem,omitempty"` // why it is not further: it is tried again by itself until it has ended
	AskedAt  time.Time `json:"asked_at,omitzero"`
	MovedAt  time.Time `json:"moved_at,omitzero"`
	EndedAt  time.Time `json:"ended_at,omitzero"`
}

// HandMoved is the answer to asking for a channel to be moved.
type HandMoved struct {
	ChannelMove
	Now         time.Time    `json:"now"`
	AsOf        time.Time    `json:"as_of,omitzero"` // of Dependents
	Again       bool         `json:"again"`          // it was there, or asked for, before: this changed nothing
	Quarantined []Quarantine `json:"quarantined"`    // because of it
	Cleared     []Quarantine `json:"cleared"`
	Dependents  []Dependent  `json:"dependents"` // stand on what is in quarantine now
	Automatic   bool         `json:"automatic"`  // the way back starts by itself; otherwise a person applies the plan
}

// Dependent stands on a digest that is in quarantine.
type Dependent struct {
	Image   string `json:"image"`
	Kind    string `json:"kind"` // base or application
	On      string `json:"on"`   // the base
	Digest  string `json:"digest"`
	WayBack string `json:"way_back"` // what happens next
}

func moveOf(m store.ChannelMove) ChannelMove {
	return ChannelMove{ID: m.ID, Verb: string(m.Verb), Image: m.Image, Channel: m.Channel, From: m.From, To: m.To, Release: m.Release, Reason: m.Reason, By: m.Actor, Override: m.Override,
		State: string(m.State), Problem: m.Problem, AskedAt: at(m.AskedAt), MovedAt: at(m.MovedAt), EndedAt: at(m.EndedAt)}
}

// withdrawPatience is how long an answer waits for pull requests to be withdrawn. The channel is moved by then.
const withdrawPatience = 15 * time.Second

func (s *Server) rollback(r *http.Request) (any, error) {
	return s.moveByHand(r, func(ctx context.Context, q MoveRequest, h rollout.ByHand) (rollout.Moved, error) {
		if q.Accept {
			return s.d.Hands.Accept(ctx, h)
		}
		return s.d.Hands.Rollback(ctx, h)
	})
}

func (s *Server) promote(r *http.Request) (any, error) {
	return s.moveByHand(r, func(ctx context.Context, q MoveRequest, h rollout.ByHand) (rollout.Moved, error) {
		if q.To == "" {
			return rollout.Moved{}, badRequest("rebuilder promote "+q.Image+" DIGEST, or: rebuilder promote "+q.Image+" candidate", "it is not said what is to be promoted")
		}
		return s.d.Hands.PromoteByHand(ctx, h)
	})
}

func (s *Server) moveByHand(r *http.Request, do func(context.Context, MoveRequest, rollout.ByHand) (rollout.Moved, error)) (any, error) {
	var q MoveRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	h, err := s.byHand(q)
	if err != nil {
		return nil, err
	}
	// Who asked may go: what was begun is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), movePatience-withdrawPatience)
	defer cancel()
	moved, err := do(ctx, q, h)
	if err != nil {
		return nil, err
	}
	s.d.Loop.Wake()
	if !moved.Again {
		s.withdraw(ctx, &moved)
	}
	return s.handMoved(ctx, moved)
}

// byHand checks what is asked for.
func (s *Server) byHand(q MoveRequest) (rollout.ByHand, error) {
	h := rollout.ByHand{ID: q.ID, Base: q.Image, To: q.To, Reason: q.Reason, By: person(q.By), Override: q.Override}
	switch {
	case s.d.Hands == nil:
		return h, &Error{http.StatusServiceUnavailable, CodeNotReady, "channels cannot be moved here", "ask the daemon that runs rollouts"}
	case q.Image == "":
		return h, badRequest("list them: rebuilder images --kind base", "no base is named")
	case q.ID != "" && !requestID.MatchString(q.ID):
		return h, badRequest("letters, digits and . _ -, at most 100", "%q cannot be the id of a request", q.ID)
	}
	return h, nil
}

// withdraw waits a while for pull requests to be withdrawn, and says how far that came.
func (s *Server) withdraw(ctx context.Context, m *rollout.Moved) {
	ctx, cancel := context.WithTimeout(ctx, withdrawPatience)
	defer cancel()
	if err := s.d.Hands.Finish(ctx); err != nil {
		s.d.Log.Warn("not everything could be withdrawn yet", "image", m.Image, "error", err)
	}
	if now, found, err := store.GetChannelMove(ctx, s.d.Store.Q(), m.ID); err == nil && found {
		m.ChannelMove = now
	}
}

func (s *Server) handMoved(ctx context.Context, m rollout.Moved) (HandMoved, error) {
	snap := s.d.Loop.Last()
	out := HandMoved{ChannelMove: moveOf(m.ChannelMove), Now: s.d.Now().UTC(), AsOf: utc(snap.At), Again: m.Again, Automatic: s.automatic(), Dependents: []Dependent{}, Quarantined: []Quarantine{}, Cleared: []Quarantine{}}
	for _, z := range m.Cleared {
		out.Cleared = append(out.Cleared, quarantineOf(z))
	}
	for _, z := range m.Quarantined {
		out.Quarantined = append(out.Quarantined, quarantineOf(z))
		found, err := s.dependents(ctx, z)
		if err != nil {
			return out, err
		}
		out.Dependents = append(out.Dependents, found...)
	}
	return out, nil
}

// dependents are the images that stood, at the last look, on a digest that is in quarantine.
func (r *Reader) dependents(ctx context.Context, z store.Quarantine) (out []Dependent, err error) {
	w := r.Loop.Last().World
	if w == nil {
		return nil, nil
	}
	inv, found, err := store.GetInventory(ctx, r.Store.Q(), z.Digest)
	if err != nil {
		return nil, err
	}
	layers := w.Facts.Bases[z.Image].DiffIDs[:0:0]
	if found {
		layers = inv.DiffIDs
	}
	for _, name := range w.Facts.On(z.Image, z.Digest, layers) {
		out = append(out, dependent(w.Facts, name, z))
	}
	return out, nil
}

func dependent(f plan.Facts, name string, z store.Quarantine) Dependent {
	d := Dependent{Image: name, Kind: "base", On: z.Image, Digest: z.Digest, WayBack: "is rebuilt on what is there now"}
	a, ok := f.Applications[name]
	if !ok {
		return d
	}
	d.Kind = "application"
	switch a.Strategy {
	case "observe":
		d.WayBack = "is only observed: tell the owner of " + a.Repository
	case "dispatch":
		d.WayBack = "its CI is asked to build again"
	case "rebuild":
		d.WayBack = "is built again on what is there now"
	default:
		d.WayBack = "a pull request at " + a.Repository + " pins what is there now"
	}
	return d
}

// handNeeds are the channels that are being moved by hand and are not there yet.
func (r *Reader) handNeeds(ctx context.Context) (out []Need, err error) {
	open, err := store.OpenChannelMoves(ctx, r.Store.Q())
	for _, m := range open {
		n := Need{What: m.Image, State: string(m.State), Since: at(m.AskedAt), Who: "nobody has to: it is tried again by itself"}
		switch m.State {
		case store.MoveBegun:
			n.Reason = string(m.Verb) + " to " + Short(m.To) + " by " + m.Actor + " is not there yet"
		default:
			n.Reason = "is at " + Short(m.To) + " again; what was proposed of " + Short(m.From) + " is being withdrawn"
		}
		if m.Problem != "" {
			n.Reason += ": " + m.Problem
		}
		out = append(out, n)
	}
	return out, err
}

// Rollback moves a base's channel back and puts what was there in quarantine; with Accept it keeps where somebody else moved it. The
// same id once more changes nothing; without one, a channel that is back already is left alone.
func (c *Client) Rollback(ctx context.Context, q MoveRequest) (m HandMoved, err error) {
	return m, c.call(ctx, movePatience, http.MethodPost, q, &m, nil, "rollback")
}

// Promote moves a base's channel to a digest that passed its gates, or to any in the registry with Override.
func (c *Client) Promote(ctx context.Context, q MoveRequest) (m HandMoved, err error) {
	return m, c.call(ctx, movePatience, http.MethodPost, q, &m, nil, "promote")
}

// movePatience is how long a channel may take to be moved, with what is withdrawn because of it.
const movePatience = 2 * time.Minute
