# ckpt-tools: `make help` lists the targets.

PREFIX        ?= /usr/local
BINDIR        ?= $(PREFIX)/bin
MANDIR        ?= $(PREFIX)/share/man
BASHDIR       ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR        ?= $(PREFIX)/share/zsh/site-functions
FISHDIR       ?= $(PREFIX)/share/fish/vendor_completions.d
DOCDIR        ?= $(PREFIX)/share/doc/ckpt-tools
DESTDIR       ?=
CARGO         ?= cargo
# spec-gen/selinux needs libselinux's headers and libclang. Without it, spec-gen does not understand
# translated SELinux labels. Static programs are built without it.
FEATURES      ?= $(shell tests/features)
# The built programs that install-built installs, and the same programs for this machine, which
# print the completions. They differ when the programs are for another architecture.
BUILT         ?= $(TARGET)/release
RUNNABLE      ?= $(BUILT)

# Builds are reproducible: the paths of the checkout and of cargo's downloads are replaced in the
# programs. $(call reproducible,FLAGS): the environment of a build with these FLAGS for rustc.
CARGO_HOME    ?= $(HOME)/.cargo
reproducible   = RUSTFLAGS="$(strip $(1) --remap-path-prefix=$(CURDIR)=/ckpt-tools --remap-path-prefix=$(CARGO_HOME)=/cargo)" \
    CFLAGS="$(CFLAGS) -ffile-prefix-map=$(CURDIR)=/ckpt-tools -ffile-prefix-map=$(CARGO_HOME)=/cargo"

# Static programs do not depend on the C library of the host. They are built without the RUSTFLAGS
# of the environment, and with the compiler of the architecture, for example gcc-aarch64-linux-gnu.
ARCH          ?= $(if $(filter aarch64,$(shell uname -m)),arm64,amd64)
CPU_amd64     := x86_64
CPU_arm64     := aarch64
CPU            = $(CPU_$(ARCH))
TRIPLE         = $(CPU)-unknown-linux-gnu
static         = $(call reproducible,-C target-feature=+crt-static) CARGO_INCREMENTAL=0 \
    CARGO_TARGET_$(shell echo $(CPU) | tr a-z A-Z)_UNKNOWN_LINUX_GNU_LINKER=$(CPU)-linux-gnu-gcc \
    CC_$(CPU)_unknown_linux_gnu=$(CPU)-linux-gnu-gcc

TOOLS  := spec-gen rootfs-diff vol-archive netstatus ckpt-pack ckpt-unpack
DOCS   := README.md SECURITY.md ARCHITECTURE.md CONTRIBUTING.md RELEASING.md $(shell find docs -type f | LC_ALL=C sort)
PAGES  := $(notdir $(wildcard man/*.[1-8]))
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
export CARGO FEATURES CARGO_HOME

.PHONY: all
all: build

.PHONY: build
build: ## build the six tools with optimization, into target/release
	$(call reproducible,$(RUSTFLAGS)) $(CARGO) build --release $(addprefix --package ,$(TOOLS)) --features "$(FEATURES)"

.PHONY: quick
quick: lint test ## format, lints, and the tests that need neither root nor extra programs: run it before each commit

.PHONY: check
check: prerequisites ## everything that a change must pass, as root: all lints and tests, with real runc, criu and podman
	@tests/check

.PHONY: test
test: ## unit and command-line tests that need neither root nor extra programs
	$(CARGO) build --workspace --features "$(FEATURES)"
	$(CARGO) test --workspace --features "$(FEATURES)"

.PHONY: pipelines
pipelines: prerequisites ## end-to-end tests only, as root, with real runc, crun, criu and podman
	$(CARGO) build --workspace --features "$(FEATURES)"
	tests/pipelines/run

.PHONY: check-long
check-long: prerequisites ## tests that take long, as root: all faults, many moments of kills and power losses, file systems, kernels 6.1 and 6.12, pages in a browser
	@tests/prerequisites long
	$(CARGO) build --workspace --features "$(FEATURES)"
	FAULT_POINTS=all $(CARGO) test --workspace --features "$(FEATURES)" --test injected --test killed -- --include-ignored
	TARS=8000 $(CARGO) test --workspace --features "$(FEATURES)" --test readers -- --include-ignored
	tests/long/browser
	BATS_TEST_TIMEOUT=1800 tests/pipelines/run tests/long/*.bats
	POWER_LOSS_STATES=100 $(CARGO) test --workspace --features "$(FEATURES)" --test power_loss -- --include-ignored
	tests/long/file-systems
	LONG=1 tests/vm/check
	LONG=1 KERNEL=6.1 tests/vm/check

.PHONY: check-newest
check-newest: prerequisites ## end-to-end tests with the newest podman, runc, crun, CRIU and containerd of Debian, as root
	$(CARGO) build --workspace --features "$(FEATURES)"
	tests/newest/check

.PHONY: engines
engines: prerequisites ## tests with Docker and containerd, as root
	$(CARGO) build --workspace --features "$(FEATURES)"
	tests/engines/run

.PHONY: vm
vm: prerequisites ## tests that need another kernel, in an emulated machine (KERNEL=6.1: that of Debian 12)
	$(CARGO) build --workspace --features "$(FEATURES)"
	tests/vm/check

# A separate target, so that FEATURES is evaluated after the missing packages are installed.
.PHONY: prerequisites
prerequisites:
	@tests/prerequisites all

.PHONY: lint
lint: ## formatting and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features "$(FEATURES)" -- -D warnings

.PHONY: doc
doc: ## API documentation, with warnings as errors
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --workspace --no-deps \
	    --document-private-items --features "$(FEATURES)"

.PHONY: features
features: ## compile each crate with each of its cargo features alone
	tests/lint/features

.PHONY: msrv
msrv: ## compile with the oldest supported Rust, from Debian 13
	tests/lint/msrv

.PHONY: deny
deny: ## licenses, bans and sources of the dependencies
	tests/lint/deny

.PHONY: spelling
spelling: ## spelling of the source and the documentation
	git ls-files -z | xargs -0 codespell

.PHONY: json
json: ## JSON files of the tests are pretty-printed
	tests/lint/json

.PHONY: man
man: ## manual pages have no warnings
	mandoc -T lint -W warning $(addprefix man/,$(PAGES))
	@for page in $(PAGES); do \
	    warnings=$$(LC_ALL=C.UTF-8 man --warnings -l -Tutf8 -Z "man/$$page" 2>&1 >/dev/null); \
	    [ -z "$$warnings" ] || { printf '%s: %s\n' "$$page" "$$warnings" >&2; exit 1; }; \
	done

.PHONY: bench
bench: build ## time the tools against GNU tar, bsdtar and podman (30 to 90 minutes; BENCH=--quick: 10 to 20); writes docs/benchmarks.md
	@tests/prerequisites bench
	TOOLS_BIN="$(TARGET)/release" tests/bench/run --docs docs $(BENCH)

.PHONY: scale
scale: build ## run the tools with a million files and 10,000 processes, as root (an hour, 20 GB): SCALE="--only volumes --part 10"
	@tests/prerequisites scale
	TOOLS_BIN="$(TARGET)/release" tests/scale/run $(or $(SCALE),--docs docs)

.PHONY: mutants
mutants: ## change the code of a package in many small ways, and list the changes that its tests miss (hours): PKG=rootfs-diff SHARD=0/8 FILES=
	@tests/prerequisites all
	$(CARGO) build --workspace --features "$(FEATURES)"
	tests/lint/mutants "$(PKG)" "$(or $(SHARD),0/1)" $(FILES)

.PHONY: loom
loom: ## models of the code with threads, with every interleaving; and whether the models notice faults
	tests/loom/check

.PHONY: miri
miri: ## library tests in Miri, which detects undefined behaviour and data races (nightly Rust)
	tests/lint/miri

.PHONY: sanitize
sanitize: ## tests with AddressSanitizer and ThreadSanitizer (nightly Rust; hours): SANITIZERS="address thread"
	tests/lint/sanitize $(SANITIZERS)

.PHONY: fuzz
fuzz: ## run the fuzz targets one after another, and add what they find to their corpora (nightly Rust): MINUTES=10 TARGETS=
	fuzz/run "$(or $(MINUTES),10)" $(TARGETS)

.PHONY: demo
demo: ## checkpoint a running container into one file and restore it elsewhere, printing each command
	@tests/prerequisites demo
	@$(MAKE) --no-print-directory build
	@TOOLS_BIN="$(TARGET)/release" tests/host/enter tests/demo

.PHONY: demo-clones
demo-clones: ## restore one checkpoint as twenty containers, each with its own address, printing each command
	@tests/prerequisites demo
	@$(MAKE) --no-print-directory build
	@TOOLS_BIN="$(TARGET)/release" tests/host/enter tests/demo-clones

.PHONY: install
install: build ## install tools, manual pages, completions and documents in DESTDIR/PREFIX (PREFIX: /usr/local)
	@$(MAKE) --no-print-directory install-built

# Installs without building. Package builds use it: their environment changes RUSTFLAGS and would
# rebuild everything.
.PHONY: install-built
install-built:
	for tool in $(TOOLS); do \
	    install -D -m755 "$(BUILT)/$$tool" "$(DESTDIR)$(BINDIR)/$$tool" || exit; \
	done
	for page in $(PAGES); do \
	    install -D -m644 "man/$$page" "$(DESTDIR)$(MANDIR)/man$${page##*.}/$$page" || exit; \
	done
	for doc in $(DOCS); do \
	    install -D -m644 "$$doc" "$(DESTDIR)$(DOCDIR)/$$doc" || exit; \
	done
	install -d "$(DESTDIR)$(BASHDIR)" "$(DESTDIR)$(ZSHDIR)" "$(DESTDIR)$(FISHDIR)"
	umask 022; for tool in $(TOOLS); do \
	    "$(RUNNABLE)/$$tool" --completions bash >"$(DESTDIR)$(BASHDIR)/$$tool" && \
	    "$(RUNNABLE)/$$tool" --completions zsh >"$(DESTDIR)$(ZSHDIR)/_$$tool" && \
	    "$(RUNNABLE)/$$tool" --completions fish >"$(DESTDIR)$(FISHDIR)/$$tool.fish" || exit; \
	done

.PHONY: uninstall
uninstall: ## remove the files that install has installed
	for tool in $(TOOLS); do \
	    rm -f "$(DESTDIR)$(BINDIR)/$$tool" "$(DESTDIR)$(BASHDIR)/$$tool" "$(DESTDIR)$(ZSHDIR)/_$$tool" \
	        "$(DESTDIR)$(FISHDIR)/$$tool.fish" || exit; \
	done
	for page in $(PAGES); do \
	    rm -f "$(DESTDIR)$(MANDIR)/man$${page##*.}/$$page" || exit; \
	done
	rm -rf "$(DESTDIR)$(DOCDIR)"

.PHONY: static
static: ## build the six tools without shared libraries, into target/TRIPLE/release (ARCH: amd64 or arm64)
	$(static) $(CARGO) build --release --locked --target $(TRIPLE) $(addprefix --package ,$(TOOLS))

.PHONY: dist
dist: ## build what a release publishes, reproducibly, into target/dist: tarball, Debian package, OCI image, SHA256SUMS
	@MAKE="$(MAKE)" packaging/dist

.PHONY: deb
deb: ## build the Debian package with static programs, reproducibly, into target/dist
	@$(MAKE) --no-print-directory static
	@packaging/deb $(ARCH) "$(TARGET)/dist"

.PHONY: image
image: ## build an OCI image with the six static tools, reproducibly, into target/dist
	@$(MAKE) --no-print-directory static
	@packaging/image $(ARCH) "$(TARGET)/dist"

.PHONY: dist-check
dist-check: ## build what a release publishes twice, and test it on Debian 12 and 13 without Rust
	@tests/prerequisites all
	@tests/prerequisites dist
	@$(MAKE) --no-print-directory dist
	@tests/dist/check "$(TARGET)/dist"

.PHONY: clean
clean: ## remove the build directory
	$(CARGO) clean

.PHONY: help
help: ## print this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
