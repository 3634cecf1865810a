# Ironpost. Each target is one command; what it does is in the script it names.

.DEFAULT_GOAL := help
.PHONY: help build run test lint generate format proto-lint bench bench-xdp bench-rules bench-pipeline bench-guard bench-sbom bench-findings bench-store store-flips store-kills store-faults guard-kills soak kernels quiet-day record-examples rules-corpus fuzz docker demo demo-fleet ci clean

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Builds the host and every plugin into build/
	@.ci/build

run: build ## Builds, and runs the host in the foreground (IRONPOST_EBPF_INTERFACE=eth0 watches an interface)
	@exec build/ironpost run --data-dir build/data

test: ## Installs what the tests need where it may, and runs them all
	@.ci/test

lint: ## Runs golangci-lint
	@.ci/lint

generate: ## Writes the generated code anew (needs clang and protoc; see .ci/deps)
	@.ci/generate

format: ## Formats the sources
	@go tool -modfile=.ci/tools.mod golangci-lint fmt

proto-lint: ## Checks the .proto files, and that the wire breaks no plugin of the last release
	@.ci/proto-lint

bench: ## Measures the path from source to detector, and writes build/bench/*.json
	@.ci/bench

bench-xdp: ## Measures the packet engine beside xdp-filter, up to the alert and its answer (needs root)
	@.ci/bench-xdp

bench-rules: ## Measures rules and syslog parsing beside sigma-go and go-syslog, on the public collections
	@.ci/bench-rules

bench-pipeline: ## Measures lines from a file to alerts in SQLite beside rsyslog: rate, memory, latency (five minutes)
	@.ci/bench-pipeline

bench-guard: ## Measures a container's line to its isolation beside Docker's own disconnect (needs root, dockerd)
	@.ci/bench-guard

bench-sbom: ## Measures scan beside syft, trivy and osv-scanner, and holds what it finds against osv-scalibr (needs root)
	@.ci/bench-sbom

bench-findings: ## Measures a container's start to the alert about its vulnerable package (needs root, dockerd)
	@.ci/bench-findings

bench-store: ## Measures the stores: rows a second, processor time a row, queries at ten million events (STORE_ROWS=100000 for a short run)
	@.ci/bench-store

store-flips: ## Flips a byte at a thousand places of every file of a store (half an hour)
	@STORE_FLIPS=1000 go test -count=1 -timeout 60m -v -run FlippedBytes ./plugins/sink-sqlite/store

store-kills: ## Kills PostgreSQL and its writer at random while a million events are written (EVENTS=100000; two minutes)
	@go test -tags soak -count=1 -timeout 30m -run KillsOfAMillion -v ./plugins/sink-postgres/store

store-faults: ## Kills host, sink, PostgreSQL and Redis while a million events are stored and counted (EVENTS=50000, SEED=; needs root; five minutes)
	@go test -tags soak -count=1 -timeout 50m -run StoreFaultsOfAMillion -v ./cmd/ironpost

guard-kills: ## Kills plugin, host and dockerd between every two states of an answer on containers (needs root; a quarter of an hour)
	@.ci/guard-kills

soak: ## Follows millions of lines while everything is killed, also through all that happens to logs (RUN=TailFaults: that alone; needs root)
	@go test -tags soak -count=1 -timeout 40m -run '$(RUN).*OfAMillion' -v ./cmd/ironpost

kernels: ## Tests the packet filter under Debian's kernels, for amd64 and arm64, in QEMU (takes a quarter of an hour)
	@.ci/kernels

record-examples: ## Records what the rules must alert on anew, from the real tools of Debian (needs root; a quarter of an hour)
	@.ci/record-examples

rules-corpus: ## Holds the detector against SigmaHQ's rules and recorded attacks (two minutes)
	@.ci/rules-corpus

fuzz: ## Lets every fuzzer search for ten minutes (FUZZ=./plugins/... those of the packages; FUZZTIME=1m, JOBS=4)
	@.ci/fuzz $(FUZZ)

quiet-day: ## Runs a day without an attack through a host, with real programs, and wants no alert (needs root)
	@.ci/quiet-day

docker: ## Tests enforcer-docker with dozens of random worlds, and with a newer Docker (WORLDS=40 SEED=7; needs root)
	@.ci/docker

demo: build ## Shows attackers blocked, and a container isolated and restored, in namespaces (needs root)
	@.ci/demo

demo-fleet: build ## Shows three hosts that share one Redis and one PostgreSQL, and one of them cut off (needs root; two minutes)
	@.ci/demo-fleet

ci: ## Runs what the build server runs
	@bash .ci/run

clean: ## Removes build/ but for the state of `make run` in build/data
	@rm -rf build/ironpost build/plugins build/plugins.sha256 build/bench build/kernels
