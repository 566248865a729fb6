// Package advisory knows which packages have known vulnerabilities. A Book reads advisories in OSV form and lists of what
// is exploited, keeps in the store what it needs of them, and answers, without asking anybody or pulling an image: what
// hits this inventory, which stored inventories does this advisory hit, and which bases should be rebuilt for one.
//
//	sources: directory, zip file, mirror          internal/store            answers
//	OSV records  ── only changed ones ──►  advisory, advisory_package  ──►  Findings, Lookup
//	KEV, EPSS    ── only changed ones ──►  advisory_fact                    New
//	                                       package, package_in, listed ──►  Affected
//
// Ranges are evaluated here, as OSV's schema says, over the order of versions that internal/patch has.
// scalibr's own matcher is not used: it takes a binary package's version for that of its source, panics on what is no
// version, sorts records that others read, and wants all of them decoded in memory.
//
// What cannot be told is not clean: a Result says of each ecosystem whether anything is known of it, and as of when.
package advisory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"rebuilder/internal/store"
)

// Kind says what a source has.
type Kind string

// The kinds of sources.
const (
	OSV       Kind = "osv"  // advisories in OSV form
	Exploited Kind = "kev"  // CISA's catalog of known exploited vulnerabilities, JSON
	EPSS      Kind = "epss" // FIRST's scores, CSV, gzip or not
)

// Source is where advisories, or more facts on them, are read.
type Source struct {
	Name string // its own among all
	Kind Kind   // empty: OSV
	// One of the two. Of OSV a path is a directory of records and of zip files, or one of those; a URL is a zip file, or a
	// mirror: a directory for each of Ecosystems, with modified_id.csv, all.zip and the records. Of the rest it is a file.
	Path, URL string
	// Ecosystems are those of a mirror, named as its directories: "Debian:12", "Go". Of any OSV source only advisories for
	// them are kept; empty: all that images can have.
	Ecosystems []string
	Interval   time.Duration // between two looks of Run; 0: an hour
}

const defaultInterval = time.Hour

// check says what is wrong with a source.
func (s Source) check() error {
	switch {
	case s.Name == "":
		return errors.New("a source of advisories needs a name")
	case (s.Path == "") == (s.URL == ""):
		return fmt.Errorf("source %s of advisories needs a path or a URL, one of the two", s.Name)
	case !slices.Contains([]Kind{OSV, Exploited, EPSS}, s.Kind):
		return fmt.Errorf("source %s of advisories is of kind %q: known are %s, %s and %s", s.Name, s.Kind, OSV, Exploited, EPSS)
	case s.URL == "":
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("source %s of advisories: its URL must begin with https:// or http:// and a host", s.Name)
	}
	if s.mirror() && len(s.Ecosystems) == 0 {
		return fmt.Errorf(`source %s of advisories is a mirror: say which ecosystems, like ecosystems = ["Debian:12", "Go"], or name a .zip file`, s.Name)
	}
	return nil
}

// mirror says that a source is a directory on a server.
func (s Source) mirror() bool {
	u, err := url.Parse(s.URL)
	return s.Kind == OSV && s.URL != "" && err == nil && !strings.HasSuffix(u.Path, ".zip")
}

// place is what is read, in words; another one is read from its beginning.
func (s Source) place() string {
	place := s.Path
	if s.URL != "" {
		place = shown(s.URL)
	}
	if len(s.Ecosystems) > 0 {
		place += " (" + strings.Join(s.Ecosystems, ", ") + ")"
	}
	return place
}

// shown is an address without what may be secret in it.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// wanted says which ecosystems are kept; nil: all.
func (s Source) wanted() func(string) bool {
	if len(s.Ecosystems) == 0 {
		return nil
	}
	var want []string
	for _, e := range s.Ecosystems {
		name, _ := kept(e)
		want = append(want, name)
	}
	return func(ecosystem string) bool {
		bare, _, _ := strings.Cut(ecosystem, ":")
		return slices.Contains(want, ecosystem) || slices.Contains(want, bare)
	}
}

// Config is what a Book needs besides the store. Its zero value has no source: nothing is known of anything.
type Config struct {
	Sources []Source
	Client  *http.Client // nil: one that repeats what fails
	Log     *slog.Logger // nil: nothing is logged
}

// Book knows advisories. It is safe for concurrent use.
type Book struct {
	store  *store.Store
	client *http.Client
	log    *slog.Logger

	syncing sync.Mutex // one look at a time

	mu      sync.Mutex
	sources []Source
	changed chan struct{} // closed when the sources are others

	news newsCache
}

// New returns a Book over what the store has already.
func New(st *store.Store, c Config) (*Book, error) {
	b := &Book{store: st, client: c.Client, log: c.Log, changed: make(chan struct{})}
	if b.client == nil {
		b.client = patient()
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	return b, b.Use(c.Sources)
}

// Use replaces the sources, as when the catalog is another. What only sources brought that are not among them any more is
// forgotten by the next Sync.
func (b *Book) Use(sources []Source) error {
	sources = slices.Clone(sources)
	names := map[string]bool{}
	for i := range sources {
		s := &sources[i]
		if s.Kind == "" {
			s.Kind = OSV
		}
		if err := s.check(); err != nil {
			return err
		}
		if names[s.Name] {
			return fmt.Errorf("two sources of advisories are named %s", s.Name)
		}
		names[s.Name] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sources = sources
	close(b.changed)
	b.changed = make(chan struct{})
	return nil
}

// used are the sources, and what is closed when they are others.
func (b *Book) used() ([]Source, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sources, b.changed
}

// SourceState is how reading a source went.
type SourceState struct {
	Name  string
	Kind  Kind
	Place string // the path or address, and the ecosystems
	// LookedAt is the last look, OKAt the last that worked: what is known is as of then. ChangedAt is when something new was
	// found last. Zero: never.
	LookedAt, OKAt, ChangedAt time.Time
	ListedAt                  time.Time // the date that a list gives itself; zero: none
	Records                   int       // files of OSV, entries of a list
	Broken                    int       // of those
	Problems                  []string  // the first broken ones, with what is wrong
	Ecosystems                []string  // that there are advisories for
	Error                     string    // why the last look failed; what was known before still is
}

// States returns how reading each source went, by name.
func (b *Book) States(ctx context.Context) ([]SourceState, error) {
	all, err := store.AdvisorySources(ctx, b.store.Q())
	out := make([]SourceState, 0, len(all))
	for _, s := range all {
		out = append(out, SourceState{Name: s.Name, Kind: Kind(s.Kind), Place: s.Place, LookedAt: moment(s.LookedAt), OKAt: moment(s.OKAt), ChangedAt: moment(s.ChangedAt),
			ListedAt: moment(s.ListedAt), Records: s.Records, Broken: s.Broken, Problems: s.Problems, Ecosystems: s.Ecosystems, Error: s.Error})
	}
	return out, err
}

// moment is a stored time; zero when there is none.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
