//! Istio: networking.v1.HTTPRetry, of routes and of the mesh.

use meshproof_model::istio::Retries;

use crate::{cx::Cx, field::Field};

/// Reads `retries` or a default retry policy.
pub(crate) fn read(retries: &Field<'_>, cx: &mut Cx) -> Retries {
    let attempts = retries.get("attempts").and_then(|field| field.int().map(|n| field.located(n)));
    if let (Some(field), Some(attempts)) = (retries.get("attempts"), &attempts)
        && attempts.value < 0
    {
        cx.invalid(&field, format!("`attempts` cannot be {}", attempts.value), "write 0 for no retries");
    }
    Retries {
        at: retries.at(),
        attempts,
        per_try_timeout: cx.duration(retries, "perTryTimeout"),
        retry_on: retries.located_text("retryOn"),
        retry_remote_localities: flag(retries, "retryRemoteLocalities"),
        retry_ignore_previous_hosts: flag(retries, "retryIgnorePreviousHosts"),
        backoff: cx.duration(retries, "backoff"),
    }
}

fn flag(field: &Field<'_>, key: &'static str) -> Option<meshproof_model::Located<bool>> {
    let field = field.get(key)?;
    field.bool().map(|value| field.located(value))
}
