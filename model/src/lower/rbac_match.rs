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
            _ => match (bracketed(key, "request.headers"), bracketed(key, "request.auth.claims")) {
                (Some(name), _) => Field::Header(name),
                (_, Some(name)) => Field::Claim(name),
                // A key that is not known says nothing that could match.
                (None, None) if self.drops_rule => return None,
                (None, None) => return Some(()),
            },
        };
        self.principals(field, values, not, principals)
    }

    fn principals(
        &self,
        field: Field<'_>,
        values: &[Located<String>],
        not: &[Located<String>],
        all: &mut Vec<Principal>,
    ) -> Option<()> {
        let any = |values: &[Located<String>]| {
            let each = values.iter().flat_map(|value| self.principal(field, &value.value)).collect();
            Principal::AnyOf(each)
        };
        let (any, none) = self.both(field, values, not, any)?;
        all.extend(any);
        all.extend(none.map(|none| Principal::Not(Box::new(none))));
        Some(())
    }

    fn permissions(
        &self,
        field: Field<'_>,
        values: &[Located<String>],
        not: &[Located<String>],
        all: &mut Vec<Permission>,
    ) -> Option<()> {
        let any = |values: &[Located<String>]| {
            Permission::AnyOf(values.iter().filter_map(|value| permission(field, &value.value)).collect())
        };
        let (any, none) = self.both(field, values, not, any)?;
        all.extend(any);
        all.extend(none.map(|none| Permission::Not(Box::new(none))));
        Some(())
    }

    /// Values and their negation: any of the one, and none of the other. On TCP a field of HTTP drops the rule or
    /// itself (`AZ-8`).
    fn both<T>(
        &self,
        field: Field<'_>,
        values: &[Located<String>],
        not: &[Located<String>],
        any: impl Fn(&[Located<String>]) -> T,
    ) -> Option<(Option<T>, Option<T>)> {
        let is_written = !values.is_empty() || !not.is_empty();
        if is_written && self.is_tcp && field.is_http() {
            return if self.drops_rule { None } else { Some((None, None)) };
        }
        let some = |values: &[Located<String>]| (!values.is_empty()).then(|| any(values));
        Some((some(values), some(not)))
    }

    fn principal(&self, field: Field<'_>, value: &str) -> Vec<Principal> {
        let one = |principal| vec![principal];
        match field {
            Field::Principal => {
                self.aliases(value).iter().map(|value| Principal::Authenticated(Some(spiffe(value)))).collect()
            }
            Field::Namespace => one(authenticated(&format!(".*/ns/{}/.*", glob(value)))),
            Field::ServiceAccount => {
                let (namespace, account) = value.split_once('/').unwrap_or((self.namespace, value));
                one(authenticated(&format!("spiffe://.+/ns/{}/sa/{}", glob(namespace), glob(account))))
            }
            Field::RequestPrincipal => one(request_principal(value)),
            Field::IpBlock => one(Principal::DirectRemoteIp(value.to_owned())),
            Field::RemoteIpBlock => one(Principal::RemoteIp(value.to_owned())),
            Field::Header(name) => one(Principal::Header(header(name, text(value)))),
            Field::Claim(name) => one(claim(name, value)),
            Field::Host | Field::Port | Field::Method | Field::Path | Field::DestinationIp | Field::ServerName => {
                Vec::new()
            }
        }
    }

    /// The identity under every name of the mesh's trust domain (`AZ-11`).
    fn aliases(&self, value: &str) -> Vec<String> {
        let own = &self.settings.trust_domain.value;
        let names: Vec<&String> = std::iter::once(own).chain(&self.settings.trust_domain_aliases).collect();
        match value.split_once('/') {
            Some((domain, rest)) if domain == "cluster.local" || names.iter().any(|name| **name == domain) => {
                names.iter().map(|name| format!("{name}/{rest}")).collect()
            }
            _ => vec![value.to_owned()],
        }
    }
}

fn permission(field: Field<'_>, value: &str) -> Option<Permission> {
    Some(match field {
        // A host is compared without regard to case, and with its port if it has one (`AZ-5`).
        Field::Host => Permission::Header(header(":authority", StringMatcher { ignore_case: true, ..text(value) })),
        Field::Port => Permission::DestinationPort(value.parse().ok()?),
        Field::Method => Permission::Header(header(":method", text(value))),
        Field::Path if value.contains('{') => Permission::PathTemplate(value.to_owned()),
        Field::Path => Permission::Path(text(value)),
        Field::DestinationIp => Permission::DestinationIp(value.to_owned()),
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

/// `issuer/subject` of a verified token; `*` is any (`AZ-7`).
fn request_principal(value: &str) -> Principal {
    let (issuer, subject) = match value.rsplit_once('/') {
        Some((issuer, subject)) => (issuer, subject),
        None if value.starts_with('*') => ("*", value),
        None => (value, "*"),
    };
    Principal::AllOf(vec![claim("iss", issuer), claim("sub", subject)])
}

/// A claim of the verified token; `a][b` leads into objects.
fn claim(name: &str, value: &str) -> Principal {
    let mut path = vec!["payload".to_owned()];
    path.extend(name.split("][").map(str::to_owned));
    Principal::AnyOf(vec![
        Principal::Claim(ClaimMatcher { path: path.clone(), value: ClaimValueMatcher::OneOf(text(value)) }),
        Principal::Claim(ClaimMatcher { path, value: ClaimValueMatcher::Text(text(value)) }),
    ])
}

fn header(name: &str, value: StringMatcher) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_ascii_lowercase(),
        value: HeaderValueMatcher::Text(value),
        invert: false,
        treat_missing_as_empty: false,
    }
}

/// `x` of `prefix[x]`.
fn bracketed<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    key.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')
}

/// A value with `*` at one end as a regular expression.
fn glob(value: &str) -> String {
    match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(""), _) => ".*".to_owned(),
        (Some(suffix), _) => format!(".*{}", escape(suffix)),
        (None, Some(prefix)) => format!("{}.*", escape(prefix)),
        (None, None) => escape(value),
    }
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
