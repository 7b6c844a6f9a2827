//! What can go wrong with a request, and the one place that says so to clients:
//! [`SynthesisError::to_status`].
//!
//! No error holds a key, a prompt or an answer.

use std::{collections::HashMap, sync::Arc, time::Duration};

use langop_proto::{
    DEADLINE_EXCEEDED, DRAINING, ERROR_DOMAIN, PROVIDER_REFUSED_REQUEST, TOO_FEW_TOKENS, v1::Usage,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::{access::AccessError, providers::ProviderError};

/// Most fields a `BadRequest` names: details travel in trailers, which must stay under 4 KiB.
const MAX_VIOLATIONS: usize = 10;
/// Longest path or description of one of them, in bytes.
const MAX_VIOLATION_TEXT: usize = 120;
/// How soon to come back when it is only too much at the moment.
const SOON: Duration = Duration::from_secs(1);
/// When to retry if the provider did not say.
const DEFAULT_RETRY: Duration = Duration::from_secs(5);
/// When to check whether the account has been paid.
const UNPAID: Duration = Duration::from_mins(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SynthesisError {
    /// The request can never succeed.
    #[error("the request is invalid: {}", first(.0))]
    Invalid(Vec<FieldViolation>),
    /// The message is not of the type that the method takes.
    #[error("the message is not a SynthesizeRequest of langop.synthesis.v1")]
    Malformed(#[from] prost::DecodeError),
    /// No model is configured.
    #[error(
        "synthesis is disabled; set SYNTHESIS_PROVIDER and SYNTHESIS_MODEL on the synthesizer \
         (or SYNTHESIS_PROVIDER=template for the built-in rules without an LLM)"
    )]
    Disabled,
    /// The caller's or the server's time is over.
    #[error("the answer was not ready in time")]
    DeadlineExceeded,
    /// This replica is about to stop.
    #[error("this replica is about to stop; ask another one")]
    Draining,
    /// The caller may not, or not now.
    #[error(transparent)]
    Denied(#[from] AccessError),
    /// The provider did not answer as it should.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A bug.
    #[error("internal error; the server's log has more")]
    Internal,
}

fn first(violations: &[FieldViolation]) -> String {
    violations
        .first()
        .map(|v| format!("{}: {}", v.field, v.description))
        .unwrap_or_default()
}

/// An error, and what the way to it cost. Clones are for those who waited for the same answer.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What went wrong.
    pub error: Arc<SynthesisError>,
    /// Tokens spent before it did.
    pub usage: Usage,
}

impl Failure {
    /// The failure for a caller that did not spend the tokens itself.
    #[must_use]
    pub fn of_another(self) -> Self {
        Self {
            usage: Usage::default(),
            ..self
        }
    }

    /// Whether nothing was asked because too few tokens were left for it.
    pub fn is_for_want_of_tokens(&self) -> bool {
        matches!(
            &*self.error,
            SynthesisError::Provider(ProviderError::TooFewTokens { .. })
        )
    }

    /// As gRPC says it.
    pub fn to_status(&self) -> Status {
        self.error.to_status(self.usage)
    }
}

impl<E: Into<SynthesisError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: Arc::new(error.into()),
            usage: Usage::default(),
        }
    }
}

impl SynthesisError {
    /// The one mapping to gRPC. `spent` is named in `ErrorInfo` when it is not zero.
    pub fn to_status(&self, spent: Usage) -> Status {
        let (code, reason) = self.code_and_reason();
        let mut details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata(spent));
        if let Self::Invalid(violations) = self {
            details.set_bad_request(
                violations
                    .iter()
                    .take(MAX_VIOLATIONS)
                    .map(short)
                    .collect::<Vec<_>>(),
            );
        }
        if let Some(delay) = self.retry_after() {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(code, clip(&self.to_string(), 500), details)
    }

    fn code_and_reason(&self) -> (Code, &'static str) {
        match self {
            Self::Invalid(_) | Self::Malformed(_) => (Code::InvalidArgument, "INVALID_REQUEST"),
            Self::Disabled => (Code::FailedPrecondition, "SYNTHESIS_DISABLED"),
            Self::DeadlineExceeded => (Code::DeadlineExceeded, DEADLINE_EXCEEDED),
            Self::Draining => (Code::Unavailable, DRAINING),
            Self::Internal => (Code::Internal, "INTERNAL"),
            Self::Denied(denied) => denial(*denied),
            Self::Provider(error) => provider_failure(error),
        }
    }

    /// When to come back; for `RESOURCE_EXHAUSTED` always.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Denied(denied) | Self::Provider(ProviderError::Denied(denied)) => {
                retry_after(*denied)
            }
            Self::Provider(ProviderError::RateLimited { retry_after, .. }) => {
                Some(retry_after.unwrap_or(DEFAULT_RETRY))
            }
            Self::Provider(ProviderError::NoQuota { .. }) => Some(UNPAID),
            Self::Provider(ProviderError::Server { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

fn denial(denied: AccessError) -> (Code, &'static str) {
    match denied {
        AccessError::NoCredentials => (Code::Unauthenticated, "CREDENTIALS_MISSING"),
        AccessError::UnknownToken => (Code::Unauthenticated, "TOKEN_UNKNOWN"),
        AccessError::ShortToken => (Code::Unauthenticated, "TOKEN_TOO_SHORT"),
        AccessError::UnlistedCertificate => (Code::Unauthenticated, "CERTIFICATE_NOT_LISTED"),
        AccessError::AccountUnreadable => (Code::InvalidArgument, "ACCOUNT_UNREADABLE"),
        AccessError::TooMuchHeld => (Code::ResourceExhausted, "TOO_MUCH_HELD"),
        AccessError::NotBearer => (Code::Unauthenticated, "CREDENTIALS_UNREADABLE"),
        AccessError::NamelessCertificate => (Code::Unauthenticated, "CERTIFICATE_NAMELESS"),
        AccessError::TooManyRequests { .. } => (Code::ResourceExhausted, "RATE_LIMITED"),
        AccessError::BudgetSpent { .. } => (Code::ResourceExhausted, "TOKEN_BUDGET_SPENT"),
        AccessError::TooManyCalls | AccessError::TooManyHealthCalls => {
            (Code::ResourceExhausted, "TOO_MANY_CALLS")
        }
        AccessError::Busy => (Code::ResourceExhausted, "SERVER_BUSY"),
    }
}

fn provider_failure(error: &ProviderError) -> (Code, &'static str) {
    match error {
        ProviderError::Denied(denied) => denial(*denied),
        ProviderError::KeyUnreadable(_) => (Code::FailedPrecondition, "PROVIDER_KEY_UNREADABLE"),
        ProviderError::KeyUnusable => (Code::FailedPrecondition, "PROVIDER_KEY_UNUSABLE"),
        ProviderError::KeyRefused { .. } => (Code::FailedPrecondition, "PROVIDER_REFUSED_KEY"),
        ProviderError::ModelNotFound { .. } => (Code::FailedPrecondition, "MODEL_NOT_FOUND"),
        ProviderError::WrongEndpoint { .. } => {
            (Code::FailedPrecondition, "PROVIDER_ENDPOINT_WRONG")
        }
        // Of this one request: what is above is everybody's.
        ProviderError::Refused { .. } => (Code::InvalidArgument, PROVIDER_REFUSED_REQUEST),
        ProviderError::TooFewTokens { .. } => (Code::ResourceExhausted, TOO_FEW_TOKENS),
        ProviderError::NoLimit => (Code::FailedPrecondition, "PROVIDER_TAKES_NO_LIMIT"),
        ProviderError::NoQuota { .. } => (Code::ResourceExhausted, "PROVIDER_QUOTA_SPENT"),
        ProviderError::RateLimited { .. } => (Code::ResourceExhausted, "PROVIDER_RATE_LIMITED"),
        ProviderError::Server { .. } | ProviderError::Failed { .. } => {
            (Code::Unavailable, "PROVIDER_ERROR")
        }
        ProviderError::BrokeOff { .. } => (Code::Unavailable, "PROVIDER_ANSWER_INCOMPLETE"),
        ProviderError::Transport(_) => (Code::Unavailable, "PROVIDER_UNREACHABLE"),
        ProviderError::TimedOut { .. } => (Code::DeadlineExceeded, "PROVIDER_TIMEOUT"),
        ProviderError::Unreadable { .. } => (Code::Unavailable, "PROVIDER_ANSWER_UNREADABLE"),
        ProviderError::TooLarge { .. } => (Code::Unavailable, "PROVIDER_ANSWER_TOO_LARGE"),
    }
}

fn retry_after(denied: AccessError) -> Option<Duration> {
    match denied {
        AccessError::TooManyRequests { retry_after } | AccessError::BudgetSpent { retry_after } => {
            Some(retry_after)
        }
        AccessError::TooManyCalls
        | AccessError::TooMuchHeld
        | AccessError::TooManyHealthCalls
        | AccessError::Busy => Some(SOON),
        AccessError::NoCredentials
        | AccessError::UnknownToken
        | AccessError::ShortToken
        | AccessError::NotBearer
        | AccessError::AccountUnreadable
        | AccessError::UnlistedCertificate
        | AccessError::NamelessCertificate => None,
    }
}

fn metadata(spent: Usage) -> HashMap<String, String> {
    if spent == Usage::default() {
        return HashMap::new();
    }
    HashMap::from([
        ("input_tokens".to_owned(), spent.input_tokens.to_string()),
        ("output_tokens".to_owned(), spent.output_tokens.to_string()),
    ])
}

fn short(violation: &FieldViolation) -> FieldViolation {
    FieldViolation::new(
        clip(&violation.field, MAX_VIOLATION_TEXT),
        clip(&violation.description, MAX_VIOLATION_TEXT),
    )
}

/// At most `limit` bytes of `text`, cut between characters.
fn clip(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_stay_under_4_kib() {
        let field = FieldViolation::new("ä".repeat(2000), "ö".repeat(2000));
        let status = SynthesisError::Invalid(vec![field; 500]).to_status(Usage::default());
        assert!(
            status.details().len() + status.message().len() < 4096,
            "{}",
            status.details().len()
        );
        let details = status.get_error_details();
        assert_eq!(
            details.bad_request().unwrap().field_violations.len(),
            MAX_VIOLATIONS
        );
        assert_eq!(details.error_info().unwrap().reason, "INVALID_REQUEST");
    }

    #[test]
    fn spent_tokens_and_the_time_to_come_back_are_named() {
        let spent = Usage {
            input_tokens: 7,
            output_tokens: 3,
            ..Usage::default()
        };
        let error = SynthesisError::Provider(ProviderError::RateLimited {
            retry_after: Some(Duration::from_secs(9)),
            kind: None,
        });
        let status = error.to_status(spent);
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(Duration::from_secs(9))
        );
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.domain.as_str(), info.metadata["input_tokens"].as_str()),
            ("langop.io", "7")
        );
        assert!(
            SynthesisError::Disabled
                .to_status(Usage::default())
                .get_error_details()
                .error_info()
                .unwrap()
                .metadata
                .is_empty()
        );
    }
}
