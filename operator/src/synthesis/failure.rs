//! Why a call of the synthesizer gave no answer: the one place that reads gRPC status codes, and
//! the reasons by which one code means several things.

use std::time::Duration;

use langop_proto::{DEADLINE_EXCEEDED, ERROR_DOMAIN, PROVIDER_REFUSED_REQUEST, TOO_FEW_TOKENS};
use tonic::{Code, ConnectError, Status};
use tonic_types::StatusExt as _;

use crate::error::{bounded, chain};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// One stable sentence: no times, no numbers that change.
    pub(crate) message: String,
    /// When the synthesizer asks to come back, if it does.
    pub(crate) retry_after: Option<Duration>,
    /// Tokens spent all the same: sent, received.
    pub(crate) tokens: (i64, i64),
    /// Whether that is certainly all.
    pub(crate) is_cost_known: bool,
    /// The most that it might have cost, where somebody bounds that.
    pub(crate) allowed: Option<i64>,
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Try again later.
    Retryable,
    /// An administrator must act.
    Disabled,
    /// The request itself is refused: another one must be made.
    Invalid,
    /// What it may cost is too little to ask it at all.
    TooFewTokens,
    /// A budget has nothing for it today.
    Exhausted,
    /// The namespace is suspended.
    Suspended,
}

impl FailureKind {
    /// As metrics have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Retryable => "failed",
            Self::Disabled => "disabled",
            Self::Invalid => "invalid",
            Self::TooFewTokens => "too_few_tokens",
            Self::Exhausted => "exhausted",
            Self::Suspended => "suspended",
        }
    }
}

/// The one place that reads gRPC status codes, and the reasons by which one code means several
/// things.
pub(super) fn failure(status: &Status) -> Failure {
    let info = status.get_details_error_info();
    let reason = info.as_ref().map(|info| info.reason.as_str());
    let kind = match status.code() {
        // Whatever its code: what the provider refuses of one request says nothing about the
        // others.
        _ if reason == Some(PROVIDER_REFUSED_REQUEST) => FailureKind::Invalid,
        _ if reason == Some(TOO_FEW_TOKENS) => FailureKind::TooFewTokens,
        Code::FailedPrecondition | Code::Unauthenticated | Code::PermissionDenied => {
            FailureKind::Disabled
        }
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => FailureKind::Invalid,
        _ => FailureKind::Retryable,
    };
    let retry_after = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    let metadata = info.map(|info| info.metadata).unwrap_or_default();
    let tokens = |key: &str| {
        metadata
            .get(key)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    };
    Failure {
        kind,
        message: message(status),
        retry_after,
        tokens: (tokens("input_tokens"), tokens("output_tokens")),
        is_cost_known: !is_cost_untold(status),
        allowed: None,
    }
}

/// Whether work may go on, or have been done, that nobody tells the cost of: the synthesizer gave no
/// answer of its own after a connection was there, or the time was over before its work.
pub(super) fn is_cost_untold(status: &Status) -> bool {
    match status.get_details_error_info() {
        Some(info) if info.domain == ERROR_DOMAIN => info.reason == DEADLINE_EXCEEDED,
        _ => !is_unconnected(status),
    }
}

fn is_unconnected(status: &Status) -> bool {
    let causes =
        std::iter::successors(std::error::Error::source(status), |error| (*error).source());
    causes
        .into_iter()
        .any(<dyn std::error::Error>::is::<ConnectError>)
}

fn message(status: &Status) -> String {
    // Only what this side made up has a source, and its text is the library's; but that time is
    // over is no riddle.
    if let Some(source) = std::error::Error::source(status)
        && status.code() != Code::DeadlineExceeded
    {
        return bounded(&format!(
            "the synthesizer cannot be reached: {}",
            chain(source)
        ));
    }
    let violations = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations);
    let fields: Vec<String> = violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| format!("{}: {}", violation.field, violation.description))
        .collect();
    if !fields.is_empty() {
        return bounded(&fields.join("; "));
    }
    match status.message() {
        "" => format!("the synthesizer answered {:?}", status.code()),
        said => bounded(said),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::{ErrorDetails, FieldViolation};

    use super::*;

    #[test]
    fn every_code_has_one_meaning() {
        for (code, expected) in [
            (Code::Unavailable, FailureKind::Retryable),
            (Code::DeadlineExceeded, FailureKind::Retryable),
            (Code::ResourceExhausted, FailureKind::Retryable),
            (Code::Internal, FailureKind::Retryable),
            (Code::Unknown, FailureKind::Retryable),
            (Code::FailedPrecondition, FailureKind::Disabled),
            (Code::Unauthenticated, FailureKind::Disabled),
            (Code::InvalidArgument, FailureKind::Invalid),
        ] {
            let failure = failure(&Status::new(code, ""));
            assert_eq!(failure.kind, expected, "{code:?}");
            assert!(!failure.message.is_empty());
        }
    }

    #[test]
    fn what_the_provider_refuses_of_one_request_is_that_requests() {
        for code in [Code::InvalidArgument, Code::FailedPrecondition] {
            for (reason, expected) in [
                (PROVIDER_REFUSED_REQUEST, FailureKind::Invalid),
                ("PROVIDER_REFUSED_KEY", failure(&Status::new(code, "")).kind),
            ] {
                let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
                let status = Status::with_error_details(code, "no", details);
                assert_eq!(failure(&status).kind, expected, "{code:?} {reason}");
            }
        }
    }

    #[test]
    fn the_cost_is_known_where_the_service_itself_answered_or_never_was_asked() {
        let ours = |reason| {
            let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
            Status::with_error_details(Code::Unavailable, "", details)
        };
        let caused = |error: Box<dyn std::error::Error + Send + Sync>| Status::from_error(error);
        let down = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for (status, is_untold) in [
            (ours("PROVIDER_ERROR"), false),
            (ours(langop_proto::DRAINING), false),
            (ours(DEADLINE_EXCEEDED), true),
            (caused(Box::new(ConnectError(Box::new(down())))), false),
            (caused(Box::new(down())), true),
            (Status::unavailable("a proxy's"), true),
            (Status::deadline_exceeded("the library's"), true),
        ] {
            assert_eq!(is_cost_untold(&status), is_untold, "{status:?}");
            assert_eq!(failure(&status).is_cost_known, !is_untold, "{status:?}");
        }
    }

    #[test]
    fn details_are_read() {
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(9)));
        let metadata = HashMap::from([("input_tokens".to_owned(), "7".to_owned())]);
        details.set_error_info("PROVIDER_RATE_LIMITED", ERROR_DOMAIN, metadata);
        let failed = failure(&Status::with_error_details(
            Code::ResourceExhausted,
            "slow down",
            details,
        ));
        assert_eq!(
            (failed.retry_after, failed.tokens),
            (Some(Duration::from_secs(9)), (7, 0))
        );
        assert_eq!(failed.message, "slow down");

        let details = ErrorDetails::with_bad_request(vec![FieldViolation::new(
            "instructions",
            "is too long",
        )]);
        let refused = failure(&Status::with_error_details(
            Code::InvalidArgument,
            "bad",
            details,
        ));
        assert_eq!(refused.message, "instructions: is too long");
    }
}
