//! `meshproof doctor`: which parts of the environment are in use.

use std::path::Path;

use super::{Failure, print};

pub(super) fn run() -> Result<u8, Failure> {
    print(&format!(
        "meshproof {}\nz3        {}, {}\nthreads   {}\n",
        env!("CARGO_PKG_VERSION"),
        meshproof_verifier::z3_version(),
        z3_library(),
        std::thread::available_parallelism().map_or(1, usize::from),
    ))
}

/// Where the Z3 library was loaded from, as far as the system tells (Linux does).
fn z3_library() -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let path = maps.lines().filter_map(|line| line.split_once('/')).map(|(_, path)| format!("/{path}"));
    match path.into_iter().find(|path| path.contains("libz3")) {
        Some(path) if path.contains("/.z3/") => format!("the pinned wheel: {path}"),
        Some(path) if is_packed(&path) => format!("beside the program: {path}"),
        Some(path) => format!("the system's library: {path}"),
        None => "linked into the program, or not told by this system".to_owned(),
    }
}

/// Whether a library lies where `make dist` puts it: in `lib`, beside the program's `bin`.
fn is_packed(library: &str) -> bool {
    let program = std::env::current_exe().and_then(std::fs::canonicalize).unwrap_or_default();
    let beside = |above: &Path| Path::new(library).parent() == Some(&above.join("lib"));
    program.parent().filter(|folder| folder.ends_with("bin")).and_then(Path::parent).is_some_and(beside)
}
