//! Tokens made from their description, in place in a request.
//!
//! There is no key material: the proxy is told what each token says, and knows it in a request by its text.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_proxy::{Claim, TokenAlgorithm};
use serde_json::{Map, Value, json};

use crate::case::{Request, Token};

/// A request with its tokens in place.
pub(crate) struct Placed {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) tokens: Vec<Arc<meshproof_proxy::Token>>,
}

/// Puts a request's tokens where they belong.
pub(crate) fn place(request: &Request) -> Placed {
    let mut placed = Placed { path: request.path.clone(), headers: request.headers.clone(), tokens: Vec::new() };
    for token in request.tokens() {
        let text = token.literal.clone().unwrap_or_else(|| {
            let described = describe(token);
            let text = described.text.clone();
            placed.tokens.push(Arc::new(described));
            text
        });
        let Some(place) = &token.place else {
            placed.headers.push(("authorization".to_owned(), format!("Bearer {text}")));
            continue;
        };
        if let Some(header) = &place.header {
            placed.headers.push((header.clone(), format!("{}{text}", place.prefix)));
        } else if let Some(param) = &place.param {
            let mark = if placed.path.contains('?') { "&" } else { "?" };
            placed.path.extend([mark, param, "=", &text]);
        } else if let Some(cookie) = &place.cookie {
            placed.headers.push(("cookie".to_owned(), format!("{cookie}={text}")));
        }
    }
    placed
}

fn describe(token: &Token) -> meshproof_proxy::Token {
    let signed_by = token.signed_by.clone().unwrap_or_else(|| "right".to_owned());
    let key_id = token.key_id.clone().unwrap_or_else(|| Some(signed_by.clone()));
    let algorithm = token.algorithm.as_deref().unwrap_or("ES256");
    let audiences = match &token.audience {
        None => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(text).collect(),
        Some(other) => vec![text(other)],
    };
    meshproof_proxy::Token {
        text: looks(token, &signed_by, algorithm),
        issuer: token.issuer.as_ref().map(text),
        subject: token.subject.as_ref().map(text),
        audiences,
        expires_in_s: token.exp_offset_s,
        not_before_in_s: token.nbf_offset_s,
        issued_in_s: token.iat_offset_s,
        algorithm: match algorithm {
            "none" => TokenAlgorithm::None,
            "HS256" => TokenAlgorithm::Hs256,
            _ => TokenAlgorithm::Es256,
        },
        key_id,
        signed_by,
        is_tampered: token.tampered,
        claims: token.claims.iter().map(|(name, value)| (name.clone(), claim(value))).collect(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn claim(value: &Value) -> Claim {
    match value {
        Value::Null => Claim::Null,
        Value::Bool(truth) => Claim::Bool(*truth),
        Value::Number(number) => Claim::Number(number.as_i64().unwrap_or_default()),
        Value::String(text) => Claim::Text(text.clone()),
        Value::Array(list) => Claim::List(list.iter().map(claim).collect()),
        Value::Object(entries) => {
            Claim::Object(entries.iter().map(|(name, value)| (name.clone(), claim(value))).collect::<BTreeMap<_, _>>())
        }
    }
}

/// A text with the shape of a token, different for different tokens.
fn looks(token: &Token, signed_by: &str, algorithm: &str) -> String {
    let header = json!({ "alg": algorithm, "kid": token.key_id, "typ": "JWT" });
    let mut payload: Map<_, _> = token.claims.clone().into_iter().collect();
    for (name, value) in [("iss", &token.issuer), ("aud", &token.audience), ("sub", &token.subject)] {
        payload.insert(name.to_owned(), json!(value));
    }
    for (name, value) in [("exp", token.exp_offset_s), ("nbf", token.nbf_offset_s), ("iat", token.iat_offset_s)] {
        payload.insert(name.to_owned(), json!(value));
    }
    payload.insert("tampered".to_owned(), json!(token.tampered));
    let signature = if algorithm == "none" { "" } else { signed_by };
    let parts = [header.to_string(), Value::Object(payload).to_string(), signature.to_owned()];
    parts.map(|part| encode(part.as_bytes())).join(".")
}

/// Base64 in the alphabet for URLs, without padding.
fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let index = word >> (18 - 6 * place) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_for_urls() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }
}
