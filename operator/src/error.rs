//! Why a reconcile did not get to its end, and what follows from each reason. The one place that
//! reads `kube::Error`.

use kube::runtime::watcher;
use langop_desired::conditions::{Invalid, Summary};

/// Why a reconcile failed. None of these touch conditions at once: they say nothing about the
/// resource, only that the API server could not be reached; the reconcile is tried again with
/// growing pauses, and reported in conditions when that takes too long. A child that is *refused*
/// is no failure of the reconcile but an outcome, see [`Refusal`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("cannot {act}")]
    Api {
        /// What was tried, e.g. `apply Deployment demo/a`.
        act: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// Of server-side apply, which knows no field that the schema in the cluster has not.
    #[error(
        "cannot {act}: the CustomResourceDefinitions in the cluster are older than this operator: apply deploy/crds.yaml of version {version}, or upgrade the chart with crds.enabled",
        version = env!("CARGO_PKG_VERSION")
    )]
    OldDefinitions {
        /// What was tried.
        act: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("{kind} {name} has no uid, so it did not come from an API server")]
    NoUid { kind: &'static str, name: String },
    #[error("{what} cannot be written as JSON")]
    Json {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    /// Counts and attempts are carried on from what was looked at.
    #[error("the status of {kind} {name} is not the one that was looked at")]
    Overtaken { kind: &'static str, name: String },
    /// Between our look and our write.
    #[error("{0} was changed by another client in the meantime")]
    Changed(String),
    #[error("it took longer than {0:?}")]
    TimedOut(std::time::Duration),
    #[error("it panicked: {0}")]
    Panicked(String),
}

impl ReconcileError {
    /// For people: in the API server's words where it gave any, else with all causes.
    pub(crate) fn message(&self) -> String {
        let message = match self {
            Self::Api { act, source } => match &**source {
                kube::Error::Api(status) => format!("cannot {act}: {}", status.message),
                _ => chain(self),
            },
            Self::OldDefinitions { source, .. } => match &**source {
                kube::Error::Api(status) => format!("{self}: {}", status.message),
                _ => chain(self),
            },
            _ => chain(self),
        };
        bounded(&message)
    }

    /// Whether another was faster at the same object.
    pub(crate) fn is_conflict(&self) -> bool {
        let Self::Api { source, .. } = self else {
            return false;
        };
        matches!(&**source, kube::Error::Api(status) if status.is_conflict())
    }

    pub(crate) fn api(act: impl Into<String>, source: kube::Error) -> Self {
        let (act, source) = (act.into(), Box::new(source));
        if is_about_an_unknown_field(&source) {
            return Self::OldDefinitions { act, source };
        }
        Self::Api { act, source }
    }
}

/// Why a reconcile did not get to its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The object cannot be carried out as things are; its status says so.
    Blocked(Summary),
    /// The API server could not be reached; the reconcile is tried again.
    Failed(ReconcileError),
}

impl From<Summary> for Stopped {
    fn from(summary: Summary) -> Self {
        Self::Blocked(summary)
    }
}

impl From<Invalid> for Stopped {
    fn from(invalid: Invalid) -> Self {
        Self::Blocked(invalid.into())
    }
}

impl From<ReconcileError> for Stopped {
    fn from(error: ReconcileError) -> Self {
        Self::Failed(error)
    }
}

/// The API server rejects an object for good reasons; a person must act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

/// What an API error means for a write.
#[derive(Debug)]
pub(crate) enum Class {
    /// The object as it is wanted is not acceptable (invalid, or forbidden by policy or quota).
    Refused(Refusal),
    /// It is gone.
    Gone,
    /// Try again. Conflicts are of these: another has its name by now, or was faster; either way
    /// the next look at the store tells.
    Transient,
}

/// Sorts an error of a write.
pub(crate) fn classify(error: &kube::Error) -> Class {
    let kube::Error::Api(status) = error else {
        return Class::Transient;
    };
    if status.is_not_found() {
        Class::Gone
    } else if is_about_uid(status) || is_before_discovery(status) {
        // A conflict by another name: the object that we looked at is gone, and another has its
        // name. Or the API server does not know yet what is soon there.
        Class::Transient
    } else if status.is_invalid() || status.is_forbidden() || status.code == 400 {
        Class::Refused(Refusal(bounded(&status.message)))
    } else {
        Class::Transient
    }
}

/// Whether the refusal is about `metadata.uid`, which the API server calls immutable where it is of
/// another object.
fn is_about_uid(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.field == "metadata.uid")
}

/// Whether the API server has yet to hear of a kind that an owner reference names: it looks for new
/// CustomResourceDefinitions twice a minute. As kube-apiserver 1.37 says it, with code 403: `cannot
/// set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion …`.
fn is_before_discovery(status: &kube::core::Status) -> bool {
    status.message.contains("cannot find RESTMapping for")
}

/// Whether the API server's schema lacks a field that is applied. As kube-apiserver 1.37 says it:
/// `.status.x: field not declared in schema`, with code 500.
fn is_about_an_unknown_field(error: &kube::Error) -> bool {
    let words = "field not declared in schema";
    matches!(error, kube::Error::Api(status) if status.message.contains(words))
}

/// Logs why a watch broke off. It goes on by itself, after a pause.
pub(crate) fn watch_interrupted(watch: &str, error: &watcher::Error) {
    match error {
        watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source) => {
            tracing::warn!(watch, error = %chain(source), "cannot watch; trying again");
        }
        other => tracing::debug!(watch, error = %chain(other), "watch interrupted"),
    }
}

/// Longest message taken over from elsewhere, in bytes: conditions and events are for people.
const MAX_MESSAGE: usize = 900;

/// Cleaned, and cut at a character's boundary.
pub(crate) fn bounded(message: &str) -> String {
    let message = langop_dsl::clean(message);
    if message.len() <= MAX_MESSAGE {
        return message;
    }
    let end = (0..=MAX_MESSAGE)
        .rev()
        .find(|end| message.is_char_boundary(*end))
        .unwrap_or_default();
    format!("{}…", &message[..end])
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api_error(code: u16, reason: &str) -> kube::Error {
        let status = serde_json::json!({"status": "Failure", "code": code, "reason": reason, "message": "why"});
        kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn errors_are_sorted_by_what_can_be_done() {
        for (code, reason, expected) in [
            (422, "Invalid", "Refused"),
            (403, "Forbidden", "Refused"),
            (400, "BadRequest", "Refused"),
            (404, "NotFound", "Gone"),
            (409, "Conflict", "Transient"),
            (409, "AlreadyExists", "Transient"),
            (500, "InternalError", "Transient"),
            (429, "TooManyRequests", "Transient"),
        ] {
            let class = format!("{:?}", classify(&api_error(code, reason)));
            assert!(class.starts_with(expected), "{code} {reason}: {class}");
        }
    }

    #[test]
    fn a_kind_that_the_server_is_yet_to_hear_of_is_no_refusal() {
        let status = serde_json::json!({"status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "networkpolicies.networking.k8s.io \"a\" is forbidden: cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion langop.io/v1alpha1 Kind LanguageAgent: no matches for kind \"LanguageAgent\" in version \"langop.io/v1alpha1\""});
        let error = kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()));
        assert!(matches!(classify(&error), Class::Transient));
    }

    #[test]
    fn a_stale_uid_is_a_conflict_and_no_refusal() {
        // As kube-apiserver 1.37 answers an apply with the uid of an object that is gone, where
        // another has its name.
        let of_field = |field: &str| {
            let cause = serde_json::json!({
                "reason": "FieldValueInvalid", "field": field,
                "message": "Invalid value: \"00000000-0000-0000-0000-000000000000\": field is immutable",
            });
            let status = serde_json::json!({
                "status": "Failure", "code": 422, "reason": "Invalid", "message": "it is invalid",
                "details": {"name": "a", "group": "apps", "kind": "Deployment", "causes": [cause]},
            });
            classify(&kube::Error::Api(Box::new(
                serde_json::from_value(status).unwrap(),
            )))
        };
        assert!(matches!(of_field("metadata.uid"), Class::Transient));
        assert!(matches!(of_field("spec.selector"), Class::Refused(_)));
    }

    #[test]
    fn what_fails_is_told_in_the_servers_words() {
        let failed = ReconcileError::api("apply Deployment n/a", api_error(500, "InternalError"));
        assert_eq!(failed.message(), "cannot apply Deployment n/a: why");
        assert_eq!(
            ReconcileError::TimedOut(std::time::Duration::from_secs(3)).message(),
            "it took longer than 3s"
        );
    }

    #[test]
    fn older_definitions_are_named_with_what_to_do() {
        let status = serde_json::json!({"status": "Failure", "code": 500, "reason": "InternalError",
            "message": "failed to create typed patch object (n/a; langop.io/v1alpha1, Kind=LanguageAgent): .status.approval: field not declared in schema"});
        let error = kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()));
        let told = ReconcileError::api("write the status of LanguageAgent a", error).message();
        let start = "cannot write the status of LanguageAgent a: the CustomResourceDefinitions in the cluster are older than this operator: apply deploy/crds.yaml of version ";
        assert!(told.starts_with(start), "{told}");
        assert!(
            told.ends_with(".status.approval: field not declared in schema"),
            "{told}"
        );
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        assert_eq!(bounded("short"), "short");
        assert_eq!(bounded("a\u{1b}[2Jb\n"), "a [2Jb ");
        let cut = bounded(&"ä".repeat(1000));
        assert!(cut.len() <= MAX_MESSAGE + 3 && cut.ends_with('…'));
    }
}
