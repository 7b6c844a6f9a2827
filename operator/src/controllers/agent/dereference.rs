//! Fetches what a reconcile of an agent starts from: references, namesakes, its LanguageCluster and
//! its live children. All of it from memory, but for the names of an agent that has nothing yet:
//! those are looked up before anything is spent on it.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};
use langop_api::{
    LanguageAgent, LanguageAgentStatus,
    agent::{ExecutionMode, SynthesisInfo},
    names::{annotations, labels},
};
use langop_desired::{
    agent::{AgentContext, ObservedAgent, child_names, claim_name, known},
    meta::Owner,
    name_conflict::NamedKind,
    observed::{ChildKind, Observed, ObservedState},
    references::References,
    runners::{is_pod_of, is_run_of},
};

use crate::{
    cache::index::Key,
    context::Context,
    controllers::namespace::NamespaceView,
    error::{ReconcileError, Stopped},
    synthesis::attest,
    write::{look::KnownAbsent, ownership::OwnershipConflict},
};

/// The status so far.
pub(super) fn previous(agent: &LanguageAgent) -> LanguageAgentStatus {
    agent.status.clone().unwrap_or_default()
}

/// Everything that is known of an agent's surroundings, if its names are its own.
pub(super) async fn dereference<'a>(
    ctx: &Context,
    agent: &'a LanguageAgent,
    owner: &Owner,
    absent: &mut KnownAbsent,
) -> Result<AgentContext<'a>, Stopped> {
    let context = context(ctx, agent, owner, absent).await?;
    names_are_free(ctx, owner, &context, absent).await?;
    Ok(context)
}

/// Everything that is known of an agent's surroundings.
pub(super) async fn context<'a>(
    ctx: &Context,
    agent: &'a LanguageAgent,
    owner: &Owner,
    absent: &mut KnownAbsent,
) -> Result<AgentContext<'a>, ReconcileError> {
    let namespace = agent.namespace().unwrap_or_default();
    let source = NamespaceView::new(ctx, &namespace);
    let spec = &agent.spec;
    let mut observed = observed(ctx, &agent.metadata);
    if is_new(&observed) && has_workspace(agent) {
        // It was kept, or has another owner: validation decides.
        let key = Key::new(
            ChildKind::PersistentVolumeClaim,
            &namespace,
            &claim_name(&owner.name),
        );
        observed.claim = ctx.writer.get_live(absent, &key).await?;
    }
    Ok(AgentContext {
        agent,
        references: References::resolve(
            &spec.tool_refs,
            &spec.model_refs,
            spec.persona_ref.as_ref(),
            &source,
        ),
        cluster: source.managing_cluster(),
        same_name: source.same_name(NamedKind::Agent, agent),
        observed,
    })
}

fn has_workspace(agent: &LanguageAgent) -> bool {
    let workspace = agent.spec.workspace.as_ref();
    workspace.is_some_and(|workspace| workspace.enabled)
}

/// Whether nothing was written for it yet: its policy is the first.
fn is_new(observed: &ObservedAgent) -> bool {
    observed.network_policy.is_none()
}

/// The live children; of the stored code, only what the record knows, and the record then knows all
/// of it.
pub(super) fn recognised(
    ctx: &Context,
    agent: &LanguageAgent,
    mut info: SynthesisInfo,
) -> (SynthesisInfo, ObservedAgent) {
    let mut observed = observed(ctx, &agent.metadata);
    let uid = agent.meta().uid.clone().unwrap_or_default();
    let key = info.attempt_key.clone();
    known::recognise(&mut observed, &mut info, |stored, content| {
        let signature = stored.annotations.get(annotations::ATTESTATION);
        key.as_deref()
            .zip(signature)
            .is_some_and(|(key, signature)| attest::is_signed(key, &uid, content, signature))
    });
    (info, observed)
}

/// The live children.
pub(super) fn observed(ctx: &Context, metadata: &ObjectMeta) -> ObservedAgent {
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
    let child = |kind| ctx.cache.index.get(kind, namespace, name).filter(ours);
    let own = ctx.cache.index.controlled_by(uid);
    let of_kind = |kind| own.iter().filter(move |child| child.kind == kind).cloned();
    let mut cron_jobs: Vec<_> = of_kind(ChildKind::CronJob).collect();
    cron_jobs.sort_by(|one, other| one.name.cmp(&other.name));
    let labelled = |kind| {
        ctx.cache
            .index
            .labelled(labels::AGENT, namespace, name, kind)
    };
    let mut jobs = labelled(ChildKind::Job);
    jobs.retain(|job| is_run_of(job, name, &cron_jobs));
    let mut pods = labelled(ChildKind::Pod);
    pods.retain(|pod| is_pod_of(pod, name, &jobs));
    let revisions = of_kind(ChildKind::ConfigMap)
        .filter(|child| matches!(child.state, ObservedState::Code(_)))
        .collect();
    ObservedAgent {
        deployment: child(ChildKind::Deployment),
        cron_jobs,
        network_policy: child(ChildKind::NetworkPolicy),
        claim: ctx.cache.index.get(
            ChildKind::PersistentVolumeClaim,
            namespace,
            &claim_name(name),
        ),
        revisions,
        pods,
        jobs,
        unknown_revisions: Vec::new(),
        since: created.map(|time| time.0.to_string()).unwrap_or_default(),
    }
}

/// What keeps the agent from its children's names, if anything. Names that the index does not know
/// are asked for only of an agent that has nothing yet, before anything is spent on it; that of its
/// policy is not, which is made before that, and later ones are not: each creation finds out by
/// itself. At names that it has no use for (now), only what is left of a former agent is an
/// obstacle: others may use them.
async fn names_are_free(
    ctx: &Context,
    owner: &Owner,
    context: &AgentContext<'_>,
    absent: &mut KnownAbsent,
) -> Result<(), Stopped> {
    let namespace = context.agent.namespace().unwrap_or_default();
    let is_new = is_new(&context.observed);
    let has_workspace = has_workspace(context.agent);
    let keys = child_names(&owner.name)
        .into_iter()
        .filter(|(kind, _)| *kind != ChildKind::PersistentVolumeClaim || has_workspace)
        .map(|(kind, name)| Key::new(kind, &namespace, &name));
    let (used, unused): (Vec<Key>, Vec<Key>) = keys.partition(|key| is_used(key.kind, context));
    let index = &ctx.cache.index;
    let is_known = |key: &Key| index.get(key.kind, &key.namespace, &key.name).is_some();
    let used: Vec<Key> = used
        .into_iter()
        .filter(|key| is_new || is_known(key))
        .collect();
    let is_made_first = |key: &&Key| key.kind == ChildKind::NetworkPolicy && !is_known(key);
    let asked: Vec<Key> = used
        .iter()
        .filter(|key| !is_made_first(key))
        .cloned()
        .collect();
    let mut conflict = ctx.writer.conflict_at(owner, &asked, absent).await?;
    if conflict.is_some() {
        // Then all of them are told at once.
        conflict = ctx.writer.conflict_at(owner, &used, absent).await?;
    }
    if let Some(conflict) = conflict {
        return Err(conflict.into());
    }
    let unused: Vec<Key> = unused.into_iter().filter(is_known).collect();
    match ctx.writer.conflict_at(owner, &unused, absent).await? {
        Some(conflict @ OwnershipConflict::Former(..)) => Err(conflict.into()),
        _ => Ok(()),
    }
}

/// Whether the agent may write that kind of child. Where its code decides on the mode, what it has
/// decided so far is there.
fn is_used(kind: ChildKind, context: &AgentContext<'_>) -> bool {
    let spec = &context.agent.spec;
    let by_schedule = spec.schedule.as_ref().map(|_| ExecutionMode::Scheduled);
    match (kind, spec.execution_mode.or(by_schedule)) {
        (ChildKind::CronJob, Some(mode)) => mode == ExecutionMode::Scheduled,
        (ChildKind::Deployment, Some(mode)) => mode == ExecutionMode::Autonomous,
        (ChildKind::CronJob, None) => context.observed.deployment.is_none(),
        (ChildKind::Deployment, None) => context.observed.cron_jobs.is_empty(),
        // Whose a claim may be is decided by validation.
        (ChildKind::PersistentVolumeClaim, _) => false,
        _ => true,
    }
}
