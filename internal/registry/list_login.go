package registry

import (
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
)

// logins holds transports that are logged in, by registry and scope. The zero value is ready.
type logins struct {
	mu    sync.Mutex
	known map[loginKey]http.RoundTripper
}

type loginKey struct{ host, scope string }

// maxLogins bounds how many are held; a walk asks for each repository's tags once.
const maxLogins = 256

func (l *logins) get(host name.Registry, scope string) http.RoundTripper {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known[loginKey{host.RegistryStr(), scope}]
}

// put says whether all others were let go, being too many.
func (l *logins) put(host name.Registry, scope string, t http.RoundTripper) (full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full = len(l.known) >= maxLogins
	if l.known == nil || full {
		l.known = map[loginKey]http.RoundTripper{}
	}
	l.known[loginKey{host.RegistryStr(), scope}] = t
	return full
}

// forget says whether there was one.
func (l *logins) forget(host name.Registry, scope string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := loginKey{host.RegistryStr(), scope}
	_, had := l.known[k]
	delete(l.known, k)
	return had
}
