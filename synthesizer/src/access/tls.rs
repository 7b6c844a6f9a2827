//! The server's side of TLS: what is made of certificate, key and authorities, and whom a client's
//! certificate names.

use std::sync::Arc;

use langop_client::watched::{LoadError, Watched};
use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::settings::AccessSettings;

/// The protocol of gRPC, as ALPN has it.
const ALPN: &[u8] = b"h2";
/// Longest name of a caller, in bytes.
const NAME: usize = 256;

/// Why TLS cannot be served. Holds nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No PEM, or none of that kind.
    #[error("{variable} names no PEM file with {what}")]
    Pem {
        /// The setting.
        variable: &'static str,
        /// What should be there.
        what: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// An empty list of certificates.
    #[error("{variable} names a file without certificates")]
    Empty {
        /// The setting.
        variable: &'static str,
    },
    /// Certificate and key do not belong together, or are of no use.
    #[error(
        "the certificate of LANGOP_TLS_CERT and the key of LANGOP_TLS_KEY cannot be used together"
    )]
    Pair(#[source] rustls::Error),
    /// An authority that is none.
    #[error("LANGOP_TLS_CLIENT_CA holds a certificate that cannot be an authority")]
    Authority(#[source] rustls::Error),
    /// The authorities cannot be used.
    #[error("LANGOP_TLS_CLIENT_CA cannot be used")]
    Authorities(#[source] VerifierBuilderError),
}

/// The configuration of the newest files; `None` without TLS.
pub(super) async fn watch(
    settings: &AccessSettings,
) -> Result<Option<Arc<Watched<ServerConfig>>>, LoadError<TlsError>> {
    let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
        return Ok(None);
    };
    let mut files = vec![certificate.clone(), key.clone()];
    files.extend(settings.tls_client_ca.clone());
    let read = |contents: &[Vec<u8>]| {
        let authorities = contents.get(2).map(Vec::as_slice);
        config(&contents[0], &contents[1], authorities)
    };
    Ok(Some(
        Watched::start(files, settings.reload_interval, read).await?,
    ))
}

fn config(
    certificate: &[u8],
    key: &[u8],
    authorities: Option<&[u8]>,
) -> Result<ServerConfig, TlsError> {
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let chain = certificates("LANGOP_TLS_CERT", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| TlsError::Pem {
        variable: "LANGOP_TLS_KEY",
        what: "a private key",
        source,
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            // Without a certificate the handshake succeeds all the same: a token may follow, and a
            // refusal in gRPC says why.
            let verifier = WebPkiClientVerifier::builder_with_provider(roots(pem)?, provider)
                .allow_unauthenticated()
                .build()
                .map_err(TlsError::Authorities)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn roots(pem: &[u8]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates("LANGOP_TLS_CLIENT_CA", pem)? {
        roots.add(authority).map_err(TlsError::Authority)?;
    }
    Ok(Arc::new(roots))
}

fn certificates(
    variable: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|source| TlsError::Pem {
        variable,
        what: "certificates",
        source,
    })?;
    if found.is_empty() {
        return Err(TlsError::Empty { variable });
    }
    Ok(found)
}

/// Whom a certificate names, and by what kind of name: its first URI (as SPIFFE has it) as
/// `uri:NAME`, else its first DNS name as `dns:NAME`, else its common name as `cn:NAME`. The
/// certificate must have been verified.
pub(super) fn name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let alternatives = certificate.subject_alternative_name().ok()?;
    let alternatives = alternatives
        .as_ref()
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let uri = alternatives.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let dns = alternatives.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let common = || {
        let mut names = certificate.subject().iter_common_name();
        names.next()?.as_str().ok()
    };
    let (kind, name) = match (uri, dns) {
        (Some(uri), _) => ("uri", uri),
        (None, Some(dns)) => ("dns", dns),
        (None, None) => ("cn", common()?),
    };
    (!name.is_empty() && name.len() <= NAME).then(|| format!("{kind}:{name}"))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(names: Vec<SanType>, common: Option<&str>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_names_one_caller() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let uri = |name: &str| SanType::URI(name.try_into().unwrap());
        let long = "n".repeat(NAME + 1);
        for (names, common, expected) in [
            (
                vec![dns("d"), uri("spiffe://x/y")],
                Some("c"),
                Some("uri:spiffe://x/y"),
            ),
            (vec![dns("d"), dns("e")], Some("c"), Some("dns:d")),
            (vec![], Some("c"), Some("cn:c")),
            (vec![], None, None),
            (vec![], Some(long.as_str()), None),
        ] {
            let found = name(&certificate(names, common));
            assert_eq!(found.as_deref(), expected);
        }
        assert_eq!(name(&CertificateDer::from(&b"none"[..])), None);
    }

    #[test]
    fn files_that_do_not_fit_are_refused_and_named() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let pem = CertificateParams::default()
            .self_signed(&key)
            .unwrap()
            .pem();
        let refused = |certificate: &str, key: &str, authorities: Option<&str>| {
            let authorities = authorities.map(str::as_bytes);
            config(certificate.as_bytes(), key.as_bytes(), authorities)
                .unwrap_err()
                .to_string()
        };
        assert!(config(pem.as_bytes(), key.serialize_pem().as_bytes(), None).is_ok());
        assert!(refused("", &key.serialize_pem(), None).contains("LANGOP_TLS_CERT"));
        assert!(refused(&pem, "", None).contains("LANGOP_TLS_KEY"));
        assert!(refused(&pem, &other.serialize_pem(), None).contains("together"));
        assert!(refused(&pem, &key.serialize_pem(), Some("")).contains("LANGOP_TLS_CLIENT_CA"));
    }
}
