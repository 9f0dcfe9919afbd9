"""Fresh cases from a seed: random configurations, requests and upstream behaviour, in the neutral form of SCHEMA.md.

Each kind of deadline and the delays have values of their own, so that a case seldom hangs on a tie; one that still differs
between two runs of Envoy is left out by live.py."""
import random
from dsl import H, C, R, VH, Q, to

TIMES = (150, 330, 560, 790)  # delays
ROUTE, PER_TRY, IDLE, DURATION = (230, 410, 640), (90, 190, 290), (260, 470), (280, 450, 700)
BACKOFF = {"base_ms": 1, "max_ms": 1}
STATUS = (200, 200, 200, 201, 404, 409, 429, 500, 502, 503, 503, 504)
CONDITIONS = ("5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "retriable-4xx", "refused-stream", "retriable-status-codes",
              "envoy-ratelimited", "retriable-headers", "no-such-condition")
GRPC_CONDITIONS = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")
CONTROL = {"listener": {"use_remote_address": True, "internal_cidrs": ["127.0.0.1/32"]}}


def maybe(r, p, **kw): return kw if r.random() < p else {}
def some(r, xs, least=1, most=3): return r.sample(list(xs), r.randint(least, min(most, len(xs))))


def case(cid, area, config, requests, upstream=None, **kw):
    return {"id": cid, "area": area, "kind": kw.pop("kind", "exact"), "note": "", "config": config, "requests": requests,
            **({"upstream": upstream} if upstream else {}), **kw}


def proxy(routes, clusters, **kw): return {**kw, "virtual_hosts": [VH(routes)], "clusters": clusters}


# ---- parts ------------------------------------------------------------------------------------
def retry(r, conditions=CONDITIONS):
    p = {"on": ",".join(some(r, conditions)), "num_retries": r.choice((0, 1, 1, 2, 3)), "backoff": BACKOFF}
    if "retriable-status-codes" in p["on"]: p["retriable_status_codes"] = some(r, (404, 409, 429, 500, 503, 504))
    if "retriable-headers" in p["on"]: p["retriable_headers"] = [r.choice(({"name": "x-retry", "exact": "yes"}, {"name": "x-retry", "present": True}))]
    if r.random() < 0.15: p["retriable_request_headers"] = [{"name": "x-may", "present": True}]
    if r.random() < 0.3: p["per_try_timeout_ms"] = r.choice(PER_TRY)
    return p


def action(r, slow=True):
    a = {"status": r.choice(STATUS)}
    x = r.random()
    if x < 0.12: a["reset"] = r.choice(("before_headers", "mid_body"))
    elif x < 0.16: a = {"close_before_headers": True}
    elif x < 0.19: a = {"raw": "garbage\r\n\r\n"}
    elif x < 0.26 and slow: a = {"never": True}
    elif x < 0.45 and slow: a["delay_ms"] = r.choice(TIMES)
    elif x < 0.50 and slow: a["body_delay_ms"] = r.choice(TIMES)
    headers = [h for h, p in ((["x-envoy-ratelimited", "true"], 0.1), (["x-retry", "yes"], 0.15), (["x-envoy-overloaded", "true"], 0.05)) if r.random() < p]
    if headers and "status" in a: a["headers"] = headers
    return a


def actions(r, most=4, **kw): return [action(r, **kw) for _ in range(r.randint(1, most))]
def matcher(r, values): k = r.choice(("exact", "prefix", "suffix", "contains", "regex")); v = r.choice(values); return {k: v if k != "regex" else r.choice((v, v + ".*", "[a-z]+", "."))}
def header_matcher(r):
    h = {"name": r.choice(("x-a", "x-b")), **r.choice((lambda: {"present": r.random() < 0.5}, lambda: {"range": {"start": -5, "end": 10}}, lambda: matcher(r, ("one", "two", "on"))))()}
    return {**h, **maybe(r, 0.25, invert=True), **(maybe(r, 0.2, ignore_case=True) if "present" not in h and "range" not in h and "regex" not in h else {}),
            **(maybe(r, 0.2, treat_missing_as_empty=True) if "present" not in h else {})}
def random_headers(r): return [[r.choice(("x-a", "x-b", "X-A")), r.choice(("one", "two", "One", "onetwo", "7", "-5", "10", ""))] for _ in range(r.choice((0, 1, 1, 2)))]
def mutations(r):
    add = lambda: [{"name": r.choice(("x-m", "x-n", "x-a")), "value": r.choice(("r", "v", "%REQ(x-a)%", "%PROTOCOL%", "")), "action": r.choice(("append", "add_if_absent", "overwrite", "overwrite_if_exists"))} for _ in range(r.randint(1, 2))]
    return {**maybe(r, 0.3, request_headers_to_add=add()), **maybe(r, 0.3, response_headers_to_add=add()), **maybe(r, 0.15, request_headers_to_remove=["x-b"]), **maybe(r, 0.1, response_headers_to_remove=["x-up"])}


# ---- areas ------------------------------------------------------------------------------------
def routing(r, cid):
    paths = ("/", "/a", "/a/", "/ab", "/a/b", "/a/b/c", "/A", "/a%2Fb", "//a")
    def match():
        m = r.choice((lambda: {"prefix": r.choice(paths[:6])}, lambda: {"path": r.choice(paths[1:7])}, lambda: {"regex": r.choice(("/a.*", "/a/[^/]+", "/.", ".*b"))},
                      lambda: {"path_separated_prefix": r.choice(("/a", "/a/b"))}, lambda: {"uri_template": r.choice(("/a/*", "/a/{x}", "/**", "/{x}/b"))}))()
        return {**m, **(maybe(r, 0.15, case_sensitive=False) if "regex" not in m and "uri_template" not in m else {}), **maybe(r, 0.25, headers=[header_matcher(r) for _ in range(r.randint(1, 2))]),
                **maybe(r, 0.15, query=[{"name": r.choice(("q", "z")), **r.choice(({"present": True}, {"exact": "1"}, {"prefix": "a"}, {"regex": "[0-9]+"}))}])}
    def act(m):
        x = r.random()
        if x < 0.08: return {"direct_response": {"status": r.choice((200, 204, 404, 503)), "body": "hi"}}, {}
        if x < 0.2:
            d = {**maybe(r, 0.3, https=True), **maybe(r, 0.4, host="other.test"), **maybe(r, 0.2, port=8443), **maybe(r, 0.2, strip_query=True), **maybe(r, 0.5, status=r.choice((301, 302, 303, 307, 308)))}
            d.update(r.choice(({}, {"path": "/new"}, {"prefix_rewrite": "/p"} if "prefix" in m else {}, {"regex_rewrite": {"pattern": "/a", "substitution": "/z"}})))
            return {"redirect": d}, {}
        if x < 0.26: return {"cluster_header": "x-a"}, {}
        if x < 0.3: return {"cluster": "missing", **maybe(r, 0.5, cluster_not_found_status=404)}, {}
        extra = r.choice(({}, {}, {"prefix_rewrite": r.choice(("/", "/p", "/p/"))} if "prefix" in m or "path" in m else {}, {"regex_rewrite": {"pattern": "/(a|b)", "substitution": "/x\\1"}}))
        return to(r.choice("st")), {**extra, **(maybe(r, 0.1, host_rewrite="h.test") or maybe(r, 0.05, host_rewrite_header="x-b")), **maybe(r, 0.1, append_x_forwarded_host=True)}
    def route(i):
        m = match(); a, extra = act(m); return R(f"r{i}", m, a, **extra, **mutations(r))
    domains = some(r, (["svc.test"], ["*.test"], ["svc.*"], ["*"], ["other.test", "svc.test:8080"]), 1, 3)
    vhs = [VH([route(f"{k}{i}") for i in range(r.randint(1, 4))], d, name=f"v{k}", **(maybe(r, 0.06, require_tls=r.choice(("all", "external_only")))), **mutations(r)) for k, d in enumerate(domains)]
    listener = {**maybe(r, 0.3, normalize_path=True), **maybe(r, 0.2, merge_slashes=True), **maybe(r, 0.2, escaped_slashes=r.choice(("reject_request", "unescape_and_redirect", "unescape_and_forward"))), **maybe(r, 0.1, strip_any_host_port=True)}
    seen = {"upstream_headers": ["host", "x-m", "x-n", "x-a", "x-b", "x-forwarded-host", "x-envoy-original-path"], "response_headers": ["location", "x-m", "x-n", "x-a"]}
    q = [Q(r.choice(paths + ("/a?q=1", "/a/b?z=abc&q=x", "/?q=", "/a/../b", "/a/./c", "/a%5cb")), 20 * i, headers=random_headers(r), authority=r.choice(("svc.test", "svc.test", "SVC.test", "x.test", "svc.test:8080", "svc.other", "none")),
           method=r.choice(("GET", "GET", "POST", "HEAD")), observe=seen) for i in range(6)]
    cfg = {**({"listener": listener} if listener else {}), "virtual_hosts": vhs, "clusters": [C("s"), C("t", ("b",))]}
    rc = {**maybe(r, 0.2, ignore_port_in_host_matching=True), **maybe(r, 0.2, most_specific_header_mutations_wins=True), **{k: v for k, v in mutations(r).items()}}
    if rc: cfg["route_config"] = rc
    return case(cid, "routing", cfg, q)


def retries(r, cid):
    host = r.choice(("a", "a", "a", "a", H("a", listen="closed")))
    hs = [["x-may", "1"]] if r.random() < 0.5 else []
    hosts = [host] if r.random() < 0.7 or not isinstance(host, str) else [host, "b"]  # of an open and a closed host the first is chance
    cl = C("s", hosts, **maybe(r, 0.15, circuit_breakers=[{"priority": "default", "max_retries": r.choice((0, 1))}]))
    rt = {"retry": retry(r), "timeout_ms": r.choice((970, 1430))}
    q = [Q(f"/{i}", 2000 * i, headers=hs, method=r.choice(("GET", "POST")), abort_after_ms=1900, observe={"response_headers": ["x-envoy-attempt-count"]}) for i in range(2)]
    return case(cid, "retries", proxy([R("r", "/", **rt)], [cl]), q, {"default": actions(r)}, **({"hosts_mode": "rotation"} if len(hosts) > 1 else {}))


def timeouts(r, cid):
    rt = {**maybe(r, 0.7, timeout_ms=r.choice(ROUTE)), **maybe(r, 0.25, idle_timeout_ms=r.choice(IDLE)), **maybe(r, 0.2, max_stream_duration={"max_ms": r.choice(DURATION)})}
    if r.random() < 0.5: rt["retry"] = {**retry(r), **maybe(r, 0.6, per_try_timeout_ms=r.choice(PER_TRY)), **maybe(r, 0.15, per_try_idle_timeout_ms=r.choice((120, 210)))}
    if "retry" in rt and r.random() < 0.2: rt["hedge_on_per_try_timeout"] = True
    listener = {**maybe(r, 0.1, stream_idle_timeout_ms=r.choice((310, 510))), **maybe(r, 0.1, request_timeout_ms=r.choice((110, 250))), **maybe(r, 0.1, max_stream_duration_ms=r.choice((370, 750)))}
    up = [{**({"status": 200} if r.random() < 0.8 else {"status": 503}), **r.choice(({"delay_ms": r.choice(TIMES)}, {"delay_ms": r.choice(TIMES)}, {"never": True}, {"body_delay_ms": r.choice(TIMES)}, {"stall_after_headers": True}, {}))} for _ in range(r.randint(1, 3))]
    q = Q("/", method="POST", abort_after_ms=r.choice((320, 1900, 1900, 1900)), **r.choice(({}, {}, {"body_bytes": 5}, {"body_chunks": [[r.choice((60, 135)), 4], [r.choice((60, 310)), 4]]})))
    cl = C("s", (r.choice(("a", "a", "a", H("a", listen="blackhole"))),), connect_timeout_ms=r.choice((180, 1000)), **maybe(r, 0.1, max_stream_duration_ms=r.choice((350, 600))))
    return case(cid, "timeouts", proxy([R("r", "/", **rt)], [cl], **({"listener": listener} if listener else {})), [q], {"default": up})


def circuit_breaking(r, cid):
    cb = {"priority": "default", **maybe(r, 0.5, max_requests=r.randint(0, 3)), **maybe(r, 0.4, max_connections=r.randint(0, 2)), **maybe(r, 0.4, max_pending_requests=r.randint(0, 2)), **maybe(r, 0.4, max_retries=r.randint(0, 2))}
    if r.random() < 0.2: cb.pop("max_retries", None); cb["retry_budget"] = {"budget_percent": r.choice((20, 50, 100)), "min_retry_concurrency": r.choice((0, 1))}
    rt = {"timeout_ms": 1430, **maybe(r, 0.6, retry={"on": r.choice(("5xx", "5xx,reset,connect-failure", "gateway-error")), "num_retries": r.randint(1, 2), "backoff": BACKOFF})}
    up = [{"status": r.choice((200, 503)), "delay_ms": r.choice((250, 410))}, {"status": 200, "delay_ms": r.choice((0, 250))}]
    q = [Q(f"/{i}", 40 * i, abort_after_ms=1900, observe={"response_headers": ["x-envoy-overloaded"]}) for i in range(r.randint(3, 5))]
    return case(cid, "circuit_breaking", proxy([R("r", "/", **rt)], [C("s", circuit_breakers=[cb], **maybe(r, 0.25, protocol="http2"))]), q, {"default": up})


def outlier(r, cid):
    n = r.randint(1, 2)  # of more, which one is next after an ejection hangs on where round robin started
    od = {"interval_ms": 10000, "base_ejection_time_ms": 10000, "consecutive_5xx": r.randint(2, 4), **maybe(r, 0.4, consecutive_gateway_failure=r.randint(1, 3), enforcing_consecutive_gateway_failure_percent=r.choice((0, 100))),
          **maybe(r, 0.7, max_ejection_percent=r.choice((34, 50, 100))), **maybe(r, 0.3, always_eject_one_host=True), **maybe(r, 0.2, enforcing_consecutive_5xx_percent=r.choice((0, 100))), **maybe(r, 0.2, split_external_local_origin_errors=True, consecutive_local_origin_failure=2)}
    m = r.randint(8, 16)
    up = {str(i): [{"status": r.choice((200, 404, 500, 503, 503, 503))} if r.random() < 0.9 else {"reset": "before_headers"}] for i in range(m)}
    cl = C("s", "ab"[:n], outlier_detection=od, **maybe(r, 0.4, update_merge_window_ms=0), **maybe(r, 0.4, panic_threshold_percent=0))
    return case(cid, "outlier", proxy([R("r", "/")], [cl]), [Q(f"/{i}", 25 * i) for i in range(m)], {"by_request": up}, **({"hosts_mode": "rotation", "anonymous_hosts": True} if n > 1 else {}))


def fault(r, cid):
    f = {"type": "fault", **maybe(r, 0.6, delay={"fixed_ms": r.choice(TIMES[:2]), "percent": r.choice((0, 100, 100))} if r.random() < 0.6 else {"header": True}),
         **maybe(r, 0.6, abort=r.choice(({"http_status": r.choice((400, 418, 503)), "percent": r.choice((0, 100, 100))}, {"grpc_status": 14}, {"header": True}))), **maybe(r, 0.3, headers=[header_matcher(r)]), **maybe(r, 0.2, max_active_faults=r.randint(0, 2)), **maybe(r, 0.1, upstream_cluster="s")}
    rt = {"timeout_ms": r.choice((410, 970)), **maybe(r, 0.4, retry=retry(r)), **maybe(r, 0.15, fault={"abort": {"http_status": 477}})}
    hs = lambda: [h for h, p in ((["x-envoy-fault-delay-request", "150"], 0.4), (["x-envoy-fault-abort-request", "455"], 0.4), (["content-type", "application/grpc"], 0.15)) if r.random() < p] + random_headers(r)
    q = [Q(f"/{i}", 60 * i, headers=hs(), abort_after_ms=1900, observe={"response_headers": ["grpc-status", "grpc-message"]}) for i in range(3)]
    return case(cid, "fault", proxy([R("r", "/", r.choice(("s", "s", "missing")), **rt)], [C("s")], filters=[f]), q, {"default": [{"status": r.choice((200, 503))}]})


def local_rate_limit(r, cid):
    bucket = lambda: {"max_tokens": r.randint(1, 3), "tokens_per_fill": r.randint(1, 2), "fill_interval_ms": r.choice((500, 1000, 60000))}
    f = {"type": "local_rate_limit", "bucket": bucket(), **maybe(r, 0.3, status=r.choice((200, 403, 503))), **maybe(r, 0.2, enforced_percent=0), **maybe(r, 0.15, enabled_percent=0), **maybe(r, 0.3, response_headers_to_add=[{"name": "x-local", "value": "1"}]), **maybe(r, 0.3, x_ratelimit_headers=True)}
    rt = {**maybe(r, 0.25, local_rate_limit={"bucket": bucket()})}
    if r.random() < 0.3: f["descriptors"] = [{"entries": [["k", "one"]], "bucket": bucket()}]; rt["rate_limit_actions"] = [[{"header": "x-a", "key": "k"}]]
    if r.random() < 0.2: rt["retry"] = {"on": "5xx", "num_retries": 1, "backoff": BACKOFF}
    q = [Q(f"/{i}", t, headers=[["x-a", r.choice(("one", "two"))]], observe={"response_headers": ["x-local", "x-ratelimit-limit", "x-ratelimit-remaining", "x-envoy-ratelimited"]}) for i, t in enumerate(sorted(r.sample(range(0, 1900, 140), 7)))]
    return case(cid, "local_rate_limit", proxy([R("r", "/", **rt)], [C("s")], filters=[f]), q, {"default": [{"status": r.choice((200, 503))}]})


def authz(r, cid):
    def perm(d=0):
        x = r.choice(("any", "path", "method", "host", "header", "all_of", "any_of", "not") if d < 2 else ("path", "method", "header"))
        return {x: {"any": lambda: True, "path": lambda: matcher(r, ("/a", "/b", "/a/b")), "method": lambda: r.choice(("GET", "POST")), "host": lambda: matcher(r, ("svc.test", "SVC.test", "test")), "header": lambda: header_matcher(r),
                    "all_of": lambda: [perm(d + 1) for _ in range(2)], "any_of": lambda: [perm(d + 1) for _ in range(2)], "not": lambda: perm(d + 1)}[x]()}
    def princ(d=0):
        x = r.choice(("any", "header", "direct_remote_ip", "remote_ip", "authenticated", "all_of", "any_of", "not") if d < 2 else ("header", "remote_ip"))
        return {x: {"any": lambda: True, "header": lambda: header_matcher(r), "direct_remote_ip": lambda: r.choice(("127.0.0.0/8", "10.0.0.0/8")), "remote_ip": lambda: r.choice(("127.0.0.1/32", "10.0.0.0/8", "0.0.0.0/0")), "authenticated": lambda: {"exact": "x"},
                    "all_of": lambda: [princ(d + 1) for _ in range(2)], "any_of": lambda: [princ(d + 1) for _ in range(2)], "not": lambda: princ(d + 1)}[x]()}
    rules = lambda: {"action": r.choice(("allow", "deny")), "policies": {n: {"permissions": [perm() for _ in range(r.randint(1, 2))], "principals": [princ() for _ in range(r.randint(1, 2))]} for n in r.sample("pqz", r.randint(0, 2))}}
    f = [{"type": "rbac", "rules": rules(), **maybe(r, 0.2, shadow_rules=rules())} for _ in range(r.choice((1, 1, 2)))]
    rt = r.choice(({}, {}, {}, {"rbac": {}}, {"rbac": {"rules": rules()}}))
    q = [Q(r.choice(("/a", "/a/b", "/b?x=/a", "/A", "/")), 20 * i, method=r.choice(("GET", "POST")), authority=r.choice(("svc.test", "SVC.test", "svc.test:80")), headers=random_headers(r) + (r.choice(([], [["x-forwarded-for", "10.1.2.3"]], [["x-forwarded-for", "8.8.8.8, 10.0.0.1"]]))), observe={"body": True}) for i in range(6)]
    listener = {**maybe(r, 0.3, use_remote_address=True), **maybe(r, 0.2, normalize_path=True)}
    return case(cid, "authz", proxy([R("r", "/a", **rt), R("all", "/")], [C("s")], filters=f, **({"listener": listener} if listener else {})), q)


def header_overrides(r, cid):
    choices = (["x-envoy-upstream-rq-timeout-ms", r.choice(("100", "230", "0", "abc"))], ["x-envoy-upstream-rq-per-try-timeout-ms", r.choice(("90", "190"))], ["x-envoy-max-retries", r.choice(("0", "1", "3", "x"))], ["x-envoy-retry-on", r.choice(("5xx", "gateway-error", "reset", "retriable-4xx", "bogus"))],
               ["x-envoy-retriable-status-codes", r.choice(("404", "409,429", "x"))], ["x-envoy-upstream-rq-timeout-alt-response", "1"], ["x-envoy-expected-rq-timeout-ms", "270"], ["x-envoy-hedge-on-per-try-timeout", "true"], ["x-envoy-retry-grpc-on", "unavailable"])
    rt = {"timeout_ms": r.choice((410, 640)), **maybe(r, 0.4, retry=retry(r))}
    listener = {**(CONTROL["listener"] if r.random() < 0.8 else {}), **maybe(r, 0.2, respect_expected_rq_timeout=True), **maybe(r, 0.15, suppress_envoy_headers=True)}
    up = [r.choice(({"status": r.choice((404, 409, 429, 503))}, {"status": 200, "delay_ms": r.choice(TIMES)}, {"status": 503, "delay_ms": 120}, {"status": 200})) for _ in range(r.randint(1, 3))]
    timeout_header = ["x-envoy-expected-rq-timeout-ms"] if len(up) == 1 and "retry" not in rt else []  # what is left of a timeout differs by a millisecond
    q = [Q(f"/{i}", 1500 * i, headers=some(r, choices, 1, 4), abort_after_ms=1400, observe={"upstream_headers": timeout_header + ["x-envoy-max-retries", "x-envoy-retry-on", "x-envoy-attempt-count", "x-envoy-internal"]}) for i in range(2)]
    return case(cid, "header_overrides", proxy([R("r", "/", **rt)], [C("s")], **({"listener": listener} if listener else {})), q, {"default": up})


def two_hop(r, cid):
    b_filters = r.choice(([], [], [{"type": "fault", "abort": {"http_status": r.choice((429, 503))}}], [{"type": "local_rate_limit", "bucket": {"max_tokens": 1, "fill_interval_ms": 60000}}], [{"type": "rbac", "rules": {"action": "deny", "policies": {"all": {"permissions": [{"any": True}], "principals": [{"any": True}]}}}}]))
    a = R("out", "/", "b", timeout_ms=r.choice((970, 1430)), **maybe(r, 0.7, retry=retry(r)))
    b = R("in", "/", "app", **maybe(r, 0.5, timeout_ms=r.choice((240, 680))), **maybe(r, 0.5, retry=retry(r)))
    app = C("app", (r.choice(("app", "app", "app", H("app", listen="closed"))),), **maybe(r, 0.2, circuit_breakers=[{"priority": "default", "max_requests": r.choice((0, 1))}]))
    hop = C("b", [H("b", proxy="b")], **maybe(r, 0.3, protocol="http2"))
    q = [Q(f"/{i}", 2600 * i, abort_after_ms=r.choice((320, 2500, 2500)), observe={"response_headers": ["x-envoy-overloaded", "x-envoy-ratelimited"]}) for i in range(r.randint(1, 2))]
    return case(cid, "two_hop", proxy([a], [hop], proxies={"b": proxy([b], [app], **({"filters": b_filters} if b_filters else {}))}), q, {"default": actions(r, 3)})


def tls(r, cid):
    san = {n: f"spiffe://cluster.local/ns/{n}" for n in ("shop/sa/cart", "front/sa/web", "pay/sa/pay")}
    ident = lambda s: {"ca": r.choice(("mesh", "mesh", "mesh", "other")), "uri_sans": [san[s]], **maybe(r, 0.3, dns_sans=["x.test"]), **maybe(r, 0.15, validity=r.choice(("expired", "not_yet_valid")))}
    versions = lambda: r.choice(({}, {}, {"min_version": "1.2", "max_version": "1.2"}, {"min_version": "1.2", "max_version": "1.3"}, {"min_version": "1.3", "max_version": "1.3"}))
    mode = r.choice(("strict", "strict", "permissive", "simple", "plaintext"))
    server = {"mode": mode} if mode == "plaintext" else {"mode": mode, "identity": "server", **maybe(r, 0.85, trusted_ca="mesh"), **versions(), **maybe(r, 0.2, client_sans=[{"prefix": "spiffe://cluster.local/ns/front/"}]), **maybe(r, 0.3, forward_client_cert=r.choice(("sanitize", "sanitize_set", "append_forward", "forward_only", "always_forward_only")))}
    if server.get("client_sans") and "trusted_ca" not in server: del server["client_sans"]
    hop = C("b", [H("b", proxy="b")])
    if r.random() < 0.85: hop["tls"] = {**maybe(r, 0.8, identity="client"), **maybe(r, 0.8, trusted_ca="mesh"), **versions(), **maybe(r, 0.2, server_sans=[{"exact": r.choice((san["shop/sa/cart"], san["pay/sa/pay"]))}])}
    rules = lambda: {"action": r.choice(("allow", "deny")), "policies": {"p": {"permissions": [{"any": True}], "principals": [{"authenticated": r.choice(({"exact": san["front/sa/web"]}, {"prefix": "spiffe://cluster.local/ns/front/"}, {"exact": san["pay/sa/pay"]}, {}))}]}}}
    a = R("out", "/", "b", **maybe(r, 0.4, retry={"on": r.choice(("5xx", "connect-failure", "reset", "reset-before-request")), "num_retries": 1, "backoff": BACKOFF}))
    b = proxy([R("in", "/", "app")], [C("app", ("a",))], listener={"tls": server}, **maybe(r, 0.4, filters=[{"type": "rbac", "rules": rules()}]))
    return case(cid, "tls", {**proxy([a], [hop], proxies={"b": b}), "identities": {"server": ident("shop/sa/cart"), "client": ident("front/sa/web")}}, [Q("/", observe={"upstream_headers": ["x-forwarded-client-cert"]})])


def h2_action(r, grpc=False):
    x = r.random()
    if x < 0.15: return {"rst_stream": r.choice(("refused_stream", "cancel", "internal_error", "protocol_error", "enhance_your_calm")), "status": 200, **({"rst_after": r.choice(("headers", "body"))} if r.random() < 0.3 else {})}
    if x < 0.22: return {"reset": r.choice(("before_headers", "mid_body"))}
    if x < 0.28: return {"never": True, "goaway_on_request": {"last_stream": r.choice(("previous", "zero"))}}
    if x < 0.35: return {"status": 200, "goaway": {"last_stream": r.choice(("this", "max"))}}
    if grpc:
        st = str(r.choice((0, 0, 1, 2, 4, 7, 8, 13, 14)))
        if x < 0.65: return {"status": 200, "headers": [["content-type", "application/grpc"], ["grpc-status", st]], "trailers_only": True}
        if x < 0.72: return {"status": r.choice((429, 503)), "headers": [["content-type", "application/grpc"]]}
        return {"status": 200, "headers": [["content-type", "application/grpc"]], "grpc_messages": r.randint(1, 2), "trailers": [["grpc-status", st]], **maybe(r, 0.3, delay_ms=r.choice(TIMES))}
    return {"status": r.choice(STATUS), **maybe(r, 0.3, delay_ms=r.choice(TIMES))}


def http2(r, cid):
    cl = C("s", protocol="http2", **maybe(r, 0.2, http2={"max_concurrent_streams": r.randint(1, 2)}), **maybe(r, 0.15, max_requests_per_connection=r.randint(1, 2)), **maybe(r, 0.2, circuit_breakers=[{"priority": "default", **maybe(r, 0.5, max_requests=r.randint(1, 2)), **maybe(r, 0.5, max_connections=1)}]))
    rt = {"timeout_ms": r.choice((970, 1430)), **maybe(r, 0.7, retry=retry(r))}
    q = [Q(f"/{i}", (60 if r.random() < 0.5 else 1500) * i, abort_after_ms=1900, **maybe(r, 0.4, protocol="http2")) for i in range(r.randint(1, 3))]
    up = {"default": [h2_action(r) for _ in range(r.randint(1, 3))], **maybe(r, 0.15, http2={"max_concurrent_streams": 1})}
    return case(cid, "http2", proxy([R("r", "/", **rt)], [cl]), q, up)


def grpc(r, cid):
    rt = {"timeout_ms": r.choice((410, 970)), **maybe(r, 0.7, retry={**retry(r, GRPC_CONDITIONS + ("5xx", "reset")), **{}}), **maybe(r, 0.3, max_stream_duration={"grpc_timeout_header_max_ms": r.choice((0, 280, 700))})}
    hs = [["content-type", "application/grpc"]] + (r.choice(([], [], [["grpc-timeout", r.choice(("110m", "250m", "1S"))]])))
    obs = {"response_headers": ["grpc-status"], "response_trailers": ["grpc-status"], "body_size": True}
    filters = r.choice(([], [], [], [{"type": "rbac", "rules": {"action": "deny", "policies": {"d": {"permissions": [{"path": {"prefix": "/no"}}], "principals": [{"any": True}]}}}}]))
    q = [Q(r.choice(("/svc/M", "/svc/M", "/no")), 1500 * i, headers=hs, method="POST", protocol="http2", grpc_messages=1, abort_after_ms=1400, observe=obs) for i in range(2)]
    return case(cid, "grpc", proxy([R("r", "/", r.choice(("s", "s", "s", "missing")), **rt)], [C("s", protocol="http2")], **({"filters": filters} if filters else {})), q, {"default": [h2_action(r, True) for _ in range(r.randint(1, 3))]})


def jwt(r, cid):
    prov = lambda n: {"issuer": n + ".test", "audiences": some(r, ("aud1", "https://aud2.test/"), 0, 2), "keys": r.choice((["right"], ["right", "other"])), "forward": r.random() < 0.5, **maybe(r, 0.2, clock_skew_s=r.choice((1, 300))), **maybe(r, 0.2, require_expiration=True), **maybe(r, 0.25, from_headers=[{"name": "x-token", **maybe(r, 0.5, prefix="T ")}]), **maybe(r, 0.2, from_params=["tok"]), **maybe(r, 0.15, from_cookies=["ck"])}
    req = lambda d=0: r.choice((lambda: {"provider": "p"}, lambda: {"provider": "p"}, lambda: {"provider": "q"}, lambda: {"provider": "p", "audiences": ["aud3"]}, *(() if d else (lambda: {"any_of": [req(1), r.choice((req(1), {"allow_missing": True}, {"allow_missing_or_failed": True}))]}, lambda: {"all_of": [req(1), req(1)]}, lambda: {"allow_missing": True}, lambda: {"allow_missing_or_failed": True}))))()
    f = {"type": "jwt", "providers": {"p": prov("p"), "q": prov("q")}, "rules": [{"match": {"prefix": "/a"}, "requires": req()}, {"match": {"prefix": "/open"}}]}
    tok = lambda: {"issuer": r.choice(("p.test", "p.test", "q.test", "z.test")), "subject": "u", "audience": r.choice(("aud1", "aud2.test", "aud3", ["aud1", "x"])), "signed_by": r.choice(("right", "right", "right", "other", "third")), **maybe(r, 0.8, exp_offset_s=r.choice((600, 600, -10, -100))), **maybe(r, 0.15, nbf_offset_s=r.choice((30, 200))), **maybe(r, 0.08, tampered=True), **maybe(r, 0.08, algorithm=r.choice(("none", "HS256"))), **maybe(r, 0.4, **{"in": r.choice(({"header": "x-token", "prefix": "T "}, {"header": "x-token"}, {"header": "authorization", "prefix": "bearer "}, {"param": "tok"}, {"param": "access_token"}, {"cookie": "ck"}))})}
    q = [Q(r.choice(("/a", "/a", "/a/b", "/A", "/open")), 30 * i, **maybe(r, 0.85, token=tok()), observe={"response_headers": ["www-authenticate"], "body": True, "upstream_headers": ["authorization", "x-token"]}) for i in range(4)]
    return case(cid, "jwt", proxy([R("r", "/")], [C("s")], filters=[f]), q)


def lb(r, cid):
    prios = r.randint(1, 2)
    hosts = [H(f"{chr(97 + i)}{p}", **({"priority": p} if p else {}), **maybe(r, 0.35, health=r.choice(("unhealthy", "degraded"))), **maybe(r, 0.2, weight=r.randint(1, 4))) for p in range(prios) for i in range(r.randint(1, 3))]
    cl = C("s", hosts, lb_policy=r.choice(("round_robin", "random", "least_request")), **maybe(r, 0.3, panic_threshold_percent=r.choice((0, 30, 90))), **maybe(r, 0.2, overprovisioning_factor=r.choice((100, 200))), **maybe(r, 0.1, fail_traffic_on_panic=True))
    return case(cid, "lb", proxy([R("r", "/")], [cl]), [Q("/", repeat=1500, concurrency=4)], kind="distribution")


AREAS = {f.__name__: f for f in (routing, retries, timeouts, circuit_breaking, outlier, fault, local_rate_limit, authz, header_overrides, two_hop, tls, http2, grpc, jwt, lb)}


def cases(seed, n, areas=None):
    """n cases, the generators in turn; `areas` chooses among them by name"""
    from generate_more import MORE
    all_of = {**AREAS, **MORE}
    names = [n for n in all_of if not areas or n in areas]
    out = []
    for i in range(n):
        a = names[i % len(names)]
        out.append(all_of[a](random.Random(f"{seed}/{i}"), f"fresh/{seed}-{i}-{a}"))
    return out


if __name__ == "__main__":
    import json, sys
    print(json.dumps(cases(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or None), indent=1))
