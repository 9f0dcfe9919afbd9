#!/usr/bin/env python3
"""Part B: system experiments on the live Envoy.  experiments.py [id ...] [--runs 3] [--parallel 3]"""
import asyncio, json, os, random, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness, rigconf
from dsl import R, C, H, VH

E = []
def ex(eid, title, routes, clusters, load, up, filters=None, note=""):
    E.append({"id": eid, "title": title, "note": note, "config": {**({"filters": filters} if filters else {}), "virtual_hosts": [VH(routes)], "clusters": clusters},
              "load": {"arrival": "poisson", **load}, "upstream": {"hosts": up}})
EXP = lambda m: {"dist": "exponential", "mean_ms": m}
def host(lat, p=0.0, st=503, **k): return {"latency": lat, "fail": {"probability": p, "status": st}, **k}
NR = [{"priority": "default", "max_retries": 1000}]
ex("max-requests-loss", "max_requests 20, offered load 30 erlang", [R("r", "/")], [C("s", ("a", "b"), circuit_breakers=[{"priority": "default", "max_requests": 20}])], {"rate_rps": 200, "duration_s": 15, "seed": 13}, {h: host(EXP(150)) for h in "ab"}, note="an M/M/20/20 loss system: Erlang B(30,20)")
ex("outlier-one-bad", "one of four hosts always fails; outlier detection", [R("r", "/")], [C("s", ("a", "b", "c", "d"), outlier_detection={"consecutive_5xx": 5, "interval_ms": 1000, "base_ejection_time_ms": 3000, "max_ejection_percent": 50})], {"rate_rps": 120, "duration_s": 16, "seed": 14}, {"a": host(EXP(10), 1.0), **{h: host(EXP(10)) for h in "bcd"}})
ex("retry-storm-budget", "the same with a retry budget of 20 %, minimum 3", [R("r", "/", retry={"on": "5xx", "num_retries": 3})], [C("s", ("a", "b"), circuit_breakers=[{"priority": "default", "retry_budget": {"budget_percent": 20, "min_retry_concurrency": 3}}])], {"rate_rps": 100, "duration_s": 12, "seed": 15}, {h: host(EXP(20), 0.7) for h in "ab"})
BI = {"dist": "bimodal", "fast_ms": 10, "slow_ms": 500, "slow_probability": 0.1}
ex("per-try-bimodal", "per-try timeout 100 ms against 10 % slow answers", [R("r", "/", timeout_ms=1000, retry={"on": "5xx", "num_retries": 2, "per_try_timeout_ms": 100})], [C("s", ("a", "b", "c"), circuit_breakers=NR)], {"rate_rps": 150, "duration_s": 12, "seed": 16}, {h: host(BI) for h in "abc"})
ex("canary-10", "90/10 canary whose answers fail half of the time", [R("r", "/", {"weighted": [{"cluster": "s", "weight": 90}, {"cluster": "t", "weight": 10}]})], [C("s", ("a", "b")), C("t", ("c",))], {"rate_rps": 200, "duration_s": 12, "seed": 17}, {"a": host(EXP(10)), "b": host(EXP(10)), "c": host(EXP(10), 0.5)})
HC = {"timeout_ms": 300, "interval_ms": 500, "unhealthy_threshold": 2, "healthy_threshold": 2}
bad = {"health_schedule": [{"from_s": 0, "status": 200}, {"from_s": 5, "status": 503}, {"from_s": 11, "status": 200}]}
ex("priority-failover", "half of P0 fails active health checks from 5 s to 11 s", [R("r", "/")], [C("s", [H("a"), H("b"), H("c"), H("d"), H("x", priority=1), H("y", priority=1)], health_check=HC)], {"rate_rps": 120, "duration_s": 18, "seed": 18}, {**{h: host(EXP(10)) for h in "abxy"}, "c": host(EXP(10), **bad), "d": host(EXP(10), **bad)}, note="traffic answers stay 200; only /healthz fails: the shares move")
for pol in ("round_robin",):
    ex(f"slow-host-{pol.replace('_', '-')}", f"one of four hosts is ten times slower; {pol}", [R("r", "/")], [C("s", ("a", "b", "c", "d"), lb_policy=pol)], {"rate_rps": 200, "duration_s": 12, "seed": 20}, {"a": host(EXP(100)), **{h: host(EXP(10)) for h in "bcd"}})


class Up:
    def __init__(self, spec, ports, seed):
        self.spec, self.ports = spec["upstream"]["hosts"], ports
        self.rng = random.Random(seed); self.counts = {}; self.bins = {}; self.servers = []; self.open = set(); self.t0 = None

    async def start(self):
        for (c, h), p in self.ports.items():
            self.servers.append(await asyncio.start_server(lambda r, w, h=h: self.conn(r, w, h), "127.0.0.1", p))

    def stop(self):
        for s in self.servers: s.close()
        for w in list(self.open): harness.rst(w)

    async def conn(self, r, w, h):
        self.open.add(w); sp = self.spec[h]; rng = self.rng
        try:
            while True:
                head = await r.readuntil(b"\r\n\r\n")
                now = time.monotonic()
                if head.startswith(b"GET /healthz"):
                    st = 200
                    for s in sp.get("health_schedule", []):
                        if self.t0 and now - self.t0 >= s["from_s"]: st = s["status"]
                    w.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % st); continue
                self.counts[h] = self.counts.get(h, 0) + 1
                b = self.bins.setdefault(int(now - (self.t0 or now)), {}); b[h] = b.get(h, 0) + 1
                l = sp["latency"]
                ms = rng.expovariate(1 / l["mean_ms"]) if l["dist"] == "exponential" else (l["slow_ms"] if rng.random() < l["slow_probability"] else l["fast_ms"])
                st = sp["fail"]["status"] if rng.random() < sp["fail"]["probability"] else 200
                await asyncio.sleep(ms / 1000)
                w.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nok" % st)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, RuntimeError): pass
        finally:
            self.open.discard(w); w.close()


async def load(spec, port, seed, up):
    rng = random.Random(seed); L = spec["load"]; t = 0.0; times = []
    while True:
        rate = L["rate_rps"]
        for b in L.get("bursts", []):
            if b["from_s"] <= t < b["to_s"]: rate = b["rate_rps"]
        t += rng.expovariate(rate)
        if t >= L["duration_s"]: break
        times.append(t)
    idle, sent, tasks = [], {}, []
    t0 = time.monotonic() + 0.1; up.t0 = t0

    async def one(i):
        sent[i] = time.monotonic() - t0
        r, w = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        w.write(f"GET / HTTP/1.1\r\nhost: svc.test\r\nx-rig-req: {i}\r\n\r\n".encode())
        try:
            line, hs = await harness.read_head(r)
            await harness.read_body(r, hs, "GET", int(line.split(" ")[1]))
            idle.append((r, w))
        except (asyncio.IncompleteReadError, ConnectionError): pass
    for i, x in enumerate(times):
        d = t0 + x - time.monotonic()
        if d > 0: await asyncio.sleep(d)
        tasks.append(asyncio.ensure_future(one(i)))
    await asyncio.wait(tasks, timeout=20)
    lag = max(sent[i] - times[i] for i in sent)
    for _, w in idle: w.close()
    return times, lag


async def batch(specs, run):
    log = os.path.join(harness.TMP, f"exp-{harness.BASE}.log")
    if os.path.exists(log): os.remove(log)
    items, p = [], harness.BASE + 100
    for i, s in enumerate(specs):
        ports = {}
        for c in s["config"]["clusters"]:
            for h in c["hosts"]: ports[(c["name"], h["name"])] = p; p += 1
        items.append((s, f"c{i:03d}", harness.BASE + i, ports))
    bp = os.path.join(harness.TMP, f"boot-exp-{harness.BASE}.json")
    json.dump(rigconf.bootstrap(items, harness.ADMIN, log), open(bp, "w"))
    ups = [Up(s, pt, s["load"]["seed"] * 1000 + run) for s, _, _, pt in items]
    for u in ups: await u.start()
    err = open(os.path.join(harness.TMP, f"envoy-exp-{harness.BASE}.err"), "w")
    proc = subprocess.Popen([harness.ENVOY, "-c", bp, "--concurrency", "1", "--disable-hot-restart", "-l", "warning", "--file-flush-interval-msec", "100"], stdout=err, stderr=err)
    try:
        for _ in range(200):
            await asyncio.sleep(0.05)
            if proc.poll() is not None: raise SystemExit(open(err.name).read()[-2000:])
            try:
                if b"LIVE" in await harness.http_get(harness.ADMIN, "/ready"): break
            except OSError: pass
        await asyncio.sleep(1.5)  # health checks settle
        res = await asyncio.gather(*[load(s, port, s["load"]["seed"] * 7919 + run, u) for (s, _, port, _), u in zip(items, ups)])
        await asyncio.sleep(0.4)
        stats = [await harness.get_stats(pfx) for _, pfx, _, _ in items]
    finally:
        proc.terminate()
        try: proc.wait(5)
        except subprocess.TimeoutExpired: proc.kill(); proc.wait()
        for u in ups: u.stop()
    logs = {}
    for ln in open(log):
        j = json.loads(ln); logs.setdefault(j["case"], []).append(j)
    return [summarise(s, pfx, logs.get(pfx, []), u, times, lag, st) for (s, pfx, _, _), u, (times, lag), st in zip(items, ups, res, stats)]


def summarise(s, pfx, log, u, times, lag, st):
    n = len(log); status, flags, att, clus = {}, {}, {}, {}
    dur, bins = [], {}
    for j in log:
        k = str(j["status"]); status[k] = status.get(k, 0) + 1
        f = j["flags"] if j["flags"] and j["flags"] != "-" else ""; flags[f] = flags.get(f, 0) + 1
        a = str(int(j["attempts"] or 0)); att[a] = att.get(a, 0) + 1
        c = (j["cluster"] or "").replace(pfx + "_", ""); clus[c] = clus.get(c, 0) + 1
        dur.append(int(j["dur"]))
        b = bins.setdefault(int(times[int(j["req"])]), [0, 0]); b[0] += 1; b[1] += j["status"] >= 400
    dur.sort(); q = lambda x: dur[min(n - 1, int(n * x))]
    up = sum(u.counts.values())
    out = {"requests": n, "success_fraction": round(sum(v for k, v in status.items() if k < "400") / n, 5), "status": dict(sorted(status.items())), "flags": dict(sorted(flags.items())),
           "attempts_per_request": dict(sorted(att.items())), "upstream_requests": up, "upstream_requests_per_request": round(up / n, 4),
           "host_share": {h: round(v / up, 4) for h, v in sorted(u.counts.items())}, "cluster_share": {k: round(v / n, 4) for k, v in sorted(clus.items())},
           "latency_ms": {"mean": round(sum(dur) / n, 2), "p50": q(.5), "p95": q(.95), "p99": q(.99)},
           "per_second": [{"t_s": t, "requests": b[0], "errors": b[1], "error_fraction": round(b[1] / b[0], 4),
                           "host_share": {h: round(v / sum(u.bins.get(t, {}).values()), 3) for h, v in sorted(u.bins.get(t, {}).items())}} for t, b in sorted(bins.items())],
           "stats": {k.replace(f"cluster.{pfx}_", "", 1): v for k, v in sorted(st.items()) if k.startswith(f"cluster.{pfx}_") and v and any(k.endswith(x) for x in (
               "upstream_rq_total", "upstream_rq_retry", "upstream_rq_retry_overflow", "upstream_rq_retry_success", "upstream_rq_retry_limit_exceeded", "upstream_rq_timeout", "upstream_rq_per_try_timeout",
               "upstream_rq_pending_overflow", "upstream_rq_active_overflow", "ejections_enforced_total", "lb_healthy_panic", "upstream_cx_total"))},
           "max_client_lag_ms": round(lag * 1000, 1)}
    return out


def agg(runs):
    def med(v): v = sorted(v); return v[len(v) // 2]
    out = {}
    def put(name, vals): out[name] = {"min": min(vals), "median": med(vals), "max": max(vals)}
    put("success_fraction", [r["success_fraction"] for r in runs]); put("upstream_requests_per_request", [r["upstream_requests_per_request"] for r in runs])
    for k in ("mean", "p50", "p95", "p99"): put("latency_ms." + k, [r["latency_ms"][k] for r in runs])
    for grp, tot in (("flags", "requests"), ("status", "requests")):
        for k in sorted({k for r in runs for k in r[grp]}): put(f"{grp}_fraction.{k or 'none'}", [round(r[grp].get(k, 0) / r[tot], 5) for r in runs])
    for grp in ("host_share", "cluster_share"):
        for k in sorted({k for r in runs for k in r[grp]}): put(f"{grp}.{k}", [r[grp].get(k, 0) for r in runs])
    T = sorted({b["t_s"] for r in runs for b in r["per_second"]})
    out["error_fraction_per_second"] = [{"t_s": t, "min": min(v), "median": med(v), "max": max(v)} for t in T for v in [[next((b["error_fraction"] for b in r["per_second"] if b["t_s"] == t), 0) for r in runs]]]
    return out


def main():
    a = sys.argv[1:]; runs, par = 3, 3
    if "--runs" in a: i = a.index("--runs"); runs = int(a[i + 1]); del a[i:i + 2]
    if "--parallel" in a: i = a.index("--parallel"); par = int(a[i + 1]); del a[i:i + 2]
    todo = [e for e in E if not a or e["id"] in a]
    for k in range(0, len(todo), par):
        grp = todo[k:k + par]; res = [[] for _ in grp]
        for run in range(runs):
            for x, o in zip(res, asyncio.run(batch(grp, run))): x.append(o)
        for e, rs in zip(grp, res):
            doc = {**e, "envoy": "1.40.0, one worker", "runs": rs, "summary": agg(rs)}
            with open(os.path.join(harness.HERE, "experiments", e["id"] + ".json"), "w") as f: f.write(json.dumps(doc, indent=1) + "\n")
            s = doc["summary"]
            print(e["id"], "success", s["success_fraction"], "amp", s["upstream_requests_per_request"], "p99", s["latency_ms.p99"], "lag", [r["max_client_lag_ms"] for r in rs], flush=True)


if __name__ == "__main__": main()
