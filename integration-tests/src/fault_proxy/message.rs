//! What of a message passes through the proxy, and in which form: headers, addresses, or nothing at
//! all.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, header};

/// The answer to a request that some part of the way has lost: nothing at all.
pub(super) const CUT: &str = "the connection is cut";
/// Headers of one connection, not of the message; the rest is set anew by whoever sends.
const HOP: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::HOST,
    header::CONTENT_LENGTH,
    // The body must be readable here.
    header::ACCEPT_ENCODING,
];

/// Stands for 127.0.0.1 in `EndpointSlice`s: the API server takes no address of loopback, and tests
/// have no others. An address of documentation (RFC 5737), and of as many bytes.
pub const LOOPBACK: &str = "192.0.2.1";

pub(super) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in HOP {
        headers.remove(name);
    }
    headers
}

/// What the program gets to see of an answer's bytes.
pub(super) fn seen(bytes: Bytes, path: &str) -> Bytes {
    if !path.contains("/endpointslices") {
        return bytes;
    }
    let mut seen = bytes.to_vec();
    for at in 0..seen.len().saturating_sub(LOOPBACK.len()) {
        let here = &mut seen[at..at + LOOPBACK.len()];
        if here == LOOPBACK.as_bytes() {
            here.copy_from_slice(b"127.0.0.1");
        }
    }
    seen.into()
}
