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
	URL          string // where people reach the daemon's pages, without a slash at its end; empty: unknown
	Registry     Registry
	Forge        Forge
	Builder      Builder
	Watch        Watch
	Discovery    Discovery
	Refresh      Refresh
	Rollout      Rollout
	Signing      Signing
	Proposals    Proposals
	Pace         Pace
	Webhooks     []Webhook
	Chats        []Chat
	Subscribers  []Subscriber
	Workers      []Worker
	Advisories   []AdvisorySource
	Scanners     []Scanner
	Policies     []Policy
	Exceptions   []Exception
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
	App       ForgeApp
	// How much is written to it, by all replicas together, for each installation of the App or the token's user.
	WritesPerMinute, WritesPerHour int // default 60 and 400
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
	// Bounds of each step of a build; 0: none.
	Memory int64   // bytes: "2GiB"
	CPUs   float64 // 1.5
	// Disk is how large the managed buildkitd's cache may grow, in bytes; default 20 GiB.
	Disk int64
	// Network of RUN steps: "none", or "" for what the builder gives.
	Network string
	// RecordNetwork notes what RUN steps fetch over HTTP; what is not HTTP does not get through.
	RecordNetwork bool
	// Cache is a repository in which builders share their caches, without tag; empty: nowhere.
	Cache string
}

// Worker is one of several BuildKits. [[worker]] With workers, Builder.Address is empty.
type Worker struct {
	Name string
	// Address: "unix:///...", "tcp://host:1234", "ssh://host", "kube-pod://pod?namespace=x", "docker-container://name".
	Address   string
	Platforms []string // that it builds for; empty: what it says itself
	Parallel  int      // builds at once; default Builder.Parallel
	// Of a tcp address: files with the authority of its certificate, and our own certificate and key.
	CA, Cert, Key string
	ServerName    string // that its certificate is for; default the address's host
	Drain         bool   // gets no new builds
	Line          int
}

// AdvisorySource is where advisories, or more facts on them, are read. [[advisories]]
type AdvisorySource struct {
	Name string
	Kind AdvisoryKind // default OSV
	// One of the two. A path is a directory or a zip file of OSV records, or a single file for the other kinds; a URL is a
	// zip file, a directory with modified_id.csv below it (an OSV mirror), or a single file.
	Path, URL  string
	Ecosystems []string      // of an OSV mirror: "Debian:12", "Go"
	Interval   time.Duration // between two looks; default 1h
	Line       int
}

// AdvisoryKind says what a source of advisories has.
type AdvisoryKind string

const (
	OSV           AdvisoryKind = "osv"
	ExploitedList AdvisoryKind = "kev"  // CISA's catalog of known exploited vulnerabilities, JSON
	EPSS          AdvisoryKind = "epss" // FIRST's scores, CSV, gzip or not
	OpenVEX       AdvisoryKind = "openvex"
)

// Scanner is another scanner, run as a program. [[scanner]]
type Scanner struct {
	Name     string        // "trivy" or "grype"
	Command  string        // default Name, looked up in PATH
	Database string        // directory of its database; it is never updated by us
	Timeout  time.Duration // default 5m
	Memory   int64         // bytes that it may use; default 2 GiB
	Line     int
}

// Level says what a rule does.
type Level string

const (
	LevelOff     Level = "off"
	LevelObserve Level = "observe" // shown, and fails nothing
	LevelEnforce Level = "enforce"
)

// Policy is a set of rules for some images. [[policy]] All that match apply; for one rule the last that names it wins.
type Policy struct {
	Name   string
	Images []string          // patterns as of path.Match over names in the graph; empty: all
	Match  map[string]string // labels that an image must have, "owner" among them; empty: all
	// Severity: vulnerabilities from here on count: "high". Empty: not said.
	// "unknown" counts all, those whose severity nobody knows, too.
	Severity string
	// OnlyFixable: a vulnerability counts only when there is a fix. Nil: not said.
	OnlyFixable *bool
	// Grace is how long a vulnerability may be there, counted from when its fix was known.
	Grace *time.Duration
	// Exploited: what is known to be exploited counts whatever its severity; EPSS: so does what is at least as likely.
	Exploited *bool
	EPSS      *float64
	// Vulnerabilities is what the rules above do; Secrets is what secrets do.
	Vulnerabilities, Secrets Level
	Rules                    map[string]Level // hygiene, by the rule's id
	// What hygiene rules need to know.
	ForbidPackages, RequirePackages, RequireLabels, AllowSetuid []string
	MaxSize                                                     int64 // bytes
	MaxAge                                                      time.Duration
	Line                                                        int
}

// Exception lets one finding pass for a while. [[exception]]
type Exception struct {
	ID       string   // "ACME-41"; EX- and a number are for those that are asked for by the verb
	Finding  string   // advisory or rule: "CVE-2026-1234", "root-user"
	Images   []string // patterns as of path.Match over names in the graph; empty: all
	Package  string   // empty: any
	Reason   string
	Owner    string
	Approver string
	Expires  time.Time // its last moment; a date means the end of that day, UTC
	Line     int
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
	// Verify is the signature that it must have before it is built upon.
	Verify Verification
	Line   int
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
	// Tests are files of tests that are run inside the built image, absolute, and below the catalog's directory.
	Tests []string
	// Trial names the applications, by their images' names, that are built on a candidate before it is promoted; TrialCount
	// picks so many when none is named.
	Trial      []string
	TrialCount int
	// Secrets are given to its build, by id: the name of the environment variable or the file that holds each.
	Secrets map[string]BuildSecret
	// Reproducible has two builds of the same inputs be the same, bit for bit, as far as the recipe allows.
	Reproducible bool
	// Bounds of its build in place of the builder's; zero: the builder's.
	Memory        int64
	CPUs          float64
	Timeout       time.Duration
	Network       string
	RecordNetwork *bool
	Line          int
}

// BuildSecret says where the value of a build's secret is: one of the two.
type BuildSecret struct{ Env, File string }

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
	Labels   map[string]string // that policies are scoped by; they are put into no image
	// Files are YAML files of the repository that name bases too, as manifests and Helm values do: pinned in the same pull
	// request.
	Files []string
	// Proposals says how its pull requests are made.
	Proposals Proposals
	AutoMerge AutoMerge
	Images    []ApplicationImage // at least one
	Line      int
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
	RebuildByUs Strategy = "rebuild"      // build its repository on the new base and push its reference
	RebaseByUs  Strategy = "rebase"       // put its own layers on the new base, where that is proven to overlap nowhere
	Observe     Strategy = "observe"      // only watch and report
)

// Places is how many builds run at once on all builders that get any.
func (c *Catalog) Places() int {
	if len(c.Workers) == 0 {
		return max(c.Builder.Parallel, 1)
	}
	n := 0
	for _, w := range c.Workers {
		if !w.Drain {
			n += max(w.Parallel, 1)
		}
	}
	return max(n, 1)
}

// Reference returns the reference that dependents follow: "registry/base/debian:stable".
func (b Base) Reference() string { return b.Image + ":" + b.Channel }
