//! Rules and matches of `VirtualServices` that Istio calls unused (`IST0130`, `IST0131`): texts are compared, no requests.
//! What requests can reach is judged by the verifier. Istio: `pkg/config/validation.analyzeUnreachableHTTPRules`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    message::{INEFFECTIVE_MATCH, UNREACHABLE_RULE},
    report::Report,
    tree::Tree,
    world::{Resource, VIRTUAL_SERVICE, World},
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for service in world.all(VIRTUAL_SERVICE).iter().filter(|_| world.closed) {
        duplicates(service, "http", report);
        overlaps(service, report);
        duplicates(service, "tcp", report);
        duplicates(service, "tls", report);
    }
}

/// The name of a rule or match, or its number.
fn named(tree: Tree<'_>, number: usize) -> String {
    match tree.get("name").text() {
        "" => format!("#{number}"),
        name => format!("\"{name}\""),
    }
}

/// Matches that an earlier rule has too, word for word; only the last rule may have none.
fn duplicates(service: &Resource<'_>, kind: &str, report: &mut Report) {
    let rules: Vec<Tree<'_>> = service.spec.list(kind).collect();
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut has_catch_all = false;
    for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.is_set()) {
        let name = if kind == "http" { named(*rule, number) } else { format!("#{number}") };
        let mut unreachable = |reason: &str| {
            report.say(&UNREACHABLE_RULE, service, "spec", format!("{kind} rule {name} is not used: {reason}"));
        };
        let matches: Vec<Tree<'_>> = rule.list("match").collect();
        if matches.is_empty() {
            if has_catch_all {
                unreachable("only the last rule can have no matches");
            }
            has_catch_all = true;
            continue;
        }
        let mut repeated = 0;
        for (i, block) in matches.iter().enumerate() {
            let text = without_name(*block, kind);
            if let Some(earlier) = first.get(&text) {
                repeated += 1;
                let (i, earlier) = (named(*block, i), named(rules[*earlier], *earlier));
                let text = format!("match {i} of {kind} rule {name} is not used: rule {earlier} has it too");
                report.say(&INEFFECTIVE_MATCH, service, "spec", text);
            } else {
                first.insert(text, number);
            }
        }
        if repeated == matches.len() {
            report.say(
                &UNREACHABLE_RULE,
                service,
                "spec",
                format!("{kind} rule {name} is not used: all matches used by prior rules"),
            );
        }
    }
}

fn without_name(block: Tree<'_>, kind: &str) -> String {
    let fields = block.fields().filter(|(name, value)| value.is_set() && (kind != "http" || *name != "name"));
    let mut texts: Vec<String> = fields.map(|(name, value)| format!("{name}:{}", value.canonical())).collect();
    texts.sort();
    texts.join(",")
}

/// A match with a prefix, as Istio compares it.
struct Prefixed {
    rule: String,
    block: String,
    prefix: String,
    port: i64,
    single: [String; 2],
    maps: [BTreeMap<String, String>; 3],
}

fn overlaps(service: &Resource<'_>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    let mut prefixed = Vec::new();
    for (number, rule) in service.spec.list("http").enumerate() {
        for (i, block) in rule.list("match").enumerate() {
            if seen.insert(without_name(block, "http")) && !block.at("uri.prefix").text().is_empty() {
                prefixed.push(read(named(rule, number), named(block, i), block));
            }
        }
    }
    for (i, first) in prefixed.iter().enumerate() {
        for later in prefixed[i + 1..].iter().filter(|later| later.prefix != first.prefix && covers(first, later)) {
            let text = format!(
                "match {} of prefix {} of http rule {} is not used: match {} of prefix {} of rule {} covers it",
                later.block, later.prefix, later.rule, first.block, first.prefix, first.rule
            );
            report.say(&INEFFECTIVE_MATCH, service, "spec", text);
        }
    }
}

fn read(rule: String, block: String, tree: Tree<'_>) -> Prefixed {
    let text = |matcher: Tree<'_>| match (matcher.get("exact").text(), matcher.get("prefix").text()) {
        ("", "") => String::new(),
        ("", prefix) => format!("prefix:{prefix}"),
        (exact, _) => format!("exact:{exact}"),
    };
    let method = match text(tree.get("method")) {
        empty if empty.is_empty() => "exact:GET".to_owned(),
        method => method,
    };
    let map = |key: &str| tree.get(key).fields().map(|(name, matcher)| (name.to_owned(), text(matcher))).collect();
    Prefixed {
        rule,
        block,
        prefix: tree.at("uri.prefix").text().to_owned(),
        port: tree.get("port").int(),
        single: [method, text(tree.get("authority"))],
        maps: [map("headers"), map("queryParams"), map("withoutHeaders")],
    }
}

/// What Istio takes for covering: it is neither necessary nor enough.
fn covers(first: &Prefixed, later: &Prefixed) -> bool {
    let same_keys = |(a, b): (&BTreeMap<String, String>, &BTreeMap<String, String>)| {
        a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| value.starts_with(other)))
    };
    later.prefix.starts_with(&first.prefix)
        && first.port == later.port
        && first.single.iter().zip(&later.single).all(|(a, b)| a.starts_with(b))
        && first.maps.iter().zip(&later.maps).all(same_keys)
}
