package buildkit

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// ChildVerb is the hidden verb that makes a process the managed engine's child:
//
//	if len(os.Args) > 1 && os.Args[1] == buildkit.ChildVerb {
//		err := buildkit.Child(os.Args[2:])
//		...
//	}
const ChildVerb = "buildkitd"

const (
	defaultParallel   = 4
	defaultCacheBytes = 20 << 30
	lockTimeout       = 2 * time.Second
)

// childConfig is what a child is told, as flags.
type childConfig struct {
	Root, Socket string
	Insecure     []string
	Parallel     int
	CacheBytes   int64
}

func (c childConfig) args() []string {
	return []string{
		"--root", c.Root, "--socket", c.Socket,
		"--insecure", strings.Join(c.Insecure, ","),
		"--parallel", strconv.Itoa(c.Parallel),
		"--cache-bytes", strconv.FormatInt(c.CacheBytes, 10),
	}
}

func parseChild(args []string) (childConfig, error) {
	var c childConfig
	var insecure string
	fs := flag.NewFlagSet(ChildVerb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.Root, "root", "", "state directory")
	fs.StringVar(&c.Socket, "socket", "", "unix socket to listen on")
	fs.StringVar(&insecure, "insecure", "", "registries over plain http, separated by commas")
	fs.IntVar(&c.Parallel, "parallel", 0, "steps run at once")
	fs.Int64Var(&c.CacheBytes, "cache-bytes", 0, "size of the cache")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if c.Root == "" || c.Socket == "" {
		return c, fmt.Errorf("%s is started by the daemon itself; set [builder] root in the catalog", ChildVerb)
	}
	if insecure != "" {
		c.Insecure = strings.Split(insecure, ",")
	}
	if c.Parallel < 1 {
		c.Parallel = defaultParallel
	}
	if c.CacheBytes < 1 {
		c.CacheBytes = defaultCacheBytes
	}
	return c, nil
}

// Child is the managed engine's process. It returns nil after SIGTERM. It expects to be the first process of a PID
// namespace and refuses to run outside of one: it mounts over /proc and /run/runc.
func Child(args []string) error {
	c, err := parseChild(args)
	if err != nil {
		return err
	}
	if os.Getpid() != 1 {
		return fmt.Errorf("%s runs in namespaces of its own; it is started by the daemon itself", ChildVerb)
	}
	quiet()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)

	if err := isolate(); err != nil {
		return err
	}
	unlock, err := lockRoot(c.Root)
	if err != nil {
		return err
	}
	defer unlock()
	if err := sweep(c.Root); err != nil {
		return err
	}
	go reapForever(ctx)
	syscall.Umask(0) // files in images have the modes their authors gave them
	return serve(ctx, c)
}

// quiet keeps of BuildKit's log what explains a failure.
func quiet() {
	logrus.SetLevel(logrus.ErrorLevel) // its warnings are two a build and mean nothing
	logrus.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, DisableColors: true})
	logrus.SetOutput(os.Stderr)
}

// isolate makes the mounts of this process its own. The containers' states are on a file system of their own too, so
// that none are left of an engine that was killed.
func isolate() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := os.MkdirAll("/run/runc", 0o711); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run/runc", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=711"); err != nil {
		return fmt.Errorf("mount /run/runc: %w", err)
	}
	return nil
}

// lockRoot makes sure that one engine uses root. It waits a little for one that is on its way out.
func lockRoot(root string) (unlock func(), err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { runtime.KeepAlive(f); f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			f.Close()
			return nil, fmt.Errorf("%s is in use by another build engine; give each daemon a directory of its own ([builder] root): %w", root, err)
		}
	}
}

// sweep removes what the containers of a killed engine have left: their bundles, and their empty control groups, which
// have the same names.
func sweep(root string) error {
	configs, err := filepath.Glob(filepath.Join(root, "runc-*", "executor", "*", "config.json"))
	if err != nil {
		return err
	}
	for _, c := range configs {
		bundle := filepath.Dir(c)
		for _, hierarchy := range []string{"", "*"} { // the unified one, or one a controller
			groups, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", hierarchy, "buildkit", filepath.Base(bundle)))
			if err != nil {
				return err
			}
			for _, g := range groups {
				removeGroup(g)
			}
		}
		if err := os.RemoveAll(bundle); err != nil {
			return fmt.Errorf("remove a bundle left behind: %w", err)
		}
	}
	return nil
}

// removeGroup removes an empty control group. It may not be empty yet: a killed engine lets go of its lock before the
// last of its processes has ended. One that stays is of no harm.
func removeGroup(dir string) {
	for deadline := time.Now().Add(lockTimeout); unix.Rmdir(dir) == unix.EBUSY && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
}
