#!/bin/sh
# Gates a change: verifies the paths, prints what was found, and leaves a report for each reader in MESHPROOF_OUT.
# The exit code is meshproof's own: 0 holds, 1 violated, 2 bad input, 3 undecided, 4 vacuous, 70 a fault of meshproof.
#
#   gate.sh PATH...                    MESHPROOF_FAIL_ON=error|warning|info|never
#   helm template . | gate.sh -        MESHPROOF_BASELINE=FILE      findings of this file are quiet
#                                      MESHPROOF=PROGRAM            where it is not on the PATH
set -eu
out=${MESHPROOF_OUT:-meshproof-reports}
mkdir -p "$out"
exec "${MESHPROOF:-meshproof}" verify "$@" \
    --fail-on "${MESHPROOF_FAIL_ON:-error}" ${MESHPROOF_BASELINE:+--baseline "$MESHPROOF_BASELINE"} \
    --format sarif --output "$out/meshproof.sarif" \
    --format junit --output "$out/junit.xml" \
    --format gitlab --output "$out/gl-code-quality-report.json" \
    --format markdown --output "$out/summary.md" \
    --format full
