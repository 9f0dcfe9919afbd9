//! Whether a listener's access control lets a request pass, and which policies decide.

use std::borrow::Cow;

use meshproof_model::{RuleName, istio::AuthorizationAction, rule_name};
use meshproof_proxy::{Verdict, config::RbacAction};

use super::{
    Answer, Decider, Outcome, Policy,
    compiled::{Compiled, listener_id},
    head::{Arrival, Head},
};

/// What access control says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// `None`: an external authorizer decides.
    pub(super) allowed: Option<bool>,
    pub(super) by: Vec<Policy>,
    /// The status, if it is not 403: the request was not even looked at.
    pub(super) status: Option<u16>,
    pub(super) why: String,
}

impl Decision {
    /// Writes it into an answer; `at` says whose access control it is.
    pub(super) fn tell(self, answer: &mut Answer, is_connection: bool, at: &str) {
        answer.why = if answer.why.is_empty() {
            format!("{at}: {}", self.why)
        } else {
            format!("{}; {at}: {}", answer.why, self.why)
        };
        match self.allowed {
            Some(true) => {
                if answer.allowed.is_some() {
                    answer.by.extend(self.by);
                }
            }
            None => {
                if answer.allowed.is_some() {
                    answer.by.clear();
                }
                answer.allowed = None;
                answer.by.extend(self.by);
            }
            Some(false) => {
                answer.allowed = Some(false);
                answer.by = self.by;
                answer.outcome = Outcome::Denied;
                answer.status = if is_connection { None } else { self.status.or(Some(403)) };
            }
        }
        answer.by.sort();
        answer.by.dedup();
    }
}

impl Decider<'_> {
    /// Puts a request to a listener's access control: CUSTOM, DENY, ALLOW (`AZ-2`).
    pub(super) fn decide(
        &self,
        compiled: &Compiled,
        listener: usize,
        head: &Head<'_>,
        arrival: &Arrival<'_>,
    ) -> Result<Decision, Cow<'static, str>> {
        let table = compiled.table()?;
        let verdicts = head.ask(arrival, |question| table.verdicts(listener_id(listener), question));
        let verdicts = match verdicts {
            Ok(verdicts) => verdicts,
            Err((status, details)) => {
                let why = format!("the proxy refuses the request as it is ({details})");
                return Ok(Decision { allowed: Some(false), by: Vec::new(), status: Some(status), why });
            }
        };
        let names = |matching: &[&str]| {
            let rules = matching.iter().filter_map(|name| rule_name(name));
            self.policies(rules)
        };
        let mut asked = Vec::new();
        for verdict in &verdicts {
            match verdict {
                Verdict::Rbac { action: RbacAction::Deny, matching } if !matching.is_empty() => {
                    return Ok(decided(Some(false), names(matching), "refused by"));
                }
                Verdict::Rbac { action: RbacAction::Allow, matching } if matching.is_empty() => {
                    let by = self.allowing(compiled, listener);
                    return Ok(Decision { status: None, ..decided(Some(false), by, "allowed by none of") });
                }
                Verdict::Asks { provider, matching } => asked.push((*provider, names(matching))),
                Verdict::Rbac { .. } => {}
            }
        }
        if let Some((provider, _)) = asked.first() {
            let told = format!("the authorizer `{provider}` is asked because of");
            let by = asked.into_iter().flat_map(|(_, by)| by).collect();
            return Ok(decided(None, by, &told));
        }
        let allowed = verdicts.iter().find_map(|verdict| match verdict {
            Verdict::Rbac { action: RbacAction::Allow, matching } => Some(names(matching)),
            Verdict::Rbac { .. } | Verdict::Asks { .. } => None,
        });
        Ok(match allowed {
            Some(by) => decided(Some(true), by, "allowed by"),
            None => decided(Some(true), Vec::new(), "no policy refuses it"),
        })
    }

    /// The policies of rules that match, each with its first one.
    fn policies<'r>(&self, rules: impl Iterator<Item = RuleName<'r>>) -> Vec<Policy> {
        let mut policies: Vec<Policy> = rules
            .map(|rule| Policy {
                kind: "AuthorizationPolicy".to_owned(),
                namespace: rule.namespace.to_owned(),
                name: rule.name.to_owned(),
                action: self.action_of(rule.namespace, rule.name).map_or("ALLOW", word),
                rule: Some(rule.rule),
            })
            .collect();
        policies.sort();
        policies.dedup_by(|b, a| (&a.namespace, &a.name) == (&b.namespace, &b.name));
        policies
    }

    /// Every ALLOW policy of a listener.
    fn allowing(&self, compiled: &Compiled, listener: usize) -> Vec<Policy> {
        let policies = &compiled.lowered.provenance.listeners[listener].policies;
        let allows = |resource: &&meshproof_model::ResourceRef| {
            self.action_of(&resource.namespace, &resource.name) == Some(AuthorizationAction::Allow)
        };
        let mut allowing: Vec<Policy> = policies
            .iter()
            .map(|(resource, _)| resource)
            .filter(allows)
            .map(|resource| Policy {
                kind: resource.kind.clone(),
                namespace: resource.namespace.clone(),
                name: resource.name.clone(),
                action: "ALLOW",
                rule: None,
            })
            .collect();
        allowing.sort();
        allowing
    }
}

fn decided(allowed: Option<bool>, by: Vec<Policy>, told: &str) -> Decision {
    let names: Vec<String> = by
        .iter()
        .map(|policy| match policy.rule {
            Some(rule) => format!("{} {}/{} rule {rule}", policy.action, policy.namespace, policy.name),
            None => format!("{} {}/{}", policy.action, policy.namespace, policy.name),
        })
        .collect();
    let why = if names.is_empty() { told.to_owned() } else { format!("{told} {}", names.join(", ")) };
    Decision { allowed, by, status: None, why }
}

const fn word(action: AuthorizationAction) -> &'static str {
    match action {
        AuthorizationAction::Allow => "ALLOW",
        AuthorizationAction::Deny => "DENY",
        AuthorizationAction::Audit => "AUDIT",
        AuthorizationAction::Custom => "CUSTOM",
    }
}
