package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"rebuilder/internal/catalog"
)

// hookSecret reads the secret of a webhook anew each time, so that it can be changed without a restart.
func (a *App) hookSecret(w catalog.Webhook) (string, error) {
	if w.SecretFile == "" {
		if v := a.cfg.Env(w.SecretEnv); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("%s is not set", w.SecretEnv)
	}
	f, err := os.Open(w.SecretFile)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", fmt.Errorf("%s is empty", w.SecretFile)
	}
	return secret, nil
}
