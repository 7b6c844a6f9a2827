//! Settings of the email tool, from the environment.

use std::{fmt, path::PathBuf};

use lettre::{Address, message::Mailbox};

use crate::settings::{SettingError, list, parsed, text};

/// How the connection to the server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte, as on port 465.
    Implicit,
    /// TLS after the greeting, as on port 587; never without.
    StartTls,
    /// In the clear, for a server on the same machine.
    None,
}

/// To whom may be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipients(Vec<String>);

impl Recipients {
    /// Addresses, and domains as `@example.com`; none at all: everybody.
    pub fn new(allowed: Vec<String>) -> Self {
        Self(
            allowed
                .into_iter()
                .map(|word| word.to_lowercase())
                .collect(),
        )
    }

    /// Whether to this address.
    pub fn allow(&self, address: &Address) -> bool {
        let address = address.to_string().to_lowercase();
        let is_allowed = |word: &String| {
            if word.starts_with('@') {
                address.ends_with(word.as_str())
            } else {
                address == *word
            }
        };
        self.0.is_empty() || self.0.iter().any(is_allowed)
    }
}

/// All settings; at least one of the servers is named.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For sending.
    pub smtp: Option<SmtpSettings>,
    /// For reading.
    pub imap: Option<ImapSettings>,
}

/// The server that takes messages.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// `SMTP_HOST`.
    pub host: String,
    /// `SMTP_PORT`.
    pub port: u16,
    /// `SMTP_SECURITY`.
    pub security: Security,
    /// `SMTP_USERNAME` and `SMTP_PASSWORD`.
    pub login: Option<(String, String)>,
    /// `SMTP_FROM`.
    pub from: Mailbox,
    /// `EMAIL_ALLOWED_RECIPIENTS`.
    pub recipients: Recipients,
    /// `EMAIL_KEYS_PATH`: where the keys of sent messages are kept.
    pub keys: PathBuf,
}

/// The server with the mailbox.
#[derive(Clone)]
pub struct ImapSettings {
    /// `IMAP_HOST`.
    pub host: String,
    /// `IMAP_PORT`.
    pub port: u16,
    /// `IMAP_SECURITY`: TLS from the first byte (RFC 8314), or in the clear.
    pub is_tls: bool,
    /// `IMAP_USERNAME` and `IMAP_PASSWORD`.
    pub login: (String, String),
    /// `IMAP_FOLDER`.
    pub folder: String,
}

/// Without the login.
impl fmt::Debug for ImapSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapSettings")
            .field("host", &self.host)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads them.
    pub fn from_environment() -> Result<Self, SettingError> {
        let this = Self {
            smtp: text("SMTP_HOST").map(smtp).transpose()?,
            imap: text("IMAP_HOST").map(imap).transpose()?,
        };
        if this.smtp.is_none() && this.imap.is_none() {
            return Err(SettingError::new(
                "SMTP_HOST",
                "is missing: name the server to send by, or IMAP_HOST to read from, or both",
            ));
        }
        Ok(this)
    }
}

fn smtp(host: String) -> Result<SmtpSettings, SettingError> {
    let port = parsed("SMTP_PORT", "a port such as 587")?.unwrap_or(587);
    let security = match text("SMTP_SECURITY").as_deref() {
        Some("implicit") => Security::Implicit,
        Some("none") => Security::None,
        None if port == 465 => Security::Implicit,
        None | Some("starttls") => Security::StartTls,
        Some(_) => {
            let problem = "is unknown: write starttls, implicit or none";
            return Err(SettingError::new("SMTP_SECURITY", problem));
        }
    };
    let user = text("SMTP_USERNAME");
    let from = text("SMTP_FROM").or_else(|| user.clone().filter(|user| user.contains('@')));
    let from = from.ok_or_else(|| {
        SettingError::new(
            "SMTP_FROM",
            "is missing: name the sender, such as agents@example.com",
        )
    })?;
    let from = from.parse().map_err(|_| {
        SettingError::new(
            "SMTP_FROM",
            "is not an address: write for example agents@example.com",
        )
    })?;
    let keys = text("EMAIL_KEYS_PATH").unwrap_or_else(|| "/tmp/langop-email".to_owned());
    Ok(SmtpSettings {
        host,
        port,
        security,
        login: user.zip(text("SMTP_PASSWORD")),
        from,
        recipients: Recipients::new(list("EMAIL_ALLOWED_RECIPIENTS")),
        keys: keys.into(),
    })
}

fn imap(host: String) -> Result<ImapSettings, SettingError> {
    let port = parsed("IMAP_PORT", "a port such as 993")?.unwrap_or(993);
    let is_tls = match text("IMAP_SECURITY").as_deref() {
        None | Some("implicit") => true,
        Some("none") => false,
        Some(_) => {
            let problem =
                "is unknown: write implicit (TLS from the first byte, as on port 993) or none";
            return Err(SettingError::new("IMAP_SECURITY", problem));
        }
    };
    let required = |name: &'static str| {
        text(name).ok_or_else(|| SettingError::new(name, "is missing: IMAP_HOST needs an account"))
    };
    Ok(ImapSettings {
        host,
        port,
        is_tls,
        login: (required("IMAP_USERNAME")?, required("IMAP_PASSWORD")?),
        folder: text("IMAP_FOLDER").unwrap_or_else(|| "INBOX".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_addresses_or_domains() {
        let allowed = Recipients::new(vec![
            "Ops@example.com".to_owned(),
            "@team.example".to_owned(),
        ]);
        for (address, is_allowed) in [
            ("ops@example.com", true),
            ("OPS@EXAMPLE.COM", true),
            ("x@team.example", true),
            ("x@eviltteam.example", false),
            ("ops@example.com.evil", false),
            ("x@sub.team.example", false),
        ] {
            let address: Address = address.parse().unwrap();
            assert_eq!(allowed.allow(&address), is_allowed, "{address}");
            assert!(Recipients::default().allow(&address));
        }
    }
}
