//! Authentication by JSON web tokens (Envoy: `extensions.filters.http.jwt_authn.v3.JwtAuthentication`).

mod claim;
mod extract;
mod form;
mod provider;

pub(crate) use self::{claim::claim, extract::Found};
use self::{
    extract::Extractor,
    provider::{Audiences, Provider},
};
use crate::{
    TokenAlgorithm,
    config::{self, JwtRequirement},
    error::{CompileFault, Faults},
    request::Request,
};

/// The longest path that a challenge shows.
const CHALLENGE_PATH: usize = 256;

/// A filter that authenticates requests.
#[derive(Debug)]
pub(crate) struct JwtTable {
    providers: Box<[Provider]>,
    rules: Box<[(Box<str>, Option<Requirement>)]>,
    named: Box<[(Box<str>, Requirement)]>,
    bypass_cors_preflight: bool,
    /// Headers that only this filter may set.
    sanitized: Box<[Box<str>]>,
}

/// What becomes of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Authentication {
    /// `None`: it passes.
    pub(crate) denial: Option<Denial>,
    /// Whether it passes as a CORS preflight.
    pub(crate) is_preflight: bool,
    /// Tokens that were verified (Envoy's counter `jwt_cache_miss`; the cache is off by default).
    pub(crate) cache_misses: u64,
}

/// An answer to a request that is not authenticated. It has no response flag.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Denial {
    /// 401 or 403.
    pub(crate) status: u16,
    pub(crate) body: String,
    /// Details for the access log.
    pub(crate) details: String,
    /// The header `www-authenticate`.
    pub(crate) challenge: Option<String>,
}

/// How a token, or the search for one, comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    Missing,
    BadForm,
    HeaderNoBase64,
    HeaderNoJson,
    HeaderNoAlgorithm,
    PayloadNoBase64,
    PayloadNoJson,
    SignatureNoBase64,
    UnknownIssuer,
    NotYetValid,
    Expired,
    VerificationFails,
    AudienceNotAllowed,
    NoSuchKey,
}

impl Status {
    const fn message(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Missing => "Jwt is missing",
            Self::BadForm => "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            Self::HeaderNoBase64 => "Jwt header is an invalid Base64url encoded",
            Self::HeaderNoJson => "Jwt header is an invalid JSON",
            Self::HeaderNoAlgorithm => "Jwt header [alg] field is required and must be a string",
            Self::PayloadNoBase64 => "Jwt payload is an invalid Base64url encoded",
            Self::PayloadNoJson => "Jwt payload is an invalid JSON",
            Self::SignatureNoBase64 => "Jwt signature is an invalid Base64url encoded",
            Self::UnknownIssuer => "Jwt issuer is not configured",
            Self::NotYetValid => "Jwt not yet valid",
            Self::Expired => "Jwt is expired",
            Self::VerificationFails => "Jwt verification fails",
            Self::AudienceNotAllowed => "Audiences in Jwt are not allowed",
            Self::NoSuchKey => "Jwks doesn't have key to match kid or alg from Jwt",
        }
    }
}

/// A compiled requirement.
#[derive(Debug)]
enum Requirement {
    Provider {
        extractor: Extractor,
        provider: usize,
        audiences: Option<Audiences>,
    },
    Any {
        of: Box<[Requirement]>,
        allow_missing: bool,
        allow_failed: bool,
    },
    All(Box<[Requirement]>),
    /// Tokens of any provider; a missing one passes, and a failed one only if `allow_failed` holds.
    Optional {
        extractor: Extractor,
        allow_failed: bool,
    },
}

/// One request on its way through a requirement.
struct Attempt<'a> {
    providers: &'a [Provider],
    request: &'a mut Request,
    /// The path before a token was taken out of it.
    original_path: Option<String>,
    cache_misses: u64,
}

impl JwtTable {
    pub(crate) fn new(jwt: &config::Jwt, faults: &mut Faults) -> Self {
        let named = jwt.requirement_map.iter().filter_map(|(name, requirement)| {
            Some((name.as_str().into(), faults.note(Requirement::new(requirement, jwt))?))
        });
        let named = named.collect();
        let rules = jwt.rules.iter().filter_map(|rule| {
            let requires = rule.requires.as_ref().map(|requirement| Requirement::new(requirement, jwt));
            Some((rule.prefix.as_str().into(), faults.note(requires.transpose())?))
        });
        Self {
            rules: rules.collect(),
            named,
            providers: jwt.providers.iter().map(|(_, provider)| Provider::new(provider)).collect(),
            bypass_cors_preflight: jwt.bypass_cors_preflight,
            sanitized: (jwt.providers.iter().flat_map(|(_, provider)| &provider.claim_to_headers))
                .map(|(name, _)| name.to_ascii_lowercase().into())
                .collect(),
        }
    }

    /// What the filter does even where a route switches it off: headers that a client might have forged are removed, and
    /// preflights are told apart.
    pub(crate) fn pass(&self, request: &mut Request) -> Authentication {
        self.sanitized.iter().for_each(|name| _ = request.headers_mut().remove(name));
        let is_preflight = self.bypass_cors_preflight && is_preflight(request);
        Authentication { is_preflight, ..Authentication::default() }
    }

    /// Judges a request by the requirement that its route names, or else by the first rule for its path. Tokens that
    /// are not passed on are taken out of the request, claims that become headers are set, and payloads are kept for
    /// filters behind this one.
    pub(crate) fn authenticate(&self, request: &mut Request, named: Option<&str>) -> Authentication {
        let passed = self.pass(request);
        if passed.is_preflight {
            return passed;
        }
        let requirement = if let Some(name) = named {
            let Some((_, requirement)) = self.named.iter().find(|(known, _)| **known == *name) else {
                return Authentication { denial: Some(self.unknown(name)), ..Authentication::default() };
            };
            Some(requirement)
        } else {
            let rule = self.rules.iter().find(|(prefix, _)| request.path_only().starts_with(&**prefix));
            rule.and_then(|(_, requirement)| requirement.as_ref())
        };
        let Some(requirement) = requirement else { return Authentication::default() };
        let known_payloads = request.payloads.len();
        let mut attempt = Attempt { providers: &self.providers, request, original_path: None, cache_misses: 0 };
        let status = attempt.judge(requirement);
        let Attempt { original_path, cache_misses, .. } = attempt;
        let denial = (status != Status::Ok).then(|| {
            request.payloads.truncate(known_payloads);
            Denial::new(status, &realm(request, original_path.as_deref()))
        });
        Authentication { denial, is_preflight: false, cache_misses }
    }

    fn unknown(&self, name: &str) -> Denial {
        let known = self.named.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(",");
        let message = format!("Wrong requirement_name: {name}. It should be one of [{known}]");
        Denial {
            status: 403,
            details: details(&message),
            body: format!("Failed JWT authentication: {message}"),
            challenge: None,
        }
    }
}

impl Denial {
    fn new(status: Status, realm: &str) -> Self {
        let error = if status == Status::Missing { "" } else { ", error=\"invalid_token\"" };
        Self {
            status: if status == Status::AudienceNotAllowed { 403 } else { 401 },
            body: status.message().to_owned(),
            details: details(status.message()),
            challenge: Some(format!("Bearer realm=\"{realm}\"{error}")),
        }
    }
}

fn details(message: &str) -> String {
    format!("jwt_authn_access_denied{{{}}}", message.replace(' ', "_"))
}

fn realm(request: &Request, original_path: Option<&str>) -> String {
    let path = request.first("x-envoy-original-path").or(original_path).unwrap_or(request.path());
    let path = &path[..path.floor_char_boundary(CHALLENGE_PATH)];
    format!("{}://{}{path}", request.scheme(), request.authority())
}

fn is_preflight(request: &Request) -> bool {
    let is_set = |name: &str| request.first(name).is_some_and(|value| !value.is_empty());
    request.method() == "OPTIONS" && is_set("origin") && is_set("access-control-request-method")
}

impl Requirement {
    fn new(requirement: &JwtRequirement, jwt: &config::Jwt) -> Result<Self, CompileFault> {
        let each = |of: &[JwtRequirement]| of.iter().map(|inner| Self::new(inner, jwt)).collect::<Result<_, _>>();
        Ok(match requirement {
            JwtRequirement::Provider { name, audiences } => {
                let provider = jwt.providers.iter().position(|(known, _)| known == name);
                let provider = provider.ok_or_else(|| CompileFault::UnknownProvider { name: name.clone() })?;
                Self::Provider {
                    extractor: Extractor::new(std::iter::once(&jwt.providers[provider].1)),
                    provider,
                    audiences: (!audiences.is_empty()).then(|| Audiences::new(audiences)),
                }
            }
            JwtRequirement::AllOf(of) => Self::All(each(of)?),
            JwtRequirement::AnyOf(of) => {
                let allow_missing = of.contains(&JwtRequirement::AllowMissing);
                let allow_failed = of.contains(&JwtRequirement::AllowMissingOrFailed);
                let is_regular = |inner: &JwtRequirement| {
                    !matches!(inner, JwtRequirement::AllowMissing | JwtRequirement::AllowMissingOrFailed)
                };
                let regular: Vec<_> = of.iter().filter(|inner| is_regular(inner)).cloned().collect();
                if regular.is_empty() {
                    return Ok(Self::optional(jwt, allow_failed));
                }
                Self::Any { of: each(&regular)?, allow_missing, allow_failed }
            }
            JwtRequirement::AllowMissing => Self::optional(jwt, false),
            JwtRequirement::AllowMissingOrFailed => Self::optional(jwt, true),
        })
    }

    fn optional(jwt: &config::Jwt, allow_failed: bool) -> Self {
        Self::Optional { extractor: Extractor::new(jwt.providers.iter().map(|(_, provider)| provider)), allow_failed }
    }
}

impl Attempt<'_> {
    fn judge(&mut self, requirement: &Requirement) -> Status {
        match requirement {
            Requirement::Provider { extractor, provider, audiences } => {
                self.provider(extractor, *provider, audiences.as_ref())
            }
            Requirement::Optional { extractor, allow_failed } => self.optional(extractor, *allow_failed),
            Requirement::All(of) => {
                let mut failures = of.iter().map(|inner| self.judge(inner)).filter(|status| *status != Status::Ok);
                failures.next().unwrap_or(Status::Ok)
            }
            Requirement::Any { of, allow_missing, allow_failed } => match self.any(of) {
                _ if *allow_failed => Status::Ok,
                Status::Missing if *allow_missing => Status::Ok,
                status => status,
            },
        }
    }

    /// The first success, or else the failure that says most: a token that was looked at before a foreign one, a
    /// foreign one before none.
    fn any(&mut self, of: &[Requirement]) -> Status {
        let mut worst = Status::Missing;
        for inner in of {
            let status = self.judge(inner);
            match status {
                Status::Ok => return Status::Ok,
                Status::Missing | Status::UnknownIssuer if worst != Status::Missing => {}
                _ => worst = status,
            }
        }
        worst
    }

    /// Every token in the provider's places must be good; the last place is looked at first.
    fn provider(&mut self, extractor: &Extractor, provider: usize, audiences: Option<&Audiences>) -> Status {
        let providers = self.providers;
        let mut found = self.extract(extractor);
        let mut status = if found.is_empty() { Status::Missing } else { Status::Ok };
        while let Some(found) = found.pop().filter(|_| status == Status::Ok) {
            self.cache_misses += 1;
            status = self.verify(found, extractor, |_| Some(&providers[provider]), audiences);
        }
        self.request.found = found;
        status
    }

    /// Tokens of whatever issuer: what the place looked at last holds decides.
    fn optional(&mut self, extractor: &Extractor, allow_failed: bool) -> Status {
        let providers = self.providers;
        let of_issuer = |issuer: &str| {
            let find = |issuer: &str| providers.iter().find(|provider| &*provider.issuer == issuer);
            find(issuer).or_else(|| find(""))
        };
        let mut status = Status::Ok;
        let mut found = self.extract(extractor);
        while let Some(found) = found.pop() {
            status = self.verify(found, extractor, of_issuer, None);
        }
        self.request.found = found;
        if allow_failed { Status::Ok } else { status }
    }

    /// What is in the extractor's places, in the request's own list, which has room from earlier requests.
    fn extract(&mut self, extractor: &Extractor) -> Vec<Found> {
        let mut found = std::mem::take(&mut self.request.found);
        found.clear();
        extractor.extract(self.request, &mut found);
        found
    }

    fn verify<'p>(
        &mut self,
        found: Found,
        extractor: &Extractor,
        provider: impl Fn(&str) -> Option<&'p Provider>,
        audiences: Option<&Audiences>,
    ) -> Status {
        let token = match found.token {
            Ok(token) => token,
            Err(status) => return status,
        };
        if token.algorithm == TokenAlgorithm::None {
            // Without a signature there is no third section.
            return Status::BadForm;
        }
        let issuer = token.issuer.as_deref().unwrap_or_default();
        if !extractor.allows(found.place, issuer) {
            return Status::UnknownIssuer;
        }
        let Some(provider) = provider(issuer) else { return Status::UnknownIssuer };
        let status = provider.verify(&token, audiences);
        if status == Status::Ok {
            if extractor.is_in_path(found.place) && self.original_path.is_none() {
                self.original_path = Some(self.request.path().to_owned());
            }
            provider.accept(&token, self.request, |request| extractor.remove(found.place, request));
            self.request.payloads.extend(provider.metadata_key.clone().map(|key| (key, token)));
        }
        status
    }
}

#[cfg(test)]
mod tests;
