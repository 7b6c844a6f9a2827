//! Bringing up all agents at once: how long it takes, and what the operator writes for it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use langop_api::LanguageAgent;
use langop_integration_tests::{AuditEvent, AuditLog, Filter, Mark, processes};

use crate::{
    env::BenchEnv,
    etcd,
    figures::{Figures, progress},
    fleet::{self, Fleet},
    script::Script,
};

/// Without a write for this long, the bring-up is over.
const QUIET: Duration = Duration::from_secs(5);

/// A bring-up that came to its end.
pub(crate) struct BringUp {
    pub(crate) times: Times,
    pub(crate) cpu_seconds: f64,
    began: Mark,
    uids: Vec<String>,
}

/// Creates all agents and waits until all are Ready. Returns what the operator wrote for it, if that
/// can be repeated.
pub(crate) async fn measure(
    env: &BenchEnv<'_>,
    fleet: &Fleet,
    figures: &mut Figures,
) -> Result<Option<Script>> {
    let done = run(env, fleet).await?;
    figures.bring_up_seconds = done.times.objects();
    figures.bring_up_settled_seconds = done.times.all();
    figures.bring_up_writes = Some(done.times.writes);
    figures.bring_up_failed_writes = Some(done.times.failed);
    figures.bring_up_operator_cpu_seconds = Some(done.cpu_seconds);
    etcd::measure(env.cp, figures).await?;
    if !fleet.scale.is_repeatable() {
        return Ok(None);
    }
    let user = env.operator.user();
    Script::record(env.audit, done.began, user, fleet.agents(), &done.uids).map(Some)
}

/// The same for whichever operator.
pub(crate) async fn run(env: &BenchEnv<'_>, fleet: &Fleet) -> Result<BringUp> {
    let all = fleet.agents().len();
    progress(&format!("bringing up {all} agents"));
    let began = env.audit.mark()?;
    let cpu = processes::cpu_time(env.operator.pid())?.as_secs_f64();
    let uids = Mutex::new(vec![String::new(); all]);
    let note = |n: usize, uid| uids.lock().unwrap_or_else(PoisonError::into_inner)[n] = uid;
    // Its times are the audit log's, so that looking seldom costs nothing.
    let pause = env.scale.between_polls() * 10;
    tokio::try_join!(
        fleet::create(&env.client, fleet.agents(), note),
        env.until_counted("are at rest", all, pause, BenchEnv::agents_at_rest)
    )?;
    env.settled(env.audit.mark()?, QUIET).await?;
    let cpu_seconds = processes::cpu_time(env.operator.pid())?.as_secs_f64() - cpu;
    all_ready(env, fleet).await?;
    Ok(BringUp {
        times: Times::read(env.audit, began, env.operator.user())?,
        cpu_seconds,
        began,
        uids: uids.into_inner().unwrap_or_else(PoisonError::into_inner),
    })
}

/// The operator's count is believed only if the API server says the same.
async fn all_ready(env: &BenchEnv<'_>, fleet: &Fleet) -> Result<()> {
    let mut ready = 0;
    each(&env.client, |agent| ready += usize::from(is_ready(agent))).await?;
    ensure!(
        ready == fleet.agents().len(),
        "{ready} of {} agents are Ready",
        fleet.agents().len()
    );
    Ok(())
}

/// Shows all agents as the API server has them, page by page.
pub(crate) async fn each(client: &Client, mut look: impl FnMut(&LanguageAgent)) -> Result<()> {
    let agents: Api<LanguageAgent> = Api::all(client.clone());
    let mut page = ListParams::default().limit(500);
    loop {
        let list = agents.list(&page).await?;
        list.items.iter().for_each(&mut look);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
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
    pub(crate) writes: usize,
    pub(crate) failed: usize,
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
