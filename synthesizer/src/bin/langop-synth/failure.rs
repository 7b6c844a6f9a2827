//! What went wrong, for people: the error, its reason and fields, and what to do next. The one
//! place that knows exit codes.

use std::{error::Error, fmt::Write as _};

use langop_synthesizer::metrics::code_name;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use langop_dsl::clean;

use crate::{
    call::CallError, endpoints::EndpointError, input::InputError, provenance::ProvenanceError,
};

/// How the program ends; the numbers are in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Invalid = 1,
    BadInput = 2,
    Service = 3,
}

/// Why there is no answer to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Provenance(#[from] ProvenanceError),
    #[error("{0}")]
    Usage(String),
    #[error("cannot write the answer")]
    Write(#[source] std::io::Error),
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Provenance(ProvenanceError::Refused(_)) => Exit::Invalid,
            Self::Provenance(ProvenanceError::Unsigned) => Exit::Service,
            Self::Input(_)
            | Self::Provenance(_)
            | Self::Usage(_)
            | Self::Call(CallError::Endpoint(
                EndpointError::Illegal(_) | EndpointError::Credentials(_),
            )) => Exit::BadInput,
            Self::Call(CallError::Refused(status)) if status.code() == Code::InvalidArgument => {
                Exit::BadInput
            }
            Self::Call(_) | Self::Write(_) => Exit::Service,
        }
    }

    /// The text for standard error.
    pub(crate) fn render(&self) -> String {
        match self {
            Self::Call(CallError::Refused(status)) => refused(status),
            Self::Call(error @ CallError::Unreachable { .. }) => {
                let help = "start one with `SYNTHESIS_PROVIDER=template langop-synthesizer`, or name another by --endpoint or LANGOP_SYNTHESIZER_ENDPOINT";
                format!("{}help: {help}\n", chain(error))
            }
            other => chain(other),
        }
    }
}

/// The error and its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut last = clean(&error.to_string());
    let mut text = format!("error: {last}\n");
    let mut source = error.source();
    while let Some(cause) = source {
        source = cause.source();
        // A status that the transport made says what its causes say.
        if cause.is::<Box<Status>>() {
            continue;
        }
        let message = clean(&cause.to_string());
        if !last.contains(&message) {
            let _ = writeln!(text, "  cause: {message}");
        }
        last = message;
    }
    text
}

fn refused(status: &Status) -> String {
    let details = status.get_error_details();
    let reason = details
        .error_info()
        .filter(|info| info.reason != code_name(status.code()))
        .map(|info| format!(", {}", clean(&info.reason)))
        .unwrap_or_default();
    let mut text = format!(
        "error: {} ({}{reason})\n",
        clean(status.message()),
        code_name(status.code())
    );
    for violation in details
        .bad_request()
        .map(|request| &request.field_violations[..])
        .unwrap_or_default()
    {
        let _ = writeln!(
            text,
            "  {}: {}",
            clean(&violation.field),
            clean(&violation.description)
        );
    }
    text.push_str(&spent(&details));
    if let Some(help) = help(status.code(), &details) {
        let _ = writeln!(text, "help: {help}");
    }
    text
}

fn spent(details: &ErrorDetails) -> String {
    let tokens = |key: &str| {
        details
            .error_info()
            .and_then(|info| info.metadata.get(key))
            .map(|tokens| clean(tokens))
    };
    match (tokens("input_tokens"), tokens("output_tokens")) {
        (None, None) => String::new(),
        (input, output) => {
            let zero = || "0".to_owned();
            format!(
                "  spent: {} tokens in, {} out\n",
                input.unwrap_or_else(zero),
                output.unwrap_or_else(zero)
            )
        }
    }
}

fn help(code: Code, details: &ErrorDetails) -> Option<String> {
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    let again = |what: &str| match delay {
        Some(delay) => format!("{what}; try again in {} s", delay.as_secs().max(1)),
        None => format!("{what}; try again later"),
    };
    Some(match code {
        Code::InvalidArgument => "correct the fields named above".to_owned(),
        Code::FailedPrecondition => "the synthesizer's settings need an administrator; --endpoint names another one".to_owned(),
        Code::ResourceExhausted => again("a limit is used up"),
        Code::Unavailable => again("the synthesizer or its provider cannot be reached now"),
        Code::DeadlineExceeded | Code::Cancelled => "allow more time by --timeout, or try again".to_owned(),
        Code::Unimplemented => "this endpoint is not a synthesizer of this version; name another one with --endpoint".to_owned(),
        Code::Unauthenticated | Code::PermissionDenied => "this synthesizer does not let you in like this; say who you are by --token-file, or by --cert and --key".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use super::*;

    fn failure(code: Code, message: &str, details: ErrorDetails) -> Failure {
        let status = Status::with_error_details(code, message, details);
        Failure::from(CallError::Refused(Box::new(status)))
    }

    #[test]
    fn a_refusal_names_reason_fields_and_the_next_step() {
        let mut details =
            ErrorDetails::with_error_info("INVALID_REQUEST", "langop.io", HashMap::new());
        details.add_bad_request_violation("instructions", "write at most 32768 bytes");
        let invalid = failure(Code::InvalidArgument, "the request is invalid", details);
        assert_eq!(invalid.exit(), Exit::BadInput);
        insta::assert_snapshot!(invalid.render(), @r"
        error: the request is invalid (INVALID_ARGUMENT, INVALID_REQUEST)
          instructions: write at most 32768 bytes
        help: correct the fields named above
        ");

        let metadata = HashMap::from([("input_tokens".to_owned(), "7".to_owned())]);
        let mut details =
            ErrorDetails::with_error_info("PROVIDER_RATE_LIMITED", "langop.io", metadata);
        details.set_retry_info(Some(Duration::from_secs(30)));
        let limited = failure(
            Code::ResourceExhausted,
            "the rate limit is used up\u{1b}[31m",
            details,
        );
        assert_eq!(limited.exit(), Exit::Service);
        insta::assert_snapshot!(limited.render(), @r"
        error: the rate limit is used up [31m (RESOURCE_EXHAUSTED, PROVIDER_RATE_LIMITED)
          spent: 7 tokens in, 0 out
        help: a limit is used up; try again in 30 s
        ");
    }

    #[test]
    fn every_error_of_the_input_is_the_callers() {
        let error = Failure::from(InputError::StdinTwice);
        assert_eq!(error.exit(), Exit::BadInput);
        assert_eq!(
            error.render(),
            "error: standard input can be read only once; name a file for the others\n"
        );
    }
}
