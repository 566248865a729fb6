// Package command runs the programs that the demo's set-up needs: apt, mmdebstrap, dpkg, git.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// maxOutput bounds what is kept of a program's standard output, maxErrors what is kept of its errors.
const (
	maxOutput = 64 << 20
	maxErrors = 16 << 10
)

// Error is a program that could not be run or failed.
type Error struct {
	Name  string
	Args  []string
	Lines []string // the last lines that it wrote to standard error
	Cause error
}

func (e *Error) Error() string {
	s := e.Name
	if len(e.Args) > 0 {
		s += " " + e.Args[0]
	}
	s += ": " + e.Cause.Error()
	if n := len(e.Lines); n > 0 {
		s += ": " + strings.Join(e.Lines[max(0, n-3):], "; ")
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// Run runs a program in dir and returns what it wrote to standard output, at most 64 MiB. The program and its children
// end when ctx ends, and also when this process is killed. A missing program is an error that says how to get it.
func Run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	out := &head{limit: maxOutput}
	if err := run(ctx, dir, out, name, args); err != nil {
		return nil, err
	}
	if out.cut {
		return nil, &Error{Name: name, Args: args, Cause: fmt.Errorf("wrote more than %d bytes", maxOutput)}
	}
	return out.buf.Bytes(), nil
}

// Write runs a program like Run, with standard output going to w.
func Write(ctx context.Context, w io.Writer, dir, name string, args ...string) error {
	return run(ctx, dir, w, name, args)
}

func run(ctx context.Context, dir string, out io.Writer, name string, args []string) error {
	errs := &tail{limit: maxErrors}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second

	// The death signal is sent when the starting thread ends, not the process: golang.org/issue/27505.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		err = fmt.Errorf("%w; `make setup` installs what the demo needs", exec.ErrNotFound)
	}
	return &Error{Name: name, Args: args, Lines: errs.lines(), Cause: err}
}

// head keeps the first bytes.
type head struct {
	buf   bytes.Buffer
	limit int
	cut   bool
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.limit - h.buf.Len(); len(p) > room {
		h.buf.Write(p[:room])
		h.cut = true
		return len(p), nil
	}
	return h.buf.Write(p)
}

// tail keeps the last bytes.
type tail struct {
	buf   []byte
	limit int
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) lines() []string {
	s := strings.TrimSpace(string(t.buf))
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
