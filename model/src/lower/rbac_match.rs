//! Fields of authorization rules as permissions and principals (`AZ-4` to `AZ-8`).

use meshproof_proxy::config::{
    ClaimMatcher, ClaimValueMatcher, HeaderMatcher, HeaderValueMatcher, Permission, Principal, StringMatcher,
};

use crate::{
    Located,
    istio::{Condition, MeshConfig, Operation, Source},
};

/// How the fields of one rule are read.
pub(super) struct Terms<'a> {
    pub(super) settings: &'a MeshConfig,
    /// The policy's namespace, which completes names of accounts.
    pub(super) namespace: &'a str,
    /// Whether only connections are seen.
    pub(super) is_tcp: bool,
    /// Whether a field that cannot be asked for drops the rule, rather than the field.
    pub(super) drops_rule: bool,
}

/// A value that cannot be asked for, in a rule that allows.
struct DropsRule;

/// The field that a value is read for.
#[derive(Clone, Copy)]
enum Field<'a> {
    Principal,
    Namespace,
    ServiceAccount,
    RequestPrincipal,
    IpBlock,
    RemoteIpBlock,
    Header(&'a str),
    Claim(&'a str),
    Host,
    Port,
    Method,
    Path,
    DestinationIp,
    ServerName,
}

impl Field<'_> {
    /// Whether only HTTP requests have it.
    const fn is_http(self) -> bool {
        matches!(
            self,
            Self::RequestPrincipal | Self::Header(_) | Self::Claim(_) | Self::Host | Self::Method | Self::Path
        )
    }
}

impl Terms<'_> {
    /// All fields of a source hold; `None`: the rule can match nothing.
    pub(super) fn source(&self, source: &Source) -> Option<Vec<Principal>> {
        let mut all = Vec::new();
        for (field, values, not) in [
            (Field::Principal, &source.principals, &source.not_principals),
            (Field::RequestPrincipal, &source.request_principals, &source.not_request_principals),
            (Field::Namespace, &source.namespaces, &source.not_namespaces),
            (Field::ServiceAccount, &source.service_accounts, &source.not_service_accounts),
            (Field::IpBlock, &source.ip_blocks, &source.not_ip_blocks),
            (Field::RemoteIpBlock, &source.remote_ip_blocks, &source.not_remote_ip_blocks),
        ] {
            self.principals(field, values, not, &mut all)?;
        }
        Some(all)
    }

    /// All fields of an operation hold; `None`: the rule can match nothing.
    pub(super) fn operation(&self, operation: &Operation) -> Option<Vec<Permission>> {
        let mut all = Vec::new();
        for (field, values, not) in [
            (Field::Host, &operation.hosts, &operation.not_hosts),
            (Field::Port, &operation.ports, &operation.not_ports),
            (Field::Method, &operation.methods, &operation.not_methods),
            (Field::Path, &operation.paths, &operation.not_paths),
        ] {
            self.permissions(field, values, not, &mut all)?;
        }
        Some(all)
    }

    /// A condition of `when` (`AZ-7`); `None`: the rule can match nothing.
    pub(super) fn condition(
        &self,
        condition: &Condition,
        permissions: &mut Vec<Permission>,
        principals: &mut Vec<Principal>,
    ) -> Option<()> {
        let (values, not) = (&condition.values, &condition.not_values);
        let key = condition.key.value.as_str();
        let field = match key {
            "source.ip" => Field::IpBlock,
            "remote.ip" => Field::RemoteIpBlock,
            "source.namespace" => Field::Namespace,
            "source.principal" => Field::Principal,
            "source.serviceAccount" => Field::ServiceAccount,
            "request.auth.principal" => Field::RequestPrincipal,
            "request.auth.audiences" => Field::Claim("aud"),
            "request.auth.presenter" => Field::Claim("azp"),
            "destination.ip" => return self.permissions(Field::DestinationIp, values, not, permissions),
            "destination.port" => return self.permissions(Field::Port, values, not, permissions),
            "connection.sni" => return self.permissions(Field::ServerName, values, not, permissions),
            _ => {
                if let Some(rest) = key.strip_prefix("experimental.envoy.filters.") {
                    return self.metadata(rest, values, not, permissions);
                }
                let bracketed = |prefix: &str| key.strip_prefix(prefix).map(bracketed);
                match (bracketed("request.headers"), bracketed("request.auth.claims")) {
                    (Some(Some(name)), _) => Field::Header(name),
                    (_, Some(Some(name))) => Field::Claim(name),
                    // A name without brackets is an error of the value (`AZ-8`), an unknown key one of the rule.
                    (Some(None), _) | (_, Some(None)) => return (!self.drops_rule).then_some(()),
                    (None, None) => return None,
                }
            }
        };
        self.principals(field, values, not, principals)
    }

    /// `experimental.envoy.filters.a.b[c]`: what the filter `envoy.filters.a.b` left under `c` (`AZ-7`); `[v]` asks for
    /// an element of a list.
    fn metadata(
        &self,
        key: &str,
        values: &[Located<String>],
        not: &[Located<String>],
        all: &mut Vec<Permission>,
    ) -> Option<()> {
        let Some((filter, key)) = key.strip_suffix(']').unwrap_or(key).split_once('[') else {
            return (!self.drops_rule).then_some(());
        };
        let any = |values: &[Located<String>]| Permission::Metadata {
            filter: format!("envoy.filters.{filter}"),
            key: key.to_owned(),
            any: values
                .iter()
                .map(|value| match value.value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
                    Some(element) => ClaimValueMatcher::OneOf(text(element)),
                    None => ClaimValueMatcher::Text(text(&value.value)),
                })
                .collect(),
        };
        all.extend((!values.is_empty()).then(|| any(values)));
        all.extend((!not.is_empty()).then(|| Permission::Not(Box::new(any(not)))));
        Some(())
    }

    fn principals(
        &self,
        field: Field<'_>,
        values: &[Located<String>],
        not: &[Located<String>],
        all: &mut Vec<Principal>,
    ) -> Option<()> {
        let each = |value: &str| self.principal(field, value);
        all.extend(self.any(field, values, each).ok()?.map(Principal::AnyOf));
        all.extend(self.any(field, not, each).ok()?.map(|none| Principal::Not(Box::new(Principal::AnyOf(none)))));
        Some(())
    }

    fn permissions(
        &self,
        field: Field<'_>,
        values: &[Located<String>],
        not: &[Located<String>],
        all: &mut Vec<Permission>,
    ) -> Option<()> {
        let each = |value: &str| permission(field, value).map(|permission| vec![permission]);
        all.extend(self.any(field, values, each).ok()?.map(Permission::AnyOf));
        all.extend(self.any(field, not, each).ok()?.map(|none| Permission::Not(Box::new(Permission::AnyOf(none)))));
        Some(())
    }

    /// What any of the values asks for; nothing where none is left. A value that cannot be asked for (a field of HTTP
    /// on TCP, an address that is none) drops an ALLOW rule, and of other rules itself (`AZ-8`).
    fn any<T>(
        &self,
        field: Field<'_>,
        values: &[Located<String>],
        each: impl Fn(&str) -> Option<Vec<T>>,
    ) -> Result<Option<Vec<T>>, DropsRule> {
        let mut any = Vec::new();
        for value in values {
            let is_asked = !(self.is_tcp && field.is_http());
            match is_asked.then(|| each(&value.value)).flatten() {
                Some(terms) => any.extend(terms),
                None if self.drops_rule => return Err(DropsRule),
                None => {}
            }
        }
        Ok((!any.is_empty()).then_some(any))
    }

    /// `None`: the value is none of its field.
    fn principal(&self, field: Field<'_>, value: &str) -> Option<Vec<Principal>> {
        let one = |principal| vec![principal];
        Some(match field {
            Field::Principal => {
                self.aliases(value).iter().map(|value| Principal::Authenticated(Some(spiffe(value)))).collect()
            }
            Field::Namespace => one(authenticated(&format!(".*/ns/{}/.*", glob(value)))),
            Field::ServiceAccount => {
                let (namespace, account) = value.split_once('/').unwrap_or((self.namespace, value));
                let (namespace, account) = (escape(namespace), escape(account));
                one(authenticated(&format!("spiffe://.+/ns/{namespace}/(.+/|)sa/{account}(/.+)?")))
            }
            Field::RequestPrincipal => one(request_principal(value)),
            Field::IpBlock => one(Principal::DirectRemoteIp(block(value)?)),
            Field::RemoteIpBlock => one(Principal::RemoteIp(block(value)?)),
            Field::Header(name) => one(Principal::Header(header(name, value))),
            Field::Claim(name) => one(claim(name, text(value))),
            Field::Host | Field::Port | Field::Method | Field::Path | Field::DestinationIp | Field::ServerName => {
                return None;
            }
        })
    }

    /// The identity under every name of the mesh's trust domain (`AZ-11`); one that names no trust domain stays.
    fn aliases(&self, value: &str) -> Vec<String> {
        let own = std::iter::once(&self.settings.trust_domain.value);
        let names: Vec<&String> = own.chain(&self.settings.trust_domain_aliases).collect();
        let (domain, rest) = match value.split_once('/') {
            Some((domain, rest)) if domain != "*" && rest.split('/').count() == 4 => (domain, rest),
            _ => return vec![value.to_owned()],
        };
        let covers = |name: &str| match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
            (Some(suffix), _) => name.ends_with(suffix),
            (None, Some(prefix)) => name.starts_with(prefix),
            (None, None) => name == domain,
        };
        if domain != "cluster.local" && !names.iter().any(|name| covers(name)) {
            return vec![value.to_owned()];
        }
        let kept = |name: &str| domain.strip_prefix('*').is_some_and(|suffix| name.ends_with(suffix));
        let mut all: Vec<String> =
            names.iter().map(|name| if kept(name) { value.to_owned() } else { format!("{name}/{rest}") }).collect();
        all.dedup();
        all
    }
}

/// `None`: the value is none of its field.
fn permission(field: Field<'_>, value: &str) -> Option<Permission> {
    Some(match field {
        // A host is compared without regard to case, and with its port if it has one (`AZ-5`).
        Field::Host => {
            let mut matcher = header(":authority", value);
            if let HeaderValueMatcher::Text(text) = &mut matcher.value {
                text.ignore_case = true;
            }
            Permission::Header(matcher)
        }
        Field::Port => Permission::DestinationPort(value.parse().ok()?),
        Field::Method => Permission::Header(header(":method", value)),
        Field::Path if value.contains("{*}") || value.contains("{**}") => Permission::PathTemplate(value.to_owned()),
        Field::Path => Permission::Path(text(value)),
        Field::DestinationIp => Permission::DestinationIp(block(value)?),
        Field::ServerName => Permission::RequestedServerName(text(value)),
        Field::Principal
        | Field::Namespace
        | Field::ServiceAccount
        | Field::RequestPrincipal
        | Field::IpBlock
        | Field::RemoteIpBlock
        | Field::Header(_)
        | Field::Claim(_) => return None,
    })
}

/// An address or a block of addresses; `None`: it is neither.
fn block(value: &str) -> Option<String> {
    let (address, length) = value.split_once('/').map_or((value, None), |(address, length)| (address, Some(length)));
    let address: std::net::IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    length.is_none_or(|length| length.parse::<u8>().is_ok_and(|length| length <= longest)).then(|| value.to_owned())
}

/// Exact, `abc*`, `*abc`, or `*` for something that is not empty (`AZ-5`).
fn text(value: &str) -> StringMatcher {
    if value == "*" {
        return StringMatcher::regex(".+");
    }
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(suffix), _) => StringMatcher::suffix(suffix),
        (None, Some(prefix)) => StringMatcher::prefix(prefix),
        (None, None) => StringMatcher::exact(value),
    }
}

/// The identity without its scheme, as policies write it (`AZ-6`).
fn spiffe(value: &str) -> StringMatcher {
    if value == "*" {
        return StringMatcher::regex(".+");
    }
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(suffix), _) => StringMatcher::regex(format!("spiffe://.*{}", escape(suffix))),
        (None, Some(prefix)) => StringMatcher::prefix(format!("spiffe://{prefix}")),
        (None, None) => StringMatcher::exact(format!("spiffe://{value}")),
    }
}

fn authenticated(pattern: &str) -> Principal {
    Principal::Authenticated(Some(StringMatcher::regex(pattern)))
}

/// `issuer/subject` of a verified token; `*` is any, and one at either end is of the issuer's beginning or the
/// subject's end (`AZ-7`).
fn request_principal(value: &str) -> Principal {
    let any = || StringMatcher::regex(".+");
    let exact = |value: &str| StringMatcher::exact(value);
    let (issuer, subject) = match (value.rsplit_once('/'), value.strip_prefix('*'), value.strip_suffix('*')) {
        (None, Some(""), _) => (any(), any()),
        (None, Some(suffix), _) => (any(), StringMatcher::suffix(suffix)),
        (None, None, Some(prefix)) => (StringMatcher::prefix(prefix), any()),
        (None, None, None) => (exact(value), exact("")),
        (Some((issuer, subject)), Some(_), _) => (text(issuer), exact(subject)),
        (Some((issuer, subject)), None, Some(_)) => (exact(issuer), text(subject)),
        (Some((issuer, subject)), None, None) => (exact(issuer), exact(subject)),
    };
    Principal::AllOf(vec![claim("iss", issuer), claim("sub", subject)])
}

/// A claim of the verified token; `a][b` leads into objects. A list has it where one of its elements matches.
fn claim(name: &str, value: StringMatcher) -> Principal {
    let mut path = vec!["payload".to_owned()];
    path.extend(name.split("][").map(str::to_owned));
    Principal::AnyOf(vec![
        Principal::Claim(ClaimMatcher { path: path.clone(), value: ClaimValueMatcher::OneOf(value.clone()) }),
        Principal::Claim(ClaimMatcher { path, value: ClaimValueMatcher::Text(value) }),
    ])
}

/// A header that has the value; `*`: it is there, even if it is empty.
fn header(name: &str, value: &str) -> HeaderMatcher {
    let value = if value == "*" { HeaderValueMatcher::Present(true) } else { HeaderValueMatcher::Text(text(value)) };
    HeaderMatcher { name: name.to_ascii_lowercase(), value, invert: false, treat_missing_as_empty: false }
}

/// `x` of `[x]`.
fn bracketed(name: &str) -> Option<&str> {
    name.strip_prefix('[')?.strip_suffix(']')
}

/// A value with `*` for any characters as a regular expression.
fn glob(value: &str) -> String {
    value.split('*').map(escape).collect::<Vec<_>>().join(".*")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_alphanumeric() && !matches!(c, '-' | '_' | '/') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
