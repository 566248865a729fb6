package notify

import "time"

// Listed is a repository as a forge lists it.
type Listed struct {
	ID       int64  // the forge's own; it stays when the repository is renamed
	Name     string // "acme/web"
	Branch   string // the default branch; empty when there is none
	PushedAt time.Time
	Archived bool
	Disabled bool
	Fork     bool
}

// Tree is what a commit, or a directory of it, holds.
type Tree struct {
	Entries []TreeEntry
	// Truncated says that the forge did not list all.
	Truncated bool
	Rate      Rate
}

// TreeEntry is one file or directory.
type TreeEntry struct {
	Path string // from the root of the tree
	Kind EntryKind
	SHA  string
	Size int // bytes of a file
}

// EntryKind says what an entry is.
type EntryKind string

// The kinds of entries; links and submodules are Other.
const (
	RegularFile EntryKind = "file"
	Directory   EntryKind = "directory"
	Other       EntryKind = "other"
)

// Rate is how much a forge still lets us ask; the zero value is unknown.
type Rate struct {
	Limit, Remaining int
	Reset            time.Time
}
