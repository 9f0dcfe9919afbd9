//! New paths and authorities for requests that are sent on (Envoy: `RouteEntryImplBase::finalizeRequestHeaders`).

use crate::{config, error::CompileFault, path, regex::Replacement, request::Request, table::PathMatch};

/// A change of the path.
#[derive(Debug)]
pub(crate) enum PathRewrite {
    /// Replaces what the route matched.
    Prefix(Box<str>),
    /// Replaces what a pattern finds in the path without its query.
    Regex(Replacement),
}

impl PathRewrite {
    pub(crate) fn new(
        prefix: Option<&str>,
        regex: Option<&config::RegexRewrite>,
    ) -> Result<Option<Self>, CompileFault> {
        match (prefix.filter(|prefix| !prefix.is_empty()), regex) {
            (Some(_), Some(_)) => Err(CompileFault::Conflict { first: "prefix_rewrite", second: "regex_rewrite" }),
            (Some(prefix), None) => Ok(Some(Self::Prefix(prefix.into()))),
            (None, Some(regex)) => {
                Replacement::new(&regex.pattern, &regex.substitution).map(|replacement| Some(Self::Regex(replacement)))
            }
            (None, None) => Ok(None),
        }
    }

    /// Appends the new path to `out`, with the old query.
    pub(crate) fn write(&self, matched: &PathMatch, path: &str, out: &mut String) {
        let part = path::without_query(path);
        let rest = match self {
            Self::Prefix(prefix) => {
                out.push_str(prefix);
                &path[matched.rewritten_len(part).min(part.len())..]
            }
            Self::Regex(replacement) => {
                replacement.replace_all(part, out);
                &path[part.len()..]
            }
        };
        out.push_str(rest);
    }
}

/// A change of the authority.
#[derive(Debug)]
pub(crate) enum HostRewrite {
    /// To this.
    Literal(Box<str>),
    /// To the value of this header, if it has one.
    Header(Box<str>),
}

impl HostRewrite {
    pub(crate) fn new(literal: Option<&str>, header: Option<&str>) -> Result<Option<Self>, CompileFault> {
        match (literal, header) {
            (Some(_), Some(_)) => Err(CompileFault::Conflict { first: "host_rewrite", second: "host_rewrite_header" }),
            (Some(literal), None) => Ok(Some(Self::Literal(literal.into()))),
            (None, Some(header)) => Ok(Some(Self::Header(header.to_ascii_lowercase().into()))),
            (None, None) => Ok(None),
        }
    }

    /// The new authority; `None`: it stays.
    pub(crate) fn authority(&self, request: &Request) -> Option<String> {
        let authority = match self {
            Self::Literal(literal) => literal,
            Self::Header(header) => request.first(header)?,
        };
        (!authority.is_empty()).then(|| authority.to_owned())
    }
}
