// Package apitest is a small, fixed world behind a real API server: a catalog of ten images, a look at it, and a
// store with rollouts, builds and proposals, at one fixed moment. Handlers, command line and pages are tested on it.
package apitest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/api"
	"rebuilder/internal/build"
	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/reconcile"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
	"rebuilder/internal/watch"
)

// Scenario names a moment in the life of the world.
type Scenario string

const (
	Empty   Scenario = "empty"   // started, nothing looked at yet
	Calm    Scenario = "calm"    // everything current
	Fix     Scenario = "fix"     // a patch is out; what is not done has its reasons
	Running Scenario = "running" // a rollout of that patch is under way
	Broken  Scenario = "broken"  // the rollout failed, the catalog on disk is broken, the builder is away
	// Judged is calm, too; images are judged, and one can be read from its registry.
	Judged Scenario = "judged"
	// Advised is Fix, with advisories, exceptions and statements.
	Advised Scenario = "advised"
	// Observed is calm, too; discovery found images, and an upstream has a digest that is not taken yet.
	Observed Scenario = "observed"
	// Told is calm, too; people and programs are told, and some do not take it.
	Told Scenario = "told"
)

// PlanID and RolloutID are those of the world's patch; FailedBuild is a build whose log is there.
const (
	PlanID      = "p-5f1c2ab04e77"
	RolloutID   = "r-5f1c2ab04e77-1"
	DoneBuild   = "b-5f1c2ab04e77-1-base-debian-1"
	FailedBuild = "b-5f1c2ab04e77-1-base-nginx-1"
)

// Now is the moment.
func Now() time.Time { return time.Date(2026, 12, 3, 10, 0, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return Now().Add(-d) }
func ms(d time.Duration) int64      { return ago(d).UnixMilli() }

// World is the fixed world.
type World struct {
	Store *store.Store
	Loop  *Loop
	Deps  api.Deps // to be changed before New
	dir   string
}

// New makes a world in a directory; it must be closed.
func New(ctx context.Context, dir string, s Scenario) (*World, error) {
	st, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "world.db"), nil)
	if err != nil {
		return nil, err
	}
	w := &World{Store: st, Loop: &Loop{store: st, snap: snapshot(s)}, dir: dir}
	engine := &Engine{}
	if s == Broken {
		engine.Err = errors.New("connection refused")
	}
	w.Deps = api.Deps{Loop: w.Loop, Store: st, Engine: engine, Now: Now, Version: "1.2.3", Hands: hands{w}}
	w.Deps.Rollouts = rollout.Desk{Store: st, Catalog: func() *catalog.Catalog { return w.Loop.Last().Catalog }, Now: Now}
	if err := w.fill(ctx, s); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	if more := map[Scenario]func(context.Context) error{Judged: w.judged, Advised: w.advised, Told: w.told}[s]; more != nil {
		if err := more(ctx); err != nil {
			return nil, errors.Join(err, st.Close())
		}
	}
	return w, nil
}

// Close closes the store.
func (w *World) Close() error { return w.Store.Close() }

// Engine is a build engine that can be away.
type Engine struct{ Err error }

func (e *Engine) Ping(context.Context) error { return e.Err }
func (e *Engine) Address() string            { return "unix:///run/buildkit/buildkitd.sock" }
func (e *Engine) State() []build.WorkerState {
	return []build.WorkerState{{Name: "builder", Address: e.Address(), State: "ready", Since: ago(time.Hour), Platforms: []string{"linux/amd64"}, Parallel: 2}}
}

// Loop is a heart beat that answers what it was told to.
type Loop struct {
	store   *store.Store
	snap    reconcile.Snapshot
	Moved   bool // Apply refuses
	PlanErr error
	Woken   int
	By      rollout.Actor // who applied last
}

func (l *Loop) Last() reconcile.Snapshot { return l.snap }
func (l *Loop) Wake()                    { l.Woken++ }

// Plan stores the plan of the last look.
func (l *Loop) Plan(ctx context.Context) (*plan.Plan, error) {
	if l.PlanErr != nil {
		return nil, l.PlanErr
	}
	if l.snap.Plan == nil {
		return nil, errors.New("nothing to look at")
	}
	return l.snap.Plan, store.SavePlan(ctx, l.store.Q(), l.snap.Plan)
}

// Apply refuses as the real one does, and starts nothing.
func (l *Loop) Apply(ctx context.Context, id string, by rollout.Actor) (string, error) {
	if _, err := store.GetPlan(ctx, l.store.Q(), id); err != nil {
		return "", err
	}
	n, err := store.RolloutsOfPlan(ctx, l.store.Q(), id)
	switch {
	case err != nil:
		return "", err
	case n > 0:
		return "", fmt.Errorf("plan %s: %w", id, reconcile.ErrApplied)
	case l.Moved:
		return "", fmt.Errorf("plan %s: %w: base/debian is not what it was", id, rollout.ErrMoved)
	}
	l.By = by
	return RolloutID, nil
}

// Digest is the digest of an image of the world: "base/debian" or, before its patch, "base/debian old".
func Digest(name string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256([]byte(name)))}
}

func layers(names ...string) []v1.Hash {
	var out []v1.Hash
	for _, n := range names {
		out = append(out, Digest("layer "+n))
	}
	return out
}

const registryHost = "registry.example.com"

func theCatalog() *catalog.Catalog {
	app := func(name, owner string, s catalog.Strategy, images ...catalog.ApplicationImage) catalog.Application {
		return catalog.Application{Name: name, Repository: "acme/" + name, Branch: "main", Strategy: s, Owner: owner, Images: images}
	}
	img := func(name string) catalog.ApplicationImage {
		return catalog.ApplicationImage{Name: name, Image: registryHost + "/apps/" + name + ":main", Dockerfile: "Dockerfile"}
	}
	base := func(name string) catalog.Base {
		return catalog.Base{Name: name, Image: registryHost + "/" + name, Channel: "stable", Platform: "linux/amd64", Owner: "platform team"}
	}
	return &catalog.Catalog{
		File: "catalog.toml", SHA256: Digest("catalog").Hex, Organization: "Acme", Rollout: catalog.Rollout{Automatic: true},
		Upstreams: []catalog.Upstream{{Name: "upstream/debian", Image: "docker.io/library/debian:bookworm-slim"}},
		Bases:     []catalog.Base{base("base/debian"), base("base/nginx"), base("base/python")},
		Applications: []catalog.Application{
			app("jobs", "", catalog.Dispatch, img("jobs")),
			app("legacy", "", catalog.Observe, img("legacy")),
			app("shop", "shop team", catalog.PullRequest, img("shop/api"), img("shop/worker")),
			app("site", "", catalog.PullRequest, img("site")),
			app("web", "web team", catalog.PullRequest, img("web")),
		},
	}
}

// stands is the final stage of each image.
func stands() [][3]string {
	return [][3]string{
		{"upstream/debian", "base/debian", "Dockerfile:1"}, {"base/debian", "base/python", "Dockerfile:1"}, {"base/debian", "base/nginx", "Dockerfile:2"},
		{"base/python", "jobs", "Dockerfile:1"}, {"base/debian", "legacy", "Dockerfile:4"}, {"base/python", "shop/api", "api/Dockerfile:3"},
		{"base/python", "shop/worker", "worker/Dockerfile:1"}, {"base/nginx", "site", "Dockerfile:9"}, {"base/python", "web", "Dockerfile:1"},
	}
}

func theGraph() *graph.Graph {
	c := theCatalog()
	var nodes []graph.Node
	for _, u := range c.Upstreams {
		nodes = append(nodes, graph.Node{Name: u.Name, Kind: graph.Upstream})
	}
	for _, b := range c.Bases {
		nodes = append(nodes, graph.Node{Name: b.Name, Kind: graph.Base})
	}
	for _, a := range c.Applications {
		for _, i := range a.Images {
			nodes = append(nodes, graph.Node{Name: i.Name, Kind: graph.Application})
		}
	}
	var edges []graph.Edge
	for _, s := range stands() {
		edges = append(edges, graph.Edge{Parent: s[0], Child: s[1], Kind: graph.Inherits, Evidence: graph.FromLayers},
			graph.Edge{Parent: s[0], Child: s[1], Kind: graph.Inherits, Evidence: graph.FromRecipe, Where: s[2]})
	}
	edges = append(edges, graph.Edge{Parent: "base/python", Child: "site", Kind: graph.BuildsWith, Evidence: graph.FromRecipe, Where: "Dockerfile:1"})
	g, err := graph.New(nodes, edges)
	if err != nil {
		panic(err) // the fixture itself is wrong
	}
	return g
}

// facts: every image stands on its parent, except web, which stands on an older base/python.
func facts() plan.Facts {
	f := plan.Facts{At: ago(4 * time.Minute), Upstreams: map[string]plan.Image{}, Bases: map[string]plan.Base{}, Applications: map[string]plan.Application{}}
	image := func(name, ref string, diff ...string) plan.Image {
		return plan.Image{Reference: ref, Digest: Digest(name), DiffIDs: layers(diff...), FirstSeen: ago(72 * time.Hour)}
	}
	c := theCatalog()
	f.Upstreams["upstream/debian"] = image("upstream/debian", c.Upstreams[0].Image, "upstream")
	f.Bases["base/debian"] = plan.Base{Image: image("base/debian", c.Bases[0].Reference(), "upstream", "debian")}
	f.Bases["base/nginx"] = plan.Base{Image: image("base/nginx", c.Bases[1].Reference(), "upstream", "debian", "nginx")}
	f.Bases["base/python"] = plan.Base{Image: image("base/python", c.Bases[2].Reference(), "upstream", "debian", "python")}
	for _, a := range c.Applications {
		for _, i := range a.Images {
			parent := map[string]string{"legacy": "debian", "site": "nginx"}[i.Name]
			base := "base/" + parent
			diff := []string{"upstream", "debian", parent, i.Name}
			switch parent {
			case "":
				base, diff[2] = "base/python", "python"
			case "debian":
				diff = []string{"upstream", "debian", i.Name}
			}
			if i.Name == "web" {
				diff[2] = "python, older"
			}
			f.Applications[i.Name] = plan.Application{Image: image(i.Name, i.Image, diff...), Application: a.Name, Strategy: string(a.Strategy), Repository: a.Repository, Branch: a.Branch,
				References: []plan.Reference{{Base: base, Reference: registryHost + "/" + base + ":stable", Kind: graph.Inherits, File: "Dockerfile", Line: 1, Rewritable: true}}}
		}
	}
	return f
}

func thePatch(inherited string) plan.Patch {
	return plan.Patch{Inherited: inherited, Patch: watch.Patch{Package: "libssl3", Architecture: "amd64", Source: "openssl", From: "3.0.17-1~deb12u2", To: "3.0.17-1~deb12u3",
		Repository: "http://deb.example.com/debian-security bookworm-security main", PublishedAt: ms(34 * time.Minute)}}
}

func snapshot(s Scenario) reconcile.Snapshot {
	snap := reconcile.Snapshot{Catalog: theCatalog()}
	if s == Empty {
		return snap
	}
	f := facts()
	p := &plan.Plan{ID: "p-000000000000", Title: "nothing to do", MadeAt: f.At, Images: 10}
	snap.World, snap.Plan, snap.At, snap.Next = &observe.World{Graph: theGraph(), Facts: f}, p, f.At, Now().Add(6*time.Minute)
	if s == Calm || s == Observed || s == Judged {
		w := f.Applications["web"]
		w.DiffIDs[2] = layers("python")[0]
		if s == Observed {
			observed(&snap)
		}
		return snap
	}
	for name, from := range map[string]string{"base/debian": "", "base/nginx": "base/debian", "base/python": "base/debian"} {
		b := f.Bases[name]
		b.Patches = []plan.Patch{thePatch(from)}
		f.Bases[name] = b
	}
	snap.Plan = thePlan(f)
	if s == Broken {
		snap.CatalogProblem = "catalog.toml:12: base \"base/python\" has no context directory \"bases/pyton\"\n    context = \"bases/pyton\"\n              ^^^^^^^^^^^^^\n  hint: did you mean \"bases/python\"?"
		snap.Problem = "database is locked"
	}
	return snap
}

func thePlan(f plan.Facts) *plan.Plan {
	step := func(image, kind string, a plan.Action, tier int, c plan.Cause, reason string, parents ...string) plan.Step {
		return plan.Step{Image: image, Kind: kind, Action: a, Tier: tier, Cause: c, Reasons: []string{reason}, Parents: parents, Before: Digest(image).String(), Patches: []plan.Patch{thePatch("base/debian")}}
	}
	return &plan.Plan{
		ID: PlanID, Title: "libssl3 3.0.17-1~deb12u2 -> 3.0.17-1~deb12u3 in base/debian", Cause: plan.CausePackage, MadeAt: f.At, NotBefore: Now().Add(6 * time.Minute),
		Steps: []plan.Step{
			step("base/debian", "base", plan.Rebuild, 0, plan.CausePackage, "libssl3 3.0.17-1~deb12u2 -> 3.0.17-1~deb12u3 is in http://deb.example.com/debian-security bookworm-security main"),
			step("base/python", "base", plan.Rebuild, 1, plan.CauseParent, "inherits base/debian, which is rebuilt first", "base/debian"),
			step("jobs", "application", plan.Dispatch, 2, plan.CauseParent, "inherits base/python (Dockerfile:1), which is rebuilt first", "base/python"),
			step("web", "application", plan.PullRequest, 2, plan.CauseParent, "inherits base/python (Dockerfile:1), which is rebuilt first", "base/python"),
		},
		NotDone: []plan.NotDone{
			{Image: "base/nginx", Reason: "patch not taken: libssl3 is still 3.0.17-1~deb12u2, not 3.0.17-1~deb12u3 (held)", Since: ago(20 * time.Hour), Who: "who keeps its recipe"},
			{Image: "legacy", Reason: "observed only: inherits base/debian (Dockerfile:4), which is rebuilt first", Who: "owner of acme/legacy"},
			{Image: "shop/api", Reason: "the forge has no acme/shop with a branch main (or the token may not see it)", Who: "owner of acme/shop", Unknown: true},
			{Image: "shop/worker", Reason: "the forge has no acme/shop with a branch main (or the token may not see it)", Who: "owner of acme/shop", Unknown: true},
		},
		Inputs: []plan.Input{{Name: "base/debian", Value: Digest("base/debian").String()}},
		Images: 10, Unknown: 2,
	}
}

// fill writes the store.
func (w *World) fill(ctx context.Context, s Scenario) error {
	if s == Empty {
		return nil
	}
	return w.Store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		steps := []func(context.Context, store.Querier, Scenario) error{w.watchers, w.inventories, w.older, w.places}
		if s == Running || s == Broken {
			steps = append(steps, w.builds, w.rollout, w.proposals)
		}
		for _, step := range steps {
			if err := step(ctx, q, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *World) watchers(ctx context.Context, q store.Querier, s Scenario) error {
	one := store.Watcher{Name: "reconcile", LastRun: ms(4 * time.Minute), LastOK: ms(4 * time.Minute), NextRun: ms(-6 * time.Minute)}
	if s == Broken {
		one = store.Watcher{Name: "reconcile", LastRun: ms(time.Minute), LastOK: ms(3 * time.Hour), NextRun: ms(-9 * time.Minute), Error: "database is locked"}
	}
	return store.SaveWatcher(ctx, q, one)
}

func (w *World) inventories(ctx context.Context, q store.Querier, s Scenario) error {
	if s == Judged {
		return w.contents(ctx, q)
	}
	for name, version := range map[string]string{"base/debian": "3.0.17-1~deb12u2", "base/python": "3.0.17-1~deb12u2", "web": "3.0.16-1~deb12u1"} {
		diff := map[string][]v1.Hash{"base/debian": layers("upstream", "debian"), "base/python": layers("upstream", "debian", "python"), "web": layers("upstream", "debian", "python, older", "web")}[name]
		inv := &inventory.Inventory{Format: inventory.Format, Digest: Digest(name), Platform: "linux/amd64", OS: inventory.OS{ID: "debian", Version: "12", Codename: "bookworm"}, DiffIDs: diff, Fingerprint: name, Packages: []inventory.Package{
			{Name: "libc6", Version: "2.36-9+deb12u10", Architecture: "amd64", Source: "glibc"},
			{Name: "libssl3", Version: version, Architecture: "amd64", Source: "openssl", Layer: 1},
		}}
		if name == "base/debian" {
			inv.Pins = []inventory.Pin{{Type: inventory.Deb, Packages: []string{"libc*"}, Rule: "release a=stable", Priority: 900, Where: "/etc/apt/preferences.d/stable"}}
		}
		if name == "base/python" {
			inv.Packages = append(inv.Packages, inventory.Package{Name: "python3", Version: "3.11.2-1+b1", Architecture: "amd64", Source: "python3-defaults", Layer: 2})
		}
		if err := store.SaveInventory(ctx, q, name, inv, ms(time.Hour)); err != nil {
			return err
		}
	}
	if err := w.earlier(ctx, q); err != nil {
		return err
	}
	_, err := store.SeenRepository(ctx, q, "security", "http://deb.example.com/debian-security", "bookworm-security", "abc", ms(34*time.Minute), "", ms(4*time.Minute))
	return err
}

// earlier is what base/debian was before its last rebuild.
func (w *World) earlier(ctx context.Context, q store.Querier) error {
	return store.SaveInventory(ctx, q, "base/debian", &inventory.Inventory{Format: inventory.Format, Digest: Digest("base/debian old"), Platform: "linux/amd64", DiffIDs: layers("upstream", "debian, older"),
		Fingerprint: "base/debian old", Packages: []inventory.Package{{Type: inventory.Deb, Name: "libssl3", Version: "3.0.16-1~deb12u1", Architecture: "amd64", Source: "openssl", Layer: 1}}}, ms(80*time.Hour))
}

// older are two rollouts that ended.
func (w *World) older(ctx context.Context, q store.Querier, _ Scenario) error {
	good := store.Rollout{ID: "r-0d9a51b37c20-1", Plan: "p-0d9a51b37c20", Cause: "package", Title: "libc6 2.36-9+deb12u9 -> 2.36-9+deb12u10 in base/debian", State: store.Finished,
		CreatedAt: ms(72 * time.Hour), StartedAt: ms(72 * time.Hour), NoticedAt: ms(72*time.Hour + 5*time.Minute), PublishedAt: ms(72*time.Hour + 35*time.Minute), EndedAt: ms(71 * time.Hour)}
	nodes := []store.Node{
		{Rollout: good.ID, Image: "base/debian", Kind: "base", State: store.Done, Since: ms(72*time.Hour - 3*time.Minute), Attempt: 1, Before: Digest("base/debian old").String(), After: Digest("base/debian").String(),
			Detail: store.NodeDetail{Proven: true, Changes: []store.Change{{Package: "libc6", From: "2.36-9+deb12u9", To: "2.36-9+deb12u10"}}}},
	}
	if _, err := store.CreateRollout(ctx, q, good, nodes); err != nil {
		return err
	}
	bad := store.Rollout{ID: "r-77e0c4d1a9f3-1", Plan: "p-77e0c4d1a9f3", Cause: "recipe", Title: "base/nginx: its recipe changed", State: store.Broken, Reason: "base/nginx: not-taken",
		CreatedAt: ms(20*time.Hour + 2*time.Minute), StartedAt: ms(20*time.Hour + 2*time.Minute), NoticedAt: ms(20*time.Hour + 2*time.Minute), EndedAt: ms(20 * time.Hour)}
	nodes = []store.Node{{Rollout: bad.ID, Image: "base/nginx", Kind: "base", State: store.NotTaken, Reason: "libssl3 is still 3.0.17-1~deb12u2, not 3.0.17-1~deb12u3 (held)", Who: "who keeps its recipe",
		Since: ms(20 * time.Hour), Attempt: 1, Before: Digest("base/nginx").String(), Detail: store.NodeDetail{Missing: []string{"libssl3 is still 3.0.17-1~deb12u2, not 3.0.17-1~deb12u3 (held)"}}}}
	_, err := store.CreateRollout(ctx, q, bad, nodes)
	return err
}

// Hostile is what a build printed that wants to take over the terminal.
const Hostile = "\x1b[31mE: Unable to locate package ngnix\x1b[0m\x1b]0;owned\x07\u202e"

func (w *World) builds(ctx context.Context, q store.Querier, _ Scenario) error {
	logs := map[string]string{
		DoneBuild:   "#5 [2/3] RUN apt-get update && apt-get -y upgrade\n#5 3.120 Setting up libssl3:amd64 (3.0.17-1~deb12u3) ...\n#5 DONE 4.1s\n",
		FailedBuild: "#5 [2/2] RUN apt-get -y install ngnix\n#5 1.002 " + Hostile + "\n#5 ERROR: exit code: 100\n",
	}
	for id, text := range logs {
		if err := os.WriteFile(filepath.Join(w.dir, id+".log"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	builds := []store.Build{
		{ID: DoneBuild, Rollout: RolloutID, Image: "base/debian", Key: "k1", State: "done", Started: ms(15 * time.Minute), Ended: ms(14 * time.Minute), Digest: Digest("base/debian new").String(),
			Log: filepath.Join(w.dir, DoneBuild+".log"), Detail: store.BuildDetail{Recipe: "abc", Steps: 3, Cached: 1, Parents: map[string]string{"upstream/debian": Digest("upstream/debian").String()},
				Platform: "linux/amd64", Worker: "first", Args: map[string]string{"JAVA": "21"}, Secrets: []string{"npm"},
				Took: []build.Step{
					{Name: "[1/3] FROM 127.0.0.1:5000/upstream/debian:12", Cached: true},
					{Name: "[2/3] RUN apt-get update && apt-get -y upgrade", Took: 4100 * time.Millisecond},
					{Name: "exporting to image", Took: 320 * time.Millisecond},
				},
				Warnings:  []build.Warning{{Text: "JSONArgsRecommended: JSON arguments recommended for CMD", Lines: []string{"Dockerfile:3: CMD sleep 1"}, URL: "https://docs.example.com/rule/json-args-recommended/"}},
				Materials: []build.Material{{URI: "pkg:docker/127.0.0.1%3A5000/upstream/debian@12", Digest: map[string]string{"sha256": "aa11"}}},
			}},
		{ID: FailedBuild, Rollout: RolloutID, Image: "base/nginx", Key: "k2", State: "failed", Started: ms(13 * time.Minute), Ended: ms(12*time.Minute + 20*time.Second),
			Error: "process \"/bin/sh -c apt-get -y install ngnix\" did not complete successfully: exit code: 100", Log: filepath.Join(w.dir, FailedBuild+".log"),
			Detail: store.BuildDetail{Recipe: "def", Steps: 2, LogTail: []string{"#5 1.002 " + Hostile, "#5 ERROR: exit code: 100"}, Lines: []string{"   2 | >>> RUN apt-get -y install ngnix"}}},
	}
	for _, b := range builds {
		if err := store.SaveBuild(ctx, q, b); err != nil {
			return err
		}
	}
	return nil
}

const webKey = "tell " + RolloutID + " web"

func (w *World) rollout(ctx context.Context, q store.Querier, s Scenario) error {
	ro := store.Rollout{ID: RolloutID, Plan: PlanID, Cause: "package", Title: "libssl3 3.0.17-1~deb12u2 -> 3.0.17-1~deb12u3 in base/debian", State: store.Running,
		CreatedAt: ms(16 * time.Minute), StartedAt: ms(16 * time.Minute), NoticedAt: ms(17 * time.Minute), PublishedAt: ms(34 * time.Minute)}
	if s == Broken {
		ro.State, ro.EndedAt, ro.Reason = store.Broken, ms(12*time.Minute), "base/nginx: failed: exit code: 100"
	}
	step := func(a plan.Action, parents ...string) plan.Step {
		return plan.Step{Action: a, Parents: parents, Reasons: []string{"inherits base/debian, which is rebuilt first"}}
	}
	nodes := []store.Node{
		{Image: "base/debian", Kind: "base", State: store.Done, Since: ms(14 * time.Minute), Before: Digest("base/debian old").String(), After: Digest("base/debian").String(),
			Detail: store.NodeDetail{Step: step(plan.Rebuild), Build: DoneBuild, Proven: true, Changes: []store.Change{{Package: "libssl3", From: "3.0.17-1~deb12u2", To: "3.0.17-1~deb12u3"}}}},
		{Image: "base/nginx", Kind: "base", Tier: 1, State: store.Failed, Since: ms(12 * time.Minute), Reason: "process \"/bin/sh -c apt-get -y install ngnix\" did not complete successfully: exit code: 100",
			Who: "who keeps its recipe", Before: Digest("base/nginx").String(), Detail: store.NodeDetail{Step: step(plan.Rebuild, "base/debian"), Build: FailedBuild}},
		{Image: "base/python", Kind: "base", Tier: 1, State: store.Building, Since: ms(2 * time.Minute), Reason: "builds", Before: Digest("base/python").String(), Detail: store.NodeDetail{Step: step(plan.Rebuild, "base/debian")}},
		{Image: "jobs", Kind: "application", Tier: 2, Waiting: 1, State: store.Waiting, Since: ms(16 * time.Minute), Reason: "waits for 1 of its parents", Detail: store.NodeDetail{Step: step(plan.Dispatch, "base/python")}},
		{Image: "web", Kind: "application", Tier: 2, State: store.Telling, Since: ms(9 * time.Minute), Reason: "pull request #12 waits to be merged", Who: "owner of acme/web",
			Detail: store.NodeDetail{Step: step(plan.PullRequest, "base/debian"), Key: webKey, Number: 12, URL: "https://forge.example.com/acme/web/pull/12"}},
	}
	for i := range nodes {
		nodes[i].Rollout, nodes[i].Attempt = ro.ID, 1
		if s == Broken && !nodes[i].State.Ended() {
			nodes[i].State, nodes[i].Reason, nodes[i].Who = store.Skipped, "nothing new to stand on: base/python: failed", ""
		}
	}
	if _, err := store.CreateRollout(ctx, q, ro, nodes); err != nil {
		return err
	}
	return store.Audit(ctx, q, store.Event{ID: "0193-1", At: ro.CreatedAt, Actor: "rebuilder", Kind: store.Automation, Rule: "watch", Action: "start rollout", Object: ro.ID, Detail: ro.Title})
}

func (w *World) proposals(ctx context.Context, q store.Querier, s Scenario) error {
	p := store.Proposal{Key: webKey, Rollout: RolloutID, Application: "web", Repository: "acme/web", Branch: "main", Strategy: "pull-request", State: store.ProposalOpen, Number: 12,
		URL: "https://forge.example.com/acme/web/pull/12", Wants: map[string]string{"base/python": Digest("base/python").String()}, CreatedAt: ms(10 * time.Minute), OpenedAt: ms(9 * time.Minute)}
	if s == Broken {
		p.State, p.EndedAt = store.ProposalClosed, ms(5*time.Minute)
	}
	return store.SaveProposal(ctx, q, p)
}
