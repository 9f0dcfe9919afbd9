//! The rules: their codes, names and pages.

use crate::Severity;

/// One rule. The book's page is made from this.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// `MP` and four digits; the first two are the family.
    pub code: &'static str,
    /// The bad pattern.
    pub name: &'static str,
    /// How bad a finding is where nothing else is said.
    pub severity: Severity,
    /// What is judged, in one sentence.
    pub what: &'static str,
    /// Why it matters, in one sentence.
    pub why: &'static str,
    /// The equivalent code of Istio's analysis.
    pub istio: Option<&'static str>,
}

macro_rules! rules {
    ($($id:ident = $code:literal $name:literal $severity:ident $istio:expr, $what:literal, $why:literal;)*) => {
        $(
            #[doc = concat!($code, " `", $name, "`: ", $what, ".")]
            pub static $id: Rule = Rule {
                code: $code, name: $name, severity: Severity::$severity, what: $what, why: $why, istio: $istio,
            };
        )*
        /// Every rule, by code.
        pub static RULES: &[&Rule] = &[$(&$id,)*];
    };
}

rules! {
    UNREADABLE_INPUT = "MP0101" "unreadable-input" Error None,
        "a file or document cannot be read",
        "what cannot be read is not judged";
    UNKNOWN_FIELD = "MP0102" "unknown-field" Warning Some("IST0106"),
        "a field that its kind does not have",
        "the API server drops or refuses the field, so what it asks for does not happen";
    MISPLACED_FIELD = "MP0103" "misplaced-field" Error Some("IST0106"),
        "a field that belongs elsewhere, or is one slip away from a real one",
        "the field has no effect where it stands, so the policy that it asks for does not exist";
    DUPLICATE_RESOURCE = "MP0104" "duplicate-resource" Warning None,
        "two objects of one kind, namespace and name",
        "only the last one counts, and which one is last depends on how they are applied";
    INVALID_VALUE = "MP0105" "invalid-value" Error Some("IST0106"),
        "a value that its field does not take",
        "the API server refuses the object, or the proxy ignores the value";
    UNRENDERED_TEMPLATE = "MP0106" "unrendered-template" Error None,
        "a template that was not rendered",
        "only rendered manifests say what will be applied";
    UNMODELLED = "MP0107" "unmodelled" Info None,
        "an object or field that exists and is not part of the model (reported under --strict only)",
        "verdicts say nothing about what it does";
    API_WARNING = "MP0108" "api-warning" Warning Some("IST0133"),
        "an object that the API accepts, and warns of",
        "part of what it says has no effect, or will not be accepted for long";
    DEPRECATED_FEATURE = "MP0109" "deprecated-feature" Warning Some("IST0002"),
        "a field or kind that is deprecated",
        "a later version ignores or refuses it";
    MISPLACED_ANNOTATION = "MP0110" "misplaced-annotation" Warning Some("IST0107"),
        "an annotation of Istio on a kind that it does not apply to",
        "nobody reads it there";
    UNKNOWN_ANNOTATION = "MP0111" "unknown-annotation" Warning Some("IST0108"),
        "an annotation in Istio's name that Istio does not know",
        "nobody reads it";
    INVALID_ANNOTATION = "MP0112" "invalid-annotation" Warning Some("IST0125"),
        "an annotation of Istio with a value that it does not take",
        "injection fails, or takes the default instead";
    DEPRECATED_ANNOTATION = "MP0113" "deprecated-annotation" Info Some("IST0135"),
        "an annotation of Istio that is deprecated",
        "a later version ignores it";
    UNDECLARED_PROTOCOL = "MP0114" "undeclared-protocol" Info Some("IST0118"),
        "a port whose name and appProtocol say no protocol",
        "the proxy has to guess what is spoken, and guesses wrong where the server speaks first";
    TCP_EXTERNAL_NAME = "MP0115" "tcp-external-name" Warning Some("IST0150"),
        "a Service of type ExternalName with a port of no named protocol",
        "the proxy takes every connection of that port, whatever its host";
    FRAGILE_PATCH = "MP0116" "fragile-patch" Warning Some("IST0151"),
        "a patch of an EnvoyFilter whose operation is ignored, or depends on the order of filters",
        "the patch does not apply, or stops applying after an upgrade";
    INVALID_WEBHOOK = "MP0117" "invalid-webhook" Error Some("IST0139"),
        "a webhook of Istio that overlaps with another, or calls nobody",
        "pods are injected twice, or not at all";
    NEGATIVE_CONDITION = "MP0118" "negative-condition" Warning Some("IST0171"),
        "an object whose status says that something about it is false",
        "its controller did not do what the object asks for";
    UNUSED_SUPPRESSION = "MP0190" "unused-suppression" Warning None,
        "a suppression that suppresses nothing",
        "it hides the next finding that comes along";
    EXPIRED_SUPPRESSION = "MP0191" "expired-suppression" Warning None,
        "a suppression past its date",
        "its reason no longer holds";
    UNDEFINED_HOST = "MP0201" "undefined-host" Error Some("IST0101"),
        "a reference to a host that no Service or ServiceEntry defines",
        "requests for it are answered 503 by the proxy";
    UNDEFINED_SUBSET = "MP0202" "undefined-subset" Error Some("IST0101"),
        "a reference to a subset that no DestinationRule of the client defines",
        "its share of the requests is answered 503 by the proxy";
    UNDEFINED_GATEWAY = "MP0203" "undefined-gateway" Warning Some("IST0101"),
        "a reference to a Gateway that is not defined",
        "the routes bound to it serve nobody";
    INEFFECTIVE_SETTING = "MP0204" "ineffective-setting" Warning None,
        "a setting that has no effect where it stands",
        "whoever wrote it believes that it acts";
    CONFLICTING_OBJECTS = "MP0205" "conflicting-objects" Warning Some("IST0109"),
        "objects about one host or scope of which only one counts",
        "which one counts depends on their age and names, and the others do nothing";
    UNDEFINED_NAMESPACE = "MP0206" "undefined-namespace" Warning Some("IST0101"),
        "a reference to a namespace that the manifests neither define nor use",
        "the condition matches nobody";
    UNDEFINED_CREDENTIAL = "MP0207" "undefined-credential" Error Some("IST0101"),
        "a gateway's credential that no Secret of its namespace defines",
        "the gateway does not serve TLS on that port";
    UNMATCHED_SELECTOR = "MP0208" "unmatched-selector" Warning Some("IST0127"),
        "a selector that no pod or template matches",
        "the object applies to nobody";
    AMBIGUOUS_PORT = "MP0209" "ambiguous-port" Error Some("IST0112"),
        "a route without a port to a service with several",
        "which port it takes depends on the one that the client dialled";
    CONFLICTING_SCOPES = "MP0210" "conflicting-scopes" Error Some("IST0110"),
        "several Sidecars or Telemetries for the same pods",
        "which of them counts is not defined";
    CONFLICTING_SERVICES = "MP0211" "conflicting-services" Warning Some("IST0116"),
        "services of one workload that disagree about a port",
        "the proxy of the workload follows one of them";
    CONFLICTING_GATEWAYS = "MP0212" "conflicting-gateways" Error Some("IST0145"),
        "several Gateways for the same pods, port and host",
        "which of them serves the host is not defined";
    SHARED_CERTIFICATE = "MP0213" "shared-certificate" Warning Some("IST0138"),
        "one certificate in several Gateways of the same pods",
        "browsers reuse a connection for the other host, and get 404";
    UNEXPOSED_PORT = "MP0214" "unexposed-port" Warning Some("IST0162"),
        "a Gateway's port that no Service of its pods exposes",
        "nobody can reach the port";
    INVALID_CREDENTIAL = "MP0215" "invalid-credential" Error Some("IST0161"),
        "a gateway's credential that holds no usable certificate",
        "the gateway does not serve TLS on that port";
    UNSERVED_HOST = "MP0216" "unserved-host" Warning Some("IST0132"),
        "a VirtualService none of whose hosts its Gateway serves",
        "the gateway never takes these routes";
    UNROUTED_INGRESS = "MP0217" "unrouted-ingress" Warning Some("IST0140"),
        "routes to subsets in the mesh that a gateway's route to the same host does not take",
        "requests from outside are spread over all subsets";
    GENERATED_GATEWAY = "MP0218" "generated-gateway" Warning Some("IST0165"),
        "a VirtualService bound to a Gateway that Istio generates",
        "the name is internal and changes";
    INEFFECTIVE_SELECTOR = "MP0219" "ineffective-selector" Warning Some("IST0166"),
        "a policy that selects pods of a Kubernetes Gateway by labels",
        "such a gateway reads `targetRefs` only";
    INEFFECTIVE_POLICY = "MP0220" "ineffective-policy" Warning Some("IST0167"),
        "a Sidecar for pods without a sidecar",
        "ambient workloads do not read it";
    UNKNOWN_REGISTRY = "MP0221" "unknown-registry" Error Some("IST0126"),
        "a mesh network of a registry that is not known",
        "its endpoints belong to no network";
    UNMATCHED_SUBSET = "MP0222" "unmatched-subset" Warning Some("IST0173"),
        "a subset whose labels no pod of its host has",
        "its share of the requests is answered 503 by the proxy";
    CONFLICTING_PROTOCOLS = "MP0223" "conflicting-protocols" Warning Some("IST0177"),
        "ServiceEntries that disagree about the protocol of a host's port",
        "which of them counts depends on their age";
    ENTRY_WITHOUT_ADDRESS = "MP0224" "entry-without-address" Warning Some("IST0134"),
        "a ServiceEntry with a TCP port and no address",
        "connections to other hosts on that port are taken for it";
    TELEMETRY_WITHOUT_PROVIDER = "MP0225" "telemetry-without-provider" Warning Some("IST0157"),
        "access logging that names no provider, where the mesh has no default",
        "nothing is logged";
    INJECTION_NOT_CHOSEN = "MP0226" "injection-not-chosen" Info Some("IST0102"),
        "a namespace that does not say whether its pods get a proxy",
        "it depends on how Istio was installed";
    POD_WITHOUT_PROXY = "MP0227" "pod-without-proxy" Warning Some("IST0103"),
        "a pod without a proxy in a namespace with injection",
        "no policy of the mesh applies to it";
    CONTRADICTORY_INJECTION = "MP0228" "contradictory-injection" Warning Some("IST0123"),
        "a namespace with several labels that choose its data plane",
        "which of them counts is not defined";
    PROXY_IMAGE_DIFFERS = "MP0229" "proxy-image-differs" Warning Some("IST0158"),
        "pods whose proxy is not the one that injection would give them",
        "they run another version than the control plane expects";
    UNINJECTED_IMAGE = "MP0230" "uninjected-image" Warning Some("IST0146"),
        "a pod with `image: auto` that no injection webhook matches",
        "it cannot start: there is no such image";
    ORDER_DEPENDENT = "MP0231" "order-dependent" Warning None,
        "a verdict that depends on which of several objects is older (judged under --assume-order any)",
        "the next time they are created, the other one may count";
    QUESTIONABLE_RETRY = "MP0232" "questionable-retry" Warning None,
        "retries that leave out connections that fail, or repeat requests that change something",
        "the route is less reliable than its retries suggest, or orders are placed twice";
    GATEWAY_NOT_ALLOWED = "MP0233" "gateway-not-allowed" Warning None,
        "routes of a gateway to pods whose policies allow others only",
        "every request from outside is refused with 403";
    BLOCKED_INFRASTRUCTURE = "MP0234" "blocked-infrastructure" Warning None,
        "a NetworkPolicy that keeps pods from DNS or from the control plane",
        "they find no service, or get no configuration";
    CONTESTED_REPLICAS = "MP0235" "contested-replicas" Warning None,
        "a number of pods that two objects decide",
        "the number jumps with each deployment";
    UNATTACHED_ROUTE = "MP0240" "unattached-route" Warning None,
        "a route of Gateway API that its parent does not take",
        "no request gets to it there, and those that it was written for are answered 404";
    UNDEFINED_BACKEND = "MP0241" "undefined-backend" Error None,
        "a backend of Gateway API or an Ingress whose Service or port is not defined",
        "its share of the requests is answered 500 or 503 by the proxy";
    MISSING_GRANT = "MP0242" "missing-grant" Warning None,
        "a backend in another namespace that no ReferenceGrant there permits",
        "its share of the requests is answered 500 by the proxy";
    SHADOWED_ROUTE = "MP0301" "shadowed-route" Warning Some("IST0130"),
        "a route that earlier routes leave no request for",
        "it never acts, though whoever wrote it believes it does";
    RETRY_AMPLIFICATION = "MP0401" "retry-amplification" Error None,
        "one request at the entry can become more requests at a service than the limit allows",
        "when the service fails, retries multiply its load and keep it down";
    TIMEOUT_INVERSION = "MP0402" "timeout-inversion" Error None,
        "a callee may work on a request that its caller has given up",
        "work done after the caller has left is load without a reader; under overload it feeds retries";
    DEAD_RETRIES = "MP0403" "dead-retries" Warning None,
        "retries that can never start, because the route's timeout is over first",
        "the route is less reliable than its retries suggest";
    UNRETRIED_TIMEOUT = "MP0404" "unretried-timeout" Warning None,
        "a limit on each try whose expiry the route's conditions do not retry",
        "the limit ends the whole call, and its retries never act on what is slow";
    HOPELESS_CALL = "MP0405" "hopeless-call" Error None,
        "a limit on a call that is shorter than the least time that its callee needs",
        "no request can succeed, and every one of them is worked on all the same";
    UNMET_OBJECTIVE = "MP0406" "unmet-objective" Warning None,
        "an objective on a client's latency that no request can meet",
        "the mesh cannot do what its scenarios ask for";
    OUTLIER_INERT = "MP0501" "outlier-inert" Warning None,
        "outlier detection that can never eject a host",
        "a failing host keeps its share of the requests";
    BREAKER_BEYOND_CAPACITY = "MP0502" "breaker-beyond-capacity" Warning None,
        "limits of proxies that together let more requests through than the pods work on",
        "the breaker stays closed while the pods are overloaded";
    BREAKER_BELOW_LOAD = "MP0503" "breaker-below-load" Warning None,
        "limits of proxies that refuse the load that scenarios send though nothing fails",
        "the breaker acts in ordinary operation";
    EMPTIED_CLUSTER = "MP0504" "emptied-cluster" Warning None,
        "outlier detection that can eject every host",
        "one kind of request that fails everywhere makes all requests fail";
    LIMIT_BEYOND_CAPACITY = "MP0505" "limit-beyond-capacity" Warning None,
        "a rate limit that lets more into a pod than it can do",
        "the limit does not protect it";
    LIMIT_BELOW_LOAD = "MP0506" "limit-below-load" Warning None,
        "rate limits that together let less through than scenarios send",
        "requests are refused that the service is there for";
    EARLY_REDELIVERY = "MP0507" "early-redelivery" Warning None,
        "a queue that hands a message out again while it is worked on",
        "it is worked on twice, or becomes a dead letter though nothing fails";
    LOAD_BEYOND_CAPACITY = "MP0508" "load-beyond-capacity" Warning None,
        "a service that scenarios send more than its pods answer",
        "requests wait, and are refused or left";
    SELF_SUSTAINED_OVERLOAD = "MP0509" "self-sustained-overload" Warning None,
        "a load that the pods answer, and that retries keep above that once something has pushed it there",
        "the service does not come back by itself";
    PLAINTEXT_PATH = "MP0601" "plaintext-path" Error None,
        "a link that works without encryption",
        "anyone on the network can read and forge what it carries";
    MTLS_OUTAGE = "MP0602" "mtls-outage" Error None,
        "a link whose two sides cannot agree on TLS",
        "every connection over it fails";
    UNVERIFIED_SERVER = "MP0603" "unverified-server" Warning Some("IST0128"),
        "TLS that clients begin without a CA to check the server by",
        "whom they trust depends on the version of Istio: anyone, or whoever the system's CAs vouch for";
    PROXY_USER = "MP0604" "proxy-user" Warning Some("IST0144"),
        "an application that runs as the proxy's user",
        "its traffic passes by the proxy, and so by every policy";
    UNVERIFIED_CLAIM = "MP0605" "unverified-claim" Error Some("IST0149"),
        "routes that depend on claims of a token that nobody verifies",
        "they never match";
    UNRESTRICTED_KEY_FETCH = "MP0606" "unrestricted-key-fetch" Warning Some("IST0175"),
        "a control plane that fetches keys of tokens from any address",
        "whoever may write a RequestAuthentication can make it call inside addresses";
    OPTIONAL_TOKEN = "MP0607" "optional-token" Warning None,
        "tokens that are checked and that no policy asks for",
        "who leaves the token out passes";
    LOOSE_NETWORK_POLICY = "MP0608" "loose-network-policy" Warning None,
        "a NetworkPolicy that allows either of two selectors where both are probably meant",
        "every pod of the namespaces that it names may connect";
    IDENTITY_IN_PLAINTEXT = "MP0609" "identity-in-plaintext" Warning None,
        "a policy that asks who calls, on ports that take plaintext",
        "a peer that speaks plaintext shows no identity: it is refused by mistake, or passes by a rule that denies";
    DEAD_AUTHORIZATION = "MP0610" "dead-authorization" Warning None,
        "a rule of an AuthorizationPolicy that no request can match",
        "whoever wrote it believes that it allows or denies something";
    OUTLIVED_CERTIFICATE = "MP0611" "outlived-certificate" Warning None,
        "certificates that run out in an outage of the control plane that scenarios have",
        "pods that restart, and connections that are opened anew, fail until it is back";
    ABRUPT_STOP = "MP0701" "abrupt-stop" Info None,
        "pods that stop without waiting until their callers know",
        "requests that are still sent to them find the connection refused";
    SLOW_READINESS = "MP0702" "slow-readiness" Warning None,
        "readiness that takes a failing pod away later than the mesh takes it back",
        "each time the pod's ejection ends it gets requests, and fails them";
    STUCK_DRAIN = "MP0703" "stuck-drain" Warning None,
        "a disruption budget under which no pod may be evicted",
        "nodes cannot be drained, and upgrades of the cluster stop";
    LAX_BUDGET = "MP0704" "lax-budget" Warning None,
        "a disruption budget that lets all pods go at once",
        "it protects nothing, though whoever wrote it believes that it does";
    NO_SPARE_ZONE = "MP0705" "no-spare-zone" Warning None,
        "a zone whose loss leaves pods with more requests than they answer",
        "what was spread to survive a zone fails with it";
    SLOW_ROLLBACK = "MP0801" "slow-rollback" Warning None,
        "an analysis that keeps a failing version for long",
        "its requests fail until the analysis gives up";
    BLIND_ANALYSIS = "MP0802" "blind-analysis" Warning None,
        "an analysis that lets a version through that fails every request",
        "whoever wrote it believes that it takes such a version back";
    COARSE_WEIGHT = "MP0803" "coarse-weight" Warning None,
        "a weight of a canary that its pods turn into twice as much or more",
        "more requests are exposed to a new version than its steps say";
    LATE_WAVE = "MP0804" "late-wave" Warning None,
        "a route that Argo CD applies in an earlier wave than what it leads to",
        "between the waves its requests are answered 503";
    HASTY_ROLLBACK = "MP0805" "hasty-rollback" Warning None,
        "an analysis that takes back a version as good as the one that runs",
        "releases fail by chance, and people learn to pass the analysis by";
    OBJECTIVE_MISSED = "MP0901" "objective-missed" Error None,
        "a simulation misses an objective of its scenario",
        "users would see it";
    INTENT_VIOLATED = "MP1001" "intent-violated" Error None,
        "an intent of an `*.intent` file that does not hold",
        "the mesh does not do what somebody wrote down that it must";
    UNREADABLE_INTENT = "MP1002" "unreadable-intent" Error None,
        "an intent that cannot be read, or asks for what is not decided",
        "it is not judged, and whoever wrote it believes that it is";
    VACUOUS_INTENT = "MP1003" "vacuous-intent" Warning None,
        "an intent that holds only because nothing matches it",
        "it says nothing about the mesh";
}

/// The rule of that code.
pub fn rule(code: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.code == code)
}
