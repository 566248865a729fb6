package command_test

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"rebuilder/internal/demo/command"
)

func TestRunReturnsStandardOutput(t *testing.T) {
	out, err := command.Run(t.Context(), "/", "sh", "-c", "pwd; echo noise >&2")
	if err != nil || string(out) != "/\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestErrorHasTheLastLines(t *testing.T) {
	_, err := command.Run(t.Context(), "", "sh", "-c", "for i in 1 2 3 4 5; do echo line $i >&2; done; exit 7")
	var failed *command.Error
	if !errors.As(err, &failed) {
		t.Fatalf("error %v", err)
	}
	if want := "sh -c: exit status 7: line 3; line 4; line 5"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestMissingProgramSaysTheWayOut(t *testing.T) {
	_, err := command.Run(t.Context(), "", "no-such-program-of-ours")
	if !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("error %v", err)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	started := writer(func(p []byte) { cancel() })
	err := command.Write(ctx, started, "", "sh", "-c", "echo started; sleep 1000 & wait")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }
