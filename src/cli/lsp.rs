//! `meshproof lsp`.

use lsp_server::Connection;

use super::{Failure, HOLDS};
use crate::{Choice, lsp};

pub(super) fn run() -> Result<u8, Failure> {
    let (connection, threads) = Connection::stdio();
    let choice = Choice { today: Some(super::today()), ..Choice::default() };
    let served = lsp::serve(&connection, choice);
    // The writing thread ends when nobody can send any more.
    drop(connection);
    let joined = threads.join();
    served.map_err(|error| Failure::Usage(error.to_string()))?;
    joined.map_err(|source| Failure::Output { path: "-".to_owned(), source })?;
    Ok(HOLDS)
}
