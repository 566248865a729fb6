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
	// Dispatched says whether CI has started a run for a dispatch since then: one whose name has Dispatch.Key, or else any of
	// that kind. It is for the repetition of a Dispatch whose answer was lost. A forge may show a run some seconds late.
	Dispatched(ctx context.Context, d Dispatch, since time.Time) (bool, error)
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

	// Pins are the digests that it is about, by base line. A person who closes it says no to exactly these, whatever else
	// is in the files by then. Without pins it is the files that are declined.
	Pins map[string]string
	// Reviewers are asked once: logins, and teams as "org/team". One that cannot be asked is a note.
	Reviewers []string
	Draft     bool // it is not ready: a trial build failed
	// Rebase makes our commit again on Base although it still merges: a person asked for that.
	Rebase bool
	// TakeOver replaces what others have committed to the branch: a person asked for that.
	TakeOver bool
	// CoolDown is how long after a person closed the last one a new one may be opened.
	CoolDown time.Duration
	// NoOpen and NoPush, when not nil, are the answer in place of opening one, and of pushing to its branch.
	NoOpen, NoPush *Held
	// Trailers end the commit's message, for programs that read commits: "Base-Image: base/debian@sha256:...".
	Trailers []string
	// Again makes it another proposal than an earlier one of the same files, which is over: those are to come back. Usually empty.
	Again string
}

// Held says that something is not done now, although nothing is wrong: why, and until when.
type Held struct {
	Until  time.Time
	Reason string
	Who    string // who can make it go on sooner; empty: nobody
}

func (e *Held) Error() string {
	return e.Reason + " (until " + e.Until.UTC().Format(time.RFC3339) + ")"
}

// Temporary says that trying again at once is of no use.
func (e *Held) Temporary() bool { return false }

// Refused says that a repository takes no changes from us until a person does something: it is archived, disabled, or may
// not be written to.
type Refused struct {
	Reason string
	Who    string // who can act
	Cause  error
}

func (e *Refused) Error() string { return e.Reason }
func (e *Refused) Unwrap() error { return e.Cause }

// Temporary says that trying again is of no use.
func (e *Refused) Temporary() bool { return false }

// PullRequest is what the forge says of one.
type PullRequest struct {
	Repo        string    `json:"repo"`
	Number      int       `json:"number"`
	URL         string    `json:"url"`
	Head        string    `json:"head"` // branch
	HeadCommit  string    `json:"head_commit"`
	State       PullState `json:"state"`
	MergeCommit string    `json:"merge_commit,omitempty"` // a hint only: newer API versions leave it out
	// Human says that somebody else has committed to the branch; it was left alone. Current says that it has what was
	// proposed all the same.
	Human   bool `json:"human,omitempty"`
	Current bool `json:"-"`
	// Outdated says why an open one cannot be merged as it is: "conflicts with main", "is behind main, which has to be in
	// it". Empty: it can, or that is not known yet.
	Outdated string `json:"outdated,omitempty"`
	// Never says that a person wants no proposal for this line, now and later.
	Never bool `json:"never,omitempty"`
	Draft bool `json:"draft,omitempty"`
	// Notes are what did not go as wanted and stops nobody: a reviewer who cannot be asked, a repository's new name.
	Notes []string `json:"notes,omitempty"`
	// Pushed says that this call moved the branch.
	Pushed bool `json:"-"`
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
