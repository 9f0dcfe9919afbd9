//! A question's request, as the proxy core reads it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use meshproof_model::{TOKEN_KEY, claim_header, claim_value};
use meshproof_proxy::{self as proxy, Claim, Metadata, Peer, RequestHead, RequestKey, Token, config::Identity};
use serde_json::Value;

use super::question::{Question, Spoken};

/// Claims that Istio splits at spaces into lists (`RA-1`: its token filter normalises them).
const LISTS: [&str; 2] = ["scope", "permission"];

/// A request with everything that its head borrows.
pub(super) struct Head<'q> {
    question: &'q Question,
    authority: &'q str,
    method: &'q str,
    path: &'q str,
    headers: Vec<(String, String)>,
    token: Option<Arc<Token>>,
    metadata: Option<Arc<Metadata>>,
    is_connection: bool,
}

/// Where a request arrives, and from whom.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    /// What the peer's connection shows; `None`: plaintext.
    pub(super) identity: Option<&'a Identity>,
    pub(super) peer: Option<IpAddr>,
    pub(super) client: Option<IpAddr>,
    pub(super) destination: (Option<IpAddr>, u16),
}

impl<'q> Head<'q> {
    /// The request for an authority that counts where the question names none. Of a connection only what it shows.
    pub(super) fn new(question: &'q Question, host: &'q str, is_connection: bool) -> Self {
        let request = &question.request;
        let is_grpc = request.protocol == Some(Spoken::Grpc);
        let method = request.method.as_deref().unwrap_or(if is_grpc { "POST" } else { "GET" });
        let mut headers = Vec::new();
        for (name, value) in &request.headers {
            let name = name.to_ascii_lowercase();
            match value {
                Value::Array(several) => headers.extend(several.iter().map(|value| (name.clone(), text(value)))),
                Value::Null => {}
                one => headers.push((name, text(one))),
            }
        }
        if is_grpc && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
        }
        let written = headers.iter().position(|(name, _)| name == "host" || name == ":authority");
        if let Some(place) = written {
            headers.remove(place);
        }
        let sni = request.sni.as_deref().filter(|_| is_connection);
        let authority = sni.or(request.host.as_deref()).unwrap_or(host);
        let metadata = request.metadata.iter().map(|(filter, values)| (filter.clone(), claims(values))).collect();
        Self {
            question,
            authority: if authority.is_empty() { "-" } else { authority },
            method,
            path: request.path.as_deref().unwrap_or("/"),
            headers: if is_connection { Vec::new() } else { headers },
            token: request.claims.as_ref().filter(|_| !is_connection).map(|claims| Arc::new(token(claims))),
            metadata: (!request.metadata.is_empty()).then(|| Arc::new(metadata)),
            is_connection,
        }
    }

    /// The same with what its token claims, for routes of a gateway that verifies tokens (`RT-6`).
    pub(super) fn with_claims(mut self) -> Self {
        for (name, claim) in self.question.request.claims.iter().flatten().filter(|_| !self.is_connection) {
            claimed(&mut vec![name], claim, &mut self.headers);
        }
        self
    }

    /// Puts the request to the proxy core.
    pub(super) fn ask<T>(&self, arrival: &Arrival<'_>, put: impl FnOnce(&proxy::Question<'_>) -> T) -> T {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (address, port) = arrival.destination;
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let (method, path) = if self.is_connection { ("GET", "/") } else { (self.method, self.path) };
        let head = RequestHead {
            key: RequestKey::default(),
            method,
            authority: self.authority,
            path,
            headers: &headers,
            tokens: &[],
            peer: Peer {
                identity: arrival.identity,
                address: arrival.peer,
                destination: Some(SocketAddr::new(address, port)),
                server_name: self.question.request.sni.as_deref(),
                connection: 0,
            },
            http2: true,
        };
        put(&proxy::Question {
            client: arrival.client.or(arrival.peer),
            scheme: self.question.request.scheme.as_deref().filter(|_| !self.is_connection),
            token: self.token.as_ref().map(|token| (TOKEN_KEY, token)),
            metadata: self.metadata.as_ref(),
            ..proxy::Question::of(head, 0)
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A header for each text and list of texts.
fn claimed<'v>(path: &mut Vec<&'v String>, value: &'v Value, headers: &mut Vec<(String, String)>) {
    let is_list = path.len() == 1 && LISTS.contains(&path[0].as_str());
    let texts: Vec<&str> = match value {
        Value::String(text) if is_list => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(name);
                claimed(path, value, headers);
                path.pop();
            }
            return;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => return,
    };
    headers.push((claim_header(path.iter().map(|name| name.as_str())), claim_value(texts)));
}

fn token(written: &BTreeMap<String, Value>) -> Token {
    let text = |name: &str| written.get(name).and_then(Value::as_str).map(str::to_owned);
    let audiences = match written.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let mut claims = claims(written);
    for name in LISTS {
        if let Some(Claim::Text(text)) = claims.get(name) {
            let list = text.split(' ').filter(|word| !word.is_empty()).map(|word| Claim::Text(word.to_owned()));
            let list = Claim::List(list.collect());
            claims.insert(name.to_owned(), list);
        }
    }
    Token { issuer: text("iss"), subject: text("sub"), audiences, claims, ..Token::default() }
}

fn claims(written: &BTreeMap<String, Value>) -> BTreeMap<String, Claim> {
    written.iter().map(|(name, value)| (name.clone(), claim(value))).collect()
}

fn claim(value: &Value) -> Claim {
    match value {
        Value::Null => Claim::Null,
        Value::Bool(value) => Claim::Bool(*value),
        // Policies compare texts; of other numbers it only counts that they are none.
        Value::Number(number) => number.as_i64().map_or(Claim::Null, Claim::Number),
        Value::String(text) => Claim::Text(text.clone()),
        Value::Array(list) => Claim::List(list.iter().map(claim).collect()),
        Value::Object(fields) => {
            Claim::Object(fields.iter().map(|(name, value)| (name.clone(), claim(value))).collect())
        }
    }
}
