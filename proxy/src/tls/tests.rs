use TlsCounter::{
    ConnectionError, FailVerifyError, FailVerifyNoCert, FailVerifySan, Handshake as Done, NoCertificate,
    NoFilterChainMatch,
};

use super::*;
use crate::config::{StringMatcher, TransportMatch};

fn own(text: &str) -> String {
    text.to_owned()
}

fn identity(ca: &str, uri: &str) -> Identity {
    Identity { ca: own(ca), uri_sans: vec![own(uri)], dns_sans: vec![own("x.test")], validity: Validity::Valid }
}

fn client() -> UpstreamTls {
    UpstreamTls {
        identity: Some(identity("mesh", "spiffe://a/web")),
        trusted_ca: Some(own("mesh")),
        ..UpstreamTls::default()
    }
}

fn server(mode: TlsMode) -> DownstreamTls {
    DownstreamTls {
        mode,
        identity: Some(identity("mesh", "spiffe://a/cart")),
        trusted_ca: Some(own("mesh")),
        ..DownstreamTls::default()
    }
}

fn uri(value: &str) -> Vec<SanMatcher> {
    vec![SanMatcher { value: StringMatcher::exact(value), dns: false }]
}

type Counters = &'static [TlsCounter];

fn check(client: Option<&UpstreamTls>, server: &DownstreamTls, expect: (Opening, Counters, Counters)) {
    let Handshake { opening, client_counters, server_counters, .. } = handshake(client, server);
    assert_eq!((opening, client_counters, server_counters), expect, "{client:?}\n{server:?}");
}

#[test]
fn plaintext_and_tls_meet_as_their_modes_say() {
    use Opening::{Doomed, Failed, Open};
    let anonymous = UpstreamTls { identity: None, ..client() };
    let refused = Failed(TransportFailure::AlertHandshakeFailure);
    let table: &[(Option<&UpstreamTls>, TlsMode, Opening, Counters, Counters)] = &[
        (None, TlsMode::Plaintext, Open, &[], &[]),
        (None, TlsMode::Permissive, Open, &[], &[]),
        (None, TlsMode::Strict, Doomed, &[], &[ConnectionError]),
        (None, TlsMode::Simple, Doomed, &[], &[ConnectionError]),
        (Some(&client()), TlsMode::Strict, Open, &[Done], &[Done]),
        (Some(&client()), TlsMode::Permissive, Open, &[Done], &[Done]),
        (Some(&client()), TlsMode::Simple, Open, &[Done], &[Done]),
        (Some(&anonymous), TlsMode::Simple, Open, &[Done], &[Done, NoCertificate]),
        (Some(&anonymous), TlsMode::Strict, refused, &[ConnectionError], &[FailVerifyNoCert]),
        (Some(&anonymous), TlsMode::Permissive, refused, &[ConnectionError], &[FailVerifyNoCert]),
        (Some(&client()), TlsMode::Plaintext, Failed(TransportFailure::PeerDoesNotSpeakTls), &[ConnectionError], &[]),
    ];
    for (client, mode, opening, client_counts, server_counts) in table {
        check(*client, &server(*mode), (*opening, client_counts, server_counts));
    }
}

#[test]
fn the_server_is_verified_first() {
    let changed = |change: fn(&mut UpstreamTls, &mut DownstreamTls)| {
        let (mut client, mut server) = (client(), server(TlsMode::Strict));
        change(&mut client, &mut server);
        (client, server)
    };
    let refused = TransportFailure::PeerCertificateNotAccepted;
    let table: [(_, TransportFailure, Counters); 4] = [
        (changed(|_, s| s.identity = Some(identity("other", "x"))), refused, &[FailVerifyError]),
        (changed(|_, s| s.identity = None), refused, &[FailVerifyError]),
        (
            changed(|c, _| (c.server_sans, c.identity) = (uri("spiffe://a/pay"), None)),
            TransportFailure::PeerNameMismatch,
            &[FailVerifySan],
        ),
        (
            changed(|_, s| {
                if let Some(identity) = &mut s.identity {
                    identity.validity = Validity::Expired;
                }
            }),
            refused,
            &[FailVerifyError],
        ),
    ];
    for ((client, server), failure, counters) in table {
        for max in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let client = UpstreamTls { max_version: Some(max), ..client.clone() };
            check(Some(&client), &server, (Opening::Failed(failure), counters, &[ConnectionError]));
        }
    }
    // Who trusts nobody verifies nothing.
    let blind = UpstreamTls { trusted_ca: None, server_sans: uri("spiffe://a/pay"), ..client() };
    check(Some(&blind), &server(TlsMode::Strict), (Opening::Open, &[Done], &[Done]));
    let one_of = UpstreamTls { server_sans: [uri("x"), uri("spiffe://a/cart")].concat(), ..client() };
    check(Some(&one_of), &server(TlsMode::Strict), (Opening::Open, &[Done], &[Done]));
}

#[test]
fn a_refused_client_learns_it_in_the_handshake_or_behind_it() {
    let with = |identity: Option<Identity>| UpstreamTls { identity, ..client() };
    let expired = Identity { validity: Validity::Expired, ..identity("mesh", "x") };
    let early = Identity { validity: Validity::NotYetValid, ..identity("mesh", "x") };
    let table: [(_, TransportFailure, Counters); 5] = [
        (with(None), TransportFailure::AlertHandshakeFailure, &[FailVerifyNoCert]),
        (with(Some(identity("other", "x"))), TransportFailure::AlertUnknownCa, &[FailVerifyError]),
        (with(Some(expired.clone())), TransportFailure::AlertCertificateExpired, &[FailVerifyError]),
        (with(Some(early)), TransportFailure::AlertCertificateExpired, &[FailVerifyError]),
        (with(Some(identity("mesh", "y"))), TransportFailure::AlertCertificateUnknown, &[FailVerifySan]),
    ];
    let server = DownstreamTls { client_sans: uri("x"), ..server(TlsMode::Strict) };
    for (client, failure, counters) in table {
        check(Some(&client), &server, (Opening::Failed(failure), &[ConnectionError], counters));
        let newer = UpstreamTls { max_version: Some(TlsVersion::V1_3), ..client };
        check(Some(&newer), &server, (Opening::Doomed, &[Done, ConnectionError], counters));
    }
    let lenient = DownstreamTls { allow_expired_certificate: true, ..server.clone() };
    check(Some(&with(Some(expired))), &lenient, (Opening::Open, &[Done], &[Done]));
    let naming = DownstreamTls { mode: TlsMode::Simple, ..server.clone() };
    check(
        Some(&with(None)),
        &naming,
        (Opening::Failed(TransportFailure::AlertHandshakeFailure), &[ConnectionError], &[FailVerifyNoCert]),
    );
    let blind = DownstreamTls { trusted_ca: None, ..server };
    check(Some(&with(None)), &blind, (Opening::Open, &[Done], &[Done, NoCertificate]));
    assert_eq!(handshake(Some(&client()), &blind).client, None);
}

#[test]
fn a_chain_may_serve_some_clients_only() {
    let offers = |alpn: &[&str], sni: Option<&str>| UpstreamTls {
        alpn: alpn.iter().map(|&name| own(name)).collect(),
        sni: sni.map(own),
        ..client()
    };
    let alpn = DownstreamTls { chain_alpn: vec![own("mesh")], ..server(TlsMode::Permissive) };
    let sni = DownstreamTls { chain_sni: vec![own("cart.test"), own("*.shop.test")], ..server(TlsMode::Strict) };
    let table = [
        (offers(&["mesh", "http/1.1"], None), &alpn, true),
        (offers(&["http/1.1"], None), &alpn, false),
        (offers(&[], None), &alpn, false),
        (offers(&[], Some("Cart.test")), &sni, true),
        (offers(&[], Some("a.shop.test")), &sni, true),
        (offers(&[], Some(".shop.test")), &sni, false),
        (offers(&[], Some("pay.test")), &sni, false),
        (offers(&[], None), &sni, false),
    ];
    for (client, server, is_served) in table {
        let closed = (Opening::Failed(TransportFailure::Closed), &[][..], &[NoFilterChainMatch][..]);
        check(Some(&client), server, if is_served { (Opening::Open, &[Done], &[Done]) } else { closed });
    }
    check(None, &sni, (Opening::Doomed, &[], &[NoFilterChainMatch]));
    check(None, &alpn, (Opening::Open, &[], &[]));
}

#[test]
fn both_sides_agree_on_version_and_protocol() {
    use TlsVersion::{V1_2, V1_3};
    // versions of the client, of the server, agreed
    let table = [
        ((None, None), (None, None), Some(V1_2)),
        ((None, Some(V1_3)), (None, None), Some(V1_3)),
        ((Some(V1_3), Some(V1_3)), (None, None), Some(V1_3)),
        ((None, Some(V1_3)), (None, Some(V1_2)), Some(V1_2)),
        ((None, None), (Some(V1_3), Some(V1_3)), None),
    ];
    for ((min, max), (server_min, server_max), expect) in table {
        let client = UpstreamTls { min_version: min, max_version: max, ..client() };
        let server = DownstreamTls { min_version: server_min, max_version: server_max, ..server(TlsMode::Strict) };
        let got = handshake(Some(&client), &server);
        assert_eq!(got.version, expect);
        if expect.is_none() {
            assert_eq!(got.opening, Opening::Failed(TransportFailure::AlertProtocolVersion));
        }
    }
    for (offered, served, expect) in
        [("h2,http/1.1", "http/1.1,h2", Some("http/1.1")), ("h2", "mesh", None), ("", "h2", None)]
    {
        let list = |names: &str| names.split(',').map(own).collect();
        let client = UpstreamTls { alpn: list(offered), sni: Some(own("cart")), ..client() };
        let server = DownstreamTls { alpn: list(served), ..server(TlsMode::Strict) };
        let got = handshake(Some(&client), &server);
        assert_eq!((got.opening, got.alpn, got.server_name), (Opening::Open, expect, Some("cart")));
        assert_eq!(got.peer(), client.identity);
    }
}

#[test]
fn labels_choose_the_transport() {
    let entry = |labels: &[(&str, &str)], sni: Option<&str>| TransportMatch {
        name: String::new(),
        matches: labels.iter().map(|(key, value)| (own(key), own(value))).collect(),
        tls: sni.map(|sni| UpstreamTls { sni: Some(own(sni)), ..UpstreamTls::default() }),
    };
    let mut cluster = Cluster::new("c", Vec::new());
    cluster.tls = Some(UpstreamTls { sni: Some(own("own")), ..UpstreamTls::default() });
    let mesh = entry(&[("tlsMode", "mesh")], Some("mesh"));
    let raw = entry(&[], None);
    let table: [(&[TransportMatch], &[(&str, &str)], Option<&str>); 6] = [
        (&[], &[], Some("own")),
        (std::slice::from_ref(&mesh), &[("tlsMode", "mesh"), ("more", "1")], Some("mesh")),
        (std::slice::from_ref(&mesh), &[("tlsMode", "off")], Some("own")),
        (&[mesh.clone(), raw.clone()], &[], None),
        (&[mesh.clone(), raw.clone()], &[("tlsMode", "mesh")], Some("mesh")),
        (&[raw, mesh.clone()], &[("tlsMode", "mesh")], None),
    ];
    for (entries, labels, expect) in table {
        cluster.transport_matches = entries.to_vec();
        let mut host = Host::new("h", "10.0.0.1:80");
        host.transport_metadata = labels.iter().map(|(key, value)| (own(key), own(value))).collect();
        let sni = choose_transport(&cluster, &host).and_then(|tls| tls.sni.as_deref());
        assert_eq!(sni, expect, "{labels:?}");
    }
}
