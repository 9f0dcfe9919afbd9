//! The meshes that the project ships: the good one holds, the broken one is found out line by line.
#![allow(clippy::unwrap_used)]

use meshproof_model::Value;

mod common;

#[test]
fn bookinfo_holds() {
    let (sources, mesh) = common::folder("topologies/bookinfo");
    let report = common::judge(&mesh);
    assert_eq!(report.disagreements, [""; 0]);
    assert_eq!(common::findings(&sources, &report, &[]), "");
    for code in ["MP0401", "MP0402", "MP0403", "MP0501", "MP0601", "MP0602"] {
        assert!(report.proofs.iter().any(|proof| proof.rule.code == code), "no proof of {code}");
    }
}

#[test]
fn the_broken_bookinfo_is_found_out() {
    let (sources, mesh) = common::folder("topologies/bookinfo-broken");
    let report = common::judge(&mesh);
    assert_eq!(report.disagreements, [""; 0]);
    for (code, file, line) in [
        ("MP0401", "gateway.yaml", "retries: {attempts: 2, retryOn: 5xx}"),
        ("MP0401", "routing.yaml", "retries: {attempts: 3, retryOn: 5xx}"),
        ("MP0401", "routing.yaml", "retries: {attempts: 3, perTryTimeout: 600ms, retryOn: 5xx}"),
        ("MP0402", "routing.yaml", "timeout: 1500ms"),
        ("MP0602", "report.yaml", "sidecar.istio.io/inject: \"false\""),
    ] {
        let found = report.findings.iter().any(|finding| {
            finding.rule.code == code
                && finding.location.as_ref().is_some_and(|at| {
                    let source = sources.get(at.file).unwrap();
                    source.path == file && source.text.lines().nth(at.line as usize - 1).unwrap().contains(line)
                })
        });
        assert!(found, "no {code} at `{line}` of {file}:\n{}", common::findings(&sources, &report, &[]));
    }
    let ratings = report.findings.iter().find(|f| f.subject.to_string() == "service default/ratings").unwrap();
    let witness = ratings.witness.as_ref().unwrap();
    assert_eq!(witness.path.last().unwrap(), "default/ratings");
    assert_eq!(ratings.values["bound"], Value::Int(2 * 3 * 4 * 4), "the browser's own retry, and three hops");
    assert!(witness.scenario.is_some(), "it can be replayed");

    let (replayed, failed) = common::replay_all(&mesh, &report);
    assert_eq!(failed, [""; 0]);
    assert!(replayed >= 5, "{replayed} witnesses were replayed");
}
