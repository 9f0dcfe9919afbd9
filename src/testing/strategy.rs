//! Strategies for `proptest`: meshes, requests, load, faults, scenarios, changes.

use std::ops::Range;

use meshproof_model::{Arrivals, Fault, Load, Nanos, Phase, Rate, Replicas, Scenario, Share, WarmUp};
use proptest::{collection, option, prelude::*};
use serde_json::{Value, json};

use super::spec::{Call, MeshSpec, RouteSpec, RuleSpec, ServiceSpec, Special};

/// Sound meshes with so many services: STRICT or not, with sidecars everywhere, routes that can match, timeouts that
/// hold, few retries, callers that may call.
pub fn meshes(services: Range<usize>) -> impl Strategy<Value = MeshSpec> {
    (any::<bool>(), collection::vec(service(), services.start.max(1)..services.end.max(2)))
        .prop_map(|(strict, services)| sound(MeshSpec { strict, services }))
}

fn service() -> impl Strategy<Value = ServiceSpec> {
    let call = (0_usize..4, any::<bool>()).prop_map(|(to, optional)| Call { to, optional });
    let parts =
        (1_u32..4, 1_u64..20, collection::vec(call, 0..3), option::of(route()), option::of(rule()), any::<bool>());
    parts.prop_map(|(replicas, work_ms, calls, route, rule, is_guarded)| ServiceSpec {
        replicas,
        has_sidecar: true,
        work_ms,
        calls,
        route,
        rule,
        callers: is_guarded.then(Vec::new),
    })
}

fn route() -> impl Strategy<Value = RouteSpec> {
    let special = option::of(Just(Special::First));
    (any::<bool>(), option::of(0_u32..2), any::<bool>(), option::of(1_u32..100), special).prop_map(
        |(has_timeout, attempts, on_failure, canary_percent, special)| RouteSpec {
            timeout_ms: has_timeout.then_some(1),
            attempts,
            per_try_ms: None,
            on_failure: on_failure && attempts == Some(0),
            canary_percent,
            special,
        },
    )
}

fn rule() -> impl Strategy<Value = RuleSpec> {
    (option::of(Just(100_u32)), option::of(100_u32..1000), any::<bool>()).prop_map(
        |(max_ejection_percent, max_requests, has_subsets)| RuleSpec {
            max_ejection_percent,
            max_requests,
            tls_off: false,
            has_subsets,
        },
    )
}

/// Fills in what hangs on other services: who calls, how long callees take, which subsets there are.
fn sound(mut mesh: MeshSpec) -> MeshSpec {
    let count = mesh.services.len();
    let mut busy = vec![0_u64; count];
    for number in (0..count).rev() {
        let below: u64 = mesh.callees(number).iter().map(|(callee, _)| busy[*callee]).sum();
        // With one retry of what a refused connection has not begun, and room to spare.
        busy[number] = 4 * (mesh.services[number].work_ms + below) + 100;
        let callers: Vec<usize> =
            (0..number).filter(|caller| mesh.callees(*caller).iter().any(|(callee, _)| *callee == number)).collect();
        let service = &mut mesh.services[number];
        if let Some(allowed) = &mut service.callers {
            *allowed = callers;
        }
        if let Some(route) = &mut service.route {
            route.timeout_ms = route.timeout_ms.map(|_| busy[number]);
            if route.canary_percent.is_some() {
                service.rule.get_or_insert_default().has_subsets = true;
            }
        }
    }
    // Under a limit every callee has one as well.
    for number in 0..count {
        if mesh.services[number].route.as_ref().is_some_and(|route| route.timeout_ms.is_some()) {
            for (callee, _) in mesh.callees(number) {
                mesh.services[callee].route.get_or_insert_default().timeout_ms = Some(busy[callee]);
            }
        }
    }
    mesh
}

/// Requests from one workload of the mesh to another, in the form of `meshproof decide`.
pub fn requests(mesh: &MeshSpec) -> impl Strategy<Value = Value> + use<> {
    let count = mesh.services.len();
    let methods = prop::sample::select(vec!["GET", "POST", "DELETE"]);
    let paths = prop::sample::select(vec!["/", "/special", "/special/a?b=c", "/other"]);
    (0..count, 0..count, methods, paths).prop_map(|(from, to, method, path)| {
        json!({
            "id": 0,
            "from": {"workload": format!("shop/s{from}")},
            "to": {"host": format!("s{to}"), "port": 80},
            "request": {"method": method, "path": path},
        })
    })
}

/// An open load of the client `browser`, of 5 to 200 requests a second.
pub fn loads() -> impl Strategy<Value = Load> {
    (5_u64..200, any::<bool>()).prop_map(|(rate, is_poisson)| Load::Open {
        client: "browser".to_owned(),
        arrivals: if is_poisson { Arrivals::Poisson } else { Arrivals::Constant },
        rate: vec![Phase::Hold { rate: Rate::per_second(rate), during: Nanos::from_secs(10) }],
    })
}

/// A fault of one service: it crashes, or answers with errors, for one to three seconds.
pub fn faults(mesh: &MeshSpec) -> impl Strategy<Value = Fault> + use<> {
    (0..mesh.services.len(), any::<bool>(), 1_u64..4).prop_map(|(service, crashes, seconds)| {
        let workload = format!("shop/s{service}");
        let (at, during) = (Nanos::from_secs(2), Nanos::from_secs(seconds));
        if crashes {
            Fault::Crash { workload, replicas: Replicas::All, at, during }
        } else {
            Fault::Errors { workload, replicas: Replicas::All, at, during, status: 503, share: Share::ALL }
        }
    })
}

/// Ten seconds with a load and at most two faults.
pub fn scenarios(mesh: &MeshSpec) -> impl Strategy<Value = Scenario> + use<> {
    (loads(), collection::vec(faults(mesh), 0..3), any::<u64>()).prop_map(|(load, faults, seed)| Scenario {
        version: 1,
        summary: String::new(),
        seed,
        horizon: Nanos::from_secs(10),
        warm_up: WarmUp::Off,
        replications: 1,
        load: vec![load],
        faults,
        ..Scenario::default()
    })
}

/// A mesh, and the same with one service's policies exchanged for others: a change to be reviewed.
pub fn changes(services: Range<usize>) -> impl Strategy<Value = (MeshSpec, MeshSpec)> {
    (meshes(services), any::<prop::sample::Index>(), service()).prop_map(|(before, index, other)| {
        let mut after = before.clone();
        let number = index.index(after.services.len());
        let service = &mut after.services[number];
        (service.route, service.rule) = (other.route, other.rule);
        (before, sound(after))
    })
}
