//! Whether a text holds a certificate: PEM around DER, no signature is checked.

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

/// Whether the bytes are certificates in PEM, the first of which reads as one.
pub(in crate::analysis) fn is_certificate(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let body = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(body, _)| body);
    body.and_then(base64).is_some_and(|der| is_der_certificate(&der))
}

/// `SEQUENCE { SEQUENCE { ... }, SEQUENCE { ... }, BIT STRING }` (RFC 5280, 4.1).
fn is_der_certificate(der: &[u8]) -> bool {
    let parts = || {
        let (tag, inside, rest) = value(der)?;
        let (body, _, after) = value(inside)?;
        let (algorithm, _, after) = value(after)?;
        let (signature, _, after) = value(after)?;
        Some((tag, body, algorithm, signature, rest.is_empty() && after.is_empty()))
    };
    parts() == Some((0x30, 0x30, 0x30, 0x03, true))
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
    fn a_certificate_is_three_values_in_a_sequence() {
        // SEQUENCE { SEQUENCE {}, SEQUENCE {}, BIT STRING "" }
        let pem = format!("{BEGIN}\nMAYwADAAAwA=\n{END}\n");
        assert!(is_certificate(pem.as_bytes()));
        assert!(!is_certificate(format!("{BEGIN}\nMAQwADAA\n{END}\n").as_bytes()), "no signature");
        assert!(!is_certificate(b"fake"));
    }
}
