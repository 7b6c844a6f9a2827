//! What the status of an agent is made from.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use langop_api::{LanguageAgentStatus, agent::SynthesisInfo};

use crate::{
    agent::{
        ObservedAgent, approval::Approval, build::Report, code, decide::Decision,
        validate::ValidatedAgent,
    },
    children::{Applied, Children},
    observed::Observed,
};

/// What a status is made from.
#[derive(Clone, Debug)]
pub struct StatusInput<'a> {
    /// The status so far.
    pub previous: &'a LanguageAgentStatus,
    /// The agent.
    pub agent: &'a ValidatedAgent,
    /// What was decided.
    pub decision: &'a Decision,
    /// What approval says of it.
    pub approval: &'a Approval,
    /// The record of attempts, this reconcile's included (see [`attempt`]).
    pub info: &'a SynthesisInfo,
    /// What went wrong with the attempt that ended in this reconcile.
    pub failure: Option<&'a str>,
    /// What was built.
    pub report: &'a Report,
    /// What was applied.
    pub children: &'a Children<Applied>,
    /// The live children, looked at again after the apply: a rollout is judged by them.
    pub observed: &'a ObservedAgent,
    /// Now.
    pub now: Timestamp,
}

impl<'a> StatusInput<'a> {
    /// The code that runs.
    pub(super) fn running(&self) -> Option<&'a Arc<Observed>> {
        let revisions = &self.observed.revisions;
        self.approval.running(self.decision.code(), revisions)
    }

    /// The number of the active code, by the same ConfigMap as it is observed after the apply: code
    /// that was activated in this reconcile has its new number there.
    pub(super) fn revision_of(&self, active: &Observed) -> i64 {
        let now = self
            .observed
            .revisions
            .iter()
            .find(|code| code.uid == active.uid);
        code::revision(now.map_or(active, |code| &**code))
    }
}
