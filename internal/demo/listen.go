package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"syscall"
	"time"
)

// addresses are the "host:port" of the world's servers and of the daemon.
type addresses struct {
	Registry string `json:"registry"`
	Forge    string `json:"forge"`
	Packages string `json:"packages"`
	Daemon   string `json:"daemon"`
}

// preferredAddresses are the addresses that examples/demo names.
func preferredAddresses() addresses {
	return addresses{
		Registry: "127.0.0.1:5510",
		Forge:    "127.0.0.1:5520",
		Packages: "127.0.0.1:5530",
		Daemon:   "127.0.0.1:5540",
	}
}

// ownAddresses are four neighbouring ports by chance, below those that the kernel gives to outgoing connections: a world
// that is resumed must find them free.
func ownAddresses() addresses {
	const from, to = 20000, 32000
	at := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	p := from + rand.IntN((to-from)/4)*4
	return addresses{Registry: at(p), Forge: at(p + 1), Packages: at(p + 2), Daemon: at(p + 3)}
}

// listeners are the world's three open doors.
type listeners struct{ registry, forge, packages net.Listener }

// listen opens the doors. A new world takes other ports where the preferred ones are taken; a world that is resumed must
// have its own back, since its images name them.
func listen(ctx context.Context, a *addresses, resumed bool) (listeners, error) {
	var l listeners
	for _, door := range []struct {
		address *string
		open    *net.Listener
		what    string
	}{
		{&a.Registry, &l.registry, "registry"},
		{&a.Forge, &l.forge, "forge"},
		{&a.Packages, &l.packages, "package repository"},
	} {
		open, err := listenAt(ctx, *door.address, !resumed)
		if err != nil {
			l.close()
			if resumed {
				err = fmt.Errorf("%w; its images name this address: free it, or start with a new world", err)
			}
			return l, fmt.Errorf("open the demo's %s: %w", door.what, err)
		}
		*door.open = open
		*door.address = open.Addr().String()
	}
	// The daemon's door is only looked for: the daemon opens it.
	open, err := listenAt(ctx, a.Daemon, true)
	if err != nil {
		l.close()
		return l, fmt.Errorf("find an address for the daemon: %w", err)
	}
	a.Daemon = open.Addr().String()
	return l, open.Close()
}

// listenAt listens at address, or on a free port beside it when that is taken and another will do.
func listenAt(ctx context.Context, address string, orOther bool) (net.Listener, error) {
	var lc net.ListenConfig
	open, err := lc.Listen(ctx, "tcp", address)
	if err == nil || !orOther || !errors.Is(err, syscall.EADDRINUSE) {
		return open, err
	}
	host, _, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return nil, splitErr
	}
	return lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
}

func (l listeners) close() {
	for _, open := range []net.Listener{l.registry, l.forge, l.packages} {
		if open != nil {
			_ = open.Close()
		}
	}
}

// serve serves h at open until the server is closed.
func serve(open net.Listener, h http.Handler, log *slog.Logger) *http.Server {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := s.Serve(open); !errors.Is(err, http.ErrServerClosed) {
			log.Error("server ended", "address", open.Addr().String(), "error", err)
		}
	}()
	return s
}
