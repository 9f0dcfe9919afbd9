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
    OUTLIER_INERT = "MP0501" "outlier-inert" Warning None,
        "outlier detection that can never eject a host",
        "a failing host keeps its share of the requests";
    PLAINTEXT_PATH = "MP0601" "plaintext-path" Error None,
        "a link that works without encryption",
        "anyone on the network can read and forge what it carries";
    MTLS_OUTAGE = "MP0602" "mtls-outage" Error None,
        "a link whose two sides cannot agree on TLS",
        "every connection over it fails";
    OBJECTIVE_MISSED = "MP0901" "objective-missed" Error None,
        "a simulation misses an objective of its scenario",
        "users would see it";
}

/// The rule of that code.
pub fn rule(code: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.code == code)
}
