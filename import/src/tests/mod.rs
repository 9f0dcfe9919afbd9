//! Manifests in, facts out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod analyze;
mod calls;
mod delivery;
mod envoy;
mod envoy_filter;
mod findings;
mod fuzz;
mod gateway_api;
mod gateway_references;
mod injection;
mod kinds;
mod kubernetes;
mod linkerd;
mod lints;
mod references;
mod suppressions;
mod unmodelled;

use meshproof_model::{Located, Location, Sources};

use crate::{ImportOptions, Imported, import};

/// Reads one text.
fn read(text: &str) -> Imported {
    read_all(&[("mesh.yaml", text)])
}

/// Reads several.
fn read_all(texts: &[(&str, &str)]) -> Imported {
    let mut sources = Sources::default();
    for (path, text) in texts {
        sources.add(*path, *text);
    }
    import(&sources, &ImportOptions::default())
}

/// `line:column path`.
fn place(at: &Location) -> String {
    format!("{}:{} {}", at.line, at.column, at.path)
}

/// `value @ place`.
fn show<T: std::fmt::Debug>(value: Option<&Located<T>>) -> String {
    value.map_or("-".to_owned(), |v| format!("{:?} @ {}", v.value, place(&v.at)))
}

/// Findings as `CODE line:column message`.
fn findings(imported: &Imported) -> Vec<String> {
    let line = |f: &meshproof_model::Finding| {
        let at = f.location.as_ref().map(|at| format!("{}:{}", at.line, at.column)).unwrap_or_default();
        format!("{} {at} {}", f.rule.code, f.message)
    };
    imported.findings.iter().map(line).collect()
}

/// A manifest that nothing is wrong with.
fn read_clean(text: &str) -> Imported {
    let imported = read(text);
    let worse = |f: &&meshproof_model::Finding| f.severity > meshproof_model::Severity::Info;
    assert_eq!(imported.findings.iter().find(worse), None);
    assert!(!imported.unreadable);
    imported
}

const VIRTUAL_SERVICE: &str =
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r, namespace: shop}\nspec:\n";
