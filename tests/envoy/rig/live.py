#!/usr/bin/env python3
"""Compare the proxy core with the real Envoy on this machine.

  live.py [--recorded 60] [--fresh 300] [--seed N] [--areas a,b] [--runs 2] [--program CMD] [--keep FILE]

Starts the pinned Envoy on loopback (`make envoy-live` installs it), records a random sample of the recorded cases anew and
`--fresh` generated ones, each `--runs` times, replays the same cases through the core, and prints the agreement; every
disagreement is shown with both sides. Fresh cases whose runs differ among themselves are left out and counted: there
Envoy does not agree with itself."""
import argparse, asyncio, glob, json, os, random, shlex, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", "..", ".."))
VECTORS = os.path.join(HERE, "..", "vectors")
sys.path.insert(0, HERE)
os.environ.setdefault("RIG_ENVOY", os.path.join(os.path.dirname(sys.executable), "envoy"))
import compare, generate, harness, merge, record  # noqa: E402  (harness reads RIG_ENVOY)

CHUNK = 40


def is_heavy(case): return any("repeat" in q for q in case["requests"])


def observe(cases):
    """one run of the real Envoy -> {id: (requests, stats, info)}"""
    out = {}
    for heavy in (False, True):
        group = [c for c in cases if is_heavy(c) == heavy]
        own = [[c] for c in group if "zone" in c["config"]]
        rest = [c for c in group if "zone" not in c["config"]]
        for chunk in [rest[k:k + CHUNK] for k in range(0, len(rest), CHUNK)] + own:
            raws = asyncio.run(harness.run_batch(chunk, parallel=1 if heavy else 5, tag="live"))
            for c, raw in zip(chunk, raws):
                obs = merge.observe_dist(c, raw) if heavy else record.observe_requests(c, raw)
                out[c["id"]] = (obs, *record.base_stats(raw, c["area"]))
            print(f"  {len(out)} of {len(cases)} recorded", file=sys.stderr)
    return out


def expected(cases, runs):
    """[(case with `expected`, notes on what differed between the runs)]"""
    observed = [observe(cases) for _ in range(runs)]
    out = []
    for c in cases:
        rs = [o[c["id"]] for o in observed]
        exp, notes = (merge.merge_dist(c, rs), []) if is_heavy(c) else merge.merge(c, rs)
        out.append(({**c, "expected": exp}, notes))
    return out


def replay(program, cases):
    bare = [{k: v for k, v in c.items() if k not in ("expected", "rig_notes")} for c in cases]
    p = subprocess.run(shlex.split(program), input=json.dumps(bare).encode(), stdout=subprocess.PIPE, cwd=ROOT, check=True)
    return {j["id"]: j for j in map(json.loads, p.stdout.decode().splitlines())}


class Options: skip, only, no_time, no_stats, loose_details = set(), set(), False, False, False


def differences(case, answer):
    if answer is None: return ["no answer"]
    if answer.get("unsupported"): return ["unsupported: " + str(answer["unsupported"])]
    return (compare.cmp_dist if case["kind"] == "distribution" else compare.cmp_exact)(case, answer["observed"], Options)


def sample(n, seed, areas):
    cases = [c for f in sorted(glob.glob(os.path.join(VECTORS, "*.json"))) for c in json.load(open(f))]
    cases = [c for c in cases if not areas or c["area"] in areas]
    return random.Random(seed).sample(cases, min(n, len(cases)))


def report(title, judged):
    """prints every disagreement with both sides -> (agreeing, all)"""
    good = 0
    for case, bad in judged:
        if not bad: good += 1; continue
        print(f"DIFFER {case['id']}   (expected: the real Envoy, got: the core)")
        for b in bad[:12]: print("     " + b)
        print("     case: " + json.dumps({k: case[k] for k in case if k in ("config", "requests", "upstream")}))
    print(f"{title}: {good} of {len(judged)} agree" + (f" ({100 * good / len(judged):.2f} %)" if judged else ""))
    return good, len(judged)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--recorded", type=int, default=60); ap.add_argument("--fresh", type=int, default=300)
    ap.add_argument("--seed", type=int, default=int(time.time())); ap.add_argument("--areas", default=""); ap.add_argument("--runs", type=int, default=2)
    ap.add_argument("--program", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "examples", "observe")); ap.add_argument("--keep", help="write the fresh cases with their recordings here")
    o = ap.parse_args()
    areas = [a for a in o.areas.split(",") if a]
    print(f"seed {o.seed}")
    old = sample(o.recorded, o.seed, areas)
    again = expected(old, 1)
    fresh = expected(generate.cases(o.seed, o.fresh, areas or None), o.runs)
    if o.keep: json.dump([{**c, **({"rig_notes": n} if n else {})} for c, n in fresh], open(o.keep, "w"), indent=1)
    steady = [c for c, notes in fresh if not notes]
    answers = replay(o.program, old + steady)
    report("recorded cases, core against the recording", [(c, differences(c, answers.get(c["id"]))) for c in old])
    report("recorded cases, core against Envoy now", [(c, differences(c, answers.get(c["id"]))) for c, _ in again])
    good, n = report("fresh cases, core against Envoy now", [(c, differences(c, answers.get(c["id"]))) for c in steady])
    print(f"{len(fresh) - len(steady)} fresh cases left out: Envoy's own runs differed")
    sys.exit(0 if n == 0 or good >= 0.99 * n else 1)


if __name__ == "__main__":
    main()
