package durable_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"rebuilder/internal/durable"
	"rebuilder/internal/store"
)

// world is what a test and the processes that it starts have in common.
type world struct {
	DSN     string
	Dir     string // holds effects, one line an effect, and the signals between the processes
	Replica string
	Items   int
	Hang    bool // the step "scan" does not end before the file "thaw" is there
	Migrate bool // open everything, and end
}

const slots = 4 // items that one replica works on at a time

var steps = []string{"build", "scan", "promote"}

// TestMain lets the test binary start itself, as a process that can be killed.
func TestMain(m *testing.M) {
	w := os.Getenv("DURABLE_WORLD")
	if w == "" {
		os.Exit(m.Run())
	}
	if err := child(w); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

func child(config string) error {
	var w world
	if err := json.Unmarshal([]byte(config), &w); err != nil {
		return err
	}
	ctx := context.Background()
	st, err := store.Open(ctx, w.DSN, nil)
	if err != nil {
		return err
	}
	r, err := open(ctx, st, w, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil || w.Migrate {
		return err
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	if err := r.wait(ctx); err != nil {
		return err
	}
	return r.engine.Close(10 * time.Second)
}

// runner has the workflows of the tests: All starts the items; an item has three steps with an effect on the outside and
// one transaction.
type runner struct {
	world
	engine *durable.Engine
	store  *store.Store
	queue  dbos.Queue
}

func open(ctx context.Context, st *store.Store, w world, log *slog.Logger) (*runner, error) {
	e, err := durable.Open(ctx, st, durable.Config{ExecutorID: w.Replica, Heartbeat: 100 * time.Millisecond, Lapse: time.Second, Log: log})
	if err != nil {
		return nil, err
	}
	r := &runner{world: w, engine: e, store: st}
	if r.queue, err = e.RegisterQueue("items", dbos.WithWorkerConcurrency(slots)); err != nil {
		return nil, err
	}
	dbos.RegisterWorkflow(e.DBOS(), r.All, dbos.WithWorkflowName("all"), dbos.WithMaxRecoveryAttempts(1000))
	dbos.RegisterWorkflow(e.DBOS(), r.Item, dbos.WithWorkflowName("item"), dbos.WithMaxRecoveryAttempts(1000))
	return r, nil
}

func (r *runner) start(ctx context.Context) error {
	if err := r.engine.Launch(ctx); err != nil {
		return err
	}
	_, err := dbos.RunWorkflow(r.engine.DBOS(), r.All, r.Items, dbos.WithWorkflowID("all"))
	return err
}

// wait returns when all items are counted and all workflows have ended well.
func (r *runner) wait(ctx context.Context) error {
	for {
		all, err := dbos.ListWorkflows(r.engine.DBOS())
		if err != nil {
			return err
		}
		good := 0
		for _, w := range all {
			switch w.Status {
			case dbos.WorkflowStatusSuccess:
				good++
			case dbos.WorkflowStatusPending, dbos.WorkflowStatusEnqueued, dbos.WorkflowStatusDelayed:
			default:
				return fmt.Errorf("workflow %s ended as %s: %w", w.ID, w.Status, w.Error)
			}
		}
		if good == r.Items+1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d workflows ended: %w", good, r.Items+1, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r *runner) All(ctx dbos.Context, n int) (int, error) {
	defer r.engine.Track(ctx)()
	for i := range n {
		id := fmt.Sprintf("item-%d", i)
		if _, err := dbos.RunWorkflow(ctx, r.Item, id, dbos.WithWorkflowID(id), dbos.WithQueue(r.queue)); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func (r *runner) Item(ctx dbos.Context, id string) (int, error) {
	defer r.engine.Track(ctx)()
	for _, s := range steps {
		_, err := durable.Step(ctx, s, func(ctx context.Context) (bool, error) { return true, r.effect(ctx, id, s) })
		if err != nil {
			return 0, err
		}
	}
	return durable.Transaction(ctx, r.engine, "count", func(ctx context.Context, q store.Querier) (int, error) {
		return 1, store.Audit(ctx, q, store.Event{Actor: r.Replica, Kind: store.Automation, Action: "count", Object: id})
	})
}

func (r *runner) effect(ctx context.Context, id, step string) error {
	if r.Hang && step == "scan" {
		if err := r.line("hung", r.Replica); err != nil {
			return err
		}
		for !exists(filepath.Join(r.Dir, "thaw")) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	time.Sleep(5 * time.Millisecond)
	return r.line("effects", id+" "+step)
}

// line appends to a file, in one write, so that a kill leaves all of it or nothing.
func (w *world) line(file, text string) error {
	f, err := os.OpenFile(filepath.Join(w.Dir, file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	return errors.Join(err, f.Close())
}

func (w *world) lines(file string) []string {
	b, err := os.ReadFile(filepath.Join(w.Dir, file))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// process is a started child.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // once ended is closed
	mu    sync.Mutex
	said  strings.Builder
}

func (w world) process(t *testing.T) *process {
	t.Helper()
	config, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "DURABLE_WORLD="+string(config))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.mu.Lock()
			fmt.Fprintf(&p.said, "%s: %s\n", w.Replica, s.Text())
			p.mu.Unlock()
		}
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
		if t.Failed() {
			t.Log(p.output())
		}
	})
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// succeeds waits for the process to end well.
func (p *process) succeeds() {
	p.t.Helper()
	select {
	case <-p.ended:
		if p.err != nil {
			p.t.Fatalf("%v\n%s", p.err, p.output())
		}
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
	}
}

// patience is for what hangs; nothing that works takes that long.
const patience = 60 * time.Second

// until waits for a condition, or for the end of the process without it.
func (p *process) until(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.ended:
			if !ok() {
				p.t.Fatalf("ended before %s: %v\n%s", what, p.err, p.output())
			}
			return
		default:
		}
		if time.Now().After(end) {
			p.t.Fatalf("no %s", what)
		}
	}
}

// verify looks at what the items left: each effect, in order, at most spare of them twice, and one count each.
func (w *world) verify(t *testing.T, spare int) {
	t.Helper()
	st, err := store.Open(t.Context(), w.DSN, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	w.verifyIn(t, st, spare)
}

func (w *world) verifyIn(t *testing.T, st *store.Store, spare int) {
	t.Helper()
	first := map[string]int{}
	all := w.lines("effects")
	for n, l := range all {
		if _, twice := first[l]; !twice {
			first[l] = n
		}
	}
	for i := range w.Items {
		before := -1
		for _, s := range steps {
			n, there := first[fmt.Sprintf("item-%d %s", i, s)]
			if !there || n < before {
				t.Errorf("item-%d: %s is missing or before its time", i, s)
			}
			before = n
		}
	}
	if twice := len(all) - len(first); twice > spare {
		t.Errorf("%d effects happened twice, at most %d can", twice, spare)
	} else {
		t.Logf("%d of %d effects happened twice", twice, len(first))
	}
	counts, err := store.AuditLog(t.Context(), st.Q(), store.AuditFilter{Action: "count", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]int{}
	for _, e := range counts {
		objects[e.Object]++
	}
	if len(objects) != w.Items || len(counts) != w.Items {
		t.Errorf("%d items counted %d times, want %d once each: %v", len(objects), len(counts), w.Items, objects)
	}
}
