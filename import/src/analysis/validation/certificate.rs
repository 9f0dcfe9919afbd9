//! Whether a text holds a certificate: PEM around DER, no signature is checked.

/// A certificate that was over by then is over: what is judged must not depend on the day of the run.
const EXPIRED_BEFORE: &str = "20261101000000Z";

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The bytes behind standard base64; blanks do not count. `None`: it is none.
pub(in crate::analysis) fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        Some(u32::from(value))
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let body = digits.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    if !digits.len().is_multiple_of(4) || digits.len() - body > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    for chunk in digits[..body].chunks(4) {
        let mut bits = 0;
        for i in 0..4 {
            bits = bits << 6 | chunk.get(i).map_or(Some(0), |byte| digit(*byte))?;
        }
        let whole = bits.to_be_bytes();
        bytes.extend_from_slice(&whole[1..chunk.len().min(4)]);
    }
    Some(bytes)
}

/// Whether the bytes are certificates in PEM, the first of which reads as one and is not over. Istio:
/// `pilot/pkg/xds.ValidateCertificate`.
pub(in crate::analysis) fn is_certificate(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let body = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(body, _)| body);
    let der = body.and_then(base64);
    der.and_then(|der| not_after(&der)).is_some_and(|end| end.as_str() >= EXPIRED_BEFORE)
}

/// The end of a certificate, `YYYYMMDDhhmmssZ`: of
/// `SEQUENCE { SEQUENCE { [0] version, serial, algorithm, issuer, SEQUENCE { begin, end }, ... }, SEQUENCE, BIT STRING }`
/// (RFC 5280, 4.1).
fn not_after(der: &[u8]) -> Option<String> {
    let (certificate, rest) = tagged(SEQUENCE, der)?;
    let (body, after) = tagged(SEQUENCE, certificate)?;
    let (_, after) = tagged(SEQUENCE, after)?;
    let (_, after) = tagged(BIT_STRING, after)?;
    let whole = rest.is_empty() && after.is_empty();
    let body = tagged(VERSION, body).map_or(body, |(_, after)| after);
    let (_, after) = tagged(INTEGER, body)?;
    let (_, after) = tagged(SEQUENCE, after)?;
    let (_, after) = tagged(SEQUENCE, after)?;
    let (validity, _) = tagged(SEQUENCE, after)?;
    let (_, _, end) = value(validity)?;
    let (tag, text, _) = value(end)?;
    let text = std::str::from_utf8(text).ok().filter(|_| whole)?;
    match tag {
        UTC_TIME => Some(format!("{}{text}", if text < "5" { "20" } else { "19" })),
        GENERALIZED_TIME => Some(text.to_owned()),
        _ => None,
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The content of a value of that tag, and what follows.
fn tagged(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    value(der).filter(|(own, _, _)| *own == tag).map(|(_, content, rest)| (content, rest))
}

/// A value's tag, its content, and what follows.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let digits = rest.get(..count).filter(|digits| digits.len() <= 4)?;
        (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), &rest[count..])
    };
    Some((*tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn base64_is_the_standard_one() {
        for (text, bytes) in [("", ""), ("TQ==", "M"), ("TWE=", "Ma"), ("TWFu", "Man"), ("TW\nFu", "Man")] {
            assert_eq!(base64(text).unwrap(), bytes.as_bytes(), "{text}");
        }
        for text in ["T", "TQ=", "T===", "TQ-_"] {
            assert_eq!(base64(text), None, "{text}");
        }
    }

    #[test]
    fn a_certificate_lasts_until_its_end() {
        let end_of = |tag: u8, end: &str| {
            let time = |text: &str| {
                let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
                der.extend(text.bytes());
                der
            };
            let sequence = |content: &[u8]| {
                let mut der = vec![SEQUENCE, u8::try_from(content.len()).unwrap()];
                der.extend(content);
                der
            };
            let validity = sequence(&[time(end), time(end)].concat());
            let parts: [&[u8]; 5] = [&[VERSION, 0], &[INTEGER, 1, 7], &[SEQUENCE, 0], &[SEQUENCE, 0], &validity];
            not_after(&sequence(&[&sequence(&parts.concat()), &[SEQUENCE, 0, BIT_STRING, 0][..]].concat()))
        };
        assert_eq!(end_of(UTC_TIME, "201231235959Z").unwrap(), "20201231235959Z");
        assert_eq!(end_of(UTC_TIME, "991231235959Z").unwrap(), "19991231235959Z");
        assert_eq!(end_of(GENERALIZED_TIME, "20501231235959Z").unwrap(), "20501231235959Z");
        assert_eq!(end_of(INTEGER, "1"), None);
        // SEQUENCE { SEQUENCE {}, SEQUENCE {}, BIT STRING "" }
        assert!(!is_certificate(format!("{BEGIN}\nMAYwADAAAwA=\n{END}\n").as_bytes()), "no dates");
        assert!(!is_certificate(b"fake"));
    }
}
