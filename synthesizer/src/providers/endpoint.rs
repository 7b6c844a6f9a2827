//! What a base URL means: the same as to the vendors' own SDKs. Pure.

use reqwest::Url;

/// Where an API is.
pub(super) struct Api {
    /// The vendor's own base URL, without a path.
    pub(super) home: &'static str,
    /// The first part of the path.
    pub(super) version: &'static str,
    /// The rest of it.
    pub(super) path: &'static str,
    /// Whose business the version is.
    pub(super) versioned: Versioned,
}

/// Who writes the version into the path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Versioned {
    /// The base URL has it; only one without any path leaves it to us.
    ByBase,
    /// We do, unless the base URL already ends with it.
    ByUs,
}

/// The URL to ask. `base` may be a full one already, may end with a slash and may have a query; all
/// of these are respected.
pub(super) fn url(api: &Api, base: Option<&str>) -> Option<Url> {
    let mut url = Url::parse(base.unwrap_or(api.home).trim()).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let base = url.path().trim_end_matches('/');
    let is_versioned = match api.versioned {
        Versioned::ByBase => !base.is_empty(),
        Versioned::ByUs => base.ends_with(api.version),
    };
    let path = if base.ends_with(api.path) && is_versioned_path(api, base) {
        base.to_owned()
    } else if is_versioned {
        format!("{base}{}", api.path)
    } else {
        format!("{base}{}{}", api.version, api.path)
    };
    url.set_path(&path);
    url.set_fragment(None);
    Some(url)
}

/// A path that ends like the API's is a full one, but a proxy's own name may end alike: `/chat`
/// alone is no `/api/chat`.
fn is_versioned_path(api: &Api, base: &str) -> bool {
    let before = base.strip_suffix(api.path).unwrap_or(base);
    match api.versioned {
        Versioned::ByBase => true,
        Versioned::ByUs => before.ends_with(api.version),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{anthropic, ollama, openai};
    use super::*;

    #[test]
    fn a_base_url_means_what_the_vendors_sdks_mean_by_it() {
        let cases = [
            (&openai::API, "http://h", "http://h/v1/chat/completions"),
            (&openai::API, "http://h/", "http://h/v1/chat/completions"),
            (&openai::API, "http://h/v1", "http://h/v1/chat/completions"),
            (&openai::API, "http://h/v1/", "http://h/v1/chat/completions"),
            (
                &openai::API,
                "https://h/v1beta/openai/",
                "https://h/v1beta/openai/chat/completions",
            ),
            (
                &openai::API,
                "https://h/openai/v1/chat/completions/",
                "https://h/openai/v1/chat/completions",
            ),
            (
                &openai::API,
                "https://h/openai/deployments/d?api-version=2024-10-21",
                "https://h/openai/deployments/d/chat/completions?api-version=2024-10-21",
            ),
            (
                &openai::API,
                "http://h?a=b",
                "http://h/v1/chat/completions?a=b",
            ),
            (&anthropic::API, "http://h", "http://h/v1/messages"),
            (&anthropic::API, "http://h/v1", "http://h/v1/messages"),
            (
                &anthropic::API,
                "http://h/v1/messages",
                "http://h/v1/messages",
            ),
            (
                &anthropic::API,
                "http://h/anthropic/",
                "http://h/anthropic/v1/messages",
            ),
            (&ollama::API, "http://h:11434", "http://h:11434/api/chat"),
            (&ollama::API, "http://h/api/", "http://h/api/chat"),
            (&ollama::API, "http://h/api/chat", "http://h/api/chat"),
            (&ollama::API, "http://h/chat", "http://h/chat/api/chat"),
        ];
        for (api, base, expected) in cases {
            let url = url(api, Some(base)).map(String::from);
            assert_eq!(url.as_deref(), Some(expected), "{base}");
        }
        for bad in ["", "h", "ftp://h", "localhost:11434"] {
            assert!(url(&openai::API, Some(bad)).is_none(), "{bad}");
        }
    }
}
