//! What the walk looks at: live objects reduced as the operator reduces them, so that both judge by
//! the same rules. Types only.

use std::collections::BTreeMap;

use jiff::Timestamp;
use langop_api::LanguageAgent;
use langop_desired::observed::{Observed, ObservedState, PodState};

use crate::{
    facts::{Read, Subject},
    kind::Kind,
};

/// What the operator made for an object, and what is said of it.
#[derive(Clone, Debug)]
pub(crate) struct Children {
    /// Deployments and CronJobs.
    pub(crate) workloads: Read<Vec<Observed>>,
    pub(crate) jobs: Read<Vec<Observed>>,
    pub(crate) pods: Read<Vec<Observed>>,
    /// Code ConfigMaps.
    pub(crate) revisions: Read<Vec<Observed>>,
    /// The newest last.
    pub(crate) warnings: Read<Vec<Warning>>,
}

impl Children {
    /// Of what has none.
    pub(crate) fn none() -> Self {
        Self {
            workloads: Read::Got(Vec::new()),
            jobs: Read::Got(Vec::new()),
            pods: Read::Got(Vec::new()),
            revisions: Read::Got(Vec::new()),
            warnings: Read::Got(Vec::new()),
        }
    }

    /// The newest warning about one of them.
    pub(crate) fn warning(&self, kind: &str, name: &str) -> Option<&Warning> {
        self.warnings
            .got()?
            .iter()
            .rev()
            .find(|warning| warning.kind == kind && warning.name == name)
    }

    /// Pods that are not going away.
    pub(crate) fn live_pods(&self) -> impl Iterator<Item = (&Observed, &PodState)> {
        let pods = self.pods.got().into_iter().flatten();
        pods.filter(|pod| !pod.deleting)
            .filter_map(|pod| match &pod.state {
                ObservedState::Pod(facts) => Some((pod, &**facts)),
                _ => None,
            })
    }
}

/// An event of type Warning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Warning {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) last: Option<Timestamp>,
}

/// A Secret that pods of an object take a key from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SecretNeed {
    pub(crate) name: String,
    pub(crate) key: String,
    /// By its metadata: its content is never asked for.
    pub(crate) exists: Read<bool>,
}

/// A tool, model, client or persona.
#[derive(Clone, Debug)]
pub(crate) struct ServiceFacts {
    pub(crate) now: Timestamp,
    pub(crate) subject: Subject,
    /// A tool that runs in the pods of its agents.
    pub(crate) is_sidecar: bool,
    pub(crate) secrets: Vec<SecretNeed>,
    pub(crate) children: Children,
}

/// An agent, and what it refers to.
#[derive(Clone, Debug)]
pub(crate) struct AgentFacts {
    pub(crate) now: Timestamp,
    pub(crate) subject: Subject,
    /// `None`: it cannot be decoded.
    pub(crate) agent: Option<LanguageAgent>,
    /// All tools, models and personas of the namespace.
    pub(crate) neighbours: BTreeMap<Kind, Read<Vec<ServiceFacts>>>,
    pub(crate) children: Children,
}
