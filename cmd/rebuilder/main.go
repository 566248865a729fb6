// Command rebuilder carries a patched OS package from a distribution's index through base images to application images.
// It is the daemon and its command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
	"rebuilder/internal/catalog"
)

// Exit codes. They are documented in the root command's help and in docs/operations.md, and never change.
const (
	exitOK      = 0
	exitError   = 1
	exitChanges = 2  // plan --exit-code: there is something to do; affected --exit-code: an image is affected; verify: it fails
	exitUnknown = 3  // none of that as far as is known, and something is not known; or a question without an answer
	exitUsage   = 64 // the command was not understood
)

// The help lists the verbs as they are met, not by their letters; cobra knows no other way to say so.
func main() {
	cobra.EnableCommandSorting = false
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// run is the whole command. The first SIGINT or SIGTERM ends ctx, so that everything started is stopped; a second one
// ends the process as it always would.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := newRoot(env)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	report(stderr, err)
	return exitCode(ctx, err)
}

// exit is an error that has an exit code of its own; without an error inside nothing is printed.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}
func (e *exit) Unwrap() error { return e.err }

func exitCode(ctx context.Context, err error) int {
	var e *exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return 128 + int(syscall.SIGINT)
	}
	return exitError
}

// hinted is an error with a way out.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

func hint(err error, format string, args ...any) error {
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// report says what went wrong and what to do about it.
func report(w io.Writer, err error) {
	var e *exit
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, &e) && e.err == nil {
		return
	}
	var mistakes catalog.Errors
	if errors.As(err, &mistakes) && len(mistakes) > 0 {
		for _, m := range mistakes {
			fmt.Fprintln(w, cleanText(m.String()))
		}
		fmt.Fprintf(w, "rebuilder: %s: %s\n", mistakes[0].File, api.Count(len(mistakes), "mistake"))
		return
	}
	fmt.Fprintln(w, "rebuilder: "+cleanText(err.Error()))
	if h := hintOf(err); h != "" {
		fmt.Fprintln(w, "  hint: "+strings.ReplaceAll(cleanText(h), "\n", "\n        "))
	}
}

func hintOf(err error) string {
	var h *hinted
	var a *api.Error
	var u *api.Unreachable
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.As(err, &a):
		return a.Hint
	case errors.As(err, &u):
		return "start it with: rebuilder serve --catalog catalog.toml\nor name another one with --server or REBUILDER_SERVER"
	}
	return ""
}
