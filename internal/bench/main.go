package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"rebuilder/internal/build/buildkit"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == buildkit.ChildVerb { // the world's CI has a builder of its own
		if err := buildkit.Child(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process as it always would
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp): // is printed already
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "bench: interrupted; nothing was written")
		os.Exit(128 + int(syscall.SIGINT))
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type config struct {
	program string // the daemon under test
	cache   string // what the demo downloads once
	root    string // the repository
	goTool  string
	peers   string // directory of the programs that a rollout is compared with; empty: everything else is measured
	rounds  int    // of that comparison
	fanOut  bool   // only many pull requests are measured
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c config
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.program, "program", "bin/rebuilder", "the daemon under test")
	f.StringVar(&c.cache, "cache", ".cache/demo", "directory for what the demo downloads once")
	f.StringVar(&c.root, "root", ".", "the repository, for bench.json, docs and benchmarks")
	f.StringVar(&c.goTool, "go", "go", "the go command")
	f.StringVar(&c.peers, "peers", "", "directory of buildctl and buildx: measures how a rollout compares with them, and nothing else")
	f.IntVar(&c.rounds, "rounds", 5, "rounds of the comparison with -peers")
	f.BoolVar(&c.fanOut, "fanout", false, "measures how long many pull requests take under the forge's limits, and nothing else")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q: there are only flags", f.Arg(0))
	}
	if c.rounds < 1 {
		return errors.New("-rounds: want one at least")
	}
	began := time.Now()
	say := func(line string) { fmt.Fprintf(stderr, "%5.1fs %s\n", time.Since(began).Seconds(), line) }
	group, from := measure, general
	switch {
	case c.peers != "":
		group, from = measureRollout, comparison
	case c.fanOut:
		group, from = measureFanOut, fanOut
	}
	all, err := group(ctx, c, say)
	if err != nil {
		return err
	}
	return report(stdout, c.root, from, all)
}

// measure runs all groups, one after the other: nothing else of ours runs meanwhile.
func measure(ctx context.Context, c config, say func(string)) ([]Measure, error) {
	all, err := measureWorld(ctx, c, say)
	if err != nil {
		return nil, err
	}
	say("running the packages' benchmarks")
	more, err := measureGo(ctx, c.goTool, c.root)
	if err != nil {
		return nil, err
	}
	all = append(all, more...)
	for _, group := range []func(ctx context.Context, goTool, root string) ([]Measure, error){measureGraph, measureSchedule} {
		more, err := group(ctx, c.goTool, c.root)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	say("promoting an image of three platforms, and copying it with crane")
	more, err = measurePromote(ctx)
	return append(all, more...), err
}

// measureWorld is everything that needs a world with a daemon in it.
func measureWorld(ctx context.Context, c config, say func(string)) (all []Measure, err error) {
	program, err := filepath.Abs(c.program)
	if err != nil {
		return nil, err
	}
	s, err := openScene(ctx, program, c.cache, say)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Setup(ctx); err != nil {
		return nil, err
	}
	if _, err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := s.fill(ctx); err != nil {
		return nil, err
	}
	for _, group := range []struct {
		what    string
		measure func(context.Context, *scene) ([]Measure, error)
	}{
		{"following an update to the last application", measureLoop},
		{"watching the daemon at rest", measureRest},
		{"starting the daemon again and again", measureReady},
		{"reading what is in an image", measureInventory},
		{"moving a base back", measureRollback},
	} {
		say(group.what)
		more, err := group.measure(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", group.what, err)
		}
		all = append(all, more...)
	}
	return all, nil
}

// report writes down what a command has measured. The error names the goals that were missed.
func report(out io.Writer, root string, from source, all []Measure) error {
	if err := writeTable(out, all); err != nil {
		return err
	}
	here, err := machine()
	if err != nil {
		return err
	}
	if err := updateDoc(filepath.Join(root, "docs", "performance.md"), from, here, all); err != nil {
		return err
	}
	if err := updateJSON(filepath.Join(root, "bench.json"), from, all); err != nil {
		return err
	}
	var failed []error
	for _, m := range missed(all) {
		failed = append(failed, fmt.Errorf("missed: %s is %s %s, the goal is %s", m.Name, number(m.Value), m.Unit, m.Goal))
	}
	return errors.Join(failed...)
}
