package chat_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"rebuilder/internal/notify/chat"
	"rebuilder/internal/notify/chat/chattest"
)

func post(key, headline string) chat.Post {
	return chat.Post{Key: key, Rollout: "r-1", Title: headline, Message: &chat.Message{Rollout: "r-1", State: "running", Headline: headline, Ask: "rebuilder rollouts r-1"}}
}

func slackAt(s *chattest.Slack, token, channel string) *chat.Slack {
	return chat.NewSlack(chat.SlackConfig{API: s.URL, Channel: channel, Token: func() (string, error) { return token, nil }})
}

func TestSlack(t *testing.T) {
	s := chattest.NewSlack(t, time.Now, nil)
	c := slackAt(s, chattest.Token, chattest.Channel)
	since := time.Now()
	id, err := c.Send(t.Context(), post("r-1/rollout", "first"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Edit(t.Context(), id, post("r-1/rollout", "second")); err != nil {
		t.Fatal(err)
	}
	for i := range 5 { // more than a page
		note := post("r-1/tier "+string(rune('0'+i)), "x")
		note.Thread, note.Note, note.Announce = id, &chat.Note{Headline: "in its thread"}, i == 4
		if _, err := c.Send(t.Context(), note); err != nil {
			t.Fatal(err)
		}
	}
	all := s.Messages()
	if len(all) != 6 || all[0].Edits != 1 || !strings.Contains(all[0].Text, "second") || all[1].Thread != id || all[1].Broadcast || !all[5].Broadcast {
		t.Errorf("%+v", all)
	}
	for key, want := range map[string]bool{"r-1/tier 0": true, "r-1/tier 4": true, "r-1/tier 9": false} {
		p := post(key, "")
		p.Thread = id
		if got, found, err := c.Find(t.Context(), p, since); err != nil || found != want || found == (got == "") {
			t.Errorf("%s: %q %v %v", key, got, found, err)
		}
	}
	if got, found, err := c.Find(t.Context(), post("r-1/rollout", ""), since); err != nil || !found || got != id {
		t.Errorf("%q %v %v", got, found, err)
	}
	s.Delete(id)
	var e *chat.Error
	if err := c.Edit(t.Context(), id, post("r-1/rollout", "third")); !errors.As(err, &e) || !e.Gone {
		t.Errorf("a deleted message: %v", err)
	}
}

func TestSlackSaysNo(t *testing.T) {
	for _, c := range []struct {
		name, token, channel string
		fault                chattest.Fault
		text                 string
		after                time.Duration
	}{
		{"a wrong token", "xoxb-other-secret", chattest.Channel, chattest.Fault{}, "Slack says invalid_auth: the token is none", 0},
		{"no such channel", chattest.Token, "general", chattest.Fault{}, "Slack says channel_not_found: the catalog's channel must be its id", 0},
		{"too fast", chattest.Token, chattest.Channel, chattest.Fault{Status: 429, RetryAfter: 30}, "Slack asks for patience", 30 * time.Second},
		{"too fast, for ever", chattest.Token, chattest.Channel, chattest.Fault{Status: 429, RetryAfter: 1 << 30}, "Slack asks for patience", time.Hour},
		{"down", chattest.Token, chattest.Channel, chattest.Fault{Status: 503}, "503 Service Unavailable", 0},
		{"a redirect", chattest.Token, chattest.Channel, chattest.Fault{Status: 302}, "302 Found: it answers with a redirect", 0},
		{"cut off", chattest.Token, chattest.Channel, chattest.Fault{Cut: true}, "EOF", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := chattest.NewSlack(t, time.Now, func(string, int) chattest.Fault { return c.fault })
			_, err := slackAt(s, c.token, c.channel).Send(t.Context(), post("r-1/rollout", "x"))
			var e *chat.Error
			if !errors.As(err, &e) || !strings.Contains(e.Text, c.text) || e.After != c.after {
				t.Errorf("%#v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "other-secret") || strings.Contains(err.Error(), s.URL)) {
				t.Errorf("a secret or an address is in %v", err)
			}
		})
	}
}

// The address of a webhook is a secret: no error repeats it.
func TestHooks(t *testing.T) {
	answers := map[string]func(http.ResponseWriter, *http.Request){
		"taken":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) },
		"refused": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no_service", http.StatusNotFound) },
		"patience": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"away": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example.com/", http.StatusTemporaryRedirect)
		},
		"cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.Copy(w, bytes.NewReader(make([]byte, 8<<20)))
		},
	}
	wants := map[string]string{"taken": "", "refused": "404 Not Found: no_service", "patience": "429 Too Many Requests", "away": "307 Temporary Redirect: it answers with a redirect, which is not followed", "cut": "EOF", "endless": "400 Bad Request"}
	for name, h := range answers {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(h))
			defer srv.Close()
			address := func() (string, error) { return srv.URL + "/workflows/very-secret", nil }
			for _, m := range []*chat.Hook{chat.NewTeams(address, nil), chat.NewSlackHook(address, nil)} {
				id, err := m.Send(t.Context(), post("r-1/start", "x"))
				if wants[name] == "" {
					if err != nil || id != "" {
						t.Errorf("%q %v", id, err)
					}
					continue
				}
				var e *chat.Error
				if !errors.As(err, &e) || e.Text != wants[name] || name == "patience" && e.After != 7*time.Second {
					t.Errorf("%#v", err)
				}
			}
		})
	}
	bad := func() (string, error) { return "http://very secret/\x00", nil }
	if _, err := chat.NewTeams(bad, nil).Send(t.Context(), post("r-1/start", "x")); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	srv := httptest.NewServer(nil)
	gone := srv.URL
	srv.Close()
	if _, err := chat.NewTeams(func() (string, error) { return gone + "/very-secret", nil }, nil).Send(t.Context(), post("r-1/start", "x")); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

// mailbox is a mail server that keeps what it gets.
type mailbox struct {
	mu    sync.Mutex
	users []string
	mails []letter
	deny  *smtp.SMTPError
}

type letter struct {
	from string
	to   []string
	raw  []byte
}

func (b *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{box: b}, nil }

type session struct {
	box *mailbox
	letter
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "rebuilder" || password != "s3cret" {
			return smtp.ErrAuthFailed
		}
		s.box.mu.Lock()
		defer s.box.mu.Unlock()
		s.box.users = append(s.box.users, user)
		return nil
	}), nil
}
func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if d := s.box.deny; d != nil {
		return d
	}
	s.to = append(s.to, to)
	return nil
}
func (s *session) Data(r io.Reader) error {
	var err error
	if s.raw, err = io.ReadAll(r); err != nil {
		return err
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.mails = append(s.box.mails, s.letter)
	return nil
}
func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// mailServer is a real one, with a certificate of its own.
func mailServer(t *testing.T, b *mailbox, implicit bool) (address string, trust *tls.Config) {
	t.Helper()
	certs := httptest.NewTLSServer(nil) // for its certificate
	certs.Close()
	trust = certs.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.ServerName = "example.com"
	conf := &tls.Config{Certificates: certs.TLS.Certificates}
	srv := smtp.NewServer(b)
	srv.Domain, srv.TLSConfig, srv.ErrorLog = "mail.example.com", conf, discard{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if implicit {
		l = tls.NewListener(l, conf)
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return address, trust
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

func TestMail(t *testing.T) {
	for _, protection := range []string{"starttls", "implicit"} {
		t.Run(protection, func(t *testing.T) {
			b := &mailbox{}
			address, trust := mailServer(t, b, protection == "implicit")
			m := chat.NewMail(chat.MailConfig{Server: address, Protection: protection, User: "rebuilder", Password: func() (string, error) { return "s3cret", nil },
				From: "rebuilder@example.com", To: []string{"a@example.com", "b@example.com"}, TLS: trust})
			for _, part := range []string{"needs 1", "end"} {
				if _, err := m.Send(t.Context(), post("r-1/"+part, "a headline → ünïcode\r\nBcc: x@example.com")); err != nil {
					t.Fatal(err)
				}
			}
			if len(b.mails) != 2 || len(b.users) != 2 || b.mails[0].from != "rebuilder@example.com" || len(b.mails[0].to) != 2 {
				t.Fatalf("%+v", b)
			}
			first, err := mail.ReadMessage(bytes.NewReader(b.mails[0].raw))
			if err != nil {
				t.Fatal(err)
			}
			second, err := mail.ReadMessage(bytes.NewReader(b.mails[1].raw))
			if err != nil {
				t.Fatal(err)
			}
			if id := first.Header.Get("Message-Id"); id != "<r-1.needs.1.rebuilder@example.com>" || id == second.Header.Get("Message-Id") {
				t.Errorf("Message-ID %s", id)
			}
			if a, b := first.Header.Get("References"), second.Header.Get("References"); a != b || a != "<r-1.rebuilder@example.com>" {
				t.Errorf("threads %q and %q", a, b)
			}
			if first.Header.Get("Bcc") != "" || first.Header.Get("Auto-Submitted") != "auto-generated" || !strings.HasPrefix(first.Header.Get("Content-Type"), "multipart/alternative") {
				t.Errorf("%v", first.Header)
			}
		})
	}
}

func TestMailServerSaysNo(t *testing.T) {
	good := func() (string, error) { return "s3cret", nil }
	for name, c := range map[string]struct {
		change func(*chat.MailConfig, *mailbox)
		want   string
	}{
		"a wrong password": {func(c *chat.MailConfig, _ *mailbox) { c.Password = func() (string, error) { return "hunter22", nil } }, "535"},
		"no password": {func(c *chat.MailConfig, _ *mailbox) {
			c.Password = func() (string, error) { return "", errors.New("MAIL_PASSWORD is not set") }
		}, "MAIL_PASSWORD is not set"},
		"not our server": {func(c *chat.MailConfig, _ *mailbox) { c.TLS = nil }, "certificate"},
		"refused":        {func(_ *chat.MailConfig, b *mailbox) { b.deny = &smtp.SMTPError{Code: 550, Message: "no such user"} }, "550"},
		"away":           {func(c *chat.MailConfig, _ *mailbox) { c.Server = "127.0.0.1:1" }, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &mailbox{}
			address, trust := mailServer(t, b, false)
			cfg := chat.MailConfig{Server: address, Protection: "starttls", User: "rebuilder", Password: good, From: "rebuilder@example.com", To: []string{"a@example.com"}, TLS: trust}
			c.change(&cfg, b)
			_, err := chat.NewMail(cfg).Send(t.Context(), post("r-1/end", "x"))
			var e *chat.Error
			if !errors.As(err, &e) || !strings.Contains(e.Text, c.want) || strings.Contains(e.Text, "hunter22") {
				t.Errorf("%v", err)
			}
			if len(b.mails) > 0 {
				t.Error("it was sent all the same")
			}
		})
	}
}

// Without TLS at the server nothing is sent: protection is insisted on.
func TestMailInsistsOnTLS(t *testing.T) {
	b := &mailbox{}
	srv := smtp.NewServer(b)
	srv.ErrorLog, srv.AllowInsecureAuth = discard{}, true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	cfg := chat.MailConfig{Server: l.Addr().String(), Protection: "starttls", From: "rebuilder@example.com", To: []string{"a@example.com"}}
	if _, err := chat.NewMail(cfg).Send(t.Context(), post("r-1/end", "x")); err == nil || len(b.mails) > 0 {
		t.Errorf("%v, %d mails", err, len(b.mails))
	}
	cfg.Protection = "none"
	if _, err := chat.NewMail(cfg).Send(t.Context(), post("r-1/end", "x")); err != nil || len(b.mails) != 1 {
		t.Errorf("%v, %d mails", err, len(b.mails))
	}
}
