//! The digest of a run: the first 128 bits of SHA-256 over the records of its events in order.
//!
//! A record is 16 bytes: the time in nanoseconds, then what happened, to whom; both little-endian. Records are hashed
//! in blocks of 4 KiB, so that a record costs a few nanoseconds.

use std::fmt::Write;

use sha2::{Digest as _, Sha256};

const RECORD: usize = 16;
const BLOCK: usize = 4096;

/// Collects records.
#[derive(Clone)]
pub(crate) struct Digester {
    hash: Sha256,
    block: [u8; BLOCK],
    filled: usize,
    records: u64,
}

impl Digester {
    pub(crate) fn new() -> Self {
        Self { hash: Sha256::new(), block: [0; BLOCK], filled: 0, records: 0 }
    }

    /// Adds a record: `kind` and 24 bits of `who` and 32 bits of `what`.
    pub(crate) fn record(&mut self, at: u64, kind: u8, who: u32, what: u32) {
        let what = u64::from(kind) << 56 | u64::from(who & 0x00ff_ffff) << 32 | u64::from(what);
        let record = &mut self.block[self.filled..self.filled + RECORD];
        record[..8].copy_from_slice(&at.to_le_bytes());
        record[8..].copy_from_slice(&what.to_le_bytes());
        self.filled += RECORD;
        self.records += 1;
        if self.filled == BLOCK {
            self.hash.update(self.block);
            self.filled = 0;
        }
    }

    /// How many records there are.
    pub(crate) const fn records(&self) -> u64 {
        self.records
    }

    pub(crate) fn finish(mut self) -> Digest {
        self.hash.update(&self.block[..self.filled]);
        Digest::of(self.hash)
    }
}

/// The digest of a run or of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    fn of(hash: Sha256) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finalize()[..16]);
        Self(digest)
    }

    /// The digest of several runs in seed order: that of the run if there is one, else the hash of their digests.
    pub(crate) fn of_all(digests: &[Self]) -> Self {
        if let [only] = digests {
            return *only;
        }
        let mut hash = Sha256::new();
        for digest in digests {
            hash.update(digest.0);
        }
        Self::of(hash)
    }
}

impl std::fmt::Display for Digest {
    /// Thirty-two hexadecimal digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(32);
        for byte in self.0 {
            write!(text, "{byte:02x}")?;
        }
        f.write_str(&text)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
