//! Role-based access control (Envoy: `extensions.filters.http.rbac.v3.RBAC`): who may do what. Decisions only; nothing
//! is counted here.

use std::net::IpAddr;

use crate::{
    Claim,
    cidr::Cidr,
    config::{self, ClaimValueMatcher, Permission, Principal, RbacAction},
    error::{CompileFault, Faults},
    jwt,
    request::Request,
    table::{HeaderMatch, StringMatch, Template},
};

/// A filter of access control.
#[derive(Debug)]
pub(crate) struct RbacTable {
    rules: Option<Rules>,
    shadow: Option<Rules>,
}

/// What rules say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict<'t> {
    pub(crate) is_allowed: bool,
    /// The policy that matched; `None`: none did.
    pub(crate) policy: Option<&'t str>,
}

/// An action and its policies by name.
#[derive(Debug)]
pub(crate) struct Rules {
    action: RbacAction,
    policies: Box<[Policy]>,
}

#[derive(Debug)]
struct Policy {
    name: Box<str>,
    permissions: Box<[Condition]>,
    principals: Box<[Condition]>,
}

/// What a permission asks of the request, or a principal of its sender.
#[derive(Debug)]
enum Condition {
    Always,
    Path(StringMatch),
    PathTemplate(Template),
    Header(HeaderMatch),
    DestinationPort(u16),
    DestinationIp(Cidr),
    ServerName(StringMatch),
    DirectRemoteIp(Cidr),
    RemoteIp(Cidr),
    Authenticated(Option<StringMatch>),
    Claim(ClaimMatch),
    Metadata { filter: Box<str>, key: Box<str>, any: Box<[ClaimValue]> },
    All(Box<[Condition]>),
    Any(Box<[Condition]>),
    Not(Box<Condition>),
}

#[derive(Debug)]
struct ClaimMatch {
    path: Box<[String]>,
    value: ClaimValue,
}

#[derive(Debug)]
enum ClaimValue {
    Text(StringMatch),
    Bool(bool),
    OneOf(StringMatch),
}

impl RbacTable {
    pub(crate) fn new(rbac: &config::Rbac, faults: &mut Faults) -> Self {
        let mut rules = |rules: &Option<config::RbacRules>| rules.as_ref().map(|rules| Rules::new(rules, faults));
        Self { rules: rules(&rbac.rules), shadow: rules(&rbac.shadow_rules) }
    }

    /// Whether the request may pass; `None`: there are no rules, so it may, and nothing is counted.
    pub(crate) fn decide(&self, request: &Request) -> Option<Verdict<'_>> {
        self.rules.as_ref().map(|rules| rules.decide(request))
    }

    /// The rules that decide, if there are any.
    pub(crate) const fn rules(&self) -> Option<&Rules> {
        self.rules.as_ref()
    }

    /// What the rules that are only counted say.
    pub(crate) fn shadow(&self, request: &Request) -> Option<Verdict<'_>> {
        self.shadow.as_ref().map(|rules| rules.decide(request))
    }
}

impl Verdict<'_> {
    /// Details for the access log of a request that is refused.
    pub(crate) fn details(&self) -> String {
        let policy = self.policy.unwrap_or("none").replace(char::is_whitespace, "_");
        format!("rbac_access_denied_matched_policy[{policy}]")
    }
}

impl Rules {
    pub(crate) fn new(rules: &config::RbacRules, faults: &mut Faults) -> Self {
        let mut policies: Vec<_> = rules
            .policies
            .iter()
            .map(|policy| {
                faults.place("policy", &policy.name);
                let compiled = Policy {
                    name: policy.name.as_str().into(),
                    permissions: faults.all(&policy.permissions, permission),
                    principals: faults.all(&policy.principals, principal),
                };
                faults.leave();
                compiled
            })
            .collect();
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        Self { action: rules.action, policies: policies.into() }
    }

    /// The first policy by name that matches decides: allow rules let nothing else pass, deny rules let all else pass.
    pub(crate) fn decide(&self, request: &Request) -> Verdict<'_> {
        let policy = self.policies.iter().find(|policy| policy.matches(request)).map(|policy| &*policy.name);
        let is_allowed = match self.action {
            RbacAction::Allow => policy.is_some(),
            RbacAction::Deny => policy.is_none(),
            RbacAction::Log => true,
        };
        Verdict { is_allowed, policy }
    }

    /// What a match of these rules means.
    pub(crate) const fn action(&self) -> RbacAction {
        self.action
    }

    /// Every policy that matches, by name.
    pub(crate) fn matching(&self, request: &Request) -> Vec<&str> {
        self.policies.iter().filter(|policy| policy.matches(request)).map(|policy| &*policy.name).collect()
    }
}

impl Policy {
    fn matches(&self, request: &Request) -> bool {
        let any = |conditions: &[Condition]| conditions.iter().any(|condition| condition.holds(request));
        any(&self.permissions) && any(&self.principals)
    }
}

fn each<T>(items: &[T], new: impl Fn(&T) -> Result<Condition, CompileFault>) -> Result<Box<[Condition]>, CompileFault> {
    items.iter().map(new).collect()
}

fn permission(permission: &Permission) -> Result<Condition, CompileFault> {
    Ok(match permission {
        Permission::Any => Condition::Always,
        Permission::Path(matcher) => Condition::Path(StringMatch::new(matcher)?),
        Permission::PathTemplate(template) => Condition::PathTemplate(Template::new(template)?),
        Permission::Header(matcher) => Condition::Header(HeaderMatch::new(matcher)?),
        Permission::DestinationPort(port) => Condition::DestinationPort(*port),
        Permission::DestinationIp(block) => Condition::DestinationIp(Cidr::new(block)?),
        Permission::RequestedServerName(matcher) => Condition::ServerName(StringMatch::new(matcher)?),
        Permission::Metadata { filter, key, any } => Condition::Metadata {
            filter: filter.as_str().into(),
            key: key.as_str().into(),
            any: any.iter().map(ClaimValue::new).collect::<Result<_, _>>()?,
        },
        Permission::AllOf(all) => Condition::All(each(all, self::permission)?),
        Permission::AnyOf(any) => Condition::Any(each(any, self::permission)?),
        Permission::Not(not) => Condition::Not(Box::new(self::permission(not)?)),
    })
}

fn principal(principal: &Principal) -> Result<Condition, CompileFault> {
    Ok(match principal {
        Principal::Any => Condition::Always,
        Principal::Header(matcher) => Condition::Header(HeaderMatch::new(matcher)?),
        Principal::DirectRemoteIp(block) => Condition::DirectRemoteIp(Cidr::new(block)?),
        Principal::RemoteIp(block) => Condition::RemoteIp(Cidr::new(block)?),
        Principal::Authenticated(name) => Condition::Authenticated(name.as_ref().map(StringMatch::new).transpose()?),
        Principal::Claim(claim) => {
            Condition::Claim(ClaimMatch { path: claim.path.clone().into(), value: ClaimValue::new(&claim.value)? })
        }
        Principal::AllOf(all) => Condition::All(each(all, self::principal)?),
        Principal::AnyOf(any) => Condition::Any(each(any, self::principal)?),
        Principal::Not(not) => Condition::Not(Box::new(self::principal(not)?)),
    })
}

impl Condition {
    fn holds(&self, request: &Request) -> bool {
        let peer = &request.peer;
        let within = |block: &Cidr, address: Option<IpAddr>| address.is_some_and(|address| block.contains(address));
        match self {
            Self::Always => true,
            Self::Path(matcher) => matcher.matches(request.path_only()),
            Self::PathTemplate(template) => template.matches(request.path_only()),
            Self::Header(matcher) => request.matches(matcher),
            Self::DestinationPort(port) => peer.destination.is_some_and(|address| address.port() == *port),
            Self::DestinationIp(block) => within(block, peer.destination.map(|address| address.ip())),
            Self::ServerName(matcher) => matcher.matches(&peer.server_name),
            Self::DirectRemoteIp(block) => within(block, peer.address),
            Self::RemoteIp(block) => within(block, request.trusted_address),
            Self::Authenticated(None) => peer.is_tls,
            Self::Authenticated(Some(matcher)) => peer.sans.iter().any(|(_, name)| matcher.matches(name)),
            Self::Claim(claim) => claim.matches(request),
            Self::Metadata { filter, key, any } => {
                let value = request.metadata.as_ref().and_then(|all| all.get(&**filter)?.get(&**key));
                value.is_some_and(|value| any.iter().any(|matcher| matcher.matches(value)))
            }
            Self::All(all) => all.iter().all(|condition| condition.holds(request)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(request)),
            Self::Not(not) => !not.holds(request),
        }
    }
}

impl ClaimMatch {
    fn matches(&self, request: &Request) -> bool {
        let Some((key, path)) = self.path.split_first() else { return false };
        let payload = request.payloads.iter().rev().find(|(name, _)| **name == **key);
        let Some(claim) = payload.and_then(|(_, token)| jwt::claim(token, path)) else { return false };
        self.value.matches(&claim)
    }
}

impl ClaimValue {
    fn new(matcher: &ClaimValueMatcher) -> Result<Self, CompileFault> {
        Ok(match matcher {
            ClaimValueMatcher::Text(matcher) => Self::Text(StringMatch::new(matcher)?),
            ClaimValueMatcher::Bool(value) => Self::Bool(*value),
            ClaimValueMatcher::OneOf(matcher) => Self::OneOf(StringMatch::new(matcher)?),
        })
    }

    /// A text does not match a list, nor a list a text.
    fn matches(&self, claim: &Claim) -> bool {
        match (self, claim) {
            (Self::Text(matcher), Claim::Text(text)) => matcher.matches(text),
            (Self::Bool(want), Claim::Bool(value)) => want == value,
            (Self::OneOf(matcher), Claim::List(list)) => {
                list.iter().any(|element| matches!(element, Claim::Text(text) if matcher.matches(text)))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
