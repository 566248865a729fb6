package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func exec(t *testing.T, q store.Querier, query string, args ...any) {
	t.Helper()
	if _, err := q.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t *testing.T, q store.Querier, query string, args ...any) (n int) {
	t.Helper()
	if err := q.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestSchemaRefuses(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		q := st.Q()
		exec(t, q, `INSERT INTO rollout(id, state) VALUES('r1', 'running')`)
		exec(t, q, `INSERT INTO rollout_node(rollout, image, state, waiting) VALUES('r1', 'base/debian', 'not-taken', 0)`)
		for name, bad := range map[string]string{
			"a rollout's unknown state":    `INSERT INTO rollout(id, state) VALUES('r2', 'going')`,
			"a node's unknown state":       `INSERT INTO rollout_node(rollout, image, state) VALUES('r1', 'a', 'nearly')`,
			"a node of no rollout":         `INSERT INTO rollout_node(rollout, image, state) VALUES('r9', 'a', 'waiting')`,
			"an edge of no rollout":        `INSERT INTO rollout_edge(rollout, parent, child) VALUES('r9', 'a', 'b')`,
			"an edge to itself":            `INSERT INTO rollout_edge(rollout, parent, child) VALUES('r1', 'a', 'a')`,
			"waiting for less than nobody": `UPDATE rollout_node SET waiting=waiting-1`,
			"a build's unknown state":      `INSERT INTO build(id, image, state) VALUES('b', 'a', 'ok')`,
			"an attempt's unknown outcome": `INSERT INTO attempt(key, image, outcome) VALUES('k', 'a', 'ok')`,
			"a proposal's unknown state":   `INSERT INTO proposal(key, application, state) VALUES('k', 'a', 'ok')`,
			"an actor that is no kind":     `INSERT INTO audit(id, at, actor, kind, action) VALUES('1', 1, 'x', 'cat', 'y')`,
			"a missing key":                `INSERT INTO effect(key) VALUES(NULL)`,
		} {
			if _, err := q.Exec(t.Context(), bad); err == nil {
				t.Errorf("%s was stored", name)
			}
		}
		exec(t, q, `DELETE FROM rollout`)
		if n := count(t, q, `SELECT count(*) FROM rollout_node`); n != 0 {
			t.Errorf("%d nodes outlived their rollout", n)
		}
	})
}

func TestQuerierIsTheSameOnBoth(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		q := st.Q()
		var s string
		if err := q.QueryRow(t.Context(), `SELECT id FROM plan WHERE id=$1`, "none").Scan(&s); !errors.Is(err, store.ErrNoRows) {
			t.Errorf("no row: got %v, want ErrNoRows", err)
		}
		exec(t, q, `INSERT INTO plan(id, body, created_at) VALUES($2, $1, $3)`, "body", "p1", int64(1)<<40)
		var at int64
		if err := q.QueryRow(t.Context(), `SELECT body, created_at FROM plan WHERE id=$1`, "p1").Scan(&s, &at); err != nil || s != "body" || at != 1<<40 {
			t.Errorf("got %q %d %v: parameters go by number and times have 64 bits", s, at, err)
		}
		res, err := q.Exec(t.Context(), `UPDATE plan SET body=$1`, "cut in the middle of \xe2\x82 and NUL \x00")
		if err != nil {
			t.Fatalf("text that is no text: %v", err)
		}
		if n, err := res.RowsAffected(); n != 1 || err != nil {
			t.Errorf("rows affected: %d %v", n, err)
		}
		all, err := store.Collect(t.Context(), q, func(row interface{ Scan(...any) error }) (s string, err error) {
			return s, row.Scan(&s)
		}, `SELECT body FROM plan`)
		if err != nil || len(all) != 1 || all[0] != "cut in the middle of \uFFFD and NUL \uFFFD" {
			t.Errorf("got %q %v", all, err)
		}
	})
}

func TestTx(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		insert := func(ctx context.Context, q store.Querier) error {
			_, err := q.Exec(ctx, `INSERT INTO watcher(name) VALUES('w')`)
			return err
		}
		no := errors.New("no")
		err := st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			return errors.Join(insert(ctx, q), no)
		})
		if !errors.Is(err, no) {
			t.Errorf("got %v, want the function's error", err)
		}
		if n := count(t, st.Q(), `SELECT count(*) FROM watcher`); n != 0 {
			t.Error("what failed was kept")
		}
		if err := st.Tx(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
		if n := count(t, st.Q(), `SELECT count(*) FROM watcher`); n != 1 {
			t.Error("what succeeded was not kept")
		}
	})
}

// Two transactions that take the same two rows in opposite order: PostgreSQL ends one of them, Tx runs it again.
func TestTxRunsTheLoserAgain(t *testing.T) {
	st := storetest.Open(t, storetest.Postgres(t))
	exec(t, st.Q(), `INSERT INTO watcher(name) VALUES('a'), ('b')`)
	var met sync.WaitGroup
	met.Add(2)
	var runs atomic.Int32
	move := func(first, second string) error {
		meet := sync.OnceFunc(func() { met.Done(); met.Wait() })
		return st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			runs.Add(1)
			if _, err := q.Exec(ctx, `UPDATE watcher SET last_run=last_run+1 WHERE name=$1`, first); err != nil {
				return err
			}
			meet()
			_, err := q.Exec(ctx, `UPDATE watcher SET last_run=last_run+1 WHERE name=$1`, second)
			return err
		})
	}
	ended := make(chan error)
	go func() { ended <- move("a", "b") }()
	go func() { ended <- move("b", "a") }()
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Fatal(err)
	}
	if runs.Load() < 3 {
		t.Error("there was no deadlock: the test shows nothing")
	}
	if n := count(t, st.Q(), `SELECT count(*) FROM watcher WHERE last_run=2`); n != 2 {
		t.Error("a repeated transaction was lost or counted twice")
	}
}

// Writers that read first would fail with "database is locked" at once, were their transactions not immediate.
func TestWritersWaitForEachOther(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		const writers, each = 8, 10
		exec(t, st.Q(), `INSERT INTO replica(id, seen_at) VALUES('n', 0)`)
		var runs atomic.Int32
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					err := st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
						runs.Add(1)
						var n int
						if err := q.QueryRow(ctx, `SELECT count(*) FROM replica`).Scan(&n); err != nil {
							return err
						}
						_, err := q.Exec(ctx, `UPDATE replica SET seen_at=seen_at+1`)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := count(t, st.Q(), `SELECT seen_at FROM replica`); n != writers*each {
			t.Errorf("%d of %d writes are there", n, writers*each)
		}
		if n := runs.Load(); n != writers*each {
			t.Errorf("%d transactions were run again instead of waiting", n-writers*each)
		}
	})
}

func TestReopenKeepsWhatIsThere(t *testing.T) {
	storetest.EachDSN(t, func(t *testing.T, dsn string) {
		st := storetest.Open(t, dsn)
		exec(t, st.Q(), `INSERT INTO watcher(name) VALUES('w')`)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if n := count(t, storetest.Open(t, dsn).Q(), `SELECT count(*) FROM watcher`); n != 1 {
			t.Error("the row is gone")
		}
	})
}

func TestNewerSchemaIsRefused(t *testing.T) {
	storetest.EachDSN(t, func(t *testing.T, dsn string) {
		st := storetest.Open(t, dsn)
		exec(t, st.Q(), `INSERT INTO schema_version(version_id, is_applied) VALUES(9999, $1)`, true)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := store.Open(t.Context(), dsn, nil)
		if err == nil || !strings.Contains(err.Error(), "database is at schema 9999") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSQLiteFileHasOneOwner(t *testing.T) {
	dsn := storetest.SQLite(t)
	first := storetest.Open(t, dsn)
	_, err := store.Open(t.Context(), dsn, nil)
	if err == nil {
		t.Fatal("a second owner was let in")
	}
	for _, want := range []string{"rebuilder.db is in use by another rebuilder", fmt.Sprintf("process %d", os.Getpid()), "postgres://"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Open(t, dsn)
}

func TestSQLiteSettings(t *testing.T) {
	// A path that would be cut off, or read as something else, if it were put into the address as it is.
	dir := filepath.Join(t.TempDir(), "100% new?#")
	st := storetest.Open(t, "sqlite:"+filepath.Join(dir, "r.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		if err := st.Q().QueryRow(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", pragma, got, want, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "r.db"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v: others can read it", info.Mode())
	}
}

func TestOpenErrors(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                             "want \"sqlite:/path",
		"mysql://root:secret@db/x":     "not a \"mysql\" address",
		"sqlite:":                      "needs the path of a file",
		"sqlite::memory:":              "needs the path of a file",
		"sqlite:/proc/no/rebuilder.db": "/proc/no",
		"postgres://u:secret@127.0.0.1:1/x?connect_timeout=1": "database x at 127.0.0.1",
		"postgres://u:secret@127.0.0.1:port/x":                "database",
	} {
		_, err := store.Open(t.Context(), dsn, nil)
		switch {
		case err == nil:
			t.Errorf("%q was opened", dsn)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%q: %v, want %q", dsn, err, want)
		case strings.Contains(err.Error(), "secret"):
			t.Errorf("%q: the error holds the password: %v", dsn, err)
		}
	}
}

func TestGuardIsForOneAtATime(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ran, err := st.Guard(t.Context(), func(ctx context.Context) error {
			ran, err := st.Guard(ctx, func(context.Context) error { return errors.New("two at a time") })
			if ran {
				t.Error("a second one ran")
			}
			return err
		})
		if !ran || err != nil {
			t.Fatalf("ran %v: %v", ran, err)
		}
		if ran, err := st.Guard(t.Context(), func(context.Context) error { return nil }); !ran || err != nil {
			t.Errorf("afterwards: ran %v: %v", ran, err)
		}
	})
}

// A caller that gave up while it held the lock must not leave it behind on a pooled connection.
func TestStartupLockIsGivenBack(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		_ = st.Startup(ctx, func(context.Context) error { cancel(); return ctx.Err() })
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := st.Startup(ctx, func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

func TestReplicasOpenAnEmptyDatabaseTogether(t *testing.T) {
	dsn := storetest.Postgres(t)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { storetest.Open(t, dsn) })
	}
	wg.Wait()
}

func TestClock(t *testing.T) {
	st := storetest.Open(t, storetest.SQLite(t)).WithClock(func() time.Time { return time.Unix(7, 5e6) })
	if st.Now() != 7005 {
		t.Errorf("got %d", st.Now())
	}
}
