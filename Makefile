# Tools are run pinned, straight from their modules, so that go.mod stays free of them.
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEADCODE := go run golang.org/x/tools/cmd/deadcode@v0.52.0
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0
CYCLONEDX := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0

# ST1003 and ST1016 are about names; the others are obeyed, and ST1000 and
# ST1020 to ST1022 with them: every package and exported name has its comment.
CHECKS := all,-ST1003,-ST1016

# How the binary is built, for use and for release: the same sources and the same Go give the same bytes, wherever.
BUILD = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'
ARCHITECTURES := amd64 arm64

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
IMAGE ?= tagwarden
PYTHON ?= python3
CA_CERTIFICATES ?= /etc/ssl/certs/ca-certificates.crt

.DEFAULT_GOAL := help
.PHONY: help run build test check e2e conformance bench soak fuzz mutate release vuln image load fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## the demo: a gateway, a small registry and a signed repository in one process, offline
	@bin/tagwarden demo

build: ## build the static binary into bin/tagwarden
	@echo "build: tagwarden $(VERSION) into bin/tagwarden"
	@$(BUILD) -o bin/tagwarden ./cmd/tagwarden

test: ## run every test that needs nothing but Go
	@echo "test: go test, race detector on, in random order"
	@go test -race -shuffle=on -timeout 20m ./...

check: ## look for what tests do not find: format, vet, staticcheck, dead code, modules
	@echo "check: gofmt"
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted, run make fmt:"; echo "$$files"; exit 1; }
	@echo "check: go vet"
	@go vet ./...
	@go vet -tags e2e ./e2e/...
	@echo "check: staticcheck"
	@$(STATICCHECK) -checks $(CHECKS) ./...
	@$(STATICCHECK) -checks $(CHECKS) -tags e2e ./e2e/...
	@echo "check: deadcode"
	@dead=$$($(DEADCODE) -test=false ./cmd/...); test -z "$$dead" || { echo "nothing in the binary calls:"; echo "$$dead"; exit 1; }
	@echo "check: go.mod is tidy, modules are what go.sum says"
	@go mod tidy -diff
	@go mod verify

e2e: ## run the binary with a real registry, notary-server and clients (Debian, root)
	@e2e/install.sh
	@echo "e2e: real clients against the real binary"
	@go test -tags e2e -count=1 -timeout 20m -v ./e2e

conformance: ## run the public TUF conformance suite, of which SUITE is a copy (python3 with its dependencies, faketime)
	@test -n '$(SUITE)' || { echo "conformance: SUITE must name the folder of github.com/theupdateframework/tuf-conformance"; exit 1; }
	@echo "conformance: $(SUITE) against trust/tuf"
	@go build -o bin/conformance ./e2e/conformance
	@cd '$(SUITE)' && $(PYTHON) -m pytest tuf_conformance --entrypoint '$(CURDIR)/bin/conformance'

bench: build ## compare with a bare server, nginx and docker-registry (Linux; 10 minutes, BENCH=quick 2)
	@echo "bench: tagwarden $(VERSION) and others over one origin; samples in bin/bench.json"
	@go run ./e2e/bench -tagwarden bin/tagwarden -json bin/bench.json $(if $(filter quick,$(BENCH)),-quick)

soak: build ## the binary under load for SOAK (10m) while all around it breaks: no wrong answer, no leak (Linux)
	@echo "soak: tagwarden $(VERSION) for $(if $(SOAK),$(SOAK),10m)"
	@go run ./e2e/soak -tagwarden bin/tagwarden $(if $(SOAK),-for $(SOAK))

fuzz: ## run every fuzz target for FUZZTIME (30s)
	@echo "fuzz: every target for $${FUZZTIME:-30s}"
	@e2e/fuzz.sh

mutate: ## take each quoted rule check away and require that a test notices (MUTATE='-run FILE', long)
	@echo "mutate: a test for every check"
	@go run ./e2e/mutate $(MUTATE)

release: ## build the binaries of a release, their SBOMs and sums, into bin/release; twice, and compare (some minutes)
	@echo "release: tagwarden $(VERSION) for linux on $(ARCHITECTURES)"
	@rm -rf bin/release
	@GOBIN='$(CURDIR)/bin/tools' go install $(CYCLONEDX)
	@for arch in $(ARCHITECTURES); do \
		name=tagwarden-linux-$$arch; \
		GOOS=linux GOARCH=$$arch $(BUILD) -o bin/release/$$name ./cmd/tagwarden && \
		bin/tools/cyclonedx-gomod bin -json -noserial -std -version '$(VERSION)' -output bin/release/$$name.cdx.json bin/release/$$name || exit 1; \
	done
	@echo "release: the same again, from a copy elsewhere and without what was built before"
	@again=$$(mktemp -d) && trap 'rm -rf "$$again"' EXIT && mkdir "$$again/src" && \
	tar c --exclude=./bin --exclude=./.git . | tar x -C "$$again/src" && cd "$$again/src" && \
	for arch in $(ARCHITECTURES); do \
		GOCACHE="$$again/cache" GOOS=linux GOARCH=$$arch $(BUILD) -o "$$again/$$arch" ./cmd/tagwarden && \
		cmp "$$again/$$arch" '$(CURDIR)'/bin/release/tagwarden-linux-$$arch || { echo "release: a build of $$arch differs from another"; exit 1; }; \
	done
	@cd bin/release && sha256sum tagwarden-* >SHA256SUMS && cat SHA256SUMS

vuln: ## look for known vulnerabilities in what the binary calls, if their database can be had
	@echo "vuln: govulncheck"
	@found=$$($(GOVULNCHECK) ./cmd/tagwarden 2>&1); status=$$?; case "$$found" in \
	*"fetching vulnerabilities:"*) echo "vuln: NOT CHECKED, the database of vulnerabilities cannot be had: $${found##*: }";; \
	*) echo "$$found"; exit $$status;; esac

image: build ## build the container image, tagged tagwarden, with the local docker engine
	@echo "image: $(IMAGE), from scratch"
	@rm -rf bin/image
	@install -d -m 0755 bin/image/root/etc/ssl/certs bin/image/empty
	@install -m 0755 bin/tagwarden bin/image/root/tagwarden
	@install -m 0644 $(CA_CERTIFICATES) bin/image/root/etc/ssl/certs/ca-certificates.crt
	@docker build -q -t $(IMAGE) .

load: ## a site of 5,000 repositories: memory, start and background load (some minutes)
	@echo "load: trust data of 5,000 repositories"
	@go test -tags load -run TestManyCollections -count=1 -timeout 20m -v ./trust/dct

fmt: ## format the code
	@echo "fmt: gofmt"
	@gofmt -w .

clean: ## remove what was built
	@echo "clean: bin"
	@rm -rf bin
