//! Routes that Argo CD applies before what they lead to, against its waves gone through one after the other.
#![allow(clippy::unwrap_used)]

use meshproof_model::delivery::waves;
use meshproof_verifier::{VerifyOptions, verify};

mod common;

/// The objects of a route to a subset, of which two have pods, each in a wave.
fn mesh(numbers: [i64; 5]) -> String {
    let [service, pods, more, rule, route] =
        numbers.map(|wave| format!("annotations: {{argocd.argoproj.io/sync-wave: \"{wave}\"}}"));
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: a, {service}}}\nspec: {{selector: {{app: a}}, ports: [{{name: \
         http, port: 80}}]}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a, {pods}}}\nspec: \
         {{template: {{metadata: {{labels: {{app: a}}}}, spec: {{containers: [{{name: c, image: \
         c}}]}}}}}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: more, {more}}}\nspec: {{template: \
         {{metadata: {{labels: {{app: a}}}}, spec: {{containers: [{{name: c, image: \
         c}}]}}}}}}\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a, \
         {rule}}}\nspec: {{host: a, subsets: [{{name: v1, labels: {{app: a}}}}]}}\n---\napiVersion: \
         networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a, {route}}}\nspec: {{hosts: [a], http: [{{route: \
         [{{destination: {{host: a, subset: v1}}}}]}}]}}\n"
    )
}

#[test]
fn what_comes_late_is_what_is_missing_when_the_route_is_there() {
    // Every choice of a wave for each of them.
    let waves_in_use = if std::env::var_os("MESHPROOF_SLOW").is_some() { 7 } else { 3 };
    let (mut late, mut sound) = (0, 0);
    for bits in 0..i64::pow(waves_in_use, 5) {
        let numbers: [i64; 5] =
            std::array::from_fn(|place| bits / waves_in_use.pow(u32::try_from(place).unwrap()) % waves_in_use - 1);
        let (_, mesh) = common::mesh(&mesh(numbers), "");
        let only = VerifyOptions { select: Some(vec!["MP0804".to_owned()]), ..VerifyOptions::default() };
        let report = verify(&mesh, &only);
        let found = report.findings.iter().filter(|finding| finding.rule.code == "MP0804").count();
        // Wave after wave: what of the route's needs is not there in the first one that has the route?
        let mut applied: Vec<&str> = Vec::new();
        let mut missing = 0;
        for wave in waves(&mesh.delivery.waves) {
            applied.extend(wave.resources.iter().map(|resource| resource.kind.as_str()));
            if applied.contains(&"VirtualService") {
                missing =
                    ["Service", "Deployment", "DestinationRule"].iter().filter(|kind| !applied.contains(kind)).count();
                break;
            }
        }
        assert_eq!(found, missing, "{numbers:?}");
        *(if missing > 0 { &mut late } else { &mut sound }) += 1;
    }
    assert!(late * 4 >= late + sound && sound * 4 >= late + sound, "{late} {sound}");
}

#[test]
fn without_waves_nothing_is_said() {
    let (_, mesh) = common::mesh(&mesh([0; 5]), "");
    assert!(common::judge(&mesh).proofs.iter().all(|proof| proof.rule.code != "MP0804"));
}
