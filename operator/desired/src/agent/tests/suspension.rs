//! A suspended namespace: what is built, what is stopped beside that, and that all of it is undone
//! exactly.

use langop_api::names::annotations;
use serde_json::{Value, json};

use super::*;
use crate::agent::suspension::{Change, to_end, to_restore, to_stop};

fn suspended(spec: &Value) -> World {
    let mut world = World::of_spec(spec);
    world.cluster = Some(ClusterView {
        name: "team".into(),
        suspended: true,
        agent_egress: Some(langop_api::cluster::AgentEgress::Deny),
        ..ClusterView::default()
    });
    world
}

fn replicas(world: &World) -> Option<i32> {
    let built = world.build().children.deployments;
    built[0].spec.as_ref().unwrap().replicas
}

/// What the API server makes of a change.
fn merged(change: &Change) -> Arc<Observed> {
    let mut live = (*change.live).clone();
    let note = &change.patch["metadata"]["annotations"][annotations::SUSPENDED];
    live.annotations = note
        .as_str()
        .map(|note| (annotations::SUSPENDED.to_owned(), note.to_owned()))
        .into_iter()
        .collect();
    match &mut live.state {
        ObservedState::Deployment(state) => {
            let replicas = change.patch["spec"]["replicas"].as_i64();
            state.desired = replicas.map_or(state.desired, |all| i32::try_from(all).unwrap());
        }
        ObservedState::CronJob(state) => {
            let suspend = change.patch["spec"]["suspend"].as_bool();
            state.suspended = suspend.unwrap_or(state.suspended);
        }
        other => panic!("{other:?} is no workload"),
    }
    Arc::new(live)
}

#[test]
fn workloads_of_ours_are_built_to_stand_still() {
    let scheduled = json!({"image": "own", "schedule": "0 9 * * *"});
    let cron_jobs = suspended(&scheduled).build().children.cron_jobs;
    assert_eq!(cron_jobs[0].spec.suspend, Some(true));
    assert_eq!(
        replicas(&suspended(&json!({"image": "own", "replicas": 3}))),
        Some(0)
    );
    // One that is made while nothing may run has no pod for a moment either.
    assert_eq!(replicas(&suspended(&json!({"image": "own"}))), Some(0));
}

#[test]
fn a_number_that_is_left_to_others_is_stopped_beside_the_build_and_put_back() {
    let mut world = suspended(&json!({"image": "own"}));
    let mut five = (*deployment(5)).clone();
    if let ObservedState::Deployment(state) = &mut five.state {
        state.desired = 5;
    }
    let before = Arc::new(five);
    world.observed.deployment = Some(before.clone());
    assert_eq!(replicas(&world), None, "the build is as before");
    let [stop] = &to_stop(&world.observed)[..] else {
        panic!("nothing stops")
    };
    assert_eq!(stop.patch["spec"], json!({"replicas": 0}));
    world.observed.deployment = Some(merged(stop));
    assert_eq!((replicas(&world), to_stop(&world.observed)), (None, vec![]));
    world.cluster = None;
    let [restore] = &to_restore(&world.observed, false)[..] else {
        panic!("nothing is put back")
    };
    assert_eq!(merged(restore), before);
}

#[test]
fn an_own_suspension_outlasts_the_namespaces() {
    let mut world = suspended(&json!({"image": "own", "schedule": "0 9 * * *"}));
    world.observed.cron_jobs = vec![cron_job(0)];
    let stopped = merged(&to_stop(&world.observed)[0]);
    world.observed.cron_jobs = vec![stopped];
    let restored = merged(&to_restore(&world.observed, true)[0]);
    assert!(matches!(&restored.state, ObservedState::CronJob(state) if state.suspended));
    assert!(restored.annotations.get(annotations::SUSPENDED).is_none());
    let resumed = merged(&to_restore(&world.observed, false)[0]);
    assert!(matches!(&resumed.state, ObservedState::CronJob(state) if !state.suspended));
}

#[test]
fn of_runs_only_those_under_way_of_own_cron_jobs_end() {
    let mut world = suspended(&json!({"image": "own", "schedule": "0 9 * * *"}));
    let cron = cron_job(1);
    let of = |uid: &str, maker: &str, succeeded| {
        let state = JobState {
            succeeded,
            ..JobState::default()
        };
        let mut job = (*job(uid, state)).clone();
        job.controller = Some(Controller {
            kind: "CronJob".into(),
            name: "scout".into(),
            uid: maker.into(),
        });
        Arc::new(job)
    };
    world.observed.jobs = vec![
        of("running", &cron.uid, None),
        of("ended", &cron.uid, Some(true)),
        of("foreign", "somebody", None),
    ];
    world.observed.cron_jobs = vec![cron];
    let ended: Vec<String> = to_end(&world.observed)
        .iter()
        .map(|job| job.uid.clone())
        .collect();
    assert_eq!(ended, ["running"]);
}

#[test]
fn no_code_is_made_and_code_that_is_there_stays_active() {
    let mut world = suspended(&json!({"instructions": "x"}));
    assert_eq!(world.decide(), Decision::Suspended { current: None });
    let stored = world.store(&json!({}));
    assert_eq!(
        world.decide(),
        Decision::Run {
            code: stored.clone()
        }
    );
    world.patch(&json!({"instructions": "y"}));
    let current = Some(stored);
    assert_eq!(world.decide(), Decision::Suspended { current });
    assert_eq!(replicas(&world), Some(0));
}

#[test]
fn it_is_told_as_suspended_once_nothing_runs_whatever_its_spec_says() {
    use langop_api::agent::AgentPhase;
    let ready = |world: &World| {
        let status = world.status();
        let ready = crate::conditions::find(&status.conditions, "Ready").unwrap();
        let told = format!("{}/{}", ready.status, ready.reason);
        (status.phase, told, ready.message.clone())
    };
    let mut world = suspended(&json!({"image": "own"}));
    let running = PodState {
        phase: "Running".into(),
        ready: true,
        ..PodState::default()
    };
    world.observed.pods = vec![pod("ReplicaSet", running)];
    let (phase, told, _) = ready(&world);
    assert_eq!(
        (phase, &*told),
        (Some(AgentPhase::Pending), "False/Suspended")
    );
    world.observed.pods = vec![];
    world.patch(&json!({"timeZone": "Mars/Olympus"}));
    let (phase, told, message) = ready(&world);
    assert_eq!(
        (phase, &*told),
        (Some(AgentPhase::Suspended), "True/Suspended")
    );
    assert!(
        message.contains("LanguageCluster 'team'; when it goes on: "),
        "{message}"
    );
    assert!(message.contains("Mars/Olympus"), "{message}");
}
