package buildkit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"

	"rebuilder/internal/imagetest"
)

// stopTimeoutTest bounds how long an engine may take to end a container; it takes 0.1 s.
const stopTimeoutTest = 30 * time.Second

// errEngineStuck says that an engine cannot end what it has started.
var errEngineStuck = errors.New("the build engine does not end a test's container")

// command runs a command test in a container of its own.
//
// Without setup and services, the command is the container's first process. Else that is the program that stays, and all
// others join it. A process of a container that exits with anything but 0 ends its container: BuildKit has it so. That is
// why setup and readiness must succeed, and why the command comes last.
func (s *suiteRun) command(ctx context.Context, o *findings, c imagetest.Command) (err error) {
	alone := len(c.Setup)+len(s.suite.Services) == 0
	box, err := s.container(ctx, o, s.suite.Network || c.Network, !alone)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.close()) }()

	env := s.env
	if err := box.startServices(ctx, s.suite.Services); err != nil {
		return err
	}
	if len(c.Setup) > 0 {
		env = imagetest.Environment(s.env, c.Env, true)
	}
	for _, args := range c.Setup {
		if err := box.must(ctx, "setup", process{args: args, env: env}); err != nil {
			return err
		}
	}
	main, err := box.start(ctx, process{
		args:     s.expand(append([]string{c.Command}, c.Args...), env),
		env:      imagetest.Environment(env, c.Env, false),
		user:     s.suite.User,
		terminal: s.suite.Terminal,
	})
	if err != nil {
		return err
	}
	code, err := box.wait(ctx, main)
	if err != nil {
		return err
	}
	o.wrong(c.Problems(code, main.stdout.String(), main.stderr.String())...)
	return nil
}

// port dials a port of the services, from inside their container.
func (s *suiteRun) port(ctx context.Context, o *findings, i int, p imagetest.Port) (err error) {
	box, err := s.container(ctx, o, false, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.close()) }()
	if err := box.startServices(ctx, s.suite.Services); err != nil {
		return err
	}
	dial, err := box.start(ctx, process{args: []string{probeDir + "/" + portProbe(i)}, user: "0:0", cwd: "/"})
	if err != nil {
		return err
	}
	if err := box.answered(ctx, dial, p); err != nil {
		return err
	}
	o.wrong(p.Problems(dial.stdout.String())...)
	return nil
}

// expand replaces $NAME in a command's words.
func (s *suiteRun) expand(words, env []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = imagetest.Expand(w, env)
	}
	return out
}

// box is a test's container.
type box struct {
	run       *suiteRun
	out       *findings
	session   context.Context // of the call: what a process is started with, see start
	container gateway.Container
	processes []*process
	services  []*process
}

// container makes one. With held, the program that stays is its first process.
func (s *suiteRun) container(ctx context.Context, o *findings, network, held bool) (*box, error) {
	if err := s.runnable(held); err != nil {
		return nil, err
	}
	mounts := []gateway.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: s.image}}
	if held {
		if err := s.needProbes(ctx); err != nil {
			return nil, err
		}
		mounts = append(mounts, gateway.Mount{Dest: probeDir, MountType: pb.MountType_BIND, Ref: s.probes, Readonly: true})
	}
	mode := pb.NetMode_NONE
	if network {
		mode = pb.NetMode_UNSET
	}
	c, err := s.gw.NewContainer(ctx, gateway.NewContainerRequest{
		Mounts:   mounts,
		NetMode:  mode,
		Platform: &pb.Platform{OS: s.platform.OS, Architecture: s.platform.Architecture, Variant: s.platform.Variant},
	})
	if err != nil {
		return nil, fmt.Errorf("make a container: %w", err)
	}
	b := &box{run: s, out: o, session: s.session, container: c}
	if held {
		if _, err := b.start(ctx, process{args: []string{probeDir + "/" + holdProgram}, user: "0:0"}); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return b, nil
}

// runnable says why a container of the image's platform cannot be had.
func (s *suiteRun) runnable(held bool) error {
	var offers []string
	for _, w := range s.gw.BuildOpts().Workers {
		for _, p := range w.Platforms {
			if platforms.Only(p).Match(s.platform) {
				if _, ok := machineOf(s.platform); held && !ok {
					return fmt.Errorf("setup, services and ports cannot be tested on %s: only on linux/amd64 and linux/arm64", platforms.Format(s.platform))
				}
				return nil
			}
			offers = append(offers, platforms.Format(p))
		}
	}
	return fmt.Errorf("nothing can be run for %s: the build engine runs %s", platforms.Format(s.platform), strings.Join(offers, ", "))
}

func (s *suiteRun) needProbes(ctx context.Context) (err error) {
	if s.probes == nil {
		m, _ := machineOf(s.platform)
		s.probes, err = solveProbes(ctx, s.gw, m.probes(s.suite), s.platform)
	}
	return err
}

// close ends all that runs in the container, and throws it away. When the call is over, the engine does that itself.
func (b *box) close() error {
	ctx, cancel := context.WithTimeoutCause(b.session, stopTimeoutTest, errEngineStuck)
	defer cancel()
	// Its error is that of any process that did not exit with 0.
	_ = b.container.Release(ctx)
	for _, p := range b.processes {
		select {
		case <-p.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// process is a process in a container.
type process struct {
	args     []string
	env      []string // nil: the suite's
	user     string   // empty: the suite's, else the image's
	cwd      string   // empty: the image's
	terminal bool

	stdout, stderr *sink
	done           chan struct{} // closed when it has ended; then err is set
	err            error
}

// start starts p. It is ended with its container only: its context is that of the call, as BuildKit's client goes on
// delivering the messages of a process whose context has ended, to nobody, and then none of any other.
func (b *box) start(ctx context.Context, p process, watches ...*lineWatch) (*process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.stdout, p.stderr, p.done = newSink(b.out), newSink(b.out), make(chan struct{})
	p.stdout.watches, p.stderr.watches = watches, watches
	if p.env == nil {
		p.env = b.run.env
	}
	if p.user == "" {
		p.user = firstOf(b.run.suite.User, b.run.config.User)
	}
	if p.cwd == "" {
		p.cwd = firstOf(b.run.config.WorkingDir, "/")
	}
	proc, err := b.container.Start(b.session, gateway.StartRequest{
		Args: p.args, Env: p.env, User: p.user, Cwd: p.cwd, Tty: p.terminal, Stdout: p.stdout, Stderr: p.stderr,
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.args[0], err)
	}
	b.processes = append(b.processes, &p)
	go func() {
		defer close(p.done)
		p.err = proc.Wait()
	}()
	return &p, nil
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// wait returns p's exit code when it has ended.
func (b *box) wait(ctx context.Context, p *process) (code int, err error) {
	select {
	case <-p.done:
	case <-p.stdout.full:
		return 0, fmt.Errorf("%s printed more than %d bytes and was ended", p.args[0], maxStream)
	case <-p.stderr.full:
		return 0, fmt.Errorf("%s printed more than %d bytes to standard error and was ended", p.args[0], maxStream)
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	code, err = p.exit()
	grace := time.Duration(0)
	if err != nil || code == killedExit {
		grace = serviceGrace
	}
	if err := b.serviceFailed(grace); err != nil {
		return 0, err
	}
	return code, err
}

// notStarted is what runc prints in place of a program that cannot be started; the exit code is then 1, or 255.
var notStarted = regexp.MustCompile(`^(?:runc run|exec) failed: unable to start container process: (.*)\s*$`)

// exit is the exit code of a process that has ended.
func (p *process) exit() (int, error) {
	var exit *gwpb.ExitError
	switch {
	case p.err == nil:
		return 0, nil
	case !errors.As(p.err, &exit):
		return 0, p.err
	}
	for _, out := range []*sink{p.stderr, p.stdout} { // a terminal has one output
		if why := notStarted.FindStringSubmatch(out.String()); why != nil {
			return 0, fmt.Errorf("%s cannot be started: %s", p.args[0], why[1])
		}
	}
	return int(exit.ExitCode), nil
}

// must runs a process that has to exit with 0.
func (b *box) must(ctx context.Context, what string, p process) error {
	started, err := b.start(ctx, p)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	code, err := b.wait(ctx, started)
	if err != nil {
		return fmt.Errorf("%s %q: %w", what, strings.Join(p.args, " "), err)
	}
	if code != 0 {
		return fmt.Errorf("%s %q exited with %d", what, strings.Join(p.args, " "), code)
	}
	return nil
}

// startServices starts them in order, each when the one before is ready.
func (b *box) startServices(ctx context.Context, all []imagetest.Service) error {
	for i, s := range all {
		if err := b.startService(ctx, i, s); err != nil {
			if cause := b.serviceFailed(serviceGrace); cause != nil && ctx.Err() == nil {
				return cause
			}
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	return nil
}

func (b *box) startService(ctx context.Context, i int, s imagetest.Service) error {
	if s.Ready.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.Ready.Timeout, fmt.Errorf("it was not ready after %s", s.Ready.Timeout))
		defer cancel()
	}
	args := slices.Concat(b.run.config.Entrypoint, b.run.config.Cmd)
	if s.Command != "" {
		args = append([]string{s.Command}, s.Args...)
	}
	if len(args) == 0 {
		return errors.New("the image has no entrypoint and no cmd: give the service a command")
	}
	watch := watchLines(s.Ready.Output)
	p, err := b.start(ctx, process{
		args: b.run.expand(args, b.run.env),
		env:  imagetest.Environment(b.run.env, s.Env, true),
		user: s.User,
	}, watch)
	if err != nil {
		return err
	}
	b.services = append(b.services, p)
	if err := b.ready(ctx, i, s.Ready, p, watch); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

func (b *box) ready(ctx context.Context, i int, r imagetest.Ready, p *process, watch *lineWatch) error {
	select {
	case <-watch.found:
	case <-p.done:
		select {
		case <-watch.found: // the last thing it did
		default:
			return errors.New("it ended before it was ready")
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if r.Port > 0 {
		if err := b.must(ctx, "port", process{args: []string{probeDir + "/" + readyProbe(i)}, user: "0:0", cwd: "/"}); err != nil {
			return err
		}
	}
	if len(r.Command) == 0 {
		return nil
	}
	return b.must(ctx, "ready", process{args: b.run.expand(r.Command, b.run.env)})
}

const (
	killedExit   = 128 + 9
	serviceGrace = 200 * time.Millisecond // from the end of what a service took with it until we know of its own
)

// serviceFailed says which service has ended with anything but 0, and so has ended the container, if one does within
// grace.
func (b *box) serviceFailed(grace time.Duration) error {
	late := time.After(grace)
	for i, p := range b.services {
		select {
		case <-p.done:
		case <-late:
			late = time.After(0)
		}
		select {
		case <-p.done:
			name := b.run.suite.Services[i].Name
			switch code, err := p.exit(); {
			case err != nil:
				return fmt.Errorf("service %s: %w", name, err)
			case code != 0:
				return fmt.Errorf("service %s exited with %d", name, code)
			}
		default:
		}
	}
	return nil
}

// answered waits until a dialled port has said all that is expected, or no more.
func (b *box) answered(ctx context.Context, dial *process, p imagetest.Port) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-dial.done:
			_, err := b.wait(ctx, dial)
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			if answer := dial.stdout.String(); answer != "" && len(p.Problems(answer)) == 0 {
				return nil
			}
		}
	}
}
