//! What of all that a watch tells is worth a line: rows that differ from the one told last. Pure:
//! the clock is the caller's.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::{api::DynamicObject, runtime::watcher::Event};

use super::rows::{Key, Row, agent_of, key_of, row, run_of};

/// One event of one of the two watches.
#[derive(Debug)]
pub(crate) enum Change {
    Agent(Event<DynamicObject>),
    CronJob(Event<DynamicObject>),
}

/// Agents, their CronJobs, and what was told of them.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    agents: Store,
    cron_jobs: Store,
    /// `None`: not all is listed yet, and nothing has been told.
    told: Option<BTreeMap<Key, Row>>,
}

impl Changes {
    /// Goes on without CronJobs, which the user may not list.
    pub(crate) fn without_cron_jobs(&mut self, now: Timestamp) -> Option<Vec<Row>> {
        self.cron_jobs.is_listed = true;
        self.first(now)
    }

    /// What is to be told of a change: at first, once, all rows; later those that are new.
    pub(crate) fn take(&mut self, change: Change, now: Timestamp) -> Option<Vec<Row>> {
        let concerned = match change {
            Change::Agent(event) => self.agents.take(event, |agent| Some(key_of(agent))),
            Change::CronJob(event) => self.cron_jobs.take(event, agent_of),
        };
        if self.told.is_none() {
            return self.first(now);
        }
        let rows: Vec<Row> = concerned
            .iter()
            .filter_map(|key| self.news(key, now))
            .collect();
        (!rows.is_empty()).then_some(rows)
    }

    fn first(&mut self, now: Timestamp) -> Option<Vec<Row>> {
        if !(self.agents.is_listed && self.cron_jobs.is_listed) || self.told.is_some() {
            return None;
        }
        let keys = self.agents.objects.keys();
        let rows = keys.filter_map(|key| Some((key.clone(), self.row(key, now)?)));
        let rows: BTreeMap<Key, Row> = rows.collect();
        self.told = Some(rows.clone());
        Some(rows.into_values().collect())
    }

    /// The row of an agent, if it is not the one told last.
    fn news(&mut self, key: &Key, now: Timestamp) -> Option<Row> {
        let row = self.row(key, now);
        let told = self.told.as_mut()?;
        match row {
            Some(row) if told.get(key) == Some(&row) => None,
            Some(row) => {
                told.insert(key.clone(), row.clone());
                Some(row)
            }
            None => told.remove(key).map(|last| Row {
                next_run: None,
                is_in_assumed_zone: false,
                is_deleted: true,
                ..last
            }),
        }
    }

    fn row(&self, key: &Key, now: Timestamp) -> Option<Row> {
        let agent = self.agents.objects.get(key)?;
        let cron_jobs = self.cron_jobs.objects.values();
        let own = cron_jobs.filter(|cron_job| agent_of(cron_job).as_ref() == Some(key));
        let next = own.filter_map(|cron_job| run_of(cron_job, now));
        Some(row(agent, next.min_by_key(|next| next.at)))
    }
}

/// The objects of one watch.
#[derive(Debug, Default)]
struct Store {
    objects: BTreeMap<Key, DynamicObject>,
    /// Those of a list under way.
    listing: BTreeMap<Key, DynamicObject>,
    is_listed: bool,
}

impl Store {
    /// Follows an event, and says which agents it concerns, by `agent` of an object.
    fn take(
        &mut self,
        event: Event<DynamicObject>,
        agent: impl Fn(&DynamicObject) -> Option<Key>,
    ) -> BTreeSet<Key> {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => {
                self.listing.insert(key_of(&object), object);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listing);
                let before = std::mem::replace(&mut self.objects, listed);
                self.is_listed = true;
                let all = before.values().chain(self.objects.values());
                return all.filter_map(agent).collect();
            }
            Event::Apply(object) => {
                let concerned = agent(&object);
                let before = self.objects.insert(key_of(&object), object);
                return concerned
                    .into_iter()
                    .chain(before.and_then(|it| agent(&it)))
                    .collect();
            }
            Event::Delete(object) => {
                self.objects.remove(&key_of(&object));
                return agent(&object).into_iter().collect();
            }
        }
        BTreeSet::new()
    }
}
