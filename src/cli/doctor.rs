//! `meshproof doctor`: which parts of the environment are in use.

use super::{Failure, print};

pub(super) fn run() -> Result<u8, Failure> {
    print(&format!(
        "meshproof {}\nz3        {}\nthreads   {}\n",
        env!("CARGO_PKG_VERSION"),
        meshproof_verifier::z3_version(),
        std::thread::available_parallelism().map_or(1, usize::from),
    ))
}
