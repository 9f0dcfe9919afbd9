//! What makes two findings the same over time: the rule, the object and the field, not the line.

use meshproof_model::Finding;
use sha2::{Digest as _, Sha256};

/// Sixteen hexadecimal digits.
pub fn fingerprint(finding: &Finding) -> String {
    let path = finding.location.as_ref().map_or("", |at| &*at.path);
    let text = format!("{}\n{}\n{path}", finding.rule.code, finding.subject);
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
