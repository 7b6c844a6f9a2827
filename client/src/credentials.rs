//! A client's credentials, by the same names for all clients: files that say whom to trust and who
//! one is. [`crate::endpoint`] secures every endpoint of a synthesizer with them, and
//! [`Credentials::bearer`] intercepts each call.
//!
//! A token's file is read for every call, so that a replaced token is used at once. The files of
//! TLS are read when an endpoint is secured: a long-running client secures its endpoints again from
//! time to time.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::Interceptor,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Uri},
};

/// PEM file of the authorities that a synthesizer's certificate must come from.
pub const CA: &str = "LANGOP_SYNTHESIZER_CA";
/// PEM file with one's own certificate chain; goes with [`KEY`].
pub const CERT: &str = "LANGOP_SYNTHESIZER_CERT";
/// PEM file with the private key of [`CERT`].
pub const KEY: &str = "LANGOP_SYNTHESIZER_KEY";
/// The name in a synthesizer's certificate, where it is not the host of its URL: replicas are
/// reached by address.
pub const SERVER_NAME: &str = "LANGOP_SYNTHESIZER_SERVER_NAME";
/// File with a bearer token.
pub const TOKEN_FILE: &str = "LANGOP_SYNTHESIZER_TOKEN_FILE";

/// Send a token without TLS beyond loopback, where anyone on the network path can read it.
pub const ALLOW_PLAINTEXT: &str = "LANGOP_SYNTHESIZER_ALLOW_PLAINTEXT";

/// Whom to trust, and the client's own identity. Empty: plaintext, without an identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// [`CA`].
    pub ca: Option<PathBuf>,
    /// [`CERT`].
    pub certificate: Option<PathBuf>,
    /// [`KEY`].
    pub key: Option<PathBuf>,
    /// [`SERVER_NAME`].
    pub server_name: Option<String>,
    /// [`TOKEN_FILE`].
    pub token_file: Option<PathBuf>,
    /// [`ALLOW_PLAINTEXT`].
    pub allow_plaintext: bool,
}

/// Why credentials cannot be used. Holds none.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file of TLS.
    #[error("cannot read {}, which {variable} names", .file.display())]
    Read {
        /// The setting.
        variable: &'static str,
        /// Its file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// One of two.
    #[error("{CERT} and {KEY} go together; set both or none")]
    Half,
    /// An https endpoint without authorities to trust.
    #[error("{0} needs to know whom to trust; set {CA}")]
    NoAuthority(String),
    /// Credentials of TLS, and an endpoint without it.
    #[error(
        "{0} has no TLS, but {CA}, {CERT} or {SERVER_NAME} is set; write https://, or unset them"
    )]
    Plaintext(String),
    /// A token, and an endpoint to which it would travel in the clear.
    #[error(
        "{0} has no TLS and is not on loopback, so anyone on the network path can read the token of {TOKEN_FILE}; write https://, or set \
         {ALLOW_PLAINTEXT}=true if the network already keeps others out"
    )]
    TokenInPlaintext(String),
    /// An address that cannot stand in a URL.
    #[error("invalid address of a synthesizer: {0}")]
    Address(String),
    /// The files hold something else.
    #[error("the files of {CA}, {CERT} and {KEY} cannot be used")]
    Tls(#[source] tonic::transport::Error),
}

impl Credentials {
    /// The files of TLS that are named.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let all = [&self.ca, &self.certificate, &self.key];
        all.into_iter().flatten().map(PathBuf::as_path)
    }

    /// The endpoint, with TLS if it is https.
    ///
    /// # Errors
    /// If files cannot be used, or do not go with the endpoint's scheme.
    pub fn secure(&self, endpoint: Endpoint) -> Result<Endpoint, CredentialsError> {
        let uri = endpoint.uri();
        if uri.scheme_str() == Some("https") {
            let tls = self
                .tls()?
                .ok_or_else(|| CredentialsError::NoAuthority(uri.to_string()))?;
            return endpoint.tls_config(tls).map_err(CredentialsError::Tls);
        }
        // Otherwise a client that asked for TLS would silently speak without it.
        if self.ca.is_some() || self.certificate.is_some() || self.server_name.is_some() {
            return Err(CredentialsError::Plaintext(uri.to_string()));
        }
        self.check_token(&uri.to_string())?;
        Ok(endpoint)
    }

    /// Whether a token, if there is one, may be sent to `url`.
    ///
    /// # Errors
    /// If it could be read on the way and that is not allowed explicitly.
    pub fn check_token(&self, url: &str) -> Result<(), CredentialsError> {
        if self.token_file.is_some() && is_readable(url) && !self.allow_plaintext {
            return Err(CredentialsError::TokenInPlaintext(url.to_owned()));
        }
        Ok(())
    }

    /// What adds the token to calls, if there is one. Over plaintext a token can be read along.
    pub fn bearer(&self) -> Bearer {
        Bearer(self.token_file.clone().map(Arc::new))
    }

    fn tls(&self) -> Result<Option<ClientTlsConfig>, CredentialsError> {
        let Some(ca) = &self.ca else { return Ok(None) };
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(CA, ca)?));
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                tls = tls.identity(Identity::from_pem(
                    read(CERT, certificate)?,
                    read(KEY, key)?,
                ));
            }
            (None, None) => {}
            _ => return Err(CredentialsError::Half),
        }
        Ok(Some(tls))
    }
}

/// Whether others could read what is sent to `url`: it is http, and not on loopback.
pub fn is_readable(url: &str) -> bool {
    let Ok(uri) = url.trim().parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback());
    uri.scheme_str() == Some("http") && !is_loopback
}

fn read(variable: &'static str, file: &PathBuf) -> Result<Vec<u8>, CredentialsError> {
    fs::read(file).map_err(|source| CredentialsError::Read {
        variable,
        file: file.clone(),
        source,
    })
}

/// Adds the bearer token of a file to calls; without a file, nothing.
#[derive(Debug, Clone, Default)]
pub struct Bearer(Option<Arc<PathBuf>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(file) = &self.0 {
            // Small, and mostly in memory: cheaper than to hand it to another thread.
            let token = fs::read_to_string(file.as_path()).map_err(|error| {
                Status::unauthenticated(format!("cannot read the file of {TOKEN_FILE}: {error}"))
            })?;
            if token.trim().is_empty() {
                return Err(Status::unauthenticated(format!(
                    "the file of {TOKEN_FILE} is empty"
                )));
            }
            let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| {
                    Status::unauthenticated(format!("the file of {TOKEN_FILE} holds no token"))
                })?;
            // So that nothing on the way prints or compresses it.
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secured(credentials: &Credentials, url: &'static str) -> Result<Endpoint, CredentialsError> {
        credentials.secure(Endpoint::from_static(url))
    }

    #[test]
    fn the_scheme_and_the_files_must_go_together() {
        let some = |name: &str| Some(PathBuf::from(name));
        let none = Credentials::default();
        assert!(secured(&none, "http://x:1").is_ok());
        let error = secured(&none, "https://x:1").unwrap_err().to_string();
        assert!(error.contains(CA), "{error}");
        let trusting = Credentials {
            ca: some("no-such-file"),
            ..Credentials::default()
        };
        let error = secured(&trusting, "http://x:1").unwrap_err().to_string();
        assert!(error.contains("https://"), "{error}");
        let error = secured(&trusting, "https://x:1").unwrap_err();
        assert!(matches!(error, CredentialsError::Read { variable: CA, .. }));
    }

    #[test]
    fn a_token_travels_in_the_clear_only_where_that_is_said() {
        let silent = Credentials {
            token_file: Some(PathBuf::from("t")),
            ..Credentials::default()
        };
        let allowing = Credentials {
            allow_plaintext: true,
            ..silent.clone()
        };
        for (url, is_refused) in [
            ("http://x:1", true),
            ("http://10.0.0.1:1", true),
            ("http://[2001:db8::1]:1", true),
            ("http://127.0.0.9:1", false),
            ("http://localhost:1", false),
            ("http://[::1]:1", false),
        ] {
            let refused = secured(&silent, url).err();
            assert_eq!(refused.is_some(), is_refused, "{url}");
            if let Some(error) = refused {
                assert!(error.to_string().contains(ALLOW_PLAINTEXT), "{error}");
            }
            assert!(secured(&allowing, url).is_ok(), "{url}");
            assert!(secured(&Credentials::default(), url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_token_is_sent_as_its_file_has_it_now() {
        let file = std::env::temp_dir().join(format!("langop-proto-token-{}", std::process::id()));
        let credentials = Credentials {
            token_file: Some(file.clone()),
            ..Credentials::default()
        };
        let mut bearer = credentials.bearer();
        assert!(bearer.call(Request::new(())).is_err(), "no file");
        for token in ["one", "two"] {
            fs::write(&file, format!("{token}\n")).unwrap();
            let request = bearer.call(Request::new(())).unwrap();
            let value = request.metadata().get("authorization").unwrap();
            assert_eq!(value, format!("Bearer {token}").as_str());
            assert!(value.is_sensitive() && !format!("{value:?}").contains(token));
        }
        fs::write(&file, " \n").unwrap();
        assert!(bearer.call(Request::new(())).is_err(), "an empty token");
        fs::write(&file, "two\nlines").unwrap();
        let error = bearer.call(Request::new(())).unwrap_err();
        fs::remove_file(&file).unwrap();
        assert!(!error.message().contains("lines"), "{error}");
        let nothing = Bearer::default().call(Request::new(())).unwrap();
        assert!(nothing.metadata().is_empty());
    }
}
