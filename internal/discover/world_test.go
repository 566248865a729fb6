package discover_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"rebuilder/internal/catalog"
	"rebuilder/internal/demo/forge"
	"rebuilder/internal/discover"
	"rebuilder/internal/githubspec"
	"rebuilder/internal/inventory"
	"rebuilder/internal/notify"
	"rebuilder/internal/notify/github"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// server is an HTTP server that counts what it is asked, and fails as it is told to.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	fault    func(w http.ResponseWriter, r *http.Request) bool // true: answered
}

func serve(t *testing.T, h http.Handler) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		fault := s.fault
		s.mu.Unlock()
		if fault != nil && fault(w, r) {
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) breakWith(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// seen returns the requests since the last call, those for logging in left out.
func (s *server) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := slices.DeleteFunc(s.requests, func(r string) bool { return strings.HasSuffix(r, " /v2/") })
	s.requests = nil
	return got
}

func (s *server) host() string { return strings.TrimPrefix(s.URL, "http://") }

// paged gives the lists of a registry two entries a page, as the distribution specification says. The registry behind has
// no Link headers.
func paged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := ""
		switch {
		case strings.HasSuffix(r.URL.Path, "/_catalog"):
			key = "repositories"
		case strings.HasSuffix(r.URL.Path, "/tags/list"):
			key = "tags"
		default:
			next.ServeHTTP(w, r)
			return
		}
		whole := httptest.NewRecorder()
		next.ServeHTTP(whole, httptest.NewRequest(http.MethodGet, r.URL.Path, nil))
		var list map[string]any
		if whole.Code != http.StatusOK || json.Unmarshal(whole.Body.Bytes(), &list) != nil {
			w.WriteHeader(whole.Code)
			_, _ = w.Write(whole.Body.Bytes())
			return
		}
		var names []string
		some, _ := list[key].([]any)
		for _, n := range some {
			names = append(names, n.(string))
		}
		slices.Sort(names)
		last := r.URL.Query().Get("last")
		names = slices.DeleteFunc(names, func(n string) bool { return n <= last })
		if len(names) > 2 {
			names = names[:2]
			w.Header().Set("Link", fmt.Sprintf(`<%s?last=%s&n=2>; rel="next"`, r.URL.Path, names[1]))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{key: names})
	})
}

// world is a registry and a forge with an organisation, and what a catalog says of them.
type world struct {
	t        *testing.T
	registry *server
	forge    *server
	hub      *forge.Forge
	store    *store.Store
	file     string // of the store
	catalog  *catalog.Catalog
	now      time.Time
	config   discover.Config
	images   *registry.Client
	code     *lister
	base     v1.Image // base/debian:stable
}

// lister is our client of the forge, with a say in when repositories were pushed to and what is left of the rate limit.
type lister struct {
	*github.Client
	pushed map[string]time.Time
	rate   notify.Rate
	more   []notify.Listed   // on the last page
	moved  map[string]string // where GitHub leads on to from a former name
}

func (l *lister) Repository(ctx context.Context, repo string) (notify.Listed, error) {
	if to, ok := l.moved[repo]; ok {
		repo = to
	}
	return l.Client.Repository(ctx, repo)
}

func (l *lister) Repositories(ctx context.Context, org, cursor string) ([]notify.Listed, string, notify.Rate, error) {
	repos, next, rate, err := l.Client.Repositories(ctx, org, cursor)
	for i, r := range repos {
		if at, ok := l.pushed[r.Name]; ok {
			repos[i].PushedAt = at
		}
	}
	if next == "" {
		repos = append(repos, l.more...)
	}
	if l.rate.Limit > 0 {
		rate = l.rate
	}
	return repos, next, rate, err
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Now()}
	w.registry = serve(t, paged(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))))
	w.startForge()
	var err error
	w.images, err = registry.New(registry.Config{Backoff: time.Microsecond, Attempts: 1})
	w.must(err)
	w.catalog = &catalog.Catalog{
		Forge:     catalog.Forge{URL: w.forge.URL + "/api/v3"},
		Bases:     []catalog.Base{{Name: "base/debian", Image: w.registry.host() + "/base/debian", Channel: "stable"}},
		Discovery: catalog.Discovery{Registries: []string{w.registry.host()}, Organizations: []string{"acme"}, Interval: 6 * time.Hour},
	}
	w.base = w.image(2)
	w.push("base/debian:stable", w.base)
	w.fresh()
	return w
}

// fresh begins with an empty store, in which the base's inventory is.
func (w *world) fresh() {
	w.t.Helper()
	dsn := storetest.SQLite(w.t)
	w.file = strings.TrimPrefix(dsn, "sqlite:")
	w.store = storetest.Open(w.t, dsn)
	w.read("base/debian", w.base)
}

// description is loaded once for all tests.
var description = sync.OnceValues(githubspec.GitHub)

func (w *world) startForge() {
	w.t.Helper()
	cloud, err := description()
	w.must(err)
	record := githubspec.NewRecord(cloud)
	var hub http.Handler = http.NotFoundHandler()
	judged := record.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { hub.ServeHTTP(rw, r) }))
	w.forge = serve(w.t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("per_page") == "100" && strings.Contains(r.URL.Path, "/orgs/") {
			q.Set("per_page", "2")
			r.URL.RawQuery = q.Encode()
		}
		judged.ServeHTTP(rw, r)
	}))
	w.hub, err = forge.New(forge.Config{Dir: w.t.TempDir(), BaseURL: w.forge.URL})
	w.must(err)
	hub = w.hub
	w.hub.AddUser("bot", "secret")
	w.t.Cleanup(func() {
		for _, f := range record.Findings() {
			w.t.Error(f)
		}
	})
	w.login()
}

// login makes a client of the forge, as a daemon does that starts anew.
func (w *world) login() {
	w.t.Helper()
	client, err := github.New(github.Config{BaseURL: w.forge.URL + "/api/v3", RetryWait: time.Microsecond,
		Token: func(context.Context) (string, error) { return "secret", nil }})
	w.must(err)
	w.code = &lister{Client: client, pushed: map[string]time.Time{}}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// image has layers of its own.
func (w *world) image(layers int64) v1.Image {
	w.t.Helper()
	img, err := random.Image(100, layers)
	w.must(err)
	return w.platform(img, "linux/amd64")
}

func (w *world) platform(img v1.Image, platform string) v1.Image {
	w.t.Helper()
	p, err := v1.ParsePlatform(platform)
	w.must(err)
	cfg, err := img.ConfigFile()
	w.must(err)
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = p.OS, p.Architecture
	img, err = mutate.ConfigFile(img, cfg)
	w.must(err)
	return img
}

// on is an image with one layer more.
func (w *world) on(img v1.Image) v1.Image {
	w.t.Helper()
	layer, err := random.Layer(100, types.OCILayer)
	w.must(err)
	img, err = mutate.AppendLayers(img, layer)
	w.must(err)
	return img
}

func (w *world) index(images ...v1.Image) v1.ImageIndex {
	w.t.Helper()
	var idx v1.ImageIndex = empty.Index
	for _, img := range images {
		cfg, err := img.ConfigFile()
		w.must(err)
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: cfg.Platform()}})
	}
	return idx
}

func (w *world) reference(ref string) name.Reference {
	w.t.Helper()
	r, err := name.ParseReference(w.registry.host() + "/" + ref)
	w.must(err)
	return r
}

func (w *world) push(ref string, what remote.Taggable) {
	w.t.Helper()
	w.must(remote.Push(w.reference(ref), what))
}

func (w *world) untag(ref string) {
	w.t.Helper()
	w.must(remote.Delete(w.reference(ref)))
}

// read stores an image's inventory as the look at the catalog does.
func (w *world) read(as string, img v1.Image) {
	w.t.Helper()
	digest, err := img.Digest()
	w.must(err)
	cfg, err := img.ConfigFile()
	w.must(err)
	inv := &inventory.Inventory{Format: inventory.Format, Digest: digest, Platform: cfg.Platform().String(), DiffIDs: cfg.RootFS.DiffIDs}
	w.must(store.SaveInventory(w.t.Context(), w.store.Q(), as, inv, w.now.UnixMilli()))
}

func (w *world) repository(name string, files ...string) {
	w.t.Helper()
	content := map[string][]byte{"README.md": []byte(name)}
	for i := 0; i < len(files); i += 2 {
		content[files[i]] = []byte(files[i+1])
	}
	w.must(w.hub.AddRepository("acme", name, content))
}

// from is a Dockerfile on the base.
func (w *world) from() string { return "FROM " + w.registry.host() + "/base/debian:stable\n" }

func (w *world) discoverer() *discover.Discoverer {
	w.t.Helper()
	c := w.config
	c.Registry, c.Forge, c.Store, c.Now = w.images, w.code, w.store, func() time.Time { return w.now }
	d, err := discover.New(c)
	w.must(err)
	return d
}

// slice does one Run and moves the clock to the next one.
func (w *world) slice() discover.Report {
	w.t.Helper()
	report, err := w.discoverer().Run(w.t.Context(), w.catalog)
	w.must(err)
	w.now = report.Next
	return report
}

// complete runs until each place's walk is complete once more, and returns what each last report says.
func (w *world) complete() map[string]discover.PlaceReport {
	w.t.Helper()
	done := map[string]discover.PlaceReport{}
	for range 100 {
		report := w.slice()
		for _, p := range report.Places {
			if p.Complete {
				done[p.Place] = p
			}
		}
		if len(done) == len(report.Places) {
			return done
		}
	}
	w.t.Fatal("a walk does not come to its end")
	return nil
}

// rows are what is observed, in words.
func (w *world) rows() []string {
	w.t.Helper()
	all, err := store.ObservedAll(w.t.Context(), w.store.Q())
	w.must(err)
	var out []string
	for _, o := range all {
		line := strings.ReplaceAll(strings.ReplaceAll(o.Name, w.registry.host()+"/", ""), w.forge.host()+"/", "")
		for _, p := range o.Parents {
			line += fmt.Sprintf(" <- %s %s %s", p.Name, p.Kind, p.Evidence)
			if p.File != "" {
				line += fmt.Sprintf(" %s:%d", p.File, p.Line)
			}
			if p.Platform != "" {
				line += " " + p.Platform
			}
		}
		if o.State != "" {
			line += " (" + o.State + ")"
		}
		if o.Unknown != "" {
			line += " ? " + o.Unknown
		}
		if o.GoneAt > 0 {
			line += " gone"
		}
		out = append(out, line)
	}
	return out
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	if got := w.rows(); !slices.Equal(got, want) {
		w.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (w *world) row(name string) store.Observed {
	w.t.Helper()
	all, err := store.ObservedAll(w.t.Context(), w.store.Q())
	w.must(err)
	i := slices.IndexFunc(all, func(o store.Observed) bool { return strings.HasSuffix(o.Name, "/"+name) })
	if i < 0 {
		w.t.Fatalf("%s is not observed", name)
	}
	whole, _, err := store.GetObserved(w.t.Context(), w.store.Q(), all[i].Key)
	w.must(err)
	return whole
}

func (w *world) heartbeat(place string) store.Watcher {
	w.t.Helper()
	all, err := store.Watchers(w.t.Context(), w.store.Q())
	w.must(err)
	for _, one := range all {
		if one.Name == "discovery/"+place {
			return one
		}
	}
	return store.Watcher{}
}

func discoveryOf(registries ...string) catalog.Discovery {
	return catalog.Discovery{Registries: registries, Interval: time.Hour}
}
