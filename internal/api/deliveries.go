package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/store"
)

// Outlet is a chat or a subscriber of the catalog, and how it does.
type Outlet struct {
	Kind     string    `json:"kind"` // "chat" or "subscriber"
	Name     string    `json:"name"`
	State    string    `json:"state"`              // "ok", "failing", or "new": nothing was told yet
	Since    time.Time `json:"since,omitzero"`     // it fails
	Problem  string    `json:"problem,omitempty"`  // the last one
	Next     time.Time `json:"next,omitzero"`      // try
	WorkedAt time.Time `json:"worked_at,omitzero"` // when it last took something
	// Of a subscriber: events by state.
	Events map[string]int `json:"events,omitempty"`
}

// Delivery is an event on its way to a subscriber, with its last try.
type Delivery struct {
	Subscriber string    `json:"subscriber"`
	Event      string    `json:"event"` // the id in the audit log
	Type       string    `json:"type"`
	Subject    string    `json:"subject,omitempty"`
	State      string    `json:"state"` // "pending", "delivered", "parked"
	QueuedAt   time.Time `json:"queued_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	Next       time.Time `json:"next,omitzero"`
	Count      int       `json:"count"` // of tries
	Tries      []Try     `json:"tries"` // the last one; all of them when one event is asked for
}

// Try is one attempt to deliver an event.
type Try struct {
	At     time.Time `json:"at"`
	Status int       `json:"status,omitempty"` // of HTTP; 0: there was no answer
	TookMS int64     `json:"took_ms"`
	Error  string    `json:"error,omitempty"`
}

// Deliveries are the outlets, and the newest events that match.
type Deliveries struct {
	Now        time.Time  `json:"now"`
	Outlets    []Outlet   `json:"outlets"`
	Total      int        `json:"total"` // events that are remembered, whatever was asked for
	Deliveries []Delivery `json:"deliveries"`
}

// DeliveryFilter narrows a listing. Its zero value asks for the newest of all.
type DeliveryFilter struct {
	Subscriber, State, Event string
	Limit                    int
}

// Redeliver asks for events to be sent again: all of a subscriber that are parked or wait, or one.
type Redeliver struct {
	Subscriber string `json:"subscriber"`
	Event      string `json:"event,omitempty"`
	By         string `json:"by,omitempty"`
}

// Redelivered says how many events are sent again.
type Redelivered struct {
	Subscriber string `json:"subscriber"`
	Events     int    `json:"events"`
}

// Deliveries lists outlets and events.
func (r *Reader) Deliveries(ctx context.Context, f DeliveryFilter) (Deliveries, error) {
	if f.State != "" && !slices.Contains(store.OutgoingStates(), f.State) {
		return Deliveries{}, badRequest("use one of "+strings.Join(store.OutgoingStates(), ", "), "%q is no state of a delivery", f.State)
	}
	out := Deliveries{Now: r.Now().UTC(), Deliveries: []Delivery{}}
	var err error
	if out.Outlets, err = r.outlets(ctx); err != nil {
		return out, err
	}
	counts, err := store.CountOutgoing(ctx, r.Store.Q())
	if err != nil {
		return out, err
	}
	for _, states := range counts {
		for _, n := range states {
			out.Total += n
		}
	}
	all, err := store.OutgoingEvents(ctx, r.Store.Q(), store.OutgoingFilter{Subscriber: f.Subscriber, State: f.State, Event: f.Event, Limit: f.Limit})
	if err != nil {
		return out, err
	}
	for _, o := range all {
		d := deliveryOf(o)
		if f.Event != "" {
			if d.Tries, err = r.tries(ctx, o); err != nil {
				return out, err
			}
		}
		out.Deliveries = append(out.Deliveries, d)
	}
	return out, nil
}

func deliveryOf(o store.Outgoing) Delivery {
	d := Delivery{Subscriber: o.Subscriber, Event: o.Event, Type: o.Type, Subject: o.Subject, State: o.State, QueuedAt: at(o.QueuedAt), EndedAt: at(o.EndedAt), Count: o.Tries, Tries: []Try{}}
	if o.State == store.OutgoingPending {
		d.Next = at(o.NextAt)
	}
	if o.Tries > 0 {
		d.Tries = append(d.Tries, tryOf(o.Last))
	}
	return d
}

func tryOf(t store.Try) Try {
	return Try{At: at(t.At), Status: t.Status, TookMS: t.Took, Error: t.Error}
}

func (r *Reader) tries(ctx context.Context, o store.Outgoing) ([]Try, error) {
	all, err := store.Tries(ctx, r.Store.Q(), o.Subscriber, o.Event)
	out := make([]Try, 0, len(all))
	for _, t := range all {
		out = append(out, tryOf(t))
	}
	return out, err
}

// outlets are those of the catalog.
func (r *Reader) outlets(ctx context.Context) ([]Outlet, error) {
	out := []Outlet{}
	c := r.Loop.Last().Catalog
	if c == nil || len(c.Chats)+len(c.Subscribers) == 0 {
		return out, nil
	}
	seen, err := store.Outlets(ctx, r.Store.Q())
	if err != nil {
		return out, err
	}
	counts, err := store.CountOutgoing(ctx, r.Store.Q())
	if err != nil {
		return out, err
	}
	of := map[[2]string]store.Outlet{}
	for _, o := range seen {
		of[[2]string{o.Kind, o.Name}] = o
	}
	for _, one := range c.Chats {
		out = append(out, outletOf(store.ChatOutlet, one.Name, of))
	}
	for _, one := range c.Subscribers {
		o := outletOf(store.SubscriberOutlet, one.Name, of)
		o.Events = map[string]int{}
		for _, s := range store.OutgoingStates() {
			o.Events[s] = counts[one.Name][s]
		}
		out = append(out, o)
	}
	return out, nil
}

// States of outlets.
const (
	OutletOK      = "ok"
	OutletFailing = "failing"
	OutletNew     = "new"
)

func outletOf(kind, name string, of map[[2]string]store.Outlet) Outlet {
	s := of[[2]string{kind, name}]
	o := Outlet{Kind: kind, Name: name, State: OutletOK, WorkedAt: at(s.WorkedAt)}
	switch {
	case s.Failing > 0:
		o.State, o.Since, o.Problem, o.Next = OutletFailing, at(s.Failing), s.Error, at(s.NextAt)
	case s.WorkedAt == 0:
		o.State = OutletNew
	}
	return o
}

const failingLong = 5 * time.Minute // before somebody is called: a chat may be away for a moment

// untold lists the outlets that somebody must look after.
func (r *Reader) untold(ctx context.Context, now time.Time) ([]Need, error) {
	all, err := r.outlets(ctx)
	var out []Need
	for _, o := range all {
		if o.State == OutletFailing && now.Sub(o.Since) >= failingLong {
			out = append(out, Need{What: o.Kind + " " + o.Name, State: o.State, Reason: o.Problem, Since: o.Since, Next: o.Next, Who: "who runs the daemon", Command: "rebuilder deliveries list"})
		}
		if n := o.Events[store.OutgoingParked]; n > 0 {
			out = append(out, Need{What: o.Kind + " " + o.Name, State: store.OutgoingParked, Reason: Count(n, "event") + " could not be delivered for a day, and nobody tries again by themselves",
				Who: "who keeps the subscriber", Command: "rebuilder deliveries retry " + o.Name})
		}
	}
	return out, err
}

func (s *Server) getDeliveries(r *http.Request) (any, error) {
	limit, err := number(r, "limit", 100, 1000)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	return s.Deliveries(r.Context(), DeliveryFilter{Subscriber: q.Get("subscriber"), State: q.Get("state"), Event: q.Get("event"), Limit: limit})
}

func (s *Server) redeliver(r *http.Request) (any, error) {
	var q Redeliver
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	c := s.d.Loop.Last().Catalog
	if q.Subscriber == "" || c == nil || !slices.ContainsFunc(c.Subscribers, func(o catalog.Subscriber) bool { return o.Name == q.Subscriber }) {
		return nil, notFound("list them: rebuilder deliveries list", "the catalog has no subscriber %q", q.Subscriber)
	}
	out := Redelivered{Subscriber: q.Subscriber}
	err := s.d.Store.Tx(r.Context(), func(ctx context.Context, tx store.Querier) (err error) {
		out.Events, err = store.RetryOutgoing(ctx, tx, q.Subscriber, q.Event, person(q.By), s.d.Now().UnixMilli())
		return err
	})
	if err != nil {
		return nil, err
	}
	if q.Event != "" && out.Events == 0 {
		return nil, notFound("list them: rebuilder deliveries list --subscriber "+q.Subscriber, "no event %s waits for %s or is parked", q.Event, q.Subscriber)
	}
	if s.d.Rejudge != nil {
		s.d.Rejudge()
	}
	return out, nil
}

// Deliveries lists chats, subscribers, and events on their way.
func (c *Client) Deliveries(ctx context.Context, f DeliveryFilter) (d Deliveries, err error) {
	q := url.Values{}
	for k, v := range map[string]string{"subscriber": f.Subscriber, "state": f.State, "event": f.Event} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if f.Limit > 0 {
		q.Set("limit", fmt.Sprint(f.Limit))
	}
	return d, c.get(ctx, &d, q, "deliveries")
}

// Redeliver has events sent again.
func (c *Client) Redeliver(ctx context.Context, q Redeliver) (r Redelivered, err error) {
	return r, c.call(ctx, planPatience, http.MethodPost, q, &r, nil, "deliveries", "retry")
}
