// Package demo makes a small, real world and keeps it running: a registry, a forge with its CI, a signed Debian
// package repository, three bases and six applications. The demo verb and the end-to-end tests let the daemon loose
// in it.
//
//	w, err := demo.New(ctx, demo.Options{Dir: dir, Cache: cache})   // servers listen, nothing in them
//	defer w.Close()
//	err = w.Setup(ctx)                 // upstream image pushed, package repository at the versions of Debian main
//	w.SetBuilder(builder)              // the daemon's; the forge's CI builds with it too
//	err = w.Bootstrap(ctx, builder)    // bases built once, repositories created, every application built once
//	published, err := w.Publish(ctx)   // the security update arrives
//	merged, err := w.Merge(ctx)        // as a reviewer would, again and again until all is proven
//
// Everything of a world is below Options.Dir; what takes long to make is in Options.Cache and survives it.
package demo

import (
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"rebuilder/internal/build"
)

// Options say how a world is made. Only Dir and Cache are required.
type Options struct {
	Dir   string // the world's directory; made when missing, resumed when it holds a world
	Cache string // what is downloaded and packed once: root file system, packages
	// Example is the content of examples/demo; nil takes the one in the binary.
	Example fs.FS

	Log      *slog.Logger      // nil discards
	Progress func(line string) // one line for each thing that set-up does; nil discards

	// The wrappers stand in front of the world's servers; tests count and break requests with them. May be nil.
	WrapRegistry, WrapForge, WrapPackages func(http.Handler) http.Handler

	// Small makes a smaller world for tests: base/debian, base/python and the applications orders and batch.
	Small bool
	// MadeUpdate publishes a small package made for the demo also when the security suite has an update.
	MadeUpdate bool
	// OwnPorts takes free ports for a new world, not those that examples/demo names.
	OwnPorts bool
	// Builder is what the forge's CI builds with; it may come later by SetBuilder.
	Builder func() build.Builder
	// WebhookPath is where the daemon takes webhooks, on World.DaemonAddress: "/hooks/github". Empty sends none.
	WebhookPath string
}

// Published says what the security update was.
type Published struct {
	At       time.Time // when the repository's new index could first be read
	Package  string    // the package that is followed: "libssl3"
	From, To string
	Source   string   // SecuritySuite or MadeForDemo
	Packages []string // all packages that were published, sorted
}

// Where a published update came from.
const (
	SecuritySuite = "security suite"
	MadeForDemo   = "made for the demo"
)
