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
	// MaxBytes bounds what is fetched of one repository, and each of its files decompressed; 512 MiB when zero.
	MaxBytes int64
	// MaxAge is how long an answer of State serves again without a request; 0 asks each time.
	MaxAge time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Watcher watches package repositories of all families. It is safe for concurrent use.
//
// It believes a repository only what a key of the image has signed, never goes back to an older state, and keeps what
// it knew when something is wrong.
type Watcher struct {
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
	forgot     time.Time // when forget looked last
}

// New returns a watcher. It makes no request.
func New(c Config) (*Watcher, error) {
	if c.Dir == "" {
		return nil, errors.New("watch: a directory for package indexes must be given")
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &Watcher{
		dir: c.Dir, client: c.Client, log: c.Log, maxBytes: c.MaxBytes, maxAge: c.MaxAge, now: c.Now,
		entries: map[string]*entry{},
	}
	if w.client == nil {
		w.client = &http.Client{}
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.maxBytes == 0 {
		w.maxBytes = 512 << 20
	}
	if w.now == nil {
		w.now = time.Now
	}
	return w, nil
}

// Want adds to the names of packages that indexes are to hold; until it is called they hold all. Debian alone has
// 60,000, of which a catalog uses some hundred. Names are never forgotten.
func (w *Watcher) Want(names ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.wanted)
	if w.wanted == nil {
		w.wanted, before = map[string]struct{}{}, -1
	}
	for _, n := range names {
		w.wanted[n] = struct{}{}
	}
	if len(w.wanted) != before {
		w.generation++
	}
}

// wants returns the present question, and its number.
func (w *Watcher) wants() (func(string) bool, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wanted == nil {
		return func(string) bool { return true }, w.generation
	}
	return func(name string) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		_, ok := w.wanted[name]
		return ok
	}, w.generation
}

// State asks a repository whether it changed, by one conditional request, and reads what did. Callers that ask for the
// same repository with the same keys at the same time wait for one another.
//
// When something is wrong the last good index is returned, with Index.Stale saying why. The error is for when there
// never was one; errors.Is finds the reasons (ErrSignature, ErrExpired, ...) in both.
func (w *Watcher) State(ctx context.Context, repo inventory.Repository) (*Index, error) {
	e := w.entry(repo)
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	wanted, generation := w.wants()
	if w.maxAge > 0 && e.generation == generation && w.now().Sub(e.asked) < w.maxAge {
		return e.answer()
	}
	err := w.refresh(ctx, e, wanted, generation)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("package repository %s: %w", repositoryName(repo), err)
		w.log.Warn("package repository not read", "repository", repositoryName(repo), "err", err, "known", e.index != nil)
	}
	e.failed, e.asked = err, w.now()
	_ = os.Chtimes(e.dir, time.Time{}, e.asked) // for forget; there is no directory where there can be no repository
	return e.answer()
}

// entry is what is known of one repository with one set of keys.
type entry struct {
	repo   inventory.Repository
	family family
	dir    string
	sem    chan struct{} // held while the rest is used

	loaded     bool
	known      known
	published  map[string]int64
	index      *Index
	generation int
	asked      time.Time
	failed     error
}

func (w *Watcher) entry(repo inventory.Repository) *entry {
	key := keyOf(repo)
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.entries[key]
	if !ok {
		f, _ := familyOf(repo.Type)
		e = &entry{repo: repo, family: f, dir: filepath.Join(w.dir, key), sem: make(chan struct{}, 1)}
		w.entries[key] = e
	}
	return e
}

// keyOf identifies a repository with its keys, whichever file names it. The first of apk's architectures is the one that
// is read.
func keyOf(repo inventory.Repository) string {
	repo.Where = ""
	repo.URI = strings.TrimRight(repo.URI, "/")
	repo.Components = sorted(repo.Components)
	if repo.Type != inventory.APK {
		repo.Architectures = sorted(repo.Architectures)
	}
	b, _ := json.Marshal(repo) // strings and bytes only: cannot fail
	return strings.TrimPrefix(hashLines([]string{string(b)}), "sha256:")[:keyLength]
}

const keyLength = 32

// isKey says that a name is one of keyOf's.
func isKey(name string) bool {
	return len(name) == keyLength && strings.Trim(name, "0123456789abcdef") == ""
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

// before has the versions offered until now; those that were stored, after a restart.
func (e *entry) before() map[string][]offer {
	if e.index != nil {
		return e.index.packages
	}
	return dated(e.published)
}

func (e *entry) answer() (*Index, error) {
	if e.index == nil {
		return nil, e.failed
	}
	ix := *e.index
	ix.Stale = e.failed
	return &ix, nil
}

// refresh brings e up to date. On an error e is as it was.
func (w *Watcher) refresh(ctx context.Context, e *entry, wanted func(string) bool, generation int) error {
	if e.family == nil {
		return fmt.Errorf("%s: repositories of type %q cannot be watched", e.repo.Where, e.repo.Type)
	}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return err
	}
	if err := w.load(e); err != nil {
		w.log.Warn("stored package index is not used", "dir", e.dir, "err", err)
	}
	// When something is wrong, what is known is still to be had, for the packages wanted now too, if it lies on disk.
	next, err := w.ask(ctx, e)
	if err != nil {
		return errors.Join(err, w.reread(ctx, e, wanted, generation))
	}
	if next.head == nil {
		e.known.validators = next.validators
		return errors.Join(w.reread(ctx, e, wanted, generation), e.known.about.fresh(w.now()))
	}
	if err := w.read(ctx, e, next, wanted, generation); err != nil {
		return errors.Join(err, w.reread(ctx, e, wanted, generation))
	}
	return e.known.about.fresh(w.now())
}

// answered is a head that may become the entry's. It is verified.
type answered struct {
	raw        []byte
	head       head // nil: it is the one known
	validators validators
}

// ask makes the conditional request.
func (w *Watcher) ask(ctx context.Context, e *entry) (answered, error) {
	raw, v, err := e.family.ask(ctx, w, e.repo, e.known)
	if err != nil {
		return answered{}, err
	}
	if raw == nil || sumOf(raw) == e.known.sum {
		return answered{validators: v}, nil
	}
	h, err := e.family.open(w, raw, e.repo, w.now())
	if err != nil {
		return answered{}, err
	}
	if err := h.about().check(e.known.about, w.now()); err != nil {
		return answered{}, err
	}
	return answered{raw, h, v}, nil
}

// load takes over what an earlier process left. It is verified again: the keys are the image's, the directory is not.
func (w *Watcher) load(e *entry) error {
	if e.loaded {
		return nil
	}
	e.loaded = true
	c, err := loadCached(e.dir)
	if err != nil || c == nil {
		return err
	}
	h, _, err := w.reopen(e, c.Head)
	if err != nil {
		return err
	}
	e.known = known{sum: c.Head, validators: c.Validators, about: h.about()}
	e.published = c.Published
	return nil
}

// reopen reads a head from disk.
func (w *Watcher) reopen(e *entry, sum string) (head, []byte, error) {
	raw, err := os.ReadFile(headFile(e.dir, sum))
	if err != nil {
		return nil, nil, err
	}
	if sumOf(raw) != sum {
		return nil, nil, fmt.Errorf("%s: %w", headFile(e.dir, sum), ErrMismatch)
	}
	h, err := e.family.open(w, raw, e.repo, w.now())
	return h, raw, err
}

// reread makes the index of what is known already, when it is not made yet or more packages are wanted now.
func (w *Watcher) reread(ctx context.Context, e *entry, wanted func(string) bool, generation int) error {
	if e.known.sum == "" || ctx.Err() != nil || e.index != nil && e.generation == generation {
		return nil
	}
	h, raw, err := w.reopen(e, e.known.sum)
	if err != nil {
		e.known = known{about: e.known.about} // the next request asks for all of it, and takes nothing older
		return err
	}
	return w.read(ctx, e, answered{raw, h, e.known.validators}, wanted, generation)
}

// read makes the index that a head describes, fetching what is not on disk, and then replaces what e knows.
func (w *Watcher) read(ctx context.Context, e *entry, next answered, wanted func(string) bool, generation int) error {
	parts, err := next.head.parts(e.repo)
	if err == nil {
		err = checkParts(parts, w.maxBytes)
	}
	if err != nil {
		return err
	}
	sum := sumOf(next.raw)
	packages, keep, used := map[string][]offer{}, map[string]bool{headFile(e.dir, sum): true}, []string{}
	left := maxOffers
	for _, p := range parts {
		f, at, err := w.fetchPart(ctx, e, next, p)
		if err != nil {
			return err
		}
		if err := w.parse(at, next.head, p, f, wanted, adder(packages, &left)); err != nil {
			return err
		}
		if left < 0 {
			return fmt.Errorf("%s: more than %d versions of packages: %w", f.name, maxOffers, ErrTooLarge)
		}
		keep[at] = true
		used = append(used, p.component+" "+p.identity)
	}
	if err := e.family.regressed(e.before(), packages); err != nil {
		return err
	}
	is := next.head.about()
	published := date(packages, e.published, is.date)
	keepDates(published, e.published, wanted)
	if err := writeHead(e.dir, sum, next.raw); err != nil {
		return err
	}
	state := &cached{Repository: repositoryName(e.repo), Head: sum, Validators: next.validators, Published: published}
	if err := state.save(e.dir, keep); err != nil {
		return err
	}
	e.known, e.published = known{sum, next.validators, is}, published
	e.index, e.generation = newIndex(e.repo, is, used, packages), generation
	w.log.Info("package index read", "repository", e.index.Name(), "date", e.index.Date, "packages", len(packages), "hash", e.index.Hash)
	return nil
}

const (
	maxOffers = 300_000 // versions of packages of one repository; Debian has 70,000
	maxParts  = 100     // of one repository
)

// adder puts what is read into packages until nothing is left: the rest is counted, and not kept.
func adder(packages map[string][]offer, left *int) func(string, offer) {
	return func(name string, o offer) {
		if *left--; *left >= 0 {
			packages[name] = append(packages[name], o)
		}
	}
}

// checkParts refuses a repository that has more than limit bytes as a whole.
func checkParts(parts []part, limit int64) error {
	left := limit
	if len(parts) > maxParts {
		return fmt.Errorf("%w: %d lists of packages, more than %d", ErrTooLarge, len(parts), maxParts)
	}
	for _, p := range parts {
		largest := indexFile{}
		for _, f := range p.forms {
			if f.size >= largest.size {
				largest = f
			}
		}
		if left -= largest.size; left < 0 {
			return fmt.Errorf("%s: %w: with the lists before it more than %d bytes", largest.name, ErrTooLarge, limit)
		}
	}
	return nil
}

// fetchPart takes the first form that the server has: the plain one is often listed and not there. at is empty for a part
// that lies in the head.
func (w *Watcher) fetchPart(ctx context.Context, e *entry, next answered, p part) (f indexFile, at string, err error) {
	for _, f = range p.forms {
		if at, err = w.fetchFile(ctx, e, next, f); err == nil {
			return f, at, nil
		}
		if !errors.Is(err, errMissing) {
			return f, "", err
		}
	}
	return f, "", err
}

func (w *Watcher) parse(at string, h head, p part, f indexFile, wanted func(string) bool, add func(string, offer)) error {
	limit := w.maxBytes
	if p.plainSize > 0 {
		limit = min(limit, p.plainSize)
	}
	if at == "" {
		return h.read(p, f, nil, limit, wanted, add)
	}
	file, err := os.Open(at)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := h.read(p, f, file, limit, wanted, add); err != nil {
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

// keepDates adds the dates of packages that were not read: a later reading, or another process, may want them again.
func keepDates(dates, before map[string]int64, wanted func(string) bool) {
	for key, at := range before {
		f := strings.Split(key, " ")
		if len(f) == 3 && !wanted(f[0]) { // what is said of modules has more words
			dates[key] = at
		}
	}
}

// dated turns dates, as date returns them, into offers again.
func dated(published map[string]int64) map[string][]offer {
	packages := map[string][]offer{}
	for key, at := range published {
		if f := strings.SplitN(key, " ", 3); len(f) == 3 {
			packages[f[0]] = append(packages[f[0]], offer{arch: f[1], version: f[2], published: at})
		}
	}
	return packages
}

func newIndex(repo inventory.Repository, is about, used []string, packages map[string][]offer) *Index {
	slices.Sort(used)
	return &Index{
		Repository: repo, Origin: is.origin, Label: is.label, Suite: is.suite, Codename: is.codename, Version: is.version,
		Date: is.date, ValidUntil: is.validUntil, Hash: hashLines(used),
		NotAutomatic: is.notAutomatic, ButAutomaticUpgrades: is.butUpgrades, Unsigned: is.unsigned,
		packages: packages,
	}
}
