//! Istio: networking.v1alpha3.EnvoyFilter (`EF-1`), `ProxyConfig` (`PC-1`), Telemetry. Of patches only rate limits
//! (`RL-1`, `RL-3`) and hedging are understood; what the others can touch is named.

use meshproof_model::{
    Labels, Located, Mesh, Unmodelled, is_subset,
    istio::{
        ConfigPatch, EnvoyFilter, HedgePatch, LocalRateLimitPatch, PatchContext, PatchPattern, ProxyConfig, Telemetry,
    },
};

use crate::{cx::Cx, duration::go_duration, field::Field, object::Object, rate_limit};

/// Reads one.
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<EnvoyFilter> {
    let spec = object.get("spec")?.quietly();
    let priority = spec.get("priority").and_then(|field| Some(field.located(field.int()?)));
    Some(EnvoyFilter {
        meta: object.meta.clone(),
        selector: spec.get("workloadSelector").map(|selector| selector.labels_at("labels")).unwrap_or_default(),
        priority,
        has_target_refs: spec.get("targetRefs").is_some_and(|refs| !refs.is_empty()),
        patches: spec.list("configPatches").map(|entry| patch(&entry, cx)).collect(),
    })
}

fn patch(field: &Field<'_>, cx: &mut Cx) -> ConfigPatch {
    const CONTEXTS: &[(&str, PatchContext)] = &[
        ("ANY", PatchContext::Any),
        ("SIDECAR_INBOUND", PatchContext::SidecarInbound),
        ("SIDECAR_OUTBOUND", PatchContext::SidecarOutbound),
        ("GATEWAY", PatchContext::Gateway),
    ];
    let matches = field.get("match");
    let of = |key: &'static str| matches.as_ref().and_then(|matches| matches.get(key));
    let port =
        |key: &'static str| of(key).and_then(|part| part.get("portNumber")?.int()).and_then(|n| u16::try_from(n).ok());
    let value = field.get("patch").and_then(|patch| patch.get("value"));
    let filter = of("listener").and_then(|l| l.get("filterChain")?.get("filter")?.get("subFilter")?.text_at("name"));
    let named = value.as_ref().and_then(|value| value.text_at("name"));
    let apply_to = field.text_at("applyTo").unwrap_or_default();
    let operation = field.get("patch").and_then(|patch| patch.text_at("operation")).unwrap_or_default();
    let hedging = value.as_ref().filter(|_| (apply_to.as_str(), operation.as_str()) == ("HTTP_ROUTE", "MERGE"));
    let hedging = hedging.and_then(|value| hedge(value, matches.as_ref()));
    ConfigPatch {
        at: field.at(),
        apply_to,
        context: matches.as_ref().and_then(|m| Cx::word(m, "context", CONTEXTS)).map(|c| c.value).unwrap_or_default(),
        operation,
        port: port("listener").or_else(|| port("cluster")).or_else(|| port("routeConfiguration")),
        target: named.or(filter),
        pattern: match (hedging, value) {
            (Some(hedge), _) => PatchPattern::Hedge(hedge),
            (None, Some(value)) => pattern(&value, cx),
            (None, None) => PatchPattern::Unknown,
        },
    }
}

/// A patch that changes nothing of routes but whether they are hedged, and says which routes in a way that is known.
fn hedge(value: &Field<'_>, matches: Option<&Field<'_>>) -> Option<HedgePatch> {
    let has_only = |field: &Field<'_>, keys: &[&str]| field.fields().all(|(key, _)| keys.contains(&key));
    let route = value.get("route").filter(|_| has_only(value, &["route"]))?;
    let policy = either(&route, "hedge_policy", "hedgePolicy").filter(|_| route.fields().count() == 1)?;
    let on_per_try_timeout = either(&policy, "hedge_on_per_try_timeout", "hedgeOnPerTryTimeout")?.bool()?;
    let known = policy.fields().count() == 1
        && matches.is_none_or(|matches| has_only(matches, &["context", "routeConfiguration"]));
    let configuration = matches.and_then(|matches| matches.get("routeConfiguration"));
    let host = configuration.as_ref().and_then(|configuration| configuration.get("vhost"));
    let named = host.as_ref().and_then(|host| host.get("route"));
    let known = known
        && configuration.as_ref().is_none_or(|of| has_only(of, &["portNumber", "vhost"]))
        && host.as_ref().is_none_or(|of| has_only(of, &["name", "route"]))
        && named.as_ref().is_none_or(|of| has_only(of, &["name"]));
    known.then(|| HedgePatch {
        on_per_try_timeout,
        virtual_host: host.and_then(|host| host.text_at("name")),
        route: named.and_then(|named| named.text_at("name")),
    })
}

/// What a patch's value is, where it is a rate limit: a filter, or a route's settings for one.
fn pattern(value: &Field<'_>, cx: &mut Cx) -> PatchPattern {
    let per_filter = either(value, "typed_per_filter_config", "typedPerFilterConfig");
    let settings = per_filter.into_iter().flat_map(|all| all.fields()).map(|(_, settings)| settings);
    let config = either(value, "typed_config", "typedConfig").into_iter().chain(settings);
    for config in config {
        let mut kind = config.text_at("@type").unwrap_or_default();
        let mut inner = config.clone();
        if kind.ends_with("TypedStruct") {
            kind = either(&config, "type_url", "typeUrl").and_then(|url| url.text()).unwrap_or_default();
            let Some(wrapped) = config.get("value") else { continue };
            inner = wrapped;
        }
        if kind.ends_with("local_ratelimit.v3.LocalRateLimit")
            && let Some(limit) = local_rate_limit(&inner, cx)
        {
            return PatchPattern::LocalRateLimit(limit);
        }
        if kind.ends_with("ratelimit.v3.RateLimit") && !kind.contains("local") {
            return PatchPattern::GlobalRateLimit {
                domain: inner.text_at("domain").unwrap_or_default(),
                failure_mode_deny: either(&inner, "failure_mode_deny", "failureModeDeny")
                    .and_then(|deny| deny.bool())
                    .unwrap_or(false),
                timeout: inner.text_at("timeout").and_then(|text| go_duration(&text)),
            };
        }
    }
    let of_route = || value.get("route").and_then(|route| either(&route, "rate_limits", "rateLimits"));
    if let Some(limits) = either(value, "rate_limits", "rateLimits").or_else(of_route) {
        return PatchPattern::RateLimitActions(rate_limit::descriptors(&limits));
    }
    PatchPattern::Unknown
}

fn local_rate_limit(field: &Field<'_>, cx: &mut Cx) -> Option<LocalRateLimitPatch> {
    let bucket = either(field, "token_bucket", "tokenBucket")?;
    let count = |name: &'static str, camel: &'static str| {
        either(&bucket, name, camel).and_then(|field| field.int()).and_then(|n| u32::try_from(n).ok())
    };
    let interval = either(&bucket, "fill_interval", "fillInterval").and_then(|field| field.text());
    let share = |name: &'static str, camel: &'static str| -> u32 {
        either(field, name, camel).and_then(|share| fraction(&share)).unwrap_or(0)
    };
    let limit = LocalRateLimitPatch {
        max_tokens: count("max_tokens", "maxTokens")?,
        tokens_per_fill: count("tokens_per_fill", "tokensPerFill").unwrap_or(1),
        fill_interval: interval.and_then(|text| go_duration(&text))?,
        enabled: share("filter_enabled", "filterEnabled"),
        enforced: share("filter_enforced", "filterEnforced"),
        per_connection: either(
            field,
            "local_rate_limit_per_downstream_connection",
            "localRateLimitPerDownstreamConnection",
        )
        .and_then(|on| on.bool())
        .unwrap_or(false),
        status: field.get("status").and_then(|status| status.get("code")?.int()).and_then(|n| u16::try_from(n).ok()),
        has_descriptors: field.get("descriptors").is_some_and(|list| !list.is_empty()),
    };
    if !limit.acts() {
        let message = "this rate limit refuses nothing: `filter_enabled` and `filter_enforced` are both 0 % by default";
        cx.ineffective(&bucket, message, "set the `default_value` of both to 100 %");
    }
    Some(limit)
}

/// A runtime fraction in parts per million.
fn fraction(field: &Field<'_>) -> Option<u32> {
    let value = either(field, "default_value", "defaultValue")?;
    let numerator = value.get("numerator").and_then(|field| field.int()).and_then(|n| u64::try_from(n).ok())?;
    let scale = match value.text_at("denominator").as_deref() {
        Some("MILLION") => 1,
        Some("TEN_THOUSAND") => 100,
        _ => 10_000,
    };
    Some(u32::try_from((numerator * scale).min(1_000_000)).unwrap_or(0))
}

/// A field under either of the two spellings that Envoy's JSON has.
fn either<'a>(field: &Field<'a>, snake: &'static str, camel: &'static str) -> Option<Field<'a>> {
    field.get(snake).or_else(|| field.get(camel))
}

/// Reads a `ProxyConfig`.
pub(crate) fn proxy_config(object: &Object<'_>, cx: &mut Cx) -> Option<ProxyConfig> {
    let spec = object.get("spec")?.quietly();
    let environment = spec.get("environmentVariables").into_iter().flat_map(|all| all.fields());
    Some(ProxyConfig {
        meta: object.meta.clone(),
        selector: Cx::match_labels(&spec, "selector"),
        concurrency: cx.count(&spec, "concurrency"),
        environment: environment
            .filter_map(|(key, field)| Some((key.to_owned(), field.located(field.text()?))))
            .collect(),
    })
}

/// Reads a Telemetry.
pub(crate) fn telemetry(object: &Object<'_>) -> Option<Telemetry> {
    let spec = object.get("spec")?.quietly();
    let mut providers: Vec<Located<String>> = Vec::new();
    let mut disabled = Vec::new();
    for key in ["accessLogging", "metrics", "tracing"] {
        for entry in spec.list(key) {
            providers.extend(entry.list("providers").filter_map(|provider| provider.located_text("name")));
            let switches = ["disabled", "disableSpanReporting"].into_iter().filter_map(|switch| entry.get(switch));
            disabled.extend(switches.filter(|switch| switch.bool() == Some(true)).map(|switch| switch.at()));
        }
    }
    let selector: Labels = Cx::match_labels(&spec, "selector");
    Some(Telemetry { meta: object.meta.clone(), selector, providers, disabled })
}

/// What patches can touch, one entry a patch: verdicts about it say nothing of the patch (`EF-1`). Rate limits of
/// servers' own proxies and hedging of clients' are judged.
pub(crate) fn taints(mesh: &Mesh) -> Vec<Unmodelled> {
    let mut taints = Vec::new();
    for filter in &mesh.envoy_filters {
        for patch in &filter.patches {
            let what = match (&patch.pattern, patch.context) {
                (PatchPattern::LocalRateLimit(limit), PatchContext::SidecarInbound) if !limit.has_descriptors => {
                    continue;
                }
                (PatchPattern::LocalRateLimit(limit), _) if limit.has_descriptors => {
                    "a local rate limit with buckets for descriptors, of which only the common one is judged".to_owned()
                }
                (PatchPattern::LocalRateLimit(_), _) => "a local rate limit".to_owned(),
                (PatchPattern::Hedge(_), PatchContext::SidecarOutbound) => continue,
                (PatchPattern::Hedge(_), _) => "hedging".to_owned(),
                (PatchPattern::GlobalRateLimit { domain, .. }, _) => format!("the rate limit of domain `{domain}`"),
                (PatchPattern::RateLimitActions(descriptors), _) => match rate_limit::limits(mesh, descriptors) {
                    Some(limits) => format!("descriptors for a rate limit ({limits})"),
                    None => "descriptors for a rate limit".to_owned(),
                },
                (PatchPattern::Unknown, _) => match &patch.target {
                    Some(name) => format!("`{name}`"),
                    None => "what it names".to_owned(),
                },
            };
            let side = match patch.context {
                PatchContext::Any => "everything",
                PatchContext::SidecarInbound => "what sidecars accept",
                PatchContext::SidecarOutbound => "what sidecars send",
                PatchContext::Gateway => "gateways",
            };
            let reason = format!(
                "{} {} of {side} at {}: {what}; what it changes there is not judged",
                patch.operation,
                patch.apply_to,
                touched(mesh, filter)
            );
            let (resource, at) = (filter.meta.resource.clone(), patch.at.clone());
            taints.push(Unmodelled { resource, at, reason, matters: true });
        }
    }
    taints
}

/// The workloads whose proxies a filter selects.
fn touched(mesh: &Mesh, filter: &EnvoyFilter) -> String {
    let names: Vec<String> = mesh
        .workloads
        .iter()
        .filter(|workload| {
            let is_near = filter.meta.namespace() == mesh.settings.root_namespace.value
                || filter.meta.namespace() == workload.meta.namespace();
            is_near && is_subset(&filter.selector, &workload.labels)
        })
        .map(|workload| format!("`{}`", workload.full_name()))
        .collect();
    match names.len() {
        _ if filter.has_target_refs => "its targets".to_owned(),
        0 => "no workload of these manifests".to_owned(),
        1..=3 => names.join(", "),
        more => format!("{} and {} more", names[..2].join(", "), more - 2),
    }
}

/// Patches in the order in which they are applied: by priority, then age, then name.
pub(crate) fn sort(filters: &mut [EnvoyFilter]) {
    filters.sort_by(|a, b| {
        let key = |filter: &EnvoyFilter| filter.priority.as_ref().map_or(0, |priority| priority.value);
        let age = |filter: &EnvoyFilter| filter.meta.created.clone();
        let late = |filter: &EnvoyFilter| filter.meta.created.is_none();
        (key(a), late(a), age(a), a.meta.name(), a.meta.namespace()).cmp(&(
            key(b),
            late(b),
            age(b),
            b.meta.name(),
            b.meta.namespace(),
        ))
    });
}
