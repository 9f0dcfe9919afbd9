#!/bin/sh
# Packs what users install into dist: the program, its Z3, man pages, completions, checksums. Linux.
#
#   dist.sh             builds the program without debug information, optimised across crates
#   dist.sh PROGRAM     packs a program that is there
#                       DIST=FOLDER      where the archive goes, in place of dist
set -eu
cd "$(dirname "$0")/.."
dist=${DIST:-dist}
program=${1:-}
if [ -z "$program" ]; then
    sh tools/setup.sh
    # The library lies beside the program, wherever both are put.
    export RUSTFLAGS='-C link-arg=-Wl,-rpath,$ORIGIN/../lib'
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/dist-build"
    ${CARGO:-cargo} build --profile dist --bin meshproof --features lsp
    program="$CARGO_TARGET_DIR/dist/meshproof"
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name="meshproof-$version-$(rustc -vV | sed -n 's/^host: //p')"
to="$dist/$name"
rm -rf "$to"
mkdir -p "$to/bin" "$to/lib" "$to/completions"
cp "$program" "$to/bin/meshproof"
# `kubectl meshproof` finds it by this name.
ln -s meshproof "$to/bin/kubectl-meshproof"
z3=$(LD_LIBRARY_PATH="$PWD/.z3/z3/lib" ldd "$program" | sed -n 's/.*libz3[^ ]* => \([^ ]*\) .*/\1/p')
test -n "$z3" || { echo "dist: the program's Z3 was not found" >&2; exit 1; }
cp -L "$z3" "$to/lib/"
# Z3's licence (MIT) asks to go where the library goes.
for licence in .z3/z3_solver-*/licenses/LICENSE* .z3/z3_solver-*/LICENSE* /usr/share/doc/libz3-4/copyright; do
    if [ -e "$licence" ]; then cp "$licence" "$to/lib/LICENSE-z3"; break; fi
done
cp LICENSE README.md CHANGELOG.md "$to/"
# From here on the program meets the packed library alone.
export LD_LIBRARY_PATH="$PWD/$to/lib"
case $to in /*) export LD_LIBRARY_PATH="$to/lib" ;; esac
"$to/bin/meshproof" man "$to/man/man1"
for shell in bash zsh fish elvish powershell; do
    "$to/bin/meshproof" completions "$shell" > "$to/completions/meshproof.$shell"
done
"$to/bin/meshproof" verify topologies/bookinfo --format concise >&2
tar -C "$dist" --sort=name --owner=0 --group=0 --numeric-owner -czf "$dist/$name.tar.gz" "$name"
(cd "$dist" && sha256sum "$name.tar.gz" > SHA256SUMS)
echo "$to.tar.gz"
