//! Decides from what is stored, and the time, whether a certificate is to be made anew. Pure.

use std::fmt;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate,
    pem::parse_x509_pem,
};

/// What a Secret holds of a certificate.
pub(crate) struct Stored<'a> {
    /// `tls.crt`
    pub(crate) certificate: &'a str,
    /// `ca.crt`
    pub(crate) authority: &'a str,
}

/// Why a certificate is made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is none.
    Missing,
    /// What is there cannot be read.
    Unreadable,
    /// It is for another name.
    OtherName,
    /// It comes from another authority.
    OtherAuthority,
    /// It has ended, or is in the last third of its life.
    Expiring,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there was none",
            Self::Unreadable => "the stored one could not be read",
            Self::OtherName => "the stored one is for another name",
            Self::OtherAuthority => "the stored one comes from another authority",
            Self::Expiring => "the stored one is in the last third of its life",
        })
    }
}

/// Until when the stored certificate serves, or why it is to be made anew.
pub(crate) fn certificate(
    stored: Option<&Stored<'_>>,
    name: &str,
    authority: &str,
    now: Timestamp,
) -> Result<Timestamp, Reason> {
    let stored = stored.ok_or(Reason::Missing)?;
    if stored.authority != authority {
        return Err(Reason::OtherAuthority);
    }
    read(stored.certificate, |certificate| {
        if names(certificate) == [name] {
            remaining(certificate, now)
        } else {
            Err(Reason::OtherName)
        }
    })
}

/// As [`certificate`], for the authority's own.
pub(crate) fn authority(stored: Option<&str>, now: Timestamp) -> Result<Timestamp, Reason> {
    read(stored.ok_or(Reason::Missing)?, |certificate| {
        remaining(certificate, now)
    })
}

fn read<T>(
    pem: &str,
    judge: impl FnOnce(&X509Certificate<'_>) -> Result<T, Reason>,
) -> Result<T, Reason> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|_| Reason::Unreadable)?;
    let (_, certificate) = parse_x509_certificate(&pem.contents).map_err(|_| Reason::Unreadable)?;
    judge(&certificate)
}

fn names<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a str> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative
        .into_iter()
        .flat_map(|found| &found.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .collect()
}

fn remaining(certificate: &X509Certificate<'_>, now: Timestamp) -> Result<Timestamp, Reason> {
    let at = |seconds| Timestamp::from_second(seconds).map_err(|_| Reason::Unreadable);
    let validity = certificate.validity();
    let from = at(validity.not_before.timestamp())?;
    let until = at(validity.not_after.timestamp())?;
    let life: SignedDuration = until.duration_since(from);
    if until.duration_since(now) > life / 3 {
        Ok(until)
    } else {
        Err(Reason::Expiring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::{self, Pair, Purpose, Wanted};

    const NAME: &str = "langop-synthesizer.langop-system.svc";

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn days(days: i64) -> SignedDuration {
        SignedDuration::from_hours(24 * days)
    }

    fn issued() -> (Pair, Pair) {
        let authority = issue::authority(now()).unwrap();
        let wanted = Wanted {
            name: NAME.into(),
            purpose: Purpose::Server,
            lifetime: days(90),
        };
        let certificate = issue::certificate(&wanted, &authority.key, now()).unwrap();
        (authority, certificate)
    }

    #[test]
    fn a_new_certificate_serves_until_the_last_third_of_its_life() {
        let (authority, pair) = issued();
        let stored = Stored {
            certificate: &pair.certificate,
            authority: &authority.certificate,
        };
        let judged = |at| {
            certificate(
                Some(&stored),
                NAME,
                &authority.certificate,
                now() + days(at),
            )
        };
        let until = "2026-05-30T00:00:00Z".parse().unwrap();
        assert_eq!(judged(0), Ok(until));
        assert_eq!(judged(58), Ok(until));
        assert_eq!(judged(60), Err(Reason::Expiring));
        assert_eq!(judged(200), Err(Reason::Expiring));
    }

    #[test]
    fn another_name_another_authority_and_ruins_are_made_anew() {
        let (authority, pair) = issued();
        let (other, _) = issued();
        let stored = |certificate| Stored {
            certificate,
            authority: &authority.certificate,
        };
        let good = stored(&pair.certificate);
        let judged =
            |stored, name, of: &Pair| certificate(stored, name, &of.certificate, now()).err();
        assert_eq!(judged(None, NAME, &authority), Some(Reason::Missing));
        assert_eq!(
            judged(Some(&good), "a.b.svc", &authority),
            Some(Reason::OtherName)
        );
        assert_eq!(
            judged(Some(&good), NAME, &other),
            Some(Reason::OtherAuthority)
        );
        assert_eq!(
            judged(Some(&stored("")), NAME, &authority),
            Some(Reason::Unreadable)
        );
    }

    #[test]
    fn the_authority_is_renewed_in_its_last_third_too() {
        let (authority, _) = issued();
        let judged = |at| super::authority(Some(&authority.certificate), now() + days(at));
        assert!(judged(0).is_ok());
        assert_eq!(judged(9 * 365), Err(Reason::Expiring));
        assert_eq!(super::authority(None, now()), Err(Reason::Missing));
    }
}
