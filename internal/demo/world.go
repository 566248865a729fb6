package demo

import (
	"context"
	"errors"

	"rebuilder/internal/build"
)

// World is a running world. All its methods may be called from several goroutines.
type World struct {
	Dir            string // absolute
	Catalog        string // path of the world's own catalog.toml
	Token          string // the daemon's token for the forge; also in the file that the catalog names
	WebhookSecret  string
	DaemonAddress  string // "127.0.0.1:5540": free when the world was made, for the daemon to listen on
	RegistryHost   string // "127.0.0.1:5510"
	ForgeURL       string // "http://127.0.0.1:5520"
	PackagesURL    string // "http://127.0.0.1:5530/debian"
	Codename       string // "bookworm"
	StateDirectory string // below Dir, for the daemon's own state

}

var errNotYet = errors.New("not implemented yet")

// New makes or resumes the world in o.Dir and starts its servers.
func New(ctx context.Context, o Options) (*World, error) { return nil, errNotYet }

// Setup fills the registry and the package repository. It is safe to repeat: what is there is left alone.
func (w *World) Setup(ctx context.Context) error { return errNotYet }

// SetBuilder gives the forge's CI its builder. Builds that wait for one start.
func (w *World) SetBuilder(b build.Builder) {}

// Bootstrap builds the bases in order and tags each on its channel, creates the applications' repositories and waits
// until CI has built each once. What is there already is left alone.
func (w *World) Bootstrap(ctx context.Context, b build.Builder) error { return errNotYet }

// Publish adds the security update to the package repository. A second call changes nothing and returns the same.
func (w *World) Publish(ctx context.Context) (Published, error) { return Published{}, errNotYet }

// Merge merges all open pull requests as a reviewer would and returns how many it merged.
func (w *World) Merge(ctx context.Context) (int, error) { return 0, errNotYet }

// CI returns the last build of each application image.
func (w *World) CI() []CIBuild { return nil }

// Close stops everything that the world started. It is safe to call twice.
func (w *World) Close() error { return nil }
