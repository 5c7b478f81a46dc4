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
# spec-gen/selinux needs libselinux's headers and libclang. Without it, spec-gen --apply cannot set
# SELinux labels on files.
FEATURES      ?= $(shell tests/features)

# Builds are reproducible: the paths of the checkout and of cargo's downloads are replaced in the
# programs.
CARGO_HOME    ?= $(HOME)/.cargo
REPRODUCIBLE   = RUSTFLAGS="$(RUSTFLAGS) --remap-path-prefix=$(CURDIR)=/ckpt-tools --remap-path-prefix=$(CARGO_HOME)=/cargo" \
    CFLAGS="$(CFLAGS) -ffile-prefix-map=$(CURDIR)=/ckpt-tools -ffile-prefix-map=$(CARGO_HOME)=/cargo"

TOOLS  := spec-gen rootfs-diff vol-archive netstatus ckpt-pack ckpt-unpack
DOCS   := README.md SECURITY.md ARCHITECTURE.md CONTRIBUTING.md RELEASING.md $(shell find docs -type f | LC_ALL=C sort)
PAGES  := $(notdir $(wildcard man/*.[1-8]))
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
export CARGO FEATURES CARGO_HOME

.PHONY: all
all: build

.PHONY: build
build: ## build the six tools with optimization, into target/release
	$(REPRODUCIBLE) $(CARGO) build --release $(addprefix --package ,$(TOOLS)) --features "$(FEATURES)"

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

.PHONY: check-newest
check-newest: prerequisites ## end-to-end tests with the newest podman, runc, crun, CRIU and containerd of Debian, as root
	$(CARGO) build --workspace --features "$(FEATURES)"
	tests/newest/check

.PHONY: vm
vm: prerequisites ## tests that need another kernel, in an emulated machine
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
bench: build ## time the tools against GNU tar, bsdtar and podman (15 to 40 minutes; BENCH=--quick: 5 to 10); writes docs/benchmarks.md
	@tests/prerequisites bench
	TOOLS_BIN="$(TARGET)/release" tests/bench/run --docs docs $(BENCH)

.PHONY: demo
demo: ## checkpoint a running container into one file and restore it elsewhere, printing each command
	@tests/prerequisites demo
	@$(MAKE) --no-print-directory build
	@TOOLS_BIN="$(TARGET)/release" tests/host/enter tests/demo

.PHONY: install
install: build ## install tools, manual pages, completions and documents in DESTDIR/PREFIX (PREFIX: /usr/local)
	@$(MAKE) --no-print-directory install-built

# Installs without building. Package builds use it: their environment changes RUSTFLAGS and would
# rebuild everything.
.PHONY: install-built
install-built:
	for tool in $(TOOLS); do \
	    install -D -m755 "$(TARGET)/release/$$tool" "$(DESTDIR)$(BINDIR)/$$tool" || exit; \
	done
	for page in $(PAGES); do \
	    install -D -m644 "man/$$page" "$(DESTDIR)$(MANDIR)/man$${page##*.}/$$page" || exit; \
	done
	for doc in $(DOCS); do \
	    install -D -m644 "$$doc" "$(DESTDIR)$(DOCDIR)/$$doc" || exit; \
	done
	install -d "$(DESTDIR)$(BASHDIR)" "$(DESTDIR)$(ZSHDIR)" "$(DESTDIR)$(FISHDIR)"
	umask 022; for tool in $(TOOLS); do \
	    "$(TARGET)/release/$$tool" --completions bash >"$(DESTDIR)$(BASHDIR)/$$tool" && \
	    "$(TARGET)/release/$$tool" --completions zsh >"$(DESTDIR)$(ZSHDIR)/_$$tool" && \
	    "$(TARGET)/release/$$tool" --completions fish >"$(DESTDIR)$(FISHDIR)/$$tool.fish" || exit; \
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

.PHONY: deb
deb: build ## build the Debian package, reproducibly, into target/deb
	@packaging/deb

.PHONY: deb-check
deb-check: ## build the Debian package and test it on a fresh Debian 13
	@tests/prerequisites all
	@$(MAKE) --no-print-directory deb
	@tests/deb/check "$(TARGET)"/deb/ckpt-tools_*.deb

.PHONY: clean
clean: ## remove the build directory
	$(CARGO) clean

.PHONY: help
help: ## print this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
