//! The key of a consistent hash, as hash policies make it of a request (Envoy: `HashPolicyImpl`).

use std::fmt::Write;

use smallvec::SmallVec;
use twox_hash::XxHash64;

use crate::{config::HashPolicy, path, request::Request, table::query_parameter};

/// Envoy's hash of a text.
pub(crate) fn xxh64(text: &str) -> u64 {
    XxHash64::oneshot(0, text.as_bytes())
}

/// The key of a request; `None`: no policy finds anything, and the balancer draws one.
pub(crate) fn key(policies: &[HashPolicy], request: &Request) -> Option<u64> {
    policies.iter().fold(None, |key, policy| match (key, of_policy(policy, request)) {
        (key, None) => key,
        (None, hash) => hash,
        (Some(key), Some(hash)) => Some(key.rotate_left(1) ^ hash),
    })
}

fn of_policy(policy: &HashPolicy, request: &Request) -> Option<u64> {
    match policy {
        HashPolicy::Header(name) => of_header(request, name),
        HashPolicy::Cookie { name, ttl } => match cookie(request, name) {
            Some(value) => Some(xxh64(value)),
            None => ttl.map(|_| of_connection(request)),
        },
        HashPolicy::SourceIp => {
            let mut address = String::new();
            write!(address, "{}", request.peer_or_trusted()?).ok()?;
            Some(xxh64(&address))
        }
        HashPolicy::QueryParameter(name) => query_parameter(path::query(request.path()), name).map(xxh64),
    }
}

/// All values in one key, whatever their order.
fn of_header(request: &Request, name: &str) -> Option<u64> {
    let mut values: SmallVec<[&str; 4]> = request.header(name).collect();
    values.sort_unstable();
    let hash = values.iter().fold(0, |seed, value| XxHash64::oneshot(seed, value.as_bytes()));
    (!values.is_empty()).then_some(hash)
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .headers
        .values("cookie")
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim_start().split_once('='))
        .find_map(|(key, value)| (key == name).then(|| value.trim_matches('"')))
}

/// A new cookie's value is the hash of the connection, in hexadecimal.
fn of_connection(request: &Request) -> u64 {
    let connection = request.peer.address.map_or_else(String::new, |address| address.to_string());
    let value = xxh64(&format!("{connection}#{}", request.peer.connection));
    xxh64(&format!("{value:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Nanos;

    fn request(path: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::default();
        request.set_path(path);
        request.trusted_address = Some([10, 0, 0, 1].into());
        for (name, value) in headers {
            request.headers.push(name, value);
        }
        request
    }

    #[test]
    fn texts_hash_as_xxh64_does() {
        // SOURCE: the reference implementation's test values.
        assert_eq!(xxh64(""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64("abc"), 0x44bc_2cf5_ad77_0999);
    }

    #[test]
    fn policies_combine_in_order() {
        let header = |name: &str| HashPolicy::Header(name.to_owned());
        let cookie = |ttl| HashPolicy::Cookie { name: "sid".to_owned(), ttl };
        let query = || HashPolicy::QueryParameter("q".to_owned());
        let request =
            request("/?q=1&q=2", &[("x-a", "one"), ("cookie", "a=b; sid=\"s1\""), ("x-m", "2"), ("x-m", "1")]);
        let joined = XxHash64::oneshot(XxHash64::oneshot(0, b"1"), b"2");
        let table = [
            (vec![], None),
            (vec![header("x-none")], None),
            (vec![header("x-a")], Some(xxh64("one"))),
            (vec![header("x-m")], Some(joined)),
            (vec![cookie(None)], Some(xxh64("s1"))),
            (vec![query()], Some(xxh64("1"))),
            (vec![HashPolicy::SourceIp], Some(xxh64("10.0.0.1"))),
            (vec![header("x-none"), header("x-a")], Some(xxh64("one"))),
            (vec![header("x-a"), query()], Some(xxh64("one").rotate_left(1) ^ xxh64("1"))),
        ];
        for (policies, expect) in table {
            assert_eq!(key(&policies, &request), expect, "{policies:?}");
        }
    }

    #[test]
    fn an_absent_cookie_is_made_of_the_connection() {
        let policy = |ttl| [HashPolicy::Cookie { name: "sid".to_owned(), ttl }];
        let mut request = request("/", &[]);
        assert_eq!(key(&policy(None), &request), None);
        let first = key(&policy(Some(Nanos::ZERO)), &request);
        assert_eq!(key(&policy(Some(Nanos::ZERO)), &request), first);
        request.peer.connection = 1;
        assert_ne!(key(&policy(Some(Nanos::ZERO)), &request), first);
    }
}
