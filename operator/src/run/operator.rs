//! Wiring: makes the parts, starts them in order and ends them in the reverse one.
//!
//! Watches and health run in every process, so that a standby is warm; only the leader reconciles.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use kube::Client;
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    cache::{
        Cache,
        triggers::{Queues, Triggers},
    },
    context::Context,
    controllers,
    leader::{Leadership, fence::Fence},
    run::{
        admin,
        backoff::{self, Backoffs},
        metrics::Metrics,
        readiness::Readiness,
        resolver, runner,
    },
    settings::{Scope, Settings},
    synthesis::{
        attest::Attestor, budget::Budgets, calls::Synthesis, client::Synthesizer,
        endpoints::Replicas, provenance::TrustedKeys,
    },
    watch,
    write::{Writer, client, events::EventPublisher, priority::WritePriority},
};

/// Runs until SIGTERM or SIGINT. An error means that the process cannot do its work any more.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let fence = Fence::default();
    let client = client::connect(&metrics, fence.clone()).await?;
    let (triggers, queues) = Triggers::new();
    let keys = TrustedKeys::watch(settings.provenance_keys.clone());
    let keys = keys
        .await
        .context("LANGOP_PROVENANCE_KEYS cannot be used")?;
    let replicas = settings.synthesizer.clone().map(Replicas::new);
    let replicas = replicas
        .transpose()
        .context("the synthesizer's address or credentials cannot be used")?;
    let cache = Cache::new(settings.namespace_bytes, triggers, keys);
    let ctx = Arc::new(context(
        settings,
        client,
        metrics,
        cache,
        replicas.as_ref(),
    )?);
    announce(&ctx.settings);
    resolver::warn_of_settings(&ctx.settings.build);

    let stop = CancellationToken::new();
    let signals = until_signal()?;
    let mut admin = tokio::spawn(admin::serve(
        ctx.settings.admin_listen,
        ctx.clone(),
        stop.clone(),
    ));
    let watches = watch::start(&ctx);
    let synthesizer = tokio::spawn(follow_synthesizer(ctx.clone(), replicas, stop.clone()));
    let keys = tokio::spawn(follow_keys(ctx.clone(), stop.clone()));
    let mut work = tokio::spawn(work(ctx.clone(), queues, fence, stop.clone()));

    let result = tokio::select! {
        () = signals => {
            stop.cancel();
            tokio::time::timeout(GRACE, &mut work).await.context("reconciles under way did not end in time")?.context("the work's task")?
        }
        ended = &mut work => ended.context("the work's task")?,
        ended = &mut admin => ended.context("the admin server's task")?.and_then(|()| bail!("the admin server ended")),
    };
    stop.cancel();
    drop(watches);
    // It ends by the token; how no longer matters.
    let _ = tokio::join!(synthesizer, keys);
    result
}

/// Reconciles under way have this long to end.
const GRACE: Duration = Duration::from_secs(15);

/// Waits for leadership and for complete caches, reconciles until stopped, and gives leadership
/// back.
async fn work(
    ctx: Arc<Context>,
    queues: Queues,
    fence: Fence,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut leadership = match lead(&ctx, fence, &stop).await? {
        Lead::Alone => None,
        Lead::Elected(leadership) => Some(leadership),
        Lead::Stopped => return Ok(()),
    };
    ctx.metrics.leads();
    let lost = async {
        match &mut leadership {
            Some(leadership) => leadership.lost().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = reconcile(&ctx, queues, &stop) => {}
        // Another may be at work already: nothing of ours may go on.
        () = lost => bail!("leadership was lost"),
    }
    if let Some(leadership) = leadership {
        leadership.release().await;
    }
    Ok(())
}

enum Lead {
    Alone,
    Elected(Leadership),
    Stopped,
}

async fn lead(ctx: &Context, fence: Fence, stop: &CancellationToken) -> anyhow::Result<Lead> {
    if !ctx.settings.leader_elect {
        return Ok(Lead::Alone);
    }
    let namespace = &ctx.settings.build.operator_namespace;
    let identity = &ctx.settings.identity;
    let mut leadership = Leadership::seek(ctx.client.clone(), namespace, identity, fence);
    tracing::info!("waiting for leadership");
    let Some(gained) = stop.run_until_cancelled(leadership.gained()).await else {
        leadership.release().await;
        return Ok(Lead::Stopped);
    };
    gained.context("the leader election has ended")?;
    tracing::info!("leading");
    Ok(Lead::Elected(leadership))
}

/// Runs all controllers until stopped, and until reconciles in progress have ended.
async fn reconcile(ctx: &Arc<Context>, queues: Queues, stop: &CancellationToken) {
    if stop
        .run_until_cancelled(ctx.readiness.wait())
        .await
        .is_none()
    {
        return;
    }
    tracing::info!("all watches have listed");
    ctx.cache.open();
    let mut runners = JoinSet::new();
    let [agents, clients, clusters, models, personas, tools] = queues;
    runners.spawn(runner::run::<LanguageAgent>(
        ctx.clone(),
        agents,
        stop.clone(),
    ));
    runners.spawn(runner::run::<LanguageClient>(
        ctx.clone(),
        clients,
        stop.clone(),
    ));
    runners.spawn(runner::run::<LanguageCluster>(
        ctx.clone(),
        clusters,
        stop.clone(),
    ));
    runners.spawn(runner::run::<LanguageModel>(
        ctx.clone(),
        models,
        stop.clone(),
    ));
    runners.spawn(runner::run::<LanguagePersona>(
        ctx.clone(),
        personas,
        stop.clone(),
    ));
    runners.spawn(runner::run::<LanguageTool>(
        ctx.clone(),
        tools,
        stop.clone(),
    ));
    while runners.join_next().await.is_some() {}
}

/// Follows the synthesizer's replicas, and triggers, whenever it comes back, those that waited for
/// it.
async fn follow_synthesizer(
    ctx: Arc<Context>,
    replicas: Option<Replicas>,
    stop: CancellationToken,
) {
    let (Some(synthesizer), Some(replicas)) = (ctx.synthesis.synthesizer.clone(), replicas) else {
        return;
    };
    let on_recovery = || {
        let cache = &ctx.cache;
        let agents = controllers::agent::waiting_for_synthesizer(&cache.stores);
        let personas = controllers::persona::waiting_for_synthesizer(&cache.stores);
        cache.triggers.send_all(agents.into_iter().chain(personas));
    };
    let follow = synthesizer.follow(replicas, ctx.client.clone(), on_recovery);
    stop.run_until_cancelled(follow).await;
}

/// Has every agent looked at again where other keys count from now on.
async fn follow_keys(ctx: Arc<Context>, stop: CancellationToken) {
    let changed = || ctx.cache.enqueue_all::<LanguageAgent>();
    stop.run_until_cancelled(ctx.cache.keys.follow(changed))
        .await;
}

fn context(
    settings: Settings,
    client: Client,
    metrics: Metrics,
    cache: Cache,
    replicas: Option<&Replicas>,
) -> anyhow::Result<Context> {
    let timeout = settings.synthesis_timeout;
    let synthesizer = replicas.map(|replicas| Arc::new(Synthesizer::new(replicas, timeout)));
    let cache = Arc::new(cache);
    let attestor =
        Attestor::new().context("no random numbers are available for the signing key")?;
    Ok(Context {
        budgets: Budgets::new(attestor.key()),
        attestor,
        writer: Writer::new(client.clone(), cache.clone()),
        cache,
        readiness: Readiness::new(watch::names(&settings.scope)),
        error_backoff: Backoffs::new(backoff::FAILED),
        rejection_backoff: Backoffs::new(backoff::REFUSED),
        events: EventPublisher::new(client.clone(), &settings.identity),
        synthesis: Synthesis::new(
            synthesizer,
            settings.synthesis_concurrency,
            (settings.backoff_initial, settings.backoff_max),
            &metrics,
        ),
        priority: WritePriority::default(),
        counted: HashMap::default().into(),
        approvals: tokio::sync::OnceCell::new(),
        metrics,
        client,
        settings,
    })
}

fn announce(settings: &Settings) {
    let namespaces = match &settings.scope {
        Scope::Cluster => "all".to_owned(),
        Scope::Namespaces(names) => names.join(","),
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        identity = settings.identity,
        namespaces,
        "langop-operator starts"
    );
    if let Some(synthesizer) = &settings.synthesizer {
        tracing::info!(synthesizer = %synthesizer.url, "synthesis is enabled");
    } else {
        tracing::warn!(
            "synthesis is disabled: LANGOP_SYNTHESIZER_ENDPOINT is not set; agents need an image of their own or stored code"
        );
    }
}

fn until_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => tracing::info!("SIGTERM: stopping"),
            _ = int.recv() => tracing::info!("SIGINT: stopping"),
        }
    })
}
