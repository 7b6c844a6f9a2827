//! `langop-operator self-test`: an agent of its own is synthesized from end to end, by whatever runs in
//! the cluster, and deleted again. A client like any other: it shares nothing with the running operator.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt as _};
use langop_api::LanguageAgent;
use langop_api::condition::types::SYNTHESIZED;
use langop_api::names::labels;
use serde_json::json;

use crate::cli::SelfTestArgs;

/// The part of its name that does not change, for whoever finds one that was left behind.
const PREFIX: &str = "langop-self-test-";
const INSTRUCTIONS: &str = "Every Monday at 9:00, list the open questions of the week";

/// Creates the agent, waits for its code and returns it. The agent is deleted with or without code; one
/// whose test was killed stays, suspended.
///
/// # Errors
/// If the API server refuses, or there is no code in time; with what the agent's conditions say.
pub(crate) async fn run(args: &SelfTestArgs) -> Result<String> {
    let client = Client::try_default()
        .await
        .context("cannot reach the API server")?;
    let of_test = Test {
        agents: Api::namespaced(client.clone(), &args.namespace),
        code: Api::namespaced(client, &args.namespace),
    };
    let name = of_test
        .create()
        .await
        .with_context(|| format!("cannot create an agent in namespace '{}'", args.namespace))?;
    let code = of_test.code(&name, args.timeout.unsigned_abs()).await;
    let in_background = DeleteParams::background();
    let deleted = of_test.agents.delete(&name, &in_background).await;
    let deleted =
        deleted.with_context(|| format!("cannot delete agent '{name}'; delete it with kubectl"));
    match (code, deleted) {
        (Ok(code), Ok(_)) => Ok(code),
        (Err(why), Ok(_)) | (Ok(_), Err(why)) => Err(why),
        (Err(why), Err(left)) => Err(why.context(format!("{left:#}"))),
    }
}

struct Test {
    agents: Api<LanguageAgent>,
    code: Api<ConfigMap>,
}

impl Test {
    /// It never runs: it is suspended, and has neither tools nor models.
    async fn create(&self) -> Result<String> {
        let agent: LanguageAgent = serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1",
            "kind": "LanguageAgent",
            "metadata": {"generateName": PREFIX},
            "spec": {"instructions": INSTRUCTIONS, "suspend": true},
        }))?;
        let created = self.agents.create(&PostParams::default(), &agent).await?;
        Ok(created.name_any())
    }

    async fn code(&self, name: &str, within: Duration) -> Result<String> {
        let is_synthesized = |agent: Option<&LanguageAgent>| agent.is_some_and(is_synthesized);
        let awaited = await_condition(self.agents.clone(), name, is_synthesized).boxed();
        match tokio::time::timeout(within, awaited).await {
            Ok(agent) => agent.with_context(|| format!("cannot watch agent '{name}'"))?,
            Err(_) => bail!("no code after {within:?}: {}", self.conditions(name).await),
        };
        let of_agent = ListParams::default().labels(&format!("{}={name}", labels::AGENT));
        let maps = self.code.list(&of_agent).await;
        let maps = maps.context("cannot list ConfigMaps")?;
        let mut codes = maps
            .into_iter()
            .filter_map(|map| map.data?.remove("agent.rb"));
        codes
            .next()
            .with_context(|| format!("no ConfigMap holds the code of agent '{name}'"))
    }

    /// What its conditions say, for a person.
    async fn conditions(&self, name: &str) -> String {
        let agent = match self.agents.get(name).await {
            Ok(agent) => agent,
            Err(error) => return error.to_string(),
        };
        let conditions = agent.status.map(|status| status.conditions);
        let said: Vec<_> = conditions
            .into_iter()
            .flatten()
            .map(|one| {
                format!(
                    "{}={} {}: {}",
                    one.type_, one.status, one.reason, one.message
                )
            })
            .collect();
        if said.is_empty() {
            return "the agent has no status, so no operator works in this namespace; see the log of \
                    the operator's pods"
                .to_owned();
        }
        said.join("; ")
    }
}

fn is_synthesized(agent: &LanguageAgent) -> bool {
    let status = agent.status.as_ref();
    let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
    conditions.any(|one| one.type_ == SYNTHESIZED && one.status == "True")
}
