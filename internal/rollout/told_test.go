package rollout_test

import (
	"encoding/json"
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
	"rebuilder/internal/store"
)

// TestWhoIsTold carries a fix out, and counts every call to a chat and every event of an image.
func TestWhoIsTold(t *testing.T) {
	t.Parallel()
	l := applied(t)
	ahead := time.Duration(0) // of the clock of those who tell
	now := func() time.Time { return time.Now().Add(ahead) }
	slack := chattest.NewSlack(t, now, nil)
	var mu sync.Mutex
	var states []string // of base/debian
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var e struct {
			Type string
			Data events.Data
		}
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		states = append(states, strings.TrimPrefix(e.Type, "rebuilder.")+" "+e.Data.State)
	}))
	t.Cleanup(hook.Close)
	c := &catalog.Catalog{
		Chats:       []catalog.Chat{{Name: "platform", Kind: catalog.Slack}},
		Subscribers: []catalog.Subscriber{{Name: "all", URL: hook.URL, Images: []string{"base/debian", l.host + "/base/debian:stable"}}},
	}
	a := announce.New(announce.Config{Store: l.store, Catalog: func() *catalog.Catalog { return c }, Now: now, Pace: time.Nanosecond, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Secret: func(catalog.Secret) (string, error) { return "0123456789abcdef", nil },
		Open: func(catalog.Chat) (chat.Medium, error) {
			return chat.NewSlack(chat.SlackConfig{API: slack.URL, Channel: chattest.Channel, Token: func() (string, error) { return chattest.Token, nil }}), nil
		}})
	look := func() {
		t.Helper()
		for range 3 {
			if err := a.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			ahead += 11 * time.Second
		}
	}
	if err := a.Once(t.Context()); err != nil { // what was before is not told
		t.Fatal(err)
	}
	mu.Lock()
	states = nil // but the audit log of the lab's first days
	mu.Unlock()

	l.publish("1.1")
	l.until(func() bool {
		ro, nodes := l.last()
		return strings.Contains(ro.Title, "1.1") && nodes["web"].State == store.Telling && nodes["web"].Detail.Key != "" && nodes["batch"].Detail.Key != ""
	})
	look()
	l.settle()
	look()
	ro, _ := l.last()
	want := []string{"chat.postMessage /rollout", "chat.postMessage /tier 0", "chat.postMessage /tier 1", "chat.update /rollout", "chat.postMessage /end"}
	var got []string
	for _, call := range slack.Calls() {
		got = append(got, strings.Replace(call, ro.ID, "", 1))
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	all := slack.Messages()
	if last := all[0].Text; !strings.HasPrefix(last, "✓ libfoo 1.0 -&gt; 1.1 in base/debian → 4 images\nrollout "+ro.ID+" · done · started ") ||
		!strings.Contains(last, "bases, tier 1: ✓ 1 of 1 · bases, tier 2: ✓ 1 of 1 · applications told: ✓ 2 of 2 · on their new base: ✓ 2 of 2\nof 4 images 4 done; took ") {
		t.Errorf("the message is in the end\n%s", last)
	}
	mu.Lock()
	defer mu.Unlock()
	wantStates := []string{"rollout.started running", "node.changed building", "node.changed scanning", "node.changed testing", "node.changed promoting", "promoted ", "node.changed done", "rollout.done done"}
	if got := slices.Compact(states); !slices.Equal(got, wantStates) {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wantStates, "\n"))
	}
}
