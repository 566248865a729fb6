package line

import (
	"context"
	"time"

	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

// room is where those of this process wait for one installation. Its usher alone looks at the line for all of them, so
// that a thousand who wait cost as much as one.
type room struct {
	l            *Line
	installation string
	here         map[string]*waiter // by ticket, guarded by the line's mutex; with the one whose turn it is
	bell         chan struct{}
}

func (r *room) wake() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

// usher calls up who is next until nobody is there any more.
func (r *room) usher() {
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for !r.empty() {
		if err := r.call(); err != nil {
			r.l.cfg.Log.Warn("the forge's line cannot be looked at", "installation", r.installation, "error", err)
		}
		select {
		case <-r.bell:
		case <-clock.C:
		}
	}
}

// empty closes a room that nobody is in.
func (r *room) empty() bool {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if len(r.here) > 0 {
		return false
	}
	delete(r.l.rooms, r.installation)
	return true
}

// call gives the turn to who is first, if that is one of ours, and tells the others where they stand.
func (r *room) call() error {
	ctx, cancel := context.WithTimeout(context.Background(), lapse)
	defer cancel()
	var v view
	err := r.l.store.Tx(ctx, func(ctx context.Context, q store.Querier) (err error) {
		if v, err = r.l.look(ctx, q, r.installation); err != nil || len(v.tickets) == 0 {
			return err
		}
		if first := v.tickets[0]; first.Owner == r.l.owner && first.BegunAt == 0 {
			return store.BeginTurn(ctx, q, r.installation, first.Ticket, r.l.cfg.Now().UnixMilli())
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.tell(v)
	return nil
}

func (r *room) tell(v view) {
	urgent := make([]bool, len(v.tickets))
	for i, t := range v.tickets {
		urgent[i] = t.Urgent
	}
	now := r.l.cfg.Now()
	if held := time.UnixMilli(v.held.Until); held.After(now) {
		now = held
	}
	guess := r.l.cfg.Limits.forecast(now, v.wrote, urgent)
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	for i, t := range v.tickets {
		who := r.here[t.Ticket]
		switch {
		case who == nil || t.Owner != r.l.owner:
		case i == 0:
			who.begin()
		default:
			_, why := r.l.next(v, t.Urgent)
			who.hear(notify.Waiting{Place: i + 1, Of: len(v.tickets), Until: guess[i], Why: why})
		}
	}
}

// begin lets the waiter go; its room's lock is held.
func (w *waiter) begin() {
	select {
	case <-w.ready:
	default:
		close(w.ready)
	}
}

// hear leaves the newest word for the waiter.
func (w *waiter) hear(n notify.Waiting) {
	select {
	case <-w.news:
	default:
	}
	w.news <- n
}
