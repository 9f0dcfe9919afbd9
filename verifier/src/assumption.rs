//! What proofs rest on, in words. Every proof names its assumptions by id.

use serde::Serialize;

/// Something that a proof takes for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Assumption {
    /// `A1` and so on.
    pub id: &'static str,
    /// What is taken for granted, as a sentence.
    pub text: &'static str,
}

macro_rules! assumptions {
    ($($name:ident = $id:literal $text:literal;)*) => {
        $(#[doc = $text] pub(crate) const $name: &str = $id;)*
        /// Every assumption, by id.
        pub static ALL: &[Assumption] = &[$(Assumption { id: $id, text: $text },)*];
    };
}

assumptions! {
    NO_HEDGING = "A1" "No proxy starts a second attempt before the first has failed (no hedging).";
    NO_PATCHES = "A2" "Proxies are configured by what was read alone: no EnvoyFilter, Wasm plugin or proxy extension \
        changes routes, retries, timeouts or TLS.";
    CALLS_COMPLETE = "A3" "Workloads make the calls of mesh.ron, or those that the manifests suggest, and no others.";
    CALLS_INFERRED = "A4" "Calls that mesh.ron does not give were inferred from the manifests: once for each \
        request, one after the other.";
    HTTP_WITHOUT_GRPC_STATUS = "A5" "An application on a port that is not declared gRPC sends no grpc-status, so \
        retries on gRPC codes happen there only before the application has worked.";
    OWN_TIME = "A6" "A handler's own time is at most the greatest of its distribution in mesh.ron, or its 99th \
        percentile where it has none; a handler that mesh.ron does not describe takes no time of its own.";
    NO_WAITING = "A7" "Time in queues, on the network and in proxies is not counted, and connections open at once.";
    INJECTED = "A8" "Sidecars run where the manifests ask for injection, and every pod was made after that.";
    REACHABLE = "A9" "Every workload can reach every port that a Service exposes, and so can clients outside of the \
        mesh; network policies are not counted as protection.";
    APPLIED = "A10" "All objects that were read are applied, and every proxy has received them.";
    NO_CLIENT_RETRIES = "A11" "Applications do not retry on their own beyond what mesh.ron says.";
    READY = "A12" "Proxies know which pods are gone, and send no request there; a handler that works for others is not \
        slower than without the failure.";
    CONTROLLER_AT_ONCE = "A13" "What controllers of rollouts do takes no time: pods of a new version start, and shares \
        take effect, at once.";
    GOES_BAD = "A14" "A version is bad from some moment on and stays so: it fails every request, and whatever is \
        measured after that moment says so; of a version without requests nothing bad is found.";
    ALL_HEALTHY = "A15" "Every pod that should run is healthy.";
    SENT_BY_SCENARIOS = "A16" "Clients send what the open loads of scenarios let them send, each at its highest rate, and \
        nobody else sends anything.";
    DEADLINES_PASSED = "A18" "Handlers that obey deadlines are told by their proxies how long their callers wait, and \
        their calls hand that on.";
    SEES_FAILURES = "A17" "A check that asks for shares of requests by their status finds exactly the share of the new \
        version's requests that fails, of no other's, whenever it is made while the version gets requests.";
}
