// Package api is the daemon's HTTP API: typed answers, typed errors with a way out, the client for both, health,
// metrics and incoming webhooks.
//
//	GET  /api/v1/status                    how things are, and what needs a person
//	POST /api/v1/plans                     look now and make a plan
//	GET  /api/v1/plans/{id}                a plan as it was shown
//	POST /api/v1/plans/{id}/apply          start exactly that
//	GET  /api/v1/graph                     images with their states, edges with their evidence
//	GET  /api/v1/images                    ?kind= state= owner= (each may be given again) on= stale=
//	GET  /api/v1/affected                  which images have ?of= a package, a digest or an advisory; ?all=
//	GET  /api/v1/sheet                     the fact sheet of ?image= a name, or a digest that was read
//	POST /api/v1/scan                      the same of any reference, read from its registry; GET as sheet
//	GET  /api/v1/diff                      ?a= and ?b= compared; without b: a with the digest before it
//	POST /api/v1/diff                      the same of any references
//	GET  /api/v1/export                    ?image= in ?format= sarif, cyclonedx, openvex, csv, sbom-cyclonedx, sbom-spdx
//	POST /api/v1/export                    the same of any reference
//	GET  /api/v1/images/{name}/why         everything about one image; ?package= where a package comes from
//	GET  /api/v1/images/{name}/log         redirects to the log of its newest build
//	GET  /api/v1/rollouts                  the newest; ?limit=
//	GET  /api/v1/rollouts/{id}             one, with its images and proposals
//	POST /api/v1/rollouts/{id}/{verb}      pause, resume, retry, stop (at a tier) or critical
//	GET  /api/v1/builds/{id}               one build
//	GET  /api/v1/builds/{id}/log           its log as text; ?follow=1 until it ends
//	GET  /api/v1/audit                     who did what; ?object= action= actor= before= limit=
//	GET  /api/v1/events                    an event (text/event-stream) whenever something changed
//	POST /api/v1/refresh                   build bases fresh, at once
//	POST /api/v1/rollback                  move a base's channel back, and keep what was there from being used
//	POST /api/v1/promote                   move a base's channel to a digest that passed its gates
//	GET  /api/v1/quarantine                digests that are not used; ?image= all=
//	POST /api/v1/quarantine                keep one from being used; .../clear lets it be used again
//	GET  /api/v1/advisories                the sources of advisories, and whose packages none covers
//	GET  /api/v1/deliveries                chats and subscribers, and events on their way; ?subscriber= state= event= limit=
//	POST /api/v1/deliveries/retry          send again what is parked
//	GET  /api/v1/exceptions                exceptions and what they excuse; ?state= (may be given again) all=
//	POST /api/v1/exceptions                ask for one
//	POST /api/v1/exceptions/{id}/approve   by somebody else than who asked; so do .../reject and .../revoke
//	GET  /api/v1/vex                       an OpenVEX document on ?image= (may be given again), or on all bases
//	GET  /api/v1/vex/documents             the OpenVEX documents that were imported
//	POST /api/v1/vex/documents             import one, or only check it; .../remove removes one
//	POST /webhooks/{name}                  a hint to look now, from the forge (github) or a [[webhook]]
//	GET  /healthz /readyz /metrics
//
// Reading needs no permission: bind the daemon to an address that only those reach who may read. Writing needs the
// token, or, when there is none, a caller on the same machine.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rebuilder/internal/catalog"
	"rebuilder/internal/judge"
	"rebuilder/internal/plan"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

// Loop is the daemon's heart beat as far as the API goes.
type Loop interface {
	Looker
	// Plan looks now and stores what would be done.
	Plan(ctx context.Context) (*plan.Plan, error)
	// Apply starts a stored plan and returns the rollout's id.
	Apply(ctx context.Context, id string, by rollout.Actor) (string, error)
	// Wake makes it look soon; it does not block.
	Wake()
}

// Deps is what the API is made of. Loop and Store are needed.
type Deps struct {
	Loop   Loop
	Store  *store.Store
	Engine Pinger // nil: nothing is said of the builder
	Judge  Judge  // nil: nothing is said of what is in an image
	// Registry reads what nobody has looked into yet; nil: that is not done.
	Registry judge.Resolver
	Log      *slog.Logger     // nil: nothing is logged
	Now      func() time.Time // nil: time.Now
	Version  string
	Ready    func() error // why the daemon cannot do its work; nil: it always can
	// Token is asked of those who write. Without one, only callers on the same machine may.
	Token string
	// WebhookSecret is the key of incoming webhooks' signatures. Without one none are taken.
	WebhookSecret string
	// Logs is the directory of the logs of tests inside images.
	Logs string
	// Secret returns the secret of a webhook of the catalog; nil: none of them are taken.
	Secret func(catalog.Webhook) (string, error)
	// Advice is what is known of advisories.
	Advice Advice
	// Hands does what people ask to be done with channels; nil: nobody does.
	Hands Hands
	// Rejudge is called when what verdicts rest on is another: an exception, a statement. Nil: nobody is told.
	Rejudge func()
	// Rollouts does what people ask of rollouts; nil: nothing can be asked of them.
	Rollouts Controller
	// Collectors are further metrics.
	Collectors []prometheus.Collector
}

// Server is the API. It is safe for concurrent use.
type Server struct {
	Reader
	d       Deps
	handler http.Handler
	scans   chan struct{} // holds those that read an image now
}

// New returns a server; it starts nothing.
func New(d Deps) *Server {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Ready == nil {
		d.Ready = func() error { return nil }
	}
	s := &Server{d: d, scans: make(chan struct{}, scansAtOnce),
		Reader: Reader{Loop: d.Loop, Store: d.Store, Engine: d.Engine, Judge: d.Judge, Now: d.Now, Version: d.Version, Advice: d.Advice}}
	s.handler = s.routes()
	return s
}

// Handler answers everything below /api/, /webhooks/, /healthz, /readyz and /metrics.
func (s *Server) Handler() http.Handler { return s.handler }

const (
	patience     = 30 * time.Second // of an answer that only reads
	planPatience = 10 * time.Minute // of one that looks at the world first
	maxBody      = 64 << 10         // bytes of a request
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	read := func(pattern string, h handler) { mux.Handle("GET "+pattern, s.answer(patience, h)) }
	write := func(pattern string, h handler) { mux.Handle("POST "+pattern, s.writer(s.answer(planPatience, h))) }
	read("/api/v1/status", func(r *http.Request) (any, error) { return s.Status(r.Context()) })
	read("/api/v1/graph", func(r *http.Request) (any, error) { return s.Graph(r.Context()) })
	read("/api/v1/images", s.getImages)
	read("/api/v1/affected", s.getAffected)
	mux.Handle("GET /api/v1/sheet", s.answer(sheetPatience, s.getSheet))
	mux.Handle("GET /api/v1/scan", s.answer(sheetPatience, s.getSheet))
	mux.Handle("GET /api/v1/diff", s.answer(sheetPatience, s.getDiff))
	mux.Handle("GET /api/v1/export", s.documents(sheetPatience, s.getExport))
	mux.Handle("POST /api/v1/export", s.writer(s.documents(planPatience, s.postExport)))
	write("/api/v1/scan", s.scan)
	write("/api/v1/diff", s.postDiff)
	read("/api/v1/plans/{id}", s.getPlan)
	read("/api/v1/rollouts", s.getRollouts)
	read("/api/v1/rollouts/{id}", func(r *http.Request) (any, error) { return s.Rollout(r.Context(), r.PathValue("id")) })
	read("/api/v1/proposals", s.getProposals)
	read("/api/v1/builds", s.getBuilds)
	read("/api/v1/builds/{id}", s.getBuild)
	read("/api/v1/audit", s.getAudit)
	read("/api/v1/advisories", func(r *http.Request) (any, error) { return s.Advisories(r.Context()) })
	read("/api/v1/deliveries", s.getDeliveries)
	write("/api/v1/deliveries/retry", s.redeliver)
	read("/api/v1/exceptions", s.getExceptions)
	write("/api/v1/exceptions", s.requestException)
	write("/api/v1/exceptions/{id}/{decision}", s.decideException)
	read("/api/v1/vex", s.exportVEX)
	read("/api/v1/vex/documents", func(r *http.Request) (any, error) { return s.VEXDocuments(r.Context()) })
	mux.Handle("POST /api/v1/vex/documents", s.writer(s.bounded(planPatience, maxVEX, s.importVEX)))
	write("/api/v1/vex/documents/remove", s.removeVEX)
	write("/api/v1/rollouts/{id}/{verb}", s.control)
	write("/api/v1/plans", s.makePlan)
	write("/api/v1/plans/{id}/apply", s.applyPlan)
	write("/api/v1/refresh", s.refresh)
	write("/api/v1/rollback", s.rollback)
	write("/api/v1/promote", s.promote)
	read("/api/v1/quarantine", s.getQuarantines)
	write("/api/v1/quarantine", s.addQuarantine)
	write("/api/v1/quarantine/clear", s.clearQuarantine)
	mux.HandleFunc("GET /api/v1/images/{rest...}", s.image)
	mux.HandleFunc("GET /api/v1/builds/{id}/log", s.buildLog)
	mux.HandleFunc("GET /api/v1/builds/{id}/provenance", s.buildProvenance)
	mux.HandleFunc("GET /api/v1/events", s.events)
	mux.HandleFunc("POST /webhooks/{name}", s.webhook)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.metrics())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, notFound("see the routes: GET /api/v1/status is a start", "no %s %s here", r.Method, r.URL.Path))
	})
	return hardened(mux)
}

// hardened adds what every answer has.
func hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// handler answers with something that becomes JSON.
type handler func(r *http.Request) (any, error)

// answer bounds a handler's time and body, and writes what it returns.
func (s *Server) answer(patience time.Duration, h handler) http.Handler {
	return s.bounded(patience, maxBody, h)
}

// bounded is answer for requests of up to most bytes.
func (s *Server) bounded(patience time.Duration, most int64, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		// Not every writer can; then the server's own limits hold.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience))
		r.Body = http.MaxBytesReader(w, r.Body, most)
		v, err := h(r.WithContext(ctx))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, v)
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

type errorBody struct {
	Error *Error `json:"error"`
}

// fail writes an error. What the daemon is to blame for is logged.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		err = &Error{http.StatusGatewayTimeout, CodeUnavailable, "no answer in time: " + err.Error(), "try again; the daemon's log says what takes so long"}
	}
	e := asError(err)
	if e.Status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		s.d.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	writeJSON(w, e.Status, errorBody{e})
}

// decode reads a JSON body into v; an empty one leaves v alone.
func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return badRequest("", "the request's body: %v", err)
	}
	return nil
}

// number reads a query parameter between 1 and most; fallback when it is not there.
func number(r *http.Request, name string, fallback, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, badRequest("", "%s=%q: want a number from 1 to %d", name, text, most)
	}
	return n, nil
}
