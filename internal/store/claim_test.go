package store_test

import (
	"strings"
	"testing"
	"time"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// A claim is lost with its connection: whoever is first has it then, and the loser is told.
func TestClaimOutlivesItsConnection(t *testing.T) {
	dsn := storetest.Postgres(t)
	a, b := storetest.Open(t, dsn), storetest.Open(t, dsn)
	cut := func() {
		t.Helper()
		if n := count(t, a.Q(), `SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_database ON pg_database.oid = database
			WHERE locktype='advisory' AND datname=current_database()`); n != 1 {
			t.Fatalf("%d connections hold a claim", n)
		}
	}
	// The server notices the end of a connection a moment later, and the guard asks again at each heartbeat.
	keep := func(c *store.Claim) (err error) {
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if err = c.Keep(t.Context()); err == nil {
				break
			}
		}
		return err
	}
	first, err := a.Claim(t.Context(), "replica x")
	if err != nil {
		t.Fatal(err)
	}
	cut()
	if err := keep(first); err != nil {
		t.Errorf("nobody else wanted it: %v", err)
	}
	cut()
	second, err := b.Claim(t.Context(), "replica x")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Keep(t.Context()); err == nil || !strings.Contains(err.Error(), "replica x on this database: a living process has it") {
		t.Errorf("two have it: %v", err)
	}
	second.Release()
	if err := keep(first); err != nil {
		t.Errorf("it was free again: %v", err)
	}
	first.Release()
	first.Release()
	third, err := b.Claim(t.Context(), "replica x")
	if err != nil {
		t.Fatal(err)
	}
	defer third.Release()
	if err := first.Keep(t.Context()); err != nil {
		t.Errorf("released, and taken again: %v", err)
	}
}

func TestClaimOnAFileIsGranted(t *testing.T) {
	st := storetest.Open(t, storetest.SQLite(t))
	c, err := st.Claim(t.Context(), "replica x")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Keep(t.Context()); err != nil {
		t.Error(err)
	}
	c.Release()
}
