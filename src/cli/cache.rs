//! Answers that were given before: a question about the same texts, by the same program, has the same one.
//!
//! An entry's name is a digest of everything that decides the answer: every byte of every text and its path, the command
//! line, the day, the program itself and its Z3. What is in an entry is only used if its own digest fits.

use std::{fmt::Write as _, fs, path::PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Failure, emit, make_folder, write_file};

/// What a command has answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) code: u8,
    /// Texts, each with the file that it goes to; without one, to standard output.
    pub(super) outputs: Vec<(Option<String>, String)>,
}

impl Answer {
    /// Writes it where it belongs.
    pub(super) fn give(&self) -> Result<u8, Failure> {
        self.outputs.iter().try_for_each(|(output, text)| emit(output.as_deref(), text))?;
        Ok(self.code)
    }
}

/// The place of an answer.
#[derive(Debug)]
pub(super) struct Entry {
    folder: String,
    key: String,
}

/// BOUND: answers that a folder keeps; the oldest go.
const KEPT: usize = 32;
const ENDING: &str = "answer";

impl Entry {
    /// For a question of these texts; `None` where the program cannot tell which one it is.
    pub(super) fn new(folder: &str, question: impl Iterator<Item = [String; 3]>) -> Option<Self> {
        let program = fs::read(std::env::current_exe().ok()?).ok()?;
        let mut digest = Sha256::new();
        digest.update(Sha256::digest(program));
        let version = [env!("CARGO_PKG_VERSION").to_owned(), meshproof_verifier::z3_version(), String::new()];
        for part in std::iter::once(version).chain(question).flatten() {
            // Lengths keep apart what stands side by side.
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Some(Self { folder: folder.to_owned(), key: hex(&digest.finalize()) })
    }

    /// The answer, if it was given before and is whole.
    pub(super) fn known(&self) -> Option<Answer> {
        let text = fs::read_to_string(self.path()).ok()?;
        let (digest, body) = text.split_once('\n')?;
        (digest == self.seal(body)).then(|| serde_json::from_str(body).ok())?
    }

    /// Keeps an answer.
    pub(super) fn keep(&self, answer: &Answer) -> Result<(), Failure> {
        let failed = |source: std::io::Error| Failure::Output { path: self.folder.clone(), source };
        make_folder(&self.folder)?;
        let body = serde_json::to_string(answer).map_err(|error| failed(error.into()))?;
        write_file(&self.path().display().to_string(), &format!("{}\n{body}", self.seal(&body)))?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // Another run may have taken it away.
            if let (true, Ok(meta)) = (path.extension().is_some_and(|end| end == ENDING), fs::metadata(&path)) {
                entries.push((meta.modified().map_err(failed)?, path));
            }
        }
        entries.sort();
        for (_, path) in entries.iter().take(entries.len().saturating_sub(KEPT)) {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(&self.folder).join(format!("{}.{ENDING}", self.key))
    }

    /// What tells that a body is this question's, and whole.
    fn seal(&self, body: &str) -> String {
        hex(&Sha256::digest(format!("{}\n{body}", self.key)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a text does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
