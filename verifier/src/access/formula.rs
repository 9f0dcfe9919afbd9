//! Access control of a listener as a formula on patterns of a request's fields.

use std::collections::BTreeMap;

use meshproof_proxy::config::{
    ClaimMatcher, ClaimValueMatcher, Filter, HeaderMatcher, HeaderValueMatcher, Permission, Principal, RbacAction,
    RbacRules, StringMatcher, StringPattern,
};

use crate::{
    dfa::escaped,
    patterns::{Attribute, Pattern, block},
    term::Bool,
};

/// Patterns by the number of their truth value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Atoms {
    numbers: BTreeMap<(Attribute, Pattern), usize>,
    list: Vec<(Attribute, Pattern)>,
}

impl Atoms {
    /// The truth value of: some value of the attribute is in the pattern.
    pub(crate) fn term(&mut self, attribute: Attribute, pattern: Pattern) -> Bool {
        if attribute.is_always(&pattern) {
            return Bool::Const(true);
        }
        let next = self.list.len();
        let number = *self.numbers.entry((attribute.clone(), pattern.clone())).or_insert(next);
        if number == next {
            self.list.push((attribute, pattern));
        }
        Bool::Var(number)
    }

    /// Every pattern, by number.
    pub(crate) fn list(&self) -> &[(Attribute, Pattern)] {
        &self.list
    }
}

/// Whom a server sees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// Nobody: the link is plaintext.
    Plaintext,
    /// This name, with its scheme.
    Named(String),
    /// Somebody with a name of the mesh's certificates.
    Anyone,
}

/// Whether a request passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// It does, if authorizers that are asked agree.
    pub may: Bool,
    /// It does, and nobody else is asked.
    pub must: Bool,
}

impl Decision {
    /// Of everything, or of nothing.
    pub(crate) const fn always(passes: bool) -> Self {
        Self { may: Bool::Const(passes), must: Bool::Const(passes) }
    }

    /// Both let it pass.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { may: Bool::And(vec![self.may, other.may]), must: Bool::And(vec![self.must, other.must]) }
    }
}

/// What a listener sees beside the fields of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// The peer.
    pub peer: &'a Peer,
    /// The port of the pods.
    pub port: u16,
}

/// Whether a listener's filters let a request pass (`AZ-2`).
pub(crate) fn decision(filters: &[Filter], seen: Seen<'_>, atoms: &mut Atoms) -> Decision {
    let (mut may, mut must) = (Vec::new(), Vec::new());
    // A verified token is known from the first filter for tokens on.
    let mut reading = Reading { seen, atoms, tokens: !filters.iter().any(|filter| matches!(filter, Filter::Jwt(_))) };
    for filter in filters {
        match filter {
            Filter::Jwt(_) => reading.tokens = true,
            Filter::Rbac(rbac) => {
                let Some(rules) = &rbac.rules else { continue };
                let passes = match rules.action {
                    RbacAction::Allow => reading.matches(rules),
                    RbacAction::Deny => !reading.matches(rules),
                    RbacAction::Log => continue,
                };
                may.push(passes.clone());
                must.push(passes);
            }
            Filter::ExtAuthz(authorizer) => {
                let asked =
                    authorizer.filter_enabled.as_ref().map_or(Bool::Const(true), |rules| reading.matches(rules));
                must.push(!asked);
            }
            _ => {}
        }
    }
    Decision { may: Bool::And(may), must: Bool::And(must) }
}

/// Whether some rule of a listener that allows leaves out a request: what no policy mentions is refused.
pub(crate) fn refuses_by_default(filters: &[Filter], seen: Seen<'_>, atoms: &mut Atoms) -> Bool {
    let mut reading = Reading { seen, atoms, tokens: true };
    let allowing = filters.iter().filter_map(|filter| match filter {
        Filter::Rbac(rbac) => rbac.rules.as_ref().filter(|rules| rules.action == RbacAction::Allow),
        _ => None,
    });
    Bool::Or(allowing.map(|rules| !reading.matches(rules)).collect())
}

/// One policy of a filter: whether it matches a request.
pub(crate) fn rule_matches(policy: &meshproof_proxy::config::RbacPolicy, seen: Seen<'_>, atoms: &mut Atoms) -> Bool {
    Reading { seen, atoms, tokens: true }.policy(policy)
}

/// A condition on a header or pseudo-header.
pub(crate) fn header(matcher: &HeaderMatcher, atoms: &mut Atoms) -> Bool {
    Reading { seen: Seen { peer: &Peer::Plaintext, port: 0 }, atoms, tokens: false }.header(matcher)
}

struct Reading<'a> {
    seen: Seen<'a>,
    atoms: &'a mut Atoms,
    tokens: bool,
}

impl Reading<'_> {
    fn matches(&mut self, rules: &RbacRules) -> Bool {
        Bool::Or(rules.policies.iter().map(|policy| self.policy(policy)).collect())
    }

    fn policy(&mut self, policy: &meshproof_proxy::config::RbacPolicy) -> Bool {
        let principals = Bool::Or(policy.principals.iter().map(|principal| self.principal(principal)).collect());
        let permissions = Bool::Or(policy.permissions.iter().map(|permission| self.permission(permission)).collect());
        Bool::And(vec![principals, permissions])
    }

    fn permission(&mut self, permission: &Permission) -> Bool {
        match permission {
            Permission::Any => Bool::Const(true),
            Permission::Path(matcher) => self.text(Attribute::Path, matcher),
            Permission::PathTemplate(template) => match template_pattern(template) {
                Some(pattern) => self.atoms.term(Attribute::Path, Pattern::Regex(pattern)),
                None => self.opaque(template),
            },
            Permission::Header(matcher) => self.header(matcher),
            Permission::DestinationPort(port) => Bool::Const(*port == self.seen.port),
            Permission::DestinationIp(cidr) => self.address(Attribute::DialledAddress, cidr),
            Permission::RequestedServerName(matcher) => self.text(Attribute::ServerName, matcher),
            Permission::Metadata { filter, key, .. } => self.opaque(&format!("{filter} {key}")),
            Permission::AllOf(all) => Bool::And(all.iter().map(|one| self.permission(one)).collect()),
            Permission::AnyOf(any) => Bool::Or(any.iter().map(|one| self.permission(one)).collect()),
            Permission::Not(not) => !self.permission(not),
        }
    }

    fn principal(&mut self, principal: &Principal) -> Bool {
        match principal {
            Principal::Any => Bool::Const(true),
            Principal::Header(matcher) => self.header(matcher),
            Principal::DirectRemoteIp(cidr) => self.address(Attribute::PeerAddress, cidr),
            Principal::RemoteIp(cidr) => self.address(Attribute::ClientAddress, cidr),
            Principal::Authenticated(None) => Bool::Const(*self.seen.peer != Peer::Plaintext),
            Principal::Authenticated(Some(matcher)) => match self.seen.peer {
                Peer::Plaintext => Bool::Const(false),
                Peer::Named(name) => match string(matcher).contains(name) {
                    Some(holds) => Bool::Const(holds),
                    None => self.opaque(name),
                },
                Peer::Anyone => self.text(Attribute::Identity, matcher),
            },
            Principal::Claim(claim) => self.claim(claim),
            Principal::AllOf(all) => Bool::And(all.iter().map(|one| self.principal(one)).collect()),
            Principal::AnyOf(any) => Bool::Or(any.iter().map(|one| self.principal(one)).collect()),
            Principal::Not(not) => !self.principal(not),
        }
    }

    fn text(&mut self, attribute: Attribute, matcher: &StringMatcher) -> Bool {
        self.atoms.term(attribute, string(matcher))
    }

    fn address(&mut self, attribute: Attribute, cidr: &str) -> Bool {
        match block(cidr) {
            Some(pattern) => self.atoms.term(attribute, pattern),
            None => self.opaque(cidr),
        }
    }

    fn claim(&mut self, claim: &ClaimMatcher) -> Bool {
        if !self.tokens {
            return Bool::Const(false);
        }
        let name = claim.path.get(1..).unwrap_or_default().join(".");
        match &claim.value {
            ClaimValueMatcher::Text(matcher) | ClaimValueMatcher::OneOf(matcher) => {
                self.text(Attribute::Claim(name), matcher)
            }
            ClaimValueMatcher::Bool(_) => self.opaque(&name),
        }
    }

    /// Each line of a header is matched by itself; of pseudo-headers there is always one.
    fn header(&mut self, matcher: &HeaderMatcher) -> Bool {
        let attribute = match matcher.name.as_str() {
            ":method" => Attribute::Method,
            ":authority" => Attribute::Authority,
            ":scheme" => Attribute::Scheme,
            ":path" => return self.opaque(":path"),
            name => Attribute::HeaderLine(name.to_owned()),
        };
        let invert = |holds: Bool| if matcher.invert { !holds } else { holds };
        let present = self.atoms.term(attribute.clone(), Pattern::Present);
        match &matcher.value {
            HeaderValueMatcher::Present(true) => invert(present),
            HeaderValueMatcher::Present(false) => invert(!present),
            HeaderValueMatcher::Text(text) => {
                // Authorities are compared in lower case; a pattern that counts case may ask for another one.
                let has_upper = |text: &str| text.bytes().any(|byte| byte.is_ascii_uppercase());
                let pattern = if attribute == Attribute::Authority {
                    let folded = string(&folded(text));
                    if !text.ignore_case && literal(text).is_none_or(has_upper) {
                        return self.opaque(":authority");
                    }
                    folded
                } else {
                    string(text)
                };
                let empty = pattern.contains("").unwrap_or(false) != matcher.invert;
                let holds = self.atoms.term(attribute, pattern);
                let absent = Bool::Const(matcher.treat_missing_as_empty && empty);
                Bool::Or(vec![Bool::And(vec![present.clone(), invert(holds)]), Bool::And(vec![!present, absent])])
            }
            HeaderValueMatcher::Range { .. } => self.opaque(&matcher.name),
        }
    }

    /// A condition that is not understood: it may hold or not, and no request can be shown that meets it.
    fn opaque(&mut self, what: &str) -> Bool {
        self.atoms.term(Attribute::Opaque(what.to_owned()), Pattern::Present)
    }
}

fn literal(matcher: &StringMatcher) -> Option<&str> {
    match &matcher.pattern {
        StringPattern::Exact(text)
        | StringPattern::Prefix(text)
        | StringPattern::Suffix(text)
        | StringPattern::Contains(text) => Some(text),
        StringPattern::Regex(_) => None,
    }
}

/// The same in lower case, where case does not count; values are in lower case then.
fn folded(matcher: &StringMatcher) -> StringMatcher {
    let lower = |text: &String| text.to_ascii_lowercase();
    let pattern = match &matcher.pattern {
        StringPattern::Exact(text) => StringPattern::Exact(lower(text)),
        StringPattern::Prefix(text) => StringPattern::Prefix(lower(text)),
        StringPattern::Suffix(text) => StringPattern::Suffix(lower(text)),
        StringPattern::Contains(text) => StringPattern::Contains(lower(text)),
        StringPattern::Regex(text) => StringPattern::Regex(text.clone()),
    };
    StringMatcher { pattern, ignore_case: false }
}

/// A comparison of texts as a pattern.
pub(crate) fn string(matcher: &StringMatcher) -> Pattern {
    let is_folded = matcher.ignore_case && !matches!(matcher.pattern, StringPattern::Regex(_));
    match &matcher.pattern {
        StringPattern::Regex(text) => Pattern::Regex(text.clone()),
        pattern if is_folded => {
            let (before, text, after) = match pattern {
                StringPattern::Prefix(text) => ("", text, "(?s:.)*"),
                StringPattern::Suffix(text) => ("(?s:.)*", text, ""),
                StringPattern::Contains(text) => ("(?s:.)*", text, "(?s:.)*"),
                StringPattern::Exact(text) | StringPattern::Regex(text) => ("", text, ""),
            };
            Pattern::Regex(format!("{before}(?i:{}){after}", escaped(text)))
        }
        StringPattern::Exact(text) => Pattern::Exact(text.clone()),
        StringPattern::Prefix(text) => Pattern::Prefix(text.clone()),
        StringPattern::Suffix(text) => Pattern::suffix(text),
        StringPattern::Contains(text) => Pattern::Regex(format!("(?s:.)*{}(?s:.)*", escaped(text))),
    }
}

/// Istio's templates (`AZ-5`): `{*}` is one segment, `{**}` any rest.
pub(crate) fn template_pattern(template: &str) -> Option<String> {
    const SEGMENT: &str = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]+";
    const REST: &str = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=/]*";
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}', '*']) {
        out.push_str(&rest[..at]);
        let (pattern, length) = match &rest[at..] {
            inside if inside.starts_with("{**}") => (REST, 4),
            inside if inside.starts_with("{*}") => (SEGMENT, 3),
            _ => return None,
        };
        out.push_str(pattern);
        rest = &rest[at + length..];
    }
    // Literals keep the meaning that they have in a regular expression, as in Envoy.
    out.push_str(rest);
    out.starts_with('/').then_some(out)
}
