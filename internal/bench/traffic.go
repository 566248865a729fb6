package main

import (
	"net/http"
	"sync/atomic"
)

// traffic counts the requests that reach the world's servers.
type traffic struct{ registry, forge, packages counter }

// counter counts the requests to one server.
type counter struct{ all, writes atomic.Int64 }

// in stands in front of a server.
func (c *counter) in(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.all.Add(1)
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			c.writes.Add(1)
		}
		next.ServeHTTP(w, r)
	})
}

// counts are the counters at one moment.
type counts struct{ registry, forge, packages, writes int64 }

func (t *traffic) now() counts {
	return counts{
		registry: t.registry.all.Load(), forge: t.forge.all.Load(), packages: t.packages.all.Load(),
		writes: t.registry.writes.Load() + t.forge.writes.Load() + t.packages.writes.Load(),
	}
}

func (c counts) since(before counts) counts {
	return counts{
		registry: c.registry - before.registry, forge: c.forge - before.forge, packages: c.packages - before.packages,
		writes: c.writes - before.writes,
	}
}
