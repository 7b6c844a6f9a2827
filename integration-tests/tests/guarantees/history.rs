//! All states that an object went through, not only those a test happens to see.

use futures::TryStreamExt as _;
use kube::{
    ResourceExt as _,
    api::{WatchEvent, WatchParams},
};
use langop_api::LanguageAgent;

use langop_integration_tests::env::{TestEnv, condition};

/// The agent's states from this one to the present one. The API server remembers them, so the watch
/// begins in the past and misses none.
pub(crate) async fn since(env: &TestEnv, from: &LanguageAgent) -> Vec<LanguageAgent> {
    let (api, name) = (env.ns.api::<LanguageAgent>(), from.name_any());
    let present = api.get(&name).await.unwrap().resource_version();
    let only = WatchParams::default()
        .fields(&format!("metadata.name={name}"))
        .timeout(60);
    let version = from.resource_version().unwrap();
    let mut events = Box::pin(api.watch(&only, &version).await.unwrap());
    let mut states = vec![from.clone()];
    while states.last().unwrap().resource_version() != present {
        match events.try_next().await.unwrap() {
            Some(WatchEvent::Added(state) | WatchEvent::Modified(state)) => states.push(state),
            other => panic!("no state of {name}: {other:?}"),
        }
    }
    states
}

/// The values that a condition's status had, one after the other.
pub(crate) fn transitions(states: &[LanguageAgent], type_: &str) -> Vec<String> {
    let value = |state| condition(state, type_).map(|condition| condition.status.clone());
    let mut values: Vec<String> = states.iter().filter_map(value).collect();
    values.dedup();
    values
}
