#!/bin/sh
# Tries every entry of verifier/mutations.txt: with an assumption of an encoder left out, the named test must fail.
# The sources are put back after each.
set -u
cd "$(dirname "$0")/../verifier" || exit 2
survived=0
file= from= to=
while IFS= read -r line; do
    case $line in
    'file: '*) file=${line#file: } ;;
    'from: '*) from=${line#from: } ;;
    'to: '*) to=${line#to: } ;;
    'test: '*)
        test=${line#test: }
        cp "$file" "$file.kept"
        FROM=$from TO=$to perl -0pi -e 's/\Q$ENV{FROM}\E/$ENV{TO}/' "$file"
        # Tests of the library alone need no other program to be built.
        if grep -rq "fn $test(" src; then where=--lib; else where=--tests; fi
        if ! cargo test --quiet -p meshproof-verifier "$where" --no-run >/dev/null 2>&1; then
            echo "does not compile: $file: $to"
            survived=1
        elif cargo test --quiet -p meshproof-verifier "$where" "$test" >/dev/null 2>&1; then
            echo "survived: $file: $from"
            survived=1
        else
            echo "killed: $file: $from"
        fi
        mv "$file.kept" "$file"
        # Newer than what was built of the mutation.
        touch "$file"
        ;;
    esac
done <mutations.txt
exit $survived
