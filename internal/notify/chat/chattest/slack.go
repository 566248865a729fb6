// Package chattest has a stand-in for Slack, for tests: a channel with its messages and threads, and every call that was made.
package chattest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Token and Channel are what the stand-in knows.
const (
	Token   = "xoxb-stand-in"
	Channel = "C0123456789"
)

// Message is what somebody would read in the channel.
type Message struct {
	ID, Thread string
	Key        string // of its metadata
	Text       string
	Broadcast  bool
	Edits      int
}

// Slack is the stand-in.
type Slack struct {
	URL string // of its API

	mu       sync.Mutex
	messages []Message
	calls    []string
	fault    func(method string, n int) Fault
	n        map[string]int
	now      func() time.Time
}

// Fault is what goes wrong with a call. Its zero value is nothing.
type Fault struct {
	Status     int    // of HTTP, in the place of an answer
	RetryAfter int    // seconds
	Code       string // an error as Slack says it
	Cut        bool   // the connection is cut: after the effect, unless Before
	Before     bool
}

// NewSlack starts a stand-in that ends with the test. fault may be nil; it is asked before each call, with how often that
// method was called before.
func NewSlack(t testing.TB, now func() time.Time, fault func(method string, n int) Fault) *Slack {
	t.Helper()
	s := &Slack{fault: fault, n: map[string]int{}, now: now}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.URL = srv.URL + "/api/"
	return s
}

// Messages are all that are there, in the order in which they were posted.
func (s *Slack) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Calls are all that were made: "chat.postMessage r-1/rollout".
func (s *Slack) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

// Delete removes a message, as a person does.
func (s *Slack) Delete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range s.messages {
		if m.ID == id {
			s.messages = append(s.messages[:i], s.messages[i+1:]...)
			return
		}
	}
}

// ServeHTTP answers the calls of the API that a bot of ours makes.
func (s *Slack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	key := keyOf(r.PostForm)
	s.calls = append(s.calls, strings.TrimSpace(method+" "+key))
	var f Fault
	if s.fault != nil {
		f = s.fault(method, s.n[method])
	}
	s.n[method]++
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	switch {
	case f.Status > 0:
		http.Error(w, "<html>not now</html>", f.Status)
		return
	case f.Before:
		panic(http.ErrAbortHandler)
	}
	answer := s.answer(method, r.PostForm, key, f)
	if f.Cut {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func keyOf(v url.Values) string {
	var m struct {
		EventPayload struct {
			Key string `json:"key"`
		} `json:"event_payload"`
	}
	_ = json.Unmarshal([]byte(v.Get("metadata")), &m)
	return m.EventPayload.Key
}

func (s *Slack) answer(method string, v url.Values, key string, f Fault) map[string]any {
	refuse := func(code string) map[string]any { return map[string]any{"ok": false, "error": code} }
	switch {
	case f.Code != "":
		return refuse(f.Code)
	case v.Get("token") != Token:
		return refuse("invalid_auth")
	case v.Get("channel") != Channel:
		return refuse("channel_not_found")
	}
	switch method {
	case "chat.postMessage":
		m := Message{ID: fmt.Sprintf("%d.%06d", s.now().Unix(), len(s.calls)), Thread: v.Get("thread_ts"), Key: key, Text: v.Get("text"), Broadcast: v.Get("reply_broadcast") == "true"}
		if m.Thread != "" && s.find(m.Thread) == nil {
			return refuse("thread_not_found")
		}
		s.messages = append(s.messages, m)
		return map[string]any{"ok": true, "channel": Channel, "ts": m.ID}
	case "chat.update":
		m := s.find(v.Get("ts"))
		if m == nil {
			return refuse("message_not_found")
		}
		m.Text = v.Get("text")
		m.Edits++
		return map[string]any{"ok": true, "channel": Channel, "ts": m.ID}
	case "conversations.history", "conversations.replies":
		return s.list(v.Get("ts"), v.Get("include_all_metadata") == "1", v.Get("cursor"))
	}
	return refuse("unknown_method")
}

const perPage = 3

// list is the channel, or a thread, newest first, page by page.
func (s *Slack) list(thread string, metadata bool, cursor string) map[string]any {
	all := []any{}
	for i := len(s.messages) - 1; i >= 0; i-- {
		m := s.messages[i]
		if m.Thread != thread && m.ID != thread || thread == "" && m.Thread != "" {
			continue
		}
		one := map[string]any{"type": "message", "ts": m.ID, "text": m.Text}
		if metadata {
			one["metadata"] = map[string]any{"event_type": "rebuilder_message", "event_payload": map[string]any{"key": m.Key}}
		}
		all = append(all, one)
	}
	from, _ := strconv.Atoi(cursor)
	to, next := len(all), ""
	if from+perPage < len(all) {
		to = from + perPage
		next = strconv.Itoa(to)
	}
	return map[string]any{"ok": true, "messages": all[min(from, len(all)):to], "has_more": next != "", "response_metadata": map[string]any{"next_cursor": next}}
}

func (s *Slack) find(id string) *Message {
	for i := range s.messages {
		if s.messages[i].ID == id {
			return &s.messages[i]
		}
	}
	return nil
}
