// Package web is the daemon's pages: plain HTML made on the server, one style sheet, no JavaScript. They show what the
// API says and nothing else.
package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/legible"
	"rebuilder/internal/store"
)

// Deps is what the pages are made of. Loop and Store are needed.
type Deps struct {
	Loop    api.Looker
	Store   *store.Store
	Engine  api.Pinger       // nil: nothing is said of the builder
	Judge   api.Judge        // nil: there are no pages of images
	Now     func() time.Time // nil: time.Now
	Version string
	Log     *slog.Logger // nil: nothing is logged
}

//go:embed page/*.html static/*
var files embed.FS

// contentPolicy lets a page load its own style sheet and icon and nothing else from anywhere.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// patience is how long a page may take to be made.
const patience = 15 * time.Second

// Handler answers GET /, GET /images/NAME and what they link to below /static/.
func Handler(d Deps) http.Handler {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	reader := &api.Reader{Loop: d.Loop, Store: d.Store, Engine: d.Engine, Judge: d.Judge, Now: d.Now, Version: d.Version}
	p := &pages{status: reader.Status, sheet: reader.Sheet, log: d.Log}
	return p.handler()
}

type pages struct {
	status func(context.Context) (api.Status, error)
	sheet  func(ctx context.Context, image string) (api.Sheet, error)
	log    *slog.Logger
	tpl    *template.Template
	style  string // address of the style sheet; changes with its content
}

func (p *pages) handler() http.Handler {
	css, _ := fs.ReadFile(files, "static/style.css") // embedded: the compiler has seen it
	sum := sha256.Sum256(css)
	p.style = "/static/style.css?" + hex.EncodeToString(sum[:6])
	p.tpl = template.Must(template.New("").Funcs(words()).ParseFS(files, "page/*.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /images/{name...}", p.image)
	mux.Handle("GET /static/", cached(http.FileServerFS(files)))
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/static/icon.svg", http.StatusMovedPermanently)
	})
	mux.HandleFunc("/", p.nothing)
	return hardened(mux)
}

func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=86400")
		next.ServeHTTP(w, r)
	})
}

func hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (p *pages) index(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	s, err := p.status(ctx)
	if err != nil {
		p.log.Error("status page", "error", err)
		p.write(w, http.StatusInternalServerError, "error.html", failure{p.style, "The status could not be read", "The daemon's log says why. /readyz says whether it can do its work."})
		return
	}
	p.write(w, http.StatusOK, "status.html", newStatus(s, p.style))
}

func (p *pages) nothing(w http.ResponseWriter, _ *http.Request) {
	p.write(w, http.StatusNotFound, "error.html", failure{p.style, "There is no such page", "The status page is at /."})
}

type failure struct{ Style, What, Hint string }

// write renders into memory first, so that half a page is never sent as a whole one.
func (p *pages) write(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := p.tpl.ExecuteTemplate(&b, name, data); err != nil {
		p.log.Error("page not rendered", "page", name, "error", err)
		http.Error(w, "this page could not be made; the daemon's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, legible.Text(b.String())) // the client is gone: nobody to tell
}
