package main

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"rebuilder/internal/api"
	"rebuilder/internal/api/apitest"
)

var update = flag.Bool("update", false, "rewrite the golden files inside of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rebuilder": main})
}

// TestScripts runs the command's stories. "daemon SCENARIO" starts a real API over a fixed world and points the command
// at it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("REBUILDER_SERVER", "http://127.0.0.1:1") // nobody listens there
			e.Setenv("USER", "ada")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"daemon": daemon, "status": wantStatus},
	})
}

// wantStatus runs a command and compares its exit status: status 2 rebuilder plan --exit-code.
func wantStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command...")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = err.Error()
		var code int
		if n, _ := fmt.Sscanf(got, "exit status %d", &code); n == 1 {
			got = fmt.Sprint(code)
		}
	}
	if got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

func daemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: daemon SCENARIO [moved] [token=T]")
	}
	dir, err := os.MkdirTemp(ts.Getenv("WORK"), "daemon")
	ts.Check(err)
	w, err := apitest.New(context.Background(), dir, apitest.Scenario(args[0]))
	ts.Check(err)
	for _, a := range args[1:] {
		switch {
		case a == "moved":
			w.Loop.Moved = true
		case len(a) > 6 && a[:6] == "token=":
			w.Deps.Token = a[6:]
		default:
			ts.Fatalf("daemon: unknown %q", a)
		}
	}
	srv := httptest.NewServer(api.New(w.Deps).Handler())
	ts.Setenv("REBUILDER_SERVER", srv.URL)
	ts.Defer(func() {
		srv.Close()
		ts.Check(w.Close())
	})
}
