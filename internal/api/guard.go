package api

import (
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// writer lets only those in who may write. A browser never may on behalf of another site, whoever it belongs to.
func (s *Server) writer(next http.Handler) http.Handler {
	foreign := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := foreign.Check(r); err != nil {
			s.fail(w, r, denied("use the command line, or a page of the daemon itself", "another site's page asked for this"))
			return
		}
		if e := s.mayWrite(r); e != nil {
			s.d.Log.Warn("write refused", "path", r.URL.Path, "from", r.RemoteAddr, "reason", e.Message)
			s.fail(w, r, e)
			return
		}
		next.ServeHTTP(w, r)
	})
}

const tokenHint = "give the daemon a token (REBUILDER_API_TOKEN) and the caller the same one"

func (s *Server) mayWrite(r *http.Request) *Error {
	if s.d.Token != "" {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return &Error{http.StatusUnauthorized, CodeDenied, "this needs the daemon's token", "set REBUILDER_API_TOKEN to the daemon's token"}
		}
		if subtle.ConstantTimeCompare([]byte(given), []byte(s.d.Token)) != 1 {
			return &Error{http.StatusUnauthorized, CodeDenied, "the token is not the daemon's", "set REBUILDER_API_TOKEN to the daemon's token"}
		}
		return nil
	}
	switch {
	case !loopback(r.RemoteAddr):
		return denied(tokenHint, "without a token only callers on the daemon's machine may do this, not %s", r.RemoteAddr)
	case forwarded(r):
		return denied(tokenHint, "this came through a proxy, so that nobody knows whether the caller is on the daemon's machine")
	case !loopback(r.Host): // a page that made a name of its own point here
		return denied("use 127.0.0.1 or localhost, or "+tokenHint, "this was asked of %q, which is not a name of this machine", r.Host)
	}
	return nil
}

// loopback says that an address, with or without a port, is of this machine.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func forwarded(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}
