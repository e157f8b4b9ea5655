# skiff: build, run, test. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go

# One environment for every go command, so that the build cache is shared between targets.
# The tags take 56 MB off the binary: each of the two packages brings back reflection that
# keeps every method of every Kubernetes type alive.
export CGO_ENABLED := 0
export GOFLAGS := -buildvcs=false -tags=grpcnotrace,kustomize_disable_go_plugin_support
# .ci/setup puts a Go toolchain here where the machine has none, or one that is too old.
export PATH := $(CURDIR)/.cache/go/bin:$(PATH)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0-dev)
KUBE_VERSION := $(shell awk '$$1 == "k8s.io/kubernetes" { print $$2 }' go.mod)
KUBE_MAJOR := $(word 1,$(subst ., ,$(KUBE_VERSION:v%=%)))
KUBE_MINOR := $(word 2,$(subst ., ,$(KUBE_VERSION:v%=%)))

# Clients compare the server's version with their own and refuse to go on when it is empty.
stamp = -X $(1).gitVersion=$(KUBE_VERSION) -X $(1).gitMajor=$(KUBE_MAJOR) -X $(1).gitMinor=$(KUBE_MINOR) -X $(1).gitTreeState=clean
KUBE_LDFLAGS := -s -w $(call stamp,k8s.io/component-base/version) $(call stamp,k8s.io/client-go/pkg/version)
LDFLAGS := $(KUBE_LDFLAGS) -X main.version=$(VERSION)

NODE_ARCHES := amd64 arm64
EMBEDDED := runtime/image/embedded
EXE := $(shell $(GO) env GOEXE 2>/dev/null)

# What the tests drive. .ci/setup decides on the kubectl and leaves its path in .cache/kubectl.
export SKIFF_BIN := $(CURDIR)/bin/skiff$(EXE)

.PHONY: help run build node test test-short e2e lint fmt bench docs install clean setup

help: ## Say what each target does
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install and start what building, running and testing need
	@.ci/setup

run: setup build ## Start skiff, apply examples/hello, print the URL that answers
	@.ci/with-engine .ci/hello

# Two programs: skiff, which people type, and skiffd, the cluster itself, which skiff starts and looks for beside itself.
build: node ## Build bin/skiff and bin/skiffd
	@mkdir -p bin
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/skiff ./cmd/skiffd

# The helper runs in containers, so it is Linux whatever the host is, and skiffd carries
# both architectures. The archives are only touched when they change: the build cache goes by them.
node: ## Build the container helper that is embedded in skiffd
	@.ci/node $(EMBEDDED) $(NODE_ARCHES)

test: setup build ## Run every test, those on the real engine included
	@.ci/with-engine .ci/test

test-short: ## Run the tests that need neither an engine nor a built binary
	$(GO) test -short ./...

e2e: setup build ## Run only the end-to-end tests; RUN=regexp picks some
	@.ci/with-engine .ci/test --e2e $(if $(RUN),-run '$(RUN)')

lint: ## Check formatting, vet, shell scripts, and types on every platform
	@.ci/lint

fmt: ## Format the Go code
	@gofmt -l -w $$(git ls-files '*.go')

bench: setup build ## Measure start, memory, idle CPU, pod start, save-to-applied; prints, asserts nothing
	@.ci/with-engine .ci/bench $(BENCH)

docs: build ## Regenerate docs/cli.md and the man pages from the commands
	@bin/skiff docs markdown > docs/cli.md
	@bin/skiff docs man bin/man

install: build ## Install skiff for this user (see install.sh --help)
	@./install.sh --binary bin/skiff$(EXE)

clean: ## Remove what the build made
	rm -rf bin dist $(EMBEDDED)/*.gz
