//! Authorities, certificates and files of credentials, made anew for each test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use langop_client::credentials::Credentials;
use langop_dsl::hash::sha256_hex;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType,
};
use tempfile::TempDir;

/// The name in every server's certificate; clients reach it by address.
pub(crate) const SERVER: &str = "synthesizer";

/// A token as long as it must be, of which tests write the beginning.
pub(crate) fn whole(token: &str) -> String {
    format!("{token}-0123456789abcdef")
}

/// Files of one test.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file as a Secret's mount does: it is there as a whole or not at all.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let (path, new) = (self.path(name), self.path("new"));
        fs::write(&new, content).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    /// A tokens file of these names and tokens.
    pub(crate) fn tokens(&self, tokens: &[(&str, &str)]) -> PathBuf {
        let line = |(name, token): &(&str, &str)| {
            format!("{name}:{}\n", sha256_hex(whole(token).as_bytes()))
        };
        self.write("tokens", &tokens.iter().map(line).collect::<String>())
    }
}

/// An authority that signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key, as PEM, of somebody with this common name and these DNS names.
    fn issue(&self, common: Option<&str>, dns: &[&str]) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        let name = |name: &&str| SanType::DnsName((*name).try_into().unwrap());
        params.subject_alt_names = dns.iter().map(name).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Writes a server's files, and returns what makes a server use them.
    pub(crate) fn server(&self, files: &Files) -> [String; 2] {
        let (certificate, key) = self.issue(None, &[SERVER]);
        let argument = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        [
            argument("tls-cert", &files.write("server.crt", &certificate)),
            argument("tls-key", &files.write("server.key", &key)),
        ]
    }

    /// Certificate and key of a server with this DNS name.
    pub(crate) fn pair(&self, dns: &str) -> (String, String) {
        self.issue(None, &[dns])
    }

    /// What a client needs that trusts this authority.
    pub(crate) fn trusted(&self, files: &Files) -> Credentials {
        let ca = self.pem();
        Credentials {
            ca: Some(files.write(&format!("{}.pem", sha256_hex(ca.as_bytes())), &ca)),
            server_name: Some(SERVER.to_owned()),
            ..Credentials::default()
        }
    }

    /// `credentials` with a certificate of this authority for `name`; `None` names nobody.
    pub(crate) fn certified(
        &self,
        credentials: Credentials,
        files: &Files,
        name: Option<&str>,
    ) -> Credentials {
        let (certificate, key) = self.issue(name, &[]);
        let file = |kind| {
            format!(
                "{}-{}.{kind}",
                name.unwrap_or("nobody"),
                sha256_hex(key.as_bytes())
            )
        };
        Credentials {
            certificate: Some(files.write(&file("crt"), &certificate)),
            key: Some(files.write(&file("key"), &key)),
            ..credentials
        }
    }
}
