//! What approval needs to know, and reads only where it is in use: the definition of the code that
//! would run, what runs where approval begins, and who wrote the instructions last. Decides nothing:
//! see [`langop_desired::agent::approval`].

use k8s_openapi::{
    api::{apps::v1::Deployment, batch::v1::CronJob, networking::v1::NetworkPolicy},
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{Api, Resource, ResourceExt as _};
use langop_api::{
    LanguageAgent,
    approval::{ApprovalStatus, PowersInForce},
    names::annotations,
};
use langop_desired::{
    agent::{
        approval::{self, Approval, Author, Question, judge, rules_as_text},
        build::Workload,
        validate::ValidatedAgent,
    },
    observed::Observed,
    powers::{CodePowers, Powers, live::Live},
};
use serde::de::DeserializeOwned;

use super::{dereference::previous, plan::Plan, record::Recorded};
use crate::{context::Context, error::ReconcileError};

/// Whether what was decided may be carried out. Where approval is not in use nothing is read.
pub(super) async fn approve(
    ctx: &Context,
    object: &LanguageAgent,
    agent: &ValidatedAgent,
    recorded: &Recorded,
    plan: &Plan,
    decided: &Workload,
) -> Result<Approval, ReconcileError> {
    if !agent.approval.is_in_use() {
        return Ok(Approval::default());
    }
    let known = previous(object).approval;
    let begins = known.is_none();
    let record = match known {
        Some(record) => record,
        None => what_runs(ctx, agent, recorded).await?,
    };
    let code = plan.decision.code().map(|code| &**code);
    let asked = match decided {
        Workload::Run(_) => asked(ctx, agent, code).await?,
        Workload::Keep | Workload::Held { .. } => None,
    };
    Ok(judge(&Question {
        agent,
        is_supported: is_supported(ctx).await?,
        code,
        author: author(ctx, agent, code).await?,
        asked,
        record: &record,
        begins,
        settings: &ctx.settings.build,
    }))
}

/// Whether the API server is new enough to see to it that only approvers approve. Asked until it
/// is.
async fn is_supported(ctx: &Context) -> Result<bool, ReconcileError> {
    if ctx.approvals.initialized() {
        return Ok(true);
    }
    let asking = ctx.client.apiserver_version().await;
    let version = asking.map_err(|error| {
        ReconcileError::api("ask for the API server's version".to_owned(), error)
    })?;
    let is_supported = approval::is_supported(&version.major, &version.minor);
    if is_supported {
        // Whoever was first.
        let _ = ctx.approvals.set(());
    }
    Ok(is_supported)
}

/// What the agent could do with this code; nothing if the code is gone by now, which triggers
/// another reconcile.
async fn asked(
    ctx: &Context,
    agent: &ValidatedAgent,
    code: Option<&Observed>,
) -> Result<Option<Result<Powers, langop_desired::conditions::Invalid>>, ReconcileError> {
    let powers = match code {
        None => None,
        Some(code) => match powers_of(ctx, code).await? {
            None => return Ok(None),
            powers => powers,
        },
    };
    let settings = &ctx.settings.build;
    Ok(Some(Powers::of(agent, powers.as_ref(), settings)))
}

async fn powers_of(ctx: &Context, code: &Observed) -> Result<Option<CodePowers>, ReconcileError> {
    let definition = ctx.writer.read_definition(code).await?;
    Ok(definition.as_ref().map(CodePowers::from))
}

/// What is in force where approval begins: what the live objects of the agent can do. Whatever is
/// not ours, or cannot be read, counts for nothing.
async fn what_runs(
    ctx: &Context,
    agent: &ValidatedAgent,
    recorded: &Recorded,
) -> Result<ApprovalStatus, ReconcileError> {
    let observed = &recorded.observed;
    let mut live = Live {
        deployment: read::<Deployment>(ctx, agent, observed.deployment.as_deref()).await?,
        ..Live::default()
    };
    for cron_job in &observed.cron_jobs {
        let found = read::<CronJob>(ctx, agent, Some(cron_job)).await?;
        live.cron_jobs.extend(found);
    }
    let policy = read::<NetworkPolicy>(ctx, agent, observed.network_policy.as_deref()).await?;
    let rules = policy.and_then(|policy| policy.spec?.egress);
    live.egress = rules.unwrap_or_default();
    let runs = live.deployment.is_some() || !live.cron_jobs.is_empty();
    let config_map = live.config_map().map(str::to_owned);
    let mut revisions = observed.revisions.iter();
    let code = revisions.find(|code| Some(&code.name) == config_map.as_ref());
    let powers = match code {
        Some(code) => powers_of(ctx, code).await?,
        None => None,
    };
    let is_known = powers.is_some() || config_map.is_none();
    let powers = live.powers(powers.as_ref(), &ctx.settings.build).ok();
    let in_force = PowersInForce {
        config_map,
        // Without a list everything is new.
        powers: powers
            .filter(|_| is_known)
            .map(|powers| powers.canonical_json())
            .unwrap_or_default(),
        egress: rules_as_text(&live.egress),
    };
    Ok(ApprovalStatus {
        in_force: runs.then_some(in_force),
        ..ApprovalStatus::default()
    })
}

/// A live child, whole; nothing if it is another by now.
async fn read<K>(
    ctx: &Context,
    agent: &ValidatedAgent,
    known: Option<&Observed>,
) -> Result<Option<K>, ReconcileError>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let Some(known) = known else {
        return Ok(None);
    };
    let api: Api<K> = Api::namespaced(ctx.client.clone(), &agent.namespace);
    let live = api.get_opt(&known.name).await.map_err(|error| {
        let act = format!("read {} {}/{}", K::kind(&()), agent.namespace, known.name);
        ReconcileError::api(act, error)
    })?;
    Ok(live.filter(|live| live.uid().as_deref() == Some(&known.uid)))
}

/// Who changed the instructions last; asked only where an approval is there that depends on it.
async fn author(
    ctx: &Context,
    agent: &ValidatedAgent,
    code: Option<&Observed>,
) -> Result<Author, ReconcileError> {
    let is_approved =
        code.is_some_and(|code| code.annotations.get(annotations::APPROVED_BY).is_some());
    if !agent.approval.is_separate || !is_approved {
        return Ok(Author::NotAsked);
    }
    let api: Api<LanguageAgent> = Api::namespaced(ctx.client.clone(), &agent.namespace);
    let metadata = api.get_metadata_opt(&agent.name).await.map_err(|error| {
        let act = format!("read who changed {}/{}", agent.namespace, agent.name);
        ReconcileError::api(act, error)
    })?;
    let entries = metadata.and_then(|object| object.metadata.managed_fields);
    let last = entries
        .iter()
        .flatten()
        .filter(|entry| owns_instructions(entry))
        .max_by_key(|entry| entry.time.clone());
    let name = last.and_then(|entry| entry.manager.clone());
    Ok(name.map_or(Author::Unknown, Author::Manager))
}

fn owns_instructions(entry: &ManagedFieldsEntry) -> bool {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    fields.is_some_and(|fields| fields.pointer("/f:spec/f:instructions").is_some())
}

/// What an agent that is being deleted may still reach, where approval is in use.
pub(super) fn closing(ctx: &Context, object: &LanguageAgent, agent: &ValidatedAgent) -> Workload {
    match previous(object).approval {
        Some(record) if agent.approval.is_in_use() => Workload::Held {
            egress: approval::reach(agent, record.in_force.as_ref(), &ctx.settings.build),
            fault: None,
        },
        _ => Workload::Keep,
    }
}
