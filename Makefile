# Everything that a developer or CI runs. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/mirrorform/mirrorform/internal/cli.version=$(VERSION)
TOOLS   := go tool -modfile=internal/tools/go.mod

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/mirrorform, a release build with the host helper for all architectures inside
	go run ./internal/helper/build
	CGO_ENABLED=0 go build -trimpath -tags release -ldflags '$(LDFLAGS)' -o bin/mirrorform ./cmd/mirrorform
	@ls -l bin/mirrorform | awk '{ printf "bin/mirrorform: %.1f MB\n", $$5 / 1e6 }'

.PHONY: demo
demo: ## Boot two lab hosts and an upstream, and turn the hosts into mirrors (root, Debian-like)
	@internal/tools/check lab
	$(MAKE) --no-print-directory build
	examples/demo/run

.PHONY: test
test: ## Everything that CI runs: lint, unit tests, lab tests, the demo (root, Debian-like)
	@internal/tools/check lab race
	$(MAKE) --no-print-directory lint
	MIRRORFORM_LAB=require go test -race -count=1 -timeout 40m ./...
	$(MAKE) --no-print-directory demo

.PHONY: unit
unit: ## The tests that need neither root nor the lab
	MIRRORFORM_LAB=skip go test ./...

.PHONY: lint
lint: ## gofmt, go vet, golangci-lint, and that go.mod is tidy
	go vet ./...
	go mod tidy -diff
	$(TOOLS) golangci-lint run ./...

.PHONY: docs
docs: ## Write the generated parts of docs/ anew
	go run ./internal/docgen

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $${FUZZTIME:-10s} $$pkg; \
		done; \
	done

.PHONY: bench
bench: ## Measure against Ansible and plain ssh on ten lab hosts; writes docs/benchmarks.md (root, Debian-like)
	@internal/tools/check lab bench
	$(MAKE) --no-print-directory build
	go run ./internal/bench -mirrorform bin/mirrorform -out docs/benchmarks.md

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin internal/helper/bin
