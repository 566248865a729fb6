package forge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Config says where a forge lives and who hears of what happens in it.
type Config struct {
	Dir     string // state and repositories; made when missing
	BaseURL string // the web origin, "http://127.0.0.1:3000"; links in answers start with it
	Log     *slog.Logger

	WebhookURL    string // deliveries go here; "" sends none
	WebhookSecret string // signs them by X-Hub-Signature-256

	// Now is the forge's clock; nil is the machine's. Credentials live by the machine's clock in any case.
	Now func() time.Time
	// Limits are held against each caller on that clock; the zero value refuses nobody.
	Limits Limits
	// Faults go wrong by themselves, seeded; the zero value has none. Fail adds single ones.
	Faults Faults
	// Ephemeral keeps what git does not know in memory only: with hundreds of repositories writing it costs more than git.
	Ephemeral bool
	// Asynchronous lets a pull request's mergeability be unknown until it is asked for again, as GitHub does.
	Asynchronous bool

	// OnPush is called after a branch moved, by whatever means; OnDispatch after a dispatch was accepted. Each call
	// has a goroutine of its own, so calls may overlap and may be slow. Both may be nil.
	OnPush     func(Push)
	OnDispatch func(Dispatched)
}

// Push is a branch that moved. Before is "" for a new branch, After is "" for a deleted one.
type Push struct{ Owner, Repo, Branch, Before, After string }

// Dispatched is a dispatch that was accepted. Event is the type of a repository_dispatch; Workflow and Ref are those
// of a workflow_dispatch, and Payload its inputs.
type Dispatched struct {
	Owner, Repo, Event, Workflow, Ref string
	Payload                           map[string]any
}

// Forge is a GitHub stand-in. It is an http.Handler; all of its methods may be called at the same time.
type Forge struct {
	cfg     Config
	log     *slog.Logger
	mux     *http.ServeMux
	backend string // git's own CGI program
	now     func() time.Time

	mu    sync.Mutex // guards state and every change of a ref
	state state

	meters   map[string]*meter // by login
	troubles troubles
	hooks    deliveries

	documents  []Document
	unresolved map[string]int
	calls      sync.WaitGroup
}

// New opens the forge in cfg.Dir, with the repositories and pull requests that an earlier one left there.
func New(cfg Config) (*Forge, error) {
	if cfg.Dir == "" || cfg.BaseURL == "" {
		return nil, errors.New("forge: Dir and BaseURL are needed")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("forge: %w", err)
	}
	cfg.Dir, cfg.BaseURL = dir, strings.TrimSuffix(cfg.BaseURL, "/")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("forge: %w", err)
	}
	backend, err := httpBackend()
	if err != nil {
		return nil, err
	}
	f := &Forge{cfg: cfg, log: cfg.Log, backend: backend}
	clock := time.Now
	if cfg.Now != nil {
		clock = cfg.Now
	}
	f.now = func() time.Time { return clock().UTC().Truncate(time.Second) }
	f.meters, f.unresolved, f.troubles = map[string]*meter{}, map[string]int{}, newTroubles(cfg.Faults)
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	f.hooks = deliveries{
		url: cfg.WebhookURL, secret: cfg.WebhookSecret, log: f.log,
		random: rand.New(rand.NewPCG(cfg.Faults.Seed, 2)), rate: cfg.Faults.Hooks,
	}
	if err := f.load(); err != nil {
		return nil, err
	}
	f.mux = f.routes()
	return f, nil
}

// Close waits for webhooks and callbacks that are under way.
func (f *Forge) Close() error {
	f.calls.Wait()
	f.hooks.wait()
	return nil
}

func httpBackend() (string, error) {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("forge: git is needed (apt-get install git): %w", err)
	}
	path := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("forge: git's http-backend is needed (part of Debian's git package): %w", err)
	}
	return path, nil
}

// AddUser makes a user whose token may read and write every repository. Adding one again changes its token.
func (f *Forge) AddUser(login, token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.ensureUser(login, "User")
	for old, owner := range f.state.Tokens {
		if owner == login {
			delete(f.state.Tokens, old)
		}
	}
	if token != "" {
		f.state.Tokens[token] = login
	}
	f.save()
}

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// AddRepository makes a repository whose branch main has one commit with the files. One that is there already is left
// as it is, with its history and pull requests. Files under .github/workflows/ can be dispatched by their name.
func (f *Forge) AddRepository(owner, name string, files map[string][]byte) error {
	if !repositoryName.MatchString(owner) || !repositoryName.MatchString(name) {
		return fmt.Errorf("add repository %s/%s: not a repository name", owner, name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.Repositories[owner+"/"+name] != nil {
		return nil
	}
	f.state.ensureUser(owner, "Organization")
	r := &repository{
		ID: f.state.nextID(), Owner: owner, Name: name, Default: "main", Created: f.now(), Pushed: f.now(),
		Pulls: map[int]*pull{}, Labels: map[string]*label{},
	}
	if err := f.initialise(context.Background(), r, files); err != nil {
		return fmt.Errorf("add repository %s/%s: %w", owner, name, err)
	}
	f.state.Repositories[owner+"/"+name] = r
	return f.save()
}

// initialise makes the bare repository anew: what a killed predecessor left half-made is thrown away.
func (f *Forge) initialise(ctx context.Context, r *repository, files map[string][]byte) error {
	git := f.git(r)
	if err := os.RemoveAll(git.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(git.dir, 0o755); err != nil {
		return err
	}
	if _, err := git.line(ctx, nil, "init", "-q", "--bare", "-b", r.Default, git.dir); err != nil {
		return err
	}
	if _, err := git.line(ctx, nil, "config", "http.receivepack", "true"); err != nil {
		return err
	}
	var entries []entry
	for path, content := range files {
		sha, err := git.writeBlob(ctx, content)
		if err != nil {
			return err
		}
		entries = append(entries, entry{Mode: fileMode(content), SHA: sha, Path: path})
	}
	tree, err := git.writeTree(ctx, "", entries)
	if err != nil {
		return err
	}
	who := f.identity(r.Owner)
	sha, err := git.writeCommit(ctx, commit{Tree: tree, Message: "Initial commit", Author: who, Committer: who})
	if err != nil {
		return err
	}
	return git.moveRef(ctx, "refs/heads/"+r.Default, sha, "")
}

// fileMode makes scripts executable, as a person who adds them would.
func fileMode(content []byte) string {
	if bytes.HasPrefix(content, []byte("#!")) {
		return "100755"
	}
	return "100644"
}

// git returns the repository's git directory.
func (f *Forge) git(r *repository) gitDir {
	return gitDir{dir: filepath.Join(f.cfg.Dir, r.Owner, r.Name+".git")}
}
