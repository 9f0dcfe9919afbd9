//! The answer as it goes downstream.

use crate::{ResponseHead, header_list::HeaderList};

/// The answer as it goes downstream: an upstream's, or the proxy's own.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderList,
    pub(crate) body: String,
    pub(crate) is_local: bool,
}

impl Response {
    /// HTTP status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Headers in order, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.headers.iter()
    }

    /// The body of the proxy's own answer; empty for an upstream's.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Whether the proxy made this answer itself.
    pub const fn is_local(&self) -> bool {
        self.is_local
    }

    pub(crate) fn clear(&mut self) {
        self.status = 0;
        self.headers.clear();
        self.body.clear();
        self.is_local = false;
    }
}

/// What an upstream's response headers tell the router, found in one pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    /// `grpc-status`, if it is a number.
    pub(crate) grpc_status: Option<u32>,
    /// An HTTP/1.1 connection cannot be used again after this answer.
    pub(crate) closes_connection: bool,
    /// The host takes itself out at once, if the cluster checks health.
    pub(crate) fails_health_check: bool,
}

impl Marks {
    pub(crate) fn of(head: &ResponseHead<'_>) -> Self {
        let mut marks = Self::default();
        for (name, value) in head.headers {
            match *name {
                "grpc-status" if marks.grpc_status.is_none() => marks.grpc_status = value.parse().ok(),
                "connection" => marks.closes_connection |= value.eq_ignore_ascii_case("close"),
                "x-envoy-immediate-health-check-fail" => marks.fails_health_check = true,
                _ => {}
            }
        }
        marks
    }
}

impl<'a> ResponseHead<'a> {
    /// The first value of a header, by its lower-case name.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// Every value of a header, by its lower-case name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(other, _)| *other == name).map(|(_, value)| *value)
    }
}
