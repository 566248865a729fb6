// Package demo holds the demo's example catalog, its bases and its applications, for the binary.
package demo

import "embed"

// FS holds catalog.toml, bases/ and apps/.
//
//go:embed README.md catalog.toml bases apps
var FS embed.FS
