package apitest

import (
	"context"
	"errors"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/store"
)

// told adds two chats, of which one is away, and two subscribers, of which one does not take everything.
func (w *World) told(ctx context.Context) error {
	c := w.Loop.snap.Catalog
	c.Chats = []catalog.Chat{{Name: "platform", Kind: catalog.Slack}, {Name: "on-call", Kind: catalog.Teams}, {Name: "mail", Kind: catalog.Mail}}
	c.Subscribers = []catalog.Subscriber{{Name: "inventory", URL: "https://hooks.example.com/"}, {Name: "portal", URL: "https://portal.example.com/"}}
	for _, o := range []store.Outlet{
		{Kind: store.ChatOutlet, Name: "platform", WorkedAt: ms(9 * time.Minute)},
		{Kind: store.ChatOutlet, Name: "on-call", Failures: 7, Failing: ms(20 * time.Minute), NextAt: ms(-4 * time.Minute), Error: "404 Not Found: " + Hostile},
		{Kind: store.SubscriberOutlet, Name: "inventory", WorkedAt: ms(9 * time.Minute)},
		{Kind: store.SubscriberOutlet, Name: "portal", WorkedAt: ms(30 * time.Hour), Failures: 1, Failing: ms(time.Minute), NextAt: ms(0), Error: "no answer within 15s"},
	} {
		if _, _, err := store.HoldOutlet(ctx, w.Store.Q(), o.Kind, o.Name, ms(48*time.Hour), ms(47*time.Hour)); err != nil {
			return err
		}
		if err := store.SaveOutlet(ctx, w.Store.Q(), o); err != nil {
			return err
		}
	}
	return errors.Join(w.event(ctx, "0193-a", "base/debian", "building", nil, ms(9*time.Minute)),
		w.event(ctx, "0193-b", "base/debian", "done", []store.Try{{At: ms(30 * time.Hour), Status: 503, Took: 12, Error: "503 Service Unavailable: " + Hostile}, {At: ms(6 * time.Hour), Took: 15_000, Error: "no answer within 15s"}}, ms(30*time.Hour)),
		w.event(ctx, "0193-c", "base/nginx", "failed", []store.Try{{At: ms(time.Minute), Took: 15_000, Error: "no answer within 15s"}}, ms(time.Minute)))
}

// event is one that inventory took, and portal as its tries say: without any it took it, too; after a day it is parked.
func (w *World) event(ctx context.Context, id, image, action string, tries []store.Try, queued int64) error {
	if err := store.Audit(ctx, w.Store.Q(), store.Event{ID: id, At: queued, Actor: "rebuilder", Kind: store.Automation, Rule: "order", Action: action, Object: image, Detail: RolloutID}); err != nil {
		return err
	}
	if _, err := store.HandOut(ctx, w.Store, 100, func(e store.Event) (to []store.Outgoing) {
		if e.ID == id {
			for _, s := range []string{"inventory", "portal"} {
				to = append(to, store.Outgoing{Subscriber: s, Event: id, Type: "rebuilder.node.changed", Subject: image, QueuedAt: queued})
			}
		}
		return to
	}); err != nil {
		return err
	}
	took := store.Try{At: queued, Status: 204, Took: 31}
	if tries == nil {
		tries = []store.Try{took}
	}
	err := store.TriedOutgoing(ctx, w.Store.Q(), store.Outgoing{Subscriber: "inventory", Event: id, State: store.OutgoingDelivered, EndedAt: queued}, took)
	for i, t := range tries {
		o := store.Outgoing{Subscriber: "portal", Event: id, State: store.OutgoingPending, Tries: i, NextAt: ms(-4 * time.Minute)}
		switch {
		case t.Error == "":
			o.State, o.EndedAt = store.OutgoingDelivered, t.At
		case t.At-queued >= (24 * time.Hour).Milliseconds():
			o.State, o.EndedAt = store.OutgoingParked, t.At
		}
		err = errors.Join(err, store.TriedOutgoing(ctx, w.Store.Q(), o, t))
	}
	return err
}
