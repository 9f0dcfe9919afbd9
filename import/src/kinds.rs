//! The kinds that are known, and what is done with each.

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    VirtualService,
    DestinationRule,
    Gateway,
    ServiceEntry,
    PeerAuthentication,
    Sidecar,
    WorkloadEntry,
    WorkloadGroup,
    AuthorizationPolicy,
    RequestAuthentication,
    IstioOperator,
    GatewayApi(GatewayKind),
    Ingress,
    Service,
    Workload,
    Namespace,
    /// Its name is an identity, which the workloads give.
    ServiceAccount,
    ConfigMap,
    EnvoyFilter,
    /// Kept, and that verdicts do not see; why that matters not.
    ProxyConfig(&'static str),
    Telemetry(&'static str),
    /// Linkerd's own kinds.
    Linkerd,
    /// Kinds of Kubernetes that are kept, and that verdicts do not see; why that matters.
    Kubernetes(&'static str),
    /// A list of objects.
    List,
    /// Known, and not part of the model; why that matters.
    Not(&'static str),
}

impl Reading {
    /// Whether verdicts see what such an object says, so that what nobody read of it is named field by field.
    pub(crate) const fn is_judged(self) -> bool {
        !matches!(
            self,
            Self::Not(_) | Self::Kubernetes(_) | Self::ProxyConfig(_) | Self::Telemetry(_) | Self::EnvoyFilter
        )
    }

    /// Whether an object without a `spec` is a mistake: these have nothing to say by default.
    pub(crate) const fn needs_spec(self) -> bool {
        matches!(
            self,
            Self::VirtualService
                | Self::DestinationRule
                | Self::Gateway
                | Self::ServiceEntry
                | Self::Service
                | Self::GatewayApi(_)
                | Self::Ingress
                | Self::Linkerd
        )
    }
}

/// A kind of Gateway API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GatewayKind {
    Gateway,
    Class,
    ListenerSet,
    HttpRoute,
    ConnectionRoute,
    Grant,
    BackendTls,
    BackendTraffic,
}

/// A kind of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub group: &'static str,
    pub name: &'static str,
    /// The name of its fields' data.
    pub schema: Option<&'static str>,
    pub reading: Reading,
}

/// The kind of that name; `None`: nobody knows it.
pub(crate) fn find(group: &str, name: &str) -> Option<Kind> {
    let kind = KINDS.iter().find(|kind| kind.name == name && kind.group == group).copied();
    kind.or_else(|| {
        (name == "List" || (name.ends_with("List") && find(group, name.strip_suffix("List")?).is_some()))
            .then_some(Kind { group: "", name: "List", schema: None, reading: Reading::List })
    })
}

/// Names of kinds of a group, for did-you-mean.
pub(crate) fn names_of(group: &str) -> impl Iterator<Item = &'static str> + use<'_> {
    KINDS.iter().filter(move |kind| kind.group == group).map(|kind| kind.name)
}

/// The group that has a kind of that name, if exactly one has.
pub(crate) fn group_of(name: &str) -> Option<&'static str> {
    let mut groups = KINDS.iter().filter(|kind| kind.name == name).map(|kind| kind.group);
    let group = groups.next()?;
    groups.next().is_none().then_some(group)
}

/// Whether a group is one whose kinds are all listed here.
pub(crate) fn is_complete(group: &str) -> bool {
    matches!(group, NETWORKING | SECURITY | GATEWAY_API | "apps" | "batch" | "")
}

const NETWORKING: &str = "networking.istio.io";
const SECURITY: &str = "security.istio.io";
const TELEMETRY: &str = "telemetry.istio.io";
const LINKERD: &str = "linkerd.io";
const LINKERD_POLICY: &str = "policy.linkerd.io";
const GATEWAY_API: &str = "gateway.networking.k8s.io";
const GATEWAY_API_X: &str = "gateway.networking.x-k8s.io";
const LISTENER_SET: &str = "gateway.networking.k8s.io/ListenerSet";
const TRAFFIC: &str = "gateway.networking.x-k8s.io/XBackendTrafficPolicy";

const NO_TRAFFIC: &str = "it carries no requests and decides about none";
const ROLLOUT: &str = "it changes what runs over time; verdicts are about what the manifests start with";
const ACCESS: &str = "`decide` and `explain` ask it; `verify` and `simulate` judge without it";
const EXTENDS: &str = "extensions of proxies are not modelled: what it does to requests is not judged";
const MAKES: &str = "it says how manifests are made; run `kubectl kustomize` and read what it prints";
const DEPLOYS: &str = "what it deploys is not in this manifest; render it and read that";
const PROCESS: &str = "settings of the proxy process are not modelled";
const RECORDS: &str = "what is recorded changes no request";
const ENDPOINTS: &str = "the endpoints that it names are not modelled";
const EGRESS: &str = "traffic to hosts outside the cluster is judged without it";

macro_rules! kinds {
    ($($group:expr, $name:literal, $schema:expr, $reading:expr;)*) => {
        &[$(Kind { group: $group, name: $name, schema: $schema, reading: $reading }),*]
    };
}

static KINDS: &[Kind] = kinds! {
    NETWORKING, "VirtualService", Some("VirtualService"), Reading::VirtualService;
    NETWORKING, "DestinationRule", Some("DestinationRule"), Reading::DestinationRule;
    NETWORKING, "Gateway", Some("Gateway"), Reading::Gateway;
    NETWORKING, "ServiceEntry", Some("ServiceEntry"), Reading::ServiceEntry;
    NETWORKING, "Sidecar", Some("Sidecar"), Reading::Sidecar;
    NETWORKING, "WorkloadEntry", Some("WorkloadEntry"), Reading::WorkloadEntry;
    NETWORKING, "WorkloadGroup", Some("WorkloadGroup"), Reading::WorkloadGroup;
    NETWORKING, "EnvoyFilter", Some("EnvoyFilter"), Reading::EnvoyFilter;
    NETWORKING, "ProxyConfig", Some("ProxyConfig"), Reading::ProxyConfig(PROCESS);
    SECURITY, "PeerAuthentication", Some("PeerAuthentication"), Reading::PeerAuthentication;
    SECURITY, "AuthorizationPolicy", Some("AuthorizationPolicy"), Reading::AuthorizationPolicy;
    SECURITY, "RequestAuthentication", Some("RequestAuthentication"), Reading::RequestAuthentication;
    TELEMETRY, "Telemetry", Some("Telemetry"), Reading::Telemetry(RECORDS);
    "extensions.istio.io", "WasmPlugin", Some("WasmPlugin"), Reading::Not(EXTENDS);
    "install.istio.io", "IstioOperator", None, Reading::IstioOperator;

    "", "Service", Some("Service"), Reading::Service;
    "", "Pod", Some("Pod"), Reading::Workload;
    "", "ReplicationController", Some("ReplicationController"), Reading::Workload;
    "", "Namespace", Some("Namespace"), Reading::Namespace;
    "", "ConfigMap", Some("ConfigMap"), Reading::ConfigMap;
    "", "ServiceAccount", Some("ServiceAccount"), Reading::ServiceAccount;
    "", "Endpoints", Some("Endpoints"), Reading::Kubernetes(ENDPOINTS);
    "", "Secret", None, Reading::Not(NO_TRAFFIC);
    "", "PersistentVolume", None, Reading::Not(NO_TRAFFIC);
    "", "PersistentVolumeClaim", None, Reading::Not(NO_TRAFFIC);
    "", "LimitRange", None, Reading::Not(NO_TRAFFIC);
    "", "ResourceQuota", None, Reading::Not(NO_TRAFFIC);
    "", "Node", None, Reading::Not(NO_TRAFFIC);
    "", "Event", None, Reading::Not(NO_TRAFFIC);
    "", "PodTemplate", None, Reading::Not(NO_TRAFFIC);
    "", "Binding", None, Reading::Not(NO_TRAFFIC);
    "", "ComponentStatus", None, Reading::Not(NO_TRAFFIC);
    "apps", "Deployment", Some("Deployment"), Reading::Workload;
    "apps", "StatefulSet", Some("StatefulSet"), Reading::Workload;
    "apps", "DaemonSet", Some("DaemonSet"), Reading::Workload;
    "apps", "ReplicaSet", Some("ReplicaSet"), Reading::Workload;
    "apps", "ControllerRevision", None, Reading::Not(NO_TRAFFIC);
    "batch", "Job", Some("Job"), Reading::Workload;
    "batch", "CronJob", Some("CronJob"), Reading::Workload;
    "extensions", "Deployment", Some("Deployment"), Reading::Workload;
    "extensions", "DaemonSet", Some("DaemonSet"), Reading::Workload;
    "extensions", "Ingress", None, Reading::Ingress;
    "autoscaling", "HorizontalPodAutoscaler", Some("HorizontalPodAutoscaler"), Reading::Kubernetes(ROLLOUT);
    "policy", "PodDisruptionBudget", Some("PodDisruptionBudget"), Reading::Kubernetes(ROLLOUT);
    "policy", "PodSecurityPolicy", None, Reading::Not(NO_TRAFFIC);
    "networking.k8s.io", "NetworkPolicy", Some("NetworkPolicy"), Reading::Kubernetes(ACCESS);
    "networking.k8s.io", "Ingress", Some("Ingress"), Reading::Ingress;
    "networking.k8s.io", "IngressClass", None, Reading::Not(NO_TRAFFIC);
    "discovery.k8s.io", "EndpointSlice", Some("EndpointSlice"), Reading::Kubernetes(ENDPOINTS);
    "rbac.authorization.k8s.io", "Role", None, Reading::Not(NO_TRAFFIC);
    "rbac.authorization.k8s.io", "RoleBinding", None, Reading::Not(NO_TRAFFIC);
    "rbac.authorization.k8s.io", "ClusterRole", None, Reading::Not(NO_TRAFFIC);
    "rbac.authorization.k8s.io", "ClusterRoleBinding", None, Reading::Not(NO_TRAFFIC);
    "apiextensions.k8s.io", "CustomResourceDefinition", None, Reading::Not(NO_TRAFFIC);
    "admissionregistration.k8s.io", "MutatingWebhookConfiguration", None, Reading::Not(NO_TRAFFIC);
    "admissionregistration.k8s.io", "ValidatingWebhookConfiguration", None, Reading::Not(NO_TRAFFIC);
    "scheduling.k8s.io", "PriorityClass", None, Reading::Not(NO_TRAFFIC);
    "storage.k8s.io", "StorageClass", None, Reading::Not(NO_TRAFFIC);
    "apiregistration.k8s.io", "APIService", None, Reading::Not(NO_TRAFFIC);
    "coordination.k8s.io", "Lease", None, Reading::Not(NO_TRAFFIC);
    "cert-manager.io", "Certificate", None, Reading::Not(NO_TRAFFIC);
    "cert-manager.io", "Issuer", None, Reading::Not(NO_TRAFFIC);
    "cert-manager.io", "ClusterIssuer", None, Reading::Not(NO_TRAFFIC);
    "monitoring.coreos.com", "ServiceMonitor", None, Reading::Not(NO_TRAFFIC);
    "monitoring.coreos.com", "PodMonitor", None, Reading::Not(NO_TRAFFIC);
    "monitoring.coreos.com", "PrometheusRule", None, Reading::Not(NO_TRAFFIC);

    GATEWAY_API, "Gateway", Some("gateway.networking.k8s.io/Gateway"), Reading::GatewayApi(GatewayKind::Gateway);
    GATEWAY_API, "GatewayClass", Some("gateway.networking.k8s.io/GatewayClass"), Reading::GatewayApi(GatewayKind::Class);
    GATEWAY_API, "HTTPRoute", Some("gateway.networking.k8s.io/HTTPRoute"), Reading::GatewayApi(GatewayKind::HttpRoute);
    GATEWAY_API, "GRPCRoute", Some("gateway.networking.k8s.io/GRPCRoute"), Reading::GatewayApi(GatewayKind::HttpRoute);
    GATEWAY_API, "TCPRoute", Some("gateway.networking.k8s.io/TCPRoute"), Reading::GatewayApi(GatewayKind::ConnectionRoute);
    GATEWAY_API, "TLSRoute", Some("gateway.networking.k8s.io/TLSRoute"), Reading::GatewayApi(GatewayKind::ConnectionRoute);
    GATEWAY_API, "UDPRoute", Some("gateway.networking.k8s.io/UDPRoute"), Reading::GatewayApi(GatewayKind::ConnectionRoute);
    GATEWAY_API, "ReferenceGrant", Some("gateway.networking.k8s.io/ReferenceGrant"), Reading::GatewayApi(GatewayKind::Grant);
    GATEWAY_API, "BackendTLSPolicy", Some("gateway.networking.k8s.io/BackendTLSPolicy"), Reading::GatewayApi(GatewayKind::BackendTls);
    GATEWAY_API, "ListenerSet", Some(LISTENER_SET), Reading::GatewayApi(GatewayKind::ListenerSet);
    GATEWAY_API_X, "XListenerSet", Some(LISTENER_SET), Reading::GatewayApi(GatewayKind::ListenerSet);
    GATEWAY_API_X, "XBackendTrafficPolicy", Some(TRAFFIC), Reading::GatewayApi(GatewayKind::BackendTraffic);
    GATEWAY_API, "BackendLBPolicy", Some(TRAFFIC), Reading::GatewayApi(GatewayKind::BackendTraffic);
    GATEWAY_API, "BackendTrafficPolicy", Some(TRAFFIC), Reading::GatewayApi(GatewayKind::BackendTraffic);
    GATEWAY_API_X, "XMesh", None, Reading::Not(PROCESS);

    LINKERD, "ServiceProfile", Some("ServiceProfile"), Reading::Linkerd;
    LINKERD_POLICY, "HTTPRoute", Some("gateway.networking.k8s.io/HTTPRoute"), Reading::Linkerd;
    LINKERD_POLICY, "Server", Some("policy.linkerd.io/Server"), Reading::Linkerd;
    LINKERD_POLICY, "ServerAuthorization", Some("ServerAuthorization"), Reading::Linkerd;
    LINKERD_POLICY, "AuthorizationPolicy", Some("policy.linkerd.io/AuthorizationPolicy"), Reading::Linkerd;
    LINKERD_POLICY, "MeshTLSAuthentication", Some("MeshTLSAuthentication"), Reading::Linkerd;
    LINKERD_POLICY, "NetworkAuthentication", Some("NetworkAuthentication"), Reading::Linkerd;
    LINKERD_POLICY, "EgressNetwork", Some("EgressNetwork"), Reading::Not(EGRESS);
    "workload.linkerd.io", "ExternalWorkload", None, Reading::Not(ENDPOINTS);
    LINKERD_POLICY, "HTTPLocalRateLimitPolicy", Some("HTTPLocalRateLimitPolicy"), Reading::Linkerd;
    "split.smi-spec.io", "TrafficSplit", Some("TrafficSplit"), Reading::Linkerd;

    "argoproj.io", "Rollout", Some("Rollout"), Reading::Workload;
    "argoproj.io", "AnalysisTemplate", Some("AnalysisTemplate"), Reading::Not(ROLLOUT);
    "argoproj.io", "ClusterAnalysisTemplate", Some("AnalysisTemplate"), Reading::Not(ROLLOUT);
    "argoproj.io", "AnalysisRun", None, Reading::Not(ROLLOUT);
    "argoproj.io", "Experiment", None, Reading::Not(ROLLOUT);
    "argoproj.io", "Application", None, Reading::Not(DEPLOYS);
    "argoproj.io", "ApplicationSet", None, Reading::Not(DEPLOYS);
    "argoproj.io", "AppProject", None, Reading::Not(NO_TRAFFIC);
    "flagger.app", "Canary", Some("Canary"), Reading::Not(ROLLOUT);
    "flagger.app", "MetricTemplate", None, Reading::Not(ROLLOUT);
    "flagger.app", "AlertProvider", None, Reading::Not(NO_TRAFFIC);
    "keda.sh", "ScaledObject", Some("ScaledObject"), Reading::Not(ROLLOUT);
    "keda.sh", "ScaledJob", None, Reading::Not(ROLLOUT);
    "keda.sh", "TriggerAuthentication", None, Reading::Not(NO_TRAFFIC);
    "kustomize.config.k8s.io", "Kustomization", None, Reading::Not(MAKES);
    "kustomize.config.k8s.io", "Component", None, Reading::Not(MAKES);
};
