//! Whose pods and Jobs are a resource's: those that its own workload made, not whatever carries its
//! label.

use std::sync::Arc;

use crate::observed::{ChildKind, Observed};

/// Whether a Job is a run of the CronJob `name`; those that `kubectl create job --from` makes are.
pub fn is_run_of(job: &Observed, name: &str, cron_job: Option<&Observed>) -> bool {
    let Some(controller) = job.controller.as_ref() else {
        return false;
    };
    controller.kind == "CronJob"
        && match cron_job {
            Some(cron_job) => controller.uid == cron_job.uid,
            // What it leaves behind when it goes is still its own.
            None => controller.name == name,
        }
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
    let suffix = controller
        .name
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('-'))
        .filter(|suffix| !suffix.is_empty());
    match controller.kind.as_str() {
        "ReplicaSet" => suffix.is_some_and(|hash| hash.bytes().all(|c| c.is_ascii_alphanumeric())),
        // A run that is gone before its pod was named by its CronJob and a number.
        "Job" => {
            runs.iter().any(|run| run.uid == controller.uid)
                || suffix.is_some_and(|number| number.bytes().all(|c| c.is_ascii_digit()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::{CompactMap, Controller, Facts};

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
            facts: Facts::None,
        })
    }

    #[test]
    fn a_run_is_of_the_cron_job_by_its_uid() {
        let cron_job = observed(ChildKind::CronJob, "ours", None);
        for (controller, counts) in [
            (Some(("CronJob", "a", "ours")), true),
            (Some(("CronJob", "a", "former")), false),
            (Some(("CronJob", "b", "other")), false),
            (Some(("Workflow", "a", "ours")), false),
            (None, false),
        ] {
            let job = observed(ChildKind::Job, "j", controller);
            assert_eq!(
                is_run_of(&job, "a", Some(&cron_job)),
                counts,
                "{controller:?}"
            );
        }
        let left = observed(ChildKind::Job, "j", Some(("CronJob", "a", "former")));
        assert!(is_run_of(&left, "a", None));
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
            (Some(("StatefulSet", "a-5d4f9c", "s")), false),
            (None, false),
        ] {
            let pod = observed(ChildKind::Pod, "p", controller);
            assert_eq!(is_pod_of(&pod, "a", &runs), counts, "{controller:?}");
        }
    }
}
