package catalog

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// reader turns the tables of a document into a Catalog: a method a section, in the order of the types.
type reader struct {
	catalog *Catalog
	root    *table

	now         time.Time
	hasRegistry bool // [registry] names an address, right or wrong
	names, refs claims
	later       []func() // checks of what names entries that may stand further below
}

func (r *reader) read() {
	c, t := r.catalog, r.root
	c.Organization = t.text("organization")
	c.URL = strings.TrimRight(t.text("url"), "/")
	r.web(t, "url", c.URL)
	c.Registry = r.registry(t.section("registry"))
	c.Builder = r.builder(t.section("builder"))
	c.Watch = r.watch(t.section("watch"))
	c.Discovery = r.discovery(t.section("discovery"))
	c.Refresh = r.refresh(t.section("refresh"))
	c.Rollout = r.rollout(t.section("rollout"))
	c.Signing = r.signing(t.section("signing"))
	c.Proposals = r.usualProposals(t.section("proposals"))
	c.Pace.Limits = r.limits(t.section("budget"))
	for _, s := range t.sections("freeze") {
		c.Pace.Freezes = append(c.Pace.Freezes, r.freeze(s))
	}
	for _, s := range t.sections("webhook") {
		c.Webhooks = append(c.Webhooks, r.webhook(s))
	}
	for _, s := range t.sections("chat") {
		c.Chats = append(c.Chats, r.chat(s))
	}
	for _, s := range t.sections("subscriber") {
		c.Subscribers = append(c.Subscribers, r.subscriber(s))
	}
	for _, s := range t.sections("worker") {
		c.Workers = append(c.Workers, r.worker(s))
	}
	for _, s := range t.sections("advisories") {
		c.Advisories = append(c.Advisories, r.advisories(s))
	}
	for _, s := range t.sections("scanner") {
		c.Scanners = append(c.Scanners, r.scanner(s))
	}
	for _, s := range t.sections("policy") {
		c.Policies = append(c.Policies, r.policy(s))
	}
	for _, s := range t.sections("exception") {
		c.Exceptions = append(c.Exceptions, r.exception(s))
	}
	for _, s := range t.sections("upstream") {
		c.Upstreams = append(c.Upstreams, r.upstream(s))
	}
	for _, s := range t.sections("base") {
		c.Bases = append(c.Bases, r.base(s))
	}
	for _, s := range t.sections("application") {
		c.Applications = append(c.Applications, r.application(s))
	}
	c.Forge = r.forge(t.section("forge"))
	t.end()
	for _, check := range r.later {
		check()
	}
}

func (r *reader) registry(t *table) Registry {
	reg := Registry{Address: t.text("address"), Insecure: t.boolean("insecure", false)}
	t.end()
	r.hasRegistry = t.has("address")
	if reg.Address == "" {
		return reg
	}
	if scheme, rest, ok := strings.Cut(reg.Address, "://"); ok {
		hint := fmt.Sprintf("write address = %q", strings.TrimSuffix(rest, "/"))
		if scheme == "http" {
			hint += ", and insecure = true if it is no loopback address"
		}
		t.wrong("address", hint, ": address is a registry, not a URL")
		return Registry{Insecure: reg.Insecure}
	}
	reg.Address = strings.TrimSuffix(reg.Address, "/")
	host, prefix, _ := strings.Cut(reg.Address, "/")
	_, err := name.NewRegistry(host, name.StrictValidation)
	if err != nil || !isHost(host) || prefix != "" && !repositoryPath.MatchString(prefix) {
		t.wrong("address", `a host and, if you like, a path: "registry.example.com/platform" or "127.0.0.1:5000"`,
			": %q is not the address of a registry", reg.Address)
		return Registry{Insecure: reg.Insecure}
	}
	return reg
}

// isHost tells a registry's host from the first part of a Docker Hub repository, as every client does.
func isHost(s string) bool { return s == "localhost" || strings.ContainsAny(s, ".:") }

func (r *reader) forge(t *table) Forge {
	f := Forge{
		URL:              strings.TrimRight(t.text("url"), "/"),
		TokenEnv:         r.variable(t, "token_env"),
		TokenFile:        t.text("token_file"),
		CloneURL:         strings.TrimRight(t.text("clone_url"), "/"),
		WebhookSecretEnv: r.variable(t, "webhook_secret_env"),
	}
	r.forgeApp(t, &f)
	t.end()
	if t.data == nil && len(r.catalog.Applications) == 0 {
		return Forge{}
	}
	if f.TokenEnv != "" && f.TokenFile != "" {
		t.wrong("token_file", "keep the one that you use", ": both token_env and token_file are given")
	}
	if f.TokenEnv == "" && f.TokenFile == "" && f.App.ID == 0 {
		f.TokenEnv = "REBUILDER_FORGE_TOKEN"
	}
	if f.TokenFile != "" {
		f.TokenFile = r.absolute(f.TokenFile)
	}
	if f.URL == "" {
		f.URL = "https://api.github.com"
	}
	if f.CloneURL == "" {
		f.CloneURL = cloneURL(f.URL)
	}
	r.api(t, "url", f.URL)
	if t.has("clone_url") {
		r.web(t, "clone_url", f.CloneURL)
	}
	return f
}

func (r *reader) web(t *table, key, s string) {
	if s != "" && !isWeb(s) {
		t.wrong(key, `write it with https://, as in "https://ghe.example.com"`, ": %s = %q is not a web address", key, s)
	}
}

// api refuses what is known to be no root of GitHub's API: its web site.
func (r *reader) api(t *table, key, s string) {
	u, err := url.Parse(s)
	if err != nil || !isWeb(s) {
		r.web(t, key, s)
		return
	}
	if host := strings.ToLower(u.Hostname()); host == "github.com" || host == "www.github.com" {
		t.wrong(key, `write url = "https://api.github.com"`, ": %s = %q is GitHub's web site, not its API", key, s)
	}
}

func isWeb(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.RawQuery == "" && u.Fragment == ""
}

// cloneURL derives where repositories are cloned from: GitHub's API has a host of its own, Enterprise servers a path.
func cloneURL(api string) string {
	if api == "https://api.github.com" {
		return "https://github.com"
	}
	return strings.TrimSuffix(api, "/api/v3")
}

var environmentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// variable is the name of an environment variable.
func (r *reader) variable(t *table, key string) string {
	s := t.text(key)
	if s != "" && !environmentName.MatchString(s) {
		if len(s) > 3 {
			t.secrets = append(t.secrets, s) // most likely the token itself
		}
		t.wrong(key, "write the variable's name, as in "+key+` = "REBUILDER_FORGE_TOKEN", and put the value into the environment`,
			": %s is the name of an environment variable, not its value", key)
		return ""
	}
	return s
}

func (r *reader) watch(t *table) Watch {
	defer t.end()
	return Watch{
		Interval: t.duration("interval", 10*time.Minute, false),
		Settle:   t.duration("settle", 10*time.Minute, true),
	}
}

func (r *reader) rollout(t *table) Rollout {
	defer t.end()
	r.catalog.Pace = r.pacing(t)
	return Rollout{
		Automatic:  t.boolean("automatic", true),
		RetryAfter: t.duration("retry_after", time.Hour, false),
	}
}

func (r *reader) upstream(t *table) Upstream {
	u := Upstream{Line: t.at.key.line, Name: r.imageName(t, "upstream/debian")}
	u.Image = t.need("image", "docker.io/library/debian:bookworm-slim")
	r.moving(t, u.Image, "an upstream is watched for its tag to move")
	u.Verify = r.verification(t)
	t.end()
	r.claimName(t, "name", u.Name, u.Line)
	r.claimReference(t, u.Image, u.Line)
	return u
}

func (r *reader) base(t *table) Base {
	b := Base{Line: t.at.key.line, Name: r.imageName(t, "base/debian")}
	b.Image = t.text("image")
	b.Context = t.need("context", "bases/debian")
	b.Dockerfile = t.textOr("dockerfile", "Dockerfile")
	b.Target = t.text("target")
	b.Args = r.args(t)
	b.Channel = t.textOr("channel", "stable")
	b.Platform = t.textOr("platform", "linux/amd64")
	b.Labels = t.texts("labels")
	b.Owner = t.text("owner")
	r.tests(t, &b)
	r.trial(t, &b)
	b.Secrets = r.buildSecrets(t)
	b.Reproducible = t.boolean("reproducible", false)
	b.Memory, b.CPUs = r.bounds(t)
	b.Timeout = t.duration("timeout", 0, false)
	b.Network = r.network(t)
	b.RecordNetwork = given(t, "record_network", t.boolean("record_network", false))
	t.end()
	r.claimName(t, "name", b.Name, b.Line)
	r.repository(t, &b)
	r.context(t, &b)
	if _, err := name.NewTag("registry.example.com/x:"+b.Channel, name.StrictValidation); err != nil {
		t.wrong("channel", `a tag such as "stable" or "17"`, ": channel = %q cannot be a tag", b.Channel)
	}
	if !platform.MatchString(b.Platform) {
		t.wrong("platform", `one platform such as "linux/amd64" or "linux/arm64"`, ": platform = %q is not a platform", b.Platform)
	}
	return b
}

var platform = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?$`)

// repository fills in and checks where a base is pushed.
func (r *reader) repository(t *table, b *Base) {
	if b.Image == "" {
		if r.catalog.Registry.Address != "" && b.Name != "" {
			b.Image = r.catalog.Registry.Address + "/" + b.Name
			r.claimReference(t, b.Reference(), b.Line)
		} else if b.Name != "" && !r.hasRegistry {
			t.add(t.at.key, `name the registry once for all, [registry] address = "registry.example.com/platform", or give this base an image`,
				"%s has nowhere to go: there is no registry and no image", t.name)
		}
		return
	}
	if r.isRepository(t, "image", b.Image, "the tag that dependents follow is channel") {
		r.claimReference(t, b.Reference(), b.Line)
	}
}

// isRepository checks that the value of key is a repository, without a tag; why says so of one.
func (r *reader) isRepository(t *table, key, s, why string) bool {
	if _, err := name.NewRepository(s, name.WeakValidation); err == nil && !strings.Contains(s, "://") {
		return true
	}
	hint := `a repository such as "registry.example.com/base/debian"`
	switch ref, err := name.ParseReference(s); {
	case strings.Contains(s, "://"):
		hint = "leave out the scheme: registries are named by host"
	case err == nil:
		hint = fmt.Sprintf("write %s = %q; %s", key, ref.Context().String(), why)
	}
	t.wrong(key, hint, ": %s = %q is not a repository", key, s)
	return false
}

// context resolves and checks the directory that a base is built from.
func (r *reader) context(t *table, b *Base) {
	if b.Context == "" {
		return
	}
	given := b.Context
	b.Context = r.absolute(given)
	if info, err := os.Stat(b.Context); err != nil || !info.IsDir() {
		t.wrong("context", r.otherDirectory(given), " has no context directory %q", given)
		return
	}
	if !filepath.IsLocal(b.Dockerfile) {
		t.wrong("dockerfile", "it is a path inside the context", ": dockerfile = %q leads out of the context", b.Dockerfile)
		return
	}
	if info, err := os.Stat(filepath.Join(b.Context, b.Dockerfile)); err != nil || !info.Mode().IsRegular() {
		at := "context"
		if t.has("dockerfile") {
			at = "dockerfile"
		}
		t.wrong(at, otherFile(b.Context, b.Dockerfile), " has no %s in %s", b.Dockerfile, given)
	}
}

func (r *reader) absolute(file string) string {
	if filepath.IsAbs(file) {
		return filepath.Clean(file)
	}
	return filepath.Join(r.catalog.Dir, file)
}

// otherDirectory is a hint: the directory that was most likely meant.
func (r *reader) otherDirectory(given string) string {
	siblings := namesIn(filepath.Dir(r.absolute(given)), true)
	if n := nearest(filepath.Base(given), siblings); n != "" && n != filepath.Base(given) {
		return "did you mean " + quoted(path.Join(path.Dir(filepath.ToSlash(given)), n)) + "?"
	}
	return "create it with a Dockerfile in it, or correct the path: it is relative to the catalog's directory"
}

// otherFile is a hint: the Dockerfile that was most likely meant.
func otherFile(dir, given string) string {
	if n := nearest(path.Base(given), namesIn(filepath.Dir(filepath.Join(dir, given)), false)); n != "" {
		return fmt.Sprintf("did you mean dockerfile = %q?", path.Join(path.Dir(given), n))
	}
	return "create it, or name another with dockerfile = \"...\""
}

func namesIn(dir string, directories bool) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() == directories {
			names = append(names, e.Name())
		}
	}
	return names
}

var (
	ownerName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$`)
	webName    = regexp.MustCompile(`([A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+?)(?:\.git)?/?$`)
	strategies = []string{string(PullRequest), string(Dispatch), string(RebuildByUs), string(RebaseByUs), string(Observe)}
)

func (r *reader) application(t *table) Application {
	a := Application{Line: t.at.key.line, Name: r.imageName(t, "web")}
	a.Repository = t.need("repository", "acme/web")
	a.Branch = t.textOr("branch", "main")
	a.Strategy = Strategy(t.textOr("strategy", string(PullRequest)))
	a.Event = t.text("event")
	a.Workflow = t.text("workflow")
	a.Owner = t.text("owner")
	a.Labels = t.texts("labels")
	a.Files = r.pinned(t)
	a.Proposals = r.ofApplication(t)
	r.claimName(t, "name", a.Name, a.Line)
	a.AutoMerge = r.autoMerge(t, a.Strategy)
	a.Images = r.images(t, a.Name)
	t.end()
	if a.Repository != "" && !ownerName.MatchString(a.Repository) {
		hint := `write it as on the forge: "acme/web"`
		if m := webName.FindStringSubmatch(a.Repository); m != nil && strings.Contains(a.Repository, ":") {
			hint = fmt.Sprintf("write repository = %q", m[1])
		}
		t.wrong("repository", hint, ": repository = %q is not owner/name", a.Repository)
	}
	r.strategy(t, &a)
	return a
}

// strategy checks the strategy and what belongs to it.
func (r *reader) strategy(t *table, a *Application) {
	if !slices.Contains(strategies, string(a.Strategy)) {
		t.wrong("strategy", didYouMean(string(a.Strategy), strategies), ": %q is no strategy", a.Strategy)
		return
	}
	if a.Strategy == Dispatch {
		if a.Event == "" {
			a.Event = "rebuilder"
		}
		return
	}
	if a.Strategy != PullRequest && t.has("files") {
		t.wrong("files", `remove the line, or add strategy = "pull-request"`, ": files are pinned by pull requests, and this one is %s", a.Strategy)
	}
	for _, key := range []string{"event", "workflow"} {
		if t.has(key) {
			t.wrong(key, `add strategy = "dispatch", or remove the line`, ": %s is for strategy dispatch, and this one is %s", key, a.Strategy)
		}
	}
}

// images reads [[application.image]], or the one image given directly in [[application]].
func (r *reader) images(t *table, application string) []ApplicationImage {
	var out []ApplicationImage
	_, direct := t.data["image"].(string)
	if direct || !t.has("image") {
		img := ApplicationImage{Name: application, Line: t.value("image").line}
		img.Image = t.text("image")
		r.recipe(t, &img)
		if !t.has("image") {
			t.add(t.at.key, `add image = "registry.example.com/apps/web:main", the reference that its CI pushes, or an [[application.image]] for each`,
				"%s has no image", t.name)
			return nil
		}
		r.pushed(t, img)
		return []ApplicationImage{img}
	}
	for _, key := range []string{"dockerfile", "target", "args"} {
		if t.has(key) {
			t.get(key)
			t.add(t.at.of(key).key, "move the line below the [[application.image]] that it is for", "%s has several images: %s belongs to one of them", t.name, key)
		}
	}
	tables := t.sections("image")
	for _, s := range tables {
		s.name = fmt.Sprintf("[[application.image]] of %s", t.name)
		img := ApplicationImage{Line: s.at.key.line, Name: s.text("name"), Image: s.need("image", "registry.example.com/apps/web:main")}
		r.checkName(s, img.Name)
		r.recipe(s, &img)
		s.end()
		if img.Name == "" {
			img.Name = application
			if len(tables) > 1 {
				img.Name = application + "/" + lastPart(img.Image)
			}
		}
		if img.Name != application {
			r.claimName(s, "image", img.Name, img.Line)
		}
		r.pushed(s, img)
		out = append(out, img)
	}
	if len(tables) == 0 && isList(t.data["image"]) {
		t.wrong("image", `write image = "registry.example.com/apps/web:main"`, " has no image")
	}
	return out
}

// pushed checks the reference of an application's image.
func (r *reader) pushed(t *table, img ApplicationImage) {
	r.moving(t, img.Image, "it is the reference that the application's CI pushes")
	r.claimReference(t, img.Image, img.Line)
}

func isList(v any) bool { _, ok := asTables(v); return ok }

// recipe reads what says how an image of an application is built.
func (r *reader) recipe(t *table, img *ApplicationImage) {
	img.Dockerfile = t.textOr("dockerfile", "Dockerfile")
	img.Target = t.text("target")
	img.Args = r.args(t)
	if !filepath.IsLocal(img.Dockerfile) {
		t.wrong("dockerfile", `a path in the repository, such as "docker/Dockerfile"`, ": dockerfile = %q leads out of the repository", img.Dockerfile)
	}
}

// args reads build arguments.
func (r *reader) args(t *table) map[string]string {
	args := t.texts("args")
	for key := range args {
		if !environmentName.MatchString(key) {
			t.add(t.at.of("args").of(key).key, "letters, digits and underscores, as in a Dockerfile's ARG", "%s: %q cannot be a build argument", t.name, key)
		}
	}
	return args
}

// lastPart is the last part of an image's repository: "web" of "registry/apps/web:main".
func lastPart(image string) string {
	ref, err := name.ParseReference(image)
	if err != nil {
		return "image"
	}
	return path.Base(ref.Context().RepositoryStr())
}

var repositoryPath = regexp.MustCompile(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$`)

// imageName reads the name of an image in the graph and, from then on, calls the table by it.
func (r *reader) imageName(t *table, example string) string {
	s := t.need("name", example)
	if s != "" {
		t.name = fmt.Sprintf("%s %q", t.path, s)
	}
	r.checkName(t, s)
	return s
}

func (r *reader) checkName(t *table, s string) {
	if s == "" || repositoryPath.MatchString(s) && len(s) <= 200 {
		return
	}
	hint := `small letters, digits and - . _ with / between the parts, such as "base/debian"`
	if low := strings.ToLower(s); repositoryPath.MatchString(low) && len(low) <= 200 {
		hint = fmt.Sprintf("write name = %q", low)
	}
	t.wrong("name", hint, ": name = %q cannot be part of an image reference", s)
}

// moving checks a reference with a tag and without a digest.
func (r *reader) moving(t *table, image, why string) {
	if image == "" {
		return
	}
	ref, err := name.ParseReference(image)
	switch {
	case strings.Contains(image, "://"):
		_, rest, _ := strings.Cut(image, "://")
		t.wrong("image", fmt.Sprintf("leave out the scheme: image = %q", rest), ": %q is not an image reference", image)
	case err != nil:
		t.wrong("image", `such as "registry.example.com/apps/web:main"`, ": %q is not an image reference", image)
	case strings.Contains(image, "@"):
		before, _, _ := strings.Cut(image, "@")
		t.wrong("image", fmt.Sprintf("write image = %q: %s", tagged(before), why), ": %q is pinned to a digest", image)
	case tagged(image) != image:
		t.wrong("image", fmt.Sprintf("write image = %q, or the tag that you use: %s", ref.String()+":latest", why), ": %q has no tag", image)
	}
}

// tagged returns image with a tag, ":latest" when it has none.
func tagged(image string) string {
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image
	}
	return image + ":latest"
}
