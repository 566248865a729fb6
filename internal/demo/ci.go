package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"rebuilder/internal/build"
	"rebuilder/internal/catalog"
	"rebuilder/internal/demo/command"
	"rebuilder/internal/demo/forge"
)

// revisionLabel says from which commit an image was built.
const revisionLabel = "org.opencontainers.image.revision"

const (
	parallelBuilds = 2               // at once, over all repositories
	lostTries      = 5               // of a build whose engine went away
	lostPause      = 2 * time.Second // between these
)

// CIBuild is one build of an application image by the forge's CI.
type CIBuild struct {
	Repository string  // "demo/orders"
	Image      string  // name in the catalog's graph: "orders", "shop/shop-web"
	Commit     string  // empty until it is known
	Cause      string  // "push" or "dispatch"
	Digest     v1.Hash // zero until it is pushed
	Ended      time.Time
	Err        error
}

// ci builds what the catalog's repositories have on their branch: after a push and after a dispatch. One repository's builds
// run one after the other, so that its images' tags never go back.
type ci struct {
	catalog  *catalog.Catalog
	forgeURL string
	given    func() build.Builder // from Options; may be nil
	log      *slog.Logger

	ctx    context.Context // of all builds: they belong to no caller
	cancel context.CancelFunc
	wg     sync.WaitGroup
	slots  chan struct{}

	mu      sync.Mutex
	builder build.Builder
	queues  map[string][]job // by repository; present while a worker runs
	last    map[string]CIBuild
	number  int
	changed chan struct{} // closed and replaced when anything above changes
}

// job is one commit of one repository to build; an empty commit is the tip of the branch when its turn comes.
type job struct {
	app    catalog.Application
	commit string
	cause  string
}

func newCI(c *catalog.Catalog, forgeURL string, given func() build.Builder, log *slog.Logger) *ci {
	ctx, cancel := context.WithCancel(context.Background())
	return &ci{
		catalog: c, forgeURL: forgeURL, given: given, log: log, ctx: ctx, cancel: cancel,
		slots: make(chan struct{}, parallelBuilds), queues: map[string][]job{}, last: map[string]CIBuild{},
		changed: make(chan struct{}),
	}
}

// close cancels what runs and waits for it.
func (c *ci) close() error {
	c.cancel()
	c.wg.Wait()
	return nil
}

func (c *ci) setBuilder(b build.Builder) { c.change(func() { c.builder = b }) }

// setDefaultBuilder sets the builder when nobody else gave one.
func (c *ci) setDefaultBuilder(b build.Builder) {
	c.change(func() {
		if c.builder == nil && c.given == nil {
			c.builder = b
		}
	})
}

// change changes fields and wakes up those who wait.
func (c *ci) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// pushed is called by the forge after a branch moved.
func (c *ci) pushed(p forge.Push) {
	if app, ok := c.application(p.Owner + "/" + p.Repo); ok && p.Branch == app.Branch && p.After != "" {
		c.add(job{app: app, commit: p.After, cause: "push"})
	}
}

// dispatched is called by the forge after a dispatch; only the one that the catalog names for the application counts.
func (c *ci) dispatched(d forge.Dispatched) {
	app, ok := c.application(d.Owner + "/" + d.Repo)
	if !ok {
		return
	}
	byWorkflow := app.Workflow != "" && d.Workflow == app.Workflow
	byEvent := app.Workflow == "" && d.Workflow == "" && d.Event == app.Event
	if byWorkflow || byEvent {
		c.add(job{app: app, cause: "dispatch"})
	}
}

func (c *ci) application(repo string) (catalog.Application, bool) {
	i := slices.IndexFunc(c.catalog.Applications, func(a catalog.Application) bool { return a.Repository == repo })
	if i < 0 {
		return catalog.Application{}, false
	}
	return c.catalog.Applications[i], true
}

// add queues a job and starts the repository's worker when it has none.
func (c *ci) add(j job) {
	c.change(func() {
		if c.ctx.Err() != nil {
			return
		}
		queue, running := c.queues[j.app.Repository]
		c.queues[j.app.Repository] = append(queue, j)
		for _, image := range j.app.Images {
			c.last[image.Name] = CIBuild{Repository: j.app.Repository, Image: image.Name, Commit: j.commit, Cause: j.cause}
		}
		if !running {
			c.wg.Go(func() { c.work(j.app.Repository) })
		}
	})
}

// work runs a repository's jobs until there are none.
func (c *ci) work(repo string) {
	for {
		c.mu.Lock()
		j := c.queues[repo][0]
		c.mu.Unlock()
		c.run(j)
		done := false
		c.change(func() {
			c.queues[repo] = c.queues[repo][1:]
			if done = len(c.queues[repo]) == 0 || c.ctx.Err() != nil; done {
				delete(c.queues, repo)
			}
		})
		if done {
			return
		}
	}
}

// run builds and tags every image of an application.
func (c *ci) run(j job) {
	for _, image := range j.app.Images {
		b := CIBuild{Repository: j.app.Repository, Image: image.Name, Commit: j.commit, Cause: j.cause}
		b.Err = c.image(j.app, image, &b)
		b.Ended = time.Now()
		if b.Err != nil {
			c.log.Warn("ci build failed", "image", b.Image, "commit", b.Commit, "error", b.Err)
		} else {
			c.log.Info("ci build", "image", b.Image, "commit", b.Commit, "cause", b.Cause, "digest", b.Digest.String())
		}
		c.change(func() { c.last[image.Name] = b })
	}
}

func (c *ci) image(app catalog.Application, image catalog.ApplicationImage, b *CIBuild) error {
	tag, err := name.NewTag(image.Image)
	if err != nil {
		return err
	}
	if b.Commit == "" {
		if b.Commit, err = c.head(c.ctx, app); err != nil {
			return err
		}
	}
	result, err := c.build(app, image, b.Commit, tag)
	if err != nil {
		return err
	}
	b.Digest = result.Digest
	return tagDigest(c.ctx, tag, result.Digest)
}

// build builds one image from its commit. A build whose engine went away is tried again, as a person would press the button
// again.
func (c *ci) build(app catalog.Application, image catalog.ApplicationImage, commit string, tag name.Tag) (*build.Result, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
	for try := 1; ; try++ {
		builder, err := c.waitForBuilder()
		if err != nil {
			return nil, err
		}
		result, err := builder.Build(c.ctx, build.Request{
			ID:         c.buildID(image.Name),
			Image:      image.Name,
			Git:        c.gitURL(app) + "#" + commit,
			Dockerfile: image.Dockerfile,
			Target:     image.Target,
			Args:       image.Args,
			Platform:   "linux/amd64",
			Repository: tag.Context().Name(),
			Labels:     map[string]string{revisionLabel: commit},
		})
		var failed *build.Error
		if err == nil || !errors.As(err, &failed) || !failed.Temporary() || try == lostTries {
			return result, err
		}
		select {
		case <-c.ctx.Done():
			return nil, c.ctx.Err()
		case <-time.After(lostPause):
		}
	}
}

// buildID is unique, also after a restart.
func (c *ci) buildID(image string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	return "ci-" + strings.ReplaceAll(image, "/", "-") + "-" + strconv.FormatInt(time.Now().UnixMilli(), 36) + "-" + strconv.Itoa(c.number)
}

func (c *ci) waitForBuilder() (build.Builder, error) {
	for {
		c.mu.Lock()
		builder, changed := c.builder, c.changed
		c.mu.Unlock()
		if builder == nil && c.given != nil {
			builder = c.given()
		}
		if builder != nil {
			return builder, nil
		}
		select {
		case <-c.ctx.Done():
			return nil, c.ctx.Err()
		case <-changed:
		}
	}
}

func (c *ci) gitURL(app catalog.Application) string {
	return c.forgeURL + "/" + app.Repository + ".git"
}

// head is the commit at the tip of an application's branch.
func (c *ci) head(ctx context.Context, app catalog.Application) (string, error) {
	ref := "refs/heads/" + app.Branch
	out, err := command.Run(ctx, "", "git", "ls-remote", c.gitURL(app), ref)
	if err != nil {
		return "", err
	}
	commit, _, ok := strings.Cut(string(out), "\t")
	if !ok {
		return "", fmt.Errorf("%s has no branch %s", app.Repository, app.Branch)
	}
	return commit, nil
}

// catchUp queues a build of every repository with an image that was not built from the tip of its branch.
func (c *ci) catchUp(ctx context.Context) error {
	for _, app := range c.catalog.Applications {
		commit, err := c.head(ctx, app)
		if err != nil {
			return err
		}
		for _, image := range app.Images {
			built, err := revision(ctx, image.Image)
			if err != nil {
				return err
			}
			if built != commit {
				c.add(job{app: app, commit: commit, cause: "push"})
				break
			}
		}
	}
	return nil
}

// idle waits until nothing is queued and returns the errors of the last builds.
func (c *ci) idle(ctx context.Context) error {
	for {
		c.mu.Lock()
		busy, changed := len(c.queues) > 0, c.changed
		c.mu.Unlock()
		if !busy {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-changed:
		}
	}
	var failed []error
	for _, b := range c.builds() {
		failed = append(failed, b.Err)
	}
	return errors.Join(failed...)
}

// wait waits for a last build of which ok is true.
func (c *ci) wait(ctx context.Context, ok func(CIBuild) bool) (CIBuild, error) {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		for _, b := range c.builds() {
			if ok(b) {
				return b, nil
			}
		}
		select {
		case <-ctx.Done():
			return CIBuild{}, ctx.Err()
		case <-c.ctx.Done():
			return CIBuild{}, c.ctx.Err()
		case <-changed:
		}
	}
}

func (c *ci) builds() []CIBuild {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]CIBuild, 0, len(c.last))
	for _, b := range c.last {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b CIBuild) int { return cmp.Compare(a.Image, b.Image) })
	return all
}

// tagDigest moves a tag to a digest that is in its repository.
func tagDigest(ctx context.Context, tag name.Tag, digest v1.Hash) error {
	desc, err := remote.Get(tag.Context().Digest(digest.String()), remote.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("tag %s: %w", tag, err)
	}
	if err := remote.Tag(tag, desc, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("tag %s: %w", tag, err)
	}
	return nil
}
