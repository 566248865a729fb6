package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

const (
	maxOutput = 64 << 20 // bytes of a report
	maxErrors = 64 << 10 // bytes kept of what is said beside it
	maxWords  = 400      // bytes of that in an error
	waitDelay = 5 * time.Second
)

// command is one run of a scanner.
type command struct {
	Config
	name string
	args []string
	env  []string
	dir  string // where it may write; its home
}

// run returns what the program wrote to its standard output and error.
func (c *command) run(ctx context.Context) (out, said []byte, err error) {
	path, err := exec.LookPath(c.Command)
	if err != nil {
		return nil, nil, &Unavailable{Scanner: c.name, Reason: NotInstalled, Problem: fmt.Sprintf("there is no program %q", c.Command), Cause: err,
			Do: "install it, or name it with `command`, or take the scanner out of the catalog"}
	}
	limited, stop := context.WithTimeout(ctx, c.Timeout)
	defer stop()
	stdout, stderr := &bounded{limit: maxOutput, over: stop}, &bounded{limit: maxErrors}
	err = c.start(limited, path, stdout, stderr)
	said = stderr.buf.Bytes()
	switch {
	case ctx.Err() != nil:
		return nil, said, ctx.Err()
	case stdout.cut:
		return nil, said, c.fails(Garbage, said, nil, fmt.Sprintf("its report has more than %d bytes", maxOutput), "run it by hand: is it the scanner that it should be?")
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		return nil, said, c.fails(TimedOut, said, limited.Err(), fmt.Sprintf("it took more than %s", c.Timeout), "give it more time with `timeout`, or find out why it is slow: its database may be on a slow disk")
	case err != nil:
		return nil, said, c.explain(said, err)
	}
	return stdout.buf.Bytes(), said, nil
}

// start runs the program in a process group of its own, which is killed as a whole.
func (c *command) start(ctx context.Context, path string, stdout, stderr *bounded) error {
	cmd := exec.CommandContext(ctx, path, c.args...)
	cmd.Dir = c.dir
	cmd.Env = append(c.environment(), c.env...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = waitDelay

	// The death signal is sent when the starting thread ends, not the process: golang.org/issue/27505.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	// The limit counts what is private and may be written: a database that is mapped from its file is not among it. Of the
	// address space, which would be easier to explain, Go programs reserve much more than they use.
	limit := unix.Rlimit{Cur: uint64(c.Memory), Max: uint64(c.Memory)} // #nosec G115 -- positive
	limitErr := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_DATA, &limit, nil)
	if limitErr != nil && !errors.Is(limitErr, unix.ESRCH) { // it may have ended already
		_ = cmd.Cancel()
		_ = cmd.Wait()
		return fmt.Errorf("limit its memory: %w", limitErr)
	}
	err := cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left running
	return err
}

// environment has nothing of the daemon's but where programs are. The proxy keeps what is offline from trying all the same:
// nobody listens there.
func (c *command) environment() []string {
	const nobody = "http://127.0.0.1:1"
	return []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "NO_COLOR=1",
		"HOME=" + c.dir, "TMPDIR=" + c.dir, "XDG_CACHE_HOME=" + filepath.Join(c.dir, "cache"), "XDG_CONFIG_HOME=" + filepath.Join(c.dir, "config"),
		"HTTP_PROXY=" + nobody, "HTTPS_PROXY=" + nobody,
		fmt.Sprintf("GOMEMLIMIT=%d", c.Memory/4*3), // it tidies up before it is killed
	}
}

func (c *command) fails(r Reason, said []byte, cause error, problem, do string) error {
	return &Unavailable{Scanner: c.name, Reason: r, Problem: problem, Do: do, Words: lastWords(said), Cause: cause}
}

// explain says why a program that ended on its own did not end well.
func (c *command) explain(said []byte, err error) error {
	if outOfMemory(said) {
		return c.fails(OutOfMemory, nil, err, fmt.Sprintf("it needs more than %d MiB of memory", c.Memory>>20), "give it more with `memory`")
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return c.fails(Failed, said, err, fmt.Sprintf("%s could not be run: %v", c.Command, err), "run it by hand")
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return c.fails(Killed, said, err, fmt.Sprintf("it was ended by a signal (%s)", status.Signal()), "it is tried again with the next look; if it was the system's, it is short of memory")
	}
	return c.fails(Failed, said, err, fmt.Sprintf("it ended with %s", exit.ProcessState), "run it by hand with the same database; its version may be one that is not known here")
}

func outOfMemory(said []byte) bool {
	return bytes.Contains(said, []byte("out of memory")) || bytes.Contains(said, []byte("cannot allocate memory"))
}

// lastWords are the end of what a program said, on one line.
func lastWords(said []byte) string {
	s := printable(string(said))
	if len(s) > maxWords {
		s = "..." + strings.ToValidUTF8(s[len(s)-maxWords:], "")
	}
	return s
}

// printable is untrusted text on one line.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// bounded keeps the first bytes of a stream and takes the rest.
type bounded struct {
	buf   bytes.Buffer
	limit int
	cut   bool
	over  func() // called when there is more; may be nil
}

func (b *bounded) Write(p []byte) (int, error) {
	n := len(p)
	if room := b.limit - b.buf.Len(); n > room {
		p, b.cut = p[:room], true
		if b.over != nil {
			b.over()
		}
	}
	b.buf.Write(p)
	return n, nil
}
