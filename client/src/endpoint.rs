//! From a URL to an endpoint of a synthesizer, in the one way that all clients make it: a bounded
//! time to connect, a connection that is known to live, and [`Credentials`]. A connection is made
//! when a call needs one.

use std::{net::SocketAddr, time::Duration};

use tonic::transport::{Endpoint, Uri};

use crate::credentials::{Credentials, CredentialsError};

/// Longest time to make a connection, after which the next replica is asked.
const CONNECT: Duration = Duration::from_secs(5);
/// How often an open connection is tried, idle or not, and how long an answer to that may take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// The synthesizer at `url` (`http` or `https`, host and port).
///
/// # Errors
/// If the credentials cannot be used, or do not go with the scheme.
pub fn endpoint(url: Uri, credentials: &Credentials) -> Result<Endpoint, CredentialsError> {
    let endpoint = Endpoint::from(url)
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .keep_alive_while_idle(true);
    credentials.secure(endpoint)
}

/// The replica of the service at `url` that has this address. It is spoken to as if it were the
/// service: certificates name that, and not addresses.
///
/// # Errors
/// As [`endpoint`].
pub fn replica(
    url: &Uri,
    address: SocketAddr,
    credentials: &Credentials,
) -> Result<Endpoint, CredentialsError> {
    let scheme = url.scheme_str().unwrap_or("http");
    let replica = format!("{scheme}://{address}");
    let replica: Uri = replica
        .parse()
        .map_err(|_| CredentialsError::Address(replica))?;
    let mut credentials = credentials.clone();
    if scheme == "https" && credentials.server_name.is_none() {
        credentials.server_name = url.host().map(str::to_owned);
    }
    Ok(endpoint(replica, &credentials)?.origin(url.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_have_their_own_addresses() {
        let url = Uri::from_static("http://synthesizer.langop-system.svc:50051");
        for (address, expected) in [
            ("10.0.0.1:50051", "http://10.0.0.1:50051/"),
            ("[2001:db8::1]:1", "http://[2001:db8::1]:1/"),
        ] {
            let address = address.parse().unwrap();
            let endpoint = replica(&url, address, &Credentials::default()).unwrap();
            assert_eq!(endpoint.uri().to_string(), expected);
        }
    }

    #[test]
    fn https_needs_an_authority() {
        let url = Uri::from_static("https://synthesizer.langop-system.svc:50051");
        let address = "10.0.0.1:50051".parse().unwrap();
        let error = replica(&url, address, &Credentials::default()).unwrap_err();
        assert!(matches!(error, CredentialsError::NoAuthority(_)), "{error}");
    }
}
