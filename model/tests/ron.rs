//! The formats read as the worked examples write them, and what is wrong is named with its place.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use meshproof_model::{
    ClientFrom, Distribution, Fault, Load, Nanos, Phase, Rate, RonKind, read_behaviour, read_scenario, ron_kind,
    write_behaviour, write_scenario,
};

const MESH: &str = include_str!("formats/mesh.ron");
const SCENARIO: &str = include_str!("formats/scenario.ron");

#[test]
fn the_worked_mesh_reads_as_written() {
    let behaviour = read_behaviour(MESH).unwrap();
    let browser = &behaviour.clients["browser"];
    assert_eq!(browser.from, ClientFrom::Outside);
    assert_eq!(browser.requests[1].headers["end-user"], "jason");
    assert_eq!(browser.requests[1].body.get(), 1024);
    assert_eq!(browser.patience, Some(Distribution::Constant(Nanos::from_secs(3))));
    let page = &behaviour.workloads["default/productpage-v1"];
    assert_eq!(page.calls.len(), 2);
    assert!(page.calls[0][0].optional);
    assert!(behaviour.workloads["default/details-v1"].calls.is_empty());
    assert_eq!(behaviour.workloads["default/ratings-v1"].errors[0].share.ppm(), 1000);
    assert_eq!(behaviour.placement.zones, ["a", "b"]);
}

#[test]
fn the_worked_scenario_reads_as_written() {
    let scenario = read_scenario(SCENARIO).unwrap();
    assert_eq!((scenario.seed, scenario.horizon, scenario.load.len()), (42, Nanos::from_secs(720), 1));
    let Load::Open { rate, .. } = &scenario.load[0] else { unreachable!() };
    assert_eq!(rate[1], Phase::Ramp { to: Rate::per_second(10_000), during: Nanos::from_secs(10) });
    assert!(matches!(scenario.faults[1], Fault::Slow { factor: 4.0, .. }));
    // 120 s at 800, two ramps of 10 s between 800 and 10,000, 300 s at 10,000, 280 s at 800.
    assert_eq!(scenario.requests(), 96_000 + 2 * 54_000 + 3_000_000 + 224_000);
}

#[test]
fn what_is_written_reads_back_the_same() {
    let scenario = read_scenario(SCENARIO).unwrap();
    assert_eq!(read_scenario(&write_scenario(&scenario).unwrap()).unwrap(), scenario);
    let behaviour = read_behaviour(MESH).unwrap();
    assert_eq!(read_behaviour(&write_behaviour(&behaviour).unwrap()).unwrap(), behaviour);
}

#[test]
fn the_top_level_name_says_what_a_file_is() {
    for (text, expect) in [
        ("Mesh(version: 1)", Ok(RonKind::Mesh)),
        ("// a comment\n/* another */ Scenario(", Ok(RonKind::Scenario)),
        ("#![enable(implicit_some)]\nSweep(", Ok(RonKind::Sweep)),
        ("Tests(", Ok(RonKind::Tests)),
        ("\n  Scenrio(", Err("2:3: `Scenrio` is no kind of file; did you mean `Scenario`?")),
        ("(version: 1)", Err("1:1: a file begins with `Mesh(`, `Scenario(`, `Sweep(` or `Tests(`")),
        ("", Err("1:1: a file begins with `Mesh(`, `Scenario(`, `Sweep(` or `Tests(`")),
    ] {
        assert_eq!(ron_kind(text).map_err(|error| error.to_string()), expect.map_err(str::to_owned), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let scenario = |rest: &str| format!("Scenario(\n  version: 1,\n  horizon: \"1m\",\n  {rest})");
    for (text, expect) in [
        (scenario("lod: []"), "4:3: unknown field `lod`; did you mean `load`?"),
        (scenario(r#"load: [Open(client: "a", rat: [])]"#), "4:28: unknown field `rat`; did you mean `rate`?"),
        (scenario(r#"load: [Opn(client: "a")]"#), "4:10: unknown variant `Opn`; did you mean `Open`?"),
        (
            scenario(r#"faults: [Crash(workload: "a/b", at: "-4m", during: "1s")]"#),
            "4:40: `-4m` is not a duration such as `250ms`, `1.5s` or `1m30s`",
        ),
        (scenario(r#"faults: [Crash(workload: "a/b", at: "4m")]"#), "4:43: the field `during` is missing"),
        (scenario("seed: -1"), "4:10: integer is out of bounds"),
        (
            "Scenario(version: 2, horizon: \"1m\")".to_owned(),
            "1:10: version 2 of the format is not known; this program reads version 1",
        ),
        ("Mesh(version: 1)".to_owned(), "1:1: this is a `Mesh(...)`, where a `Scenario(...)` is needed"),
        (
            scenario(r#"rollout: [Weight(route: "a/b", at: "1s", weights: {"v1": 1, "v1": 2})]"#),
            "4:64: `v1` is written twice",
        ),
    ] {
        let error = read_scenario(&text).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, expect, "{text}");
    }
}
