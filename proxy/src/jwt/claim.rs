//! Claims of a token, and how they read as headers.

use std::{borrow::Cow, fmt::Write};

use crate::{Claim, Token};

/// The claim at the end of a path of names.
pub(crate) fn claim<'t>(token: &'t Token, path: &[String]) -> Option<Cow<'t, Claim>> {
    let (name, rest) = path.split_first()?;
    let registered = match name.as_str() {
        "iss" => token.issuer.clone().map(Claim::Text),
        "sub" => token.subject.clone().map(Claim::Text),
        "aud" => match token.audiences.as_slice() {
            [] => None,
            [audience] => Some(Claim::Text(audience.clone())),
            audiences => Some(Claim::List(audiences.iter().cloned().map(Claim::Text).collect())),
        },
        _ => None,
    };
    if let Some(claim) = registered {
        return rest.is_empty().then_some(Cow::Owned(claim));
    }
    let mut claim = token.claims.get(name)?;
    for name in rest {
        let Claim::Object(fields) = claim else { return None };
        claim = fields.get(name)?;
    }
    Some(Cow::Borrowed(claim))
}

/// How a claim reads as a header; lists and objects are JSON in base64url. Empty: there is no header.
pub(super) fn header_text(claim: &Claim) -> String {
    match claim {
        Claim::Null => String::new(),
        Claim::Bool(value) => value.to_string(),
        // Envoy prints negative numbers as doubles.
        Claim::Number(number) if *number < 0 => format!("{number}.000000"),
        Claim::Number(number) => number.to_string(),
        Claim::Text(text) => text.clone(),
        Claim::List(_) | Claim::Object(_) => {
            let mut json = String::new();
            write_json(claim, &mut json);
            base64url(json.as_bytes())
        }
    }
}

fn write_json(claim: &Claim, out: &mut String) {
    match claim {
        Claim::Null => out.push_str("null"),
        Claim::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        // Writing to a string does not fail.
        Claim::Number(number) => _ = write!(out, "{number}"),
        Claim::Text(text) => write_text(text, out),
        Claim::List(list) => {
            out.push('[');
            for (index, element) in list.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_json(element, out);
            }
            out.push(']');
        }
        Claim::Object(fields) => {
            out.push('{');
            for (index, (name, value)) in fields.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_text(name, out);
                out.push(':');
                write_json(value, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..=group.len() {
            out.push(char::from(DIGITS[bits >> (18 - 6 * digit) & 63]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_read_as_headers() {
        let text = |text: &str| Claim::Text(text.to_owned());
        let object = Claim::Object([("b".to_owned(), Claim::Null), ("a".to_owned(), text("x\"\n"))].into());
        let table = [
            (text("admin"), "admin"),
            (Claim::Number(7), "7"),
            (Claim::Number(-7), "-7.000000"),
            (Claim::Bool(true), "true"),
            (Claim::Null, ""),
            (Claim::List(vec![text("a"), text("b")]), "WyJhIiwiYiJd"),
            (Claim::List(vec![Claim::Number(1)]), "WzFd"),
            (object, "eyJhIjoieFwiXHUwMDBhIiwiYiI6bnVsbH0"),
        ];
        for (claim, expect) in table {
            assert_eq!(header_text(&claim), expect, "{claim:?}");
        }
    }
}
