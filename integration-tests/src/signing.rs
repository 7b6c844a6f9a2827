//! Keys by which a synthesizer signs and an operator checks, in files as both have them in a cluster.
//! Of tests alone: everybody knows these keys.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::new_without_default,
    reason = "helpers of tests are tests, too"
)]

use std::{fs, path::PathBuf};

use langop_provenance::SigningKey;

use crate::{FakeLlm, Synthesizer, env::TestEnv};

/// Ed25519 keys of 32 bytes 1, and of 32 bytes 2, as PKCS#8 in PEM has them.
const KEYS: [&str; 2] = [
    "MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    "MC4CAQAwBQYDK2VwBCIEIAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",
];

fn private_pem(number: usize) -> String {
    let label = "PRIVATE KEY";
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        KEYS[number]
    )
}

/// One of the two keys.
pub fn key(number: usize) -> SigningKey {
    SigningKey::from_pem(private_pem(number).as_bytes()).unwrap()
}

/// The files of both programs' keys.
pub struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// The synthesizer signs with the first key, and it counts.
    pub fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        files.sign_with(0);
        files.trust(&[0]);
        files
    }

    /// Where the synthesizer's private key lies.
    pub fn signing(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Where the operator's public keys lie.
    pub fn trusted(&self) -> PathBuf {
        self.folder.path().join("public.pem")
    }

    /// From now on the synthesizer signs with this key.
    pub fn sign_with(&self, number: usize) {
        fs::write(self.signing(), private_pem(number)).unwrap();
    }

    /// From now on these keys count.
    pub fn trust(&self, numbers: &[usize]) {
        let keys = numbers.iter().map(|number| key(*number).public_pem());
        fs::write(self.trusted(), keys.collect::<String>()).unwrap();
    }

    /// A synthesizer that signs.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn synthesizer(&self, llm: &FakeLlm) -> Synthesizer {
        Synthesizer::asking(llm)
            .env("LANGOP_SIGNING_KEY_FILE", self.signing().to_str().unwrap())
            .env("LANGOP_RELOAD_INTERVAL", "100ms")
            .start()
            .await
            .unwrap()
    }

    /// All parts up: a synthesizer that signs, an operator that asks for it.
    pub async fn env(&self, prefix: &str) -> TestEnv {
        let llm = FakeLlm::start().await.unwrap();
        let synthesizer = self.synthesizer(&llm).await;
        let url = synthesizer.grpc_url().to_owned();
        let trusted = self.trusted();
        TestEnv::with(prefix, llm, synthesizer, |operator| {
            operator
                .synthesizer(&url)
                .synthesis_backoff("1s", "2s")
                .env("LANGOP_PROVENANCE_KEYS", trusted.to_str().unwrap())
        })
        .await
    }
}
