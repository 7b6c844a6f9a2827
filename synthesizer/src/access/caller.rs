//! Who asks. Answers are cached per caller, so that nobody learns from the speed of an answer what another one asked, and
//! each caller's limits are its own.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use langop_proto::v1::AgentRef;

use crate::{
    access::{Account, Load},
    key::RequestKey,
};

/// The identity of a caller, as far as the server could establish it. Two are equal if their names are.
#[derive(Clone)]
pub struct Caller(Arc<Known>);

struct Known {
    name: Box<str>,
    account: Arc<Account>,
}

impl Caller {
    /// Somebody the server knows by `name`, without limits.
    pub fn named(name: &str) -> Self {
        Self::with_account(name, Arc::default())
    }

    /// Somebody the server knows by `name`, within the limits of `account`.
    pub fn with_account(name: &str, account: Arc<Account>) -> Self {
        let name = name.into();
        Self(Arc::new(Known { name, account }))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the caller may still do.
    pub fn account(&self) -> &Account {
        &self.0.account
    }
}

/// For whom an answer is made: who pays for it, and what names it in the log.
#[derive(Debug, Clone)]
pub struct Errand {
    /// Who pays.
    pub caller: Caller,
    /// What is asked.
    pub request: RequestKey,
    /// The agent it is for; a persona is for many.
    pub agent: Option<AgentRef>,
    /// What is held of the request, until the work for it is done, whoever waits for that.
    pub load: Load,
}

impl Errand {
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

impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Caller {}

impl Hash for Caller {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.0.name).finish()
    }
}
