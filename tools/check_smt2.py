"""Asks cvc5 about each script of `verify --emit-smt2 DIR`: it says what Z3 said. `make cvc5` installs it into .cvc5."""

import pathlib
import sys

import cvc5


def answer(path):
    """What cvc5 says of the script: `unsat`, `sat` or `unknown`."""
    solver = cvc5.Solver()
    # Steps, not seconds: the answer is the same on each machine.
    solver.setOption("rlimit", "100000000")
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, str(path))
    said = ""
    while True:
        command = parser.nextCommand()
        if command.isNull():
            return said.strip()
        said += command.invoke(solver, parser.getSymbolManager())


def known(path):
    """What Z3 said, as the script tells."""
    return path.read_text().split("(set-info :status ", 1)[1].split(")", 1)[0]


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.smt2"))
    # A query that met Z3's limit is a claim of nobody.
    claims = {path: known(path) for path in paths if known(path) != "unknown"}
    wrong = 0
    for path, claim in claims.items():
        said = answer(path).splitlines()[-1]
        if said != claim:
            wrong += 1
            print(f"{path}: Z3 says {claim}, cvc5 {said}")
    print(f"{len(claims) - wrong} of {len(claims)} answers are the same, cvc5 {cvc5.__version__}")
    return 1 if wrong else 0


sys.exit(main())
