//! The strategies of `meshproof::testing`: what they give is sound, and mistakes planted into it are found and shrunk.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is missing")]

use meshproof::{
    assert_holds, assert_objective, assert_same_decisions,
    testing::{Call, MeshSpec, RouteSpec, Special, changes, meshes, scenarios},
};
use meshproof_model::{Arrivals, Fault, Load, Nanos, Phase, Rate, Replicas, Scenario, Share, WarmUp};
use proptest::{
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};

/// What sound meshes never break.
const RULES: [&str; 8] = ["MP0202", "MP0301", "MP0401", "MP0402", "MP0403", "MP0501", "MP0601", "MP0602"];

/// Cases of a property, more in the slow suite.
fn cases(few: u32, many: u32) -> Config {
    let cases = if std::env::var_os("MESHPROOF_SLOW").is_some() { many } else { few };
    Config { cases, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(cases(12, 300))]

    #[test]
    fn strategies_give_sound_meshes(mesh in meshes(1..7)) {
        let project = mesh.project().unwrap();
        prop_assert!(project.faults.is_empty() && !project.imported.unreadable, "{:?}", mesh.files());
        for rule in RULES {
            assert_holds!(mesh, rule);
        }
    }

    #[test]
    fn a_mesh_decides_like_itself(mesh in meshes(1..5)) {
        assert_same_decisions!(mesh, mesh.clone());
    }

    #[test]
    fn scenarios_run((mesh, scenario) in meshes(1..4).prop_flat_map(|mesh| {
        let scenarios = scenarios(&mesh);
        (Just(mesh), scenarios)
    })) {
        assert_objective!(mesh, scenario, "browser.requests >= 0");
    }

    #[test]
    fn changes_are_changes_of_policy_alone((before, after) in changes(1..5)) {
        prop_assert_eq!(before.services.len(), after.services.len());
        for (was, is) in before.services.iter().zip(&after.services) {
            prop_assert_eq!(&was.calls, &is.calls);
        }
    }
}

/// A mistake that a team makes in some of its meshes, and the check that its test suite has.
type Planted = (&'static str, fn(&mut MeshSpec), fn(&MeshSpec, &MeshSpec) -> Result<(), TestCaseError>);

fn rule(mesh: &MeshSpec, code: &str) -> Result<(), TestCaseError> {
    assert_holds!(mesh, code);
    Ok(())
}

/// One request in a mesh whose last service only answers errors.
fn one_request(mesh: &MeshSpec) -> Scenario {
    let rate = vec![Phase::Hold { rate: Rate::per_second(20), during: Nanos::from_secs(3) }];
    Scenario {
        version: 1,
        summary: String::new(),
        seed: 1,
        horizon: Nanos::from_secs(3),
        warm_up: WarmUp::Off,
        replications: 1,
        load: vec![Load::Open { client: "browser".to_owned(), arrivals: Arrivals::Constant, rate }],
        faults: vec![Fault::Errors {
            workload: format!("shop/s{}", mesh.services.len() - 1),
            replicas: Replicas::All,
            at: Nanos::ZERO,
            during: Nanos::from_secs(3),
            status: 503,
            share: Share::ALL,
        }],
        ..Scenario::default()
    }
}

/// The routes of all services that have one.
fn routes(mesh: &mut MeshSpec) -> impl Iterator<Item = &mut RouteSpec> {
    mesh.services.iter_mut().filter_map(|service| service.route.as_mut())
}

const PLANTED: [Planted; 11] = [
    (
        "retries at every hop",
        |mesh| routes(mesh).for_each(|route| (route.attempts, route.on_failure) = (Some(2), true)),
        |_, mesh| rule(mesh, "MP0401"),
    ),
    (
        "a timeout shorter than what it waits for",
        |mesh| routes(mesh).filter(|route| route.canary_percent.is_some()).for_each(|r| r.timeout_ms = Some(1)),
        |_, mesh| rule(mesh, "MP0402"),
    ),
    (
        "a limit on one try that is that of all",
        |mesh| {
            routes(mesh).filter(|route| route.timeout_ms.is_some()).for_each(|route| {
                (route.attempts, route.per_try_ms) = (Some(2), route.timeout_ms);
            });
        },
        |_, mesh| rule(mesh, "MP0403"),
    ),
    (
        "outlier detection that may eject nobody",
        |mesh| {
            let rules = mesh.services.iter_mut().filter_map(|service| service.rule.as_mut());
            rules.filter(|rule| rule.max_ejection_percent.is_some()).for_each(|r| r.max_ejection_percent = Some(1));
        },
        |_, mesh| rule(mesh, "MP0501"),
    ),
    (
        "a workload without a sidecar under STRICT",
        |mesh| {
            for service in mesh.services.iter_mut().filter(|service| service.replicas > 2) {
                service.has_sidecar = false;
            }
        },
        |_, mesh| rule(mesh, "MP0601"),
    ),
    (
        "a rule that switches TLS off",
        |mesh| {
            let rules = mesh.services.iter_mut().filter_map(|service| service.rule.as_mut());
            rules.filter(|rule| rule.max_requests.is_some()).for_each(|rule| rule.tls_off = true);
        },
        |_, mesh| rule(mesh, "MP0602"),
    ),
    (
        "a canary without its subset",
        |mesh| {
            for service in mesh.services.iter_mut().filter(|service| service.callers.is_some()) {
                if let Some(rule) = &mut service.rule {
                    rule.has_subsets = false;
                }
            }
        },
        |_, mesh| rule(mesh, "MP0202"),
    ),
    (
        "a route behind one that takes everything",
        |mesh| routes(mesh).filter(|route| route.special.is_some()).for_each(|r| r.special = Some(Special::Last)),
        |_, mesh| rule(mesh, "MP0301"),
    ),
    (
        "a rewrite that loses a timeout",
        |mesh| routes(mesh).filter(|route| route.special.is_some()).for_each(|route| route.timeout_ms = None),
        |before, after| {
            assert_same_decisions!(before, after);
            Ok(())
        },
    ),
    (
        "a policy that forgets its last caller",
        |mesh| {
            for callers in mesh.services.iter_mut().filter_map(|service| service.callers.as_mut()) {
                callers.pop();
            }
        },
        |before, after| {
            assert_same_decisions!(before, after);
            Ok(())
        },
    ),
    (
        "more load on a service that fails",
        |mesh| {
            let count = mesh.services.len();
            if count > 1 && mesh.callees(count - 2).is_empty() {
                mesh.services[count - 2].calls = vec![Call { to: 0, optional: false }];
            }
            mesh.services[count - 1].route =
                Some(RouteSpec { attempts: Some(3), on_failure: true, ..RouteSpec::default() });
        },
        |_, mesh| {
            let last = mesh.services.len() - 1;
            let objective = format!("s{last}.attempts_per_request <= 2");
            assert_objective!(mesh, one_request(mesh), &objective);
            Ok(())
        },
    ),
];

proptest! {
    #![proptest_config(cases(24, 3_000))]

    /// Whatever is wrong with a mesh, every violation replays, and engines agree.
    #[test]
    fn no_verdict_is_contradicted(
        mut mesh in meshes(1..7),
        mistakes in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        for index in mistakes {
            let (_, plant, _) = index.get(&PLANTED);
            plant(&mut mesh);
        }
        let outcome = meshproof::verify(&mesh.project().unwrap(), &meshproof::Choice::default());
        prop_assert!(outcome.is_ok(), "{}: {:?}", outcome.unwrap_err(), mesh.files());
    }
}

#[test]
fn planted_mistakes_are_found_and_shrunk_to_three_services() {
    for (name, plant, check) in PLANTED {
        let mut runner = TestRunner::new_with_rng(
            Config { cases: 10_000, max_shrink_iters: 2_000, failure_persistence: None, ..Config::default() },
            proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
        );
        let outcome = runner.run(&meshes(1..7), |before| {
            let mut after = before.clone();
            plant(&mut after);
            check(&before, &after)
        });
        match outcome {
            Err(TestError::Fail(reason, smallest)) => {
                let is_fault = reason.message().contains("does not show the violation");
                assert!(!is_fault, "{name}: {reason}: {smallest:#?}");
                assert!(smallest.services.len() <= 3, "{name}: {reason}: {smallest:#?}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}
