//! What makes two findings the same over time: the rule, the object and the field, not the line.

use meshproof_model::Finding;
use sha2::{Digest as _, Sha256};

/// Sixteen hexadecimal digits.
pub fn fingerprint(finding: &Finding) -> String {
    let path = finding.location.as_ref().map_or_else(String::new, |at| at.path.to_string());
    let text = format!("{}\n{}\n{path}", finding.rule.code, finding.subject);
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{first:016x}")
}
