//! What a failed attempt says of the replica that was asked. Pure.

use std::error::Error;

use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use super::DRAINING;
use crate::ERROR_DOMAIN;

/// What to make of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The replica answered, and so would any other.
    Answered,
    /// The caller's time is over, which says nothing of the replica.
    Late,
    /// The connection broke, as it also does when a healthy server closes an old one: asked again, the replica may well answer.
    Broken,
    /// The replica cannot be reached, or sends its calls elsewhere.
    Away,
}

/// What `status` says. What the service itself answered, its provider being down included, is final.
pub(super) fn of(status: &Status) -> Verdict {
    // Only what this side made up itself has a source; what came over the wire has none.
    if status.source().is_some() {
        return of_transport(status);
    }
    match status.get_details_error_info() {
        Some(info) if info.domain == ERROR_DOMAIN => match info.reason.as_str() {
            DRAINING => Verdict::Away,
            _ => Verdict::Answered,
        },
        // A proxy between us, a server that is not ours yet, or this side's own library.
        _ => match status.code() {
            Code::Unavailable => Verdict::Away,
            // Among others a stream that ended without a status.
            Code::Unknown => Verdict::Broken,
            Code::DeadlineExceeded | Code::Cancelled => Verdict::Late,
            _ => Verdict::Answered,
        },
    }
}

fn of_transport(status: &Status) -> Verdict {
    // The library calls its own time-out CANCELLED.
    if status.code() == Code::DeadlineExceeded || is_caused_by::<TimeoutExpired>(status) {
        Verdict::Late
    } else if is_caused_by::<ConnectError>(status) {
        Verdict::Away
    } else {
        Verdict::Broken
    }
}

fn is_caused_by<E: Error + 'static>(status: &Status) -> bool {
    std::iter::successors(status.source(), |error| (*error).source()).any(<dyn Error>::is::<E>)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, io};

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn every_failure_has_one_meaning() {
        let ours = |reason| {
            let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
            Status::with_error_details(Code::Unavailable, "", details)
        };
        let reset = || io::Error::other("connection reset");
        for (status, expected) in [
            (ours("PROVIDER_ERROR"), Verdict::Answered),
            (ours(DRAINING), Verdict::Away),
            (Status::unavailable("a proxy's"), Verdict::Away),
            (Status::invalid_argument("no"), Verdict::Answered),
            (Status::unknown("no trailers"), Verdict::Broken),
            (Status::deadline_exceeded("the server's"), Verdict::Late),
            (Status::from_error(Box::new(reset())), Verdict::Broken),
            (
                Status::from_error(Box::new(ConnectError(Box::new(reset())))),
                Verdict::Away,
            ),
            (
                Status::from_error(Box::new(TimeoutExpired(()))),
                Verdict::Late,
            ),
        ] {
            assert_eq!(of(&status), expected, "{status:?}");
        }
    }
}
