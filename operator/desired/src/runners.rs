//! Whose pods and Jobs are a resource's: those that its own workload made, not whatever carries its
//! label.

use std::sync::Arc;

use langop_dsl::MAX_CRONS;

use crate::{
    hash,
    observed::{ChildKind, Observed},
};

/// Longest name of a CronJob: its controller adds a number to it for the names of its Jobs.
const LONGEST_CRON_JOB_NAME: usize = 52;

/// The names that the CronJobs of an agent have, in the order of its cron expressions: `a`, `a-2`,
/// `a-3`, …; where a name would be too long, the agent's is cut and a hash of it stands for the
/// rest.
pub fn cron_job_names(agent: &str) -> impl Iterator<Item = String> {
    let numbered = move |number: usize| match number {
        1 => agent.to_owned(),
        _ if agent.len() + 2 <= LONGEST_CRON_JOB_NAME => format!("{agent}-{number}"),
        _ => {
            let hash = hash::sha256_hex(agent.as_bytes());
            let start: String = agent.chars().take(LONGEST_CRON_JOB_NAME - 11).collect();
            format!("{start}-{}-{number}", &hash[..8])
        }
    };
    (1..=MAX_CRONS).map(numbered)
}

/// Whether a Job is a run of one of an agent's live `cron_jobs`; those that
/// `kubectl create job --from` makes are.
pub fn is_run_of(job: &Observed, agent: &str, cron_jobs: &[Arc<Observed>]) -> bool {
    let Some(controller) = job.controller.as_ref() else {
        return false;
    };
    // What one leaves behind when it goes is still the agent's own.
    let is_gone = || cron_jobs.iter().all(|live| live.name != controller.name);
    controller.kind == "CronJob"
        && (cron_jobs.iter().any(|live| live.uid == controller.uid)
            || (is_gone() && cron_job_names(agent).any(|name| name == controller.name)))
}

/// Whether a pod is of the Deployment `name`, or of one of its `runs`.
///
/// Replica sets are not watched, for there are several of each Deployment and nothing else is to be
/// known of them. Their controller names them by the Deployment and a hash, and no other one of
/// that name can be in its namespace.
pub fn is_pod_of(pod: &Observed, name: &str, runs: &[Arc<Observed>]) -> bool {
    debug_assert_eq!(pod.kind, ChildKind::Pod);
    let Some(controller) = pod.controller.as_ref() else {
        return false;
    };
    let has_suffix = |prefix: &str, is_of: fn(&u8) -> bool| {
        let rest = controller.name.strip_prefix(prefix);
        rest.and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|suffix| !suffix.is_empty() && suffix.as_bytes().iter().all(is_of))
    };
    match controller.kind.as_str() {
        "ReplicaSet" => has_suffix(name, u8::is_ascii_alphanumeric),
        // A run that is gone before its pod was named by its CronJob and a number.
        "Job" => {
            runs.iter().any(|run| run.uid == controller.uid)
                || cron_job_names(name).any(|name| has_suffix(&name, u8::is_ascii_digit))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::{CompactMap, Controller, ObservedState};

    fn observed(
        kind: ChildKind,
        uid: &str,
        controller: Option<(&str, &str, &str)>,
    ) -> Arc<Observed> {
        Arc::new(Observed {
            kind,
            name: uid.into(),
            namespace: "ns".into(),
            uid: uid.into(),
            controller: controller.map(|(kind, name, uid)| Controller {
                kind: kind.into(),
                name: name.into(),
                uid: uid.into(),
            }),
            labels: CompactMap::default(),
            annotations: CompactMap::default(),
            created: String::new(),
            deleting: false,
            owned_digest: String::new(),
            state: ObservedState::None,
        })
    }

    #[test]
    fn names_of_cron_jobs_are_short_and_their_own() {
        let all = |agent: &str| cron_job_names(agent).collect::<Vec<_>>();
        assert_eq!(all("a")[..3], ["a", "a-2", "a-3"]);
        assert_eq!(all("a").len(), MAX_CRONS);
        let (one, other) = ("x".repeat(51) + "1", "x".repeat(51) + "2");
        for name in all(&"x".repeat(50)).iter().chain(&all(&one)) {
            assert!(name.len() <= LONGEST_CRON_JOB_NAME, "{name}");
        }
        assert_eq!(all(&one)[0], one);
        assert!(all(&one)[1].starts_with(&"x".repeat(41)) && all(&one)[1].ends_with("-2"));
        assert!(all(&one).iter().all(|name| !all(&other).contains(name)));
    }

    #[test]
    fn a_run_is_of_the_cron_job_by_its_uid() {
        let live = |name: &str, uid: &str| {
            let mut cron_job = (*observed(ChildKind::CronJob, uid, None)).clone();
            cron_job.name = name.into();
            Arc::new(cron_job)
        };
        let cron_jobs = [live("a", "ours"), live("a-2", "second")];
        for (controller, counts) in [
            (Some(("CronJob", "a", "ours")), true),
            (Some(("CronJob", "a-2", "second")), true),
            (Some(("CronJob", "a", "former")), false),
            // one that is no longer wanted, and gone
            (Some(("CronJob", "a-3", "third")), true),
            (Some(("CronJob", "a-9", "ninth")), false),
            (Some(("CronJob", "b", "other")), false),
            (Some(("Workflow", "a", "ours")), false),
            (None, false),
        ] {
            let job = observed(ChildKind::Job, "j", controller);
            assert_eq!(is_run_of(&job, "a", &cron_jobs), counts, "{controller:?}");
        }
        let left = observed(ChildKind::Job, "j", Some(("CronJob", "a", "former")));
        assert!(is_run_of(&left, "a", &[]));
    }

    #[test]
    fn a_pod_is_of_the_deployment_or_of_a_run() {
        let runs = [observed(ChildKind::Job, "run", None)];
        for (controller, counts) in [
            (Some(("ReplicaSet", "a-5d4f9c", "rs")), true),
            (Some(("ReplicaSet", "a-b-5d4f9c", "rs")), false),
            (Some(("ReplicaSet", "other-5d4f9c", "rs")), false),
            (Some(("ReplicaSet", "a", "rs")), false),
            (Some(("Job", "a-now", "run")), true),
            (Some(("Job", "a-now", "unknown")), false),
            (Some(("Job", "a-29612345", "gone")), true),
            (Some(("Job", "a-2-29612345", "gone")), true),
            (Some(("Job", "a-b-29612345", "gone")), false),
            (Some(("StatefulSet", "a-5d4f9c", "s")), false),
            (None, false),
        ] {
            let pod = observed(ChildKind::Pod, "p", controller);
            assert_eq!(is_pod_of(&pod, "a", &runs), counts, "{controller:?}");
        }
    }
}
