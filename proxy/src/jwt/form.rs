//! What is wrong with a text that is no token (Envoy: `google::jwt_verify::Jwt::parseFromString`).

use super::Status;

/// Why the text is no token: its sections, its header, its payload, its signature, whichever fails first.
pub(super) fn fault(text: &str) -> Status {
    let mut sections = text.split('.').filter(|section| !section.is_empty());
    let (Some(header), Some(payload), Some(signature), None) =
        (sections.next(), sections.next(), sections.next(), sections.next())
    else {
        return Status::BadForm;
    };
    match (decode(header), decode(payload)) {
        (None, _) => Status::HeaderNoBase64,
        (Some(header), _) if !is_object(&header) => Status::HeaderNoJson,
        (Some(header), _) if !header.windows(5).any(|part| part == b"\"alg\"") => Status::HeaderNoAlgorithm,
        (_, None) => Status::PayloadNoBase64,
        (_, Some(payload)) if !is_object(&payload) => Status::PayloadNoJson,
        _ if decode(signature).is_none() => Status::SignatureNoBase64,
        _ => Status::UnknownIssuer,
    }
}

/// Base64 in the alphabet for URLs; blanks do not count.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    });
    let digits = digits.collect::<Option<Vec<u8>>>()?;
    let bytes = digits.chunks(4).map(|chunk| {
        let word = chunk.iter().fold(0_u32, |word, digit| word << 6 | u32::from(*digit)) << (6 * (4 - chunk.len()));
        (chunk.len() > 1).then(|| word.to_be_bytes()[1..chunk.len()].to_vec())
    });
    Some(bytes.collect::<Option<Vec<_>>>()?.concat())
}

/// Whether it is a JSON object, as far as its ends show; what is between is not looked at.
fn is_object(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii();
    bytes.starts_with(b"{") && bytes.ends_with(b"}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_is_told() {
        let table = [
            ("", Status::BadForm),
            ("abc.def", Status::BadForm),
            ("e30.e30.", Status::BadForm),
            ("e30.e30.x.y", Status::BadForm),
            ("a.e30.x", Status::HeaderNoBase64),
            ("T e30.e30.x", Status::HeaderNoJson),
            ("e30.e30.x", Status::HeaderNoAlgorithm),
            ("eyJhbGciOjB9.$.x", Status::PayloadNoBase64),
            ("eyJhbGciOjB9.Zm9v.x", Status::PayloadNoJson),
            ("eyJhbGciOjB9.e30.x", Status::SignatureNoBase64),
            ("eyJhbGciOjB9.e30.xx", Status::UnknownIssuer),
        ];
        for (text, expect) in table {
            assert_eq!(fault(text), expect, "{text}");
        }
    }
}
