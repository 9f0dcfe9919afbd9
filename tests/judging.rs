//! Baselines, profiles, orders and schemas of `verify`.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use common::{Answer, copy_of, meshproof, meshproof_with_input, scratch};
use serde_json::Value;

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec:\n  selector: {app: \
                       a}\n  ports: [{name: http, port: 80}]\n---\n";

fn virtual_service(name: &str, timeout: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: \
         shop}}\nspec:\n  hosts: [a]\n  http:\n  - timeout: {timeout}\n    route: [{{destination: {{host: a}}}}]\n---\n"
    )
}

fn verify(args: &[&str], input: &str) -> Answer {
    let mut all = vec!["verify", "-", "--format", "json", "--no-timing", "--allow-vacuous"];
    all.extend(args);
    meshproof_with_input(&all, input)
}

fn codes(json: &Value, key: &str) -> Vec<String> {
    json["findings"].as_array().unwrap().iter().filter_map(|f| f[key].as_str().map(ToOwned::to_owned)).collect()
}

#[test]
fn a_baseline_hides_what_it_holds() {
    let folder = scratch("baseline");
    let file = folder.join("known.json");
    let file = file.to_str().unwrap();
    let broken = "topologies/bookinfo-broken";
    let first = meshproof(&["verify", broken, "--format", "json", "--write-baseline", file]);
    assert_eq!(first.code, 1, "{}", first.err);
    let known: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    check("baseline", &known);
    let again = meshproof(&["verify", broken, "--format", "json", "--baseline", file]);
    let json = again.json();
    assert_eq!((again.code, codes(&json, "code").len()), (0, 0), "{}", again.out);
    assert_eq!(json["summary"]["in_baseline"], known["findings"].as_array().unwrap().len());
    check("verify", &json);
    let path = folder.join("none.json");
    std::fs::write(&path, "{}").unwrap();
    let bad = meshproof(&["verify", broken, "--baseline", path.to_str().unwrap()]);
    assert_eq!(bad.code, 2);
    assert!(bad.err.contains("is no baseline"), "{}", bad.err);
}

#[test]
fn istios_profile_says_what_istio_says() {
    let lost = format!("{SERVICE}{}", virtual_service("a", "1s").replace("host: a}", "host: gone}"));
    let answer = verify(&["--profile", "istio-analyze"], &lost);
    let json = answer.json();
    assert_eq!(codes(&json, "istio"), ["IST0101"], "{}", answer.out);
    assert_eq!(json["findings"][0]["resource"]["kind"], "VirtualService");
    let clean = format!("{SERVICE}{}", virtual_service("a", "1s"));
    assert_eq!(codes(&verify(&["--profile", "istio-analyze"], &clean).json(), "istio"), [""; 0]);
}

#[test]
fn orders_that_nobody_wrote_down_are_told() {
    let two = format!("{SERVICE}{}{}", virtual_service("a", "1s"), virtual_service("b", "2s"));
    let by_name = codes(&verify(&[], &two).json(), "code");
    assert!(by_name.contains(&"MP0205".to_owned()) && !by_name.contains(&"MP0231".to_owned()), "{by_name:?}");
    let any = verify(&["--assume-order", "any"], &two);
    check("verify", &any.json());
}

#[test]
fn verdict_and_exit_code_agree() {
    let folder = copy_of("bookinfo-broken", "downgraded", &[]);
    let all = meshproof(&["verify", folder.to_str().unwrap(), "--format", "json"]).json();
    let mut settings = String::from("[checks.severity]\n");
    let mut errors: Vec<String> = Vec::new();
    for finding in all["findings"].as_array().unwrap() {
        let code = finding["code"].as_str().unwrap().to_owned();
        if finding["severity"] == "error" && !errors.contains(&code) {
            settings = format!("{settings}{code} = \"warning\"\n");
            errors.push(code);
        }
    }
    assert!(!errors.is_empty());
    std::fs::write(folder.join("meshproof.toml"), settings).unwrap();
    for (fail_on, code, verdict) in [("error", 0, "holds"), ("warning", 1, "violated")] {
        let args = ["verify", folder.to_str().unwrap(), "--format", "json", "--fail-on", fail_on];
        let answer = meshproof(&[&args[..], &["--allow-unknown", "--allow-vacuous"]].concat());
        assert_eq!((answer.code, answer.json()["verdict"].as_str().unwrap()), (code, verdict), "{}", answer.out);
    }
}

#[test]
fn nothing_holds_of_nothing() {
    for input in ["", "---\n", "# only a remark\n"] {
        let answer = meshproof_with_input(&["verify", "-"], input);
        assert_eq!((answer.code, answer.err.contains("nothing to judge")), (2, true), "{input:?}: {}", answer.err);
    }
}

#[test]
fn one_bad_file_leaves_the_others() {
    let folder = copy_of("bookinfo-broken", "binary", &[]);
    std::fs::write(folder.join("logo.yaml"), b"\xff\xfe\x00PNG").unwrap();
    std::fs::remove_file(folder.join("mesh.ron")).unwrap();
    std::fs::create_dir(folder.join("mesh.ron")).unwrap();
    let answer = meshproof(&["verify", folder.to_str().unwrap(), "--format", "json"]);
    assert_eq!(answer.code, 2, "{}", answer.err);
    assert!(answer.err.contains("logo.yaml") && answer.err.contains("mesh.ron"), "{}", answer.err);
    assert!(codes(&answer.json(), "code").contains(&"MP0103".to_owned()), "{}", answer.out);
}

#[test]
fn assumptions_are_those_of_the_proofs() {
    let answer = meshproof(&["verify", "topologies/bookinfo", "--format", "json", "--select", "MP0301"]);
    let json = answer.json();
    let cited: std::collections::BTreeSet<&str> = json["proofs"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|proof| proof["assumptions"].as_array().unwrap())
        .map(|id| id.as_str().unwrap())
        .collect();
    let listed = json["assumptions"].as_array().unwrap().iter().map(|assumption| assumption["id"].as_str().unwrap());
    assert_eq!(listed.collect::<std::collections::BTreeSet<_>>(), cited);
}

#[test]
fn findings_are_ignored_with_a_reason() {
    let folder = scratch("ignored");
    let lost = format!("{SERVICE}{}", virtual_service("a", "1s").replace("host: a}", "host: gone}"));
    std::fs::write(folder.join("mesh.yaml"), lost).unwrap();
    let path = folder.to_str().unwrap();
    let judged = |settings: &str| {
        std::fs::write(folder.join("meshproof.toml"), settings).unwrap();
        meshproof(&["verify", path, "--format", "json", "--allow-vacuous"])
    };
    let found = judged("");
    let code = codes(&found.json(), "code").into_iter().find(|code| code == "MP0201").unwrap();
    let rule = |more: &str| format!("[[ignore]]\ncode = \"{code}\"\n{more}");
    let quiet = judged(&rule("reason = \"a test\"\nresource = \"VirtualService shop/*\"\n"));
    assert!(!codes(&quiet.json(), "code").contains(&code), "{}", quiet.out);
    let elsewhere = judged(&rule("reason = \"a test\"\nresource = \"VirtualService pay/*\"\n"));
    assert!(codes(&elsewhere.json(), "code").contains(&code), "{}", elsewhere.out);
    let silent = judged(&rule(""));
    assert!(silent.out.contains("reason") || silent.err.contains("reason"), "{}{}", silent.out, silent.err);
}

#[test]
fn what_is_printed_fits_its_schema() {
    check("verify", &meshproof(&["verify", "topologies/bookinfo", "--format", "json"]).json());
    check("verify", &meshproof(&["verify", "topologies/bookinfo-broken", "--format", "json", "--no-timing"]).json());
    check("rules", &meshproof(&["rules", "--format", "json"]).json());
    for name in ["simulate", "settings", "mesh", "scenario"] {
        let answer = meshproof(&["schema", name]);
        assert_eq!(answer.code, 0);
        assert!(answer.json()["$schema"].is_string());
    }
}

/// Checks a value by the schema that `meshproof schema NAME` prints.
fn check(name: &str, value: &Value) {
    let schema = meshproof(&["schema", name]).json();
    let mut faults = Vec::new();
    fits(&schema, &schema, value, "$", &mut faults);
    assert!(faults.is_empty(), "{name}: {faults:#?}");
}

/// As much of JSON Schema as the schemas use.
fn fits(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        return fits(root, target, value, at, faults);
    }
    if let Some(wanted) = schema.get("type") {
        let names: Vec<&str> = wanted.as_array().map_or_else(
            || vec![wanted.as_str().unwrap()],
            |all| all.iter().map(|name| name.as_str().unwrap()).collect(),
        );
        let is = |name: &str| match name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            _ => value.is_null(),
        };
        if !names.into_iter().any(is) {
            faults.push(format!("{at}: {value} is not {wanted}"));
            return;
        }
    }
    if schema.get("const").is_some_and(|wanted| wanted != value) {
        faults.push(format!("{at}: {value} is not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        faults.push(format!("{at}: {value} is not among {}", schema["enum"]));
    }
    for key in ["anyOf", "oneOf"] {
        let Some(all) = schema[key].as_array() else { continue };
        let fitting = all.iter().filter(|one| {
            let mut own = Vec::new();
            fits(root, one, value, at, &mut own);
            own.is_empty()
        });
        if fitting.count() == 0 {
            faults.push(format!("{at}: {value} fits none of {key}"));
        }
    }
    for item in value.as_array().into_iter().flatten().filter(|_| schema.get("items").is_some()) {
        fits(root, &schema["items"], item, &format!("{at}[]"), faults);
    }
    let Some(fields) = value.as_object() else { return };
    for required in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(required.as_str().unwrap()) {
            faults.push(format!("{at} lacks {required}"));
        }
    }
    for (key, field) in fields {
        let at = format!("{at}.{key}");
        match schema["properties"].get(key) {
            Some(known) => fits(root, known, field, &at, faults),
            None => match &schema["additionalProperties"] {
                Value::Bool(false) => faults.push(format!("{at} is not in the schema")),
                Value::Object(_) => fits(root, &schema["additionalProperties"], field, &at, faults),
                _ => {}
            },
        }
    }
}

#[test]
fn what_an_implementation_may_do_is_judged_at_both_ends() {
    let pods = |name: &str, env: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c, image: c, env: [{env}]}}]}}}}}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}]}}\n---\n"
        )
    };
    let input = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---\n"
        .to_owned()
        + &pods("front", "{name: RATINGS_URL, value: 'http://ratings:80'}")
        + &pods("ratings", "")
        + "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: b, namespace: shop}\nspec: {hosts: [ratings], http: [{route: [{destination: {host: ratings}}], retries: {attempts: 2, retryOn: '5xx'}}]}\n---\n\
           apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: shop}\nspec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}\n---\n\
           apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a, namespace: shop}\nspec: {parentRefs: [{name: g}], rules: [{backendRefs: [{name: front, port: 80}]}]}\n";
    let of = |implementation: &str| {
        let json = verify(&["--gateway-impl", implementation], &input).json();
        let found = json["findings"].as_array().unwrap().iter().filter(|finding| finding["code"] == "MP0401");
        let messages: Vec<String> = found.map(|finding| finding["message"].as_str().unwrap().to_owned()).collect();
        let proved = json["proofs"].as_array().unwrap().iter();
        let proved =
            proved.filter(|proof| proof["code"] == "MP0401" && proof["subject"] == "service shop/ratings").count();
        (messages, proved)
    };
    assert_eq!(of("istio"), (Vec::new(), 1), "G-13");
    let (messages, proved) = of("generic");
    assert_eq!((messages.len(), proved), (1, 0), "G-13 {messages:?}");
    assert!(messages[0].starts_with("where the implementation retries twice"), "{messages:?}");
}
