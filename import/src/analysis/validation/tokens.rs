//! `RequestAuthentications`. Istio: `ValidateRequestAuthentication`.

use super::{
    Found,
    common::{attachment, duration},
    names,
};
use crate::analysis::{tree::Tree, world::Resource};

pub(super) fn check(policy: &Resource<'_>, found: &mut Found) {
    attachment(policy.spec, found);
    for (i, rule) in policy.spec.list("jwtRules").enumerate() {
        check_rule(rule, &format!("spec.jwtRules[{i}]"), found);
    }
}

fn check_rule(rule: Tree<'_>, path: &str, found: &mut Found) {
    let text = |key: &str| rule.get(key).text();
    found.error_if(text("issuer").is_empty(), path, "a rule needs an issuer");
    let mut filled = |key: &str, what: &str| {
        for _ in rule.texts(key).iter().filter(|text| text.is_empty()) {
            found.error(path, format!("{what} must not be empty"));
        }
    };
    filled("audiences", "an audience");
    filled("fromParams", "a query parameter");
    filled("fromCookies", "a cookie");
    if rule.get("jwksUri").is_set() && !text("jwksUri").is_empty() {
        let scheme = text("jwksUri").split_once("://").map_or("", |(scheme, _)| scheme);
        found.error_if(!matches!(scheme, "http" | "https"), path, format_args!("keys are not fetched over `{scheme}`"));
    }
    if !text("jwks").is_empty() {
        let parsed = crate::yaml::parse(text("jwks"));
        let keys = |root: &crate::yaml::Node<'_>| root.entry("keys").is_some() || root.entry("kty").is_some();
        let valid = parsed.broken.is_empty() && parsed.documents.iter().any(|document| keys(&document.root));
        found.error_if(!valid, path, "`jwks` holds no set of keys");
    }
    for location in rule.list("fromHeaders") {
        found.error_if(location.get("name").text().is_empty(), path, "the header of a token needs a name");
    }
    for output in rule.list("outputClaimToHeaders") {
        let (claim, header) = (output.get("claim").text(), output.get("header").text());
        if claim.is_empty() || header.is_empty() {
            found.error(path, "`outputClaimToHeaders` needs a claim and a header");
        } else {
            found.check(path, names::header(header));
        }
    }
    duration(rule.get("timeout"), path, found);
}
