package catalog

import _ "embed"

//go:embed starter.toml
var starter string

// Commented returns the catalog that `rebuilder init` writes: a small one in which every key is shown and explained.
// It loads once the context that it names, bases/debian with a Dockerfile, exists beside it.
func Commented() []byte { return []byte(starter) }
