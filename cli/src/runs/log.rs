//! Reads the logs of an agent's pods.

use clap::Args;
use futures::future;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{ListParams, LogParams},
};
use langop_api::names::labels;

use super::lines::Line;
use crate::{answer::Answer, failure::Failure, kind::Kind, world::World};

/// What `logs` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogsArgs {
    /// The agent
    pub(crate) agent: String,
    /// Only what this step of its code wrote
    #[arg(long, value_name = "NAME")]
    pub(crate) step: Option<String>,
    /// Lines of each pod, the last ones
    #[arg(long, default_value_t = 200, value_name = "NUMBER")]
    pub(crate) tail: i64,
}

/// Logs of all its pods, the oldest pod first.
pub(crate) async fn run(world: &World, args: &LogsArgs) -> Result<Answer, Failure> {
    let pods = pods(world, &args.agent).await?;
    if pods.is_empty() {
        world.get(Kind::Agent, &args.agent).await?;
        let mut answer = Answer::fine("");
        answer.notes = format!(
            "agent '{}' has no pods now; `kubectl langop history {}` shows its past runs\n",
            args.agent, args.agent
        );
        return Ok(answer);
    }
    let texts = future::join_all(pods.iter().map(|pod| log_of(world, pod, args.tail))).await;
    let mut answer = Answer::fine("");
    for (pod, text) in pods.iter().zip(texts) {
        match text {
            Ok(text) => answer.text += &lines(pod, &text, args, pods.len() > 1),
            // A pod that has not begun has no log yet.
            Err(failure) => answer.notes += &failure.render(),
        }
    }
    Ok(answer)
}

fn lines(pod: &Pod, text: &str, args: &LogsArgs, are_several: bool) -> String {
    let name = pod.name_any();
    let lines = text.lines().map(Line::of);
    let lines = lines.filter(|line| args.step.as_deref().is_none_or(|step| line.is_of(step)));
    let lines: Vec<String> = lines
        .map(|line| line.render(are_several.then_some(&name)))
        .collect();
    lines.concat()
}

async fn pods(world: &World, agent: &str) -> Result<Vec<Pod>, Failure> {
    let ours = ListParams::default().labels(&format!("{}={agent}", labels::AGENT));
    let found = world.typed::<Pod>().list(&ours).await;
    let act = format!("list pods of agent '{agent}'");
    let mut pods = found.map_err(|error| Failure::of_call(act, &error))?.items;
    pods.sort_by_key(Pod::creation_timestamp);
    Ok(pods)
}

/// Of its first container, which is the agent's.
async fn log_of(world: &World, pod: &Pod, tail: i64) -> Result<String, Failure> {
    let name = pod.name_any();
    let containers = pod.spec.as_ref().map(|spec| &spec.containers);
    let first = containers.and_then(|containers| containers.first());
    let params = LogParams {
        container: first.map(|container| container.name.clone()),
        tail_lines: Some(tail),
        ..LogParams::default()
    };
    let found = world.typed::<Pod>().logs(&name, &params).await;
    found.map_err(|error| Failure::of_call(format!("read the log of pod '{name}'"), &error))
}
