#!/bin/sh
# The work of topologies/chain4 in meshproof, NeXosim and SimPy, in turn, three times each: processor time per request.
#   sh sim/benches/peers.sh
# Needs cargo, python3, and the package index once for NeXosim and SimPy.
set -eu
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --quiet --release -p meshproof-sim --example chain4
cargo build --quiet --release --manifest-path sim/benches/nexosim/Cargo.toml --target-dir "$target/nexosim"
[ -x "$target/simpy/bin/python" ] || { python3 -m venv "$target/simpy" && "$target/simpy/bin/pip" install --quiet simpy==4.1.2; }
for round in 1 2 3; do
    echo "round $round: meshproof, real proxy cores"
    "$target/release/examples/chain4" 20
    echo "round $round: NeXosim 1.0, the same queues, timers and retries without proxies"
    "$target/nexosim/release/chain4-nexosim" 20
    echo "round $round: SimPy 4.1.2, the same"
    "$target/simpy/bin/python" sim/benches/chain4_simpy.py 1
done
