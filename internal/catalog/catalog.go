// Package catalog reads catalog.toml: the organisation's approved bases, the applications that stand on them, and the
// daemon's settings. Every mistake comes with file and line, the line itself and a way out.
package catalog

import "time"

// Catalog is a checked catalog: names are unique, references resolve, defaults are filled in.
type Catalog struct {
	File   string // as given to Load
	SHA256 string // of the file's bytes, hex
	Dir    string // absolute directory of File; relative paths are resolved against it

	Organization string
	Registry     Registry
	Forge        Forge
	Builder      Builder
	Watch        Watch
	Discovery    Discovery
	Refresh      Refresh
	Rollout      Rollout
	Webhooks     []Webhook
	Upstreams    []Upstream
	Bases        []Base
	Applications []Application
}

// Registry is where bases are pushed. [registry]
type Registry struct {
	Address  string // "registry.example.com/platform" or "127.0.0.1:5000"; bases go to Address + "/" + base name
	Insecure bool   // plain HTTP; loopback addresses are plain HTTP anyway
}

// Forge is the code host. [forge] Absent (URL empty) when no application needs one.
type Forge struct {
	URL       string // API base: "https://api.github.com" (default), "https://ghe.example.com/api/v3", "http://127.0.0.1:3000"
	TokenEnv  string // name of the environment variable that holds the token; default "REBUILDER_FORGE_TOKEN"
	TokenFile string // or a file
	// CloneURL is the prefix of git URLs, used for contexts in git; default derived from URL.
	CloneURL string
	// WebhookSecretEnv names the environment variable with the secret of incoming webhooks; none are taken without.
	WebhookSecretEnv string
}

// Builder says which BuildKit builds. [builder]
type Builder struct {
	Address  string        // "unix:///run/buildkit/buildkitd.sock", "tcp://host:1234"; empty: a managed buildkitd
	Parallel int           // builds at once; default 2
	Timeout  time.Duration // of one build; default 1h
}

// Watch says how often to look. [watch]
type Watch struct {
	Interval time.Duration // default 10m
	Settle   time.Duration // gather changes for so long before a rollout starts; default 10m, "0s" for at once
}

// Discovery says where to look for images and Dockerfiles that nobody declared. [discovery] Its zero value is off.
type Discovery struct {
	Registries    []string      // hosts, with a path if only what is below it counts: "registry.example.com/team"
	Organizations []string      // owners on the forge
	Interval      time.Duration // between two walks; default 6h
	// Include and Exclude are patterns as of path.Match over whole names, "apps/*"; none in Include: everything.
	Include, Exclude []string
}

// On says that there is somewhere to look.
func (d Discovery) On() bool { return len(d.Registries) > 0 || len(d.Organizations) > 0 }

// Refresh says when every base is built fresh, whether or not anything is known to be newer. [refresh]
type Refresh struct {
	Schedule string        // cron, five fields or "@daily"; empty: off
	Timezone string        // IANA name; default "UTC"
	Jitter   time.Duration // put off by up to so much; default 10m
}

// Webhook is a sender of hints, answered at /webhooks/<name>. [[webhook]]
type Webhook struct {
	Name string
	Kind WebhookKind
	// One of the two: the environment variable that holds the secret, or an absolute path.
	SecretEnv, SecretFile string
	Line                  int
}

// WebhookKind says who sends, and how it shows that it is who it is.
type WebhookKind string

const (
	FromRegistry WebhookKind = "registry" // notifications of a CNCF distribution registry
	FromHarbor   WebhookKind = "harbor"
	FromGHCR     WebhookKind = "ghcr"   // GitHub's package events
	FromGitHub   WebhookKind = "github" // GitHub's other events
)

// Rollout says how a rollout behaves. [rollout]
type Rollout struct {
	// Automatic false: plans are made and shown, a person applies them. Default true.
	Automatic bool
	// RetryAfter is the first back-off of a build that failed or did not take its patch; it doubles up to 32 times
	// that. Default 1h.
	RetryAfter time.Duration
}

// Upstream is an image that somebody else makes and that bases stand on. [[upstream]]
type Upstream struct {
	Name  string // in the graph: "upstream/debian"
	Image string // what Dockerfiles say: "docker.io/library/debian:bookworm-slim"
	Line  int
}

// Base is an image that we build and approve. [[base]]
type Base struct {
	Name       string // in the graph: "base/debian"
	Image      string // repository without tag; default Registry.Address + "/" + Name
	Context    string // absolute directory
	Dockerfile string // path inside Context; default "Dockerfile"
	Target     string
	Args       map[string]string
	Channel    string // the tag that dependents follow; default "stable"
	Platform   string // default "linux/amd64"
	Labels     map[string]string
	Owner      string
	Line       int
}

// Application is a repository that stands on bases. [[application]]
type Application struct {
	Name       string
	Repository string // on the forge: "acme/web"
	Branch     string // default "main"
	Strategy   Strategy
	// Event is the repository_dispatch event type for strategy dispatch; default "rebuilder".
	Event string
	// Workflow is a workflow file for strategy dispatch; it wins over Event.
	Workflow string
	Owner    string
	Images   []ApplicationImage // at least one
	Line     int
}

// ApplicationImage is one image of an application. [[application.image]], or image and dockerfile directly in
// [[application]] when there is only one.
type ApplicationImage struct {
	Name       string // in the graph: the application's name, or "name/<last part of image>" when it has several
	Image      string // reference that the application's CI pushes and moves: "registry/apps/web:main"
	Dockerfile string // path in the repository; default "Dockerfile"
	Target     string
	Args       map[string]string
	Line       int
}

// Strategy is how an application is told.
type Strategy string

const (
	PullRequest Strategy = "pull-request" // pin the new digest by a pull request
	Dispatch    Strategy = "dispatch"     // start the application's own CI
	Observe     Strategy = "observe"      // only watch and report
)

// Reference returns the reference that dependents follow: "registry/base/debian:stable".
func (b Base) Reference() string { return b.Image + ":" + b.Channel }
