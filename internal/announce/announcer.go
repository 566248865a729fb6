package announce

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify/chat"
	"rebuilder/internal/notify/events"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// Config is what an Announcer is made of. Store, Catalog and Open are needed.
type Config struct {
	Store   *store.Store
	Catalog func() *catalog.Catalog
	// Open returns the medium of a chat. It is called once for each chat as long as the catalog says the same of it.
	Open func(catalog.Chat) (chat.Medium, error)
	// Secret returns the value of a secret; it is asked each time, so that it can be changed.
	Secret func(catalog.Secret) (string, error)
	Poster events.Poster
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: nothing is logged
	// Pace is the time between two requests to one chat; 0: a little more than the second that Slack asks for.
	Pace time.Duration
}

// Announcer tells people and programs. Any number of replicas may run one: an outlet is held by one of them at a time.
type Announcer struct {
	cfg    Config
	wake   chan struct{}
	mu     sync.Mutex
	opened map[string]openChat // by name
}

type openChat struct {
	says   catalog.Chat
	medium chat.Medium
	pace   *rate.Limiter
}

// New returns an announcer; nothing runs before Run.
func New(cfg Config) *Announcer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Pace == 0 {
		cfg.Pace = 1100 * time.Millisecond
	}
	return &Announcer{cfg: cfg, wake: make(chan struct{}, 1), opened: map[string]openChat{}}
}

const (
	lookEvery  = 15 * time.Second // for what other replicas did, what is due by time, and what is tried again
	leastLook  = time.Second      // between two looks
	holdFor    = 2 * time.Minute  // how long a dead replica keeps an outlet
	passFor    = 90 * time.Second // how long one look works for an outlet at most
	pruneEvery = 6 * time.Hour
	told       = 24 * time.Hour // how long after its end a rollout is still told of
)

// Wake makes it look soon: something changed. It does not block.
func (a *Announcer) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run tells until ctx ends.
func (a *Announcer) Run(ctx context.Context) {
	var pruned time.Time
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		if err := a.Once(ctx); err != nil && ctx.Err() == nil {
			a.cfg.Log.Warn("people and programs could not be told", "error", err)
		}
		if now := a.cfg.Now(); now.Sub(pruned) > pruneEvery && ctx.Err() == nil {
			pruned = now
			if err := store.ForgetOutgoing(ctx, a.cfg.Store.Q(), now.UnixMilli(), names(a.cfg.Catalog().Subscribers)); err != nil {
				a.cfg.Log.Warn("old deliveries could not be removed", "error", err)
			}
		}
		if !pause(ctx, leastLook) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-a.wake:
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func names(all []catalog.Subscriber) (out []string) {
	for _, s := range all {
		out = append(out, s.Name)
	}
	return out
}

// Once hands out what the audit log has, and tells every outlet what is due. What goes wrong with an outlet is written down
// with it and is no error here.
func (a *Announcer) Once(ctx context.Context) error {
	c := a.cfg.Catalog()
	if err := a.handOut(ctx, c); err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	work := func(kind, name string, fn func(context.Context) (outcome, error)) {
		wg.Go(func() {
			if err := a.hold(ctx, kind, name, fn); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	look := &look{a: a, c: c, facts: map[string]Facts{}}
	for _, one := range c.Chats {
		work(store.ChatOutlet, one.Name, func(ctx context.Context) (outcome, error) { return a.tell(ctx, one, look) })
	}
	for _, one := range c.Subscribers {
		work(store.SubscriberOutlet, one.Name, func(ctx context.Context) (outcome, error) { return a.deliver(ctx, one, c) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// outletError is what went wrong with the outlet, not with us.
type outletError struct{ err error }

func (e *outletError) Error() string { return e.err.Error() }

// outcome is what came of a look as far as an outlet goes.
type outcome struct {
	took bool // something was told
	idle bool // nothing waits for it any more
}

// hold works for an outlet if nobody else does, and writes down how that went.
func (a *Announcer) hold(ctx context.Context, kind, name string, fn func(context.Context) (outcome, error)) error {
	q := a.cfg.Store.Q()
	now := a.cfg.Now()
	o, held, err := store.HoldOutlet(ctx, q, kind, name, now.UnixMilli(), now.Add(holdFor).UnixMilli())
	if err != nil || !held {
		return err
	}
	pass, cancel := context.WithTimeout(ctx, passFor)
	got, err := fn(pass)
	cancel()
	if got.took || err == nil && got.idle {
		o.Failures, o.Failing, o.Error, o.NextAt = 0, 0, "", 0
	}
	if got.took {
		o.WorkedAt = a.cfg.Now().UnixMilli()
	}
	var out *outletError
	if errors.As(err, &out) && ctx.Err() == nil {
		a.failed(&o, out.err)
		err = nil
	}
	if ctx.Err() != nil {
		err = nil // the process is going down
	}
	return errors.Join(err, store.SaveOutlet(context.WithoutCancel(ctx), q, o))
}

// failed leaves an outlet alone for a while that did not do what it was told.
func (a *Announcer) failed(o *store.Outlet, err error) {
	now := a.cfg.Now()
	o.Failures++
	if o.Failing == 0 {
		o.Failing = now.UnixMilli()
	}
	wait := backoff(o.Failures)
	var e *chat.Error
	if errors.As(err, &e) && e.After > 0 {
		wait = e.After
	}
	o.Error, o.NextAt = err.Error(), now.Add(wait).UnixMilli()
	a.cfg.Log.Warn("telling failed", "kind", o.Kind, "name", o.Name, "error", err, "next", now.Add(wait))
}

// backoff is how long to wait after so many failures: 5 s, doubled up to an hour.
func backoff(failures int) time.Duration {
	return min(5*time.Second<<min(max(failures, 1)-1, 10), time.Hour)
}

// medium opens a chat, once.
func (a *Announcer) medium(c catalog.Chat) (openChat, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o, ok := a.opened[c.Name]; ok && same(o.says, c) {
		return o, nil
	}
	m, err := a.cfg.Open(c)
	if err != nil {
		return openChat{}, err
	}
	o := openChat{c, m, rate.NewLimiter(rate.Every(a.cfg.Pace), 1)}
	a.opened[c.Name] = o
	return o, nil
}

func same(a, b catalog.Chat) bool {
	a.Line, b.Line = 0, 0
	return reflect.DeepEqual(a, b)
}

func styleOf(c catalog.Chat, m chat.Medium) style {
	if c.Kind == catalog.Mail {
		return mail
	}
	if _, ok := m.(chat.Editor); ok {
		return live
	}
	return few
}

// tell says in a chat what is due of every rollout. It stops at the first thing that does not work.
func (a *Announcer) tell(ctx context.Context, c catalog.Chat, l *look) (got outcome, err error) {
	o, err := a.medium(c)
	if err != nil {
		return got, &outletError{err}
	}
	all, err := store.Untold(ctx, a.cfg.Store.Q(), c.Name, partClosed, a.cfg.Now().Add(-told).UnixMilli())
	if err != nil {
		return got, err
	}
	for _, ro := range all {
		f, err := l.of(ctx, ro)
		if err != nil {
			return got, err
		}
		n, err := a.tellOf(ctx, o, f)
		if n > 0 {
			got.took = true
			a.Wake() // what comes next may have waited for it
		}
		if errors.Is(err, errPass) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
	got.idle = true
	return got, nil
}

// tellOf says what is due of one rollout, and returns how much that was.
func (a *Announcer) tellOf(ctx context.Context, o openChat, f Facts) (n int, err error) {
	q := a.cfg.Store.Q()
	said, err := store.Messages(ctx, q, o.says.Name, f.Rollout.ID)
	if err != nil {
		return 0, err
	}
	out, done := due(f, styleOf(o.says, o.medium), said)
	for n, d := range out {
		d.message.Chat = o.says.Name
		if err := a.say(ctx, o, d); err != nil {
			return n, err
		}
	}
	if done {
		err = store.SaveMessage(ctx, q, store.Message{Chat: o.says.Name, Rollout: f.Rollout.ID, Part: partClosed, State: store.MessageSent, CreatedAt: a.cfg.Now().UnixMilli()})
	}
	return len(out), err
}

// errPass ends a look that has no time left; the next one goes on.
var errPass = errors.New("no time is left in this look")

// say sends or edits one message: written down before, so that whoever comes after a kill looks for it, and after.
func (a *Announcer) say(ctx context.Context, o openChat, d draft) error {
	q, m := a.cfg.Store.Q(), d.message
	if d.moot {
		m.State = store.MessageLost
		return store.SaveMessage(ctx, q, m)
	}
	if err := o.pace.Wait(ctx); err != nil {
		return errPass
	}
	if d.edit {
		return a.edit(ctx, o, d)
	}
	again := m.Tries > 0
	m.Tries++
	if err := store.SaveMessage(ctx, q, m); err != nil {
		return err
	}
	remote, err := send(ctx, o, d.post, again, ms(m.CreatedAt))
	if err != nil {
		return &outletError{err}
	}
	m.State, m.Remote, m.SentAt = store.MessageSent, remote, a.cfg.Now().UnixMilli()
	return store.SaveMessage(context.WithoutCancel(ctx), q, m)
}

// send says a post; one that may have been said already is looked for first, where that can be done.
func send(ctx context.Context, o openChat, p chat.Post, again bool, since time.Time) (string, error) {
	if e, ok := o.medium.(chat.Editor); ok && again {
		id, found, err := e.Find(ctx, p, since.Add(-time.Hour)) // clocks differ
		if err != nil || found {
			return id, err
		}
		if err := o.pace.Wait(ctx); err != nil {
			return "", err
		}
	}
	return o.medium.Send(ctx, p)
}

// edit says the message anew. One that somebody deleted is let be.
func (a *Announcer) edit(ctx context.Context, o openChat, d draft) error {
	m := d.message
	err := o.medium.(chat.Editor).Edit(ctx, m.Remote, d.post)
	var e *chat.Error
	switch {
	case errors.As(err, &e) && e.Gone:
		m.State = store.MessageLost
	case err != nil:
		return &outletError{err}
	}
	m.SentAt = a.cfg.Now().UnixMilli()
	return store.SaveMessage(context.WithoutCancel(ctx), a.cfg.Store.Q(), m)
}

// look is what one look at the store found, once for all chats.
type look struct {
	a     *Announcer
	c     *catalog.Catalog
	mu    sync.Mutex
	facts map[string]Facts
}

const pastBuilds = 5 // of an image, that an estimate rests on

func (l *look) of(ctx context.Context, ro store.Rollout) (Facts, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, ok := l.facts[ro.ID]; ok {
		return f, nil
	}
	f, err := l.a.read(ctx, l.c, ro.ID)
	if err == nil {
		l.facts[ro.ID] = f
	}
	return f, err
}

// read gathers the facts of a rollout.
func (a *Announcer) read(ctx context.Context, c *catalog.Catalog, id string) (f Facts, err error) {
	q := a.cfg.Store.Q()
	f = Facts{URL: c.URL, Parallel: c.Places(), Now: a.cfg.Now()}
	// The nodes first: a rollout that ended in between is seen as ended with what its nodes are, at the next look.
	if f.Nodes, err = store.Nodes(ctx, q, id); err != nil {
		return f, err
	}
	if f.Rollout, err = store.GetRollout(ctx, q, id); err != nil {
		return f, err
	}
	if f.Rollout.State.Ended() {
		if f.Nodes, err = store.Nodes(ctx, q, id); err != nil {
			return f, err
		}
	}
	if f.Proposals, err = store.Proposals(ctx, q, id); err != nil {
		return f, err
	}
	starts, err := store.AuditLog(ctx, q, store.AuditFilter{Action: "start rollout", Object: id, Limit: 1})
	if err != nil {
		return f, err
	}
	if len(starts) > 0 {
		f.Start = starts[0]
	}
	var left []string
	for _, n := range f.Nodes {
		if n.Detail.Step.Action == plan.Rebuild && !n.State.Ended() {
			left = append(left, n.Image)
		}
	}
	f.Past, err = store.Paces(ctx, q, left, pastBuilds)
	return f, err
}
