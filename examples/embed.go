// Package examples holds catalogs to learn from and to begin with. Each directory has a catalog.toml, the contexts of
// its bases, and under apps the Dockerfiles as they would stand in the repositories of its applications.
package examples

import "embed"

// FS has the directories alpine-node, centos-java and demo.
//
//go:embed all:alpine-node all:centos-java all:demo
var FS embed.FS
