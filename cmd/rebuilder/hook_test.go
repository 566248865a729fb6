package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rebuilder/internal/catalog"
)

func TestHookSecret(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"good": " s3cret\n", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &App{cfg: AppConfig{Env: func(name string) string { return map[string]string{"HOOK": "from the environment"}[name] }}}
	for _, c := range []struct {
		w          catalog.Webhook
		want, says string
	}{
		{catalog.Webhook{SecretEnv: "HOOK"}, "from the environment", ""},
		{catalog.Webhook{SecretEnv: "OTHER"}, "", "OTHER is not set"},
		{catalog.Webhook{SecretFile: filepath.Join(dir, "good")}, "s3cret", ""},
		{catalog.Webhook{SecretFile: filepath.Join(dir, "empty")}, "", "is empty"},
		{catalog.Webhook{SecretFile: filepath.Join(dir, "none")}, "", "no such file"},
	} {
		got, err := a.hookSecret(c.w)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %q %v", c.w, got, err)
		}
	}
}
