//! Writes kubeconfig files: one cluster, one user, one context.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use std::io::Write as _;

/// User agent of every client the harness makes, so that the audit log tells the test's own
/// requests from those of the programs under test.
pub const USER_AGENT: &str = "langop-tests";

/// Who the file makes its reader.
pub(crate) enum Credentials<'a> {
    /// Client certificate and key, both PEM.
    Certificate { certificate: &'a str, key: &'a str },
    /// Bearer token, e.g. of a service account.
    Token(&'a str),
}

/// The `cluster` entry of a kubeconfig, from address and CA (PEM).
pub(crate) fn cluster(server: &str, ca: &str) -> Value {
    json!({"server": server, "certificate-authority-data": base64(ca)})
}

/// Writes the file, readable by the owner only since it holds a credential.
pub(crate) fn write(path: &Path, cluster: &Value, credentials: &Credentials<'_>) -> Result<()> {
    let user = match credentials {
        Credentials::Certificate { certificate, key } => {
            json!({"client-certificate-data": base64(certificate), "client-key-data": base64(key)})
        }
        Credentials::Token(token) => json!({"token": token}),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "langop", "cluster": cluster}],
        "users": [{"name": "langop", "user": user}],
        "contexts": [{"name": "langop", "context": {"cluster": "langop", "user": "langop"}}],
        "current-context": "langop",
    });
    let text = serde_saphyr::to_string(&config)?;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn base64(text: &str) -> Value {
    json!(ByteString(text.as_bytes().to_vec()))
}
