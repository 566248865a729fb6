// Package github tells dependents through GitHub (github.com or an Enterprise Server): pull requests that pin a new
// base, and dispatches of their own CI. It implements notify.Forge.
//
// A proposal's key decides its branch, rebuilder/<slug>-<hash of key>. Everything that is needed to go on after a kill
// is on GitHub itself: each commit bears the proposal's digest as a trailer, each pull request's body a hidden comment
// with the commit that was made last. So Propose looks first, does what is missing, and a second call with the same
// proposal writes nothing.
//
//	no pull request on the branch   -> commit, branch, pull request, labels
//	open, same files                -> nothing (title and body only when ours changed)
//	open, other files               -> a new commit in place of ours, on the new base
//	open, somebody else's commit    -> hands off, Human is set
//	closed or merged, same files    -> that is the answer; it is not opened again
//	closed or merged, other files   -> a new pull request on the next branch, -2, -3, ...
//
// All files go into one commit made by the git data API, without author or committer, so that GitHub signs an App's
// commits. Rate limits come back as *notify.RateLimited and are never waited for here.
package github
