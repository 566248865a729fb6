package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"rebuilder/internal/announce"
	"rebuilder/internal/catalog"
	"rebuilder/internal/notify/chat"
)

// announcing makes what tells people and programs.
func (a *App) announcing() *announce.Announcer {
	return announce.New(announce.Config{Store: a.store, Catalog: a.loop.Catalog, Open: a.openChat, Secret: a.secretOf, Log: a.cfg.Log})
}

// openChat opens a chat of the catalog. Its secrets are read when they are needed.
func (a *App) openChat(c catalog.Chat) (chat.Medium, error) {
	value := func(s catalog.Secret) func() (string, error) {
		return func() (string, error) { return a.secretOf(s) }
	}
	switch {
	case c.Kind == catalog.Slack && c.Token.Given():
		return chat.NewSlack(chat.SlackConfig{API: c.API, Channel: c.Channel, Token: value(c.Token)}), nil
	case c.Kind == catalog.Slack:
		return chat.NewSlackHook(value(c.URL), nil), nil
	case c.Kind == catalog.Teams:
		return chat.NewTeams(value(c.URL), nil), nil
	case c.Kind == catalog.Mail:
		return chat.NewMail(chat.MailConfig{Server: c.Server, Protection: c.TLS, User: c.User, Password: value(c.Password), From: c.From, To: c.To}), nil
	}
	return nil, fmt.Errorf("%q is no kind of chat", c.Kind)
}

// secretOf reads a secret anew each time, so that it can be changed without a restart.
func (a *App) secretOf(s catalog.Secret) (string, error) {
	if s.File == "" {
		if v := strings.TrimSpace(a.cfg.Env(s.Env)); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("%s is not set", s.Env)
	}
	f, err := os.Open(s.File)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", err
	}
	v := strings.TrimSpace(string(b))
	if v == "" {
		return "", fmt.Errorf("%s is empty", s.File)
	}
	return v, nil
}
