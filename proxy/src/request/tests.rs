#![allow(clippy::unwrap_used)]

use super::*;
use crate::RequestKey;
use crate::{
    ListenerId, Peer, Table,
    config::{Config, ConnectionManager, DownstreamTls, ForwardClientCert, Identity, Listener, Validity},
};

type Headers<'a> = &'a [(&'a str, &'a str)];

fn table(connection_manager: ConnectionManager, tls: DownstreamTls) -> Table {
    let listener = Listener { tls, connection_manager, ..Listener::default() };
    Table::compile(&Config { listeners: vec![listener], ..Config::default() }).unwrap()
}

fn head<'a>(authority: &'a str, path: &'a str, headers: Headers<'a>) -> RequestHead<'a> {
    let address = Some(IpAddr::from([127, 0, 0, 1]));
    RequestHead {
        key: RequestKey::default(),
        method: "GET",
        authority,
        path,
        headers,
        tokens: &[],
        peer: Peer { address, ..Peer::default() },
        http2: false,
    }
}

fn load(table: &Table, head: &RequestHead<'_>) -> Result<Request, EarlyReply> {
    let mut request = Request::default();
    request.load(table.listener(ListenerId::new(0)), head).map(|()| request)
}

#[test]
fn the_trusted_address_is_the_peers_or_the_last_that_was_forwarded() {
    let list: Headers<'_> = &[("x-forwarded-for", "1.2.3.4")];
    let internal: Headers<'_> = &[("x-forwarded-for", "10.1.1.1")];
    let spaced: Headers<'_> = &[("x-forwarded-for", "1.1.1.1, 10.2.3.4")];
    let junk: Headers<'_> = &[("x-forwarded-for", "10.0.0.1, junk")];
    let lines: Headers<'_> = &[("x-forwarded-for", "10.1.1.1"), ("x-forwarded-for", "8.8.8.8")];
    // use_remote_address, internal block, headers; trusted address, internal, x-forwarded-for upstream
    let rows: &[(bool, &str, Headers<'_>, &str, bool, Option<&str>)] = &[
        (false, "127.0.0.0/8", &[], "127.0.0.1", false, None),
        (false, "10.0.0.0/8", internal, "10.1.1.1", true, Some("10.1.1.1")),
        (false, "10.0.0.0/8", list, "1.2.3.4", false, Some("1.2.3.4")),
        (false, "10.0.0.0/8", spaced, "10.2.3.4", false, Some("1.1.1.1, 10.2.3.4")),
        (false, "127.0.0.0/8", junk, "127.0.0.1", false, Some("10.0.0.1, junk")),
        (false, "10.0.0.0/8", lines, "8.8.8.8", false, Some("10.1.1.1,8.8.8.8")),
        (true, "127.0.0.0/8", &[], "127.0.0.1", true, Some("192.0.2.1")),
        (true, "10.0.0.0/8", &[], "127.0.0.1", false, Some("192.0.2.1")),
        (true, "127.0.0.0/8", list, "127.0.0.1", false, Some("1.2.3.4,192.0.2.1")),
    ];
    for (use_remote_address, block, headers, trusted, is_internal, forwarded) in rows {
        let manager = ConnectionManager {
            use_remote_address: *use_remote_address,
            internal_cidrs: vec![(*block).to_owned()],
            node_address: Some("192.0.2.1".to_owned()),
            ..ConnectionManager::default()
        };
        let request = load(&table(manager, DownstreamTls::default()), &head("svc", "/", headers)).unwrap();
        assert_eq!(request.trusted_address.unwrap().to_string(), *trusted, "{headers:?}");
        assert_eq!(request.is_internal, *is_internal, "{headers:?}");
        assert_eq!(request.first("x-forwarded-for"), *forwarded);
        assert_eq!(request.first("x-envoy-internal"), is_internal.then_some("true"));
        let external = (*use_remote_address && !is_internal).then_some(*trusted);
        assert_eq!(request.first("x-envoy-external-address"), external);
    }
}

#[test]
fn control_headers_of_external_clients_are_removed() {
    let headers: Headers<'_> = &[
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-max-retries", "3"),
        ("x-envoy-internal", "true"),
        ("x-envoy-fault-delay-request", "1"),
        ("x-envoy-original-path", "/forged"),
        ("x-other", "1"),
    ];
    let left = |use_remote_address, internal: &str| {
        let manager = ConnectionManager {
            use_remote_address,
            internal_cidrs: vec![internal.to_owned()],
            ..ConnectionManager::default()
        };
        let request = load(&table(manager, DownstreamTls::default()), &head("svc", "/", headers)).unwrap();
        let names = request.headers.iter().map(|(name, _)| name).filter(|name| !name.starts_with("x-forwarded"));
        names.collect::<Vec<_>>().join(" ").replace("x-envoy-", "")
    };
    assert_eq!(left(false, "10.0.0.0/8"), "fault-delay-request original-path x-other");
    assert_eq!(left(true, "10.0.0.0/8"), "fault-delay-request x-other external-address");
    let all = "retry-on max-retries internal fault-delay-request original-path x-other";
    assert_eq!(left(true, "127.0.0.0/8"), all);
}

#[test]
fn the_scheme_is_what_the_connection_or_the_client_says() {
    let https: Headers<'_> = &[("x-forwarded-proto", "https")];
    let identity =
        Identity { ca: String::new(), uri_sans: Vec::new(), dns_sans: Vec::new(), validity: Validity::Valid };
    for (use_remote_address, headers, tls, expect) in [
        (false, &[][..], false, "http"),
        (false, https, false, "https"),
        (true, https, false, "http"),
        (true, &[], true, "https"),
    ] {
        let manager = ConnectionManager { use_remote_address, ..ConnectionManager::default() };
        let mut head = head("svc", "/", headers);
        head.peer.identity = tls.then_some(&identity);
        let request = load(&table(manager, DownstreamTls::default()), &head).unwrap();
        assert_eq!((request.scheme(), request.first("x-forwarded-proto")), (expect, Some(expect)));
        assert!(!request.peer.has_certificate());
    }
}

#[test]
fn some_requests_are_answered_before_routes() {
    let manager = ConnectionManager {
        normalize_path: true,
        escaped_slashes: EscapedSlashes::RejectRequest,
        ..ConnectionManager::default()
    };
    let strict = table(manager.clone(), DownstreamTls::default());
    let redirecting = ConnectionManager { escaped_slashes: EscapedSlashes::UnescapeAndRedirect, ..manager };
    let redirecting = table(redirecting, DownstreamTls::default());
    let reply = |status, details, location: Option<&str>| {
        Err(EarlyReply { status, details, location: location.map(str::to_owned) })
    };
    let refused = "path_normalization_failed";
    let rows = [
        (&strict, "", "/", reply(400, "missing_host_header", None)),
        (&strict, "svc", "*", reply(400, "", None)),
        (&strict, "svc", "http://other?q", reply(404, "absolute_path_rejected", None)),
        (&strict, "svc", "/a#b", reply(400, refused, None)),
        (&strict, "svc", "/a%00", reply(400, refused, None)),
        (&strict, "svc", "/a%2Fb", reply(400, refused, None)),
        (&redirecting, "svc", "/x/../a%5cb?q=%2f", reply(307, refused, Some("/a/b?q=%2f"))),
        (&strict, "svc", "/a/../b", Ok("svc /b".to_owned())),
        (&strict, "svc", "http://other:8080/a", Ok("other:8080 /a".to_owned())),
        (&strict, "svc", "http://other", Ok("other /".to_owned())),
    ];
    for (table, authority, path, expect) in rows {
        let got = load(table, &head(authority, path, &[])).map(|r| format!("{} {}", r.authority(), r.path()));
        assert_eq!(got, expect, "{authority} {path}");
    }
    let lower = RequestHead { method: "get", ..head("svc", "/", &[]) };
    assert_eq!(load(&strict, &lower).unwrap_err().status, 400);
    assert!(load(&strict, &RequestHead { http2: true, ..lower }).is_ok());
    assert!(load(&strict, &head("", "/", &[("host", "")])).is_ok(), "an empty host is one");
}

#[test]
fn ports_are_stripped_where_told() {
    let manager = ConnectionManager { strip_any_host_port: true, ..ConnectionManager::default() };
    let table = table(manager, DownstreamTls::default());
    for (authority, expect) in [
        ("svc.test:80", "svc.test"),
        ("svc.test", "svc.test"),
        ("svc.test:", "svc.test:"),
        ("svc.test:abc", "svc.test:abc"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
    ] {
        assert_eq!(load(&table, &head(authority, "/", &[])).unwrap().authority(), expect);
    }
}

#[test]
fn received_headers_are_cleaned() {
    let headers: Headers<'_> = &[
        ("connection", "close"),
        ("x-a", " b\t"),
        ("x-a", "c"),
        ("authorization", "Bearer x"),
        ("authorization", "Bearer y"),
        ("x-envoy-original-url", ""),
        ("x-envoy-fault-delay-request", "1"),
        ("x-envoy-fault-delay-request", "2"),
        ("grpc-timeout", ""),
        ("grpc-timeout", "2m"),
    ];
    let table = table(ConnectionManager::default(), DownstreamTls::default());
    let request = load(&table, &head("svc", "/", headers)).unwrap();
    let values = |name: &str| request.header(name).map(str::to_owned).collect::<Vec<_>>().join("|");
    assert_eq!(values("connection"), "");
    assert_eq!(values("x-a"), "b|c");
    assert_eq!(values("authorization"), "Bearer x,Bearer y");
    assert_eq!(values("x-envoy-fault-delay-request"), "1|2");
    assert_eq!(values("grpc-timeout"), "2m");
    assert_eq!(values(":authority"), "svc");
    assert_eq!(values("host"), "svc");
    let mut copy = Request::default();
    copy.clone_from(&request);
    copy.add_host_suffix("-shadow");
    assert_eq!(format!("{:?}", copy.headers), format!("{:?}", request.headers));
    assert_eq!((copy.authority(), copy.host()), ("svc-shadow", "svc-shadow"));
}

#[test]
fn client_certificates_are_forwarded_as_told() {
    use ForwardClientCert::{AlwaysForwardOnly, AppendForward, ForwardOnly, Sanitize, SanitizeSet};
    let identity = |uri: &str| Identity {
        ca: "mesh".to_owned(),
        uri_sans: vec![uri.to_owned()],
        dns_sans: Vec::new(),
        validity: Validity::Valid,
    };
    let (own, peer) = (identity("spiffe://a/cart"), identity("spiffe://a/web"));
    let set = "By=spiffe://a/cart;Hash=<sha256>;URI=spiffe://a/web";
    let appended = format!("forged,{set}");
    let rows = [
        (Sanitize, true, None),
        (SanitizeSet, true, Some(set)),
        (ForwardOnly, true, Some("forged")),
        (AppendForward, true, Some(appended.as_str())),
        (AlwaysForwardOnly, true, Some("forged")),
        (SanitizeSet, false, None),
        (ForwardOnly, false, None),
        (AppendForward, false, None),
        (AlwaysForwardOnly, false, Some("forged")),
    ];
    for (forward_client_cert, is_mutual, expect) in rows {
        let tls = DownstreamTls { identity: Some(own.clone()), forward_client_cert, ..DownstreamTls::default() };
        let mut head = head("svc", "/", &[("x-forwarded-client-cert", "forged")]);
        head.peer.identity = is_mutual.then_some(&peer);
        let request = load(&table(ConnectionManager::default(), tls), &head).unwrap();
        assert_eq!(request.first("x-forwarded-client-cert"), expect, "{forward_client_cert:?} {is_mutual}");
    }
}
