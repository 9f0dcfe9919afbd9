//! A request as it goes upstream.

use crate::{request::Request, stream::Stream};

/// The request of one attempt as it goes upstream.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamRequest<'a> {
    request: &'a Request,
}

impl<'a> UpstreamRequest<'a> {
    pub(crate) fn new(stream: &'a Stream) -> Self {
        Self { request: &stream.request }
    }

    /// The method.
    pub fn method(self) -> &'a str {
        self.request.method()
    }

    /// The authority.
    pub fn authority(self) -> &'a str {
        self.request.authority()
    }

    /// The path with its query.
    pub fn path(self) -> &'a str {
        self.request.path()
    }

    /// Other headers in order, names in lower case.
    pub fn headers(self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        self.request.headers.iter()
    }

    /// The values of one header.
    pub fn header(self, name: &'a str) -> impl Iterator<Item = &'a str> + Clone {
        self.request.headers.values(name)
    }
}
