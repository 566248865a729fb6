// Command bench measures what the project promises and writes it down: bench.json for programs, the generated part of
// docs/performance.md for people, a table for whoever waits. It exits with status 1 when a goal is missed.
//
// It makes a demo world of its own, runs a daemon in it as a process of its own (the binary under test, as users run it),
// publishes a real update and drives the loop to its end; then it watches the daemon at rest, starts it again and again,
// and runs the benchmarks of the packages that have a goal. `make bench` builds everything and calls it.
//
// With -peers it does one thing only: it compares a rollout with the same solves issued by buildctl and by buildx bake
// (rollout.go), which peers/go.mod pins. `make bench-rollout` builds those and calls it.
//
// To add a measure, return another Measure from one of the groups in main.go, or a line in goBenchmarks, and say in
// docs/performance.md what it means.
package main
