#!/bin/sh
# Finds Z3 for the build: the system's, where pkg-config knows one and Z3_NO_PKG_CONFIG is not set; else the pinned wheel.
set -eu
cd "$(dirname "$0")/.."
version=5.4.0.0

command -v cargo >/dev/null 2>&1 || { echo "setup: cargo is missing: install Rust 1.95 or newer" >&2; exit 2; }
if [ -z "${Z3_NO_PKG_CONFIG:-}" ] && command -v pkg-config >/dev/null 2>&1 && pkg-config --exists z3; then
    echo "setup: system Z3 $(pkg-config --modversion z3)"
    exit 0
fi
if [ -e .z3/z3/lib/libz3.so ] || [ -e .z3/z3/lib/libz3.dylib ]; then
    echo "setup: Z3 wheel $version in .z3"
    exit 0
fi
python3 -m pip --version >/dev/null 2>&1 || {
    echo "setup: neither a system Z3 nor pip was found: install one of them (Debian: libz3-dev or python3-pip)" >&2
    exit 2
}
rm -rf .z3.partial
python3 -m pip install --quiet --disable-pip-version-check --no-deps --target .z3.partial "z3-solver==$version"
rm -rf .z3
mv .z3.partial .z3
echo "setup: Z3 wheel $version installed in .z3"
