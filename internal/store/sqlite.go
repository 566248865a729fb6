package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqlite is one file, held by this process alone.
type sqlite struct {
	sqlQuerier
	pool *sql.DB
	lock *os.File
	mu   sync.Mutex // of exclusive
}

func openSQLite(ctx context.Context, path string) (*sqlite, error) {
	path, err := sqlitePath(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	db, err := openFile(ctx, path)
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	return &sqlite{sqlQuerier: sqlQuerier{db}, pool: db, lock: lock}, nil
}

func sqlitePath(path string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "//"); ok { // sqlite:///path, as other tools write it
		path = rest
	}
	if path == "" || strings.HasPrefix(path, ":memory:") {
		return "", errors.New(`database: "sqlite:" needs the path of a file, such as sqlite:/var/lib/rebuilder/rebuilder.db`)
	}
	return filepath.Abs(path)
}

func openFile(ctx context.Context, path string) (*sql.DB, error) {
	// Made here for its mode: the file may hold logs and names that are nobody else's. SQLite gives -wal and -shm the same.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	settings := url.Values{
		// Every transaction takes the write lock at its begin: one that reads first and writes later cannot wait for it.
		"_txlock": {"immediate"},
		// FULL survives power loss; measured, it costs half the steps a second and leaves 700, where we need 10.
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)"},
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+settings.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// lockFile takes path.lock for the life of this process; the kernel gives it back whatever the process dies of. The
// database file itself cannot carry the lock: SQLite's own locks would be lost when we close a descriptor of it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		return nil, fmt.Errorf("database %s is in use by another rebuilder%s: stop that one first, or give the database as postgres:// to run several", path, holder(f))
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0) // for holder's sentence only
	}
	return f, nil
}

func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 20))
	pid, perr := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || perr != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

func (*sqlite) dialect() Dialect { return SQLite }

func (s *sqlite) tx(ctx context.Context, fn func(Querier) error) error {
	tx, err := s.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // a no-op after Commit
	if err := fn(sqlQuerier{tx}); err != nil {
		return err
	}
	return tx.Commit()
}

func (*sqlite) conflict(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// exclusive needs a mutex only: the file is ours.
func (s *sqlite) exclusive(ctx context.Context, _ int64, wait bool, _ *slog.Logger, fn func(context.Context) error) (bool, error) {
	if wait {
		s.mu.Lock()
	} else if !s.mu.TryLock() {
		return false, nil
	}
	defer s.mu.Unlock()
	return true, fn(ctx)
}

// claim is granted: the file is ours, and so is every name in it.
func (*sqlite) claim(context.Context, string) (*Claim, error) { return &Claim{}, nil }

func (s *sqlite) migrator(files fs.FS, options ...goose.ProviderOption) (*goose.Provider, error) {
	return goose.NewProvider(goose.DialectSQLite3, s.pool, files, options...)
}

func (s *sqlite) close() error {
	err := s.pool.Close()
	// A child process that was forked this moment has the descriptor, too, until it becomes another program: closing ours
	// would leave the lock taken for that long.
	_ = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN)
	if lerr := s.lock.Close(); lerr != nil && !errors.Is(lerr, os.ErrClosed) {
		err = errors.Join(err, lerr)
	}
	return err
}
