package durable_test

import (
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"rebuilder/internal/store/storetest"
)

// kill -9 between any two instructions, restart, same result.
func TestKilledAgainAndAgain(t *testing.T) {
	storetest.EachDSN(t, func(t *testing.T, dsn string) {
		w := world{DSN: dsn, Dir: t.TempDir(), Replica: "a", Items: 30}
		const kills = 5
		for range kills {
			p := w.process(t)
			goal := len(w.lines("effects")) + 1 + rand.IntN(12)
			p.until("more effects", func() bool { return len(w.lines("effects")) >= goal })
			p.kill()
		}
		w.process(t).succeeds()
		w.verify(t, kills*slots)
	})
}

func TestOneReplicaTakesOverFromAnother(t *testing.T) {
	for name, stop := range map[string]struct{ before, after func(a *process) }{
		"that was killed": {
			before: func(a *process) { a.kill() },
			after:  func(*process) {},
		},
		// It still believes that it owns its items when it wakes up.
		"that was frozen and thaws": {
			before: func(a *process) { a.signal(syscall.SIGSTOP) },
			after:  func(a *process) { a.signal(syscall.SIGCONT); a.succeeds() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := world{DSN: storetest.Postgres(t), Dir: t.TempDir(), Items: 20}
			wa, wb := w, w
			wa.Replica, wa.Hang, wb.Replica = "a", true, "b"
			a := wa.process(t)
			a.until("items in hand", func() bool { return len(w.lines("hung")) == slots })
			stop.before(a)

			b := wb.process(t)
			b.succeeds()

			if err := os.WriteFile(filepath.Join(w.Dir, "thaw"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			stop.after(a)
			w.verify(t, slots)
		})
	}
}

func TestReplicasStartOnAnEmptyDatabaseTogether(t *testing.T) {
	w := world{DSN: storetest.Postgres(t), Dir: t.TempDir(), Migrate: true}
	var all []*process
	for _, w.Replica = range []string{"a", "b", "c"} {
		all = append(all, w.process(t))
	}
	for _, p := range all {
		p.succeeds()
	}
}

// The database goes away in the middle of statements and commits, and is back at once. Answers are lost: of claims, of
// checkpoints, of outcomes.
func TestDatabaseConnectionsAreCut(t *testing.T) {
	target, err := pgx.ParseConfig(storetest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, target)
	w := world{DSN: p.url(target), Dir: t.TempDir(), Replica: "a", Items: 40}
	st := storetest.Open(t, w.DSN)
	r, err := open(t.Context(), st, w, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	const cuts = 5
	for range cuts {
		goal := min(len(w.lines("effects"))+1+rand.IntN(20), w.Items*len(steps))
		for end := time.Now().Add(patience); len(w.lines("effects")) < goal; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the work stands still")
			}
		}
		p.cut()
	}
	if err := r.wait(t.Context()); err != nil {
		t.Error(err)
	}
	w.verifyIn(t, st, cuts*slots)
	if err := r.engine.Close(10 * time.Second); err != nil {
		t.Error(err)
	}
}

// proxy is a wire to the database that can be cut.
type proxy struct {
	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool
}

func startProxy(t *testing.T, target *pgx.ConnConfig) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); p.cut() })
	network, address := pgconn.NetworkAddress(target.Host, target.Port)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial(network, address)
			if err != nil {
				client.Close()
				continue
			}
			go p.pump(client, server)
			go p.pump(server, client)
		}
	}()
	return p
}

func (p *proxy) pump(to, from net.Conn) {
	p.mu.Lock()
	p.open[from] = true
	p.mu.Unlock()
	_, _ = io.Copy(to, from)
	to.Close()
	p.mu.Lock()
	delete(p.open, from)
	p.mu.Unlock()
	from.Close()
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
}

func (p *proxy) url(target *pgx.ConnConfig) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(target.User, target.Password), Host: p.listener.Addr().String(), Path: "/" + target.Database, RawQuery: "sslmode=disable"}
	return u.String()
}
