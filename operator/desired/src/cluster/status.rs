//! The status of a LanguageCluster.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use langop_api::{
    LanguageCluster, LanguageClusterStatus,
    agent::AgentPhase,
    budget::SynthesisDay,
    cluster::{AgentCounts, ClusterPhase, PodSecurity},
    condition::{Reason, types},
};

use super::validate::namespace_of;
use crate::{
    children::{Applied, Children},
    conditions::{self, Conditions, Status, Summary},
};

/// The status after all children are applied, or after what kept them from being.
///
/// `foreign` is the Pod Security level in effect, where it is another manager's. `agents` is
/// written with it; whoever calls keeps to the pace of those writes by passing the counts of the
/// previous status.
pub fn status(
    cluster: &LanguageCluster,
    children: Result<&Children<Applied>, Summary>,
    agents: Option<AgentCounts>,
    foreign: Option<PodSecurity>,
    now: Timestamp,
) -> LanguageClusterStatus {
    let previous = cluster.status.as_ref();
    let generation = cluster.metadata.generation.unwrap_or_default();
    let before = previous.map_or(&[][..], |status| &status.conditions);
    let used = children.is_ok();
    let mut next = Conditions::new(before, generation, now);
    next.summary(match children {
        Ok(_) if cluster.spec.suspend == Some(true) => Summary::Ready(
            Reason::Suspended,
            "the namespace is set up, and every agent in it is suspended by spec.suspend".into(),
        ),
        Ok(_) => Summary::Ready(Reason::AsDesired, "the namespace is set up".into()),
        Err(problem) => problem,
    });
    match foreign {
        Some(level) => pod_security(&mut next, cluster.spec.pod_security, level),
        None if !used => next.keep(types::POD_SECURITY),
        None => {}
    }
    let conditions = next.finish();
    LanguageClusterStatus {
        observed_generation: Some(generation),
        phase: Some(phase(&conditions)),
        namespace: if used {
            Some(namespace_of(cluster))
        } else {
            previous.and_then(|status| status.namespace.clone())
        },
        agents,
        budget: budget(cluster),
        conditions,
    }
}

/// The ledger as it is: whoever pays from it writes it. It goes with the budget.
fn budget(cluster: &LanguageCluster) -> Option<SynthesisDay> {
    let budget = cluster.spec.budget.as_ref()?;
    budget.synthesis_tokens_per_day?;
    cluster.status.as_ref()?.budget.clone()
}

/// Another manager's level is left to them, and told where it is lower than what is asked for here.
fn pod_security(next: &mut Conditions, asked: PodSecurity, level: PodSecurity) {
    if level >= asked {
        return next.set(
            types::POD_SECURITY,
            Status::True,
            Reason::PodSecurityAsAsked,
            format!(
                "the namespace's Pod Security labels are another manager's, and enforce {level}"
            ),
        );
    }
    next.set(
        types::POD_SECURITY,
        Status::False,
        Reason::PodSecurityLower,
        format!(
            "the namespace's Pod Security labels are another manager's, and enforce {level} where podSecurity asks for {asked}: have them raised or removed there, or write podSecurity: {level}"
        ),
    );
}

/// Where the cluster stands, by its conditions.
pub fn phase(conditions: &[Condition]) -> ClusterPhase {
    let ready = conditions::find(conditions, types::READY);
    let is_suspended = ready.is_some_and(|ready| ready.reason == Reason::Suspended.as_str());
    if is_suspended {
        ClusterPhase::Suspended
    } else if conditions::is_true(conditions, types::READY) {
        ClusterPhase::Ready
    } else if ready.is_some_and(|ready| ready.reason == Reason::NamespaceTerminating.as_str()) {
        ClusterPhase::Terminating
    } else if conditions::is_true(conditions, types::STALLED) {
        ClusterPhase::Failed
    } else {
        ClusterPhase::Pending
    }
}

/// Counts agents by their phases; `None` is one without status yet. Those that are suspended are
/// told only where the whole namespace is.
pub fn count(
    phases: impl IntoIterator<Item = Option<AgentPhase>>,
    is_suspended: bool,
) -> AgentCounts {
    let mut counts = AgentCounts {
        suspended: is_suspended.then_some(0),
        ..AgentCounts::default()
    };
    for phase in phases {
        counts.total += 1;
        match phase {
            Some(AgentPhase::Running | AgentPhase::Succeeded) => counts.running += 1,
            Some(AgentPhase::Failed) => counts.failed += 1,
            Some(AgentPhase::Suspended) => {
                counts.suspended = counts.suspended.map(|suspended| suspended + 1);
            }
            Some(AgentPhase::Pending) | None => {}
        }
    }
    counts
}
