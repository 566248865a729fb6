package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rebuilder/internal/catalog"
)

func TestChatsAreOpened(t *testing.T) {
	a := &App{cfg: AppConfig{Env: func(string) string { return "" }}}
	for want, c := range map[string]catalog.Chat{
		"*chat.Slack": {Kind: catalog.Slack, Token: catalog.Secret{Env: "TOKEN"}},
		"*chat.Hook":  {Kind: catalog.Slack, URL: catalog.Secret{Env: "URL"}},
		"*chat.Mail":  {Kind: catalog.Mail},
	} {
		if m, err := a.openChat(c); err != nil || fmt.Sprintf("%T", m) != want {
			t.Errorf("%s: %T %v", c.Kind, m, err)
		}
	}
	if m, err := a.openChat(catalog.Chat{Kind: catalog.Teams}); err != nil || fmt.Sprintf("%T", m) != "*chat.Hook" {
		t.Errorf("%T %v", m, err)
	}
	if _, err := a.openChat(catalog.Chat{Kind: "irc"}); err == nil {
		t.Error("what is no kind of chat is one")
	}
}

func TestSecretsAreReadAnew(t *testing.T) {
	value := "one"
	a := &App{cfg: AppConfig{Env: func(name string) string { return map[string]string{"S": value}[name] }}}
	file := filepath.Join(t.TempDir(), "secret")
	for _, want := range []string{"one", "two"} {
		value = want
		if err := os.WriteFile(file, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, s := range []catalog.Secret{{Env: "S"}, {File: file}} {
			if got, err := a.secretOf(s); err != nil || got != want {
				t.Errorf("%+v: %q %v", s, got, err)
			}
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[catalog.Secret]string{{Env: "NONE"}: "NONE is not set", {File: file}: "is empty", {File: file + "x"}: "no such file"} {
		if _, err := a.secretOf(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
