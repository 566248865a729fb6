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
//	open, somebody else's commit    -> hands off, Human is set; one comment when something newer is wanted
//	merged, same files              -> that is the answer
//	closed, same pins               -> that is the answer; it is not opened again
//	over, anything else             -> a new pull request on the next branch, -2, -3, ... after a cool-down
//
// All files go into one commit made by the git data API, without author or committer, so that GitHub signs an App's
// commits. Rate limits come back as *notify.RateLimited and are never waited for here.
//
// What a pull request may and may not do are rules, each shown by tests named after it, TestRule01.. and so on:
//
//	1  one for each repository, branch and base line            10  no more open than the caller allows
//	2  title and body follow the digest                         12  labels and reviewers, once
//	3  updated in place, over our own commit only               13  bytes, mode and author are left as they are
//	4  made again only for a reason, so many pushes an hour     16  the second run writes nothing
//	5  an approval outlives a branch that has moved             17  a dashboard, written when it says something else
//	6  people's commits and words stay                          18  renamed, archived and forbidden repositories
//	7  closed means closed
//	8  withdrawn when nobody wants it any more
//
// Rules 9 (a digest settles), 11 (the body), 14 (one odd reference stops nothing but itself) and 19 (other bots) are those of
// packages plan, rollout and coexist; 15 (merged by itself) is TestRule15AutoMerge.
package github
