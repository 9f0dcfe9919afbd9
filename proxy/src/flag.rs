//! Why an answer is what it is, in Envoy's words.

use serde::{Deserialize, Serialize};

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// One response flag (Envoy: `%RESPONSE_FLAGS%`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum ResponseFlag { $($(#[$doc])* $name,)* }
        impl ResponseFlag {
            /// Every flag, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// Envoy's short code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

flags! {
    /// No route, or no virtual host.
    NoRouteFound = "NR",
    /// The route names a cluster that does not exist.
    NoClusterFound = "NC",
    /// The balancer found no host.
    NoHealthyUpstream = "UH",
    /// The upstream connection failed or timed out.
    UpstreamConnectionFailure = "UF",
    /// A circuit breaker was full.
    UpstreamOverflow = "UO",
    /// The upstream closed the connection.
    UpstreamConnectionTermination = "UC",
    /// The upstream reset the stream.
    UpstreamRemoteReset = "UR",
    /// This proxy reset the stream.
    LocalReset = "LR",
    /// The upstream did not speak HTTP.
    UpstreamProtocolError = "UPE",
    /// A timeout of the router passed.
    UpstreamRequestTimeout = "UT",
    /// The cluster's limit on a stream's duration passed.
    UpstreamMaxStreamDurationReached = "UMSDR",
    /// No retries left.
    UpstreamRetryLimitExceeded = "URX",
    /// The stream was idle for too long.
    StreamIdleTimeout = "SI",
    /// The downstream connection reached its longest duration.
    DurationTimeout = "DT",
    /// A fault delayed the request.
    DelayInjected = "DI",
    /// A fault ended the request.
    FaultInjected = "FI",
    /// A rate limit refused the request.
    RateLimited = "RL",
    /// The rate limit service failed.
    RateLimitServiceError = "RLSE",
    /// The external authorizer denied or failed.
    UnauthorizedExternalService = "UAEX",
    /// The client closed the connection.
    DownstreamConnectionTermination = "DC",
    /// The client reset the stream.
    DownstreamRemoteReset = "DR",
    /// The client did not speak HTTP.
    DownstreamProtocolError = "DPE",
    /// A control header was malformed.
    InvalidEnvoyRequestHeaders = "IH",
    /// The overload manager refused the request.
    OverloadManager = "OM",
    /// The endpoint configuration told to drop the request.
    DropOverLoad = "DO",
}

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseFlags(u32);

impl ResponseFlags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Adds a flag.
    pub const fn insert(&mut self, flag: ResponseFlag) {
        self.0 |= 1 << flag as u8;
    }

    /// Whether the flag is set.
    pub const fn contains(self, flag: ResponseFlag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }

    /// Whether no flag is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flags that are set.
    pub fn iter(self) -> impl Iterator<Item = ResponseFlag> {
        ResponseFlag::ALL.iter().copied().filter(move |flag| self.contains(*flag))
    }
}

impl std::fmt::Display for ResponseFlags {
    /// Short codes, sorted and joined by commas; empty for none.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut codes: Vec<_> = self.iter().map(ResponseFlag::code).collect();
        codes.sort_unstable();
        f.write_str(&codes.join(","))
    }
}
