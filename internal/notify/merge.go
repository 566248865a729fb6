package notify

import "context"

// Checking is a Forge that knows of checks.
type Checking interface {
	// Checks returns what the checks of a commit come to, statuses and check runs together. A branch's name does as well.
	Checks(ctx context.Context, repo, commit string) (Checks, error)
}

// Merging is a Forge that merges pull requests without a person.
type Merging interface {
	// AutoMerge has a pull request merged once its checks are green: by the forge itself where the repository lets it, else
	// at once when they are. It is for exactly one head commit: another one is left alone. Unchecked says that it may be
	// merged although no check exists. What has to wait says why; ask again then.
	AutoMerge(ctx context.Context, repo string, number int, commit string, unchecked bool) (Merge, error)
}

// Merge is how far a merge without a person is.
type Merge struct {
	State MergeState
	Why   string // what it waits for
	Wrote bool   // this call changed something
}

// MergeState says how far a merge is.
type MergeState string

// How far a merge is.
const (
	MergeWaits   MergeState = "waits"   // for what Why says; nothing was done
	MergeEnabled MergeState = "enabled" // the forge merges it by itself
	MergeDone    MergeState = "merged"
)
