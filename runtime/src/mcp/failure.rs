//! What came back instead of a result, and what follows from it: whether to try again, and the
//! reason if that does not help. Pure.

use std::{error::Error as _, time::Duration};

use rmcp::{
    ServiceError,
    model::ErrorData,
    service::ClientInitializeError,
    transport::{
        DynamicTransportError,
        streamable_http_client::{HttpStatusError, StreamableHttpError},
    },
};

use crate::{
    model::client::{connection, untrusted},
    outcome::{Failure, Reason},
    termination::{MAX_QUOTE_BYTES, quote},
};

/// Longest pause that a server may ask for before it is asked again.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What came back instead of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The server knows no such operation.
    UnknownOperation(String),
    /// The server found headers and body to differ: its list may have changed.
    HeaderMismatch,
    /// It wants a capability, or an answer of a person.
    NeedsPerson(String),
    /// The session or the version is no longer good.
    Renegotiate(String),
    /// It is busy and did nothing.
    Busy {
        /// What it said.
        why: String,
        /// When to come again, by its own word.
        after: Option<Duration>,
    },
    /// Nothing was sent.
    NotSent(String),
    /// Nothing was sent, and no waiting helps: its certificate is not trusted.
    Untrusted(String),
    /// Something was sent, and nobody knows what came of it.
    Interrupted(String),
    /// It lets nobody in.
    Refused(String),
    /// It does not keep to the protocol, or the request was wrong.
    Protocol(String),
}

/// What may be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing.
    No,
    /// Once, with a fresh list, if the operation is in it.
    AfterList,
    /// Once, over a new connection.
    AfterConnecting,
    /// At most so often, after a pause.
    Times(u32),
}

impl Trouble {
    /// What may be done about it. `is_harmless`: by the server's word the operation may be called
    /// again.
    pub fn repeat(&self, is_harmless: bool) -> Repeat {
        match self {
            Self::UnknownOperation(_) | Self::HeaderMismatch => Repeat::AfterList,
            Self::Renegotiate(_) => Repeat::AfterConnecting,
            Self::Busy { .. } | Self::NotSent(_) => Repeat::Times(3),
            Self::Interrupted(_) if is_harmless => Repeat::Times(2),
            Self::Interrupted(_)
            | Self::NeedsPerson(_)
            | Self::Untrusted(_)
            | Self::Refused(_)
            | Self::Protocol(_) => Repeat::No,
        }
    }

    /// How long to wait before the attempt after `attempt` ones, without jitter.
    pub fn pause(&self, attempt: u32) -> Duration {
        match self {
            Self::Busy {
                after: Some(after), ..
            } => (*after).min(MAX_PAUSE),
            _ => Duration::from_secs(1 << attempt.saturating_sub(1).min(2)),
        }
    }

    /// The reason of the run's failure.
    pub fn reason(&self) -> Reason {
        match self {
            Self::UnknownOperation(_) => Reason::UnknownOperation,
            Self::HeaderMismatch | Self::Protocol(_) => Reason::ToolProtocol,
            Self::NeedsPerson(_) => Reason::NeedsPerson,
            Self::Renegotiate(_) | Self::Busy { .. } | Self::NotSent(_) | Self::Untrusted(_) => {
                Reason::ToolUnavailable
            }
            Self::Interrupted(_) => Reason::OutcomeUnknown,
            Self::Refused(_) => Reason::ToolRefused,
        }
    }

    /// As the failure of a call of `operation` of `tool`.
    pub fn into_failure(self, tool: &str, operation: &str) -> Failure {
        let reason = self.reason();
        let said = match &self {
            Self::UnknownOperation(said) => format!("has no operation '{operation}': {said}"),
            Self::HeaderMismatch => "finds the headers of the request wrong".to_owned(),
            Self::NeedsPerson(said) => {
                format!("needs a person, whom an agent does not have: {said}")
            }
            Self::Renegotiate(said)
            | Self::Busy { why: said, .. }
            | Self::NotSent(said)
            | Self::Untrusted(said) => format!("does not answer: {said}"),
            Self::Interrupted(said) => {
                format!("may or may not have done '{operation}': {said}")
            }
            Self::Refused(said) => {
                format!("lets nobody in ({said}): check its allowed hosts, origins or key")
            }
            Self::Protocol(said) => format!("refuses the request or answers wrongly: {said}"),
        };
        Failure::new(reason, format!("the tool '{tool}' {said}"))
    }

    /// Of a call that failed.
    pub fn of_call(error: &ServiceError) -> Self {
        match error {
            ServiceError::McpError(error) => Self::of_error(error),
            ServiceError::TransportSend(error) => Self::of_transport(error),
            ServiceError::TransportClosed => Self::Interrupted("the connection closed".to_owned()),
            ServiceError::Timeout { .. } => Self::Interrupted("no answer in time".to_owned()),
            ServiceError::Cancelled { .. } => Self::Interrupted("it was cancelled".to_owned()),
            _ => Self::Protocol("the answer is no result of a tool".to_owned()),
        }
    }

    /// Of negotiating that failed.
    pub fn of_start(error: &ClientInitializeError) -> Self {
        match error {
            ClientInitializeError::TransportError { error, .. } => Self::of_transport(error),
            ClientInitializeError::JsonRpcError(error) => match Self::of_error(error) {
                // Negotiating has no effects.
                Self::Interrupted(said) => Self::NotSent(said),
                other => other,
            },
            ClientInitializeError::LegacyFallbackFailed { fallback, .. } => {
                Self::of_start(fallback)
            }
            ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::Cancelled => {
                Self::NotSent("the connection closed".to_owned())
            }
            ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
                Self::Protocol("it speaks no version of MCP that this runtime speaks".to_owned())
            }
            _ => Self::Protocol("it does not answer as an MCP server does".to_owned()),
        }
    }

    /// Of a JSON-RPC error.
    pub fn of_error(error: &ErrorData) -> Self {
        let said = quote(&error.message, MAX_QUOTE_BYTES);
        match error.code.0 {
            -32602 if is_about_the_name(&error.message) => Self::UnknownOperation(said),
            -32020 => Self::HeaderMismatch,
            -32021 => Self::NeedsPerson(said),
            -32022 => Self::Renegotiate(said),
            -32603 => Self::Interrupted(said),
            code => Self::Protocol(format!("{said} ({code})")),
        }
    }

    fn of_transport(error: &DynamicTransportError) -> Self {
        let http = error
            .error
            .downcast_ref::<StreamableHttpError<reqwest::Error>>();
        let Some(http) = http else {
            return Self::Interrupted("the connection broke".to_owned());
        };
        match http {
            StreamableHttpError::Client(error) => Self::of_connection(error),
            StreamableHttpError::HttpStatus(status) => Self::of_status(status),
            StreamableHttpError::AuthRequired(_) => Self::Refused("HTTP 401".to_owned()),
            StreamableHttpError::InsufficientScope(_) => Self::Refused("HTTP 403".to_owned()),
            StreamableHttpError::SessionExpired
            | StreamableHttpError::ReinitializationFailed(_) => {
                Self::Renegotiate("it lost the session".to_owned())
            }
            StreamableHttpError::UnexpectedServerResponse(said) => Self::of_response(said),
            StreamableHttpError::ResponseBodyTooLarge { max_size } => {
                Self::Protocol(format!("the answer has more than {max_size} bytes"))
            }
            StreamableHttpError::UnexpectedContentType(_) | StreamableHttpError::Deserialize(_) => {
                Self::Protocol("the answer is no JSON".to_owned())
            }
            other => {
                tracing::debug!(error = ?other.source(), "transport");
                Self::Interrupted("the connection broke".to_owned())
            }
        }
    }

    fn of_connection(error: &reqwest::Error) -> Self {
        match untrusted(error) {
            Some(said) => Self::Untrusted(said),
            None if error.is_connect() => Self::NotSent(connection(error)),
            None => Self::Interrupted(connection(error)),
        }
    }

    fn of_status(error: &HttpStatusError) -> Self {
        let why = format!("HTTP {}", error.status);
        match error.status {
            429 | 503 => Self::Busy {
                why,
                after: error
                    .retry_after
                    .as_ref()
                    .and_then(|text| text.trim().parse().ok())
                    .map(Duration::from_secs),
            },
            _ => Self::Interrupted(why),
        }
    }

    /// What rmcp says of statuses that it has no error for: `HTTP 421 Misdirected Request: …`.
    fn of_response(said: &str) -> Self {
        let status = said
            .strip_prefix("HTTP ")
            .and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
        match status {
            Some(status @ (401 | 403 | 421)) => Self::Refused(format!("HTTP {status}")),
            Some(404) => Self::Protocol("HTTP 404: there is no MCP at this path".to_owned()),
            Some(status) => Self::Protocol(format!("HTTP {status}")),
            None => Self::Protocol("the answer is no MCP".to_owned()),
        }
    }
}

/// -32602 is for bad arguments too; the message alone tells.
fn is_about_the_name(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("tool")
        && [
            "unknown",
            "not found",
            "no such",
            "does not exist",
            "not exist",
        ]
        .iter()
        .any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use rmcp::model::ErrorCode;

    use super::*;

    fn error(code: i32, message: &str) -> Trouble {
        Trouble::of_error(&ErrorData::new(ErrorCode(code), message.to_owned(), None))
    }

    /// The table of what comes back: repeat for a harmless call, repeat for another one, reason.
    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn every_row_of_the_table() {
        let status = |status| Trouble::of_status(&HttpStatusError::new(status, None));
        let rows = [
            (
                error(-32602, "Unknown tool: x"),
                Repeat::AfterList,
                Repeat::AfterList,
                Reason::UnknownOperation,
            ),
            (
                error(-32602, "Tool x not found"),
                Repeat::AfterList,
                Repeat::AfterList,
                Reason::UnknownOperation,
            ),
            (
                error(-32602, "a is required"),
                Repeat::No,
                Repeat::No,
                Reason::ToolProtocol,
            ),
            (
                error(-32601, "method not found"),
                Repeat::No,
                Repeat::No,
                Reason::ToolProtocol,
            ),
            (
                error(-32020, ""),
                Repeat::AfterList,
                Repeat::AfterList,
                Reason::ToolProtocol,
            ),
            (
                error(-32021, ""),
                Repeat::No,
                Repeat::No,
                Reason::NeedsPerson,
            ),
            (
                error(-32022, ""),
                Repeat::AfterConnecting,
                Repeat::AfterConnecting,
                Reason::ToolUnavailable,
            ),
            (
                error(-32603, ""),
                Repeat::Times(2),
                Repeat::No,
                Reason::OutcomeUnknown,
            ),
            (
                status(429),
                Repeat::Times(3),
                Repeat::Times(3),
                Reason::ToolUnavailable,
            ),
            (
                status(503),
                Repeat::Times(3),
                Repeat::Times(3),
                Reason::ToolUnavailable,
            ),
            (
                status(500),
                Repeat::Times(2),
                Repeat::No,
                Reason::OutcomeUnknown,
            ),
            (
                status(502),
                Repeat::Times(2),
                Repeat::No,
                Reason::OutcomeUnknown,
            ),
            (
                status(504),
                Repeat::Times(2),
                Repeat::No,
                Reason::OutcomeUnknown,
            ),
            (
                Trouble::Untrusted(String::new()),
                Repeat::No,
                Repeat::No,
                Reason::ToolUnavailable,
            ),
            (
                Trouble::of_response("HTTP 421 Misdirected Request: x"),
                Repeat::No,
                Repeat::No,
                Reason::ToolRefused,
            ),
            (
                Trouble::of_response("HTTP 403 Forbidden: "),
                Repeat::No,
                Repeat::No,
                Reason::ToolRefused,
            ),
            (
                Trouble::of_response("HTTP 418 x"),
                Repeat::No,
                Repeat::No,
                Reason::ToolProtocol,
            ),
            (
                Trouble::of_response("could not parse JSON"),
                Repeat::No,
                Repeat::No,
                Reason::ToolProtocol,
            ),
        ];
        for (trouble, harmless, other, reason) in rows {
            assert_eq!(trouble.repeat(true), harmless, "{trouble:?}");
            assert_eq!(trouble.repeat(false), other, "{trouble:?}");
            assert_eq!(trouble.reason(), reason, "{trouble:?}");
        }
    }

    #[test]
    fn pauses_are_the_servers_word_within_bounds_or_grow() {
        let busy =
            |after: &str| Trouble::of_status(&HttpStatusError::new(429, Some(after.to_owned())));
        assert_eq!(busy("5").pause(1), Duration::from_secs(5));
        assert_eq!(busy("3600").pause(1), Duration::from_secs(30));
        let seconds: Vec<_> = (1..=4).map(|n| busy("soon").pause(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 4]);
    }
}
