"""Raw runs of the real Envoy -> what a case expects, with a width for everything that differs from run to run."""
import json
import record


def gap_stats(case, raw, idx):
    by = {}
    for a in raw["attempts"]:
        by.setdefault(a["req"], []).append(a["t"])
    g = {}
    for r, ts in by.items():
        if not r.startswith(f"{idx}."): continue
        for k in range(1, len(ts)): g.setdefault(k, []).append((ts[k] - ts[k - 1]) * 1000)
    out = {}
    for k, v in sorted(g.items()):
        v.sort()
        out[str(k)] = {"n": len(v), "min": round(v[0], 1), "p10": round(v[len(v) // 10], 1), "p50": round(v[len(v) // 2], 1),
                       "p90": round(v[len(v) * 9 // 10], 1), "max": round(v[-1], 1), "mean": round(sum(v) / len(v), 1)}
    return out


def observe_dist(case, raw):
    out = []
    for idx, q in enumerate(case["requests"]):
        rr = raw["requests"][idx]
        if "repeat" not in q:
            out.append(record.observe_requests(case, raw)[idx]); continue
        ids = lambda x: str(x).startswith(f"{idx}.")
        by_host, by_cluster, by_first, att = {}, {}, {}, {}
        seen = set()
        for a in raw["attempts"]:
            if not ids(a["req"]): continue
            by_host[a["host"]] = by_host.get(a["host"], 0) + 1
            by_cluster[a["cluster"]] = by_cluster.get(a["cluster"], 0) + 1
            att[a["req"]] = att.get(a["req"], 0) + 1
        flags, details, attempts = {}, {}, {}
        for j in raw["log"]:
            if not ids(j.get("req")): continue
            f = j["flags"] if j["flags"] and j["flags"] != "-" else ""
            flags[f] = flags.get(f, 0) + 1
            details[j["details"]] = details.get(j["details"], 0) + 1
            n = str(int(j["attempts"] or 0)); attempts[n] = attempts.get(n, 0) + 1
        t = sorted(rr["t"]); n = len(t)
        o = {"n": rr["n"], "status": dict(sorted(rr["status"].items())), "flags": dict(sorted(flags.items())),
             "details": dict(sorted(details.items())), "attempts": dict(sorted(attempts.items())),
             "upstream_by_host": dict(sorted(by_host.items())), "upstream_by_cluster": dict(sorted(by_cluster.items())),
             "time_ms": {"p50": round(t[n // 2], 1), "p95": round(t[n * 95 // 100], 1), "p99": round(t[n * 99 // 100], 1)},
             "wall_ms": round(rr["wall_ms"])}
        g = gap_stats(case, raw, idx)
        if g: o["attempt_gap_ms"] = g
        out.append(o)
    return out


def rotation(case, hosts):
    """whole-case host sequence with rotation removed: index differences modulo the number of hosts of the (only) cluster."""
    names = [h["name"] for h in case["config"]["clusters"][0]["hosts"]]
    seq = [x for l in hosts for x in l]
    if not seq: return []
    k0 = names.index(seq[0])
    return [[(names.index(x) - k0) % len(names) for x in l] for l in hosts]


EXACT_FIELDS = ("status", "client_aborted", "client_saw_reset", "flags", "details", "log_status", "attempts", "route", "cluster", "final_host",
                "hosts", "upstream_path", "upstream_method", "upstream_headers", "upstream_headers_each_attempt", "response_headers", "body",
                "transport_failure", "response_trailers", "body_bytes", "client_reset_code", "upstream_connections", "upstream_reset_by_proxy", "grpc_status_logged")


def merge_proxies(case, views, tol, notes, i):
    out = {}
    for pn in views[0]:
        ls = [v[pn] for v in views]
        if any(len(l) != len(ls[0]) for l in ls):
            notes.append(f"req {i}: number of requests at {pn} differs: {[len(l) for l in ls]}"); continue
        out[pn] = []
        for k in range(len(ls[0])):
            e = {}
            for f in ("status", "flags", "details", "attempts", "route", "cluster", "tls", "protocol"):
                vals = [l[k].get(f) for l in ls]
                if all(v is None for v in vals): continue
                if all(v == vals[0] for v in vals): e[f] = vals[0]
                else:
                    notes.append(f"req {i}: {pn}[{k}].{f} differs between runs: {vals}")
                    e[f + "_any_of"] = [json.loads(v) for v in sorted({json.dumps(v) for v in vals})]
            if case["area"] not in record.NO_TIME:
                ts = [l[k]["time_ms"] for l in ls]; t = max(tol, 0.1 * max(ts))
                e["time_ms"] = {"observed": ts, "lo": max(0, round(min(ts) - t)), "hi": round(max(ts) + t)}
            out[pn].append(e)
    return out


def merge(case, runs):
    """runs: list of (requests observations, core stats, info stats) -> expected, notes"""
    notes = []
    tol = case.get("tol_ms", 60)
    reqs = []
    hm = case.get("hosts_mode", "exact")
    for i in range(len(case["requests"])):
        os_ = [r[0][i] for r in runs]
        e = {}
        drop = set(case.get("drop_fields", []))
        for f in EXACT_FIELDS:
            if f in drop: continue
            vals = [o.get(f) for o in os_]
            if f in ("hosts", "final_host") and hm != "exact": continue
            if all(v is None for v in vals) and f not in ("status", "route", "cluster"): continue
            if all(v == vals[0] for v in vals): e[f] = vals[0]
            else:
                notes.append(f"req {i}: {f} differs between runs: {vals}")
                e[f + "_any_of"] = sorted({json.dumps(v) for v in vals})
                e[f + "_any_of"] = [json.loads(v) for v in e[f + "_any_of"]]
        if "proxies" in os_[0] and "proxies" not in drop: e["proxies"] = merge_proxies(case, [o["proxies"] for o in os_], tol, notes, i)
        if hm == "count": e["host_attempts"] = len(os_[0]["hosts"])
        nret = max(max(o.get("attempts", 1) or 1, len(o["hosts"])) for o in os_) - 1
        jit = record.backoff_max_sum(case, nret) if nret > 0 else 0
        ts = [o["time_ms"] for o in os_]
        t_tol = max(tol, 0.1 * max(ts))
        if max(ts) - min(ts) > max(t_tol, jit) and case["area"] not in record.NO_TIME and "bounds_ms" not in case:
            notes.append(f"req {i}: time differs: {ts}")
        if case["area"] not in record.NO_TIME and "attempts" not in drop:
            e["time_ms"] = {"observed": ts, "lo": max(0, round(min(ts) - t_tol - jit)), "hi": round(max(ts) + t_tol + jit)}
            if "bounds_ms" in case: e["time_ms"]["lo"], e["time_ms"]["hi"] = case["bounds_ms"]
        if nret > 0 or any(o["attempt_ms"] and o["attempt_ms"][0] > 30 for o in os_):
            am = [o["attempt_ms"] for o in os_]
            if all(len(a) == len(am[0]) for a in am):
                e["attempt_ms"] = [{"observed": [a[k] for a in am], "lo": max(0, round(min(a[k] for a in am) - tol - record.backoff_max_sum(case, k))),
                                    "hi": round(max(a[k] for a in am) + tol + record.backoff_max_sum(case, k))} for k in range(len(am[0]))]
                if case["area"] in record.NO_TIME or "attempts" in drop: del e["attempt_ms"]
                elif "bounds_ms" in case and len(e["attempt_ms"]) > 1: e["attempt_ms"][-1]["lo"], e["attempt_ms"][-1]["hi"] = case["bounds_ms"]
            if hm == "any": e.pop("attempt_ms", None)
        reqs.append(e)
    if hm == "rotation":
        rots = [rotation(case, [o["hosts"] for o in r[0]]) for r in runs]
        if all(x == rots[0] for x in rots):
            for e, x in zip(reqs, rots[0]): e["hosts_rotation"] = x
        else: notes.append(f"rotation differs: {rots}")
    if hm == "constant":
        for e, o in zip(reqs, runs[0][0]):
            e["hosts_constant"] = all(len({x for q in r[0] for x in q["hosts"]}) == 1 for r in runs)
    if hm == "multiset_any":
        sets = [sorted({x for o in r[0] for x in o["hosts"]}) for r in runs]
        if all(x == sets[0] for x in sets): reqs[0]["host_set"] = sets[0]
        else: notes.append(f"host sets differ: {sets}")
    if hm == "multiset":
        ms = [sorted(x for o in r[0] for x in o["hosts"]) for r in runs]
        if all(x == ms[0] for x in ms): reqs[0]["all_hosts_sorted"] = ms[0]
        else: notes.append(f"multiset differs: {ms}")
    def totals(os_):
        t = {"status": {}, "flags": {}, "hosts": {}, "attempts": {}}
        for o in os_:
            for f, v in (("status", [str(o.get("status") or 0)]), ("flags", [",".join(o.get("flags", []))]), ("hosts", o["hosts"]), ("attempts", [str(o.get("attempts", 0))])):
                for x in v: t[f][x] = t[f].get(x, 0) + 1
        return {k: dict(sorted(v.items())) for k, v in t.items()}
    tot = [totals(r[0]) for r in runs]
    exp_totals = {}
    if len(case["requests"]) > 1 and case["area"] in ("outlier", "retries", "circuit_breaking", "lb", "local_rate_limit", "fault", "two_hop", "http2", "grpc"):
        for k in tot[0]:
            if k == "hosts" and hm not in ("exact", "multiset") and case["area"] != "outlier": continue
            vals = []
            if k == "hosts" and case.get("anonymous_hosts"):
                cs = [sorted(t[k].values()) for t in tot]
                if all(x == cs[0] for x in cs): exp_totals["host_counts_sorted"] = cs[0]
                continue
            for t in tot:
                if t[k] not in vals: vals.append(t[k])
            exp_totals[k] = vals[0] if len(vals) == 1 else {"any_of": vals}
    stats = {}
    keys = sorted(set().union(*[r[1] for r in runs]))
    for k in keys:
        vals = [r[1].get(k, 0) for r in runs]
        if all(v == vals[0] for v in vals): stats[k] = vals[0]
        else:
            notes.append(f"stat {k} differs: {vals}")
            stats[k] = {"any_of": sorted(set(vals))}
    info = {}
    for k in sorted(set().union(*[r[2] for r in runs])):
        vals = [r[2].get(k, 0) for r in runs]
        info[k] = vals[0] if all(v == vals[0] for v in vals) else {"any_of": sorted(set(vals))}
    return {"requests": reqs, **({"totals": exp_totals} if exp_totals else {}), "stats": stats, "stats_info": info}, notes


def merge_dist(case, runs):
    exp = {"runs": [r[0] for r in runs], "stats_runs": [r[1] for r in runs], "stats_info_runs": [r[2] for r in runs]}
    if any("attempt_gap_ms" in o for r in runs for o in r[0]):
        pol = case["config"]["virtual_hosts"][0]["routes"][0]["retry"]
        b = pol["backoff"]; mx = b.get("max_ms", b["base_ms"] * 10)
        exp["attempt_gap_bounds_ms"] = {str(k): [0, min(b["base_ms"] * 2 ** (k - 1), mx)] for k in range(1, pol["num_retries"] + 1)}
    if "expect_fractions" in case:
        ef = dict(case["expect_fractions"]); by = ef.pop("by")
        field = {"cluster": "upstream_by_cluster", "host": "upstream_by_host", "status": "status", "flags": "flags"}[by]
        tot = {}
        for r in runs:
            for o in r[0]:
                if field in o:
                    for k, v in o[field].items(): tot[k] = tot.get(k, 0) + v
        n = sum(tot.values())
        chi, df = 0.0, -1
        ok = True
        for k, f in ef.items():
            if f == 0: ok &= tot.get(k, 0) == 0; continue
            chi += (tot.get(k, 0) - n * f) ** 2 / (n * f); df += 1
        exp["fractions"] = {"field": field, "expected": {k: round(v, 6) for k, v in ef.items()}, "observed_total": dict(sorted(tot.items())),
                            "chi_square": round(chi, 3), "df": df, "zero_cells_ok": ok}
    return exp


def chunks(group):
    """batches for one Envoy process each; a case with its own zone stands alone"""
    own = [c for c in group if "zone" in c["config"]]
    rest = [c for c in group if "zone" not in c["config"]]
    return [rest[k:k + 60] for k in range(0, len(rest), 60)] + [[c] for c in own]
