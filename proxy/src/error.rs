//! What can be wrong with a configuration.

use crate::ClusterError;

/// A fault of a configuration, which Envoy would refuse to load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{fault}", at, if at.is_empty() { "" } else { ": " })]
pub struct CompileError {
    /// Where, as in "listener `inbound`, virtual host `cart`, route `default`"; empty: in no listener.
    pub at: String,
    /// What.
    #[source]
    pub fault: CompileFault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileFault {
    /// Two virtual hosts, or one twice, name the same domain.
    #[error("the domain `{domain}` is there already")]
    DuplicateDomain {
        /// The domain, in lower case.
        domain: String,
    },
    /// A virtual host without domains is never reached.
    #[error("there is no domain")]
    NoDomain,
    /// Two clusters have the same name.
    #[error("the cluster `{name}` is there already")]
    DuplicateCluster {
        /// The name.
        name: String,
    },
    /// A pattern is not RE2 syntax.
    #[error("`{pattern}` is not a regular expression: {reason}")]
    Regex {
        /// The pattern.
        pattern: String,
        /// What the parser says.
        reason: String,
    },
    /// A path template is malformed.
    #[error("`{template}` is not a path template")]
    UriTemplate {
        /// The template.
        template: String,
    },
    /// A whole-segment prefix ends in a slash, has no slash at its beginning, or contains a query.
    #[error("`{prefix}` is not a prefix of whole segments: it starts with `/`, does not end with it, and has no query")]
    PathSeparatedPrefix {
        /// The prefix.
        prefix: String,
    },
    /// The weights of a route's clusters are all zero, or their sum does not fit 32 bits.
    #[error("the sum of the weights is {sum}, which is not in 1 to 4294967295")]
    Weights {
        /// The sum.
        sum: u64,
    },
    /// Options that exclude each other are set.
    #[error("`{first}` and `{second}` exclude each other")]
    Conflict {
        /// One option.
        first: &'static str,
        /// The other one.
        second: &'static str,
    },
    /// A status is out of its range.
    #[error("the status {status} is not allowed here")]
    Status {
        /// The status.
        status: u16,
    },
    /// The longest back-off is shorter than the first.
    #[error("the longest back-off is shorter than the first")]
    BackOff,
    /// A text is not a CIDR block.
    #[error("`{block}` is not a CIDR block such as `10.0.0.0/8`")]
    Cidr {
        /// The text.
        block: String,
    },
    /// A requirement names a provider of tokens that does not exist.
    #[error("there is no provider `{name}`")]
    UnknownProvider {
        /// The name.
        name: String,
    },
    /// A `%...%` in a header value is not known or not closed.
    #[error("`{value}` is not a header format")]
    HeaderFormat {
        /// The value.
        value: String,
    },
    /// A header that may not be changed.
    #[error("the header `{name}` cannot be changed")]
    HeaderName {
        /// The name.
        name: String,
    },
    /// A cluster is malformed.
    #[error(transparent)]
    Cluster(ClusterError),
}

/// Faults found so far, and where the compiler is.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    place: Vec<String>,
    found: Vec<CompileError>,
}

impl Faults {
    /// Enters a place.
    pub(crate) fn place(&mut self, kind: &str, name: &str) {
        self.place.push(format!("{kind} `{name}`"));
    }

    /// Leaves the place entered last.
    pub(crate) fn leave(&mut self) {
        self.place.pop();
    }

    /// Notes a fault.
    pub(crate) fn push(&mut self, fault: CompileFault) {
        self.found.push(CompileError { at: self.place.join(", "), fault });
    }

    /// The value, or `None` and a note of the fault.
    pub(crate) fn note<T>(&mut self, result: Result<T, CompileFault>) -> Option<T> {
        result.map_err(|fault| self.push(fault)).ok()
    }

    /// The values that are sound; the faults of the others are noted.
    pub(crate) fn all<T, U>(&mut self, items: &[T], compile: impl Fn(&T) -> Result<U, CompileFault>) -> Box<[U]> {
        items.iter().filter_map(|item| self.note(compile(item))).collect()
    }

    /// Everything that was found.
    pub(crate) fn into_found(self) -> Vec<CompileError> {
        self.found
    }
}
