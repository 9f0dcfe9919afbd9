"""Asks cvc5 about each script of `verify --emit-smt2 DIR`: none may be satisfiable. `make cvc5` installs it into .cvc5."""

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


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.smt2"))
    answers = {path: answer(path) for path in paths}
    for path, said in answers.items():
        if said != "unsat":
            print(f"{path}: {said}")
    print(f"{sum(said == 'unsat' for said in answers.values())} of {len(answers)} unsat, cvc5 {cvc5.__version__}")
    return 0 if answers and all(said == "unsat" for said in answers.values()) else 1


sys.exit(main())
