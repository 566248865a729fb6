// Package forge is the demo's GitHub: the parts of GitHub's REST API that pull-request robots and CI need, in front of
// real bare git repositories, with smart HTTP beside it.
//
// Every commit, tree, diff and merge comes from the git binary; nothing about commits is kept anywhere else. What git
// does not know (pull requests, labels, checks, users) lives in one JSON file in Config.Dir, written after each
// change, so a forge started again on the same directory goes on where the last one was killed.
//
// The API answers under "" (as api.github.com does) and under "/api/v3" (as GitHub Enterprise Server does). Its shapes
// are checked in the tests against GitHub's OpenAPI description, in both directions (internal/githubspec).
//
//	push by git ──┐
//	ref by API  ──┼─> moved ──> pull requests follow, close or count as merged ──> webhooks, OnPush
//	merge       ──┘
package forge
