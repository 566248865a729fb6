package main

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// traffic counts requests to registries and the forge; writes apart, so that one can see that a daemon at rest makes none.
type traffic struct{ requests *prometheus.CounterVec }

func newTraffic() *traffic {
	return &traffic{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rebuilder_requests_total", Help: "Requests to registries and the forge, by peer, host, kind (read or write) and status (0: no answer).",
	}, []string{"peer", "host", "kind", "status"})}
}

func (t *traffic) registry(_, host string, write bool, status int) {
	t.count("registry", host, write, status)
}

func (t *traffic) count(peer, host string, write bool, status int) {
	kind := "read"
	if write {
		kind = "write"
	}
	t.requests.WithLabelValues(peer, host, kind, strconv.Itoa(status)).Inc()
}

// forge wraps a transport.
func (t *traffic) forge(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		status := 0
		if err == nil {
			status = resp.StatusCode
		}
		t.count("forge", r.URL.Host, r.Method != http.MethodGet && r.Method != http.MethodHead, status)
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
