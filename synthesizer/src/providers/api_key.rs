//! Where the API key comes from. A file is read for every request, so that a rotated key is used at
//! once.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use super::error::{BuildError, ProviderError};
use crate::settings::Settings;

pub(super) enum ApiKey {
    None,
    Given(SecretString),
    File(PathBuf),
}

impl ApiKey {
    /// A key that can never be sent is an error at once; a file may still come.
    pub(super) fn from_settings(settings: &Settings) -> Result<Self, BuildError> {
        match (&settings.api_key, &settings.api_key_file) {
            (Some(key), _) => usable(key.expose_secret())
                .map(Self::Given)
                .ok_or(BuildError::Key("SYNTHESIS_API_KEY")),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(text) if usable(&text).is_none() => {
                    Err(BuildError::Key("the file named by SYNTHESIS_API_KEY_FILE"))
                }
                _ => Ok(Self::File(path.clone())),
            },
            (None, None) => Ok(Self::None),
        }
    }

    pub(super) async fn read(&self) -> Result<Option<SecretString>, ProviderError> {
        match self {
            Self::None => Ok(None),
            Self::Given(key) => Ok(Some(key.clone())),
            Self::File(path) => {
                let text = tokio::fs::read_to_string(path)
                    .await
                    .map_err(ProviderError::KeyUnreadable)?;
                usable(&text).map(Some).ok_or(ProviderError::KeyUnusable)
            }
        }
    }
}

/// The key without the white space around it, if it can be in a header.
fn usable(text: &str) -> Option<SecretString> {
    let key = text.trim();
    let is_usable = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    is_usable.then(|| SecretString::from(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_key_does_not_matter_and_inside_it_does() {
        let key = |text: &str| usable(text).map(|key| key.expose_secret().to_owned());
        for text in ["sk-1", "sk-1\n", " sk-1\r\n", "\tsk-1 "] {
            assert_eq!(key(text).as_deref(), Some("sk-1"), "{text:?}");
        }
        for text in ["", "\n", "sk 1", "sk\n1", "sk\u{200b}1", "“sk-1”"] {
            assert_eq!(key(text), None, "{text:?}");
        }
    }
}
