//! Makes keys and certificates. It does not decide when one is needed, and stores nothing.

use anyhow::{Context as _, Result};
use k8s_openapi::jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// The authority's common name. A stored key is an issuer again by it, so it never changes.
pub(crate) const AUTHORITY: &str = "Language Operator";
/// How long the authority is valid.
const AUTHORITY_LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// A certificate and its private key, both PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// TLS server authentication.
    Server,
    /// TLS client authentication.
    Client,
}

/// A certificate as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Its one DNS name.
    pub(crate) name: String,
    /// Its extended key usage.
    pub(crate) purpose: Purpose,
    /// How long a new one is valid.
    pub(crate) lifetime: SignedDuration,
}

/// A new authority, valid from a day before `now`, for clocks that go wrong.
pub(crate) fn authority(now: Timestamp) -> Result<Pair> {
    let mut params = authority_params()?;
    set_validity(&mut params, now, AUTHORITY_LIFETIME);
    let issuer = CertifiedIssuer::self_signed(params, new_key()?)
        .context("cannot sign the authority's certificate")?;
    Ok(Pair {
        certificate: issuer.pem(),
        key: issuer.key().serialize_pem(),
    })
}

/// A new certificate of the authority with this key.
pub(crate) fn certificate(wanted: &Wanted, authority_key: &str, now: Timestamp) -> Result<Pair> {
    let key = KeyPair::from_pem(authority_key).context("the authority's key cannot be read")?;
    let issuer = Issuer::new(authority_params()?, key);
    let mut params = CertificateParams::new(vec![wanted.name.clone()])
        .with_context(|| format!("invalid DNS name '{}'", wanted.name))?;
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match wanted.purpose {
        Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    set_validity(&mut params, now, wanted.lifetime);
    let key = new_key()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn authority_params() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, AUTHORITY);
    // It signs certificates, and no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

fn new_key() -> Result<KeyPair> {
    KeyPair::generate().context("cannot generate a key")
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, lifetime: SignedDuration) {
    let day = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    };
    params.not_before = day(now - SignedDuration::from_hours(24));
    params.not_after = day(now + lifetime);
}
