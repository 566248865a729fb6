package announce_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rebuilder/internal/announce"
	"rebuilder/internal/catalog"
	"rebuilder/internal/notify/chat"
	"rebuilder/internal/notify/chat/chattest"
	"rebuilder/internal/notify/events"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

const id = "r-12ab34cd56ef-1"

// world is a rollout that a test carries out by hand, and those who are told of it.
type world struct {
	t     *testing.T
	st    *store.Store
	a     *announce.Announcer
	c     *catalog.Catalog
	slack *chattest.Slack
	mu    sync.Mutex
	at    time.Time
	fault func(method string, n int) chattest.Fault
	mails []chat.Post
	hooks []chat.Post
	down  error // of mails and hooks
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// recorder is a chat that cannot edit.
type recorder struct {
	w    *world
	into *[]chat.Post
}

func (r recorder) Send(_ context.Context, p chat.Post) (string, error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.w.down != nil {
		return "", r.w.down
	}
	*r.into = append(*r.into, p)
	return "", nil
}

func newWorld(t *testing.T, st *store.Store, chats ...catalog.Chat) *world {
	w := &world{t: t, st: st, at: time.Date(2026, 11, 21, 2, 4, 0, 0, time.UTC), c: &catalog.Catalog{Chats: chats, URL: "https://rebuilder.example.com"}}
	w.slack = chattest.NewSlack(t, w.now, func(method string, n int) chattest.Fault {
		if w.fault == nil {
			return chattest.Fault{}
		}
		return w.fault(method, n)
	})
	w.start()
	return w
}

// start is a daemon's start: nothing is remembered but what is in the store.
func (w *world) start() {
	w.a = announce.New(announce.Config{Store: w.st, Catalog: func() *catalog.Catalog { return w.c }, Now: w.now, Pace: time.Nanosecond,
		Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)), Secret: func(catalog.Secret) (string, error) { return "0123456789abcdef", nil },
		Poster: events.Poster{Now: w.now},
		Open: func(c catalog.Chat) (chat.Medium, error) {
			switch c.Kind {
			case catalog.Slack:
				return chat.NewSlack(chat.SlackConfig{API: w.slack.URL, Channel: chattest.Channel, Token: func() (string, error) { return chattest.Token, nil }}), nil
			case catalog.Mail:
				return recorder{w, &w.mails}, nil
			}
			return recorder{w, &w.hooks}, nil
		}})
}

func (w *world) look() {
	w.t.Helper()
	if err := w.a.Once(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// rollout makes one of two tiers of bases and an application.
func (w *world) rollout(cause plan.Cause) {
	w.t.Helper()
	now := w.now().UnixMilli()
	ro := store.Rollout{ID: id, Cause: string(cause), Title: "libssl3 3.0.17-1 -> 3.0.17-2 in base/debian", State: store.Running, CreatedAt: now, StartedAt: now, PublishedAt: now - 600_000}
	node := func(image, kind string, tier int, parents ...string) store.Node {
		action := plan.Rebuild
		if kind == "application" {
			action = plan.PullRequest
		}
		return store.Node{Rollout: id, Image: image, Kind: kind, Tier: tier, Waiting: len(parents), State: store.Waiting, Since: now, Attempt: 1,
			Detail: store.NodeDetail{Step: plan.Step{Image: image, Action: action, Parents: parents}}}
	}
	nodes := []store.Node{node("base/debian", "base", 0), node("base/java", "base", 1, "base/debian"), node("base/ruby", "base", 1, "base/debian"), node("web", "application", 2, "base/java")}
	w.tx(func(ctx context.Context, q store.Querier) error {
		if _, err := store.CreateRollout(ctx, q, ro, nodes); err != nil {
			return err
		}
		return store.Audit(ctx, q, store.Event{At: now, Actor: "rebuilder", Kind: store.Automation, Rule: "watch", Action: "start rollout", Object: id, Detail: ro.Title})
	})
}

func (w *world) tx(fn func(context.Context, store.Querier) error) {
	w.t.Helper()
	if err := w.st.Tx(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// move takes a node through its states.
func (w *world) move(image string, states ...store.NodeState) {
	w.t.Helper()
	w.tx(func(ctx context.Context, q store.Querier) error {
		for _, s := range states {
			m := store.Move{Rollout: id, Image: image, To: s, At: w.now().UnixMilli(), Rule: "order"}
			if s == store.Failed {
				m.Reason, m.Who = "its tests failed", "who keeps its tests"
			}
			if s == store.Telling {
				m.Detail = func(d *store.NodeDetail) { d.Key = "k" }
			}
			if _, err := store.MoveNode(ctx, q, m); err != nil {
				return err
			}
		}
		return store.Finish(ctx, q, id, w.now().UnixMilli())
	})
}

func (w *world) base(image string) {
	w.move(image, store.Building, store.Scanning, store.Promoting, store.Done)
}

var (
	slack = catalog.Chat{Name: "platform", Kind: catalog.Slack, Token: catalog.Secret{Env: "T"}}
	mail  = catalog.Chat{Name: "mail", Kind: catalog.Mail}
	teams = catalog.Chat{Name: "teams", Kind: catalog.Teams}
)

// calls are what Slack was asked since the last time.
func (w *world) calls(seen *int, want ...string) {
	w.t.Helper()
	all := w.slack.Calls()
	if got := all[*seen:]; !slices.Equal(got, want) {
		w.t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	*seen = len(all)
}

// TestARolloutIsOneMessage walks a rollout through, and counts every call.
func TestARolloutIsOneMessage(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		w := newWorld(t, st, slack, mail, teams)
		seen := 0
		w.look()
		w.calls(&seen)
		w.rollout(plan.CausePackage)
		w.look()
		w.calls(&seen, "chat.postMessage "+id+"/rollout")
		w.look() // nothing changed
		w.calls(&seen)

		w.move("base/debian", store.Building)
		w.look() // nobody sees that: it counts what is finished
		w.calls(&seen)
		w.move("base/debian", store.Scanning, store.Promoting, store.Done)
		w.look() // too soon for another edit
		w.calls(&seen, "chat.postMessage "+id+"/tier 0")
		w.pass(11 * time.Second)
		w.look()
		w.calls(&seen, "chat.update "+id+"/rollout")

		w.base("base/java")
		w.move("base/ruby", store.Building, store.Failed)
		w.pass(11 * time.Second)
		w.look()
		w.calls(&seen, "chat.update "+id+"/rollout", "chat.postMessage "+id+"/tier 1", "chat.postMessage "+id+"/needs 1")
		w.move("web", store.Telling)
		w.pass(11 * time.Second)
		w.look()
		w.calls(&seen, "chat.update "+id+"/rollout")
		w.pass(time.Hour)
		w.move("web", store.Done)
		w.look()
		w.calls(&seen, "chat.update "+id+"/rollout", "chat.postMessage "+id+"/end")
		for range 3 {
			w.pass(time.Minute)
			w.look()
		}
		w.calls(&seen)

		all := w.slack.Messages()
		var lines []string
		for _, m := range all {
			head, _, _ := strings.Cut(m.Text, "\n")
			lines = append(lines, fmt.Sprintf("%v thread %v broadcast %v edits %d: %s", strings.TrimPrefix(m.Key, id), m.Thread == all[0].ID, m.Broadcast, m.Edits, head))
		}
		want := []string{
			"/rollout thread false broadcast false edits 4: ✗ libssl3 3.0.17-1 -&gt; 3.0.17-2 in base/debian → 4 images",
			"/tier 0 thread true broadcast false edits 0: Tier 1 of 2 is finished: 1 of 1 bases as they should be",
			"/tier 1 thread true broadcast false edits 0: Tier 2 of 2 is finished: 1 of 2 bases as they should be",
			"/needs 1 thread true broadcast true edits 0: base/ruby needs a person",
			"/end thread true broadcast true edits 0: The rollout ended as failed: of 4 images 1 failed, 3 done; took 1 h 0 min",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("%s", strings.Join(lines, "\n"))
		}
		if got := keys(w.mails); !slices.Equal(got, []string{"needs 1", "end"}) {
			t.Errorf("mails %q", got)
		}
		if got := keys(w.hooks); !slices.Equal(got, []string{"start", "needs 1", "end"}) {
			t.Errorf("messages of a chat that cannot edit: %q", got)
		}
		if !strings.Contains(w.hooks[0].Text(), "started 02:04 UTC by automation") || !strings.Contains(w.hooks[2].Text(), "of 4 images 1 failed, 3 done") {
			t.Errorf("%s\n%s", w.hooks[0].Text(), w.hooks[2].Text())
		}
	})
}

func keys(all []chat.Post) (out []string) {
	for _, p := range all {
		out = append(out, strings.TrimPrefix(p.Key, id+"/"))
	}
	return out
}

// A message that Slack took while the daemon was killed, or cut off, before it wrote that down is found and not said again.
func TestAMessageIsSaidOnce(t *testing.T) {
	for name, fault := range map[string]chattest.Fault{"the answer is lost": {Cut: true}, "it never arrived": {Before: true}, "Slack is down": {Status: 503}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storetest.Open(t, storetest.SQLite(t)), slack)
			w.fault = func(method string, n int) chattest.Fault {
				if method == "chat.postMessage" && n == 0 {
					return fault
				}
				return chattest.Fault{}
			}
			seen := 0
			w.rollout(plan.CausePackage)
			w.look()
			w.calls(&seen, "chat.postMessage "+id+"/rollout")
			w.start()
			w.look() // left alone for a while
			w.calls(&seen)
			w.pass(6 * time.Second)
			w.look()
			want := []string{"conversations.history"}
			if !fault.Cut {
				want = append(want, "chat.postMessage "+id+"/rollout")
			}
			w.calls(&seen, want...)
			if n := len(w.slack.Messages()); n != 1 {
				t.Errorf("%d messages", n)
			}
			w.base("base/debian")
			w.pass(11 * time.Second)
			w.look()
			w.calls(&seen, "chat.update "+id+"/rollout", "chat.postMessage "+id+"/tier 0")
		})
	}
}

// Killed at any request, before or after its effect, the channel ends up the same.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	story := func(t *testing.T, kill int, fault chattest.Fault) (texts []string, calls int) {
		w := newWorld(t, storetest.Open(t, storetest.SQLite(t)), slack)
		n := -1
		w.fault = func(string, int) chattest.Fault {
			if n++; n == kill {
				return fault
			}
			return chattest.Fault{}
		}
		look := func() {
			for range 4 {
				w.start()
				w.pass(11 * time.Second)
				w.look()
			}
		}
		w.rollout(plan.CausePackage)
		look()
		w.base("base/debian")
		look()
		w.base("base/java")
		w.move("base/ruby", store.Building, store.Failed)
		look()
		w.move("web", store.Telling, store.Done)
		look()
		for _, m := range w.slack.Messages() {
			head, _, _ := strings.Cut(m.Text, "\n")
			texts = append(texts, m.Key+" "+head[:20])
		}
		slices.Sort(texts)
		return texts, len(w.slack.Calls())
	}
	want, n := story(t, -1, chattest.Fault{})
	if len(want) != 5 || n != 8 {
		t.Fatalf("%d calls, %q", n, want)
	}
	others := []chattest.Fault{{Before: true}, {Status: 500}, {Status: 429, RetryAfter: 20}}
	for kill := range n {
		for _, fault := range []chattest.Fault{{Cut: true}, others[kill%len(others)]} {
			t.Run(fmt.Sprintf("%+v at call %d", fault, kill), func(t *testing.T) {
				t.Parallel()
				if got, _ := story(t, kill, fault); !slices.Equal(got, want) {
					t.Errorf("%q", got)
				}
			})
		}
	}
}

// Who deletes the message is not written to again, but for what needs a person.
func TestADeletedMessageIsLetBe(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)), slack)
	seen := 0
	w.rollout(plan.CausePackage)
	w.look()
	w.slack.Delete(w.slack.Messages()[0].ID)
	w.base("base/debian")
	w.pass(11 * time.Second)
	w.calls(&seen, "chat.postMessage "+id+"/rollout")
	w.look()
	w.pass(time.Minute)
	w.look()
	w.move("base/ruby", store.Building, store.Failed)
	w.look()
	all := w.slack.Messages()
	if len(all) != 1 || all[0].Key != id+"/needs 1" || all[0].Thread != "" {
		t.Errorf("%+v", all)
	}
}

// A nightly refresh that changes nothing says nothing.
func TestNothingNewSaysNothing(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)), slack, mail, teams)
	w.rollout(plan.CauseRefresh)
	w.look()
	for _, image := range []string{"base/debian", "base/java", "base/ruby"} {
		w.move(image, store.Building, store.Unchanged)
	}
	w.move("web", store.Unchanged)
	w.look()
	if len(w.slack.Calls())+len(w.mails)+len(w.hooks) > 0 {
		t.Errorf("%q %q %q", w.slack.Calls(), keys(w.mails), keys(w.hooks))
	}
	left, err := store.Untold(t.Context(), w.st.Q(), "platform", "closed", 0)
	if err != nil || len(left) > 0 {
		t.Errorf("it is still looked at: %v %v", left, err)
	}
}

// Many troubles are one message, and the next one comes after a while.
func TestManyNeedsAreOneMessage(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)), mail)
	w.rollout(plan.CausePackage)
	w.move("base/java", store.Building, store.Failed)
	w.look()
	w.move("base/ruby", store.Building, store.Failed)
	w.move("base/debian", store.Building, store.Failed)
	w.look()
	w.pass(9 * time.Minute)
	w.look()
	if got := keys(w.mails); !slices.Equal(got, []string{"needs 1"}) {
		t.Errorf("%q", got)
	}
	w.pass(2 * time.Minute)
	w.look()
	if got := keys(w.mails); !slices.Equal(got, []string{"needs 1", "needs 2"}) || w.mails[1].Note.Headline != "2 things need a person" {
		t.Errorf("%q", got)
	}
}

// A chat that is dead is tried less and less often, says so, and catches up.
func TestADeadChat(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)), teams, slack)
	w.down = &chat.Error{Text: "410 Gone"}
	w.rollout(plan.CausePackage)
	tries := 0
	for range 120 {
		w.look()
		w.pass(time.Minute)
	}
	outlets, err := store.Outlets(t.Context(), w.st.Q())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outlets {
		switch o.Name {
		case "teams":
			if tries = o.Failures; o.Error != "410 Gone" || o.Failing == 0 || tries < 8 || tries > 14 {
				t.Errorf("%+v", o)
			}
		case "platform":
			if o.Failing != 0 || o.WorkedAt == 0 {
				t.Errorf("another chat waits for it: %+v", o)
			}
		}
	}
	w.down = nil
	w.pass(time.Hour)
	w.look()
	if got := keys(w.hooks); !slices.Equal(got, []string{"start"}) {
		t.Errorf("%q", got)
	}
	if outlets, _ = store.Outlets(t.Context(), w.st.Q()); outlets[1].Failing != 0 || outlets[1].Error != "" {
		t.Errorf("%+v", outlets)
	}
}

// subscriber is a program that is told.
type subscriber struct {
	mu     sync.Mutex
	got    []string // ids
	bodies []string
	answer func(n int) int
}

func (s *subscriber) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	s.got = append(s.got, r.Header.Get("webhook-id"))
	s.bodies = append(s.bodies, string(body))
	if s.answer != nil {
		rw.WriteHeader(s.answer(len(s.got)))
	}
}

func (w *world) subscribe(t *testing.T, s *subscriber, types, images []string) {
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	w.c.Subscribers = append(w.c.Subscribers, catalog.Subscriber{Name: fmt.Sprintf("s%d", len(w.c.Subscribers)), URL: srv.URL, Types: types, Images: images})
}

func TestSubscribers(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		w := newWorld(t, st)
		w.c.Bases = []catalog.Base{{Name: "base/debian", Image: "registry.example.com/base/debian", Channel: "stable"}}
		var all, ends, debian subscriber
		w.subscribe(t, &all, nil, nil)
		w.subscribe(t, &ends, []string{"rebuilder.rollout.*"}, nil)
		w.subscribe(t, &debian, []string{"rebuilder.node.changed", "rebuilder.promoted"}, []string{"base/debian"})
		w.rollout(plan.CausePackage)
		w.base("base/debian")
		w.tx(func(ctx context.Context, q store.Querier) error {
			return store.Audit(ctx, q, store.Event{Actor: "rebuilder", Kind: store.Automation, Action: "promote", Object: "registry.example.com/base/debian:stable", Detail: "sha256:ab"})
		})
		w.base("base/java")
		w.look()
		w.look()
		if len(all.got) != 1+4+1+4 || len(ends.got) != 1 || len(debian.got) != 5 {
			t.Errorf("%d, %d, %d events", len(all.got), len(ends.got), len(debian.got))
		}
		if !slices.IsSorted(all.got) || !strings.Contains(ends.bodies[0], `"type":"rebuilder.rollout.started"`) || !strings.Contains(ends.bodies[0], `"source":"https://rebuilder.example.com"`) {
			t.Errorf("%q %s", all.got, ends.bodies[0])
		}
	})
}

// Cut off or refused, an event comes again with the same id and the same bytes, until it is taken or a day is over.
func TestAnEventIsTriedForADay(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
	s := &subscriber{answer: func(int) int { return http.StatusInternalServerError }}
	w.subscribe(t, s, []string{"rebuilder.rollout.started"}, nil)
	w.rollout(plan.CausePackage)
	for range 26 * 12 {
		w.look()
		w.pass(5 * time.Minute)
	}
	if n := len(s.got); n < 25 || n > 40 {
		t.Errorf("%d tries in a day", n)
	}
	for i := range s.got {
		if s.got[i] != s.got[0] || s.bodies[i] != s.bodies[0] {
			t.Fatalf("try %d differs: %s", i, s.bodies[i])
		}
	}
	parked, err := store.OutgoingEvents(t.Context(), w.st.Q(), store.OutgoingFilter{State: store.OutgoingParked})
	if err != nil || len(parked) != 1 || parked[0].Last.Error != "500 Internal Server Error" || parked[0].Tries != len(s.got) {
		t.Fatalf("%+v %v", parked, err)
	}
	s.answer = nil
	w.tx(func(ctx context.Context, q store.Querier) error {
		_, err := store.RetryOutgoing(ctx, q, "s0", "", "ada", w.now().UnixMilli())
		return err
	})
	n := len(s.got)
	w.look()
	if len(s.got) != n+1 || s.got[n] != s.got[0] {
		t.Errorf("%d tries after it was asked for", len(s.got)-n)
	}
}

// What is wrong with one event does not hold up the next; what is wrong with the subscriber does.
func TestOneBadEvent(t *testing.T) {
	for status, want := range map[int]int{http.StatusBadRequest: 5, http.StatusServiceUnavailable: 1, http.StatusGone: 5} {
		w := newWorld(t, storetest.Open(t, storetest.SQLite(t)))
		s := &subscriber{answer: func(n int) int {
			if n == 1 {
				return status
			}
			return http.StatusOK
		}}
		w.subscribe(t, s, nil, nil)
		w.rollout(plan.CausePackage)
		w.base("base/debian")
		w.look()
		if len(s.got) != want {
			t.Errorf("%d: %d requests, want %d", status, len(s.got), want)
		}
		w.pass(10 * time.Second)
		w.look()
		states, err := store.CountOutgoing(t.Context(), w.st.Q())
		if err != nil || status == http.StatusGone && states["s0"]["parked"] != 1 || status != http.StatusGone && states["s0"]["delivered"] != 5 {
			t.Errorf("%d: %v %v", status, states, err)
		}
	}
}

// Two replicas tell everything once.
func TestTwoReplicas(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		w := newWorld(t, st, slack)
		var s subscriber
		w.subscribe(t, &s, nil, nil)
		w.rollout(plan.CausePackage)
		w.base("base/debian")
		other := w.a
		w.start()
		var wg sync.WaitGroup
		for _, a := range []*announce.Announcer{w.a, other} {
			wg.Go(func() {
				for range 3 {
					if err := a.Once(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		slices.Sort(s.got)
		if n := len(s.got); n != 5 || len(slices.Compact(s.got)) != 5 {
			t.Errorf("%d events", n)
		}
		if got := w.slack.Calls(); !slices.Equal(got, []string{"chat.postMessage " + id + "/rollout", "chat.postMessage " + id + "/tier 0"}) {
			t.Errorf("%q", got)
		}
	})
}

// Nothing that goes wrong with a chat is an error of the announcer, and no secret is written down.
func TestNoSecretIsWrittenDown(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.SQLite(t)), teams)
	srv := httptest.NewServer(nil)
	srv.Close()
	w.a = announce.New(announce.Config{Store: w.st, Catalog: func() *catalog.Catalog { return w.c }, Now: w.now, Open: func(catalog.Chat) (chat.Medium, error) {
		return chat.NewTeams(func() (string, error) { return srv.URL + "/very-secret", nil }, nil), nil
	}, Secret: func(catalog.Secret) (string, error) { return "", errors.New("X is not set") }})
	w.subscribe(t, &subscriber{}, nil, nil)
	w.rollout(plan.CausePackage)
	w.look()
	outlets, err := store.Outlets(t.Context(), w.st.Q())
	if err != nil || len(outlets) != 2 || outlets[0].Error == "" || strings.Contains(outlets[0].Error, "secret") || outlets[1].Error != "its secret: X is not set" {
		t.Errorf("%+v %v", outlets, err)
	}
}
