// Package contract holds the forge's client and the demo's forge to GitHub as it is, by what nobody here wrote. It has
// tests only; `make contract` runs them with all they need, and a plain go test leaves out what is not installed.
//
//	G1  every exchange of our client's scenario has the shape of GitHub's description: github.com, Enterprise Server, and
//	    the announced version 2026-03-10; every webhook too
//	G2  every GraphQL document in our sources and of gh is valid by GitHub's schema, and every field of it is answered
//	G3  recorded requests are answered by the demo's forge as GitHub answered them
//	G4  329 recorded webhooks are taken: none crashes the receiver, none makes it refuse
//	G5  gh, and by `make contract-peers` Renovate, work on the demo's forge and leave the git state that they should
//	G6  our client's scenario passes on another stand-in for GitHub, but for a list of steps with reasons
//	G7  a forge that is broken on purpose turns the gates red
//
// The scenario is in scenario_test.go. What only GitHub itself can show stays unproven: its timing, what it counts towards
// its limits, the fine print of permissions and of protected branches, and how it makes its ETags.
package contract
