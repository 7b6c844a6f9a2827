//! Tools, models, clients and personas: ready, behind a Service that leads to them, with the images
//! of their specs; and what the LanguageCluster makes of the namespace.

use std::collections::BTreeSet;

use k8s_openapi::{api::core::v1::PodSpec, apimachinery::pkg::util::intstr::IntOrString};
use kube::ResourceExt as _;
use langop_api::{
    LanguageClient, LanguageCluster, LanguagePersona, agent::AgentPhase, cluster::AgentCounts,
    names::labels, tool::DeploymentMode,
};

use super::{Findings, Snapshot, children, named, reason, told};

/// In every image, schedule and rule of those who meddle.
pub(crate) const FOREIGN_WRITER: &str = "meddled";

impl Snapshot {
    pub(super) fn judge_services(&self, findings: &mut Findings) {
        for tool in &self.tools {
            let (name, status) = (tool.name_any(), tool.status.clone().unwrap_or_default());
            let is_service = tool.spec.deployment_mode == DeploymentMode::Service;
            let asks = tool
                .spec
                .egress
                .as_ref()
                .is_some_and(|rules| !rules.is_empty());
            let ready = if is_service && asks && self.denies_egress() {
                "False EgressDenied"
            } else {
                "True AsDesired"
            };
            is_ready(&name, &status.conditions, ready, findings);
            if is_service {
                self.judge_service(&name, (labels::TOOL, &name), tool.spec.port, findings);
                self.judge_image(&name, Some(&tool.spec.image), findings);
            }
        }
        for model in &self.models {
            let (name, status) = (model.name_any(), model.status.clone().unwrap_or_default());
            is_ready(&name, &status.conditions, "True AsDesired", findings);
            let proxy = format!("{name}-proxy");
            self.judge_service(&proxy, (labels::MODEL, &name), 8000, findings);
            self.judge_image(&proxy, None, findings);
            self.judge_config(&proxy, &model.spec.model, findings);
        }
        for client in &self.clients {
            self.judge_client(client, findings);
        }
        for persona in &self.personas {
            judge_persona(persona, findings);
        }
        for cluster in &self.clusters {
            self.judge_cluster(cluster, findings);
        }
    }

    /// The Service leads to the pods with this label, on this port.
    fn judge_service(
        &self,
        name: &str,
        (label, value): (&str, &str),
        port: i32,
        findings: &mut Findings,
    ) {
        // One that is missing is found elsewhere.
        let Some(service) = self
            .services
            .iter()
            .find(|service| service.name_any() == name)
        else {
            return;
        };
        let spec = service.spec.clone().unwrap_or_default();
        let leads_to = spec.selector.unwrap_or_default();
        findings.unless(
            leads_to == [(label.to_owned(), value.to_owned())].into(),
            || format!("Service {name} leads to {leads_to:?}"),
        );
        let ports: Vec<_> = spec
            .ports
            .into_iter()
            .flatten()
            .map(|port| (port.port, port.target_port))
            .collect();
        findings.unless(ports == [(port, Some(IntOrString::Int(port)))], || {
            format!("Service {name} has {ports:?}, not {port}")
        });
    }

    /// The Deployment runs this image, or any but that of those who meddle.
    fn judge_image(&self, name: &str, image: Option<&String>, findings: &mut Findings) {
        let Some(pod) = self.pod_of(name) else { return };
        let runs: Vec<_> = pod
            .containers
            .iter()
            .filter_map(|container| container.image.as_ref())
            .collect();
        let is_right = image.map_or_else(
            || !runs.iter().any(|image| image.contains(FOREIGN_WRITER)),
            |image| runs == [image],
        );
        findings.unless(is_right, || format!("{name} runs {runs:?}, not {image:?}"));
    }

    /// The pod of the Deployment of this name.
    fn pod_of(&self, name: &str) -> Option<&PodSpec> {
        let deployment = self
            .deployments
            .iter()
            .find(|found| found.name_any() == name)?;
        deployment.spec.as_ref()?.template.spec.as_ref()
    }

    fn judge_config(&self, proxy: &str, model: &str, findings: &mut Findings) {
        let map = self.maps.iter().find(|map| map.name_any() == proxy);
        let text = map
            .and_then(|map| map.data.as_ref()?.get("config.yaml").cloned())
            .unwrap_or_default();
        findings.unless(text.contains(&format!("\"anthropic/{model}\"")), || {
            format!("{proxy} is not configured for {model}: {text}")
        });
    }

    fn judge_client(&self, client: &LanguageClient, findings: &mut Findings) {
        let (name, status) = (client.name_any(), client.status.clone().unwrap_or_default());
        let tools = self.tools_of(&client.spec.tool_refs);
        let sidecars = tools
            .iter()
            .filter(|tool| tool.spec.deployment_mode == DeploymentMode::Sidecar)
            .count();
        let models = self.models_of(&client.spec.model_refs);
        let found = tools.len() - sidecars + models.len();
        let is_complete = found == client.spec.tool_refs.len() + client.spec.model_refs.len();
        is_ready(
            &name,
            &status.conditions,
            if is_complete {
                "True AsDesired"
            } else {
                "False ReferenceNotFound"
            },
            findings,
        );
        self.judge_service(&name, (labels::CLIENT, &name), client.spec.port, findings);
        self.judge_image(&name, Some(&client.spec.image), findings);
        let Some(pod) = self.pod_of(&name) else {
            return;
        };
        let services: Vec<_> = tools
            .into_iter()
            .filter(|tool| tool.spec.deployment_mode == DeploymentMode::Service)
            .collect();
        self.judge_given(&name, pod, &services, &models, findings);
    }

    /// Everything that a cluster makes in its namespace, its counts included.
    fn judge_cluster(&self, cluster: &LanguageCluster, findings: &mut Findings) {
        let (name, status) = (
            cluster.name_any(),
            cluster.status.clone().unwrap_or_default(),
        );
        is_ready(&name, &status.conditions, "True AsDesired", findings);
        let of_phase = |wanted: &[AgentPhase]| {
            let phases = self
                .agents
                .iter()
                .filter_map(|agent| agent.status.as_ref()?.phase);
            i32::try_from(phases.filter(|phase| wanted.contains(phase)).count()).unwrap()
        };
        let counts = AgentCounts {
            total: i32::try_from(self.agents.len()).unwrap(),
            running: of_phase(&[AgentPhase::Running, AgentPhase::Succeeded]),
            failed: of_phase(&[AgentPhase::Failed]),
            suspended: None,
        };
        findings.unless(status.agents == Some(counts), || {
            format!("{name} counts {:?}, not {counts:?}", status.agents)
        });
    }

    /// The frame around the namespace, if there is to be one: no part is missing and none is left
    /// over.
    pub(super) fn judge_frame(&self, findings: &mut Findings) {
        let bindings = [
            "langop-admin",
            "langop-approve",
            "langop-edit",
            "langop-view",
        ];
        let (quotas, ranges) = (named(&self.quotas), named(&self.ranges));
        let ours = |names: &[&str]| -> BTreeSet<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let live: BTreeSet<String> = children("", &self.bindings)
            .map(|(name, _)| name.trim().to_owned())
            .filter(|name| bindings.contains(&name.as_str()))
            .collect();
        let (mut wanted, mut quota) = (BTreeSet::new(), BTreeSet::new());
        if let Some(cluster) = self.cluster() {
            wanted = ours(&bindings);
            if !cluster.spec.resource_quotas.is_empty() {
                quota = ours(&["langop-quota"]);
            }
        }
        findings.same("bindings", &wanted, &live);
        findings.same("quotas", &quota, &quotas);
        // The quota of these tests is on requests.
        let range = if quota.is_empty() {
            ours(&[])
        } else {
            ours(&["langop-defaults"])
        };
        findings.same("LimitRanges", &range, &ranges);
    }
}

/// Ready is this, as `True AsDesired`.
fn is_ready(name: &str, conditions: &[super::Condition], expected: &str, findings: &mut Findings) {
    let ready = reason(conditions, "Ready");
    findings.unless(ready == expected, || {
        format!(
            "{name}: Ready is '{ready}', not '{expected}': {}",
            told(conditions)
        )
    });
}

/// What agents read is made from the present text, by the LLM.
fn judge_persona(persona: &LanguagePersona, findings: &mut Findings) {
    let (name, status) = (
        persona.name_any(),
        persona.status.clone().unwrap_or_default(),
    );
    is_ready(&name, &status.conditions, "True Distilled", findings);
    let distilled = status.distilled.and_then(|distilled| distilled.description);
    findings.unless(distilled == persona.spec.description, || {
        format!("{name}: distilled of {distilled:?}")
    });
}
