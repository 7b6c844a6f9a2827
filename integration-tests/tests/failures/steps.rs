//! kill -9 after each write of what the operator does for a user, and resume: the same end state,
//! at the same price.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, PersistentVolumeClaim},
};
use kube::{ResourceExt, api::DeleteParams};
use langop_api::{LanguageAgent, LanguagePersona};
use langop_integration_tests::{FaultMode, wait};
use serde_json::json;

use crate::fault_env::{FaultEnv, SOON};

/// Has the user `act` again and again (for the n-th time, from 0), and kills the operator one write
/// later each time, until it needs no more writes than that. Each time costs `price` calls of the
/// LLM, since the synthesizer lives. Returns how many writes it needs.
async fn killed_at_each_write(
    env: &mut FaultEnv,
    price: u32,
    mut act: impl AsyncFnMut(&FaultEnv, u32),
) -> u32 {
    env.until_settled().await;
    let before = env.account.total();
    let mut step = 0;
    loop {
        env.proxy.set(FaultMode::Writes(step));
        act(env, step).await;
        // Either the write after that many is cut, or the operator needs no more.
        let is_cut = wait::until("a cut, or the end of its work", SOON, async || {
            match env.proxy.mode() {
                FaultMode::Cut(_) => Some(true),
                _ => env.wrong().await.is_empty().then_some(false),
            }
        });
        let is_cut = is_cut.await.unwrap();
        what_runs_has_its_code(env).await;
        env.kill_operator().await;
        env.heal();
        env.operator.start_again().await.unwrap();
        env.until_converged().await;
        let demands = before + price * (step + 1);
        env.account.audit(demands);
        assert_eq!(env.account.total(), demands, "after write {step}");
        if !is_cut {
            break;
        }
        step += 1;
    }
    env.until_settled().await;
    step
}

/// Every Deployment of an agent that exists mounts code that exists.
async fn what_runs_has_its_code(env: &FaultEnv) {
    let agents = env.list::<LanguageAgent>().await;
    let agents: BTreeSet<_> = agents.into_iter().filter_map(|agent| agent.uid()).collect();
    let deployments = env.list::<Deployment>().await;
    let maps = env.list::<ConfigMap>().await;
    let maps: BTreeSet<_> = maps.iter().map(ResourceExt::name_any).collect();
    for deployment in deployments {
        let mut owners = deployment.owner_references().iter();
        if !owners.any(|owner| agents.contains(&owner.uid)) {
            continue;
        }
        let name = deployment.name_any();
        let pod = deployment.spec.unwrap().template.spec.unwrap();
        let mut volumes = pod.volumes.into_iter().flatten();
        let mounted = volumes.find_map(|volume| Some(volume.config_map?.name));
        let mounted = mounted.expect("every agent here has code");
        assert!(maps.contains(&mounted), "{name} mounts {mounted}");
    }
}

/// How the spec says that an agent runs at a time when no test runs.
fn yearly() -> serde_json::Value {
    json!({"executionMode": "scheduled", "schedule": "0 0 1 1 *"})
}

#[tokio::test]
async fn of_an_agent_that_is_made() {
    let mut env = FaultEnv::new("made", 3).await;
    env.agent("first", "be the first").await;
    let steps = killed_at_each_write(&mut env, 1, async |env, step| {
        let name = format!("agent-{step}");
        env.agent(&name, &format!("be number {step}")).await;
    });
    let steps = steps.await;
    assert!(steps > 5, "an agent needs more writes than {steps}");
    for step in 0..=steps {
        assert_eq!(env.revisions(&format!("agent-{step}")).await.len(), 1);
    }
}

#[tokio::test]
async fn of_a_scheduled_agent_that_is_made() {
    let mut env = FaultEnv::new("scheduled", 6).await;
    let steps = killed_at_each_write(&mut env, 1, async |env, step| {
        let mut spec = yearly();
        spec["instructions"] = format!("be number {step}").into();
        let name = format!("agent-{step}");
        env.apply_spec("LanguageAgent", &name, &spec).await;
    });
    let steps = steps.await;
    assert!(steps > 4, "an agent needs more writes than {steps}");
}

#[tokio::test]
async fn of_an_edit_of_the_instructions() {
    let mut env = FaultEnv::new("edits", 4).await;
    env.agent("walker", "walk the dog").await;
    let steps = killed_at_each_write(&mut env, 1, async |env, step| {
        let spec = json!({"instructions": format!("walk dog {step}")});
        env.patch::<LanguageAgent>("walker", json!({"spec": spec}))
            .await;
    });
    let steps = steps.await;
    assert!(steps > 3, "an edit needs more writes than {steps}");
}

#[tokio::test]
async fn of_a_new_synthesis_that_somebody_asks_for() {
    let mut env = FaultEnv::new("again", 7).await;
    env.agent("walker", "walk the dog").await;
    let steps = killed_at_each_write(&mut env, 1, async |env, step| {
        let annotations = json!({"langop.io/resynthesize": format!("no {step}")});
        let patch = json!({"metadata": {"annotations": annotations}});
        env.patch::<LanguageAgent>("walker", patch).await;
    });
    let steps = steps.await;
    assert!(steps > 3, "new code needs more writes than {steps}");
}

/// An agent with two revisions of its code, the second of other instructions.
async fn with_two_revisions(env: &FaultEnv) {
    env.agent("walker", "walk the dog").await;
    env.until_settled().await;
    let other = json!({"spec": {"instructions": "walk the cat"}});
    env.patch::<LanguageAgent>("walker", other).await;
}

#[tokio::test]
async fn of_a_pin_and_its_end() {
    let mut env = FaultEnv::new("pins", 11).await;
    with_two_revisions(&env).await;
    let steps = killed_at_each_write(&mut env, 0, async |env, step| {
        let revision = (step % 2 == 0).then_some(1);
        let spec = json!({"synthesis": {"revision": revision}});
        env.patch::<LanguageAgent>("walker", json!({"spec": spec}))
            .await;
    });
    let steps = steps.await;
    assert!(steps > 2, "a pin needs more writes than {steps}");
}

#[tokio::test]
async fn of_a_return_to_instructions_whose_code_is_stored() {
    let mut env = FaultEnv::new("returns", 12).await;
    with_two_revisions(&env).await;
    let steps = killed_at_each_write(&mut env, 0, async |env, step| {
        let whom = if step % 2 == 0 { "dog" } else { "cat" };
        let spec = json!({"instructions": format!("walk the {whom}")});
        env.patch::<LanguageAgent>("walker", json!({"spec": spec}))
            .await;
    });
    let steps = steps.await;
    assert!(steps > 2, "a return needs more writes than {steps}");
}

#[tokio::test]
async fn of_a_switch_of_the_mode() {
    let mut env = FaultEnv::new("switches", 8).await;
    env.agent("walker", "walk the dog").await;
    let steps = killed_at_each_write(&mut env, 0, async |env, step| {
        let spec = match step % 2 {
            0 => yearly(),
            _ => json!({"executionMode": "autonomous", "schedule": null}),
        };
        env.patch::<LanguageAgent>("walker", json!({"spec": spec}))
            .await;
    });
    let steps = steps.await;
    assert!(steps > 3, "a switch needs more writes than {steps}");
}

#[tokio::test]
async fn of_a_changed_persona_whose_agents_roll_once_each_time() {
    let mut env = FaultEnv::new("persona", 9).await;
    let ada = json!({"description": "Ada"});
    env.apply_spec("LanguagePersona", "ada", &ada).await;
    let walker = json!({"instructions": "walk the dog", "personaRef": {"name": "ada"}});
    env.apply_spec("LanguageAgent", "walker", &walker).await;
    env.until_settled().await;
    let rolled = async |env: &FaultEnv| {
        let deployment = env.ns.api::<Deployment>().get("walker").await.unwrap();
        deployment.metadata.generation.unwrap()
    };
    let before = rolled(&env).await;
    let steps = killed_at_each_write(&mut env, 1, async |env, step| {
        let spec = json!({"description": format!("Ada, version {step}")});
        env.patch::<LanguagePersona>("ada", json!({"spec": spec}))
            .await;
    });
    let steps = steps.await;
    assert!(steps > 3, "a persona needs more writes than {steps}");
    let changes = i64::from(steps) + 1;
    assert_eq!(rolled(&env).await, before + changes);
}

#[tokio::test]
async fn of_an_agent_that_comes_back_to_its_workspace() {
    let mut env = FaultEnv::new("workspace", 10).await;
    let spec = json!({"instructions": "walk the dog", "workspace": {"storage": "1Gi"}});
    env.apply_spec("LanguageAgent", "walker", &spec).await;
    env.until_settled().await;
    let claim = async |env: &FaultEnv| {
        let claims = env.ns.api::<PersistentVolumeClaim>();
        claims.get("walker-workspace").await.unwrap().uid()
    };
    let before = claim(&env).await;
    // The code is cached.
    let steps = killed_at_each_write(&mut env, 0, async |env, _| {
        let agents = env.ns.api::<LanguageAgent>();
        let params = DeleteParams::default();
        agents.delete("walker", &params).await.unwrap();
        env.apply_spec("LanguageAgent", "walker", &spec).await;
    });
    let steps = steps.await;
    assert!(steps > 4, "an agent needs more writes than {steps}");
    assert_eq!(claim(&env).await, before);
}
