//! Recorded arrivals: a text with one time in seconds on each line, from the start of the run, ascending.

/// The times in nanoseconds. Blank lines and lines that begin with `#` are left out; of a line with commas, the first
/// value counts, and a first line that is no number is a heading.
///
/// # Errors
/// The number of the line, from 1, and what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Vec<u64>, (usize, String)> {
    let mut times: Vec<u64> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let value = line.split(',').next().unwrap_or_default().trim();
        if value.is_empty() || value.starts_with('#') {
            continue;
        }
        let Some(time) = nanos(value) else {
            if number == 1 {
                continue;
            }
            return Err((number, format!("`{value}` is not a time in seconds such as `12.5`")));
        };
        if times.last().is_some_and(|last| *last > time) {
            return Err((number, format!("`{value}` comes before the time above it")));
        }
        times.push(time);
    }
    Ok(times)
}

/// Decimal seconds in whole nanoseconds, exactly; further digits are cut off.
fn nanos(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(digits.parse().ok()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is missing")]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::read;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("MESHPROOF_SLOW").is_some() { 100_000 } else { 200 }))]

        #[test]
        fn any_text_is_read_or_refused_with_a_line(text in "[0-9a.,#\\-\n\r é]{0,60}|\\PC*") {
            match read(&text) {
                Ok(times) => prop_assert!(times.is_sorted()),
                Err((line, why)) => prop_assert!((1..=text.lines().count()).contains(&line), "{}: {}", line, why),
            }
        }

        #[test]
        fn what_is_written_is_read(mut times in prop::collection::vec(0..1_000_000_000_000_000_u64, 0..20)) {
            times.sort_unstable();
            let mut text = String::from("seconds\n");
            for time in &times {
                writeln!(text, "{}.{:09},x", time / 1_000_000_000, time % 1_000_000_000).unwrap();
            }
            prop_assert_eq!(read(&text), Ok(times));
        }
    }

    #[test]
    fn times_are_read_exactly_and_in_order() {
        let ok = |text: &str| read(text).map_err(|(line, _)| line);
        assert_eq!(
            ok("0\n0.5\n\n# later\n1.000000001,GET /\n1.0000000019"),
            Ok(vec![0, 500_000_000, 1_000_000_001, 1_000_000_001])
        );
        assert_eq!(ok("seconds,path\n2"), Ok(vec![2_000_000_000]));
        assert_eq!(ok("1\nx"), Err(2));
        assert_eq!(ok("1\n-2"), Err(2));
        assert_eq!(ok("2\n1"), Err(2));
        assert_eq!(ok("1\n99999999999999"), Err(2));
        assert_eq!(ok(""), Ok(Vec::new()));
    }
}
