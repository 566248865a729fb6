package durable_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"rebuilder/internal/durable"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func TestWorkflow(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		w := world{Dir: t.TempDir(), Replica: "a", Items: 6}
		r, err := open(t.Context(), st, w, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.verifyIn(t, st, 0)
		named, err := dbos.GetWorkflowSteps(r.engine.DBOS(), "item-0")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range named {
			names = append(names, s.StepName)
		}
		if got := strings.Join(names, " "); got != "build scan promote count" {
			t.Errorf("the steps are %q", got)
		}
		prune(t, r.engine, time.Hour, 0)
		prune(t, r.engine, 0, 7)
		prune(t, r.engine, 0, 0)
		if err := r.engine.Launch(t.Context()); err == nil {
			t.Error("launched twice")
		}
		if err := errors.Join(r.engine.Close(10*time.Second), r.engine.Close(10*time.Second)); err != nil {
			t.Error(err)
		}
	})
}

func prune(t *testing.T, e *durable.Engine, age time.Duration, want int) {
	t.Helper()
	if n, err := e.Prune(t.Context(), age); n != want || err != nil {
		t.Errorf("pruned %d older than %v, want %d (%v)", n, age, want, err)
	}
}

// parts are workflows that end as a test says.
type parts struct {
	store  *store.Store
	engine *durable.Engine
	queue  dbos.Queue
	began  chan bool
	goOn   chan bool
	said   said
}

// said is a log to look into while it is written.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// Wait has one step, which lasts until the test or the engine ends it.
func (p *parts) Wait(ctx dbos.Context, _ string) (string, error) {
	defer p.engine.Track(ctx)()
	return durable.Step(ctx, "wait", func(ctx context.Context) (string, error) {
		p.began <- true
		select {
		case <-p.goOn:
			return "went on", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
}

func (p *parts) Echo(ctx dbos.Context, s string) (string, error) {
	defer p.engine.Track(ctx)()
	return s, nil
}

func (p *parts) Fail(ctx dbos.Context, _ string) (string, error) {
	defer p.engine.Track(ctx)()
	return durable.Transaction(ctx, p.engine, "fail", func(ctx context.Context, q store.Querier) (string, error) {
		return "", errors.Join(store.Audit(ctx, q, store.Event{Actor: "a", Kind: store.Human, Action: "x"}), errors.New("on purpose"))
	})
}

func launch(t *testing.T, ctx context.Context, dsn string) *parts {
	t.Helper()
	st := storetest.Open(t, dsn)
	p := &parts{store: st, began: make(chan bool), goOn: make(chan bool)}
	log := slog.New(slog.NewTextHandler(&p.said, nil))
	e, err := durable.Open(ctx, st, durable.Config{ExecutorID: "a", Heartbeat: 50 * time.Millisecond, Lapse: 500 * time.Millisecond, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	p.engine = e
	t.Cleanup(func() { p.close(t) })
	if p.queue, err = e.RegisterQueue("parts"); err != nil {
		t.Fatal(err)
	}
	dbos.RegisterWorkflow(e.DBOS(), p.Wait, dbos.WithWorkflowName("wait"))
	dbos.RegisterWorkflow(e.DBOS(), p.Echo, dbos.WithWorkflowName("echo"))
	dbos.RegisterWorkflow(e.DBOS(), p.Fail, dbos.WithWorkflowName("fail"))
	if err := e.Launch(ctx); err != nil {
		t.Fatal(err)
	}
	return p
}

// runs waits for Wait to be at work.
func (p *parts) runs(t *testing.T) {
	t.Helper()
	select {
	case <-p.began:
	case <-time.After(patience):
		t.Fatal("the workflow does not run")
	}
}

func (p *parts) close(t *testing.T) {
	t.Helper()
	if err := errors.Join(p.engine.Close(10*time.Second), p.store.Close()); err != nil {
		t.Error(err)
	}
}

// SIGTERM ends the daemon's context before anybody calls Close: neither may cancel what is running for good.
func TestStopAndStartGoesOn(t *testing.T) {
	storetest.EachDSN(t, func(t *testing.T, dsn string) {
		ctx, cancel := context.WithCancel(t.Context())
		p := launch(t, ctx, dsn)
		if _, err := dbos.RunWorkflow(p.engine.DBOS(), p.Wait, "", dbos.WithWorkflowID("w")); err != nil {
			t.Fatal(err)
		}
		p.runs(t)
		cancel()
		p.close(t)

		p = launch(t, t.Context(), dsn)
		p.runs(t)
		close(p.goOn)
		h, err := dbos.RetrieveWorkflow[string](p.engine.DBOS(), "w")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.GetResult(); got != "went on" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// The database says that somebody is at work, and nobody is.
func TestGuardTakesUpWhatNobodyDoes(t *testing.T) {
	for name, executor := range map[string]string{"a claim of ours whose answer was lost": "a", "a replica that never had a heartbeat": "ghost"} {
		t.Run(name, func(t *testing.T) {
			storetest.EachDSN(t, func(t *testing.T, dsn string) {
				p := launch(t, t.Context(), dsn)
				h, err := dbos.RunWorkflow(p.engine.DBOS(), p.Echo, "done", dbos.WithQueue(p.queue), dbos.WithDelay(time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				table := "workflow_status"
				if p.store.Dialect() == store.Postgres {
					table = "dbos.workflow_status"
				}
				if _, err := p.store.Q().Exec(t.Context(), `UPDATE `+table+` SET status='PENDING', executor_id=$1`, executor); err != nil {
					t.Fatal(err)
				}
				if got, err := h.GetResult(dbos.WithHandleTimeout(patience)); got != "done" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				if log := p.said.String(); !strings.Contains(log, "took over work") || !strings.Contains(log, "replica="+executor) {
					t.Errorf("nobody is told: %s", log)
				}
			})
		})
	}
}

// What takes longer than a lapse is not lost as long as it is tracked.
func TestGuardLeavesLongWorkAlone(t *testing.T) {
	p := launch(t, t.Context(), storetest.SQLite(t))
	h, err := dbos.RunWorkflow(p.engine.DBOS(), p.Wait, "")
	if err != nil {
		t.Fatal(err)
	}
	p.runs(t)
	beat := func() (at int64) {
		if err := p.store.Q().QueryRow(t.Context(), `SELECT seen_at FROM replica`).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	for first := beat(); beat() < first+1500; time.Sleep(20 * time.Millisecond) { // three lapses of heartbeats
	}
	if log := p.said.String(); strings.Contains(log, "took over") {
		t.Error(log)
	}
	close(p.goOn)
	if got, err := h.GetResult(); got != "went on" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFailedTransactionLeavesNothing(t *testing.T) {
	storetest.EachDSN(t, func(t *testing.T, dsn string) {
		p := launch(t, t.Context(), dsn)
		h, err := dbos.RunWorkflow(p.engine.DBOS(), p.Fail, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.GetResult(); err == nil || !strings.Contains(err.Error(), "on purpose") {
			t.Errorf("got %v", err)
		}
		if all, err := store.AuditLog(t.Context(), p.store.Q(), store.AuditFilter{}); err != nil || len(all) > 0 {
			t.Errorf("it left %v (%v)", all, err)
		}
	})
}

func TestSecondReplicaOfTheSameNameIsRefused(t *testing.T) {
	dsn := storetest.Postgres(t)
	first, err := durable.Open(t.Context(), storetest.Open(t, dsn), durable.Config{ExecutorID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = durable.Open(t.Context(), storetest.Open(t, dsn), durable.Config{ExecutorID: "a"})
	if err == nil || !strings.Contains(err.Error(), "replica a on this database: a living process has it") {
		t.Errorf("got %v", err)
	}
	if err := first.Close(time.Second); err != nil {
		t.Fatal(err)
	}
	again, err := durable.Open(t.Context(), storetest.Open(t, dsn), durable.Config{ExecutorID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(time.Second); err != nil {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	st := storetest.Open(t, storetest.SQLite(t))
	if _, err := durable.Open(t.Context(), st, durable.Config{Heartbeat: time.Second, Lapse: 2 * time.Second}); err == nil || !strings.Contains(err.Error(), "too short") {
		t.Errorf("got %v", err)
	}
	t.Run("environment", func(t *testing.T) {
		t.Setenv("DBOS__VMID", "other")
		if _, err := durable.Open(t.Context(), st, durable.Config{}); err == nil || !strings.Contains(err.Error(), "DBOS__VMID") {
			t.Errorf("got %v", err)
		}
	})
	e, err := durable.Open(t.Context(), st, durable.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if e.ExecutorID() != "local" {
		t.Errorf("the replica is called %q", e.ExecutorID())
	}
	if err := e.Close(time.Second); err != nil {
		t.Errorf("close without launch: %v", err)
	}
}

func TestEngineIsQuiet(t *testing.T) {
	var said said
	st := storetest.Open(t, storetest.SQLite(t))
	e, err := durable.Open(t.Context(), st, durable.Config{Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Launch(t.Context()), e.Close(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if said.String() != "" {
		t.Errorf("a start and a stop said:\n%s", said.String())
	}
}
