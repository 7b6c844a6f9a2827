//! Pods, reduced: whether they are ready, how their main container ended last, and what keeps them
//! from working.
//!
//! A container that crashes and starts again in turns is Ready for moments. What keeps it from
//! working is therefore told in the same words through all of it, and until it has run longer than
//! it did before.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::{
    json::{condition, integer, owned_text, pointed_text, text},
    report::{ending_message, run_report},
};
use crate::{
    backoff,
    observed::{PodProblem, PodState, Termination},
};

/// Until then a pod has no trouble worth a word, unless it crashes: before its claim is bound it
/// cannot be scheduled, for one.
const TIME_TO_START: Duration = Duration::from_secs(5);
/// How long a container may run before it listens, without a word.
const TIME_TO_LISTEN: Duration = Duration::from_secs(20);
/// A container that ran so long did not crash at its start. The kubelet, too, forgets a crash then.
const LONG: Duration = Duration::from_mins(10);
/// How long a container must at least run after it ended, to be trusted again.
const TRUSTED_AFTER: Duration = Duration::from_secs(10);

/// What of a live pod matters.
pub(super) fn reduce(live: &Value) -> PodState {
    let ready =
        condition(live, "Ready").is_some_and(|condition| text(condition, "status") == Some("True"));
    let main = main_container(live);
    PodState {
        phase: pointed_text(live, "/status/phase").unwrap_or_default(),
        ready,
        problem: problem(live).filter(|problem| !ready || problem.until.is_some()),
        restarts: main.map_or(0, |status| integer(status.get("restartCount"))),
        last_termination: main.and_then(last_termination),
    }
}

/// The status of the first container of the spec, which is the one that the pod is for.
fn main_container(live: &Value) -> Option<&Value> {
    let name = live.pointer("/spec/containers/0/name")?;
    live.pointer("/status/containerStatuses")?
        .as_array()?
        .iter()
        .find(|status| status.get("name") == Some(name))
}

/// The last end of a container: the one it has come to, else the one before it was started again.
fn ended(status: &Value) -> Option<&Value> {
    status
        .pointer("/state/terminated")
        .or_else(|| status.pointer("/lastState/terminated"))
}

fn last_termination(status: &Value) -> Option<Termination> {
    let ended = ended(status)?;
    Some(Termination {
        exit_code: integer(ended.get("exitCode")),
        ended: owned_text(ended, "finishedAt"),
        message: ending_message(ended),
        report: run_report(ended),
    })
}

/// What keeps a pod from working, as far as its status tells; the same words for the same cause,
/// whatever the kubelet's back-off.
fn problem(live: &Value) -> Option<PodProblem> {
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let mut containers = statuses
        .iter()
        .filter_map(|path| live.pointer(path)?.as_array())
        .flatten();
    let lasting = |cause| PodProblem {
        cause,
        from: time(live.pointer("/metadata/creationTimestamp"))
            .map(|created| backoff::due(created, TIME_TO_START)),
        until: None,
    };
    unschedulable(live)
        .map(lasting)
        .or_else(|| {
            containers.find_map(|status| waiting(status).map(lasting).or_else(|| crash(status)))
        })
        .or_else(|| statuses.iter().find_map(|path| unreached(live, path)))
        .or_else(|| failed(live).map(lasting))
}

/// That a container runs, and nobody answers at the port where the kubelet looks. By far the most
/// often it listens at localhost only.
fn unreached(live: &Value, statuses: &str) -> Option<PodProblem> {
    let specs = match statuses {
        "/status/initContainerStatuses" => "/spec/initContainers",
        _ => "/spec/containers",
    };
    let specs = live.pointer(specs)?.as_array()?;
    let silent = |status: &Value| {
        let name = text(status, "name")?;
        let since = time(status.pointer("/state/running/startedAt"))?;
        let spec = specs.iter().find(|spec| text(spec, "name") == Some(name))?;
        let port = spec.pointer("/readinessProbe/tcpSocket/port")?;
        (status.get("ready") == Some(&Value::Bool(false))).then(|| PodProblem {
            cause: format!(
                "container '{name}' runs, and nothing answers at port {port} from outside of it: it must listen there at all addresses (0.0.0.0 or ::), not only at localhost; a sidecar may do without (probe: none)"
            ),
            from: Some(backoff::due(since, TIME_TO_LISTEN)),
            until: None,
        })
    };
    live.pointer(statuses)?.as_array()?.iter().find_map(silent)
}

fn unschedulable(live: &Value) -> Option<String> {
    let scheduled = condition(live, "PodScheduled")
        .filter(|condition| text(condition, "status") == Some("False"))?;
    Some(format!(
        "the pod cannot be scheduled: {}",
        text(scheduled, "message").unwrap_or("no node fits")
    ))
}

fn failed(live: &Value) -> Option<String> {
    let failed = live.pointer("/status/phase").and_then(Value::as_str) == Some("Failed");
    let cause =
        pointed_text(live, "/status/message").or_else(|| pointed_text(live, "/status/reason"));
    failed.then(|| {
        format!(
            "the pod failed: {}",
            cause.unwrap_or_else(|| "its container ended".into())
        )
    })
}

/// Why a container is not started, other than that it crashed before.
fn waiting(status: &Value) -> Option<String> {
    let name = text(status, "name")?;
    let waiting = status.pointer("/state/waiting")?;
    match text(waiting, "reason").unwrap_or("ContainerCreating") {
        "CrashLoopBackOff" if ended(status).is_none() => {
            Some(format!("container '{name}' keeps crashing"))
        }
        "ContainerCreating" | "PodInitializing" | "CrashLoopBackOff" => None,
        "ErrImagePull" | "ImagePullBackOff" => {
            let image = text(status, "image").unwrap_or_default();
            Some(format!(
                "container '{name}': the image '{image}' cannot be pulled"
            ))
        }
        reason => {
            let message = text(waiting, "message").unwrap_or("waiting");
            Some(format!("container '{name}': {reason}: {message}"))
        }
    }
}

/// That a container ended, until it has run again for twice as long: one that crashes some time
/// after each start is never trusted, and one that stumbled at its start soon is. After a long run
/// an end is no trouble of its own once the container runs again.
fn crash(status: &Value) -> Option<PodProblem> {
    let name = text(status, "name")?;
    let ended = ended(status)?;
    let ran = run(ended);
    let since = status.pointer("/state/running/startedAt");
    let until = match since {
        Some(_) if ran >= LONG => return None,
        Some(since) => Some(backoff::due(
            time(Some(since))?,
            (ran * 2).clamp(TRUSTED_AFTER, LONG),
        )),
        None => None,
    };
    let (restarts, code) = (
        integer(status.get("restartCount")),
        integer(ended.get("exitCode")),
    );
    if code == 0 && restarts == 0 {
        // What runs to its end, as a Job does, ends like this.
        return None;
    }
    let is_first = restarts == i32::from(since.is_some());
    let happens = match code {
        _ if is_first || (since.is_none() && ran >= LONG) => "ended",
        0 => "keeps ending",
        _ => "keeps crashing",
    };
    let reason = text(ended, "reason").unwrap_or("Error");
    Some(PodProblem {
        cause: format!("container '{name}' {happens} (exit code {code}, {reason})"),
        from: None,
        until,
    })
}

/// How long a container ran before it ended; nothing where the kubelet does not know.
fn run(ended: &Value) -> Duration {
    let times = time(ended.get("startedAt")).zip(time(ended.get("finishedAt")));
    times
        .and_then(|(started, finished)| Duration::try_from(finished.duration_since(started)).ok())
        .unwrap_or_default()
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    value?.as_str()?.parse().ok()
}
