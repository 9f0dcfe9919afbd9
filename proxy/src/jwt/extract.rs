//! Where tokens are looked for (Envoy: `Extractor`).

use std::{collections::BTreeSet, sync::Arc};

use super::{Status, form};
use crate::{Token, config::JwtProvider, hash, path, request::Request, table::query_parameter};

/// The places of one or several providers: headers, then query parameters, then cookies, each kind sorted.
#[derive(Debug)]
pub(super) struct Extractor {
    places: Box<[Place]>,
}

#[derive(Debug)]
struct Place {
    location: Location,
    /// Issuers whose tokens may be here; the empty one stands for all.
    issuers: BTreeSet<Box<str>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Location {
    Header { name_and_prefix: String, name_len: usize },
    Parameter(String),
    Cookie(String),
}

/// What was found in a place where a token should be.
#[derive(Debug)]
pub(crate) struct Found {
    /// The token, or why the text is none.
    pub(super) token: Result<Arc<Token>, Status>,
    pub(super) place: usize,
}

impl Extractor {
    pub(super) fn new<'c>(providers: impl Iterator<Item = &'c JwtProvider>) -> Self {
        let mut places: Vec<Place> = Vec::new();
        for provider in providers {
            for location in locations(provider) {
                let issuer = provider.issuer.as_str().into();
                match places.iter_mut().find(|place| place.location == location) {
                    Some(place) => _ = place.issuers.insert(issuer),
                    None => places.push(Place { location, issuers: BTreeSet::from([issuer]) }),
                }
            }
        }
        places.sort_by(|a, b| a.location.cmp(&b.location));
        Self { places: places.into() }
    }

    /// Everything found, in the order of the places, behind what is in `found` already.
    pub(super) fn extract(&self, request: &Request, found: &mut Vec<Found>) {
        for (index, place) in self.places.iter().enumerate() {
            let mut push = |text: &str| {
                let token = request.tokens.iter().find(|token| token.text == text).cloned();
                found.push(Found { token: token.ok_or_else(|| form::fault(text)), place: index });
            };
            match &place.location {
                Location::Header { name_and_prefix, name_len } => {
                    let (name, prefix) = name_and_prefix.split_at(*name_len);
                    request.header(name).filter_map(|value| after_prefix(value, prefix)).for_each(push);
                }
                Location::Parameter(name) => {
                    query_parameter(path::query(request.path()), name).into_iter().for_each(push);
                }
                Location::Cookie(name) => hash::cookie(request, name).into_iter().for_each(&mut push),
            }
        }
    }

    /// Whether the place is in the path.
    pub(super) fn is_in_path(&self, place: usize) -> bool {
        self.places.get(place).is_some_and(|place| matches!(place.location, Location::Parameter(_)))
    }

    /// Whether tokens of this issuer may be in this place.
    pub(super) fn allows(&self, place: usize, issuer: &str) -> bool {
        self.places.get(place).is_some_and(|place| place.issuers.contains("") || place.issuers.contains(issuer))
    }

    /// Takes the token out of its place. Cookies stay.
    pub(super) fn remove(&self, place: usize, request: &mut Request) {
        match self.places.get(place).map(|place| &place.location) {
            Some(Location::Header { name_and_prefix, name_len }) => {
                request.headers_mut().remove(&name_and_prefix[..*name_len]);
            }
            Some(Location::Parameter(name)) => {
                let kept = path::query(request.path())
                    .split('&')
                    .filter(|piece| piece.split_once('=').map_or(*piece, |(key, _)| key) != name)
                    .collect::<Vec<_>>()
                    .join("&");
                let separator = if kept.is_empty() { "" } else { "?" };
                let path = format!("{}{separator}{kept}", request.path_only());
                request.set_path(&path);
            }
            Some(Location::Cookie(_)) | None => {}
        }
    }
}

/// The provider's places; without any, `authorization: Bearer` and the parameter `access_token`.
fn locations(provider: &JwtProvider) -> Vec<Location> {
    let header = |name: &str, prefix: &str| Location::Header {
        name_and_prefix: name.to_ascii_lowercase() + prefix,
        name_len: name.len(),
    };
    let headers = provider.from_headers.iter().map(|(name, prefix)| header(name, prefix));
    let parameters = provider.from_params.iter().cloned().map(Location::Parameter);
    let cookies = provider.from_cookies.iter().cloned().map(Location::Cookie);
    let mut locations: Vec<_> = headers.chain(parameters).chain(cookies).collect();
    if locations.is_empty() {
        locations.push(header("authorization", "Bearer "));
        locations.push(Location::Parameter("access_token".to_owned()));
    }
    locations
}

/// What follows the prefix, wherever that is; `None`: it is not there.
fn after_prefix<'a>(value: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() {
        return Some(value);
    }
    let after = value.find(prefix)? + prefix.len();
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // Envoy falls back to the whole value where nothing looks like a token.
    Some(value[after..].find(is_token).map_or(value, |at| &value[after + at..]))
}
