//! What people write as an address, into the endpoints of a pool. A host name that stands for
//! several addresses is several replicas.

use std::{io, net::IpAddr};

use http::Uri;
use langop_client::{
    credentials::{Credentials, CredentialsError},
    endpoint::{endpoint, replica},
};
use tokio::net::lookup_host;
use tonic::transport::Endpoint;

/// Why an address leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("invalid address of a synthesizer: {0}; write for example http://127.0.0.1:50051")]
    Illegal(String),
    #[error("the host of {endpoint} has no address")]
    Unknown {
        endpoint: String,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// The replicas behind `addresses`, each once; a connection is made when one is asked.
pub(crate) async fn resolve(
    addresses: &[String],
    credentials: &Credentials,
) -> Result<Vec<Endpoint>, EndpointError> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for address in addresses {
        let uri = parse(address).ok_or_else(|| EndpointError::Illegal(address.clone()))?;
        for endpoint in replicas(address, &uri, credentials).await? {
            if endpoints.iter().all(|known| known.uri() != endpoint.uri()) {
                endpoints.push(endpoint);
            }
        }
    }
    Ok(endpoints)
}

/// A URL, or host and port.
fn parse(address: &str) -> Option<Uri> {
    let address = address.trim();
    let url = if address.contains("://") {
        address.to_owned()
    } else {
        let (_, port) = address.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        format!("http://{address}")
    };
    let uri: Uri = url.parse().ok()?;
    let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_whole = uri.host().is_some_and(|host| !host.is_empty());
    (is_known && is_whole && uri.path() == "/" && uri.query().is_none()).then_some(uri)
}

async fn replicas(
    address: &str,
    uri: &Uri,
    credentials: &Credentials,
) -> Result<Vec<Endpoint>, EndpointError> {
    let host = uri.host().unwrap_or_default();
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Ok(vec![endpoint(uri.clone(), credentials)?]);
    }
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let unknown = |source| EndpointError::Unknown {
        endpoint: address.to_owned(),
        source,
    };
    let addresses = lookup_host((host, port)).await.map_err(unknown)?;
    addresses
        .map(|address| Ok(replica(uri, address, credentials)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolved(addresses: &[&str]) -> Result<Vec<String>, String> {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let endpoints = resolve(&addresses, &Credentials::default()).await;
        let name = |endpoint: &Endpoint| endpoint.uri().to_string();
        endpoints
            .map(|endpoints| endpoints.iter().map(name).collect())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn addresses_become_replicas_each_once() {
        let written = [
            "http://127.0.0.1:1",
            " 127.0.0.1:2",
            "http://127.0.0.1:1/",
            "http://[::1]:3",
        ];
        assert_eq!(
            resolved(&written).await.unwrap(),
            [
                "http://127.0.0.1:1/",
                "http://127.0.0.1:2/",
                "http://[::1]:3/"
            ]
        );
        let local = resolved(&["localhost:7"]).await.unwrap();
        assert!(
            local.contains(&"http://127.0.0.1:7/".to_owned()),
            "{local:?}"
        );
    }

    #[tokio::test]
    async fn what_is_no_address_is_named() {
        for bad in [
            "",
            "somewhere",
            "ftp://x:1",
            "http://",
            "http://h:1/path",
            "h:port",
            "http://h:1?q",
        ] {
            let error = resolved(&[bad]).await.unwrap_err();
            assert!(error.contains("write for example"), "{bad}: {error}");
        }
        let unknown = resolved(&["http://no-such-host.invalid:1"]).await;
        assert!(unknown.unwrap_err().contains("has no address"));
    }
}
