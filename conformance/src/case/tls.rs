//! Identities, and the two sides of TLS.

use std::collections::BTreeMap;

use meshproof_proxy::config;
use serde::Deserialize;

use super::{LowerError, matcher::San};

pub(crate) type Identities = BTreeMap<String, Identity>;

/// A certificate, described.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    ca: Option<String>,
    #[serde(default)]
    uri_sans: Vec<String>,
    #[serde(default)]
    dns_sans: Vec<String>,
    #[serde(default)]
    validity: Validity,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Validity {
    #[default]
    Valid,
    Expired,
    NotYetValid,
}

#[derive(Clone, Copy, Deserialize)]
enum Version {
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

/// What a listener accepts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Downstream {
    #[serde(default)]
    mode: Mode,
    identity: Option<String>,
    trusted_ca: Option<String>,
    #[serde(default)]
    client_sans: Vec<San>,
    #[serde(default)]
    alpn: Vec<String>,
    min_version: Option<Version>,
    max_version: Option<Version>,
    #[serde(default)]
    chain_alpn: Vec<String>,
    #[serde(default)]
    chain_sni: Vec<String>,
    #[serde(default)]
    allow_expired_certificate: bool,
    #[serde(default)]
    forward_client_cert: Forward,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Plaintext,
    Strict,
    Permissive,
    Simple,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Forward {
    #[default]
    Sanitize,
    SanitizeSet,
    ForwardOnly,
    AppendForward,
    AlwaysForwardOnly,
}

/// What a cluster shows its hosts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    identity: Option<String>,
    trusted_ca: Option<String>,
    #[serde(default)]
    server_sans: Vec<San>,
    sni: Option<String>,
    #[serde(default)]
    alpn: Vec<String>,
    min_version: Option<Version>,
    max_version: Option<Version>,
}

impl Downstream {
    pub(crate) fn lower(&self, identities: &Identities) -> Result<config::DownstreamTls, LowerError> {
        Ok(config::DownstreamTls {
            mode: match self.mode {
                Mode::Plaintext => config::TlsMode::Plaintext,
                Mode::Strict => config::TlsMode::Strict,
                Mode::Permissive => config::TlsMode::Permissive,
                Mode::Simple => config::TlsMode::Simple,
            },
            identity: identity(self.identity.as_ref(), identities)?,
            trusted_ca: self.trusted_ca.clone(),
            client_sans: self.client_sans.iter().map(San::lower).collect::<Result<_, _>>()?,
            alpn: self.alpn.clone(),
            min_version: self.min_version.map(version),
            max_version: self.max_version.map(version),
            chain_alpn: self.chain_alpn.clone(),
            chain_sni: self.chain_sni.clone(),
            allow_expired_certificate: self.allow_expired_certificate,
            forward_client_cert: match self.forward_client_cert {
                Forward::Sanitize => config::ForwardClientCert::Sanitize,
                Forward::SanitizeSet => config::ForwardClientCert::SanitizeSet,
                Forward::ForwardOnly => config::ForwardClientCert::ForwardOnly,
                Forward::AppendForward => config::ForwardClientCert::AppendForward,
                Forward::AlwaysForwardOnly => config::ForwardClientCert::AlwaysForwardOnly,
            },
        })
    }
}

impl Upstream {
    pub(crate) fn lower(&self, identities: &Identities) -> Result<config::UpstreamTls, LowerError> {
        Ok(config::UpstreamTls {
            identity: identity(self.identity.as_ref(), identities)?,
            trusted_ca: self.trusted_ca.clone(),
            server_sans: self.server_sans.iter().map(San::lower).collect::<Result<_, _>>()?,
            sni: self.sni.clone(),
            alpn: self.alpn.clone(),
            min_version: self.min_version.map(version),
            max_version: self.max_version.map(version),
        })
    }
}

fn identity(name: Option<&String>, identities: &Identities) -> Result<Option<config::Identity>, LowerError> {
    let Some(name) = name else { return Ok(None) };
    let identity = identities.get(name).ok_or_else(|| LowerError::UnknownIdentity(name.clone()))?;
    Ok(Some(config::Identity {
        ca: identity.ca.clone().unwrap_or_else(|| "mesh".to_owned()),
        uri_sans: identity.uri_sans.clone(),
        dns_sans: identity.dns_sans.clone(),
        validity: match identity.validity {
            Validity::Valid => config::Validity::Valid,
            Validity::Expired => config::Validity::Expired,
            Validity::NotYetValid => config::Validity::NotYetValid,
        },
    }))
}

fn version(version: Version) -> config::TlsVersion {
    match version {
        Version::V1_2 => config::TlsVersion::V1_2,
        Version::V1_3 => config::TlsVersion::V1_3,
    }
}
