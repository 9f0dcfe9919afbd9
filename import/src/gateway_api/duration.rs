//! Durations of Gateway API (GEP-2257): whole numbers with units, at most four of them.

use meshproof_model::{Located, Nanos};

use crate::{cx::Cx, field::Field};

/// The duration of a field, if it is one.
pub(crate) fn read(object: &Field<'_>, key: &'static str, cx: &mut Cx) -> Option<Located<Nanos>> {
    let field = object.get(key)?;
    let text = field.text()?;
    let nanos = gep2257(&text);
    if nanos.is_none() {
        let message = format!("`{key}` is a duration of Gateway API, and `{text}` is none");
        cx.invalid(&field, message, "write whole numbers with units, such as `500ms`, `2s` or `1m30s`");
    }
    nanos.map(|nanos| field.located(nanos))
}

/// `^([0-9]{1,5}(h|m|s|ms)){1,4}$`.
fn gep2257(text: &str) -> Option<Nanos> {
    let (mut rest, mut total, mut parts) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(unit);
        parts += 1;
        if !(1..=5).contains(&digits) || parts > 4 {
            return None;
        }
        let scale = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        // Five digits of hours, four times, are far from the limit.
        total += number.parse::<u64>().ok()?.checked_mul(scale)?;
        rest = tail;
    }
    (parts > 0).then(|| Nanos::new(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_whole_numbers_and_known_units() {
        let rows: &[(&str, Option<u64>)] = &[
            ("0s", Some(0)),
            ("500ms", Some(500_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1h2m3s4ms", Some(3_723_004_000_000)),
            ("99999h", Some(359_996_400_000_000_000)),
            ("100000h", None),
            ("1.5s", None),
            ("1h1h1h1h1h", None),
            ("10", None),
            ("s", None),
            ("1us", None),
            ("-1s", None),
            ("", None),
        ];
        for (text, nanos) in rows {
            assert_eq!(gep2257(text).map(Nanos::get), *nanos, "{text}");
        }
    }
}
