package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"unicode"

	"rebuilder/internal/plan"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

func (s *Server) automatic() bool {
	c := s.d.Loop.Last().Catalog
	return c != nil && c.Rollout.Automatic
}

func (s *Server) makePlan(r *http.Request) (any, error) {
	p, err := s.d.Loop.Plan(r.Context())
	if err != nil {
		return nil, err
	}
	return s.plan(r.Context(), p)
}

func (s *Server) getPlan(r *http.Request) (any, error) {
	p, err := store.GetPlan(r.Context(), s.d.Store.Q(), r.PathValue("id"))
	if errors.Is(err, store.ErrNoRows) {
		return nil, noPlan(r.PathValue("id"))
	}
	if err != nil {
		return nil, err
	}
	return s.plan(r.Context(), p)
}

func (s *Server) plan(ctx context.Context, p *plan.Plan) (out Plan, err error) {
	out = planOf(p, s.automatic(), s.d.Now().UTC())
	out.Impact, err = s.impact(ctx, p)
	return out, err
}

// ApplyRequest says who applies a plan. It is what the caller says; the proof is the token.
type ApplyRequest struct {
	By string `json:"by,omitempty"`
}

func (s *Server) applyPlan(r *http.Request) (any, error) {
	var q ApplyRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	ro, err := s.d.Loop.Apply(r.Context(), id, rollout.Actor{Name: person(q.By), Kind: store.Human, Rule: "manual"})
	if errors.Is(err, store.ErrNoRows) {
		return nil, noPlan(id)
	}
	if err != nil {
		return nil, err
	}
	return Applied{Plan: id, Rollout: ro}, nil
}

func noPlan(id string) error { return notFound("make one: rebuilder plan", "there is no plan %q", id) }

// person is a name fit for the audit log.
func person(name string) string {
	const longest = 100
	name = strings.TrimSpace(strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, name))
	if name == "" {
		return "somebody with access to the API"
	}
	if runes := []rune(name); len(runes) > longest {
		name = string(runes[:longest])
	}
	return name
}

func (s *Server) getRollouts(r *http.Request) (any, error) {
	limit, err := number(r, "limit", 20, 200)
	if err != nil {
		return nil, err
	}
	return s.Rollouts(r.Context(), limit)
}

func (s *Server) getAudit(r *http.Request) (any, error) {
	limit, err := number(r, "limit", 100, 1000)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	events, err := store.AuditLog(r.Context(), s.d.Store.Q(), store.AuditFilter{
		Actor: q.Get("actor"), Kind: q.Get("kind"), Rule: q.Get("rule"), Action: q.Get("action"), Object: q.Get("object"), Before: q.Get("before"), Limit: limit})
	if err != nil {
		return nil, err
	}
	a := Audit{Now: s.d.Now().UTC(), Events: []Event{}}
	for _, e := range events {
		a.Events = append(a.Events, Event{ID: e.ID, At: at(e.At), Actor: e.Actor, Kind: e.Kind, Rule: e.Rule, Action: e.Action, Object: e.Object, Detail: e.Detail})
	}
	if len(events) == limit {
		a.Before = events[limit-1].ID
	}
	return a, nil
}

// image answers below /api/v1/images/: a name holds slashes, so what is asked is the last part.
func (s *Server) image(w http.ResponseWriter, r *http.Request) {
	rest := r.PathValue("rest")
	if name, ok := strings.CutSuffix(rest, "/why"); ok {
		s.answer(patience, func(r *http.Request) (any, error) { return s.Why(r.Context(), name, r.URL.Query().Get("package")) }).ServeHTTP(w, r)
		return
	}
	if name, ok := strings.CutSuffix(rest, "/log"); ok {
		s.imageLog(w, r, name)
		return
	}
	s.fail(w, r, notFound("ask for "+r.URL.Path+"/why or "+r.URL.Path+"/log", "no %s here", r.URL.Path))
}
