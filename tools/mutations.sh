#!/bin/sh
# Tries every entry of verifier/mutations.txt: with an assumption of an encoder left out, the named test must fail.
# `sh tools/mutations.sh 12 20` tries the entries from the twelfth to the twentieth only. The sources are put back
# after each. Only the one test program that holds the test is built, once for each entry.
set -u
cd "$(dirname "$0")/../verifier" || exit 2
first=${1:-1} last=${2:-9999}
survived=0 number=0
file= from= to=
while IFS= read -r line; do
    case $line in
    'file: '*) file=${line#file: } ;;
    'from: '*) from=${line#from: } ;;
    'to: '*) to=${line#to: } ;;
    'test: '*)
        test=${line#test: }
        number=$((number + 1))
        if [ "$number" -lt "$first" ] || [ "$number" -gt "$last" ]; then continue; fi
        # The program: the library, or one of tests/.
        where=--lib
        if ! grep -rq "fn $test" src; then
            program=$(grep -l "fn $test" tests/*.rs | head -n 1)
            where="--test $(basename "$program" .rs)"
        fi
        cp "$file" "$file.kept"
        FROM=$from TO=$to perl -0pi -e 's/\Q$ENV{FROM}\E/$ENV{TO}/' "$file"
        # shellcheck disable=SC2086 # two words
        if cmp -s "$file" "$file.kept"; then
            echo "$number not found: $file: $from"
            survived=1
        elif ! cargo test --quiet -p meshproof-verifier $where --no-run >/dev/null 2>&1; then
            echo "$number does not compile: $file: $to"
            survived=1
        elif cargo test --quiet -p meshproof-verifier $where "$test" >/dev/null 2>&1; then
            echo "$number survived: $file: $from"
            survived=1
        else
            echo "$number killed: $file: $from"
        fi
        mv "$file.kept" "$file"
        # Newer than what was built of the mutation.
        touch "$file"
        ;;
    esac
done <mutations.txt
exit $survived
