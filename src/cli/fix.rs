//! Writing what `verify --fix` has mended into the user's files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Failure, write_whole};
use crate::{Project, repair::changed};

/// Refuses what has no files to write.
pub(super) fn refuse(paths: &[String]) -> Result<(), Failure> {
    match paths.iter().find(|path| *path == "-" || path.starts_with("git:")) {
        Some(path) => Err(Failure::Usage(format!("`--fix` cannot write `{path}`: `--suggest` prints the patch"))),
        None => Ok(()),
    }
}

/// Writes the texts that differ, each as a whole; nothing is written if one of them cannot be.
pub(super) fn write(before: &Project, after: &Project) -> Result<(), Failure> {
    let mut ready = Vec::new();
    for (id, old, new) in changed(before, after) {
        let path = before.sources.path(id);
        ready.push((path, target(path, old).map_err(|source| failed(path, source))?, new));
    }
    for (path, (target, permissions), text) in ready {
        write_whole(&target, text, Some(permissions)).map_err(|source| failed(path, source))?;
    }
    Ok(())
}

fn failed(path: &str, source: io::Error) -> Failure {
    Failure::Output { path: path.to_owned(), source }
}

/// The file that a path leads to, and who may do what with it.
fn target(path: &str, text: &str) -> io::Result<(PathBuf, fs::Permissions)> {
    let file = fs::canonicalize(Path::new(path))?;
    let permissions = fs::metadata(&file)?.permissions();
    if permissions.readonly() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only, and nothing was changed"));
    }
    if fs::read(&file)? != text.as_bytes() {
        return Err(io::Error::other("it has changed since it was read, and nothing was changed here"));
    }
    Ok((file, permissions))
}
