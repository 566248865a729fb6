// Package buildkit is the build engine: build.Builder over BuildKit, the one package that imports it.
//
//	Pool ──> several Engines                        each build on the one that suits it best (pool.go)
//	Engine ──grpc──> buildkitd                      an address in the catalog, or
//	   └──starts───> rebuilder buildkitd (Child)    managed: our own binary in namespaces of its own
//
// A build goes like this:
//
//	read the Dockerfile          from the directory, or from the git commit through the engine
//	mark its package steps       a bind mount holding Request.RepositoryState, in memory only (steps.go); also those that
//	                             may be some, which Result.Doubt says (dockerfile.PackageSteps)
//	solve, with a source policy  pins replace image references as sources, the Dockerfile is not touched (pins.go)
//	push by digest               no tag, no attestation inside the image
//	follow                       steps, warnings, log; values of secrets are taken out before anybody reads (redact.go)
//	read the provenance          from the engine's history; each pin must be in it, the platform must be right, also that
//	                             of the image below the result, which BuildKit labels as asked for
//
// Tests of an image (imagetest*.go) run in containers of BuildKit's gateway, each command in one of its own; two small
// programs keep a container and dial its ports where the image has nothing for it (probe.go). Three things there are not
// obvious: a process that does not exit with 0 takes its container with it; a process whose context ended before it did
// holds up the messages of all others; and nobody is told that the engine has gone.
//
// Two rules come from measurements and are not obvious. A step is never told to ignore its cache: BuildKit would
// run it, and then answer the following steps from the cache of the old one, and push an image that is stale
// (moby/buildkit#3412). A step's key is changed instead. And nothing secret is in reach of a Dockerfile: a git
// token is used in a fetch of its own, before and apart from the build.
package buildkit
