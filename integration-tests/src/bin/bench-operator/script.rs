//! What the operator wrote, in a form that a client which knows nothing can repeat: for each agent
//! its requests in their order.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result, bail};
use http::{HeaderValue, Method};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use langop_api::LanguageAgent;
use langop_integration_tests::{AuditLog, Filter, Mark, audit::Recorded};
use serde_json::Value;

/// The requests for all agents.
pub(crate) struct Script {
    pub(crate) agents: Vec<LanguageAgent>,
    /// In the order of their first requests.
    pub(crate) parts: Vec<Part>,
}

/// The requests for one agent.
pub(crate) struct Part {
    /// Its place in the list.
    pub(crate) agent: usize,
    /// Its uid when they were recorded; the bodies name it.
    pub(crate) uid: String,
    pub(crate) writes: Vec<Write>,
}

/// One request.
pub(crate) struct Write {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) content_type: HeaderValue,
    pub(crate) body: String,
}

impl Script {
    /// What `user` wrote with success for these agents since the mark. Their names are of one
    /// length, and all names of objects that belong to an agent begin with its own.
    pub(crate) fn record(
        audit: &AuditLog,
        mark: Mark,
        user: &str,
        agents: &[LanguageAgent],
        uids: &[String],
    ) -> Result<Self> {
        let length = agents
            .first()
            .map(|agent| agent.name_any().len())
            .unwrap_or_default();
        let places: HashMap<(String, String), usize> = agents
            .iter()
            .enumerate()
            .map(|(n, agent)| ((agent.namespace().unwrap_or_default(), agent.name_any()), n))
            .collect();
        let mut parts: Vec<Part> = Vec::new();
        let mut part_of: HashMap<usize, usize> = HashMap::new();
        audit.each_recorded(mark, &Filter::writes().user(user), |request| {
            let Some(name) = object_name(&request).get(..length).map(str::to_owned) else {
                return Ok(());
            };
            let Some(&agent) = places.get(&(request.event.namespace.clone(), name)) else {
                return Ok(());
            };
            if request.event.code >= 400 {
                return Ok(());
            }
            let uid = &uids[agent];
            let write = Write::of(request, uid)?;
            let part = *part_of.entry(agent).or_insert_with(|| {
                parts.push(Part {
                    agent,
                    uid: uid.clone(),
                    writes: Vec::new(),
                });
                parts.len() - 1
            });
            parts[part].writes.push(write);
            Ok(())
        })?;
        Ok(Self {
            agents: agents.to_vec(),
            parts,
        })
    }

    /// All requests.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.writes.len()).sum()
    }
}

/// What a filter wants of the writes from the mark until `end`, in a sequence for each of `owners`,
/// whose objects' names begin with the owner's. What belongs to none of them is a sequence by
/// itself.
pub(crate) fn sequences(
    audit: &AuditLog,
    mark: Mark,
    end: Timestamp,
    filter: &Filter,
    owners: &BTreeSet<String>,
) -> Result<Vec<Vec<Write>>> {
    let mut sequences: Vec<(String, Vec<Write>)> = Vec::new();
    audit.each_recorded(mark, filter, |mut request| {
        if request.event.code >= 400 || request.event.at > end {
            return Ok(());
        }
        if request.event.resource == "events" {
            rename(&mut request.body);
        }
        let name = object_name(&request).to_owned();
        let owner = owners.iter().find(|owner| name.starts_with(*owner));
        let owner = owner.cloned().unwrap_or(name);
        let write = Write::of(request, "")?;
        match sequences.iter_mut().find(|(of, _)| *of == owner) {
            Some((_, writes)) => writes.push(write),
            None => sequences.push((owner, vec![write])),
        }
        Ok(())
    })?;
    Ok(sequences.into_iter().map(|(_, writes)| writes).collect())
}

/// The object a request is about; creations name it in the body only.
fn object_name(request: &Recorded) -> &str {
    match request.event.name.as_str() {
        "" => request.body["metadata"]["name"]
            .as_str()
            .unwrap_or_default(),
        name => name,
    }
}

impl Write {
    fn of(
        Recorded {
            event,
            uri,
            mut body,
        }: Recorded,
        owner: &str,
    ) -> Result<Self> {
        let (method, content_type) = match event.verb.as_str() {
            "create" => (Method::POST, "application/json"),
            "update" => (Method::PUT, "application/json"),
            "delete" => (Method::DELETE, "application/json"),
            // The audit log leaves the content type out; of the two that the operator sends, only
            // an apply names the kind.
            "patch" if body["kind"].is_string() => (Method::PATCH, "application/apply-patch+yaml"),
            "patch" => (Method::PATCH, "application/merge-patch+json"),
            verb => bail!("the operator made a request that cannot be repeated: {verb} {uri}"),
        };
        if body.is_null() && method != Method::DELETE {
            bail!("the audit log has no body of {method} {uri}");
        }
        strip(&mut body, owner);
        let content_type = HeaderValue::from_static(content_type);
        Ok(Self {
            method,
            uri,
            content_type,
            body: serde_json::to_string(&body).context("a body is no JSON")?,
        })
    }
}

/// Each event is an object of its own: beside one that is there, it must have another name.
fn rename(body: &mut Value) {
    if let Some(Value::String(name)) = body.pointer_mut("/metadata/name") {
        name.push_str(".again");
    }
}

/// Takes out what another API server will give other values: versions, and the uids of children.
/// The agent's own uid is exchanged when the request is repeated.
fn strip(body: &mut Value, owner: &str) {
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        if metadata.get("uid").and_then(Value::as_str) != Some(owner) {
            metadata.remove("uid");
        }
    }
    if let Some(body) = body.as_object_mut() {
        body.remove("preconditions");
    }
}
