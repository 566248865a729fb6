// Package forge is the demo's GitHub: the parts of GitHub's REST API that pull-request robots and CI need, in front of
// real bare git repositories, with smart HTTP beside it.
//
// Every commit, tree, diff and merge comes from the git binary; nothing about commits is kept anywhere else. What git
// does not know (pull requests, labels, checks, users) lives in one JSON file in Config.Dir, written after each
// change, so a forge started again on the same directory goes on where the last one was killed.
//
// It is as strict as GitHub where that is asked for: Apps with their installations' permissions and expiring tokens
// (AddApp, Install), roles (SetRole), protected branches (Protect), a CI (Script), limits on a clock of the caller's
// (Config.Now, Config.Limits), and things that go wrong (Config.Faults, Fail). GraphQL documents are held against
// GitHub's schema and answered as far as robots and gh ask.
//
// The API answers under "" (as api.github.com does) and under "/api/v3" (as GitHub Enterprise Server does), GraphQL under
// /graphql and /api/graphql. Its shapes are checked in the tests against GitHub's OpenAPI description, in both
// directions (internal/githubspec).
//
//	push by git ──┐
//	ref by API  ──┼─> moved ──> pull requests follow, close or count as merged ──> webhooks, OnPush
//	merge       ──┘
package forge
