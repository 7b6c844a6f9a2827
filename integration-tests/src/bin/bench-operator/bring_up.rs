//! Bringing up all agents at once: how long it takes, and what the operator writes for it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt as _, api::ListParams};
use langop_api::LanguageAgent;
use langop_integration_tests::{AuditEvent, AuditLog, Filter, Mark};

use crate::{
    env::BenchEnv,
    figures::{Figures, progress},
    fleet::{self, Fleet},
    process,
    script::Script,
};

/// Without a write for this long, the bring-up is over.
const QUIET: Duration = Duration::from_secs(5);

/// Creates all agents and waits until all are Ready. Returns what the operator wrote for it.
pub(crate) async fn measure(
    env: &BenchEnv<'_>,
    fleet: &Fleet,
    figures: &mut Figures,
) -> Result<Script> {
    progress(&format!("bringing up {} agents", fleet.agents().len()));
    let mark = env.audit.mark()?;
    let cpu = process::cpu_seconds(env.operator.pid())?;
    let uids = Mutex::new(vec![String::new(); fleet.agents().len()]);
    let note = |n: usize, uid| uids.lock().unwrap_or_else(PoisonError::into_inner)[n] = uid;
    fleet::create(&env.client, fleet.agents(), note).await?;
    until_running(env, fleet.agents().len()).await?;
    env.settled(env.audit.mark()?, QUIET).await?;
    all_ready(env, fleet).await?;

    let times = Times::read(env.audit, mark, env.operator.user())?;
    figures.bring_up_seconds = times.objects();
    figures.bring_up_settled_seconds = times.all();
    figures.bring_up_writes = Some(times.writes);
    figures.bring_up_failed_writes = Some(times.failed);
    figures.bring_up_operator_cpu_seconds = Some(process::cpu_seconds(env.operator.pid())? - cpu);
    let uids = uids.into_inner().unwrap_or_else(PoisonError::into_inner);
    Script::record(env.audit, mark, env.operator.user(), fleet.agents(), &uids)
}

/// Waits by the operator's own count, which costs the API server nothing, and gives up when it
/// stops rising.
async fn until_running(env: &BenchEnv<'_>, agents: usize) -> Result<()> {
    const STUCK: Duration = Duration::from_mins(2);
    let (mut most, mut rose, mut told) = (0.0, Instant::now(), Instant::now());
    loop {
        let running = env.metric("langop_agents", &[("phase", "Running")]).await?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        if running >= agents as f64 {
            return Ok(());
        }
        if running > most {
            (most, rose) = (running, Instant::now());
        }
        if rose.elapsed() > STUCK {
            bail!(
                "{running} of {agents} agents run, and for {STUCK:?} no other; the operator's log: {}",
                env.operator.log().display()
            );
        }
        if told.elapsed() > Duration::from_secs(5) {
            progress(&format!("  {running} of {agents} run"));
            told = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The operator's count is believed only if the API server says the same.
async fn all_ready(env: &BenchEnv<'_>, fleet: &Fleet) -> Result<()> {
    let agents: Api<LanguageAgent> = Api::all(env.client.clone());
    let mut page = ListParams::default().limit(500);
    let mut ready = 0;
    loop {
        let list = agents.list(&page).await?;
        ready += list.items.iter().filter(|agent| is_ready(agent)).count();
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    ensure!(
        ready == fleet.agents().len(),
        "{ready} of {} agents are Ready",
        fleet.agents().len()
    );
    Ok(())
}

/// Ready, and for the present spec.
pub(crate) fn is_ready(agent: &LanguageAgent) -> bool {
    agent.status.as_ref().is_some_and(|status| {
        let ready = status
            .conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        ready && status.observed_generation == agent.metadata.generation
    })
}

/// A bring-up as the audit log has it, whoever did it.
#[derive(Default)]
pub(crate) struct Times {
    created: Option<Timestamp>,
    last_write: Option<Timestamp>,
    last_object: Option<Timestamp>,
    writes: usize,
    failed: usize,
}

impl Times {
    /// From the first creation of an agent on, what `user` wrote after the mark.
    pub(crate) fn read(audit: &AuditLog, mark: Mark, user: &str) -> Result<Self> {
        let mut times = Self::default();
        audit.each_recorded(mark, &Filter::writes(), |request| {
            times.take(&request.event, user);
            Ok(())
        })?;
        Ok(times)
    }

    fn take(&mut self, event: &AuditEvent, user: &str) {
        if event.verb == "create" && event.resource == "languageagents" {
            self.created.get_or_insert(event.at);
        } else if event.user == user {
            self.writes += 1;
            self.failed += usize::from(event.code >= 400);
            self.last_write = Some(event.at);
            if event.subresource.is_empty() && event.resource != "events" {
                self.last_object = Some(event.at);
            }
        }
    }

    /// Seconds to the last write of whatever kind.
    pub(crate) fn all(&self) -> Option<f64> {
        self.until(self.last_write)
    }

    /// Seconds to the last child: neither a status nor an event.
    pub(crate) fn objects(&self) -> Option<f64> {
        self.until(self.last_object)
    }

    fn until(&self, end: Option<Timestamp>) -> Option<f64> {
        Some(end?.duration_since(self.created?).as_secs_f64())
    }
}

/// For messages.
pub(crate) fn name(agent: &LanguageAgent) -> String {
    format!(
        "{}/{}",
        agent.namespace().unwrap_or_default(),
        agent.name_any()
    )
}
