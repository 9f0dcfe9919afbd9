"""Scripted upstream + scripted client + Envoy runner. See SCHEMA.md. (Standard library; the areas with TLS, tokens or HTTP/2 use meshext.py.)"""
import asyncio, json, os, socket, struct, subprocess, sys, time, urllib.request

ENVOY = os.environ.get("RIG_ENVOY", "envoy")
HERE = os.path.dirname(os.path.abspath(__file__))
TMP = os.environ.get("RIG_TMP", os.path.join(HERE, "..", "..", "..", ".cache", "rig"))
BASE = int(os.environ.get("RIG_PORT_BASE", "10000"))
ADMIN = int(os.environ.get("RIG_ADMIN_PORT", BASE + 990))


def rst(writer):
    try:
        s = writer.get_extra_info("socket")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    except Exception:
        pass


async def read_head(r):
    data = await r.readuntil(b"\r\n\r\n")
    lines = data.decode("latin1").split("\r\n")
    hs = []
    for ln in lines[1:]:
        if ln:
            k, _, v = ln.partition(":")
            hs.append((k.strip().lower(), v.strip()))
    return lines[0], hs


async def read_body(r, hs, method="", status=0):
    d = dict(hs)
    if method == "HEAD" or status in (204, 304) or 100 <= status < 200: return b""
    if d.get("transfer-encoding", "").lower() == "chunked":
        out = b""
        while True:
            n = int((await r.readuntil(b"\r\n")).split(b";")[0], 16)
            c = await r.readexactly(n + 2)
            if n == 0: return out
            out += c[:-2]
    if "content-length" in d:
        return await r.readexactly(int(d["content-length"]))
    if status: return await r.read()
    return b""


def all_clusters(case):
    """clusters of the first proxy, then those of the further ones (names must be unique in a case)"""
    out = list(case["config"].get("clusters", []))
    for p in case["config"].get("proxies", {}).values(): out += p.get("clusters", [])
    assert len({c["name"] for c in out}) == len(out), case["id"]
    return out


class Upstream:
    """All hosts of one case."""
    def __init__(self, case, ports):
        self.case, self.ports = case, ports
        self.up = case.get("upstream", {})
        self.servers, self.blackholes, self.attempts = [], [], []
        self.per_host, self.per_req = {}, {}
        self.open = set()
        self.conn_count = {}
        self.t0 = None
        self.lean = any("repeat" in q for q in case["requests"])

    async def start(self):
        cl = {c["name"]: c for c in all_clusters(self.case)}
        done = set()
        for (c, h), port in self.ports.items():
            if port in done: continue
            done.add(port)
            host = next(x for x in cl[c]["hosts"] if x["name"] == h)
            if "proxy" in host: continue
            mode = host.get("listen", "open")
            if mode == "closed": continue
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", port))
            if mode == "blackhole":
                s.listen(0)
                self.blackholes.append(s)
                for _ in range(3):
                    f = socket.socket(); f.setblocking(False)
                    try: f.connect(("127.0.0.1", port))
                    except BlockingIOError: pass
                    self.blackholes.append(f)
                continue
            s.listen(1024); s.setblocking(False)
            if host.get("speaks", cl[c].get("protocol")) == "http2":
                import meshext
                self.servers.append(await asyncio.start_server(lambda r, w, c=c, h=h: meshext.h2_conn(self, r, w, c, h, rst), sock=s)); continue
            self.servers.append(await asyncio.start_server(lambda r, w, c=c, h=h: self.conn(r, w, c, h), sock=s))

    async def stop(self):
        for s in self.servers: s.close()
        for w in list(self.open): rst(w)
        for b in self.blackholes: b.close()

    def action(self, req, cname, host):
        hk = cname + "/" + host
        n = self.per_req.get(req, 0); self.per_req[req] = n + 1
        m = self.per_host.get(hk, 0); self.per_host[hk] = m + 1
        br, bh = self.up.get("by_request", {}), self.up.get("by_host", {})
        if str(req) in br: lst, i = br[str(req)], n
        elif host in bh: lst, i = bh[host], m
        elif hk in bh: lst, i = bh[hk], m
        else: lst, i = self.up.get("default", [{"status": 200}]), n
        return lst[min(i, len(lst) - 1)]

    async def conn(self, r, w, cname, host):
        ci = self.conn_count.get(cname + "/" + host, 0); self.conn_count[cname + "/" + host] = ci + 1
        self.open.add(w)
        try:
            while True:
                line, hs = await read_head(r)
                t = time.monotonic()
                if line.count(" ") < 2 or line.startswith("PRI "):  # not HTTP/1.1: answered as servers do
                    w.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"); await w.drain(); return
                method, path, _ = line.split(" ", 2)
                d = dict(hs)
                if path == "/healthz":
                    st = self.up.get("health", {}).get(host, 200)
                    if isinstance(st, list):
                        el = (t - (self.t0 or t)) * 1000
                        st = [x["status"] for x in st if el >= x["from_ms"]][-1]
                    w.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % st); await w.drain(); continue
                req = d.get("x-rig-req", "?")
                a = self.action(req, cname, host)
                rec = {"req": req, "host": host, "cluster": cname, "t": t, "path": path, "method": method, "conn": ci}
                if not self.lean: rec["headers"] = hs
                self.attempts.append(rec)
                body = b""
                if not a.get("early"): body = await read_body(r, hs)
                rec["body_bytes"] = len(body)
                if a.get("never"):
                    if await r.read(1) == b"":
                        rec["closed_t"] = time.monotonic(); return
                    return
                if a.get("delay_ms"):
                    if self.lean:
                        await asyncio.sleep(a["delay_ms"] / 1000)
                    else:
                        try:
                            x = await asyncio.wait_for(r.read(1), a["delay_ms"] / 1000)
                            if x == b"":
                                rec["closed_t"] = time.monotonic(); return
                        except asyncio.TimeoutError: pass
                if a.get("reset") == "before_headers": rst(w); return
                if a.get("close_before_headers"): return
                if "raw" in a:
                    w.write(a["raw"].encode("latin1")); await w.drain(); return
                b = a.get("body", "").encode() if "body" in a else b"x" * a.get("body_bytes", 2)
                st = a.get("status", 200)
                head = f"HTTP/1.1 {st} X\r\n"
                for k, v in a.get("headers", []): head += f"{k}: {v}\r\n"
                if a.get("close"): head += "connection: close\r\n"
                head += f"content-length: {len(b)}\r\n\r\n" if st != 204 else "\r\n"
                if st == 204: b = b""
                if method == "HEAD": b = b""
                if "reset" in a or "stall_after_headers" in a or "body_delay_ms" in a:
                    cut = a.get("cut_bytes", 1)
                    w.write(head.encode("latin1") + b[:cut]); await w.drain()
                    if a.get("reset") == "mid_body":
                        await asyncio.sleep(a.get("reset_after_ms", 50) / 1000); rst(w); return
                    if a.get("stall_after_headers"):
                        if await r.read(1) == b"": rec["closed_t"] = time.monotonic()
                        return
                    await asyncio.sleep(a["body_delay_ms"] / 1000)
                    w.write(b[cut:])
                else:
                    w.write(head.encode("latin1") + b)
                await w.drain()
                if a.get("close"): return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, RuntimeError):
            pass
        finally:
            self.open.discard(w)
            try: w.close()
            except Exception: pass


async def do_request(port, q, idx, t0, conns, i=None, rw=None):
    if q.get("protocol") == "http2" and rw is None:
        import meshext
        return await meshext.h2_request(port, q, idx)
    if "token" in q or "tokens" in q:
        import meshext
        path, hs = meshext.place_tokens(q)
        q = {**q, "path": path, "headers": hs}
    sub = (lambda s: s.replace("{i}", str(i))) if i is not None else (lambda s: s)
    if rw is None:
        if "connection" in q and q["connection"] in conns: rw = conns[q["connection"]]
        else:
            rw = await asyncio.open_connection("127.0.0.1", port)
            if "connection" in q: conns[q["connection"]] = rw
        own = "connection" not in q
    else: own = False
    r, w = rw
    method = q.get("method", "GET")
    head = f"{method} {sub(q.get('path', '/'))} HTTP/{q.get('http_version', '1.1')}\r\nhost: {q.get('authority', 'svc.test')}\r\n"
    if q.get("no_host"): head = f"{method} {q.get('path', '/')} HTTP/{q.get('http_version', '1.1')}\r\n"
    for k, v in q.get("headers", []): head += f"{k}: {sub(v)}\r\n"
    head += f"x-rig-req: {idx}\r\n"
    bodyb = b"y" * q["body_bytes"] if "body_bytes" in q else b""
    if "body_chunks" in q: head += f"content-length: {sum(n for _, n in q['body_chunks'])}\r\n"
    elif "body_bytes" in q: head += f"content-length: {len(bodyb)}\r\n"
    ts = time.monotonic()
    w.write((head + "\r\n").encode("latin1") + bodyb)
    out = {"sent": ts}

    async def send_rest():
        for dms, n in q.get("body_chunks", []):
            await asyncio.sleep(dms / 1000)
            try:
                w.write(b"y" * n); await w.drain()
            except Exception: return
    rest = asyncio.ensure_future(send_rest()) if "body_chunks" in q else None

    async def recv():
        while True:
            line, hs = await read_head(r)
            st = int(line.split(" ")[1])
            if st != 100: break
        out["status"] = st
        out["headers"] = hs
        out["t_headers_ms"] = (time.monotonic() - ts) * 1000
        b = await read_body(r, hs, method, st)
        out["body"] = b[:300].decode("latin1"); out["body_bytes"] = len(b)
        out["complete"] = True
    try:
        await asyncio.wait_for(recv(), q.get("abort_after_ms", 15000) / 1000)
    except asyncio.TimeoutError:
        out["client_aborted"] = True
        rst(w)
    except (asyncio.IncompleteReadError, ConnectionError):
        out["reset"] = True
    out["t_ms"] = (time.monotonic() - ts) * 1000
    if rest: rest.cancel()
    if own:
        w.close()
    return out


async def run_case(case, pfx, port, ports, up):
    res = {}
    conns = {}
    loop_t0 = time.monotonic()
    up.t0 = loop_t0

    async def one(idx, q):
        await asyncio.sleep(q.get("at_ms", 0) / 1000)
        if "repeat" in q:
            k = q.get("concurrency", 1)
            it = iter(range(q["repeat"]))
            agg = {"n": 0, "status": {}, "t": []}

            async def worker():
                rw = await asyncio.open_connection("127.0.0.1", port)
                for i in it:
                    o = await do_request(port, q, f"{idx}.{i}", loop_t0, conns, i, rw)
                    agg["n"] += 1
                    s = str(o.get("status", 0)); agg["status"][s] = agg["status"].get(s, 0) + 1
                    agg["t"].append(round(o["t_ms"], 2))
                    if not o.get("complete") or ("connection", "close") in o.get("headers", []):
                        rw[1].close()
                        rw = await asyncio.open_connection("127.0.0.1", port)
                rw[1].close()
            await asyncio.gather(*[worker() for _ in range(k)])
            agg["wall_ms"] = (time.monotonic() - loop_t0) * 1000 - q.get("at_ms", 0)
            res[idx] = agg
        else:
            res[idx] = await do_request(port, q, idx, loop_t0, conns)
    # requests on one shared connection run in order
    await asyncio.gather(*[one(i, q) for i, q in enumerate(case["requests"])])
    await asyncio.sleep(case.get("settle_ms", 120) / 1000)
    for _, w in conns.values(): w.close()
    return res


async def http_get(port, path):
    r, w = await asyncio.open_connection("127.0.0.1", port)
    w.write(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
    line, hs = await read_head(r)
    b = await read_body(r, hs, "GET", 200)
    w.close()
    return b


async def get_stats(pfx):
    b = await http_get(ADMIN, f"/stats?format=json&filter=%5E(cluster%5C.{pfx}_%7Chttp%5C.{pfx}%5C.%7Clistener%5C.{pfx}%5C.%7C{pfx}(_route)%3F%5C.)")
    return {s["name"]: s["value"] for s in json.loads(b).get("stats", []) if "name" in s}


async def run_batch(cases, parallel=8, keep=False, tag="b"):
    """-> list of raw results in order; each {requests, attempts, stats, log}."""
    os.makedirs(TMP, exist_ok=True)
    log = os.path.join(TMP, f"access-{tag}-{BASE}.log")
    if os.path.exists(log): os.remove(log)
    items, pports, nextp = [], [], BASE + 100
    for i, c in enumerate(cases):
        ports = {}
        shared = {}
        pport = {}
        for pn in c["config"].get("proxies", {}):
            pport[pn] = nextp; nextp += 1
        for k in all_clusters(c):
            for h in k["hosts"]:
                if "proxy" in h: ports[(k["name"], h["name"])] = pport[h["proxy"]]; continue
                key = h.get("same_as", None)
                if key: ports[(k["name"], h["name"])] = shared[key]; continue
                ports[(k["name"], h["name"])] = nextp
                shared[k["name"] + "/" + h["name"]] = nextp
                nextp += 1
        items.append((c, f"c{i:03d}", BASE + i, ports))
        pports.append(pport)
    assert nextp < ADMIN and len(items) <= 100, (nextp, len(items))
    import rigconf
    boot = rigconf.bootstrap(items, ADMIN, log, pports)
    bp = os.path.join(TMP, f"boot-{tag}-{BASE}.json")
    with open(bp, "w") as f: json.dump(boot, f, indent=1)
    ups = [Upstream(c, p) for c, _, _, p in items]
    for u in ups: await u.start()
    err = open(os.path.join(TMP, f"envoy-{tag}-{BASE}.err"), "w")
    proc = subprocess.Popen([ENVOY, "-c", bp, "--concurrency", "1", "--disable-hot-restart", "-l", "warning",
                             "--file-flush-interval-msec", "50", "--drain-time-s", "1"], stdout=err, stderr=err)
    try:
        for _ in range(200):
            await asyncio.sleep(0.05)
            if proc.poll() is not None:
                raise SystemExit("envoy exited: " + open(err.name).read()[-3000:])
            try:
                if b"LIVE" in await http_get(ADMIN, "/ready"): break
            except OSError: pass
        else: raise SystemExit("envoy not ready")
        await asyncio.sleep(0.2)
        sem = asyncio.Semaphore(parallel)

        async def go(k):
            c, pfx, port, ports = items[k]
            async with sem:
                rs = await run_case(c, pfx, port, ports, ups[k])
                st = await get_stats(pfx)
                pst = {pn: await get_stats(pfx + pn) for pn in pports[k]}
            return {"requests": rs, "attempts": ups[k].attempts, "stats": st, "proxy_stats": pst, "t0": ups[k].t0}
        raws = await asyncio.gather(*[go(k) for k in range(len(items))])
        await asyncio.sleep(0.2)
    finally:
        proc.terminate()
        try: proc.wait(5)
        except subprocess.TimeoutExpired: proc.kill(); proc.wait()
        for u in ups: await u.stop()
    logs = {}
    if os.path.exists(log):
        for ln in open(log):
            try: j = json.loads(ln)
            except ValueError: continue
            logs.setdefault(j["case"], []).append(j)
    for (c, pfx, _, ports), raw in zip(items, raws):
        raw["log"] = logs.get(pfx, [])
        raw["proxy_log"] = {pn: sorted(logs.get(pfx + pn, []), key=lambda j: float(j["start"])) for pn in c["config"].get("proxies", {})}
        raw["pfx"] = pfx
        raw["port_names"] = {f"127.0.0.1:{p}": h for (k, h), p in ports.items()}
    return raws
