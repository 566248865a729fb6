package main

import "rebuilder/internal/catalog"

// hookSecret reads the secret of a webhook anew each time, so that it can be changed without a restart.
func (a *App) hookSecret(w catalog.Webhook) (string, error) {
	return a.secretOf(catalog.Secret{Env: w.SecretEnv, File: w.SecretFile})
}
