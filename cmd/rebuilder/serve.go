package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
)

// newServe is the daemon's verb.
func newServe() *cobra.Command {
	var cfg AppConfig
	var level string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon: watch, plan, rebuild, promote, tell, follow",
		Long: `Run the daemon. It watches what the images of the catalog stand on, and when something is newer it rebuilds,
promotes and tells the applications, in order. It needs a registry to push to; BuildKit it runs itself (needs root and
runc) unless the catalog names one.

Secrets come from the environment or from files that the catalog names, never from the catalog:
  REBUILDER_FORGE_TOKEN   token for the forge ([forge] token_env and token_file say otherwise)
  REBUILDER_API_TOKEN     asked of everybody who makes or applies plans; without one only this machine may`,
		Example: "  rebuilder serve --catalog catalog.toml --state /var/lib/rebuilder",
		Args:    wants(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLog(cmd.ErrOrStderr(), level, asJSON)
			if err != nil {
				return usage(cmd, err)
			}
			cfg.Log = log
			return serve(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Catalog, "catalog", "catalog.toml", "the catalog")
	f.StringVar(&cfg.State, "state", "state", "directory for everything that the daemon keeps")
	f.StringVar(&cfg.Database, "database", os.Getenv("REBUILDER_DATABASE"), "PostgreSQL URL; without one SQLite in the state directory (env REBUILDER_DATABASE)")
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:5540", "host:port of the API and the status page")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&asJSON, "log-json", false, "log as JSON")
	f.Lookup("database").DefValue = ""
	return cmd
}

func serve(ctx context.Context, cfg AppConfig) error {
	app, err := NewApp(ctx, cfg)
	if err != nil {
		return err
	}
	defer app.Close()
	return app.Run(ctx)
}

func newLog(w io.Writer, level string, asJSON bool) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, errors.New("--log-level: want debug, info, warn or error")
	}
	o := &slog.HandlerOptions{Level: l}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}
