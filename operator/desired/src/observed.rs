//! Live children as the operator's stores hold them: reduced at ingest to what decisions need. No
//! generated code, no env, no template: at ten thousand agents the difference is gigabytes.

use k8s_openapi::jiff::Timestamp;
use langop_api::agent::RunTokens;
use langop_dsl::{AgentDefinition, Constraints, Mode, Schedule};
use serde::{Deserialize, Serialize};

/// The child kinds the operator watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the Kubernetes kinds of these names")]
pub enum ChildKind {
    ConfigMap,
    CronJob,
    Deployment,
    Job,
    LimitRange,
    Namespace,
    NetworkPolicy,
    PersistentVolumeClaim,
    Pod,
    ResourceQuota,
    RoleBinding,
    Service,
}

/// A live child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// What it is.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// Its namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// Its controller, if any.
    pub controller: Option<Controller>,
    /// Its labels of ours (`langop.io/…`), and for namespaces those of Pod Security.
    pub labels: CompactMap,
    /// Its annotations of ours (`langop.io/…`).
    pub annotations: CompactMap,
    /// Creation time, RFC 3339 in UTC, so that text order is time order.
    pub created: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Digest of the live values at the paths that our field manager owns (see [`crate::digest`]).
    /// Empty: we own nothing of it.
    pub owned_digest: String,
    /// What its kind has to say.
    pub state: ObservedState,
}

/// Labels or annotations, sorted by key. A few for each of a hundred thousand objects, for which a
/// tree's nodes are mostly empty room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactMap(Box<[(Box<str>, Box<str>)]>);

impl CompactMap {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self
            .0
            .binary_search_by(|(held, _)| (**held).cmp(key))
            .ok()?;
        Some(&self.0[at].1)
    }

    /// Keys and values.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

/// Keys must not repeat: in JSON they cannot.
impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for CompactMap {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let mut entries: Box<[_]> = entries
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        entries.sort_unstable();
        Self(entries)
    }
}

/// A controlling owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// Its kind, e.g. `LanguageAgent`, `ReplicaSet`, `Job`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What of a live child matters, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ObservedState {
    /// Nothing beyond its existence.
    None,
    /// A Deployment.
    Deployment(DeploymentState),
    /// A CronJob.
    CronJob(CronJobState),
    /// A Job.
    Job(Box<JobState>),
    /// A Pod.
    Pod(Box<PodState>),
    /// A code ConfigMap.
    Code(Box<CodeState>),
    /// A `PersistentVolumeClaim`: whether it is bound, and what it asks for (a quantity).
    #[expect(missing_docs, reason = "said above")]
    Claim { bound: bool, storage: String },
    /// A Namespace: whether it is terminating, and whether another field manager owns one of its
    /// Pod Security labels.
    #[expect(missing_docs, reason = "said above")]
    Namespace {
        terminating: bool,
        foreign_pod_security: bool,
    },
}

/// The rollout of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentState {
    /// metadata.generation.
    pub generation: i64,
    /// status.observedGeneration.
    pub observed_generation: i64,
    /// spec.replicas.
    pub desired: i32,
    /// spec.paused: no rollout begins, and one under way stands still.
    pub paused: bool,
    /// status.replicas.
    pub replicas: i32,
    /// status.updatedReplicas.
    pub updated: i32,
    /// status.readyReplicas.
    pub ready: i32,
    /// Message of the condition `ReplicaFailure`, if True: for example an exceeded quota.
    pub replica_failure: Option<Box<str>>,
    /// Message of the condition Progressing, if False: the rollout does not get on.
    pub stuck: Option<Box<str>>,
}

/// When a CronJob makes Jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronJobState {
    /// Jobs of it that have not ended.
    pub active: i32,
    /// spec.schedule.
    pub schedule: String,
    /// spec.timeZone.
    pub time_zone: Option<String>,
    /// spec.suspend.
    pub suspended: bool,
}

/// How far a Job is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobState {
    /// `Some(true)` Complete, `Some(false)` Failed, `None` running.
    pub succeeded: Option<bool>,
    /// When it ended, RFC 3339.
    pub ended: Option<String>,
    /// Message of the condition Failed.
    pub message: Option<String>,
    /// Whether it ever had a pod.
    pub had_pod: bool,
    /// Whether a person made it from the CronJob, as `kubectl create job --from` does.
    pub by_hand: bool,
}

/// A pod of one of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodState {
    /// status.phase.
    pub phase: String,
    /// Condition Ready.
    pub ready: bool,
    /// What keeps it from working: scheduling, pulling, crashing.
    pub problem: Option<PodProblem>,
    /// How often its main container was restarted.
    pub restarts: i32,
    /// How its main container ended last.
    pub last_termination: Option<Termination>,
}

impl PodState {
    /// Whether it came to its end: it is no pod that a Deployment counts.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// What keeps it from working now.
    pub fn problem_at(&self, now: Timestamp) -> Option<&str> {
        let problem = self.problem.as_ref()?;
        let counts = problem.from.is_none_or(|from| from <= now)
            && problem.until.is_none_or(|until| now < until);
        counts.then_some(problem.cause.as_str())
    }
}

/// What keeps a pod from working.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodProblem {
    /// One sentence naming the cause: the same for the same cause, without times and numbers of
    /// tries.
    pub cause: String,
    /// From when on it is worth a word; `None`: at once.
    pub from: Option<Timestamp>,
    /// When it is over although nothing more is heard: the container that crashed has run well for
    /// long enough. `None`: it does not run.
    pub until: Option<Timestamp>,
}

/// The end of one run of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// Exit code; 0 is success.
    pub exit_code: i32,
    /// When, RFC 3339.
    pub ended: Option<String>,
    /// The first line of its termination message, else the reason the kubelet gives
    /// (`OOMKilled`, `Error`); at most 256 bytes.
    pub message: Option<String>,
    /// The account that its runtime gives of the run, if it gives one.
    pub report: Option<RunReport>,
}

/// What a runtime says of a run, by its own word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// Whether it was not due, and nothing was done.
    pub is_skipped: bool,
    /// What it spent.
    pub tokens: RunTokens,
}

/// A stored revision of an agent's code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodeState {
    /// Its number as its annotation has it, which anybody may have put there; 0 when that is
    /// missing. Of code that an agent knows, see [`crate::agent::known`].
    pub revision: i64,
    /// SHA-256 of all its data; `None` if that can change, or its name or its annotations say
    /// another.
    pub content: Option<String>,
    /// Hash of its instructions.
    pub instructions_hash: String,
    /// The names offered when it was made.
    pub offered: AvailableRefs,
    /// SHA-256 of the statement that it carries of where it comes from.
    pub statement: Option<Box<str>>,
    /// Whether that holds; `None`: the operator has no keys, and nobody asks.
    pub origin: Option<Box<Origin>>,
    /// What its checked definition demands; `None` when it cannot be read (then the code counts as
    /// gone).
    pub requirements: Option<CodeRequirements>,
}

impl CodeState {
    /// Whether it may become active by where it comes from.
    pub fn is_trusted(&self) -> bool {
        let origin = self.origin.as_deref();
        origin.is_none_or(|origin| matches!(origin.verdict, Verdict::Signed { .. }))
    }
}

/// What the operator's keys say of where code comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Which keys: others may say otherwise.
    pub keys: [u8; 8],
    /// What they say.
    pub verdict: Verdict,
}

/// Whether a statement holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It does.
    Signed {
        /// The id of the key that signed it.
        key_id: Box<str>,
    },
    /// There is none.
    Missing,
    /// It does not.
    Refused {
        /// In words.
        why: Box<str>,
    },
}

/// What code says of how it is to run, and what it uses: all that is kept of its definition, whose
/// steps only the running agent reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRequirements {
    /// How it runs.
    pub mode: Mode,
    /// When it runs; absent: continuously.
    pub schedule: Option<Schedule>,
    /// Bounds it sets itself.
    pub constraints: Constraints,
    /// Names of the tools it uses, sorted.
    pub tools: Vec<String>,
    /// Names of the models it asks by name, sorted.
    pub models: Vec<String>,
}

impl From<&AgentDefinition> for CodeRequirements {
    fn from(definition: &AgentDefinition) -> Self {
        Self {
            mode: definition.effective_mode(),
            schedule: definition.schedule.clone(),
            constraints: definition.constraints.clone(),
            tools: definition.tools().into_iter().collect(),
            models: definition.models().into_iter().collect(),
        }
    }
}

/// The names of tools and models that were offered when code was made, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailableRefs {
    /// Names of tools.
    pub tools: Vec<String>,
    /// Names of models.
    pub models: Vec<String>,
}
