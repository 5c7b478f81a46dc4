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
# Labels need libselinux's headers and libclang to build; without them the tools say so when a label is asked for.
FEATURES      ?= $(shell tests/features)

# The same source gives the same programs, wherever the checkout and cargo's downloads are: no path of theirs stays in them.
CARGO_HOME    ?= $(HOME)/.cargo
REPRODUCIBLE   = RUSTFLAGS="$(RUSTFLAGS) --remap-path-prefix=$(CURDIR)=/ckpt-tools --remap-path-prefix=$(CARGO_HOME)=/cargo" \
    CFLAGS="$(CFLAGS) -ffile-prefix-map=$(CURDIR)=/ckpt-tools -ffile-prefix-map=$(CARGO_HOME)=/cargo"

TOOLS  := spec-gen rootfs-diff vol-archive netstatus ckpt-pack ckpt-unpack
DOCS   := README.md SECURITY.md $(shell find docs -type f | LC_ALL=C sort)
PAGES  := $(notdir $(wildcard man/*.[1-8]))
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
export CARGO FEATURES CARGO_HOME

.PHONY: all
all: build

.PHONY: build
build: ## build the six tools with optimisation, into target/release
	$(REPRODUCIBLE) $(CARGO) build --release --workspace --features "$(FEATURES)"

.PHONY: check
check: prerequisites ## everything a change must pass: lint, unit and command line tests, pipelines with real runc, criu and podman
	@tests/check

.PHONY: test
test: ## unit and command line tests only; needs no root and no runtime
	$(CARGO) build --workspace --features "$(FEATURES)"
	$(CARGO) test --workspace --features "$(FEATURES)"

.PHONY: pipelines
pipelines: prerequisites ## end-to-end tests only, with real runc, crun, criu and podman
	$(CARGO) build --workspace --features "$(FEATURES)"
	tests/pipelines/run

.PHONY: vm
vm: prerequisites ## the tests that need another kernel, in an emulated machine
	$(CARGO) build --workspace --features "$(FEATURES)"
	tests/vm/check

# A target of its own: FEATURES is looked up after it has installed what is missing.
.PHONY: prerequisites
prerequisites:
	@tests/prerequisites all

.PHONY: lint
lint: ## formatting and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features "$(FEATURES)" -- -D warnings

.PHONY: man
man: ## check the manual pages
	mandoc -T lint -W warning $(addprefix man/,$(PAGES))
	@for page in $(PAGES); do \
	    said=$$(LC_ALL=C.UTF-8 man --warnings -l -Tutf8 -Z "man/$$page" 2>&1 >/dev/null); \
	    [ -z "$$said" ] || { printf '%s: %s\n' "$$page" "$$said" >&2; exit 1; }; \
	done

.PHONY: bench
bench: build ## time the tools beside GNU tar, bsdtar, podman's archiver and the limits (15 to 40 minutes; BENCH=--quick: 5 to 10); writes docs/benchmarks.md
	@tests/prerequisites bench
	TOOLS_BIN="$(TARGET)/release" tests/bench/run --docs docs $(BENCH)

.PHONY: demo
demo: ## checkpoint a running container to one file and restore it elsewhere, shown command by command
	@tests/prerequisites demo
	@$(MAKE) --no-print-directory build
	@TOOLS_BIN="$(TARGET)/release" tests/host/enter tests/demo

.PHONY: install
install: build ## install tools, manual pages, completions and documents below PREFIX (default /usr/local), under DESTDIR
	@$(MAKE) --no-print-directory install-built

# What is built already: packages are made of this, whose environment would have everything compiled once more.
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
uninstall: ## remove what install put there
	for tool in $(TOOLS); do \
	    rm -f "$(DESTDIR)$(BINDIR)/$$tool" "$(DESTDIR)$(BASHDIR)/$$tool" "$(DESTDIR)$(ZSHDIR)/_$$tool" \
	        "$(DESTDIR)$(FISHDIR)/$$tool.fish" || exit; \
	done
	for page in $(PAGES); do \
	    rm -f "$(DESTDIR)$(MANDIR)/man$${page##*.}/$$page" || exit; \
	done
	rm -rf "$(DESTDIR)$(DOCDIR)"

.PHONY: deb
deb: build ## make the Debian package, in target/deb; the same source gives the same bytes
	@packaging/deb

.PHONY: deb-check
deb-check: ## make the package and try it on a fresh Debian 13
	@tests/prerequisites all
	@$(MAKE) --no-print-directory deb
	@tests/deb/check "$(TARGET)"/deb/ckpt-tools_*.deb

.PHONY: clean
clean: ## remove what cargo built
	$(CARGO) clean

.PHONY: help
help: ## print this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
