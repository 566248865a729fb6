// Package e2e tests the daemon as users run it - a process of its own - in the demo's world of real parts: BuildKit,
// registry, signed Debian package repository, git. Its tests kill the daemon with SIGKILL at chosen moments, watched from
// outside by the requests that it makes, and look whether it ends where an undisturbed one ends.
package e2e
