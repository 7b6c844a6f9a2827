//! Stops agents and lets them go on: those that are named, or a whole namespace by its
//! LanguageCluster.

use clap::Args;
use kube::ResourceExt as _;
use langop_api::LanguageCluster;
use langop_desired::cluster::{is_namespace_denied, namespace_of};
use serde_json::json;

use crate::{
    answer::Answer,
    failure::Failure,
    kind::Kind,
    ui::{ask::is_confirmed, format::agent_names},
    world::World,
};

/// What `suspend` and `resume` take.
#[derive(Clone, Debug, Args)]
pub(crate) struct SuspendArgs {
    /// The agents
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) agents: Vec<String>,
    /// Every agent of the namespace, by its LanguageCluster; asks first
    #[arg(long)]
    pub(crate) all: bool,
    /// Does not ask
    #[arg(short, long, requires = "all")]
    pub(crate) yes: bool,
}

/// Stops agents, or lets them go on.
pub(crate) async fn suspend(
    world: &World,
    args: &SuspendArgs,
    is_suspended: bool,
) -> Result<Answer, Failure> {
    if args.all {
        return suspend_all(world, args.yes, is_suspended).await;
    }
    let mut answer = Answer::fine("");
    let did = done(is_suspended);
    for agent in &args.agents {
        let patch = json!({"spec": {"suspend": is_suspended}});
        world.patch(Kind::Agent, agent, &patch).await?;
        answer.text += &agent_names(std::iter::once(format!("{agent} {did}").as_str()));
    }
    Ok(answer)
}

const fn done(is_suspended: bool) -> &'static str {
    if is_suspended { "suspended" } else { "resumed" }
}

async fn suspend_all(
    world: &World,
    is_asked_for: bool,
    is_suspended: bool,
) -> Result<Answer, Failure> {
    let clusters = world.clusters().await?;
    let Some(cluster) = managing(&world.namespace, &clusters) else {
        return Err(without_cluster(&world.namespace, is_suspended));
    };
    let name = cluster.name_any();
    if (cluster.spec.suspend == Some(true)) == is_suspended {
        return Ok(Answer::fine(format!(
            "languagecluster.langop.io/{name} {} (unchanged)\n",
            done(is_suspended)
        )));
    }
    let agents = world.list(Kind::Agent, false).await?.len();
    let question = question(&world.namespace, &name, agents, is_suspended);
    let help = "write --yes to do it without being asked";
    if !is_asked_for && !is_confirmed(&question, help)? {
        return Err(Failure::told(
            "nothing was changed",
            "answer y, or write --yes",
        ));
    }
    world.suspend_cluster(&name, is_suspended).await?;
    Ok(Answer::fine(format!(
        "languagecluster.langop.io/{name} {}\n",
        done(is_suspended)
    )))
}

/// The LanguageCluster of a namespace: of several, the oldest.
fn managing<'a>(namespace: &str, clusters: &'a [LanguageCluster]) -> Option<&'a LanguageCluster> {
    clusters
        .iter()
        .filter(|cluster| namespace_of(cluster) == namespace && !is_namespace_denied(cluster))
        .min_by_key(|cluster| (cluster.creation_timestamp(), cluster.name_any()))
}

fn without_cluster(namespace: &str, is_suspended: bool) -> Failure {
    let verb = if is_suspended { "suspend" } else { "resume" };
    Failure::told(
        format!(
            "namespace '{namespace}' has no LanguageCluster, which is what suspends it as a whole"
        ),
        format!(
            "make one with spec.namespace: {namespace}, or {verb} agents by name: `kubectl langop -n {namespace} {verb} $(kubectl -n {namespace} get lagent -o jsonpath='{{.items[*].metadata.name}}')`"
        ),
    )
}

fn question(namespace: &str, cluster: &str, agents: usize, is_suspended: bool) -> String {
    let agents = match agents {
        1 => "1 agent".to_owned(),
        number => format!("{number} agents"),
    };
    if is_suspended {
        format!(
            "Stop {agents} of namespace '{namespace}' by LanguageCluster '{cluster}'? Pods and runs under way end, and nothing is synthesized."
        )
    } else {
        format!(
            "Let {agents} of namespace '{namespace}' go on by LanguageCluster '{cluster}'? Those with a suspend of their own stay suspended."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, namespace: Option<&str>, created: &str) -> LanguageCluster {
        serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageCluster",
            "metadata": {"name": name, "creationTimestamp": created}, "spec": {"namespace": namespace},
        }))
        .unwrap()
    }

    #[test]
    fn a_namespace_is_its_oldest_cluster_s() {
        let clusters = [
            cluster("late", Some("demo"), "2026-11-02T00:00:00Z"),
            cluster("early", Some("demo"), "2026-11-01T00:00:00Z"),
            cluster("other", None, "2026-10-01T00:00:00Z"),
        ];
        let of = |namespace| managing(namespace, &clusters).map(kube::ResourceExt::name_any);
        assert_eq!(of("demo").as_deref(), Some("early"));
        assert_eq!(of("other").as_deref(), Some("other"));
        assert_eq!(of("free"), None);
    }

    #[test]
    fn without_a_cluster_it_says_what_to_do() {
        let told = without_cluster("free", true).render();
        assert!(
            told.contains("make one with spec.namespace: free"),
            "{told}"
        );
        assert!(told.contains("langop -n free suspend $("), "{told}");
    }

    #[test]
    fn the_question_says_what_happens_to_how_many() {
        let asked = question("demo", "team", 12, true);
        assert!(
            asked.starts_with("Stop 12 agents of namespace 'demo'"),
            "{asked}"
        );
        let asked = question("demo", "team", 1, false);
        assert!(asked.starts_with("Let 1 agent of"), "{asked}");
    }
}
