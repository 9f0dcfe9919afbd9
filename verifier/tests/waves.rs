//! Routes that Argo CD applies before what they lead to, against its waves gone through one after the other.
#![allow(clippy::unwrap_used)]

use meshproof_model::delivery::waves;
use meshproof_verifier::{VerifyOptions, verify};

mod common;

/// The four objects of a route to a subset, each in a wave.
fn mesh(numbers: [i64; 4]) -> String {
    let [service, pods, rule, route] =
        numbers.map(|wave| format!("annotations: {{argocd.argoproj.io/sync-wave: \"{wave}\"}}"));
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: a, {service}}}\nspec: {{selector: {{app: a}}, ports: [{{name: \
         http, port: 80}}]}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a, {pods}}}\nspec: \
         {{template: {{metadata: {{labels: {{app: a}}}}, spec: {{containers: [{{name: c, image: \
         c}}]}}}}}}\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a, \
         {rule}}}\nspec: {{host: a, subsets: [{{name: v1, labels: {{app: a}}}}]}}\n---\napiVersion: \
         networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a, {route}}}\nspec: {{hosts: [a], http: [{{route: \
         [{{destination: {{host: a, subset: v1}}}}]}}]}}\n"
    )
}

#[test]
fn what_comes_late_is_what_is_missing_when_the_route_is_there() {
    let (mut late, mut sound) = (0, 0);
    for bits in 0..4_i64.pow(4) {
        let numbers: [i64; 4] = std::array::from_fn(|place| bits / 4_i64.pow(u32::try_from(place).unwrap()) % 4 - 1);
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
    assert!(late >= 64 && sound >= 64, "{late} {sound}");
}

#[test]
fn without_waves_nothing_is_said() {
    let (_, mesh) = common::mesh(&mesh([0; 4]), "");
    assert!(common::judge(&mesh).proofs.iter().all(|proof| proof.rule.code != "MP0804"));
}
