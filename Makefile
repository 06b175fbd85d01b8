# Assay. `make help` lists what there is. Everything runs offline but for the package registries.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
CARGO ?= cargo
BINARIES := -p assay-nexus -p assay-agent -p assay-host -p assay-cli

.DEFAULT_GOAL := help
.PHONY: help demo build test fmt clippy doc unit bench fuzz bless cross cross-test packages packages-check packages-demo packages-test packages-cross packages-tools

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: packages-demo build ## Show the main job end to end: a real ssh login that a TPM vouched for (about two minutes)
	tests/demo/run.sh

build: ## Build the four programs (debug profile, as the tests use them)
	$(CARGO) build --locked $(BINARIES)

test: packages-test fmt clippy unit doc ## Everything that must hold, from formats to real sshd and swtpm (under 25 minutes on 2 cores)

fmt: ## Check the formatting
	$(CARGO) fmt --all --check

clippy: ## Lints, warnings denied
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

unit: ## All tests: unit, vectors, properties, attacks, faults, end to end
	$(CARGO) build --locked $(BINARIES)
	$(CARGO) test --locked --workspace

bless: ## Take the command line's golden files as it writes them now; read the difference before it is committed
	ASSAY_BLESS=1 $(CARGO) test --locked -p assay-cli --test it

doc: ## Documentation without warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

# The agent and the host side are measured as they ship, with their own features only.
bench: packages-test ## Measure, each figure beside its bar: reads, releases, appraisal, agent, start, push (five minutes after the build)
	$(CARGO) build --locked --profile device -p assay-agent
	$(CARGO) build --locked --profile device -p assay-host
	$(CARGO) build --locked --profile bench -p assay-nexus
	@missed=0; \
	$(CARGO) test --locked --profile bench -p assay-nexus --lib speed -- --ignored --nocapture --test-threads 1 || missed=1; \
	ASSAY_PROGRAMS=$(abspath $(or $(CARGO_TARGET_DIR),target)/device) $(CARGO) bench --locked -p assay-tests --bench whole || missed=1; \
	exit $$missed

fuzz: ## Fuzz every parser (SECONDS_EACH=60; needs cargo-fuzz and a nightly compiler)
	attest/fuzz/run.sh $(or $(SECONDS_EACH),60)

cross: packages-cross ## Build all programs for aarch64 (glibc 2.35 or older), print and hold their sizes
	packaging/cross/build.sh

cross-test: packages-cross ## Run the tests of verifier and agent as aarch64 programs, emulated
	packaging/cross/test.sh

packages: packages-tools ## Make deb and rpm for amd64 in target/packages (ARCH=arm64: of what `make cross` built)
	packaging/packages/make.sh $(or $(ARCH),amd64)

packages-check: packages ## Install, upgrade, remove and purge the packages in a Debian root of their own (root; a few minutes)
	packaging/packages/test.sh $(or $(ARCH),amd64) target/packages

packages-demo:
	@packaging/system-packages.sh demo

packages-test:
	@packaging/system-packages.sh test

packages-cross:
	@packaging/system-packages.sh cross

packages-tools:
	@packaging/system-packages.sh packages
