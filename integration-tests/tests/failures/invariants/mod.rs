//! What must hold of a namespace once nothing goes wrong any more, judged from the specs that users
//! wrote: a snapshot of all objects, and what is wrong in it. It knows nothing of how the operator
//! gets there.

mod agents;
mod network;
mod services;

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::CronJob,
        core::v1::{ConfigMap, LimitRange, PersistentVolumeClaim, Pod, ResourceQuota, Service},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use langop_api::{
    LanguageAgent, LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool,
    names::labels, pod::NameRef, tool::DeploymentMode,
};

pub(crate) use services::FOREIGN_WRITER;

use crate::fault_env::FaultEnv;
use agents::{Course, is_scheduled, workspace};

/// All objects of a namespace at one moment.
pub(crate) struct Snapshot {
    namespace: String,
    agents: Vec<LanguageAgent>,
    tools: Vec<LanguageTool>,
    models: Vec<LanguageModel>,
    personas: Vec<LanguagePersona>,
    clients: Vec<LanguageClient>,
    /// Those that name the namespace.
    clusters: Vec<LanguageCluster>,
    deployments: Vec<Deployment>,
    cron_jobs: Vec<CronJob>,
    policies: Vec<NetworkPolicy>,
    maps: Vec<ConfigMap>,
    services: Vec<Service>,
    claims: Vec<PersistentVolumeClaim>,
    pods: Vec<Pod>,
    bindings: Vec<RoleBinding>,
    quotas: Vec<ResourceQuota>,
    ranges: Vec<LimitRange>,
}

/// What is wrong, one line each.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }

    fn same(&mut self, what: &str, expected: &BTreeSet<String>, live: &BTreeSet<String>) {
        self.unless(expected == live, || {
            format!("{what} are {live:?}, not {expected:?}")
        });
    }
}

impl Snapshot {
    pub(crate) async fn of(env: &FaultEnv) -> Self {
        Self {
            namespace: env.ns.name().to_owned(),
            // Children first: one that is made meanwhile is then missing, rather than an orphan.
            deployments: env.list().await,
            cron_jobs: env.list().await,
            policies: env.list().await,
            maps: env.list().await,
            services: env.list().await,
            claims: env.list().await,
            pods: env.list().await,
            bindings: env.list().await,
            quotas: env.list().await,
            ranges: env.list().await,
            agents: env.list().await,
            tools: env.list().await,
            models: env.list().await,
            personas: env.list().await,
            clients: env.list().await,
            clusters: env.clusters().await,
        }
    }

    /// Names of the objects of one of our kinds.
    pub(crate) fn names(&self, kind: &str) -> Vec<String> {
        let names = match kind {
            "LanguageAgent" => named(&self.agents),
            "LanguageTool" => named(&self.tools),
            "LanguageModel" => named(&self.models),
            "LanguagePersona" => named(&self.personas),
            "LanguageClient" => named(&self.clients),
            _ => named(&self.clusters),
        };
        names.into_iter().collect()
    }

    /// Everything that is wrong.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut findings = Findings::default();
        self.each_generation_is_observed(&mut findings);
        self.nothing_is_orphaned(&mut findings);
        self.children_are_exactly_these(&mut findings);
        self.judge_frame(&mut findings);
        self.judge_services(&mut findings);
        self.judge_policies(&mut findings);
        for agent in &self.agents {
            self.judge_agent(agent, &mut findings);
        }
        findings.0
    }

    fn each_generation_is_observed(&self, findings: &mut Findings) {
        fn seen<'a, K: Resource, S: 'a>(
            objects: &'a [K],
            status: fn(&K) -> Option<&S>,
            observed: fn(&S) -> Option<i64>,
        ) -> impl Iterator<Item = (&'a ObjectMeta, Option<i64>)> {
            objects
                .iter()
                .map(move |object| (object.meta(), status(object).and_then(observed)))
        }
        let all = seen(
            &self.agents,
            |o| o.status.as_ref(),
            |s| s.observed_generation,
        )
        .chain(seen(
            &self.tools,
            |o| o.status.as_ref(),
            |s| s.observed_generation,
        ))
        .chain(seen(
            &self.models,
            |o| o.status.as_ref(),
            |s| s.observed_generation,
        ))
        .chain(seen(
            &self.personas,
            |o| o.status.as_ref(),
            |s| s.observed_generation,
        ))
        .chain(seen(
            &self.clients,
            |o| o.status.as_ref(),
            |s| s.observed_generation,
        ))
        .chain(seen(
            &self.clusters,
            |o| o.status.as_ref(),
            |s| s.observed_generation,
        ));
        for (meta, observed) in all {
            let name = meta.name.as_deref().unwrap_or_default();
            findings.unless(observed == meta.generation, || {
                format!(
                    "{name}: generation {:?}, observed {observed:?}",
                    meta.generation
                )
            });
        }
    }

    /// Whatever we made belongs to something that exists. A claim may have been kept for an agent
    /// of its name.
    fn nothing_is_orphaned(&self, findings: &mut Findings) {
        let owners: BTreeSet<String> = uids(&self.agents)
            .chain(uids(&self.tools))
            .chain(uids(&self.models))
            .chain(uids(&self.personas))
            .chain(uids(&self.clients))
            .chain(uids(&self.clusters))
            .collect();
        let children = children("Deployment", &self.deployments)
            .chain(children("CronJob", &self.cron_jobs))
            .chain(children("NetworkPolicy", &self.policies))
            .chain(children("ConfigMap", &self.maps))
            .chain(children("Service", &self.services))
            .chain(children("ResourceQuota", &self.quotas))
            .chain(children("LimitRange", &self.ranges))
            .chain(children("PersistentVolumeClaim", &self.claims));
        for (child, owner) in children {
            let is_owned = owner.as_ref().is_some_and(|owner| owners.contains(owner));
            let is_kept = owner.is_none()
                && (child.starts_with("PersistentVolumeClaim")
                    || child == "NetworkPolicy langop.baseline");
            findings.unless(is_owned || is_kept, || {
                format!("{child} has no living owner")
            });
        }
    }

    /// No child is missing and none is too many.
    fn children_are_exactly_these(&self, findings: &mut Findings) {
        let (mut deployments, mut cron_jobs, mut claims) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        // Of an agent that waits for something, what it had before stays.
        let mut waiting = BTreeSet::new();
        for agent in &self.agents {
            let name = agent.name_any();
            if !matches!(self.course(agent), Course::Runs(_)) {
                waiting.insert(name);
                continue;
            }
            if workspace(agent).is_some() {
                claims.insert(format!("{name}-workspace"));
            }
            if is_scheduled(agent) {
                cron_jobs.insert(name);
            } else {
                deployments.insert(name);
            }
        }
        let mut exposed = &named(self.services()) | &named(&self.clients);
        let proxy = |name: &String| format!("{name}-proxy");
        exposed.extend(named(&self.models).iter().map(proxy));
        let live = &named(&self.deployments) - &waiting;
        findings.same("Deployments", &(&deployments | &exposed), &live);
        let live = &named(&self.cron_jobs) - &waiting;
        findings.same("CronJobs", &cron_jobs, &live);
        findings.same("Services", &exposed, &named(&self.services));
        // Claims of former agents, and of those that have no workspace any more, may be there too.
        let missing = &claims - &named(&self.claims);
        findings.same("missing claims", &BTreeSet::new(), &missing);

        let mut policies =
            &(&named(&self.agents) | &named(&self.clients)) | &named(self.services());
        policies.extend(
            self.models
                .iter()
                .map(|model| format!("{}.proxy", model.name_any())),
        );
        // It is there since the first of them was, and stays.
        let is_closed = |policy: &NetworkPolicy| policy.name_any() == "langop.baseline";
        if !policies.is_empty() || self.policies.iter().any(is_closed) || self.cluster().is_some() {
            policies.insert("langop.baseline".to_owned());
        }
        if self
            .cluster()
            .is_some_and(|cluster| cluster.spec.network_isolation)
        {
            policies.insert("langop.isolation".to_owned());
        }
        findings.same("NetworkPolicies", &policies, &named(&self.policies));
    }

    /// The tools that run by themselves.
    fn services(&self) -> impl Iterator<Item = &LanguageTool> {
        self.tools
            .iter()
            .filter(|tool| tool.spec.deployment_mode == DeploymentMode::Service)
    }

    /// The tools of these references that exist, in their order.
    fn tools_of(&self, references: &[NameRef]) -> Vec<&LanguageTool> {
        let named = |reference: &NameRef| {
            self.tools
                .iter()
                .find(|tool| tool.name_any() == reference.name)
        };
        references.iter().filter_map(named).collect()
    }

    /// The models of these references that exist, in their order.
    fn models_of(&self, references: &[NameRef]) -> Vec<&LanguageModel> {
        let named = |reference: &NameRef| {
            self.models
                .iter()
                .find(|model| model.name_any() == reference.name)
        };
        references.iter().filter_map(named).collect()
    }

    /// The one that frames the namespace.
    fn cluster(&self) -> Option<&LanguageCluster> {
        self.clusters.first()
    }
}

/// `True AsDesired`
fn reason(conditions: &[Condition], type_: &str) -> String {
    let condition = conditions.iter().find(|condition| condition.type_ == type_);
    condition
        .map(|condition| format!("{} {}", condition.status, condition.reason))
        .unwrap_or_default()
}

fn told(conditions: &[Condition]) -> String {
    let lines = conditions
        .iter()
        .map(|c| format!("{}={} {} ({})", c.type_, c.status, c.reason, c.message));
    lines.collect::<Vec<_>>().join("; ")
}

fn uids<K: Resource>(objects: &[K]) -> impl Iterator<Item = String> {
    objects.iter().filter_map(ResourceExt::uid)
}

fn controller<K: Resource>(object: &K) -> Option<String> {
    let owners = object.owner_references().iter();
    owners
        .filter(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.clone())
        .next()
}

/// The operator's children among these, and who owns them.
fn children<'a, K: Resource>(
    kind: &'a str,
    objects: &'a [K],
) -> impl Iterator<Item = (String, Option<String>)> + 'a {
    let ours = objects.iter().filter(|object| {
        object
            .labels()
            .get(labels::PART_OF)
            .is_some_and(|v| v == labels::PART_OF_VALUE)
    });
    ours.map(move |object| (format!("{kind} {}", object.name_any()), controller(object)))
}

fn named<'a, K: Resource + 'a>(objects: impl IntoIterator<Item = &'a K>) -> BTreeSet<String> {
    objects.into_iter().map(ResourceExt::name_any).collect()
}
