//! The headers by which a request controls the router.

use crate::{
    grpc,
    request::Request,
    retry::{RetryHeaders, RetryOn},
    table::RouterOptions,
    timeout::HeaderTimeouts,
};

/// What a request's own headers ask of the router. They are only there if the client may use them: the connection
/// manager has removed them otherwise.
#[derive(Debug, Default)]
pub(crate) struct ControlHeaders {
    pub(crate) timeouts: HeaderTimeouts,
    /// `None`: nothing of retries.
    pub(crate) retry: Option<Box<RetryHeaders>>,
    /// Answer timeouts with 204.
    pub(crate) alt_response: bool,
}

/// Headers that the router takes out of the request once it has read them.
const CONSUMED: [&str; 9] = [
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
];

impl ControlHeaders {
    /// Reads the headers in one pass.
    pub(crate) fn read(request: &Request, options: &RouterOptions) -> Self {
        let mut control = Self::default();
        control.timeouts.is_grpc = request.is_grpc();
        if !request.may_control() {
            return control;
        }
        for (name, value) in request.headers.iter() {
            if name == "grpc-timeout" {
                control.timeouts.grpc_timeout = grpc::parse_timeout(value);
            } else if let Some(name) = name.strip_prefix("x-envoy-") {
                control.read_one(name, value, options);
            }
        }
        control
    }

    fn read_one(&mut self, name: &str, value: &str, options: &RouterOptions) {
        let timeouts = &mut self.timeouts;
        match name {
            "expected-rq-timeout-ms" if options.respect_expected_rq_timeout => timeouts.expected_ms = number(value),
            "upstream-rq-timeout-ms" => timeouts.upstream_ms = number(value),
            "upstream-rq-per-try-timeout-ms" => timeouts.per_try_ms = number(value),
            "upstream-rq-timeout-alt-response" => self.alt_response = true,
            "hedge-on-per-try-timeout" => {
                timeouts.hedge = match value {
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => timeouts.hedge,
                }
            }
            "retry-on" => self.add_conditions(RetryOn::of_header(value).0),
            "retry-grpc-on" => self.add_conditions(RetryOn::of_grpc_header(value).0),
            "max-retries" => self.retry().max_retries = number(value).and_then(|n| u32::try_from(n).ok()),
            "retriable-status-codes" => {
                self.retry().codes.extend(value.split(',').filter_map(|code| code.trim().parse::<u16>().ok()));
            }
            "retriable-header-names" => {
                let names = value.split(',').map(|name| name.trim().to_ascii_lowercase());
                self.retry().header_names.extend(names.filter(|name| !name.is_empty()));
            }
            _ => {}
        }
    }

    fn add_conditions(&mut self, on: RetryOn) {
        let retry = self.retry();
        retry.on = Some(retry.on.unwrap_or_default().with(on));
    }

    fn retry(&mut self) -> &mut RetryHeaders {
        self.retry.get_or_insert_default()
    }

    /// Takes the headers that were read out of the request.
    pub(crate) fn strip(request: &mut Request) {
        request.headers.remove_if(|name, _| name.starts_with("x-envoy-") && CONSUMED.contains(&name));
    }
}

/// What `strict_check_headers` may list, in the order in which Envoy looks at them, whatever the list's.
const STRICT: [&str; 5] = [
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-max-retries",
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
];

/// The first header listed in `strict_check_headers` whose value is malformed.
pub(crate) fn malformed(request: &Request, options: &RouterOptions) -> Option<&'static str> {
    let listed = |name: &str| options.strict_check_headers.iter().any(|listed| listed.eq_ignore_ascii_case(name));
    if options.strict_check_headers.is_empty() {
        return None;
    }
    STRICT.into_iter().filter(|name| listed(name)).find(|name| {
        request.first(name).is_some_and(|value| match *name {
            "x-envoy-retry-on" => !RetryOn::of_header(value).1,
            "x-envoy-retry-grpc-on" => !RetryOn::of_grpc_header(value).1,
            _ => number(value).is_none(),
        })
    })
}

/// A whole number without sign (Envoy: `absl::SimpleAtoi`).
fn number(value: &str) -> Option<u64> {
    value.trim().parse().ok()
}
