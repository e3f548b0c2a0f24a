# Everything that developers and CI run. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/mirrorform/mirrorform/internal/cli.version=$(VERSION)
TOOLS   := go tool -modfile=internal/tools/go.mod

# The packages in which goroutines share data. The race detector makes a test three to ten times slower and
# finds nothing in the other packages. It is off in Argon2id, which many tests need.
RACE := -gcflags=golang.org/x/crypto/argon2=-race=false ./engine ./internal/agent ./internal/bench/... ./internal/cli ./internal/events \
	./internal/helper/... ./internal/lab/... ./internal/run ./internal/runlog ./internal/ssh ./internal/ui ./internal/upstream

# What takes longest begins first. The others fill the processor's time that these spend waiting for hosts. A
# script needs 5 to 15 s of processor time for a minute, so that more of them run at once than there are cores.
LONG := ./internal/faults ./cmd/mirrorform ./internal/conformance

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/mirrorform for release, with the host helper for every architecture inside
	@internal/tools/check
	go run ./internal/helper/build
	CGO_ENABLED=0 go build -trimpath -tags release -ldflags '$(LDFLAGS)' -o bin/mirrorform ./cmd/mirrorform
	@ls -l bin/mirrorform | awk '{ printf "bin/mirrorform: %.1f MB\n", $$5 / 1e6 }'

.PHONY: release
release: ## Make archives, packages, SBOMs and checksums in bin/dist; a snapshot without a tag at HEAD
	@internal/tools/check git
	go tool -modfile=internal/tools/release/go.mod goreleaser release --clean --skip=publish,sign,docker,homebrew \
		$$(git describe --exact-match --tags >/dev/null 2>&1 || echo --snapshot)
	cd bin/dist && sha256sum --check --quiet SHA256SUMS

.PHONY: demo
demo: ## Boot two lab hosts and an upstream, turn the hosts into mirrors, show every step (root, Debian-like)
	@internal/tools/check lab
	$(MAKE) --no-print-directory build
	examples/demo/run

.PHONY: test
test: ## Run what CI runs: lint, unit tests, lab tests, some faults, the demo (root, Debian-like)
	@internal/tools/check lab disks race git browser
	$(MAKE) --no-print-directory lint
	MIRRORFORM_LAB=require MIRRORFORM_BROWSER=require go test -race -count=1 -p 3 -parallel 4 -timeout 55m $(RACE)
	MIRRORFORM_LAB=require go test -race -count=1 -timeout 55m -run '^TestResourcesAtOnce$$|^TestLab$$/^rollout$$' ./internal/config ./cmd/mirrorform
	MIRRORFORM_LAB=require MIRRORFORM_BROWSER=require go test -count=1 -p 3 -parallel 6 -timeout 55m $(LONG) \
		$$(go list ./... | grep -vxFf <(go list $(RACE) $(LONG)))
	$(MAKE) --no-print-directory demo

.PHONY: test-faults
test-faults: ## Inject every fault of docs/guarantees.md and write its table (root, Debian-like)
	@internal/tools/check lab
	cd internal/faults && MIRRORFORM_LAB=require MIRRORFORM_FAULTS=all MIRRORFORM_GUARANTEES=$(CURDIR)/docs/guarantees.md \
		go test -count=1 -parallel 4 -timeout 60m

.PHONY: test-rollout
test-rollout: ## Roll out over thirty lab hosts, with one down and one that fails (root, Debian-like)
	@internal/tools/check lab
	MIRRORFORM_LAB=require MIRRORFORM_ROLLOUT_HOSTS=30 go test -v -count=1 -timeout 30m -run 'TestLab/rollout$$' ./cmd/mirrorform

# With OS=el9,debian11 only those hosts; with VM= no virtual machine. The results of earlier runs of other
# operating systems stay on the page while the file is there.
MATRIX ?= $(CURDIR)/bin/matrix.jsonl
VM ?= require
.PHONY: test-matrix
test-matrix: ## Run the scripts on all operating systems and on virtual machines, write docs/hosts.md (root, Debian, amd64)
	@internal/tools/check lab
	@mkdir -p $(dir $(MATRIX)); touch $(MATRIX)
	@failed=0; export MIRRORFORM_LAB=require MIRRORFORM_LAB_VM=$(VM) MIRRORFORM_LAB_OS=$(or $(OS),all); \
	go test -v -count=1 -timeout 55m -run '^TestVM|^TestEnterprise$$' ./internal/lab || failed=1; \
	MIRRORFORM_MATRIX=$(MATRIX) go test -v -count=1 -parallel 4 -timeout 4h -run '^TestLab$$' ./cmd/mirrorform || failed=1; \
	MIRRORFORM_FAULTS_OS=el9 go test -v -count=1 -parallel 2 -timeout 55m -run '^TestFault(3[1-689]|4[0134])' ./internal/faults || failed=1; \
	go run ./internal/matrix/page $(MATRIX) docs/hosts.md || failed=1; exit $$failed

.PHONY: unit
unit: ## Run the tests that need neither root nor the lab
	@internal/tools/check git
	MIRRORFORM_LAB=skip go test ./...

.PHONY: lint
lint: ## Run golangci-lint (with gofmt and go vet), actionlint, shellcheck (if installed) and govulncheck, build for macOS and FreeBSD, check that go.mod is tidy
	for os in darwin freebsd; do GOOS=$$os GOARCH=arm64 CGO_ENABLED=0 go build -o /dev/null ./cmd/mirrorform; done
	go mod tidy -diff
	go -C examples/owntype mod tidy -diff
	$(TOOLS) golangci-lint run ./...
	$(TOOLS) actionlint examples/ci/github/*.yml .github/workflows/*.yml
	$(TOOLS) actionlint -ignore 'specifying action "https://' examples/ci/forgejo/*.yml # which Forgejo can
	if command -v shellcheck >/dev/null; then shellcheck .github/actions/*/*.sh; fi
	@internal/tools/vulncheck

.PHONY: docs
docs: ## Write the generated parts of docs/
	go run ./internal/docgen

# Go before 1.27 may report "context deadline exceeded" when the time ends while an input runs. Without a
# failing input, that is not a finding.
.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (60s), one line each; fails on a finding
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; findings=0; \
	targets=$$(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's|/[^/]*_test\.go:func | |' | sort); \
	while read -r dir target; do \
		if go test -run '^$$' -fuzz "^$$target\$$" -fuzztime "$${FUZZTIME:-60s}" -fuzzminimizetime 10x "$$dir" >"$$log" 2>&1 </dev/null || \
			{ grep -q 'context deadline exceeded' "$$log" && ! grep -Eq 'Failing input|panic:|_test\.go:' "$$log"; }; then \
			printf 'ok    %-22s %-18s %s\n' "$$dir" "$$target" "$$(grep -o 'execs: [0-9]*' "$$log" | tail -1 || echo 'only its corpus: FUZZTIME was too short for more')"; \
		else \
			printf 'FOUND %-22s %s\n' "$$dir" "$$target"; cat "$$log"; findings=$$((findings + 1)); \
		fi; \
	done <<<"$$targets"; \
	echo "$$(wc -l <<<"$$targets") fuzz targets, $$findings with findings"; test "$$findings" -eq 0

.PHONY: bench
bench: ## Measure against Ansible and plain ssh on ten lab hosts, write docs/benchmarks.md (root, Debian-like)
	@internal/tools/check lab bench
	$(MAKE) --no-print-directory build
	go run ./internal/bench -mirrorform bin/mirrorform -out docs/benchmarks.md

.PHONY: bench-scale
bench-scale: ## Measure up to 5,000 simulated hosts, and Ansible with a few; write that part of docs/benchmarks.md
	$(MAKE) --no-print-directory build
	go run ./internal/bench -mirrorform bin/mirrorform -only scale -out docs/benchmarks.md

.PHONY: clean
clean: ## Remove build output
	rm -rf bin internal/helper/bin
