// Package githubspec judges HTTP traffic by GitHub's own OpenAPI description, requests and responses alike. It is for
// tests only: production code does not import it.
//
//	spec, err := githubspec.GitHub()          // or GHES(), or Next()
//	record := githubspec.NewRecord(spec)
//	client := record.Transport(http.DefaultTransport) // under a client
//	server := record.Handler(forge)                   // or in front of a server
//	...
//	for _, f := range record.Findings() { t.Error(f) }
//
// It is stricter than the description itself: query parameters, members of a request's body and members of an answer
// that the description does not know are findings too. What real GitHub does but its description denies is written
// down, with evidence, in overrides.go, and nowhere else.
//
// The descriptions are parts of those in the npm package @octokit/openapi, see NOTICE; `make spec` makes them again
// from operations.txt.
package githubspec
