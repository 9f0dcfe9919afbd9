#!/bin/sh
# The share of lines that tests run, by crate; tests' own lines are not counted. Needs cargo-llvm-cov and llvm-tools.
# What is given is handed to `cargo llvm-cov`, such as `-p meshproof-import`; without it all tests run.
set -eu
cd "$(dirname "$0")/.."
cargo llvm-cov --version >/dev/null 2>&1 || {
    echo "coverage: cargo-llvm-cov is missing: cargo install cargo-llvm-cov --locked; rustup component add llvm-tools" >&2
    exit 2
}
[ $# -gt 0 ] || set -- --workspace --features lsp,testing
CARGO_INCREMENTAL=0 cargo llvm-cov --no-report "$@" >&2
cargo llvm-cov report --json --summary-only --ignore-filename-regex '/tests(/|\.rs$)|_tests\.rs$' | python3 -c '
import collections, json, os, sys

crates = collections.defaultdict(lambda: [0, 0])
files = []
for file in json.load(sys.stdin)["data"][0]["files"]:
    path = os.path.relpath(file["filename"])
    lines = file["summary"]["lines"]
    crate = "meshproof" if path.startswith("src/") else path.split("/")[0]
    crates[crate][0] += lines["covered"]
    crates[crate][1] += lines["count"]
    files.append((lines["count"] - lines["covered"], path, lines["percent"]))
for crate, (covered, count) in sorted(crates.items()):
    print(f"{crate:12} {covered:6} of {count:6} lines  {100 * covered / max(count, 1):5.1f} %")
print("most lines left:")
for left, path, percent in sorted(files, reverse=True)[:15]:
    print(f"  {left:4} {percent:5.1f} %  {path}")
'
