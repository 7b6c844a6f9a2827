//! Why a reconcile did not get to its end, and what follows from each reason. The one place that reads `kube::Error`.

/// Why a reconcile failed. None of these touch conditions: they say nothing about the resource, only that the API server could
/// not be asked or told; the reconcile is tried again with growing pauses. A child that is *refused* is no failure of the
/// reconcile but an outcome, see [`Refusal`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("cannot {act}")]
    Api {
        /// What was tried, e.g. `apply Deployment demo/a`.
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
    #[error("it took longer than {0:?}")]
    TimedOut(std::time::Duration),
    #[error("it panicked: {0}")]
    Panicked(String),
}

impl ReconcileError {
    pub(crate) fn api(act: impl Into<String>, source: kube::Error) -> Self {
        Self::Api {
            act: act.into(),
            source: Box::new(source),
        }
    }
}

/// The API server refuses an object for good reasons; somebody must act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

/// What an API error means for a write.
#[derive(Debug)]
pub(crate) enum Class {
    /// The object as it is wanted is not acceptable (invalid, or forbidden by policy or quota).
    Refused(Refusal),
    /// It is gone.
    Gone,
    /// Try again. Conflicts are of these: another has its name by now, or was faster; either way the next look at the store tells.
    Transient,
}

/// Sorts an error of a write.
pub(crate) fn classify(error: &kube::Error) -> Class {
    let kube::Error::Api(status) = error else {
        return Class::Transient;
    };
    if status.is_not_found() {
        Class::Gone
    } else if status.is_invalid() || status.is_forbidden() || status.code == 400 {
        Class::Refused(Refusal(bounded(&status.message)))
    } else {
        Class::Transient
    }
}

/// Longest message taken over from elsewhere, in bytes: conditions and events are for people.
const LONGEST: usize = 900;

/// Cut at a character's boundary.
pub(crate) fn bounded(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let end = (0..=LONGEST)
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
    fn long_messages_are_cut_at_a_character() {
        assert_eq!(bounded("short"), "short");
        let cut = bounded(&"ä".repeat(1000));
        assert!(cut.len() <= LONGEST + 3 && cut.ends_with('…'));
    }
}
