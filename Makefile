# `make help` lists what there is. Everything that is needed besides Go, git and make is installed by `make setup`,
# which demo and test run by themselves.

SHELL    := /bin/bash
GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BINARY   := bin/rebuilder

# Pinned; `make lint` and `make vuln` build them on first use.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.4.0

# What is downloaded and packed once for the demo and the tests.
export REBUILDER_CACHE ?= $(CURDIR)/.cache/demo

# Packages that do things at the same time: the race detector is for them.
RACE := ./internal/demo/... ./internal/build/... ./internal/store/... ./internal/notify/... ./internal/registry/... \
	./internal/promote/... ./internal/watch/... ./internal/discover/... ./internal/observe/... ./internal/rollout/... ./internal/durable/... \
	./internal/reconcile/... ./internal/announce/... ./internal/line/... ./internal/sign/... ./internal/api/... ./internal/web/... ./cmd/...

.DEFAULT_GOAL := help
.PHONY: help setup build demo test bench bench-fanout bench-rollout compare cosign contract contract-peers lint race vuln spec verify clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the Debian packages that are missing (root)
	@scripts/setup

build: ## build bin/rebuilder, one static file
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.stamp=$(VERSION)' -o $(BINARY) ./cmd/rebuilder

demo: setup build ## watch a real security update reach six applications; ONESHOT=1 ends after the loop
	$(BINARY) demo --cache '$(REBUILDER_CACHE)' --dir '$(CURDIR)/.cache/world' $(if $(ONESHOT),--oneshot)

test: setup ## run all tests, on SQLite and on PostgreSQL
	scripts/with-postgres $(GO) test -timeout 20m ./...

bench: setup build ## run the benchmarks and write bench.json
	scripts/bench

bench-fanout: setup ## open 500 pull requests under the forge's limits, on a virtual clock
	scripts/bench-fanout

bench-rollout: setup build ## compare a rollout with buildctl and buildx bake on the same engine
	scripts/bench-rollout

compare: setup ## hold what is found against Syft, Trivy and Grype (ADVISORIES, MIRROR)
	scripts/compare

cosign: ## have cosign 2 and 3 verify what is signed here, and the other way round
	scripts/cosign

contract: setup ## hold the forge's client and the demo's forge to GitHub as it is
	scripts/contract

contract-peers: setup ## let Renovate work on the demo's forge, too (npm, minutes)
	scripts/contract --peers

lint: ## go vet, gofmt, staticcheck
	$(GO) vet ./...
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) run $(STATICCHECK) ./...

race: setup ## run the tests of what is concurrent under the race detector
	CGO_ENABLED=1 scripts/with-postgres $(GO) test -race -short -timeout 20m $(RACE)

vuln: ## look for known vulnerabilities in what is linked
	@scripts/vuln '$(GO)' '$(GOVULNCHECK)'

spec: ## make the trimmed descriptions and recordings of the forge anew (npm)
	scripts/spec

verify: ## check that generated files are what makes them would make
	scripts/spec --check
	git diff --exit-code

clean: ## remove what was built; the cache of downloads stays
	rm -rf bin demo-report.json
	$(GO) clean -testcache
