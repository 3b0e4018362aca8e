# SPDX-License-Identifier: Apache-2.0
# Short names for calls of Meson and of scripts. meson.build and meson_options.txt have the build itself.

PREFIX ?= /usr/local
DESTDIR ?=
export PREFIX DESTDIR

.DEFAULT_GOAL := help
.PHONY: help build demo demo-observe test bench bench-peers bench-report bench-check bench-history models kill-campaign fail-campaign install uninstall lint \
	clean deps-build deps-demo deps-test deps-bench deps-peers

help: ## show this table
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: deps-build build/build.ninja ## build the library and the programs into build/ (release)
	@meson compile -C build

demo: deps-demo build ## build, then run the demo
	@demo/run.sh

demo-observe: deps-demo build ## build, then show what is said about programs that misbehave
	@demo/observe.sh

test: deps-test ## build and run every test, also under sanitizers
	@tools/test.sh

bench: deps-bench build ## measure Aether (5 minutes)
	@bench/build.sh
	@bench/run.py
	@bench/report.py --text

bench-peers: deps-peers build ## measure Aether and its peers, side by side (35 minutes; FULL=1: every cell, hours)
	@bench/build.sh peers
	@bench/run.py --peers $(if $(FULL),--full,--budget 33)
	@bench/report.py --text

bench-report: ## write tables and plots of the last results to docs/benchmarks/
	@bench/report.py

bench-check: ## compare the last results with the history
	@bench/check.py

bench-history: ## add the last results to the history
	@bench/check.py add

models: deps-test ## check the protocols' models and their mutants in full (half an hour)
	@models/run.py
	@models/loom/run.py

kill-campaign: deps-test build ## kill after every instruction, and at random, far more often than the tests (an hour)
	@meson configure build -Dtests=enabled
	@tools/kill-campaign.sh

fail-campaign: deps-test build ## let each call into libc fail once, with each of its errors (ten minutes)
	@meson configure build -Dtests=enabled
	@ninja -C build --quiet all meson-test-prereq
	@env AETHERD=build/cmd/aetherd AETHER_CLI=build/cmd/aether-cli TEST_BIN=build/tests \
		tests/fail/run.py --all --record build/fail-campaign.jsonl

install: build ## install to PREFIX (default /usr/local), below DESTDIR if that is set
	@tools/install.sh build

uninstall: ## remove what `make install` with the same PREFIX and DESTDIR has installed
	@tools/install.sh build remove

lint: deps-test ## check formatting, clang-tidy and shellcheck
	@tools/lint.sh

clean: ## remove everything that was built
	rm -rf build build-*

deps-build:
	@tools/deps.sh build

deps-demo: ## install what the demo needs, if it is missing
	@tools/deps.sh demo

deps-bench:
	@tools/deps.sh bench

deps-peers: ## install what the peers of the benchmarks need
	-@tools/deps.sh peers # a peer that can't be built is left out, and the report names it

deps-test: ## install what the tests need, if it is missing
	@tools/deps.sh test

build/build.ninja:
	@meson setup build -Dtests=disabled # make test enables them
