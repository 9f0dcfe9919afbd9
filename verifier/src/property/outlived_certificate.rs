//! `MP0611` outlived-certificate (`P3`).
//!
//! **Statement.** No outage of the control plane that scenarios have outlives a certificate: one that lasts `T` is renewed
//! half-way, so that at the worst it is `T / 2` old when the outage begins, and is out of date if that lasts longer than
//! the other half. Until it is renewed no connection can be opened with it.
//!
//! **Decided by** a division, **checked by** Z3: is there an age at which the outage may begin and after which the
//! certificate runs out? The oracle in the tests tries every age.

use meshproof_model::{Finding, Nanos, OUTLIVED_CERTIFICATE, Subject, istio::MtlsMode};

use super::{Check, Judge, millis};
use crate::{
    Engine, Proof, Report,
    access::Access,
    assumption::{APPLIED, SENT_BY_SCENARIOS},
    term::{Int, Query},
};

/// Judges the lifetime of certificates where somebody needs them and scenarios take the control plane away.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    let lifetime = judge.mesh.behaviour.control_plane.certificates;
    let (Some(lifetime), Some(outage)) = (lifetime, judge.options.outage) else { return report };
    let takes_mutual = |mode: Option<MtlsMode>| mode.is_none_or(|mode| mode != MtlsMode::Disable);
    if !Access::new(judge.mesh).servers.iter().any(|server| takes_mutual(server.mode)) {
        return report;
    }
    let subject = Subject::Mesh;
    match (judge.none_satisfiable(&[runs_out(lifetime, outage)]), is_outlived(lifetime, outage)) {
        (Check::Confirmed, false) => report.proofs.push(
            Proof::new(&OUTLIVED_CERTIFICATE, subject, Engine::Fixpoint, Some(Engine::Z3))
                .value("lifetime_ms", millis(lifetime))
                .value("longest_outage_ms", millis(outage))
                .assuming([APPLIED, SENT_BY_SCENARIOS]),
        ),
        (Check::Refuted, true) => {
            let message = format!(
                "certificates last {lifetime} and are renewed half-way: some run out while the control plane is away for \
                 {outage}, and no connection can be opened with them"
            );
            report.findings.push(
                Finding::new(&OUTLIVED_CERTIFICATE, subject, message)
                    .help(format!("a lifetime of at least {} outlasts it", outage.times(2)))
                    .value("lifetime_ms", millis(lifetime))
                    .value("longest_outage_ms", millis(outage)),
            );
        }
        (Check::Undecided(reason), _) => report.undecided(&OUTLIVED_CERTIFICATE, subject, &reason),
        (_, _) => report.disagree(&OUTLIVED_CERTIFICATE, &subject, "the division and Z3 differ"),
    }
    report
}

fn is_outlived(lifetime: Nanos, outage: Nanos) -> bool {
    u128::from(outage.get()) * 2 > u128::from(lifetime.get())
}

/// Is there an age, up to the half of its life, from which the outage lasts beyond the end?
fn runs_out(lifetime: Nanos, outage: Nanos) -> Query {
    let mut query = Query::default();
    let age = query.int("age");
    query.assert(age.clone().times(2).le(Int::Const(lifetime.get())));
    query.assert(
        Int::Sum(vec![age.times(2), Int::Const(outage.get().saturating_mul(2))])
            .gt(Int::Const(lifetime.get().saturating_mul(2))),
    );
    query
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::Draws, z3::Answer};

    #[test]
    fn some_age_runs_out_exactly_if_the_outage_is_longer_than_half_a_life() {
        let cases = crate::testing::cases(400);
        let mut draws = Draws::new(29);
        let (mut outlived, mut kept) = (0, 0);
        for _ in 0..cases {
            let (lifetime, outage) = (2 * (1 + draws.below(40)), 1 + draws.below(60));
            let naive = (0..=lifetime / 2).any(|age| age + outage > lifetime);
            assert_eq!(is_outlived(Nanos::new(lifetime), Nanos::new(outage)), naive, "{lifetime} {outage}");
            let answer = crate::z3::check_one(&runs_out(Nanos::new(lifetime), Nanos::new(outage)), 1_000_000);
            assert_eq!(matches!(answer, Answer::Sat(_)), naive, "{lifetime} {outage}");
            *(if naive { &mut outlived } else { &mut kept }) += 1;
        }
        assert!(outlived * 4 >= cases && kept * 4 >= cases, "{outlived} {kept}");
    }
}
