//! The effective policy of a call, each value with the place that says it or the rule whose default it is.

mod decision;
pub mod dump;
mod leaves;

use std::collections::BTreeMap;

use meshproof_model::{Lowered, Lowering, Mesh, Origin, ServiceId, Sources, WorkloadId};
use serde::Serialize;
use serde_json::{Value, json};

pub use decision::{Decision, Step};

use crate::{
    decide::{Decider, Prepared, Request},
    report,
};

/// The effective policy of a call.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The client, `namespace/name`.
    pub from: String,
    /// The service, `namespace/name`.
    pub to: String,
    /// The port that is dialled.
    pub port: u16,
    /// What the client's proxy does, leaf by leaf.
    pub outbound: BTreeMap<String, Leaf>,
    /// What the servers' proxies do, leaf by leaf.
    pub inbound: BTreeMap<String, Leaf>,
    /// The request, where one is asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// What becomes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// A value and why it is that.
#[derive(Clone, Debug, Serialize)]
pub struct Leaf {
    /// The value.
    pub value: Value,
    /// `{"location": ...}` or `{"default": "RT-11"}`.
    pub origin: Value,
    /// The same for people: `file:line` or the rule.
    #[serde(skip)]
    pub place: String,
}

/// Who calls what.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The client.
    pub from: WorkloadId,
    /// What it dials.
    pub to: ServiceId,
    /// On which port.
    pub port: u16,
    /// A request to follow.
    pub request: Option<&'a Request>,
}

/// Explains a call.
///
/// # Errors
/// Why the request cannot be decided.
pub fn explain(prepared: &Prepared, sources: &Sources, call: &Call<'_>) -> Result<Explanation, String> {
    let mesh: &Mesh = &prepared.mesh;
    let lowering = Lowering::new(mesh);
    let outbound = lowering.outbound(call.from, 0, &[(call.to, call.port)]);
    let writer = Writer { mesh, sources };
    let request = call.request.map(|request| {
        let method = request.method.as_deref().unwrap_or("GET");
        json!({"method": method, "path": request.path.as_deref().unwrap_or("/"), "headers": request.headers})
    });
    let decision = match call.request {
        Some(request) => {
            let decider = Decider::new(prepared);
            Some(decision::decide(&writer, &decider, &outbound, call, request)?)
        }
        None => None,
    };
    Ok(Explanation {
        from: mesh.workload(call.from).full_name(),
        to: mesh.service(call.to).full_name(),
        port: call.port,
        outbound: writer.outbound(&outbound),
        inbound: writer.inbound(&lowering, call.from, &servers(&outbound)),
        request,
        decision,
    })
}

/// What a client's proxy does for a call, leaf by leaf.
pub(crate) fn leaves_of_call(
    mesh: &Mesh,
    lowering: &Lowering<'_>,
    sources: &Sources,
    (from, to, port): (WorkloadId, ServiceId, u16),
) -> BTreeMap<String, Leaf> {
    Writer { mesh, sources }.outbound(&lowering.outbound(from, 0, &[(to, port)]))
}

/// What a gateway does, leaf by leaf.
pub(crate) fn leaves_of_gateway(
    mesh: &Mesh,
    lowering: &Lowering<'_>,
    sources: &Sources,
    gateway: WorkloadId,
) -> BTreeMap<String, Leaf> {
    Writer { mesh, sources }.outbound(&lowering.gateway(gateway, 0))
}

/// The pods' ports behind the clusters of a client, each workload once.
fn servers(outbound: &Lowered) -> Vec<(WorkloadId, u16)> {
    let mut servers: Vec<(WorkloadId, u16)> = outbound
        .provenance
        .clusters
        .iter()
        .flat_map(|cluster| &cluster.endpoints)
        .map(|endpoint| (endpoint.workload, endpoint.port))
        .collect();
    servers.sort();
    servers.dedup();
    servers
}

/// Writes values with their origins.
struct Writer<'a> {
    mesh: &'a Mesh,
    sources: &'a Sources,
}

impl Writer<'_> {
    fn leaf(&self, value: impl Into<Value>, origin: &Origin) -> Leaf {
        Leaf { value: value.into(), origin: self.origin(origin), place: self.place(origin) }
    }

    fn origin(&self, origin: &Origin) -> Value {
        match origin {
            Origin::Written(at) => json!({"location": report::location(self.sources, at)}),
            Origin::Default(rule) => json!({"default": rule}),
        }
    }

    fn place(&self, origin: &Origin) -> String {
        match origin {
            Origin::Written(at) => format!("{}:{}", self.sources.path(at.file), at.line),
            Origin::Default(rule) => (*rule).to_owned(),
        }
    }
}
