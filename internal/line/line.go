package line

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"rebuilder/internal/notify"
	"rebuilder/internal/store"

	"github.com/google/uuid"
)

const (
	tick    = time.Second      // between two looks at the line, for what other replicas do
	lapse   = 30 * time.Second // who was not seen for so long is dead
	newsGap = time.Minute      // between two things said to one who waits
	patient = 5 * time.Second  // waits that are shorter are not worth a word
)

// Config holds what a Line can do without.
type Config struct {
	Limits Limits
	Log    *slog.Logger // nil discards
	// Now and Sleep are the clock that limits are counted by; nil: the real one.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// Line is a notify.Line on a store. Its methods may be called at the same time.
type Line struct {
	store *store.Store
	cfg   Config
	owner string // this process, this time: what it leaves behind when killed is not its successor's by name

	mu    sync.Mutex
	rooms map[string]*room // by installation, while somebody of ours is there
}

var _ notify.Line = (*Line)(nil)

// New makes the line of a process.
func New(st *store.Store, cfg Config) *Line {
	cfg.Limits = cfg.Limits.orUsual()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	return &Line{store: st, cfg: cfg, owner: uuid.NewString(), rooms: map[string]*room{}}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// view is the line as one transaction saw it.
type view struct {
	held    store.Held
	tickets []store.Ticket // of the living, in order
	wrote   []time.Time
}

// look locks the line of an installation for a transaction and sees it. The caller's process is alive by it.
func (l *Line) look(ctx context.Context, q store.Querier, installation string) (v view, err error) {
	now := l.cfg.Now()
	if v.held, err = store.LockLine(ctx, q, installation, now.UnixMilli()); err != nil {
		return v, err
	}
	if v.tickets, err = store.InLine(ctx, q, installation, l.owner, now.UnixMilli(), now.Add(-lapse).UnixMilli()); err != nil {
		return v, err
	}
	wrote, err := store.Writes(ctx, q, installation, now.Add(-time.Hour).UnixMilli())
	for _, at := range wrote {
		v.wrote = append(v.wrote, time.UnixMilli(at))
	}
	return v, err
}

// next is when a write is allowed, whoever's turn it is.
func (l *Line) next(v view, urgent bool) (at time.Time, why string) {
	at, why = l.cfg.Limits.next(v.wrote, urgent)
	if held := time.UnixMilli(v.held.Until); v.held.Until > 0 && held.After(at) {
		return held, v.held.Why
	}
	return at, why
}

// Hold implements notify.Line.
func (l *Line) Hold(ctx context.Context, installation string, until time.Time, why string) error {
	return store.HoldLine(ctx, l.store.Q(), installation, store.Held{Until: until.UnixMilli(), Why: why}, l.cfg.Now().UnixMilli())
}

// Enter implements notify.Line.
func (l *Line) Enter(ctx context.Context, installation, ticket string, w notify.Writer) (notify.Turn, error) {
	who := &waiter{l: l, installation: installation, ticket: ticket, w: w, ready: make(chan struct{}), news: make(chan notify.Waiting, 1)}
	who.room = l.join(who)
	if who.room == nil {
		return nil, fmt.Errorf("%s: this process is about it already", ticket)
	}
	err := store.EnterLine(ctx, l.store.Q(), store.Ticket{Installation: installation, Ticket: ticket, Owner: l.owner, Object: w.Object,
		Urgent: w.Urgent, Place: w.Order, Since: l.cfg.Now().UnixMilli()})
	if err == nil {
		who.room.wake()
		err = who.wait(ctx)
	}
	if err == nil && w.Still != nil {
		err = w.Still(ctx)
	}
	if err != nil {
		who.Leave()
		return nil, err
	}
	return who, nil
}

// join lets a waiter into the room of its installation, whose usher starts with the first one. It returns nil when its
// ticket is there already.
func (l *Line) join(who *waiter) *room {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rooms[who.installation]
	if r == nil {
		r = &room{l: l, installation: who.installation, here: map[string]*waiter{}, bell: make(chan struct{}, 1)}
		l.rooms[who.installation] = r
		go r.usher()
	}
	if r.here[who.ticket] != nil {
		return nil
	}
	r.here[who.ticket] = who
	return r
}

// waiter is one of ours in a room, and its turn once that came.
type waiter struct {
	l                    *Line
	room                 *room
	installation, ticket string
	w                    notify.Writer
	ready                chan struct{} // closed when the turn has come
	news                 chan notify.Waiting
	told                 time.Time
	left                 sync.Once
}

// wait returns when the turn has come.
func (w *waiter) wait(ctx context.Context) error {
	for {
		select {
		case <-w.ready:
			return nil
		case n := <-w.news:
			w.say(n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// say passes on what is worth a word, and not too often.
func (w *waiter) say(n notify.Waiting) {
	now := w.l.cfg.Now()
	if w.w.Waits == nil || n.Until.Sub(now) < patient || !w.told.IsZero() && now.Sub(w.told) < newsGap {
		return
	}
	w.told = now
	w.w.Waits(n)
}

// errLost says that the turn went to somebody else: this process was taken for dead.
var errLost = errors.New("the turn at the forge was lost to another process")

// Write implements notify.Turn.
func (w *waiter) Write(ctx context.Context) error {
	for {
		v, granted, err := w.ask(ctx)
		if err != nil || granted {
			return err
		}
		at, why := w.l.next(v, w.w.Urgent)
		d := at.Sub(w.l.cfg.Now())
		if d <= 0 { // somebody who came back from the dead goes on first
			if err := sleep(ctx, tick); err != nil {
				return err
			}
			continue
		}
		w.say(notify.Waiting{Place: 1, Of: len(v.tickets), Until: at, Why: why})
		if err := w.l.cfg.Sleep(ctx, d); err != nil {
			return err
		}
	}
}

// ask counts a write when it is allowed now.
func (w *waiter) ask(ctx context.Context) (v view, granted bool, err error) {
	err = w.l.store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		granted = false
		var err error
		if v, err = w.l.look(ctx, q, w.installation); err != nil {
			return err
		}
		now := w.l.cfg.Now()
		switch at, _ := w.l.next(v, w.w.Urgent); {
		case !v.has(w.ticket, w.l.owner):
			return errLost
		case v.tickets[0].Ticket != w.ticket, at.After(now):
			return nil
		}
		granted = true
		return store.Wrote(ctx, q, w.installation, w.ticket, now.UnixMilli())
	})
	return v, granted, err
}

func (v view) has(ticket, owner string) bool {
	for _, t := range v.tickets {
		if t.Ticket == ticket {
			return t.Owner == owner
		}
	}
	return false
}

// Leave implements notify.Turn. A ticket that cannot be taken out lapses by itself.
func (w *waiter) Leave() {
	w.left.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), lapse)
		defer cancel()
		if err := store.LeaveLine(ctx, w.l.store.Q(), w.installation, w.ticket, w.l.owner); err != nil {
			w.l.cfg.Log.Warn("ticket left in the forge's line", "ticket", w.ticket, "error", err)
		}
		w.l.mu.Lock()
		delete(w.room.here, w.ticket)
		w.l.mu.Unlock()
		w.room.wake()
	})
}
