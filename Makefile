# `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PREFIX  ?= /usr/local
DESTDIR ?=
VERSION ?= 0.1.0
COMMIT  ?= $(shell git describe --dirty --always --abbrev=12 2>/dev/null)

# urfave_cli_no_docs leaves out cli/v2's documentation generator, whose init costs 1.5 ms on every command;
# osusergo and netgo keep glibc's NSS, which a static binary cannot load, out of the program.
GO_TAGS   := urfave_cli_no_docs osusergo netgo
TEST_TAGS := urfave_cli_no_docs
# static_build: containerd's library is not to open Go plugins, for which the linker would keep every function there is.
SHIM_TAGS := static_build
# The C library is musl, as for the stage: its start is a fourth of the processor time of `zbox state` shorter than glibc's. libseccomp comes from
# the distribution all the same (fortify/). Headers that musl has not are the kernel's and libseccomp's. Threads that call into C have 1 MiB of stack.
# These ask gcc when the programs are built: before, it need not be there (build-deps).
MULTIARCH  = $(shell gcc -print-multiarch)
C_INCLUDES = $(addprefix -idirafter ,/usr/include $(if $(MULTIARCH),/usr/include/$(MULTIARCH)))
C_LDFLAGS  = -static -Wl,--gc-sections -Wl,--wrap=pthread_create -Wl,-z,stack-size=1048576 $(shell gcc -print-file-name=libseccomp.a)
# Instead of a file of Go's runtime (sysmon/). Other versions of Go may have another one, and are left alone.
OVERLAY    = .tools/overlay.json
GO_BUILD   = CGO_ENABLED=1 CC=musl-gcc CGO_CFLAGS="-O2 $(C_INCLUDES)" PKG_CONFIG=true GOEXPERIMENT=$(GO_EXPERIMENT) go build -overlay $(OVERLAY) -trimpath -ldflags '$(GO_LDFLAGS)'

# Functions at multiples of 16 bytes instead of 32: 1 % less program, and nothing measurable slower.
GO_LDFLAGS = -s -w -funcalign=16 -linkmode external -extldflags "$(C_LDFLAGS)" -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# Without Go 1.26's new collector, where a toolchain still can: it touches a page more for each kind of object, and a command of zbox ends
# before it ever collects. 8 % of the processor time of `zbox state`.
GO_EXPERIMENT = $(shell GOEXPERIMENT=nogreenteagc go env GOEXPERIMENT 2>/dev/null)

# Tools are pinned here and built into .tools/, one file per version.
GOLANGCI_LINT_VERSION := v2.13.2
GOLANGCI_LINT         := .tools/golangci-lint-$(GOLANGCI_LINT_VERSION)

RUNTIME  ?= $(CURDIR)/bin/zbox
FUZZTIME ?= 30s

UNIT      = $(shell go list ./... | grep -v -e /tests/integration -e /bench)
# RUNTIME=/usr/sbin/runc needs no zbox.
ZBOX_BUILT := $(if $(filter $(CURDIR)/bin/zbox,$(RUNTIME)),build)
# The security tests hold zbox to more than other runtimes hold: docs/security.md says how to run them on one.
INTEGRATION = $(shell go list -tags '$(TEST_TAGS)' ./tests/integration/... $(if $(ZBOX_BUILT),,| grep -v /security))

##@ Use

.PHONY: build-deps
build-deps:
	@tools/deps.sh build

.PHONY: build
build: build-deps ## build the static bin/zbox and bin/containerd-shim-zbox-v2 with the stage inside
	@$(MAKE) -C nsexec/stage
	@cmp -s nsexec/stage/nsexec nsexec/stage.bin || cp nsexec/stage/nsexec nsexec/stage.bin
	@mkdir -p $(dir $(OVERLAY))
	@case $$(go env GOVERSION) in \
	go1.26*) printf '{"Replace":{"%s/src/runtime/cgroup_linux.go":"sysmon/_runtime/cgroup_linux.go"}}\n' "$$(go env GOROOT)" ;; \
	*) echo '{}' ;; \
	esac >$(OVERLAY)
	$(GO_BUILD) -tags "embed_stage $(GO_TAGS)" -o bin/zbox .
	$(GO_BUILD) -tags "embed_stage $(GO_TAGS) $(SHIM_TAGS)" -o bin/ ./cmd/containerd-shim-zbox-v2

.PHONY: install
install: build ## install both programs and the man pages below PREFIX (/usr/local), with DESTDIR in front
	install -D -m 0755 bin/zbox $(DESTDIR)$(PREFIX)/bin/zbox
	install -D -m 0755 bin/containerd-shim-zbox-v2 $(DESTDIR)$(PREFIX)/bin/containerd-shim-zbox-v2
	install -D -m 0644 docs/man/zbox.8 $(DESTDIR)$(PREFIX)/share/man/man8/zbox.8
	install -D -m 0644 docs/man/zbox-sandbox.5 $(DESTDIR)$(PREFIX)/share/man/man5/zbox-sandbox.5
	[ ! -d $(DESTDIR)/etc/containers/containers.conf.d ] || \
		install -m 0644 docs/zbox-containers.conf $(DESTDIR)/etc/containers/containers.conf.d/zbox.conf

.PHONY: demo
demo: ## build, run examples/sandbox.json and print what the sandbox sees of its limits
	@tools/deps.sh demo
	@$(MAKE) build
	bin/zbox -c examples/sandbox.json -- sh -c "$$(cat examples/limits.sh)"

##@ Prove

.PHONY: test
test: ## run all tests: unit, stage, integration on v1, v2 and in the virtual machine, validation suite, check
	@tools/deps.sh test vm check
	@$(MAKE) build
	@$(MAKE) unit
	@$(MAKE) stage-test
	@$(MAKE) integration
	@$(MAKE) integration-v2
	@$(MAKE) engines
	@$(MAKE) validation
	@$(MAKE) vm-test
	@$(MAKE) check

.PHONY: unit
unit: ## run the Go unit tests
	@tools/deps.sh test
	go test -tags '$(TEST_TAGS)' $(UNIT)

.PHONY: stage-test
stage-test: ## run the C stage's tests, plain and with ASan and UBSan
	@tools/deps.sh test
	@$(MAKE) -C nsexec/stage test asan

.PHONY: integration
integration: $(ZBOX_BUILT) ## run the integration tests on RUNTIME (bin/zbox; others without the security tests); needs root
	@tools/deps.sh test
	RUNTIME=$(RUNTIME) go test -tags '$(TEST_TAGS)' -count=1 -p 1 -timeout 40m $(INTEGRATION)

.PHONY: integration-v2
integration-v2: $(ZBOX_BUILT) ## run them again in a private mount view with cgroup v2 only
	@tools/deps.sh test
	V2VIEW=1 RUNTIME=$(RUNTIME) go test -tags '$(TEST_TAGS)' -count=1 -p 1 -timeout 40m $(INTEGRATION)

.PHONY: vm-test
vm-test: build ## run them with systemd and cgroup v2: here if the machine is such, else in an emulated one; needs root
	@tools/deps.sh test vm
	tests/vm/run.sh

.PHONY: vm-bench
vm-bench: build ## measure zbox there beside runc and crun, RUNS (20) times each; needs root
	@tools/deps.sh test vm
	SUITE=bench.suite.sh VM_SECONDS=900 tests/vm/run.sh

.PHONY: vm-engines
vm-engines: build ## run podman, docker, containerd and its CRI with zbox there, or ENGINES of them; needs root
	@tools/deps.sh test vm
	SUITE=engines.suite.sh tests/vm/run.sh

.PHONY: engines
engines: $(ZBOX_BUILT) ## run podman, docker and containerd with zbox; needs root
	@tools/deps.sh engines
	RUNTIME=$(RUNTIME) go test -tags '$(TEST_TAGS) engines' -count=1 -p 1 -timeout 60m ./tests/integration/engines/...
	cd tests/integration/engines/cri && RUNTIME=$(RUNTIME) go test -tags '$(TEST_TAGS) engines' -count=1 -timeout 40m ./...

.PHONY: engines-test
engines-test: ## the same with 500 containers in each engine, and 200 kills of what watches them
	@ENGINES_CONTAINERS=500 ENGINES_KILLS=200 $(MAKE) engines

.PHONY: engines-containerd2
engines-containerd2: build ## run containerd 2.x and its CRI, built from its Go modules, with zbox; needs root
	@tools/deps.sh engines
	cd tests/integration/engines/containerd/daemon2 && CGO_ENABLED=0 go build -tags 'no_btrfs no_devmapper no_zfs' -o $(CURDIR)/.tools/containerd2/ tool
	CONTAINERD=$(CURDIR)/.tools/containerd2 go test -tags '$(TEST_TAGS) engines' -count=1 -timeout 60m ./tests/integration/engines/containerd
	cd tests/integration/engines/cri && CONTAINERD=$(CURDIR)/.tools/containerd2 go test -tags '$(TEST_TAGS) engines' -count=1 -timeout 40m ./...

.PHONY: validation
validation: $(ZBOX_BUILT) ## run the runtime-tools validation suite on RUNTIME; needs root
	@tools/deps.sh test
	RUNTIME=$(RUNTIME) tests/validation/run.sh

.PHONY: bench
bench: build ## measure zbox beside runc, crun and the kernel's own floor; needs root
	@tools/deps.sh bench
	bench/run.sh

.PHONY: bench-podman
bench-podman: build ## measure podman with zbox beside podman with runc; needs root
	@tools/deps.sh engines
	bench/podman.sh

.PHONY: bench-containerd
bench-containerd: build ## measure containerd with the own shim beside the stock shim with zbox and with runc; needs root
	@tools/deps.sh engines
	bench/containerd.sh

.PHONY: fuzz
fuzz: ## fuzz every Go fuzz target and the stage's decoder, FUZZTIME (30s) each
	@tools/deps.sh fuzz
	@tools/fuzz.sh $(FUZZTIME)
	@$(MAKE) -C nsexec/stage fuzz FUZZTIME=$(FUZZTIME)

##@ Check

.PHONY: check
check: lint generated spelling shell c-format size ## run every check that CI runs
	go mod tidy -diff
	cd tests/integration/engines/cri && go mod tidy -diff

.PHONY: lint
lint: $(GOLANGCI_LINT)
	go vet -tags '$(TEST_TAGS) engines' ./...
	cd tests/integration/engines/cri && go vet -tags '$(TEST_TAGS) engines' ./...
	$(GOLANGCI_LINT) fmt --diff
	$(GOLANGCI_LINT) run

.PHONY: generated
generated:
	@tools/deps.sh check
	go generate ./...
	git diff --exit-code -- nsexec/stage/plan_abi.h

.PHONY: size
size: # bin/zbox stays below 10 MB; `go tool nm -size -sort size` of a build without -s shows what grew
	@[ ! -e bin/zbox ] || [ "$$(stat -c %s bin/zbox)" -le 10000000 ] || { echo "bin/zbox: $$(stat -c %s bin/zbox) bytes" >&2; exit 1; }

.PHONY: spelling
spelling:
	@tools/deps.sh check
	git ls-files -z -- . ':!LICENSE' ':!go.sum' ':!*/go.sum' | xargs -0 codespell

.PHONY: shell
shell:
	@tools/deps.sh check
	{ git ls-files -z -- '*.sh'; printf '.ci/run\0'; } | xargs -0 shellcheck

.PHONY: c-format
c-format:
	@tools/deps.sh check
	git ls-files -z -- '*.c' '*.h' ':!nsexec/stage/plan_abi.h' | xargs -0 -r clang-format-14 --dry-run -Werror

$(GOLANGCI_LINT):
	@mkdir -p .tools/$(GOLANGCI_LINT_VERSION)
	GOBIN=$(CURDIR)/.tools/$(GOLANGCI_LINT_VERSION) go install \
		github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv .tools/$(GOLANGCI_LINT_VERSION)/golangci-lint $@

##@ Keep house

.PHONY: deps
deps: ## install the Debian packages that building, testing and checking need (root or sudo)
	@tools/deps.sh build demo test vm check bench fuzz

.PHONY: clean
clean: ## remove what was built, but not the pinned tools
	rm -rf bin nsexec/stage.bin tests/validation/bin bench/bin bench/results
	@$(MAKE) -C nsexec/stage clean

.PHONY: help
help: ## print this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
