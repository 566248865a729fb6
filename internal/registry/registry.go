// Package registry reads and moves image references in OCI registries: which digest a tag stands for, an image's
// manifest and layers, and pointing a tag at a digest that is already there.
//
// It is the one importer of go-containerregistry's remote package. Every request passes one transport that limits how
// many run against a host at once, retries what may be repeated, bounds what is read, refuses plain HTTP where it was
// not asked for, and reports each attempt to Config.Observe.
package registry

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Config says how to talk to registries. The zero value works: TLS everywhere but on loopback, credentials from the
// user's docker configuration.
type Config struct {
	// Insecure names hosts ("registry.test:5000") that are spoken to in plain HTTP when they do not answer TLS.
	// Loopback addresses need not be named.
	Insecure []string
	// Keychain finds credentials by host; authn.DefaultKeychain (docker's configuration) when nil.
	Keychain authn.Keychain
	// Transport is the innermost round tripper; remote.DefaultTransport when nil.
	Transport http.RoundTripper
	// Log gets one line for each retry; nothing is logged when nil.
	Log *slog.Logger
	// Observe is called after each attempt of each request, retries included. write is true for requests that may
	// change what a registry holds; status is 0 when no response came. It must be safe for concurrent use.
	Observe func(method, host string, write bool, status int)
	// PerHost bounds the requests to one host at once, bodies included; 8 when zero.
	PerHost int
	// Attempts is how often one request is tried in all; 4 when zero.
	Attempts int
	// Backoff is the mean wait before the second attempt; it triples for each further one. 300 ms when zero.
	Backoff time.Duration
}

// Client talks to registries. It is safe for concurrent use.
type Client struct {
	insecure  map[string]bool
	transport http.RoundTripper
	keychain  authn.Keychain
	resolved  resolvedCache
	lists     logins

	mu    sync.Mutex
	login *login
}

// login reads and writes with credentials and tokens that were looked up once.
type login struct {
	puller *remote.Puller
	pusher *remote.Pusher
}

// New returns a client for all registries. It makes no request.
func New(c Config) (*Client, error) {
	cl := &Client{
		insecure:  map[string]bool{},
		keychain:  c.Keychain,
		transport: newTransport(c),
		resolved:  resolvedCache{known: map[resolvedKey]Resolved{}},
	}
	for _, host := range c.Insecure {
		if _, err := name.NewRegistry(host, name.Insecure); err != nil {
			return nil, fmt.Errorf("insecure registry %q: %w: name a host and port such as \"registry.test:5000\"", host, err)
		}
		cl.insecure[host] = true
	}
	if cl.keychain == nil {
		cl.keychain = authn.DefaultKeychain
	}
	if err := cl.loginAgain(); err != nil {
		return nil, err
	}
	return cl, nil
}

// loginAgain drops all remembered credentials and tokens, so that the next request looks them up again.
func (c *Client) loginAgain() error {
	l, err := c.newLogin()
	if err != nil {
		return err
	}
	c.keep(l)
	return nil
}

func (c *Client) keep(l *login) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.login = l
}

// newLogin looks nothing up before its first request.
func (c *Client) newLogin() (*login, error) {
	// Retrying is our transport's work: theirs sleeps without looking at the context.
	options := []remote.Option{
		remote.WithTransport(c.transport),
		remote.WithAuthFromKeychain(c.keychain),
		remote.WithUserAgent("rebuilder"),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithRetryStatusCodes(),
		remote.WithRetryPredicate(func(error) bool { return false }),
	}
	puller, err := remote.NewPuller(options...)
	if err != nil {
		return nil, err
	}
	pusher, err := remote.NewPusher(options...)
	return &login{puller, pusher}, err
}

func (c *Client) current() *login {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.login
}

// do runs f and, when the registry refused our credentials, once more with freshly looked up ones: those of cloud
// registries end after hours. Fresh ones that are refused, too, are not kept: one image that we may not read costs the
// others no tokens.
func (c *Client) do(f func(*remote.Puller, *remote.Pusher) error) error {
	l := c.current()
	err := f(l.puller, l.pusher)
	if !refused(err) {
		return err
	}
	fresh, failed := c.newLogin()
	if failed != nil {
		return failed
	}
	if err = f(fresh.puller, fresh.pusher); !refused(err) {
		c.keep(fresh)
	}
	return err
}

// reference parses what people write ("debian:12", "host/repo@sha256:...").
func (c *Client) reference(ref string) (name.Reference, error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("image reference %q: %w", ref, err)
	}
	if !c.insecure[r.Context().RegistryStr()] {
		return r, nil
	}
	return name.ParseReference(ref, name.Insecure)
}

// digestOf names a digest in the repository of r.
func digestOf(r name.Reference, h v1.Hash) name.Digest { return r.Context().Digest(h.String()) }
