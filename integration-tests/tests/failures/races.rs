//! Somebody makes an object of a child's name between the operator's look and its write: it stays
//! theirs, in each of many races.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service, networking::v1::NetworkPolicy};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use langop_api::{LanguageModel, LanguageTool};
use langop_integration_tests::{FaultMode, fault_proxy::FOREIGN, wait};
use serde_json::{Value, json};

use crate::fault_env::{FaultEnv, SOON};

/// Races for each kind of child; there are four kinds.
const RACES: usize = 125;
/// Applied at once.
const AT_ONCE: usize = 16;

#[tokio::test]
async fn none_of_five_hundred_races_takes_over_what_somebody_made() {
    let env = FaultEnv::new("races", 21).await;
    let tool = json!({
        "image": "registry.example/mail:1", "replicas": 0,
        "egress": [{"cidr": "198.51.100.0/24", "ports": [{"port": 443}]}],
    });
    let model = json!({
        "provider": "anthropic", "model": "m", "replicas": 0, "apiKeySecretRef": {"name": "key"},
    });
    for (part, prefix, kind, spec) in [
        ("/networkpolicies/", "policy", "LanguageTool", &tool),
        ("/services/", "service", "LanguageTool", &tool),
        ("/deployments/", "deployment", "LanguageTool", &tool),
        ("/configmaps/", "config", "LanguageModel", &model),
    ] {
        env.proxy.set(FaultMode::Raced(part));
        let names = (0..RACES).map(|nth| format!("{prefix}-{nth}"));
        let made = stream::iter(names).for_each_concurrent(AT_ONCE, async |name| {
            env.apply_spec(kind, &name, spec).await;
        });
        made.await;
        let all = wait::until("a word about each conflict", SOON, async || {
            let told = conflicts(&env, kind, prefix).await;
            if told == RACES {
                Ok(())
            } else {
                Err(format!("{told} of {RACES}"))
            }
        });
        all.await.unwrap();
        env.heal();
    }
    let raced = env.proxy.tally()["raced"];
    assert_eq!(usize::try_from(raced).unwrap(), 4 * RACES);
    let of_others = of_others(&env).await;
    assert_eq!(of_others.len(), 4 * RACES);
    for (name, owners) in of_others {
        assert_eq!(owners, 0, "{name} was taken over");
    }

    // Nor does it go with who wanted its name.
    let all = ListParams::default();
    let at_once = DeleteParams::default();
    let tools = env.ns.api::<LanguageTool>();
    tools.delete_collection(&at_once, &all).await.unwrap();
    let models = env.ns.api::<LanguageModel>();
    models.delete_collection(&at_once, &all).await.unwrap();
    let gone = wait::until("the end of what was ours", SOON, async || {
        let ours = env.list::<Service>().await;
        ours.iter().all(is_foreign).then_some(())
    });
    gone.await.unwrap();
    assert_eq!(self::of_others(&env).await.len(), 4 * RACES);
}

/// How many of these say that their name is taken.
async fn conflicts(env: &FaultEnv, kind: &str, prefix: &str) -> usize {
    let statuses: Vec<(String, Value)> = if kind == "LanguageTool" {
        let tools = env.list::<LanguageTool>().await;
        let status = |tool: LanguageTool| (tool.name_any(), json!(tool.status));
        tools.into_iter().map(status).collect()
    } else {
        let models = env.list::<LanguageModel>().await;
        let status = |model: LanguageModel| (model.name_any(), json!(model.status));
        models.into_iter().map(status).collect()
    };
    let is_told = |(name, status): &(String, Value)| {
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        name.starts_with(prefix)
            && conditions
                .iter()
                .any(|condition| condition["reason"] == "NameConflict")
    };
    statuses.iter().filter(|status| is_told(status)).count()
}

fn is_foreign(object: &impl kube::Resource) -> bool {
    object.labels().contains_key(FOREIGN)
}

/// Names of what somebody else made, and how many owners each has.
async fn of_others(env: &FaultEnv) -> Vec<(String, usize)> {
    fn of<K: kube::Resource>(objects: Vec<K>) -> impl Iterator<Item = (String, usize)> {
        let theirs = objects.into_iter().filter(is_foreign);
        theirs.map(|object| (object.name_any(), object.owner_references().len()))
    }
    let maps = env.list::<k8s_openapi::api::core::v1::ConfigMap>().await;
    of(env.list::<NetworkPolicy>().await)
        .chain(of(env.list::<Service>().await))
        .chain(of(env.list::<Deployment>().await))
        .chain(of(maps))
        .collect()
}

/// Longer than the operator waits before it tells of what fails, and shorter than the minute within
/// which it must.
const WITHIN: Duration = Duration::from_mins(1);

const WORDS: &str = "failed calling webhook \"policy.example\": connection refused";

#[tokio::test]
async fn what_a_broken_webhook_keeps_from_progress_says_so_in_its_words() {
    let env = FaultEnv::new("webhook", 22).await;
    env.proxy.set(FaultMode::Broken("/deployments/", WORDS));
    env.agent("waits", "wait").await;
    let client = json!({"image": "registry.example/chat:1"});
    env.apply_spec("LanguageClient", "chat", &client).await;
    let told = wait::until("a word of the webhook", WITHIN, async || {
        let lists = [
            json!(env.list::<langop_api::LanguageAgent>().await),
            json!(env.list::<LanguageTool>().await),
            json!(env.list::<LanguageModel>().await),
            json!(env.list::<langop_api::LanguageClient>().await),
        ];
        let all = lists
            .iter()
            .flat_map(|list| list.as_array().cloned().unwrap_or_default());
        let silent: Vec<String> = all
            .filter(|object| !is_told(object))
            .map(|object| object["metadata"]["name"].to_string())
            .collect();
        if silent.is_empty() {
            Ok(())
        } else {
            Err(silent.join(", "))
        }
    });
    told.await.unwrap();
    env.heal();
    env.until_converged().await;
}

/// Whether it says that it is at work, and what the API server says.
fn is_told(object: &Value) -> bool {
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions.iter().any(|condition| {
        condition["type"] == "Reconciling"
            && condition["reason"] == "ApplyFailed"
            && condition["message"]
                .as_str()
                .is_some_and(|said| said.contains(WORDS))
    })
}
