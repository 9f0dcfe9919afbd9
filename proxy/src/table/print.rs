//! Whether two tables were compiled of the same, without keeping what they were compiled of (Envoy:
//! `MessageUtil::hash`, by which it skips updates that change nothing).

use std::{
    fmt::{self, Debug, Write},
    hash::Hasher,
};

use twox_hash::XxHash64;

/// What a part of a configuration says, as one number.
pub(super) fn print(part: &impl Debug) -> u64 {
    let mut print = Print(XxHash64::with_seed(0));
    // Hashing does not fail.
    _ = write!(print, "{part:?}");
    print.0.finish()
}

struct Print(XxHash64);

impl Write for Print {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
