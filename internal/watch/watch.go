// Package watch finds out what is new in the world outside: package repositories and upstream digests.
package watch

import "rebuilder/internal/patch"

// Patch is what watching finds.
type Patch = patch.Patch
