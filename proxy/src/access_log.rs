//! What is known of a stream at its end, as Envoy's access log would say it.

use crate::{HostId, Nanos, ResponseFlags, grpc, machine::Core, stream::Stream, table::Table};

/// The access log entry of one stream.
#[derive(Clone, Copy, Debug)]
pub struct AccessLog<'a> {
    /// `%RESPONSE_CODE%`; 0: nothing was sent.
    pub status: u16,
    /// `%RESPONSE_FLAGS%`.
    pub flags: ResponseFlags,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: &'a str,
    /// `%UPSTREAM_REQUEST_ATTEMPT_COUNT%`; 0: the router did not run.
    pub attempts: u32,
    /// `%ROUTE_NAME%`; `None`: no route.
    pub route: Option<&'a str>,
    /// `%UPSTREAM_CLUSTER%`; `None`: no cluster.
    pub cluster: Option<&'a str>,
    /// The host picked last.
    pub host: Option<HostId>,
    /// `%GRPC_STATUS_NUMBER%`: the answer's, or what its HTTP status stands for; `None`: not a gRPC request.
    pub grpc_status: Option<u32>,
    /// `%DURATION%`.
    pub duration: Nanos,
    /// Whether the connection manager logs the stream at all; it does not where the codec refused the request.
    pub is_logged: bool,
}

impl<'a> AccessLog<'a> {
    pub(crate) fn new(stream: &'a Stream, table: &'a Table, core: &'a Core) -> Self {
        let outcome = &stream.outcome;
        let route = stream
            .resolution
            .route()
            .filter(|_| !stream.lost_route)
            .map(|route| table.listener(stream.listener).routes.entry(route));
        Self {
            status: outcome.status,
            flags: outcome.flags,
            details: if outcome.details.is_empty() { &outcome.details_text } else { outcome.details },
            attempts: stream.router.attempt_count,
            route: route.map(|route| &*route.name),
            cluster: stream
                .cluster
                .filter(|_| !stream.lost_route)
                .map(|cluster| &*core.clusters[cluster.index()].table.name),
            host: stream.router.host,
            grpc_status: grpc_status(stream),
            duration: outcome.duration,
            is_logged: outcome.is_logged,
        }
    }
}

fn grpc_status(stream: &Stream) -> Option<u32> {
    let outcome = &stream.outcome;
    let is_grpc = stream.request.is_grpc() && outcome.status != 0;
    is_grpc.then(|| outcome.grpc_status.unwrap_or_else(|| grpc::status_of_http(outcome.status)))
}
