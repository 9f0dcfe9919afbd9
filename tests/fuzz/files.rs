//! Files of ours: behaviour, scenarios, settings, tests, recorded arrivals, intents.

use std::{fs, path::Path, sync::LazyLock};

use meshproof::{Settings, cases::run};
use meshproof_import::ImportOptions;
use meshproof_model::{Mesh, Sources, read_behaviour, read_scenario, write_behaviour, write_scenario};
use meshproof_verifier::{Intents, VerifyOptions, verify};
use proptest::{prelude::*, sample::Index};

use super::{BOOKINFO, cases, common, shipped, spliced, splices};

/// Every `mesh.ron` that we ship.
static BEHAVIOURS: LazyLock<Vec<String>> = LazyLock::new(|| all("topologies", &|path| path.ends_with("mesh.ron")));

/// Every scenario that we ship.
static SCENARIOS: LazyLock<Vec<String>> = LazyLock::new(|| {
    all("topologies", &|path| {
        path.extension().is_some_and(|is| is == "ron") && path.parent().unwrap().ends_with("scenarios")
    })
});

/// The texts of files below a folder, in the order of their paths.
fn all(folder: &str, is_meant: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let (mut folders, mut files) = (vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { files.extend(is_meant(&path).then_some(path)) }
        }
    }
    files.sort();
    files.into_iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

const SETTINGS: &str = "[limits]\nretry_amplification = 3\n[checks]\nselect = [\"MP04\"]\nignore = [\"MP0601\"]\n\
    severity = { MP0301 = \"error\" }\n[[ignore]]\ncode = \"MP0202\"\nreason = \"v2 is applied first\"\n\
    until = \"2027-01-31\"\nresource = \"VirtualService default/reviews\"\npath = \"staging/*\"\n";

/// Tests of requests; those of properties and objectives would cost a proof or a run each.
const TESTS: &str = "Tests(version: 1, tests: [Request(name: \"a\", from: (workload: \"default/web\", ip: \"1.2.3.4\"), \
    to: (host: \"search\", port: 80), request: (method: \"GET\", path: \"/?q=x\", headers: {\"x\": \"1\"}, claims: {\"sub\": \"a\"}), \
    expect: (allowed: true, backends: [(host: \"search\", weight: 100)], timeout: \"1s\", retries: 2, mtls: true))])";

/// The examples of the language, and what we ship.
static INTENTS: LazyLock<String> = LazyLock::new(|| {
    let shipped = shipped("topologies/locked-shop/rules.intent");
    shipped
        + "let callers = workloads minus {reviews-v1};\n\
           assert \"fence\" (severity = warning, timeout = 9 ops): for all r in requests from callers to {ratings}: then not allowed(r);\n\
           assert \"surge\": for all s in {ratings}: when surge <= 5x for 10s then within 60s goodput(s) >= 0.99 * demand(s);\n\
           assert \"zones\": for all f in failures up to 1 zones: for all s in {ratings}: then up(s, f) and load(s, f) <= capacity(s, f);\n\
           assert \"paths\": for all p in paths from {ingress} to {ratings}: then worst_latency(p) <= 2s;\n\
           assert \"same\": for all q in requests: then destination(q) unchanged since git(\"main\") except {ratings};\n"
});

/// A place of a text, from 1, at most one line behind its end.
fn is_place(text: &str, line: u32, column: u32) -> bool {
    line >= 1 && column >= 1 && line as usize <= text.split('\n').count() + 1
}

proptest! {
    #![proptest_config(cases(300, 60_000))]

    #[test]
    fn behaviour_is_read_or_refused_with_a_place(which in any::<Index>(), splices in splices()) {
        let text = spliced(which.get::<String>(&BEHAVIOURS), splices);
        match read_behaviour(&text) {
            Ok(behaviour) => {
                let mesh = Mesh { behaviour: behaviour.clone(), ..BOOKINFO.clone() };
                let _ = mesh.check_behaviour();
                prop_assert_eq!(read_behaviour(&write_behaviour(&behaviour).unwrap()), Ok(behaviour));
            }
            Err(error) => prop_assert!(is_place(&text, error.line, error.column), "{}", error),
        }
    }

    #[test]
    fn scenarios_are_read_or_refused_with_a_place(which in any::<Index>(), splices in splices()) {
        let text = spliced(which.get::<String>(&SCENARIOS), splices);
        match read_scenario(&text) {
            Ok(scenario) => {
                let _ = BOOKINFO.check_scenario(&scenario);
                prop_assert_eq!(read_scenario(&write_scenario(&scenario).unwrap()), Ok(scenario));
            }
            Err(error) => prop_assert!(is_place(&text, error.line, error.column), "{}", error),
        }
    }
}

proptest! {
    #![proptest_config(cases(40, 30_000))]

    #[test]
    fn intents_are_judged_or_refused_with_a_place(splices in splices()) {
        let text = spliced(&INTENTS, splices);
        let mut sources = Sources::default();
        sources.add("x.intent", text.as_str());
        let options = VerifyOptions {
            intents: Intents::read(&sources),
            select: Some(["MP1001", "MP1002", "MP1003"].map(str::to_owned).to_vec()),
            rlimit: 100_000,
            ..VerifyOptions::default()
        };
        let report = verify(&BOOKINFO, &options);
        prop_assert_eq!(&report.disagreements, &Vec::<String>::new());
        for finding in &report.findings {
            let at = finding.location.as_ref().unwrap();
            prop_assert!(is_place(&text, at.line, at.column), "{}", finding.message);
        }
    }
}

proptest! {
    #![proptest_config(cases(300, 60_000))]

    #[test]
    fn settings_are_read_or_refused_with_a_place(splices in splices()) {
        let text = spliced(SETTINGS, splices);
        if let Err(error) = Settings::parse("meshproof.toml", &text) {
            prop_assert!(is_place(&text, u32::try_from(error.line).unwrap(), u32::try_from(error.column).unwrap()), "{}", error);
        }
    }
}

proptest! {
    #![proptest_config(cases(20, 5_000))]

    #[test]
    fn written_tests_are_run_or_refused_with_a_place(splices in splices()) {
        let folder = common::copy_of("argo-canary", "fuzz-tests", &[]);
        let text = spliced(TESTS, splices);
        fs::write(folder.join("a.test.ron"), &text).unwrap();
        match run(&[folder.display().to_string()], &ImportOptions::default(), 1) {
            Ok(report) => prop_assert!(report.tests.len() <= 1),
            Err(error) => prop_assert!(error.to_string().contains("a.test.ron:") || error.to_string().contains("no tests in"), "{}", error),
        }
    }
}
