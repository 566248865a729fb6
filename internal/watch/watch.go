// Package watch finds out what package repositories have that is newer than what images have: patches.
//
//	Watcher.Round ──> State ──> family.ask      one conditional request a repository, however many images use it
//	                    │       family.open     verified by the keys of the image, checked against what was seen before
//	                    │       head.parts      fetched by hash, read for the packages that images have
//	                    └─────> Index           what it offers; Stale says why, where it is older knowledge
//	Snapshot.Patches ─> chooser                 what the image's own package manager would take of that
//
// A family (debian.go, apk.go, rpm.go) knows its formats and its choice, and nothing else; asking, keeping, refusing and
// forgetting is the watcher's, the same for all. Repositories and images are untrusted: what is read of them is bounded in
// bytes, time and number, and what is refused leaves what was known in use.
package watch

import "rebuilder/internal/patch"

// Patch is what watching finds.
type Patch = patch.Patch
