package discover_test

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

const orphan = "its layers begin with those of no image of the catalog that was read"

// populate fills the registry and the organisation, those of them that are walked, with one of each kind.
func (w *world) populate() {
	w.t.Helper()
	if len(w.catalog.Discovery.Registries) > 0 {
		w.populateRegistry()
	}
	if len(w.catalog.Discovery.Organizations) > 0 {
		w.populateForge()
	}
}

func (w *world) populateRegistry() {
	w.t.Helper()
	w.push("team/web:main", w.on(w.base))
	w.push("team/web:v1.2", w.on(w.on(w.base)))
	w.push("team/web:sha256-"+strings.Repeat("a", 64)+".sig", w.image(1))
	w.push("team/multi:latest", w.index(w.on(w.base), w.on(w.platform(w.image(1), "linux/arm64"))))
	w.push("other/stranger:latest", mutate.Annotations(w.image(1), map[string]string{"org.opencontainers.image.base.name": "docker.io/library/debian:12"}).(v1.Image))
	w.push("charts/web:1.0", mutate.ConfigMediaType(w.image(1), "application/vnd.cncf.helm.config.v1+json"))
}

func (w *world) populateForge() {
	w.t.Helper()
	w.repository("web", "Dockerfile", "FROM golang:1.26 AS build\n"+w.from()+"COPY --from=build /a /a\n", "deploy/job.Dockerfile", w.from())
	w.repository("library", "src/main.go", "package main\n")
	w.repository("stranger", "Containerfile", "FROM alpine:3.22\n")
	w.repository("odd", "Dockerfile", "FROM ${WHAT}\n", "node_modules/x/Dockerfile", w.from(), "Dockerfile.dockerignore", "x\n", "old/Dockerfile", "FORM debian\n")
}

func (w *world) populated() []string {
	return []string{
		"base/debian:stable ? parent of linux/amd64 unknown: " + orphan,
		"charts/web:1.0",
		`other/stranger:latest ? parent of linux/amd64 unknown: ` + orphan + `; its annotation says "docker.io/library/debian:12"`,
		"team/multi:latest <- base/debian inherits layers linux/amd64 ? parent of linux/arm64 unknown: " + orphan,
		"team/web:main <- base/debian inherits layers linux/amd64",
		"team/web:v1.2 <- base/debian inherits layers linux/amd64",
		"acme/library",
		"acme/odd ? it cannot be told what it stands on: Dockerfile:1: base name (${WHAT}) should not be blank; it cannot be told what it stands on: old/Dockerfile:1: unknown instruction: FORM (did you mean FROM?)",
		"acme/stranger",
		"acme/web <- base/debian inherits recipe Dockerfile:2 <- base/debian inherits recipe deploy/job.Dockerfile:1",
	}
}

func TestWalk(t *testing.T) {
	w := newWorld(t)
	w.populate()
	w.complete()
	w.expect(w.populated()...)
	if got := w.row("team/web:main"); !strings.Contains(got.Note, "2 of 3 tags") {
		t.Errorf("note %q", got.Note)
	}
	for _, place := range w.catalog.Discovery.Registries {
		if h := w.heartbeat(place); h.LastOK == 0 || h.Error != "" || h.NextRun <= h.LastRun {
			t.Errorf("heartbeat of %s: %+v", place, h)
		}
	}
}
