//! Where the API key comes from. A file is read for every request, so that a rotated key is used at once.

use std::path::PathBuf;

use secrecy::SecretString;

use super::ProviderError;
use crate::settings::Settings;

pub(super) enum ApiKey {
    None,
    Given(SecretString),
    File(PathBuf),
}

impl ApiKey {
    pub(super) fn from_settings(settings: &Settings) -> Self {
        match (&settings.api_key, &settings.api_key_file) {
            (Some(key), _) => Self::Given(key.clone()),
            (None, Some(path)) => Self::File(path.clone()),
            (None, None) => Self::None,
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
                Ok(Some(SecretString::from(text.trim())))
            }
        }
    }
}
