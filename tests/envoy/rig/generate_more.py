"""More fresh cases from a seed: the parts of the schema that generate.py leaves out. Same form, same rules about ties."""
from dsl import H, C, R, VH, Q, to
from generate import BACKOFF, CONDITIONS, CONTROL, GRPC_CONDITIONS, ROUTE, PER_TRY, TIMES, action, actions, case, header_matcher, matcher, maybe, mutations, proxy, random_headers, retry, some


def retry_extras(r, cid):
    """virtual host policies, rate-limited back-off, previous hosts, priorities, internal redirects, attempt counts"""
    p = retry(r)
    if r.random() < 0.3: p["rate_limited_backoff"] = {"reset_headers": [{"name": "retry-after", "format": "seconds"}], "max_ms": r.choice((400, 5000))}
    hosts, mode = ["a"], {}
    x = r.random()
    if x < 0.25: hosts, mode = ["a", "b"], {"hosts_mode": "rotation"}; p.update(host_predicates=["previous_hosts"], host_selection_max_attempts=r.choice((3, 5)))
    elif x < 0.45: hosts = ["a", H("b", priority=1)]; p.update(priority_previous_frequency=r.choice((1, 2)))
    route = {"timeout_ms": r.choice((1930, 2430)), **maybe(r, 0.3, internal_redirect={"max": r.randint(1, 2), **maybe(r, 0.5, codes=[302, 307])}), **maybe(r, 0.15, priority="high")}
    vh = {**maybe(r, 0.4, include_request_attempt_count=True), **maybe(r, 0.4, include_attempt_count_in_response=True)}
    if r.random() < 0.5: route["retry"] = p
    else: vh["retry"] = p
    if r.random() < 0.2: route["retry"] = retry(r)
    up = actions(r)
    for a in up:
        if "status" in a and r.random() < 0.25: a.update(status=r.choice((301, 302, 307, 303)), headers=[["location", r.choice(("http://svc.test/next", "/next", "http://other.test/x", "https://svc.test/x", "http://svc.test/r?q=1"))]])
        elif "status" in a and r.random() < 0.3: a["headers"] = a.get("headers", []) + [["retry-after", r.choice(("0", "1", "x", "9"))]]
    obs = {"upstream_headers": ["x-envoy-attempt-count", "x-envoy-original-url", "host"], "response_headers": ["x-envoy-attempt-count", "location"]}
    q = [Q(f"/{i}", 3000 * i, method=r.choice(("GET", "POST")), **maybe(r, 0.3, body_bytes=5), abort_after_ms=2900, observe=obs) for i in range(2)]
    cfg = {"virtual_hosts": [VH([R("n", "/next", timeout_ms=970), R("r", "/", **route)], ["svc.test", "other.test"] if r.random() < 0.5 else ["*"], **vh)], "clusters": [C("s", hosts)]}
    return case(cid, "retries", cfg, q, {"default": up}, **mode)


def timeout_extras(r, cid):
    """limits from request headers and gRPC, several limits at once, over both protocols"""
    rt = {**maybe(r, 0.5, timeout_ms=r.choice(ROUTE)), **maybe(r, 0.6, max_stream_duration={**maybe(r, 0.5, max_ms=r.choice((280, 450))), **maybe(r, 0.7, grpc_timeout_header_max_ms=r.choice((0, 340, 900))), **maybe(r, 0.3, grpc_timeout_header_offset_ms=r.choice((50, 500)))})}
    if r.random() < 0.5: rt["retry"] = {"on": r.choice(("5xx", "gateway-error", "5xx,reset", "cancelled,deadline-exceeded")), "num_retries": r.randint(1, 2), "backoff": BACKOFF, **maybe(r, 0.5, per_try_timeout_ms=r.choice(PER_TRY))}
    hs = [h for h, p in ((["grpc-timeout", r.choice(("110m", "1S", "250m", "0m", "x", "370000u"))], 0.6), (["content-type", "application/grpc"], 0.3), (["x-envoy-upstream-rq-timeout-ms", r.choice(("150", "0", "520"))], 0.4), (["x-envoy-upstream-rq-per-try-timeout-ms", r.choice(("100", "0", "900"))], 0.3)) if r.random() < p]
    up = [r.choice(({"delay_ms": r.choice(TIMES), "status": r.choice((200, 503))}, {"never": True}, {"status": 200, "body_delay_ms": r.choice(TIMES)}, {"status": 503})) for _ in range(r.randint(1, 2))]
    q = Q("/", method="POST", headers=hs, abort_after_ms=1900, **maybe(r, 0.3, protocol="http2"), **maybe(r, 0.3, body_bytes=4), observe={"response_headers": ["grpc-status", "grpc-message"], "body": True})
    return case(cid, "timeouts", proxy([R("r", "/", **rt)], [C("s", **maybe(r, 0.3, protocol="http2"))], **(CONTROL if r.random() < 0.7 else {})), [q], {"default": up})


def circuit_extras(r, cid):
    """two routing priorities, kept connections, slow requests, queues"""
    cb = [{"priority": p, **maybe(r, 0.5, max_requests=r.randint(1, 2)), **maybe(r, 0.5, max_connections=r.randint(1, 2)), **maybe(r, 0.5, max_pending_requests=r.randint(1, 2)), **maybe(r, 0.3, max_retries=r.randint(0, 1))} for p in ("default", "high")]
    if r.random() < 0.2: cb.append({"priority": "default", "per_host": True, "max_connections": 1})
    rt = {"timeout_ms": 1430, **maybe(r, 0.5, retry={"on": "5xx,reset", "num_retries": 1, "backoff": BACKOFF})}
    n = r.randint(4, 6)
    q = [Q(r.choice(("/h", "/d")) + str(i), 35 * i, abort_after_ms=r.choice((150, 1900, 1900)), **maybe(r, 0.2, body_chunks=[[r.choice((60, 120)), 4]], method="POST"), observe={"response_headers": ["x-envoy-overloaded"]}) for i in range(n)]
    hosts, mode = (["a"], {}) if r.random() < 0.7 else (["a", "b"], {"hosts_mode": "rotation"})
    up = [{"status": r.choice((200, 503)), "delay_ms": r.choice((250, 410))}, {"status": 200, "delay_ms": r.choice((0, 250))}]
    cl = C("s", hosts, circuit_breakers=cb, **maybe(r, 0.3, protocol="http2"), **maybe(r, 0.2, max_requests_per_connection=1), **maybe(r, 0.2, idle_timeout_ms=170))
    return case(cid, "circuit_breaking", proxy([R("h", "/h", priority="high", **rt), R("d", "/", **rt)], [cl]), q, {"default": up}, **mode)


def outlier_extras(r, cid):
    """ejections that end, between bursts of requests; local origin failures; retries past an ejected host

    The last burst succeeds, or the last ejection stays, so that the gauge at the end is no matter of when it is read."""
    host = r.choice(("a", "a", H("a", listen="closed")))
    od = {"interval_ms": 200, "base_ejection_time_ms": r.choice((100, 200)) if host == "a" else 10000, "consecutive_5xx": r.randint(1, 3), "max_ejection_percent": 100, **maybe(r, 0.3, split_external_local_origin_errors=True, consecutive_local_origin_failure=r.randint(1, 2)), **(maybe(r, 0.3, max_ejection_time_ms=500) if host == "a" else {})}
    up = {str(i): [{"status": r.choice((200, 503, 503)) if i < 8 else 200}] for i in range(12)}
    cl = C("s", [host], outlier_detection=od, panic_threshold_percent=r.choice((0, 0, 50)), **maybe(r, 0.6, update_merge_window_ms=0))
    return case(cid, "outlier", proxy([R("r", "/", **maybe(r, 0.3, retry={"on": "5xx", "num_retries": 1, "backoff": BACKOFF}))], [cl]), [Q(f"/{i}", 1700 * (i // 4) + 20 * (i % 4)) for i in range(12)], {"by_request": up})


def fault_extras(r, cid):
    """percentages lowered by headers, several filters, overrides on the virtual host"""
    kinds = lambda: {"type": "fault", **maybe(r, 0.6, delay={"header": True, "percent": r.choice((0, 100))}), **maybe(r, 0.7, abort=r.choice(({"header": True, "percent": r.choice((0, 100))}, {"http_status": 503}))), **maybe(r, 0.3, max_active_faults=r.randint(0, 1))}
    filters = [kinds() for _ in range(r.choice((1, 1, 2)))]
    hs = lambda: [h for h, p in ((["x-envoy-fault-delay-request", r.choice(("150", "0", "x"))], 0.5), (["x-envoy-fault-abort-request", r.choice(("455", "99", "600", "200"))], 0.5), (["x-envoy-fault-abort-grpc-request", "5"], 0.3), (["x-envoy-fault-delay-request-percentage", r.choice(("0", "100"))], 0.3), (["x-envoy-fault-abort-request-percentage", r.choice(("0", "100", "x"))], 0.3), (["content-type", "application/grpc"], 0.2)) if r.random() < p]
    vh = maybe(r, 0.25, fault={"delay": {"fixed_ms": 150}})
    routes = [R("d", "/d", {"direct_response": {"status": 200, "body": "d"}}), R("r", "/", **maybe(r, 0.2, fault={"abort": {"http_status": 477}}))]
    q = [Q(r.choice(("/", "/d", "/")), 60 * i, headers=hs(), abort_after_ms=r.choice((80, 1900, 1900)), observe={"response_headers": ["grpc-status"], "body": True}) for i in range(4)]
    return case(cid, "fault", {"filters": filters, "virtual_hosts": [VH(routes, **vh)], "clusters": [C("s")]}, q, {"default": [{"status": r.choice((200, 503))}]})


def rate_extras(r, cid):
    """several descriptors, buckets per connection, overrides"""
    bucket = lambda: {"max_tokens": r.randint(1, 4), "tokens_per_fill": r.randint(1, 2), "fill_interval_ms": r.choice((500, 60000))}
    f = {"type": "local_rate_limit", "bucket": bucket(), "x_ratelimit_headers": r.random() < 0.7, **maybe(r, 0.3, per_connection=True), **maybe(r, 0.3, response_headers_to_add=[{"name": "x-local", "value": "%REQ(x-a)%"}])}
    if r.random() < 0.8: f["descriptors"] = [{"entries": e, "bucket": bucket()} for e in some(r, ([["k", "one"]], [["k", "two"]], [["g", "v"]], [["k", "one"], ["g", "v"]]), 1, 3)]
    k, g = {"header": "x-a", "key": "k"}, {"key": "g", "value": "v"}
    rt = {"rate_limit_actions": some(r, ([k], [g], [k, g]), 1, 3), **maybe(r, 0.2, local_rate_limit={"bucket": bucket(), "x_ratelimit_headers": True})}
    obs = {"response_headers": ["x-local", "x-ratelimit-limit", "x-ratelimit-remaining", "content-type"], "body": True}
    q = [Q(f"/{i}", t, headers=[["x-a", r.choice(("one", "two", "six"))]] + ([["content-type", "application/grpc"]] if r.random() < 0.1 else []), **maybe(r, 0.6, connection=r.choice("xy")), observe=obs) for i, t in enumerate(sorted(r.sample(range(0, 1900, 140), 8)))]
    return case(cid, "local_rate_limit", proxy([R("r", "/", **rt)], [C("s")], filters=[f]), q)


def routing_extras(r, cid):
    """mirrors, weights of one cluster, headers of gRPC, direct answers, addresses of clients"""
    routes = []
    for i in range(r.randint(2, 4)):
        m = {"prefix": r.choice(("/", "/a", "/a/b", "/b")), **maybe(r, 0.2, grpc=True), **maybe(r, 0.3, headers=[header_matcher(r)]), **maybe(r, 0.1, headers=[{"name": r.choice((":method", ":authority", ":path", "x-forwarded-proto", "x-envoy-internal", "x-forwarded-for")), **matcher(r, ("GET", "svc.test", "/a", "http", "true", "10.1.2.3"))}])}
        a = r.choice((to("s"), to("t"), {"weighted": [{"cluster": "s", "weight": w, "request_headers_to_add": [{"name": "x-w", "value": "s"}]} for w in (0, 5)]}, {"direct_response": {"status": r.choice((200, 201, 302, 418)), "body": r.choice(("", "hello"))}}, {"redirect": {"path": "/p"}}))
        extra = maybe(r, 0.2, mirror=[{"cluster": "t", "percent": r.choice((0, 100))}]) if a == to("s") else {}
        routes.append(R(f"r{i}", m, a, **extra, **mutations(r)))
    listener = {**maybe(r, 0.5, use_remote_address=True), **maybe(r, 0.5, internal_cidrs=[r.choice(("127.0.0.1/32", "10.0.0.0/8"))]), **maybe(r, 0.1, suppress_envoy_headers=True)}
    obs = {"upstream_headers": ["x-w", "x-m", "x-a", "x-forwarded-for", "x-envoy-internal", "x-envoy-external-address", "x-forwarded-proto"], "response_headers": ["location", "x-m", "x-n", "content-type", "grpc-status"], "body": True}
    hs = lambda: random_headers(r) + r.choice(([], [], [["content-type", r.choice(("application/grpc", "application/grpc+proto", "application/grpc-web"))]])) + r.choice(([], [["x-forwarded-for", r.choice(("10.1.2.3", "8.8.8.8, 10.0.0.1", "junk", "::1"))]])) + r.choice(([], [], [["x-forwarded-proto", r.choice(("https", "http"))]]))
    q = [Q(r.choice(("/", "/a", "/a/b?x=1", "/b", "/abc")), 25 * i, headers=hs(), method=r.choice(("GET", "HEAD", "POST", "DELETE")), **maybe(r, 0.15, protocol="http2"), observe=obs) for i in range(6)]
    return case(cid, "routing", {**({"listener": listener} if listener else {}), "virtual_hosts": [VH(routes, **maybe(r, 0.1, require_tls=r.choice(("all", "external_only"))))], "clusters": [C("s"), C("t", ("b",))]}, q)


def header_extras(r, cid):
    """strict checks, attempt counts, hedging and retriable headers asked for by the client"""
    names = ("x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-max-retries", "x-envoy-retry-on", "x-envoy-retry-grpc-on")
    listener = {**CONTROL["listener"], **maybe(r, 0.5, strict_check_headers=some(r, names, 1, 3))}
    hs = lambda: some(r, (["x-envoy-upstream-rq-timeout-ms", r.choice(("150", "x", "-1", "1.5"))], ["x-envoy-upstream-rq-per-try-timeout-ms", r.choice(("90", "y"))], ["x-envoy-max-retries", r.choice(("2", "z"))], ["x-envoy-retry-on", r.choice(("5xx,bogus", "retriable-headers", "5xx, reset", "retriable-status-codes"))], ["x-envoy-retriable-header-names", r.choice(("x-retry", "X-Retry, other"))], ["x-envoy-retriable-status-codes", "409, 404"], ["x-envoy-retry-grpc-on", "unavailable,nope"], ["x-envoy-hedge-on-per-try-timeout", "true"], ["x-envoy-upstream-rq-timeout-alt-response", "1"]), 1, 5)
    up = [r.choice(({"status": r.choice((404, 409, 503)), "headers": [["x-retry", "1"]]}, {"status": 503, "delay_ms": 120}, {"never": True}, {"status": 200, "delay_ms": 150}, {"status": 200, "headers": [["grpc-status", "14"]]})) for _ in range(r.randint(1, 3))]
    q = [Q(f"/{i}", 1700 * i, headers=hs(), abort_after_ms=1600, observe={"upstream_headers": ["x-envoy-attempt-count"], "response_headers": ["x-envoy-attempt-count"], "body": True}) for i in range(2)]
    vh = {"include_request_attempt_count": True, **maybe(r, 0.5, include_attempt_count_in_response=True)}
    return case(cid, "header_overrides", {"listener": listener, "virtual_hosts": [VH([R("r", "/", timeout_ms=r.choice((430, 810)), **maybe(r, 0.3, retry=retry(r)))], **vh)], "clusters": [C("s")]}, q, {"default": up})


def hop_extras(r, cid):
    """three proxies in a row, announced timeouts, gRPC, bodies, mixed protocols"""
    h2 = lambda: maybe(r, 0.4, protocol="http2")
    timed = lambda: {**maybe(r, 0.5, timeout_ms=r.choice((330, 640, 1210))), **maybe(r, 0.5, retry={"on": r.choice(("5xx", "gateway-error,reset", "connect-failure", "unavailable", "retriable-4xx")), "num_retries": r.randint(1, 2), "backoff": BACKOFF, **maybe(r, 0.3, per_try_timeout_ms=r.choice((170, 290)))})}
    respect = lambda: maybe(r, 0.4, listener={**CONTROL["listener"], "respect_expected_rq_timeout": True})
    grpc = r.random() < 0.3
    three = r.random() < 0.4
    last = proxy([R("in", "/", "app", **timed())], [C("app", ("app",), **({"protocol": "http2"} if grpc else {}))], **respect())
    proxies = {"b": last} if not three else {"b": proxy([R("mid", "/", "c", **timed())], [C("c", [H("c", proxy="c")], **({"protocol": "http2"} if grpc else h2()))], **respect()), "c": last}
    q = [Q(f"/{i}", 2600 * i, abort_after_ms=2500, **({"protocol": "http2", "headers": [["content-type", "application/grpc"]], "grpc_messages": 1, "method": "POST"} if grpc else {"method": "POST", **maybe(r, 0.4, body_bytes=6)}), observe={"response_headers": ["grpc-status", "x-envoy-attempt-count"]}) for i in range(r.randint(1, 2))]
    up = [r.choice(({"status": 200, "delay_ms": r.choice(TIMES)}, {"status": r.choice((503, 404, 429))}, {"status": 200, "body_delay_ms": r.choice(TIMES)}, {"never": True}, *(() if grpc else ({"reset": "before_headers"}, {"close_before_headers": True})))) for _ in range(r.randint(1, 3))]
    if grpc: up = [{**a, "headers": [["content-type", "application/grpc"]] + ([["grpc-status", r.choice(("0", "14", "4"))]] if a.get("status") == 200 and "body_delay_ms" not in a and r.random() < 0.6 else [])} if "status" in a else a for a in up]
    return case(cid, "two_hop", proxy([R("out", "/", "b", **timed())], [C("b", [H("b", proxy="b")], **({"protocol": "http2"} if grpc else h2()))], proxies=proxies), q, {"default": up})


def tls_extras(r, cid):
    """protocols by ALPN, chains by server name, transports by the host's metadata"""
    uri = lambda n: f"spiffe://cluster.local/ns/{n}"
    ids = {"server": {"ca": "mesh", "uri_sans": [uri("shop/sa/cart")]}, "client": {"ca": r.choice(("mesh", "mesh", "other")), "uri_sans": [uri("front/sa/web"), *some(r, (uri("x/sa/y"),), 0, 1)], **maybe(r, 0.3, dns_sans=["web.test"])}}
    server = {"mode": r.choice(("strict", "permissive", "simple")), "identity": "server", "trusted_ca": "mesh", **maybe(r, 0.5, alpn=r.choice((["h2", "http/1.1"], ["http/1.1"], ["h2"]))), **maybe(r, 0.2, chain_sni=["b.test"]), **maybe(r, 0.15, chain_alpn=["istio"]), **maybe(r, 0.2, client_sans=[{"exact": uri("front/sa/web")}, {"san_type": "dns", "suffix": ".test"}][: r.randint(1, 2)]), **maybe(r, 0.15, allow_expired_certificate=True)}
    out = {"identity": "client", "trusted_ca": "mesh", **maybe(r, 0.4, sni=r.choice(("b.test", "c.test"))), **maybe(r, 0.6, alpn=r.choice((["h2"], ["http/1.1"], ["h2", "http/1.1"], ["istio"]))), "max_version": r.choice(("1.2", "1.3"))}
    hop = C("b", [H("b", proxy="b", **maybe(r, 0.3, transport_metadata={"tlsMode": r.choice(("istio", "disabled"))}))], **maybe(r, 0.4, protocol=r.choice(("auto", "http2"))))
    if r.random() < 0.35: hop["transport_matches"] = [{"name": "istio", "match": {"tlsMode": "istio"}, "tls": out}, {"name": "plain", "match": {}, "tls": None}]
    else: hop["tls"] = out
    if hop.get("protocol") == "auto" and "tls" not in hop: hop["protocol"] = "http2"
    rule = {"action": r.choice(("allow", "deny")), "policies": {"p": {"permissions": [{"any": True}], "principals": [{"authenticated": r.choice(({"exact": uri("front/sa/web")}, {"suffix": "/sa/y"}, {"contains": "web"}, {"exact": "web.test"}))}]}}}
    b = proxy([R("in", "/", "app")], [C("app", ("a",))], listener={"tls": server}, **maybe(r, 0.5, filters=[{"type": "rbac", "rules": rule}]))
    a = R("out", "/", "b", **maybe(r, 0.3, retry={"on": r.choice(("5xx", "connect-failure", "reset")), "num_retries": 1, "backoff": BACKOFF}))
    return case(cid, "tls", {**proxy([a], [hop], proxies={"b": b}), "identities": ids}, [Q("/"), Q("/2", 300)])


def jwt_extras(r, cid):
    """claims in headers and rules, requirements of routes, lifetimes, malformed tokens"""
    prov = {"issuer": "p.test", "keys": ["right"], "payload_in_metadata": "pm", **maybe(r, 0.4, claim_to_headers=[{"header": "x-sub", "claim": r.choice(("sub", "role", "list", "deep.x", "n", "flag", "none"))}]), **maybe(r, 0.25, max_lifetime_s=r.choice((300, 3600))), **maybe(r, 0.3, forward=True), **maybe(r, 0.2, clock_skew_s=5), **maybe(r, 0.2, audiences=["aud1"])}
    f = {"type": "jwt", "providers": {"p": prov}, "rules": [{"match": {"prefix": "/"}, "requires": r.choice(({"provider": "p"}, {"allow_missing": True}, {"allow_missing_or_failed": True}, {"any_of": [{"provider": "p"}, {"allow_missing": True}]}))}], "requirement_map": {"need": {"provider": "p"}, "lax": {"allow_missing": True}}, **maybe(r, 0.2, bypass_cors_preflight=True)}
    claim = lambda: {"claim": {"path": ["pm", r.choice(("role", "list", "sub", "n", "flag"))], **r.choice(({"exact": "admin"}, {"prefix": "u"}, {"one_of": {"exact": "a"}}, {"bool": True}))}}
    rbac = {"type": "rbac", "rules": {"action": r.choice(("allow", "deny")), "policies": {"p": {"permissions": [{"any": True}], "principals": [r.choice((claim, lambda: {"not": claim()}, lambda: {"all_of": [claim(), claim()]}))()]}}}}
    tok = lambda: r.choice(({"literal": r.choice(("a.b.c", "abc", "e30.e30.x", "..", "e30.e30.", "eyJhbGciOiJFUzI1NiJ9.e30.x"))}, *[{"issuer": "p.test", "subject": r.choice(("u1", "admin")), "audience": r.choice(("aud1", "aud1/", "http://aud1", ["x", "aud1"])), "exp_offset_s": r.choice((200, 900, 5000, -3, -30, -90)), "iat_offset_s": -10, "claims": {"role": r.choice(("admin", "user")), "list": ["a", "b"], "deep": {"x": 1}, "n": 7, "flag": True}, **maybe(r, 0.15, nbf_offset_s=r.choice((3, 30, 90))), **maybe(r, 0.1, key_id=r.choice(("nokey", "")))}] * 5))
    routes = [R("a", "/a", jwt=r.choice(({"disabled": True}, {"requirement_name": "need"}, {"requirement_name": "lax"}, {"requirement_name": "nope"}))), R("r", "/")]
    q = [Q(r.choice(("/", "/a", "/x?y")), 30 * i, method=r.choice(("GET", "OPTIONS")), headers=r.choice(([], [], [["x-sub", "forged"]], [["origin", "o"], ["access-control-request-method", "GET"]])), **maybe(r, 0.85, token=tok()), observe={"response_headers": ["www-authenticate"], "body": True, "upstream_headers": ["x-sub", "authorization"]}) for i in range(5)]
    return case(cid, "jwt", proxy(routes, [C("s")], filters=[f] + ([rbac] if r.random() < 0.6 else [])), q)


def lb_extras(r, cid):
    """subsets, locality weights, hashes, weighted least request"""
    x = r.random()
    rt, cl, kw = {}, None, {}
    hosts = [H(f"{c}", metadata={"v": r.choice("12"), "z": r.choice("ab")}, **maybe(r, 0.25, weight=r.randint(1, 4)), **maybe(r, 0.2, health=r.choice(("unhealthy", "degraded")))) for c in "abcde"[: r.randint(2, 5)]]
    if x < 0.4:
        sub = {"selectors": [{"keys": k, **maybe(r, 0.3, fallback=r.choice(("no_fallback", "any_endpoint", "default_subset")))} for k in some(r, (["v"], ["z"], ["v", "z"]), 1, 2)], "fallback": r.choice(("no_fallback", "any_endpoint", "default_subset")), "default_subset": {"v": "1"}}
        rt["metadata_match"] = r.choice(({"v": "1"}, {"v": "3"}, {"z": "a"}, {"v": "2", "z": "b"}))
        cl = C("s", hosts, subset=sub, lb_policy=r.choice(("round_robin", "random")))
    elif x < 0.7:
        for i, h in enumerate(hosts): h["locality"] = "lm"[i % 2]; h["locality_weight"] = (3, 1)[i % 2]
        cl = C("s", hosts, locality_weighted=True, **maybe(r, 0.3, panic_threshold_percent=0))
    else:
        cl = C("s", hosts, lb_policy="least_request", **maybe(r, 0.5, least_request={"choice_count": r.randint(2, 4)}))
    return case(cid, "lb", proxy([R("r", "/", **rt)], [cl]), [Q("/", repeat=1200, concurrency=4)], kind="distribution", **kw)


def admission_extras(r, cid):
    """admission control whose outcome is certain: nothing fails, or too little is asked"""
    f = {"type": "admission_control", "rps_threshold": r.choice((0, 1000)), "success_rate_threshold_percent": r.choice((50, 95)), "sampling_window_ms": 30000, **maybe(r, 0.4, http_success=[[100, 400]])}
    return case(cid, "admission", proxy([R("r", "/")], [C("s")], filters=[f]), [Q("/", repeat=300, concurrency=2)], {"default": [{"status": r.choice((200, 404, 503))}]}, kind="distribution")


def budget_extras(r, cid):
    """retry budgets of what is under way, or of what began in an interval: some requests stay, others fail and ask for a retry"""
    stay, fail = r.randint(0, 6), r.randint(1, 4)
    budget = {"budget_percent": r.choice((10, 20, 25, 50, 100)), "min_retry_concurrency": r.choice((0, 0, 1, 2)), **maybe(r, 0.6, budget_interval_ms=r.choice((300, 5000)))}
    q = [Q(f"/{i}", 10 * i, abort_after_ms=1900, observe={"response_headers": ["x-envoy-overloaded"]}) for i in range(stay + fail)]
    if r.random() < 0.4: q += [Q(f"/{len(q) + i}", 1300 + 10 * i, abort_after_ms=1900) for i in range(2)]
    up = {str(i): [{"status": 200, "delay_ms": 700}] for i in range(stay)}
    cl = C("s", circuit_breakers=[{"priority": "default", "retry_budget": budget}])
    route = R("r", "/", retry={"on": "5xx", "num_retries": r.randint(1, 2), "backoff": BACKOFF})
    return case(cid, "circuit_breaking", proxy([route], [cl]), q, {"by_request": up, "default": [{"status": 503, "delay_ms": 150}, {"status": 200, "delay_ms": 200}]})


def ejection_extras(r, cid):
    """ejection by success rate and by failure percentage; the hosts that fail do so always, so that rates are far from any threshold"""
    hosts = list("abcde"[: r.randint(3, 5)])
    bad = r.sample(hosts, r.choice((0, 1, 1, 1, 2)))
    each = r.choice((60, 80))
    rate = {"success_rate_minimum_hosts": r.choice((2, 3, 5)), "success_rate_request_volume": r.choice((10, 30, 300)), "success_rate_stdev_factor": r.choice((200, 500, 1000, 1900))}
    share = {"failure_percentage_minimum_hosts": r.choice((2, 3, 5)), "failure_percentage_request_volume": r.choice((10, 30, 300)), "failure_percentage_threshold": r.choice((30, 50, 90, 100)), "enforcing_success_rate_percent": r.choice((0, 100)), "enforcing_failure_percentage_percent": r.choice((100, 100, 0))}
    od = {"max_ejection_percent": r.choice((100, 100, 10, 40)), "consecutive_5xx": 1000, "consecutive_gateway_failure": 1000, "interval_ms": 700, "base_ejection_time_ms": 30000, **r.choice((rate, share, {**share, **rate}))}
    cl = C("s", hosts, outlier_detection=od, **maybe(r, 0.3, panic_threshold_percent=0))
    q = [Q("/", at, repeat=each * len(hosts), concurrency=2) for at in (0, 2300)]
    return case(cid, "outlier", proxy([R("r", "/")], [cl]), q, {"by_host": {h: [{"status": r.choice((500, 503))}] for h in bad}, "default": [{"status": 200}]}, kind="distribution")


def hash_extras(r, cid):
    """what is hashed and what is not, with balancers that keep a key on its host"""
    policies = some(r, ({"header": "x-key"}, {"query": "k"}, {"source_ip": True}), 1, 2)
    hosts = [H(h, **maybe(r, 0.25, health=r.choice(("unhealthy", "degraded")))) for h in "abcd"[: r.randint(2, 4)]]
    cl = C("s", hosts, lb_policy=r.choice(("ring_hash", "maglev")), panic_threshold_percent=0)
    key = r.choice(("alpha", "beta", "", "a,b"))
    q = [Q(f"/{i}?k=v", 20 * i, headers=[["x-key", key]]) for i in range(5)]
    return case(cid, "lb", proxy([R("r", "/", hash_policy=policies)], [cl]), q, hosts_mode="constant")


def spread_extras(r, cid):
    """many keys over balancers that hash; hosts hash by address, which is the rig's own, so that shares are a draw of keys"""
    hosts = [H(h, **maybe(r, 0.3, health="unhealthy"), **maybe(r, 0.3, weight=r.randint(2, 3))) for h in "abcd"[: r.randint(2, 4)]]
    cl = C("s", hosts, lb_policy="maglev", **maybe(r, 0.5, panic_threshold_percent=0))
    return case(cid, "lb", proxy([R("r", "/", hash_policy=[{"header": "x-key"}])], [cl]), [Q("/", headers=[["x-key", "k{i}"]], repeat=6000, concurrency=4)], kind="distribution", fraction_tol=0.02)


def zone_extras(r, cid):
    """zone-aware routing, with own instances and hosts spread unevenly"""
    zones = ["z1", "z2", "z3"][: r.randint(2, 3)]
    hosts = [H(f"{z}-{i}", locality=z, **maybe(r, 0.15, health="unhealthy")) for z in zones for i in range(r.randint(1, 3))]
    cl = C("s", hosts, lb_policy=r.choice(("round_robin", "random", "least_request")), zone_aware={**maybe(r, 0.8, min_cluster_size=r.randint(1, 4)), **maybe(r, 0.2, routing_enabled_percent=r.choice((0, 50)))}, **maybe(r, 0.2, panic_threshold_percent=0))
    cfg = {**proxy([R("r", "/")], [cl]), "zone": {"name": "z1", "own_cluster_hosts": {z: r.randint(1, 3) for z in zones}}}
    return case(cid, "slow_start_lb", cfg, [Q("/", repeat=1600, concurrency=4)], kind="distribution")


def slow_start_extras(r, cid):
    """a host that comes back is given its share by and by; among unequal hosts with no least weight, when it is first chosen is chance"""
    start = {"window_ms": r.choice((3000, 4000)), **maybe(r, 0.5, aggression=r.choice((0.5, 2.0))), **maybe(r, 0.4, min_weight_percent=r.choice((0, 30)))}
    cl = C("s", ["a", H("b", **(maybe(r, 0.3, weight=3) if start.get("min_weight_percent") != 0 else {}))], lb_policy=r.choice(("round_robin", "least_request")), health_check={"timeout_ms": 200, "interval_ms": 100, "unhealthy_threshold": 1, "healthy_threshold": 1}, panic_threshold_percent=0, slow_start=start)
    q = [Q("/", at, repeat=200, concurrency=2) for at in (4600, 5400, 6200, 9000)]
    return case(cid, "slow_start_lb", proxy([R("r", "/")], [cl]), q, {"health": {"b": [{"from_ms": 0, "status": 503}, {"from_ms": 4000, "status": 200}]}}, kind="distribution")


def adaptive_extras(r, cid):
    """adaptive concurrency while it measures the round trip: the limit is then the least one, and certain"""
    f = {"type": "adaptive_concurrency", "limit": {"update_interval_ms": 100}, "min_rtt": {"interval_ms": 60000, "request_count": 100, **maybe(r, 0.6, min_concurrency=r.randint(1, 4))}, **maybe(r, 0.3, status=r.choice((429, 503)))}
    q = [Q(f"/{i}", t, abort_after_ms=r.choice((250, 1900, 1900))) for i, t in enumerate(sorted(r.sample(range(0, 1500, 70), 8)))]
    return case(cid, "admission", proxy([R("r", "/")], [C("s")], filters=[f]), q, {"default": [{"status": 200, "delay_ms": 435}]})


def format_extras(r, cid):
    """formats in header changes that tell of the request's course"""
    formats = ("%RESPONSE_CODE%", "%RESPONSE_FLAGS%|%RESPONSE_FLAGS_LONG%", "%RESPONSE_CODE_DETAILS%", "%UPSTREAM_CLUSTER%", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "%BYTES_RECEIVED%", "%PATH%", "%PATH(NQ:ORIG)%", "%PATH(NQ:PATH):4%", "%QUERY_PARAM(q)%", "%QUERY_PARAMS%", "%UPSTREAM_PROTOCOL%", "%RESP(:status)%", "%GRPC_STATUS%|%GRPC_STATUS_NUMBER%", "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%ROUTE_NAME% %REQ(:path)%")
    add = lambda: [{"name": f"x-f{i}", "value": f} for i, f in enumerate(formats) if r.random() < 0.7]
    level = lambda: {**maybe(r, 0.7, request_headers_to_add=add()), **maybe(r, 0.8, response_headers_to_add=add())}
    routes = [R("d", "/d", {"direct_response": {"status": 202, "body": "d"}}, **level()), R("m", "/m", "missing", **level()), R("r", "/", timeout_ms=330, **maybe(r, 0.3, prefix_rewrite="/y/"), **maybe(r, 0.5, retry=retry(r)), **level())]
    obs = {"upstream_headers": [f"x-f{i}" for i in range(len(formats))], "response_headers": [f"x-f{i}" for i in range(len(formats))]}
    hosts = (["a"], [H("a", listen="closed")])[r.random() < 0.2]
    up = [r.choice(({"status": r.choice((200, 503, 404))}, {"never": True}, {"close_before_headers": True}, {"status": 200, "headers": [["grpc-status", "7"]]})) for _ in range(r.randint(1, 2))]
    q = [Q(r.choice(("/d?q=1", "/m", "/x?q=a%20b", "/x?q", "/x/y")), 1500 * i, method="POST", **maybe(r, 0.3, body_bytes=9), **maybe(r, 0.3, headers=[["content-type", "application/grpc"]], protocol="http2"), abort_after_ms=1400, observe=obs) for i in range(3)]
    return case(cid, "routing", {"virtual_hosts": [VH(routes, **level())], "clusters": [C("s", hosts, **maybe(r, 0.2, protocol="http2"))]}, q, {"default": up})


def wildcard_extras(r, cid):
    """local rate limits with a bucket for each value"""
    bucket = lambda: {"max_tokens": r.randint(1, 3), "tokens_per_fill": 1, "fill_interval_ms": 60000}
    entries = some(r, ([["k", ""]], [["k", "one"]], [["k", ""], ["g", "v"]], [["k", ""], ["g", ""]], [["g", ""]]), 1, 3)
    f = {"type": "local_rate_limit", "bucket": {**bucket(), "max_tokens": r.choice((4, 20))}, "x_ratelimit_headers": True, "descriptors": [{"entries": e, "bucket": bucket()} for e in entries], **maybe(r, 0.25, per_connection=True)}
    k, g = {"header": "x-a", "key": "k"}, {"key": "g", "value": "v"}
    obs = {"response_headers": ["x-ratelimit-limit", "x-ratelimit-remaining"]}
    q = [Q(f"/{i}", 150 * i, headers=r.choice(([["x-a", r.choice(("one", "two", "six", ""))]], [["x-a", "one"]], [])), **maybe(r, 0.6, connection=r.choice("xy")), observe=obs) for i in range(9)]
    return case(cid, "local_rate_limit", proxy([R("r", "/", rate_limit_actions=some(r, ([k], [g], [k, g]), 1, 2))], [C("s")], filters=[f]), q)


MORE = {f.__name__: f for f in (retry_extras, timeout_extras, circuit_extras, outlier_extras, fault_extras, rate_extras, routing_extras, header_extras, hop_extras, tls_extras, jwt_extras, lb_extras, admission_extras,
        budget_extras, ejection_extras, hash_extras, spread_extras, zone_extras, slow_start_extras, adaptive_extras, format_extras, wildcard_extras)}
