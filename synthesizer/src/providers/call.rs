//! For whom a call is made.

use langop_proto::v1::AgentRef;

use crate::{
    access::{caller::Caller, load::Load},
    key::RequestKey,
};

/// For whom an answer is made: who pays for it, and what names it in the log.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Who pays.
    pub caller: Caller,
    /// What is asked.
    pub request: RequestKey,
    /// The agent it is for; a persona is for many.
    pub agent: Option<AgentRef>,
    /// What is held of the request, until the work for it is done.
    pub load: Load,
}

impl CallContext {
    /// The agent's name, if it has one.
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_ref().map(|agent| agent.name.as_str())
    }

    /// The agent's namespace, if it has one.
    pub fn namespace(&self) -> Option<&str> {
        let namespace = self.agent.as_ref().map(|agent| agent.namespace.as_str());
        namespace.filter(|namespace| !namespace.is_empty())
    }
}
