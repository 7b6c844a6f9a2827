//! What the statuses of all `LanguageAgent`s add up to: how many there are, which are not Ready,
//! how their runs ended and what they cost. Kept as they change, so that nobody goes through all
//! of them. How it is told is the metrics' business.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Debug,
};

use kube::ResourceExt as _;
use langop_api::{
    LanguageAgent,
    agent::{AgentPhase, RunTokens, Tokens},
    condition::{Reason, types},
};
use langop_desired::conditions;

/// What is counted of all objects of one kind.
pub(crate) trait Sum<K>: Default + Debug + Send + Sync {
    /// One object is what it was not; `None`: it is not there, or cannot be read.
    fn exchange(&mut self, old: Option<&K>, new: Option<&K>);
}

/// Nothing.
impl<K> Sum<K> for () {
    fn exchange(&mut self, _: Option<&K>, _: Option<&K>) {}
}

/// The reason of an agent that has no condition yet, or one that is not of ours.
const UNKNOWN: &str = "Unknown";

/// All `LanguageAgent`s together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) phases: HashMap<AgentPhase, i64>,
    /// Where there are any.
    pub(crate) namespaces: BTreeMap<String, Sums>,
    /// Whoever waits longest first.
    pub(crate) not_ready: BTreeSet<NotReady>,
}

/// The agents of one namespace.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    agents: i64,
    pub(crate) not_ready: BTreeMap<&'static str, i64>,
    pub(crate) succeeded: Total,
    pub(crate) failed: Total,
    pub(crate) syntheses: Spent<2>,
    pub(crate) runs: Spent<3>,
}

/// An agent that is not Ready.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NotReady {
    /// Seconds since 1970.
    pub(crate) since: i64,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) reason: &'static str,
}

/// A sum that what was once added can be taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total(i128);

impl Total {
    fn add(&mut self, sign: i64, number: i64) {
        self.0 += i128::from(sign) * i128::from(number);
    }

    /// The greatest number there is where it is greater.
    pub(crate) fn get(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

/// What was spent of several things, by those that spent any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spent<const N: usize> {
    by: i64,
    totals: [Total; N],
}

impl<const N: usize> Default for Spent<N> {
    fn default() -> Self {
        Self {
            by: 0,
            totals: [Total::default(); N],
        }
    }
}

impl<const N: usize> Spent<N> {
    fn add(&mut self, sign: i64, numbers: [i64; N]) {
        self.by += sign;
        for (total, number) in self.totals.iter_mut().zip(numbers) {
            total.add(sign, number);
        }
    }

    /// `None` where nobody has spent any.
    pub(crate) fn get(&self) -> Option<[i64; N]> {
        (self.by > 0).then(|| self.totals.map(Total::get))
    }
}

impl Sum<LanguageAgent> for Tally {
    fn exchange(&mut self, old: Option<&LanguageAgent>, new: Option<&LanguageAgent>) {
        for (agent, sign) in [(old, -1), (new, 1)] {
            if let Some(agent) = agent {
                self.add(sign, agent);
            }
        }
    }
}

impl Tally {
    /// Once, or minus once.
    fn add(&mut self, sign: i64, agent: &LanguageAgent) {
        if let Some(phase) = agent.status.as_ref().and_then(|status| status.phase) {
            *self.phases.entry(phase).or_default() += sign;
        }
        let namespace = agent.namespace().unwrap_or_default();
        let not_ready = why_not_ready(agent);
        let sums = self.namespaces.entry(namespace.clone()).or_default();
        sums.add(sign, agent, not_ready.as_ref());
        if sums.agents == 0 {
            self.namespaces.remove(&namespace);
        }
        if let Some(not_ready) = not_ready {
            if sign > 0 {
                self.not_ready.insert(not_ready);
            } else {
                self.not_ready.remove(&not_ready);
            }
        }
    }
}

impl Sums {
    fn add(&mut self, sign: i64, agent: &LanguageAgent, not_ready: Option<&NotReady>) {
        self.agents += sign;
        if let Some(not_ready) = not_ready {
            let count = self.not_ready.entry(not_ready.reason).or_default();
            *count += sign;
            if *count == 0 {
                self.not_ready.remove(not_ready.reason);
            }
        }
        let Some(status) = &agent.status else {
            return;
        };
        let ended = |count: Option<i64>| count.unwrap_or_default();
        self.succeeded
            .add(sign, ended(status.successful_executions));
        self.failed.add(sign, ended(status.failed_executions));
        let info = status.synthesis_info.as_ref();
        if let Some(Tokens { input, output }) = info.and_then(|info| info.tokens) {
            self.syntheses.add(sign, [input, output]);
        }
        if let Some(usage) = &status.usage {
            let RunTokens {
                input,
                output,
                cached_input,
            } = usage.total;
            self.runs.add(sign, [input, output, cached_input]);
        }
    }
}

/// `None` for an agent that is Ready. One that was never reconciled has been so since it was made.
fn why_not_ready(agent: &LanguageAgent) -> Option<NotReady> {
    let status = agent.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice());
    let conditions = conditions.unwrap_or_default();
    if conditions::is_true(conditions, types::READY) {
        return None;
    }
    let ready = conditions::find(conditions, types::READY);
    let since = ready.map(|ready| &ready.last_transition_time);
    let since = since.or(agent.metadata.creation_timestamp.as_ref());
    let reason = ready.and_then(|ready| Reason::from_name(&ready.reason));
    Some(NotReady {
        since: since.map_or(0, |time| time.0.as_second()),
        namespace: agent.namespace().unwrap_or_default(),
        name: agent.name_any(),
        reason: reason.map_or(UNKNOWN, Reason::as_str),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_goes_leaves_nothing() {
        let agent = |name: &str, ready: &str, input: i64| -> LanguageAgent {
            let tokens = json!({"input": input, "output": 3, "cachedInput": 1});
            let mut today = tokens.clone();
            today["date"] = "2026-11-29".into();
            serde_json::from_value(json!({
                "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
                "metadata": {"name": name, "namespace": "a"},
                "spec": {"instructions": "i"},
                "status": {
                    "phase": "Running", "failedExecutions": 2, "usage": {"total": tokens, "today": today},
                    "conditions": [{"type": "Ready", "status": ready, "reason": "RolloutStuck",
                        "message": "", "lastTransitionTime": "1970-01-01T00:00:05Z"}]
                },
            }))
            .unwrap()
        };
        let (one, two, better) = (
            agent("one", "False", i64::MAX),
            agent("two", "False", i64::MAX),
            agent("two", "True", 7),
        );
        let mut tally = Tally::default();
        tally.exchange(None, Some(&one));
        tally.exchange(None, Some(&two));
        let of_a = |tally: &Tally| {
            let sums = &tally.namespaces["a"];
            (
                sums.failed.get(),
                sums.runs.get(),
                sums.not_ready.get("RolloutStuck").copied(),
            )
        };
        assert_eq!(of_a(&tally), (4, Some([i64::MAX, 6, 2]), Some(2)));
        tally.exchange(Some(&two), Some(&better));
        tally.exchange(Some(&one), None);
        assert_eq!(of_a(&tally), (2, Some([7, 3, 1]), None));
        assert!(tally.not_ready.is_empty());
        tally.exchange(Some(&better), None);
        assert!(tally.namespaces.is_empty());
        assert_eq!(tally.phases[&AgentPhase::Running], 0);
    }
}
