//! Which requests a proxy's route takes, as a formula on patterns of their fields.

use meshproof_proxy::config::{PathMatcher, QueryMatcher, QueryValueMatcher, RouteMatch, VirtualHost};

use crate::{
    access::{Atoms, header, string, template_pattern},
    dfa::escaped,
    patterns::{Attribute, Pattern},
    term::Bool,
};

/// For each route of a virtual host the requests that it takes, the last one being those that none takes: each what it
/// matches and no earlier one does.
pub(crate) fn taken(host: &VirtualHost, atoms: &mut Atoms) -> Vec<Bool> {
    let matched: Vec<Bool> = host.routes.iter().map(|route| matches(&route.matches, atoms)).collect();
    let before = |number: usize| !Bool::Or(matched[..number].to_vec());
    let own = |number: usize| Bool::And(vec![matched[number].clone(), before(number)]);
    (0..matched.len()).map(own).chain([before(matched.len())]).collect()
}

fn matches(route: &RouteMatch, atoms: &mut Atoms) -> Bool {
    let mut all = vec![path(route, atoms)];
    all.extend(route.headers.iter().map(|matcher| header(matcher, atoms)));
    all.extend(route.query.iter().map(|matcher| query(matcher, atoms)));
    if route.grpc {
        let kind = || Attribute::HeaderLine("content-type".to_owned());
        let plain = atoms.term(kind(), Pattern::exact("application/grpc"));
        all.push(Bool::Or(vec![plain, atoms.term(kind(), Pattern::Prefix("application/grpc+".to_owned()))]));
    }
    if route.runtime_fraction.is_some() {
        all.push(atoms.term(Attribute::Opaque("runtime fraction".to_owned()), Pattern::Present));
    }
    Bool::And(all)
}

/// The path without its query.
fn path(route: &RouteMatch, atoms: &mut Atoms) -> Bool {
    let mut one = |pattern: Pattern| atoms.term(Attribute::Path, pattern);
    let folded = |text: &str, rest: &str| Pattern::Regex(format!("(?i:{}){rest}", escaped(text)));
    match (&route.path, route.case_sensitive) {
        (PathMatcher::Prefix(text), true) => one(Pattern::Prefix(text.clone())),
        (PathMatcher::Prefix(text), false) => one(folded(text, "(?s:.)*")),
        (PathMatcher::Path(text), true) => one(Pattern::exact(text)),
        (PathMatcher::Path(text), false) => one(folded(text, "")),
        (PathMatcher::Regex(text), _) => one(Pattern::Regex(text.clone())),
        (PathMatcher::PathSeparatedPrefix(text), true) => {
            Bool::Or(vec![one(Pattern::exact(text)), one(Pattern::Prefix(format!("{text}/")))])
        }
        (PathMatcher::PathSeparatedPrefix(text), false) => {
            Bool::Or(vec![one(folded(text, "")), one(folded(text, "/(?s:.)*"))])
        }
        (PathMatcher::UriTemplate(text), _) => match template_pattern(text) {
            Some(pattern) => one(Pattern::Regex(pattern)),
            None => atoms.term(Attribute::Opaque(text.clone()), Pattern::Present),
        },
    }
}

fn query(matcher: &QueryMatcher, atoms: &mut Atoms) -> Bool {
    let attribute = Attribute::Query(matcher.name.clone());
    match &matcher.value {
        QueryValueMatcher::Present(true) => atoms.term(attribute, Pattern::Present),
        QueryValueMatcher::Present(false) => !atoms.term(attribute, Pattern::Present),
        QueryValueMatcher::Text(text) => atoms.term(attribute, string(text)),
    }
}
