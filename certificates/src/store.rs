//! The Secrets: read, judged, and written only where the judgement says so. It reads no Secret but
//! the three it is named.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, Result};
use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};

use crate::{
    issue::{self, Pair, Wanted},
    judge::{self, Reason, Stored},
};

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

/// What became of one Secret.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It serves until then.
    Kept(String, Timestamp),
    /// It was written.
    Issued(String, Reason),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(secret, until) => write!(f, "kept {secret}, valid until {until}"),
            Self::Issued(secret, reason) => write!(f, "issued {secret}: {reason}"),
        }
    }
}

/// The authority, ready to sign.
pub(crate) struct Authority {
    pair: Pair,
    /// What `ca.crt` says: the authority, and the one before it while certificates of that are
    /// still in use.
    bundle: String,
    pub(crate) outcome: Outcome,
}

/// Secrets of one namespace, at one time.
pub(crate) struct Store {
    pub(crate) secrets: Api<Secret>,
    pub(crate) now: Timestamp,
}

impl Store {
    /// The stored authority, or a new one.
    pub(crate) async fn authority(&self, name: &str) -> Result<Authority> {
        let found = self.get(name).await?;
        let held = found.as_ref();
        let judged = judge::authority(held.and_then(|secret| text(secret, CERTIFICATE)), self.now);
        let field = |key| held.and_then(|secret| text(secret, key)).map(str::to_owned);
        match (judged, field(CERTIFICATE), field(KEY), field(AUTHORITY)) {
            (Ok(until), Some(certificate), Some(key), Some(bundle)) => Ok(Authority {
                pair: Pair { certificate, key },
                bundle,
                outcome: Outcome::Kept(name.to_owned(), until),
            }),
            (judged, former, ..) => {
                let pair = issue::authority(self.now)?;
                let bundle = former
                    .into_iter()
                    .fold(pair.certificate.clone(), |all, one| all + &one);
                self.put(name, found, &pair, &bundle).await?;
                let reason = judged.err().unwrap_or(Reason::Unreadable);
                Ok(Authority {
                    pair,
                    bundle,
                    outcome: Outcome::Issued(name.to_owned(), reason),
                })
            }
        }
    }

    /// The stored certificate, if it serves, else a new one.
    pub(crate) async fn certificate(
        &self,
        name: &str,
        wanted: &Wanted,
        authority: &Authority,
    ) -> Result<Outcome> {
        let found = self.get(name).await?;
        let stored = found.as_ref().map(|secret| Stored {
            certificate: text(secret, CERTIFICATE).unwrap_or_default(),
            authority: text(secret, AUTHORITY).unwrap_or_default(),
        });
        match judge::certificate(stored.as_ref(), &wanted.name, &authority.bundle, self.now) {
            Ok(until) => Ok(Outcome::Kept(name.to_owned(), until)),
            Err(reason) => {
                let pair = issue::certificate(wanted, &authority.pair.key, self.now)?;
                self.put(name, found, &pair, &authority.bundle).await?;
                Ok(Outcome::Issued(name.to_owned(), reason))
            }
        }
    }

    async fn get(&self, name: &str) -> Result<Option<Secret>> {
        let read = self.secrets.get_opt(name).await;
        read.with_context(|| format!("cannot read Secret '{name}'"))
    }

    /// Creates it, or replaces the version that was judged: whoever was faster wins, and the next
    /// run sees what they wrote.
    async fn put(
        &self,
        name: &str,
        found: Option<Secret>,
        pair: &Pair,
        bundle: &str,
    ) -> Result<()> {
        let data = [
            (CERTIFICATE, pair.certificate.as_str()),
            (KEY, pair.key.as_str()),
            (AUTHORITY, bundle),
        ];
        let data = data.map(|(key, text)| (key.to_owned(), ByteString(text.into())));
        let (data, params) = (Some(BTreeMap::from(data)), PostParams::default());
        let written = if let Some(found) = found {
            let secret = Secret { data, ..found };
            self.secrets.replace(name, &params, &secret).await
        } else {
            let labels = [("app.kubernetes.io/part-of", "language-operator")];
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let secret = Secret {
                metadata: ObjectMeta {
                    name: Some(name.to_owned()),
                    labels: Some(BTreeMap::from(labels)),
                    ..ObjectMeta::default()
                },
                type_: Some("kubernetes.io/tls".to_owned()),
                data,
                ..Secret::default()
            };
            self.secrets.create(&params, &secret).await
        };
        written.with_context(|| format!("cannot write Secret '{name}'"))?;
        Ok(())
    }
}

fn text<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    let value = secret.data.as_ref()?.get(key)?;
    std::str::from_utf8(&value.0).ok()
}
