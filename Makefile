# What is needed: Go 1.26 or later, make; for "make check" also gcc (the race
# detector). PostgreSQL's initdb and the like are used by tests where they are.

GO    ?= go
TOOLS := bin/tools
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

# The programs use no C; only the race detector does.
export CGO_ENABLED := 0

.PHONY: build demo test check format vet lint laws race vulnerabilities bench clean

build: ## bin/esu and bin/esu-device
	$(GO) build -trimpath -o bin/ ./cmd/esu ./cmd/esu-device

demo: build ## a whole small world on loopback
	bin/esu demo

test: ## every test, without the race detector
	$(GO) test -v -timeout 20m ./... | awk -f tools/tests.awk

check: format laws vet lint test race vulnerabilities ## all that must hold before a commit

format:
	@wrong=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .); \
	if [ -n "$$wrong" ]; then echo "not formatted (gofmt -w mends it):"; echo "$$wrong"; exit 1; fi

vet:
	for system in linux windows darwin; do GOOS=$$system $(GO) vet ./...; done

lint: $(TOOLS)/built
	$(TOOLS)/golangci-lint run

laws: ## the laws of ARCHITECTURE.md alone, in seconds
	$(GO) test ./internal/laws ./locales

# What is at the root is pure and starts nothing; races can only be elsewhere.
race:
	export CGO_ENABLED=1; \
	$(GO) list ./... | grep -E '/(internal|cmd)/' | grep -v '/internal/laws$$' | xargs $(GO) test -v -race -timeout 30m | awk -f tools/tests.awk

vulnerabilities: $(TOOLS)/built
	tools/vulnerabilities $(TOOLS)/govulncheck

# make bench BENCH=Decide COUNT=6, change something, and again: the second run
# is compared with the first.
BENCH ?= .
COUNT ?= 6
bench: $(TOOLS)/built
	mkdir -p bin
	if [ -f bin/bench.txt ]; then mv bin/bench.txt bin/bench-before.txt; fi
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... | tee bin/bench.txt
	$(TOOLS)/benchstat $$(ls bin/bench-before.txt 2>/dev/null || true) bin/bench.txt

clean:
	rm -rf bin

# The tools have a module of their own, so that what they need stays out of ours.
$(TOOLS)/built: tools/go.mod tools/go.sum
	mkdir -p $(TOOLS)
	cd tools && GOBIN='$(CURDIR)/$(TOOLS)' $(GO) install tool
	touch $@
