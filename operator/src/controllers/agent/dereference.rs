//! Fetches what a reconcile of an agent starts from: references, namesakes, its LanguageCluster and its live children. All of it from
//! memory, but for the names of an agent that has nothing yet: those are looked up before anything is spent on it.

use std::sync::Arc;

use kube::{Resource as _, ResourceExt as _};
use langop_api::{LanguageAgent, agent::ExecutionMode, names::labels};
use langop_desired::{
    agent::{AgentContext, ClusterView, ObservedAgent, child_names, claim_name},
    cluster,
    meta::Owner,
    namesake::NamedKind,
    observed::{ChildKind, Facts, Observed},
    references::References,
};

use crate::{
    apply::{self, Free},
    context::Context,
    dereference::InNamespace,
    error::ReconcileError,
    index::Key,
    ownership::Obstacle,
};

/// Everything that is known of an agent's surroundings.
pub(super) async fn context<'a>(
    ctx: &Context,
    agent: &'a LanguageAgent,
    owner: &Owner,
    free: &mut Free,
) -> Result<AgentContext<'a>, ReconcileError> {
    let namespace = agent.namespace().unwrap_or_default();
    let source = InNamespace::new(ctx, &namespace);
    let spec = &agent.spec;
    let mut observed = observed(ctx, agent);
    if is_new(&observed)
        && spec
            .workspace
            .as_ref()
            .is_some_and(|workspace| workspace.enabled)
    {
        // One that was kept, or somebody else's: validation decides.
        let key = Key::new(
            ChildKind::PersistentVolumeClaim,
            &namespace,
            &claim_name(&owner.name),
        );
        observed.claim = apply::look(ctx, free, &key).await?;
    }
    Ok(AgentContext {
        agent,
        references: References::resolve(
            &spec.tool_refs,
            &spec.model_refs,
            spec.persona_ref.as_ref(),
            &source,
        ),
        cluster: cluster(ctx, &namespace),
        namesakes: source.namesakes(NamedKind::Agent, agent),
        observed,
    })
}

/// Whether nothing was written for it yet: its policy is the first.
fn is_new(observed: &ObservedAgent) -> bool {
    observed.network_policy.is_none()
}

/// The live children.
pub(super) fn observed(ctx: &Context, agent: &LanguageAgent) -> ObservedAgent {
    let metadata = agent.meta();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (namespace, name, uid) = (
        &text(&metadata.namespace),
        &text(&metadata.name),
        &text(&metadata.uid),
    );
    let created = metadata.creation_timestamp.as_ref();
    let ours = |observed: &Arc<Observed>| {
        observed
            .controller
            .as_ref()
            .is_some_and(|controller| controller.uid == *uid)
    };
    let child = |kind| ctx.index.get(kind, namespace, name).filter(ours);
    let codes = ctx
        .index
        .controlled_by(uid)
        .into_iter()
        .filter(|child| matches!(child.facts, Facts::Code(_)));
    ObservedAgent {
        deployment: child(ChildKind::Deployment),
        cron_job: child(ChildKind::CronJob),
        network_policy: child(ChildKind::NetworkPolicy),
        claim: ctx.index.get(
            ChildKind::PersistentVolumeClaim,
            namespace,
            &claim_name(name),
        ),
        codes: codes.collect(),
        pods: ctx
            .index
            .labelled(labels::AGENT, namespace, name, ChildKind::Pod),
        jobs: ctx
            .index
            .labelled(labels::AGENT, namespace, name, ChildKind::Job),
        conflicts: Vec::new(),
        since: created.map(|time| time.0.to_string()).unwrap_or_default(),
    }
}

/// The LanguageCluster that frames a namespace.
fn cluster(ctx: &Context, namespace: &str) -> Option<ClusterView> {
    let clusters = ctx.stores.clusters.list(None);
    let seen = clusters.iter().map(|cluster| cluster::Seen {
        metadata: cluster.meta(),
        cluster: cluster.0.as_ref().ok(),
    });
    let live = ctx.index.get(ChildKind::Namespace, "", namespace);
    let label = live
        .as_ref()
        .and_then(|live| live.labels.get(labels::CLUSTER));
    cluster::framing(namespace, label, seen)
}

/// What keeps the agent from its children's names, if anything. Names that the index does not know are asked for only of an agent that has
/// nothing yet, before anything is spent on it; later ones are asked for before each creation.
pub(super) async fn obstacle(
    ctx: &Context,
    owner: &Owner,
    context: &AgentContext<'_>,
    free: &mut Free,
) -> Result<Option<Obstacle>, ReconcileError> {
    let namespace = context.agent.namespace().unwrap_or_default();
    let is_new = is_new(&context.observed);
    let mode = context.agent.spec.execution_mode;
    // Where the spec says the mode, only one of the two is.
    let may_be_written = |kind| match kind {
        ChildKind::CronJob => mode != Some(ExecutionMode::Autonomous),
        ChildKind::Deployment => mode != Some(ExecutionMode::Scheduled),
        _ => true,
    };
    let keys = child_names(&owner.name)
        .into_iter()
        // What a claim may be is decided by validation.
        .filter(|(kind, _)| *kind != ChildKind::PersistentVolumeClaim)
        .map(|(kind, name)| Key {
            kind,
            namespace: namespace.clone(),
            name,
        })
        .filter(|key| {
            let is_known = ctx.index.get(key.kind, &key.namespace, &key.name).is_some();
            is_known || is_new && may_be_written(key.kind)
        });
    apply::obstacle_at(ctx, owner, &keys.collect::<Vec<_>>(), free).await
}
