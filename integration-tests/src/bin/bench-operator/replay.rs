//! The baseline: a client without watches, stores or decisions repeats the operator's writes, while
//! the agents are created in the same way, on a control plane that is as empty as the operator's
//! was.

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Request, header};
use kube::Client;
use langop_integration_tests::{Cluster, ControlPlane, Operator};
use tokio::sync::SetOnce;

use crate::{
    bring_up::{self, Times},
    figures::{Figures, progress},
    fleet::{self, Fleet},
    script::{Part, Script, Write},
};

/// Agents worked on at once: the operator's default of `LANGOP_RECONCILE_CONCURRENCY`.
const CONCURRENCY: usize = 16;

/// Measures the baseline beside the operator's figures.
pub(crate) async fn measure(
    cp: &ControlPlane,
    fleet: &Fleet,
    warm_up: &Script,
    script: &Script,
    figures: &mut Figures,
) -> Result<()> {
    fleet.prepare(cp).await?;
    let admin = cp.client().await?;
    // Only for its service account, rights and token: the API server must have the same work with
    // each request.
    let mut operator = Operator::builder(cp).cluster_wide().start().await?;
    operator.stop().await?;
    let client = client_of(&operator).await?;

    // The operator's API server had seen a few agents too.
    perform(&admin, &client, warm_up).await.context("warm-up")?;
    progress(&format!(
        "the baseline: a bare client repeats {} writes for {} agents",
        script.len(),
        script.parts.len()
    ));
    let audit = cp.audit()?;
    let mark = audit.mark()?;
    perform(&admin, &client, script).await?;
    let times = Times::read(audit, mark, operator.user())?;
    figures.baseline_seconds = times.objects();
    figures.baseline_settled_seconds = times.all();
    Ok(())
}

/// Creates the agents, and does for each what the script says once it exists.
async fn perform(admin: &Client, client: &Client, script: &Script) -> Result<()> {
    let uids: Vec<SetOnce<String>> = script.agents.iter().map(|_| SetOnce::new()).collect();
    let create = fleet::create(admin, &script.agents, |n, uid| {
        // Each agent is created once.
        let _ = uids[n].set(uid);
    });
    let write = stream::iter(&script.parts).map(Ok).try_for_each_concurrent(
        CONCURRENCY,
        async |part: &Part| {
            let uid = uids[part.agent].wait().await;
            let name = || bring_up::name(&script.agents[part.agent]);
            let exchange = |body: &str| body.replace(&part.uid, uid);
            repeat(client, &part.writes, exchange)
                .await
                .with_context(|| format!("the baseline's writes for {}", name()))
        },
    );
    // An agent that cannot be created would be awaited for ever.
    tokio::try_join!(create, write)?;
    Ok(())
}

/// A client without anything around it that is the operator to the API server.
pub(crate) async fn client_of(operator: &Operator) -> Result<Client> {
    Cluster::existing(Some(operator.kubeconfig()), None)?
        .client_as("langop-replay")
        .await
}

/// Repeats sequences of writes as they are, some at once.
pub(crate) async fn all(client: &Client, sequences: &[Vec<Write>]) -> Result<()> {
    stream::iter(sequences)
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, async |writes: &Vec<Write>| {
            repeat(client, writes, str::to_owned).await
        })
        .await
}

/// One write after the other; `exchange` puts into a body what is different now.
async fn repeat(
    client: &Client,
    writes: &[Write],
    exchange: impl Fn(&str) -> String,
) -> Result<()> {
    for write in writes {
        let request = Request::builder()
            .method(&write.method)
            .uri(&write.uri)
            .header(header::CONTENT_TYPE, &write.content_type)
            .body(exchange(&write.body).into_bytes())?;
        client
            .request_text(request)
            .await
            .with_context(|| format!("{} {}", write.method, write.uri))?;
    }
    Ok(())
}
