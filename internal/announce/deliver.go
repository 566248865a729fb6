package announce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify/events"
	"rebuilder/internal/store"
)

const (
	handAtOnce = 200
	sendAtOnce = 100            // to one subscriber in one look
	giveUp     = 24 * time.Hour // then an event is parked, and a person decides
)

// handOut gives each new row of the audit log to the subscribers that want it.
func (a *Announcer) handOut(ctx context.Context, c *catalog.Catalog) error {
	now := a.cfg.Now().UnixMilli()
	bases := map[string]string{} // what is promoted is named by its reference
	for _, b := range c.Bases {
		bases[b.Reference()] = b.Name
	}
	for {
		n, err := store.HandOut(ctx, a.cfg.Store, handAtOnce, func(e store.Event) (to []store.Outgoing) {
			x := events.Of(record(e))
			for _, s := range c.Subscribers {
				if wants(s, x, bases) {
					to = append(to, store.Outgoing{Subscriber: s.Name, Event: e.ID, Type: x.Type, Subject: x.Subject, QueuedAt: now})
				}
			}
			return to
		})
		if err != nil || n < handAtOnce {
			return err
		}
	}
}

func record(e store.Event) events.Record {
	return events.Record{ID: e.ID, At: ms(e.At), Actor: e.Actor, Kind: e.Kind, Rule: e.Rule, Action: e.Action, Object: e.Object, Detail: e.Detail}
}

// wants says that a subscriber asked for an event: for its type, and, where it names images, for one of them or a rollout.
func wants(s catalog.Subscriber, e events.Event, bases map[string]string) bool {
	if !matches(s.Types, e.Type) {
		return false
	}
	if len(s.Images) == 0 || strings.HasPrefix(e.Type, "rebuilder.rollout.") {
		return true
	}
	image := e.Subject
	if b, ok := bases[image]; ok {
		image = b
	}
	return matches(s.Images, image)
}

// matches says that one of some patterns is for s; none are for everything. The catalog has checked them.
func matches(patterns []string, s string) bool {
	for _, p := range patterns {
		if ok, _ := path.Match(p, s); ok {
			return true
		}
	}
	return len(patterns) == 0
}

// deliver sends a subscriber what is due, in order. It stops when the subscriber does not take anything.
func (a *Announcer) deliver(ctx context.Context, s catalog.Subscriber, c *catalog.Catalog) (got outcome, err error) {
	q := a.cfg.Store.Q()
	all, err := store.DueOutgoing(ctx, q, s.Name, a.cfg.Now().UnixMilli(), sendAtOnce)
	if err != nil {
		return got, err
	}
	if len(all) == 0 {
		pending, err := store.OutgoingEvents(ctx, q, store.OutgoingFilter{Subscriber: s.Name, State: store.OutgoingPending, Limit: 1})
		got.idle = len(pending) == 0
		return got, err
	}
	secret, err := a.cfg.Secret(s.Secret)
	if err != nil {
		return got, &outletError{fmt.Errorf("its secret: %w", err)}
	}
	for _, o := range all {
		r, err := a.post(ctx, s, secret, source(c), o)
		if err != nil || ctx.Err() != nil {
			return got, err
		}
		if r.Error == "" {
			got.took = true
		} else if !ofTheEvent(r.Status) {
			return got, &outletError{errors.New(r.Error)}
		}
	}
	if len(all) == sendAtOnce {
		a.Wake()
	}
	return got, nil
}

// post sends one event once, and writes that down.
func (a *Announcer) post(ctx context.Context, s catalog.Subscriber, secret, source string, o store.Outgoing) (r events.Result, err error) {
	e, err := store.GetEvent(ctx, a.cfg.Store.Q(), o.Event)
	if err != nil {
		return r, err
	}
	at := a.cfg.Now().UnixMilli()
	r = a.cfg.Poster.Post(ctx, s.URL, secret, events.Of(record(e)), source)
	if ctx.Err() != nil && r.Error != "" {
		return r, nil // cut off by us: no answer of theirs
	}
	a.after(&o, r)
	t := store.Try{At: at, Status: r.Status, Took: r.Took.Milliseconds(), Error: r.Error}
	return r, a.cfg.Store.Tx(context.WithoutCancel(ctx), func(ctx context.Context, q store.Querier) error { return store.TriedOutgoing(ctx, q, o, t) })
}

// after is what an event has become by a try.
func (a *Announcer) after(o *store.Outgoing, r events.Result) {
	now := a.cfg.Now()
	wait := backoff(o.Tries + 1)
	if r.After > 0 {
		wait = r.After
	}
	switch {
	case r.Error == "":
		o.State, o.EndedAt = store.OutgoingDelivered, now.UnixMilli()
	case r.Gone || !now.Add(wait).Before(ms(o.QueuedAt).Add(giveUp)):
		o.State, o.EndedAt = store.OutgoingParked, now.UnixMilli()
	default:
		o.NextAt = now.Add(wait).UnixMilli()
	}
}

// ofTheEvent says that an answer is about this event: the next one may be taken.
func ofTheEvent(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// source names this daemon as the source of events.
func source(c *catalog.Catalog) string {
	if c.URL != "" {
		return c.URL
	}
	return "/rebuilder/" + url.PathEscape(c.Organization)
}
