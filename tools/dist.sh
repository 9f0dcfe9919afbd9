#!/bin/sh
# Packs what users install into dist: the program, its Z3, man pages, completions, checksums. Linux.
set -eu
cd "$(dirname "$0")/.."
sh tools/setup.sh
# The library lies beside the program, wherever both are put.
export RUSTFLAGS='-C link-arg=-Wl,-rpath,$ORIGIN/../lib'
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/dist-build"
${CARGO:-cargo} build --profile dist --bin meshproof --features lsp

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name="meshproof-$version-$(rustc -vV | sed -n 's/^host: //p')"
to="dist/$name"
rm -rf "$to"
mkdir -p "$to/bin" "$to/lib" "$to/completions"
cp "$CARGO_TARGET_DIR/dist/meshproof" "$to/bin/"
# `kubectl meshproof` finds it by this name.
ln -s meshproof "$to/bin/kubectl-meshproof"
z3=$(LD_LIBRARY_PATH="$PWD/.z3/z3/lib" ldd "$to/bin/meshproof" | sed -n 's/.*libz3[^ ]* => \([^ ]*\) .*/\1/p')
test -n "$z3" || { echo "dist: the program's Z3 was not found" >&2; exit 1; }
cp -L "$z3" "$to/lib/"
cp LICENSE README.md CHANGELOG.md "$to/"
"$to/bin/meshproof" man "$to/man/man1"
for shell in bash zsh fish elvish powershell; do
    "$to/bin/meshproof" completions "$shell" > "$to/completions/meshproof.$shell"
done
tar -C dist -czf "dist/$name.tar.gz" "$name"
(cd dist && sha256sum "$name.tar.gz" > SHA256SUMS)
"$to/bin/meshproof" verify topologies/bookinfo --format concise
echo "dist: $to.tar.gz"
