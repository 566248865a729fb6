package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"rebuilder/internal/inventory"
)

// Config says how repositories are watched. Dir is needed; the rest has defaults.
type Config struct {
	// Dir keeps what was read last of each repository across restarts. It is made when missing. Replicas may share it.
	Dir string
	// Client makes the requests; one with the default transport when nil.
	Client *http.Client
	// Log gets what was found and what was refused; nothing is logged when nil.
	Log *slog.Logger
	// MaxBytes bounds one Packages file, compressed and decompressed; 512 MiB when zero.
	MaxBytes int64
	// MaxAge is how long an answer of State serves again without a request; 0 asks each time.
	MaxAge time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Debian watches Debian package repositories. It is safe for concurrent use.
//
// It believes a repository only what a key of the image has signed, never goes back to an older state, and keeps what
// it knew when something is wrong.
type Debian struct {
	dir      string
	client   *http.Client
	log      *slog.Logger
	maxBytes int64
	maxAge   time.Duration
	now      func() time.Time

	mu         sync.Mutex
	wanted     map[string]struct{} // nil: every package
	generation int                 // counts up when wanted grows
	entries    map[string]*entry
}

// NewDebian returns a watcher. It makes no request.
func NewDebian(c Config) (*Debian, error) {
	if c.Dir == "" {
		return nil, errors.New("watch: a directory for package indexes must be given")
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	d := &Debian{
		dir: c.Dir, client: c.Client, log: c.Log, maxBytes: c.MaxBytes, maxAge: c.MaxAge, now: c.Now,
		entries: map[string]*entry{},
	}
	if d.client == nil {
		d.client = &http.Client{}
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.maxBytes == 0 {
		d.maxBytes = 512 << 20
	}
	if d.now == nil {
		d.now = time.Now
	}
	return d, nil
}

// Want adds to the names of packages that indexes are to hold; until it is called they hold all. Debian alone has
// 60,000, of which a catalog uses some hundred. Names are never forgotten.
func (d *Debian) Want(names ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := len(d.wanted)
	if d.wanted == nil {
		d.wanted, before = map[string]struct{}{}, -1
	}
	for _, n := range names {
		d.wanted[n] = struct{}{}
	}
	if len(d.wanted) != before {
		d.generation++
	}
}

// wants returns the present question, and its number.
func (d *Debian) wants() (func(string) bool, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wanted == nil {
		return func(string) bool { return true }, d.generation
	}
	return func(name string) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		_, ok := d.wanted[name]
		return ok
	}, d.generation
}

// State asks a repository whether it changed, by one conditional request, and reads what did. Callers that ask for the
// same repository with the same keys at the same time wait for one another.
//
// When something is wrong the last good index is returned, with Index.Stale saying why. The error is for when there
// never was one; errors.Is finds the reasons (ErrSignature, ErrExpired, ...) in both.
func (d *Debian) State(ctx context.Context, repo inventory.Repository) (*Index, error) {
	e := d.entry(repo)
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	wanted, generation := d.wants()
	if d.maxAge > 0 && e.generation == generation && d.now().Sub(e.asked) < d.maxAge {
		return e.answer()
	}
	err := d.refresh(ctx, e, wanted, generation)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("package repository %s: %w", repositoryName(repo), err)
		d.log.Warn("package repository not read", "repository", repositoryName(repo), "err", err, "known", e.index != nil)
	}
	e.failed, e.asked = err, d.now()
	return e.answer()
}

// entry is what is known of one repository with one set of keys.
type entry struct {
	repo inventory.Repository
	dir  string
	sem  chan struct{} // held while the rest is used

	loaded     bool
	raw        []byte
	release    *release
	validators validators
	published  map[string]int64
	index      *Index
	generation int
	asked      time.Time
	failed     error
}

func (d *Debian) entry(repo inventory.Repository) *entry {
	key := keyOf(repo)
	d.mu.Lock()
	defer d.mu.Unlock()
	e, ok := d.entries[key]
	if !ok {
		e = &entry{repo: repo, dir: filepath.Join(d.dir, key), sem: make(chan struct{}, 1)}
		d.entries[key] = e
	}
	return e
}

// keyOf identifies a repository with its keys, whichever file names it.
func keyOf(repo inventory.Repository) string {
	repo.Where = ""
	repo.URI = strings.TrimRight(repo.URI, "/")
	repo.Components = sorted(repo.Components)
	repo.Architectures = sorted(repo.Architectures)
	b, _ := json.Marshal(repo) // strings and bytes only: cannot fail
	return strings.TrimPrefix(hashLines([]string{string(b)}), "sha256:")[:32]
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}

func (e *entry) lock(ctx context.Context) error {
	select {
	case e.sem <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *entry) unlock() { <-e.sem }

func (e *entry) answer() (*Index, error) {
	if e.index == nil {
		return nil, e.failed
	}
	ix := *e.index
	ix.Stale = e.failed
	return &ix, nil
}

// refresh brings e up to date. On an error e is as it was.
func (d *Debian) refresh(ctx context.Context, e *entry, wanted func(string) bool, generation int) error {
	if err := d.load(e); err != nil {
		d.log.Warn("stored package index is not used", "dir", e.dir, "err", err)
	}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return err
	}
	// When something is wrong, what is known is still to be had, for the packages wanted now too, if it lies on disk.
	next, changed, err := d.ask(ctx, e)
	if err != nil {
		return errors.Join(err, d.reread(ctx, e, wanted, generation))
	}
	if !changed && e.index != nil && e.generation == generation {
		e.validators = next.validators
		return next.release.fresh(d.now())
	}
	if err := d.read(ctx, e, next, wanted, generation); err != nil {
		return errors.Join(err, d.reread(ctx, e, wanted, generation))
	}
	return next.release.fresh(d.now())
}

// known is a release file that may become the entry's.
type known struct {
	raw        []byte
	release    *release
	validators validators
}

// ask makes the conditional request. What it returns is verified.
func (d *Debian) ask(ctx context.Context, e *entry) (next known, changed bool, err error) {
	raw, v, err := d.fetchRelease(ctx, e.repo, e.validators)
	if err != nil {
		return known{}, false, err
	}
	if raw == nil || slices.Equal(raw, e.raw) {
		return known{e.raw, e.release, v}, false, nil
	}
	r, err := readRelease(raw, e.repo.Keys, d.now())
	if err != nil {
		return known{}, false, err
	}
	if err := r.check(e.release, d.now()); err != nil {
		return known{}, false, err
	}
	return known{raw, r, v}, true, nil
}

// load takes over what an earlier process left. It is verified again: the keys are the image's, the directory is not.
func (d *Debian) load(e *entry) error {
	if e.loaded {
		return nil
	}
	e.loaded = true
	c, err := loadCached(e.dir)
	if err != nil || c == nil {
		return err
	}
	r, err := readRelease(c.InRelease, e.repo.Keys, d.now())
	if err != nil {
		return err
	}
	e.raw, e.release, e.validators, e.published = c.InRelease, r, c.Validators, c.Published
	return nil
}

// reread makes the index of what is known already, when it is not made yet or more packages are wanted now.
func (d *Debian) reread(ctx context.Context, e *entry, wanted func(string) bool, generation int) error {
	if e.release == nil || ctx.Err() != nil || e.index != nil && e.generation == generation {
		return nil
	}
	return d.read(ctx, e, known{e.raw, e.release, e.validators}, wanted, generation)
}

// read makes the index that a release describes, fetching what is not on disk, and then replaces what e knows.
func (d *Debian) read(ctx context.Context, e *entry, next known, wanted func(string) bool, generation int) error {
	choices, err := next.release.choose(e.repo)
	if err != nil {
		return err
	}
	packages, keep, used := map[string][]offer{}, map[string]bool{}, []string{}
	for _, c := range choices {
		f, at, err := d.fetchChoice(ctx, e, next.release, c)
		if err != nil {
			return err
		}
		if err := d.parse(at, c, f, wanted, packages); err != nil {
			return err
		}
		keep[at] = true
		used = append(used, identity(c))
	}
	published := date(packages, e.published, next.release.date)
	state := &cached{Repository: repositoryName(e.repo), Validators: next.validators, InRelease: next.raw, Published: published}
	if err := state.save(e.dir, keep); err != nil {
		return err
	}
	e.raw, e.release, e.validators, e.published = next.raw, next.release, next.validators, published
	e.index, e.generation = newIndex(e.repo, next.release, used, packages), generation
	d.log.Info("package index read", "repository", e.index.Name(), "date", e.index.Date, "packages", len(packages), "hash", e.index.Hash)
	return nil
}

// identity names a Packages file by its content, whichever form of it is fetched.
func identity(c choice) string {
	f := c.forms[len(c.forms)-1]
	return c.component + " " + f.name + " " + f.sha256
}

// fetchChoice takes the first form that the server has: the plain one is often listed and not there.
func (d *Debian) fetchChoice(ctx context.Context, e *entry, r *release, c choice) (f indexFile, at string, err error) {
	for _, f := range c.forms {
		if at, err = d.fetchFile(ctx, e.repo, r, f, e.dir); err == nil {
			return f, at, nil
		}
		if !errors.Is(err, errMissing) {
			return f, "", err
		}
	}
	return f, "", err
}

func (d *Debian) parse(at string, c choice, f indexFile, wanted func(string) bool, to map[string][]offer) error {
	file, err := os.Open(at)
	if err != nil {
		return err
	}
	defer file.Close()
	limit := d.maxBytes
	if c.plainSize > 0 {
		limit = min(limit, c.plainSize)
	}
	r, err := decompress(f.name, file, limit)
	if err != nil {
		return err
	}
	if err := readPackages(r, c.component, wanted, to); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

// date gives each offer the date at which it was first seen, and returns those dates.
func date(packages map[string][]offer, before map[string]int64, now time.Time) map[string]int64 {
	dates := map[string]int64{}
	for name, offers := range packages {
		for i := range offers {
			key := name + " " + offers[i].arch + " " + offers[i].version
			at, ok := before[key]
			if !ok {
				at = now.UnixMilli()
			}
			offers[i].published, dates[key] = at, at
		}
	}
	return dates
}

func newIndex(repo inventory.Repository, r *release, used []string, packages map[string][]offer) *Index {
	slices.Sort(used)
	return &Index{
		Repository: repo, Origin: r.origin, Label: r.label, Suite: r.suite, Codename: r.codename,
		Date: r.date, ValidUntil: r.validUntil, Hash: hashLines(used),
		NotAutomatic: r.notAutomatic, ButAutomaticUpgrades: r.butUpgrades,
		packages: packages,
	}
}
