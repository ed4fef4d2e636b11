# The commands a person types. Each sets up what it needs by itself, says what it installs and why, and does nothing twice.
#   make demo            builds everything and shows a small CDN at work (ONCE=1: end after the last step)
#   make test            builds everything and runs all tests
# Variables: CARGO_TARGET_DIR (default target), ONCE=1 (demo), ARGS="…" (more arguments for demo, test and bench),
# FUZZ_SECONDS=60 (each fuzz target), FUZZ_SEED=0 (another order of inputs each time), CRASH_ROUNDS=200 (make crash),
# PACKETS=10000000 (make packets).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-bench guests-env plugins build demo test test-browser conformance h2spec bench bench-dns bench-select bench-plugins bench-restart soak soak-plugins crash fuzz packets dist fmt lint asset clean

# rustup's cargo first: its directory may not be in PATH at all, and Debian's cargo, if there, is only for guests.
export PATH := $(HOME)/.cargo/bin:$(PATH)
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
VERSION := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
LITTORAL := $(TARGET)/release/littoral
# Where the demo and the tests find the built guests.
export LITTORAL_PLUGINS := $(TARGET)/plugins
GUESTS := $(wildcard plugins/policy/* plugins/examples/* plugins/fixtures/*)
# Those in C, AssemblyScript and JavaScript only where their compiler is; looked for when the guests are built, since `setup` may just have installed it.
WITHOUT = $(if $(shell command -v clang && command -v wasm-ld),,plugins/examples/c-%) \
	$(if $(shell ls -d plugins/examples/node_modules/assemblyscript 2>/dev/null),,plugins/examples/as-%) \
	$(if $(shell ls -d plugins/examples/node_modules/@andreiltd/componentize-qjs-binding-* 2>/dev/null),,plugins/examples/js-%) \
	$(addprefix plugins/examples/,package.json package-lock.json node_modules)
# What is compiled natively, with one profile and one selection for build, test and demo, so that nothing compiles twice.
# Fixtures only exist as Wasm; policies and examples also run their own tests natively.
NATIVE := --workspace $(foreach fixture,$(notdir $(wildcard plugins/fixtures/*)),--exclude $(fixture))
CARGO := cargo
# Where what PyPI has of Envoy is put, and what is compiled for it.
ENVOY := $(TARGET)/envoy
BUILD_FLAGS := --release --locked

help: ## list the targets
	@echo 'make TARGET, where TARGET is:'
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install what building and testing need (system packages, Rust toolchain)
	@scripts/setup.sh packages build
	@scripts/setup.sh toolchain

setup-bench: setup
	@scripts/setup.sh packages bench

guests-env: setup
	@scripts/setup.sh guests $(TARGET)/guests.env
	@if command -v npm >/dev/null; then scripts/setup.sh npm plugins/examples; fi

build: setup ## the littoral binary and everything beside it, release profile
	$(CARGO) build $(BUILD_FLAGS) $(NATIVE) --lib --bins

plugins: build guests-env ## the Wasm guests: policies and fixtures, as components
	source $(TARGET)/guests.env; $(LITTORAL) plugin build $(filter-out $(WITHOUT),$(GUESTS)) --out $(LITTORAL_PLUGINS)

demo: plugins ## show a small CDN at work, with real processes and traffic (ONCE=1 ends by itself)
	$(LITTORAL) demo $(if $(ONCE),--once) $(ARGS)

# nextest runs no doc tests, so they run apart; first, so that the runner's summary is the last line.
test: plugins ## run all tests
	$(CARGO) test $(BUILD_FLAGS) $(NATIVE) --doc --quiet
	if $(CARGO) nextest --version >/dev/null 2>&1; \
	then $(CARGO) nextest run $(BUILD_FLAGS) $(NATIVE) --lib --bins --tests $(ARGS); \
	else $(CARGO) test $(BUILD_FLAGS) $(NATIVE) --lib --bins --tests $(ARGS); fi

test-browser: plugins ## play with dash.js and Shaka Player, and look at the dashboard, in headless Chromium (ARGS="--only dashboard")
	@scripts/setup.sh packages browser
	npm ci --prefix browser --ignore-scripts --no-audit --no-fund --loglevel=error
	title=$(TARGET)/browser/title; [ -e $$title/manifest.mpd ] || { assets/make-asset.sh $$title.new 3 && rm -rf $$title && mv $$title.new $$title; }
	node browser/run.mjs $(LITTORAL) $(TARGET)/browser/title --shots $(TARGET)/browser/shots $(ARGS)

conformance: build ## run the public HTTP cache test suite against the binary
	@scripts/setup.sh packages conformance
	npm ci --prefix conformance --ignore-scripts --no-audit --no-fund --loglevel=error
	node --no-warnings conformance/run.mjs $(LITTORAL) $(ARGS)

h2spec: ## run h2spec, the checker of HTTP/2, against the binary (H2SPEC=path, where it is not in PATH; ARGS=http2/6.5: one section)
	@conformance/h2spec.sh --there
	@scripts/setup.sh packages h2spec
	@$(MAKE) build
	conformance/h2spec.sh $(LITTORAL) $(ARGS)

bench: plugins setup-bench ## compare with nginx, Varnish, Traffic Server and HAProxy, into bench/results/ (ARGS=--quick: some minutes)
	$(CARGO) build --profile dist --locked -p littoral
	$(TARGET)/release/littoral-bench run --littoral $(TARGET)/dist/littoral --plugins $(LITTORAL_PLUGINS) --disk $(TARGET) $(ARGS)

bench-dns: plugins setup-bench ## compare the DNS side with gdnsd and Knot, into bench/results/LATEST-DNS.md (ARGS="--part flood --rounds 3")
	$(CARGO) build --profile dist --locked -p littoral
	$(TARGET)/release/littoral-bench dns --littoral $(TARGET)/dist/littoral --plugins $(LITTORAL_PLUGINS) $(ARGS)

bench-select: build ## compare routing policies with the optimum in generated worlds, and print the table (ARGS="--seed 101 --policy route-load")
	$(TARGET)/release/littoral-bench select $(ARGS)

bench-plugins: plugins setup-bench ## what plugins cost, and which mark is met, into bench/results/LATEST-PLUGINS.md (ARGS="--part calls,hits")
	$(CARGO) build --profile dist --locked -p littoral
	@scripts/setup.sh envoy $(ENVOY)
	source $(TARGET)/guests.env; cargo build --release --locked --manifest-path bench/envoy/Cargo.toml --target wasm32-unknown-unknown --target-dir $(ENVOY)/guest
	$(TARGET)/release/littoral-bench plugins --littoral $(TARGET)/dist/littoral --plugins $(LITTORAL_PLUGINS) \
		$$([ ! -x $(ENVOY)/envoy/_bin/envoy ] || echo --envoy $(ENVOY)/envoy/_bin/envoy --envoy-filter $(ENVOY)/guest/wasm32-unknown-unknown/release/envoy_headers.wasm) $(ARGS)

soak-plugins: plugins setup-bench ## load nodes whose plugins misbehave: no error, p99 as without them (half an hour; ARGS="--only spin")
	$(CARGO) build --profile dist --locked -p littoral
	$(TARGET)/release/littoral-bench soak-plugins --littoral $(TARGET)/dist/littoral --plugins $(LITTORAL_PLUGINS) $(ARGS)

soak: plugins setup-bench ## nine tenths of full load for ten minutes: no error, memory flat (ARGS="--minutes 60")
	$(CARGO) build --profile dist --locked -p littoral
	$(TARGET)/release/littoral-bench soak --littoral $(TARGET)/dist/littoral --plugins $(LITTORAL_PLUGINS) $(ARGS)

crash: plugins ## kill a node at random moments, CRASH_ROUNDS=200 times, and judge what it serves afterwards
	LITTORAL_CRASH_ROUNDS=$(or $(CRASH_ROUNDS),200) $(CARGO) test $(BUILD_FLAGS) $(NATIVE) --test it -- --nocapture crash::

bench-restart: build ## kill a node with 100,000 objects on its disk and time its start (ARGS="--objects 1000000")
	$(CARGO) build --profile dist --locked -p littoral
	$(TARGET)/release/littoral-bench restart --littoral $(TARGET)/dist/littoral --disk $(TARGET) $(ARGS)

fuzz: setup ## run every fuzz target for FUZZ_SECONDS=60 from its seeds (ARGS="range zone": only these)
	@scripts/setup.sh packages fuzz
	scripts/fuzz.sh $(TARGET)/fuzz $(or $(FUZZ_SECONDS),60) $(or $(FUZZ_SEED),0) $(ARGS)

packets: setup ## ask the DNS side PACKETS=10000000 random and changed packets from one seed: no panic, no answer too long
	LITTORAL_PACKETS=$(or $(PACKETS),10000000) $(CARGO) test $(BUILD_FLAGS) -p littoral-geo --test it -- --nocapture packets_of_one_seed

dist: plugins ## an optimised binary with its policies, as a tar archive
	$(CARGO) build --profile dist --locked -p littoral
	name=littoral-$(VERSION)-$$(uname -m); stage=$(TARGET)/stage/$$name; \
	rm -rf $$stage; mkdir -p $$stage/plugins; \
	cp $(TARGET)/dist/littoral README.md CHANGELOG.md LICENSE $$stage/; \
	cp $(foreach policy,$(notdir $(wildcard plugins/policy/*)),$(LITTORAL_PLUGINS)/$(policy).wasm $(LITTORAL_PLUGINS)/$(policy).vectors.toml) $$stage/plugins/; \
	tar -C $(TARGET)/stage -czf $(TARGET)/dist/$$name.tar.gz $$name; \
	echo $(TARGET)/dist/$$name.tar.gz

fmt: setup ## format the code
	@scripts/setup.sh component rustfmt
	$(CARGO) fmt --all

lint: setup ## what must be clean before a commit: format, clippy, licences (where cargo-deny is installed)
	@scripts/setup.sh component rustfmt
	@scripts/setup.sh component clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(BUILD_FLAGS) $(NATIVE) --all-targets -- -D warnings
	if command -v cargo-deny >/dev/null; then $(CARGO) deny --locked check; else echo 'cargo-deny is not installed: licences not checked'; fi

asset: ## encode the sample DASH title again (needs ffmpeg)
	@scripts/setup.sh packages asset
	assets/make-asset.sh

clean: ## remove everything that was built
	$(CARGO) clean
