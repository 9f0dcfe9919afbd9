#!/usr/bin/env python3
"""The CLI contract implemented with the real Envoy: cases (JSON array) on stdin -> JSON lines on stdout.
Used to check the rig against itself (a third, independent recording):  cat vectors/*.json is not valid JSON; use dump_cases.py."""
import asyncio, json, sys, os
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness, merge, record

cases = json.load(sys.stdin)
heavy = [c for c in cases if any("repeat" in q for q in c["requests"])]
light = [c for c in cases if not any("repeat" in q for q in c["requests"])]
for group, par in ((light, 5), (heavy, 1)):
    by_area = {}
    for c in group: by_area.setdefault(c["area"], []).append(c)
    for area, cs in by_area.items():
        for chunk in merge.chunks(cs):
            raws = asyncio.run(harness.run_batch(chunk, parallel=par, tag="adapter"))
            for c, raw in zip(chunk, raws):
                obs = merge.observe_dist(c, raw) if c in heavy else record.observe_requests(c, raw)
                core, _ = record.base_stats(raw, area)
                print(json.dumps({"id": c["id"], "observed": {"requests": obs, "stats": core}}), flush=True)
