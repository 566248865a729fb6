// Package storetest opens real, empty stores for tests: a SQLite file in the test's directory and a database of its own
// on the PostgreSQL server that PGURL names.
//
//	storetest.Both(t, func(t *testing.T, st *store.Store) { .. })
package storetest

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"rebuilder/internal/store"
)

// Both runs f on an empty store of each database. Without a PostgreSQL server the second half fails, so that nobody
// takes half a test for a whole one; with -short it is left out.
func Both(t *testing.T, f func(t *testing.T, st *store.Store)) {
	t.Helper()
	EachDSN(t, func(t *testing.T, dsn string) { f(t, Open(t, dsn)) })
}

// EachDSN runs f with the address of an empty database of each kind, for tests with several processes.
func EachDSN(t *testing.T, f func(t *testing.T, dsn string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, Postgres(t)) })
}

// Open opens a store and closes it when the test ends.
func Open(t *testing.T, dsn string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), dsn, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// SQLite returns the address of a SQLite file that does not exist yet.
func SQLite(t *testing.T) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "rebuilder.db")
}

// Postgres returns the address of an empty database, which is dropped when the test ends.
func Postgres(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("PostgreSQL is left out with -short")
	}
	server := os.Getenv("PGURL")
	if server == "" {
		t.Fatal("this half of the test needs PostgreSQL and PGURL is not set: run it as `scripts/with-postgres go test ./..`, or leave it out with -short")
	}
	name := "t_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	admin(t, t.Context(), server, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		admin(t, ctx, server, "DROP DATABASE "+name+" WITH (FORCE)")
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("PGURL: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

func admin(t *testing.T, ctx context.Context, server, statement string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("PGURL: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
