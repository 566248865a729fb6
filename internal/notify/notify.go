// Package notify says how dependents are told about a new base: by a pull request that pins the new digest, or by
// a dispatch of their own CI. The effects are in its sub-packages.
package notify

import (
	"context"
	"errors"
	"time"
)

// Forge is what the daemon needs from a code host. All writes look before they act and are safe to repeat.
type Forge interface {
	// Head returns the commit at the tip of a branch; ErrNotFound when repository or branch is missing.
	Head(ctx context.Context, repo, branch string) (commit string, err error)
	// ReadFile returns a file's bytes at a commit; ErrNotFound when it is missing.
	ReadFile(ctx context.Context, repo, commit, path string) ([]byte, error)
	// Propose opens the pull request for p.Key, or updates the one that is open in place, or finds that nothing is
	// to be done. A second call with the same Proposal makes no write.
	Propose(ctx context.Context, p Proposal) (PullRequest, error)
	// Proposed returns the pull request that Propose made for p.Key from the commit p.Base, whatever became of it, and
	// ErrNotFound when there is none. Key, Repo, Branch, Slug and Base are enough. It is for the repetition of a Propose
	// whose answer was lost, when the change has been merged since and so cannot be proposed again.
	Proposed(ctx context.Context, p Proposal) (PullRequest, error)
	// PullRequest returns the present state of a pull request.
	PullRequest(ctx context.Context, repo string, number int) (PullRequest, error)
	// ClosePullRequest closes it with one line of reason; closed already is success.
	ClosePullRequest(ctx context.Context, repo string, number int, reason string) error
	// Dispatch starts the application's own CI. GitHub keeps no record of a repository_dispatch that can be asked
	// for, so the caller's ledger decides whether it was sent; Dispatch.Key travels in the payload for the receiver.
	Dispatch(ctx context.Context, d Dispatch) error
}

// ErrNotFound is returned when a repository, branch, file or pull request does not exist (or may not be seen).
var ErrNotFound = errors.New("not found")

// RateLimited says that the forge refused for now.
type RateLimited struct {
	Until time.Time
	Cause error
}

func (e *RateLimited) Error() string {
	return "rate limited by the forge until " + e.Until.UTC().Format(time.RFC3339)
}
func (e *RateLimited) Unwrap() error { return e.Cause }

// Proposal is a change to a repository. Key decides the branch: one open pull request a repository, branch and base line.
type Proposal struct {
	Key    string // stable for (repository, branch, base line): "acme/web main base/debian:stable"
	Repo   string // "acme/web"
	Branch string // the branch to merge into: "main"
	Slug   string // readable part of the head branch: "base-debian-stable"
	Base   string // the commit at Branch that Files were made from
	Files  map[string][]byte
	Title  string
	Body   string // Markdown, escaped by the caller
	Labels []string
}

// PullRequest is what the forge says of one.
type PullRequest struct {
	Repo        string    `json:"repo"`
	Number      int       `json:"number"`
	URL         string    `json:"url"`
	Head        string    `json:"head"` // branch
	HeadCommit  string    `json:"head_commit"`
	State       PullState `json:"state"`
	MergeCommit string    `json:"merge_commit,omitempty"` // a hint only: newer API versions leave it out
	// Human says that somebody else has committed to the branch; it was left alone.
	Human bool `json:"human,omitempty"`
	// Wrote counts the writes that this call made (0 when nothing was to be done).
	Wrote int `json:"-"`
}

// PullState is a pull request's state.
type PullState string

const (
	Open   PullState = "open"
	Merged PullState = "merged"
	Closed PullState = "closed" // without merging: "not this digest"
)

// Dispatch is a request to run a repository's CI.
type Dispatch struct {
	Key      string
	Repo     string
	Event    string            // repository_dispatch event type
	Workflow string            // workflow_dispatch file name; wins over Event when set
	Ref      string            // branch for workflow_dispatch
	Payload  map[string]string // at most 9 entries; Key is added
}
