//! Linkerd: authorizations and what they ask of clients (`L-9`).

use meshproof_model::linkerd::{
    AuthenticationRef, AuthorizationPolicy, ClientRef, MeshTlsAuthentication, Network, NetworkAuthentication,
    ServerAuthorization, ServerRef, TargetRef,
};

use crate::{field::Field, object::Object};

pub(super) fn policy(object: &Object<'_>, spec: &Field<'_>) -> Option<AuthorizationPolicy> {
    let target = spec.get("targetRef")?;
    let required = |entry: Field<'_>| {
        entry.text_at("group");
        let value = AuthenticationRef {
            kind: entry.text_at("kind")?,
            namespace: entry.text_at("namespace"),
            name: entry.text_at("name").unwrap_or_default(),
        };
        Some(entry.located(value))
    };
    Some(AuthorizationPolicy {
        meta: object.meta.clone(),
        target: target.located(TargetRef {
            group: target.text_at("group").unwrap_or_default(),
            kind: target.text_at("kind")?,
            name: target.text_at("name")?,
        }),
        required: spec.read_list("requiredAuthenticationRefs", required),
    })
}

pub(super) fn mesh_tls(object: &Object<'_>, spec: &Field<'_>) -> MeshTlsAuthentication {
    let own = object.meta.namespace();
    let account = |entry: Field<'_>| {
        entry.text_at("group");
        let name = entry.text_at("name").unwrap_or_default();
        // A namespace stands for all of its accounts.
        match entry.text_at("kind").as_deref() {
            Some("Namespace") => (name, String::new()),
            _ => (entry.text_at("namespace").unwrap_or_else(|| own.to_owned()), name),
        }
    };
    MeshTlsAuthentication {
        meta: object.meta.clone(),
        identities: spec.texts("identities"),
        accounts: spec.list("identityRefs").map(account).collect(),
    }
}

pub(super) fn network(object: &Object<'_>, spec: &Field<'_>) -> NetworkAuthentication {
    NetworkAuthentication { meta: object.meta.clone(), networks: networks(spec) }
}

fn networks(field: &Field<'_>) -> Vec<Network> {
    let network = |entry: Field<'_>| {
        let except = entry.texts("except").into_iter().map(|block| block.value).collect();
        Some(Network { cidr: entry.text_at("cidr")?, except })
    };
    field.list("networks").filter_map(network).collect()
}

pub(super) fn of_server(object: &Object<'_>, spec: &Field<'_>) -> Option<ServerAuthorization> {
    let server = spec.get("server")?;
    let server = match server.text_at("name") {
        Some(name) => ServerRef::Name(name),
        None => ServerRef::Labels(server.get("selector")?.labels_at("matchLabels")),
    };
    let client = spec.get("client")?;
    let tls = client.get("meshTLS");
    let own = object.meta.namespace();
    let account =
        |entry: Field<'_>| Some((entry.text_at("namespace").unwrap_or_else(|| own.to_owned()), entry.text_at("name")?));
    let identities = tls.iter().flat_map(|tls| tls.texts("identities")).map(|identity| identity.value);
    Some(ServerAuthorization {
        meta: object.meta.clone(),
        server,
        client: ClientRef {
            at: client.at(),
            networks: networks(&client),
            unauthenticated: client.bool_at("unauthenticated").unwrap_or(false),
            unauthenticated_tls: tls.as_ref().and_then(|tls| tls.bool_at("unauthenticatedTLS")).unwrap_or(false),
            identities: identities.collect(),
            accounts: tls.iter().flat_map(|tls| tls.list("serviceAccounts")).filter_map(account).collect(),
        },
    })
}
