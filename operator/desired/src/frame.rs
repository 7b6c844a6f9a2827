//! An administrator's frame for pods: what the LanguageCluster of a namespace allows, held against
//! every pod template that is built there, whatever it is for.
//!
//! Must not change what a user asked for: what goes beyond the frame is refused in words, and what
//! runs keeps running.

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use langop_api::{cluster::PodFrame, condition::Reason};

use crate::{
    agent::ClusterView,
    children::{Children, Prepared},
    conditions::Invalid,
    quantity,
};

/// What pods may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Frame {
    /// Nobody says.
    #[default]
    None,
    /// What a LanguageCluster says.
    Of {
        /// Its name.
        cluster: String,
        /// What it allows.
        pods: PodFrame,
        /// The `RuntimeClass` of pods that name none.
        runtime_class: Option<String>,
    },
    /// A LanguageCluster cannot be read, so nothing new may be asked for.
    Unreadable {
        /// Its name.
        cluster: String,
    },
}

impl Frame {
    /// That of a namespace.
    pub fn of(cluster: Option<&ClusterView>) -> Self {
        let Some(view) = cluster else {
            return Self::None;
        };
        let cluster = view.name.clone();
        match (&view.pods, &view.runtime_class_name) {
            (None, None) if view.is_readable() => Self::None,
            (None, None) => Self::Unreadable { cluster },
            (pods, runtime_class) => Self::Of {
                cluster,
                pods: pods.clone().unwrap_or_default(),
                runtime_class: runtime_class.clone(),
            },
        }
    }

    /// The pods as they are to be in the frame.
    ///
    /// # Errors
    /// If they ask for more than it allows; the message says what to write instead.
    pub fn hold(&self, mut template: PodTemplateSpec) -> Result<PodTemplateSpec, Invalid> {
        let (cluster, frame, runtime_class) = match self {
            Self::None => return Ok(template),
            Self::Unreadable { cluster } => return Err(unreadable(cluster)),
            Self::Of {
                cluster,
                pods,
                runtime_class,
            } => (cluster, pods, runtime_class),
        };
        if let Some(pods) = &mut template.spec {
            let complaints: Vec<String> = [
                selectors(frame, pods),
                tolerations(frame, pods),
                limits(frame, pods),
                users(frame, pods),
                runtime_classes(frame, pods),
            ]
            .concat();
            if !complaints.is_empty() {
                return Err(beyond(cluster, &complaints.join("; ")));
            }
            pods.runtime_class_name = (frame.runtime_class_name.clone())
                .or(pods.runtime_class_name.take())
                .or_else(|| runtime_class.clone());
        }
        Ok(template)
    }

    /// The Deployments among children as they are to be in the frame.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn hold_all(
        &self,
        mut children: Children<Prepared>,
    ) -> Result<Children<Prepared>, Invalid> {
        for deployment in &mut children.deployments {
            if let Some(spec) = &mut deployment.spec {
                spec.template = self.hold(std::mem::take(&mut spec.template))?;
            }
        }
        Ok(children)
    }

    /// How long a run may take: what is asked for, else what is allowed.
    ///
    /// # Errors
    /// If that is more than is allowed.
    pub fn run_seconds(&self, asked: Option<u64>) -> Result<Option<u64>, Invalid> {
        let (cluster, frame) = match self {
            Self::None => return Ok(asked),
            Self::Unreadable { cluster } => return Err(unreadable(cluster)),
            Self::Of { cluster, pods, .. } => (cluster, pods),
        };
        let most = frame
            .max_run_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        match (asked, most) {
            (Some(asked), Some(most)) if asked > most => Err(beyond(
                cluster,
                &format!(
                    "a run may take {most}s (pods.maxRunSeconds), and {asked}s are asked for: write limits.timeout: {most}s or less"
                ),
            )),
            (asked, most) => Ok(asked.or(most)),
        }
    }
}

fn beyond(cluster: &str, what: &str) -> Invalid {
    Invalid {
        reason: Reason::PodNotAllowed,
        message: format!("the LanguageCluster '{cluster}' does not allow this: {what}"),
    }
}

fn unreadable(cluster: &str) -> Invalid {
    Invalid {
        reason: Reason::PodNotAllowed,
        message: format!(
            "the LanguageCluster '{cluster}' cannot be read, so what it allows pods is unknown: correct it first"
        ),
    }
}

fn selectors(frame: &PodFrame, pods: &PodSpec) -> Vec<String> {
    let Some(allowed) = &frame.node_selector_keys else {
        return Vec::new();
    };
    let keys = pods.node_selector.iter().flat_map(|labels| labels.keys());
    keys.filter(|key| !allowed.contains(key))
        .map(|key| format!("nodeSelector must not name '{key}': leave it out, or name one of pods.nodeSelectorKeys ({})", list(allowed)))
        .collect()
}

fn tolerations(frame: &PodFrame, pods: &PodSpec) -> Vec<String> {
    let Some(allowed) = &frame.toleration_keys else {
        return Vec::new();
    };
    let tolerations = pods.tolerations.iter().flatten();
    tolerations
        .filter_map(|toleration| match &toleration.key {
            Some(key) if allowed.contains(key) => None,
            Some(key) => Some(format!("tolerations must not name '{key}': leave it out, or name one of pods.tolerationKeys ({})", list(allowed))),
            None => Some(format!("a toleration of all taints is not allowed: name one of pods.tolerationKeys ({})", list(allowed))),
        })
        .collect()
}

/// The class of all pods is that of each; naming it is no more than saying so.
fn runtime_classes(frame: &PodFrame, pods: &PodSpec) -> Vec<String> {
    match (&frame.runtime_class_name, &pods.runtime_class_name) {
        (Some(only), Some(asked)) if only != asked => vec![format!(
            "runtimeClassName must not be '{asked}': leave it out, or write '{only}' (pods.runtimeClassName)"
        )],
        _ => Vec::new(),
    }
}

fn list(allowed: &[String]) -> String {
    if allowed.is_empty() {
        "none".to_owned()
    } else {
        allowed.join(", ")
    }
}

fn containers(pods: &PodSpec) -> impl Iterator<Item = &Container> {
    pods.init_containers
        .iter()
        .flatten()
        .chain(&pods.containers)
}

/// A container has a limit of each resource that it may use, by [`crate::pod::requirements`].
fn limits(frame: &PodFrame, pods: &PodSpec) -> Vec<String> {
    let mut complaints = Vec::new();
    for container in containers(pods) {
        let limits = container
            .resources
            .as_ref()
            .and_then(|resources| resources.limits.as_ref());
        for (resource, limit) in limits.into_iter().flatten() {
            let Some(most) = frame.max_limits.get(resource) else {
                continue;
            };
            let fits = quantity::parse(&limit.0)
                .and_then(|limit| Ok(limit <= quantity::parse(&most.0)?))
                .unwrap_or(false);
            if !fits {
                complaints.push(format!(
                    "container '{}' has a limit of {} {resource}, and pods.maxLimits allows {}: write resources.limits.{resource}: {} or less",
                    container.name, limit.0, most.0, most.0
                ));
            }
        }
    }
    complaints
}

/// An id that nobody names is the image's own, which nobody knows.
fn users(frame: &PodFrame, pods: &PodSpec) -> Vec<String> {
    let Some(range) = frame.run_as_user_range else {
        return Vec::new();
    };
    let of_pod = pods
        .security_context
        .as_ref()
        .and_then(|context| context.run_as_user);
    let of_containers = containers(pods).map(|container| {
        container
            .security_context
            .as_ref()
            .and_then(|context| context.run_as_user)
            .or(of_pod)
    });
    let mut outside: Vec<String> = of_containers
        .filter(|id| !id.is_some_and(|id| (range.min..=range.max).contains(&id)))
        .map(|id| {
            let id = id.map_or_else(|| "the image's own".to_owned(), |id| id.to_string());
            format!(
                "the user id {id} is outside of pods.runAsUserRange: write runAsUser: {} to {}",
                range.min, range.max
            )
        })
        .collect();
    outside.dedup();
    outside
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn frame(pods: Value) -> Frame {
        Frame::Of {
            cluster: "team".into(),
            pods: serde_json::from_value(pods).unwrap(),
            runtime_class: None,
        }
    }

    /// A pod that asks for something of everything.
    fn template() -> PodTemplateSpec {
        serde_json::from_value(json!({"spec": {
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "securityContext": {"runAsUser": 65532},
            "initContainers": [{"name": "tool-files", "securityContext": {"runAsUser": 1000}, "resources": {"limits": {"memory": "1Gi"}}}],
            "containers": [{"name": "agent", "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}}}],
        }}))
        .unwrap()
    }

    #[test]
    fn what_is_within_gets_the_runtime_class() {
        let all = frame(json!({
            "runtimeClassName": "gvisor", "nodeSelectorKeys": ["kubernetes.io/arch"], "tolerationKeys": ["gpu"],
            "maxLimits": {"cpu": "0.5", "memory": "1024Mi"}, "runAsUserRange": {"min": 1000, "max": 65532}
        }));
        let held = all.hold(template()).unwrap();
        assert_eq!(
            held.spec.unwrap().runtime_class_name.as_deref(),
            Some("gvisor")
        );
        assert_eq!(frame(json!({})).hold(template()), Ok(template()));
        assert_eq!(Frame::None.hold(template()), Ok(template()));
    }

    #[test]
    fn of_runtime_classes_the_only_one_comes_first_then_the_pods_own_then_the_default() {
        for (only, own, default, runs) in [
            (None, None, None, None),
            (None, None, Some("kata"), Some("kata")),
            (None, Some("gvisor"), Some("kata"), Some("gvisor")),
            (Some("gvisor"), None, Some("kata"), Some("gvisor")),
            (Some("gvisor"), Some("gvisor"), None, Some("gvisor")),
        ] {
            let frame = Frame::Of {
                cluster: "team".into(),
                pods: serde_json::from_value(json!({"runtimeClassName": only})).unwrap(),
                runtime_class: default.map(str::to_owned),
            };
            let mut asked = template();
            asked.spec.as_mut().unwrap().runtime_class_name = own.map(str::to_owned);
            let held = frame.hold(asked).unwrap().spec.unwrap();
            assert_eq!(held.runtime_class_name.as_deref(), runs, "{only:?} {own:?}");
        }
    }

    #[test]
    fn what_is_beyond_is_told_what_to_write() {
        for (pods, message) in [
            (
                json!({"nodeSelectorKeys": []}),
                "nodeSelector must not name 'kubernetes.io/arch'",
            ),
            (
                json!({"tolerationKeys": ["a", "b"]}),
                "one of pods.tolerationKeys (a, b)",
            ),
            (
                json!({"maxLimits": {"memory": "1023Mi"}}),
                "container 'tool-files' has a limit of 1Gi memory",
            ),
            (
                json!({"maxLimits": {"cpu": "499m"}}),
                "write resources.limits.cpu: 499m or less",
            ),
            (
                json!({"runAsUserRange": {"min": 2000, "max": 70000}}),
                "the user id 1000 is outside",
            ),
            (
                json!({"runAsUserRange": {"min": 1, "max": 2000}}),
                "the user id 65532 is outside",
            ),
        ] {
            let refused = frame(pods.clone()).hold(template()).unwrap_err();
            assert_eq!(refused.reason, Reason::PodNotAllowed);
            assert!(
                refused.message.contains(message),
                "{pods}: {}",
                refused.message
            );
        }
        let mut elsewhere = template();
        elsewhere.spec.as_mut().unwrap().runtime_class_name = Some("runc".into());
        let refused = frame(json!({"runtimeClassName": "gvisor"})).hold(elsewhere);
        let message = refused.unwrap_err().message;
        assert!(message.contains("or write 'gvisor'"), "{message}");
        let mut anywhere = template();
        anywhere.spec.as_mut().unwrap().tolerations = Some(vec![
            serde_json::from_value(json!({"operator": "Exists"})).unwrap(),
        ]);
        let refused = frame(json!({"tolerationKeys": ["gpu"]}))
            .hold(anywhere)
            .unwrap_err();
        assert!(
            refused.message.contains("a toleration of all taints"),
            "{}",
            refused.message
        );
    }

    #[test]
    fn a_run_is_as_long_as_asked_for_and_allowed() {
        let hour = frame(json!({"maxRunSeconds": 3600}));
        assert_eq!(hour.run_seconds(None), Ok(Some(3600)));
        assert_eq!(hour.run_seconds(Some(60)), Ok(Some(60)));
        assert!(
            hour.run_seconds(Some(3601))
                .unwrap_err()
                .message
                .contains("limits.timeout: 3600s")
        );
        assert_eq!(Frame::None.run_seconds(Some(7200)), Ok(Some(7200)));
    }

    #[test]
    fn a_cluster_that_cannot_be_read_allows_nothing_new() {
        let view = ClusterView {
            name: "team".into(),
            agent_egress: None,
            pods: None,
            allowed_egress: vec![],
            model_egress: None,
            ingress_from: vec![],
            ..ClusterView::default()
        };
        let frame = Frame::of(Some(&view));
        assert!(frame.hold(template()).is_err() && frame.run_seconds(None).is_err());
        assert_eq!(Frame::of(None), Frame::None);
    }
}
