//! What a provider's error means, wherever it is: in the body of a status, in that of a success, or
//! in a stream. Pure. Repeats the provider's short names of errors and never its prose, which may
//! quote the key or the prompt.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::error::ProviderError;

/// Longest short name of an error, in bytes.
const LONGEST_NAME: usize = 64;

/// What was asked, as far as errors name it.
pub(super) struct Asked<'a> {
    /// The model.
    pub(super) model: &'a str,
    /// The path of the URL: neither credentials nor a query.
    pub(super) path: &'a str,
    /// The key, which no error may hold.
    pub(super) key: Option<&'a SecretString>,
}

/// The error of a status that is no success.
pub(super) fn of_status(
    status: u16,
    body: &Value,
    retry_after: Option<Duration>,
    asked: &Asked<'_>,
) -> ProviderError {
    let kind = short_name(body, asked.key);
    let is_unpaid = status == 402
        || kind.as_deref().is_some_and(is_about_money)
        || message(body).contains("credit balance");
    if is_unpaid {
        return ProviderError::NoQuota { kind };
    }
    // Other statuses say more than a name that many errors share.
    let is_vague = matches!(status, 400 | 422);
    let meant = kind.as_deref().and_then(status_of).filter(|_| is_vague);
    match meant.unwrap_or(status) {
        401 | 403 => ProviderError::KeyRefused { status, kind },
        404 => ProviderError::ModelNotFound {
            model: asked.model.to_owned(),
            path: asked.path.to_owned(),
        },
        429 => ProviderError::RateLimited { retry_after, kind },
        408 | 500.. => ProviderError::Server {
            status,
            retry_after,
            kind,
        },
        300..=399 | 405 | 410 | 415 | 421 | 426 => ProviderError::WrongEndpoint {
            status,
            path: asked.path.to_owned(),
        },
        _ => ProviderError::Refused {
            status,
            kind,
            parameter: None,
        },
    }
}

/// The error that the body of a success, or an event of a stream, holds instead of an answer.
pub(super) fn in_answer(body: &Value, asked: &Asked<'_>) -> Option<ProviderError> {
    let error = body.get("error").filter(|error| !error.is_null())?;
    let kind = short_name(body, asked.key);
    let code = error.get("code").and_then(Value::as_u64);
    let code = code.and_then(|code| u16::try_from(code).ok());
    let status = code
        .filter(|code| (400..600).contains(code))
        .or_else(|| kind.as_deref().and_then(status_of));
    let is_unpaid = kind.as_deref().is_some_and(is_about_money);
    Some(match status {
        Some(status) => of_status(status, body, None, asked),
        None if is_unpaid => ProviderError::NoQuota { kind },
        None => ProviderError::Failed { kind },
    })
}

/// The provider's short name of an error, such as `context_length_exceeded`, if it is one.
pub(super) fn short_name(body: &Value, key: Option<&SecretString>) -> Option<String> {
    let error = body.get("error")?;
    let names = [error.get("code"), error.get("type"), error.get("status")];
    let is_short_name = |name: &&str| {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        let holds_key = key.is_some_and(|key| name.contains(key.expose_secret()));
        name.len() <= LONGEST_NAME && name.bytes().all(is_word) && !is_number && !holds_key
    };
    names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(is_short_name)
        .map(ToOwned::to_owned)
}

fn message(body: &Value) -> &str {
    body.pointer("/error/message")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Waiting does not bring money.
fn is_about_money(kind: &str) -> bool {
    matches!(
        kind,
        "insufficient_quota"
            | "billing_hard_limit_reached"
            | "billing_not_active"
            | "billing_error"
            | "exceeded_current_quota_error"
            | "insufficient_balance"
    )
}

/// The status that an error of this name has where it comes with one.
fn status_of(kind: &str) -> Option<u16> {
    Some(match kind {
        "invalid_api_key" | "authentication_error" | "API_KEY_INVALID" | "UNAUTHENTICATED" => 401,
        "permission_error" | "PERMISSION_DENIED" => 403,
        "model_not_found" | "not_found_error" | "DeploymentNotFound" => 404,
        "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => 429,
        "api_error" | "server_error" | "internal_server_error" | "INTERNAL" => 500,
        "UNAVAILABLE" => 503,
        "overloaded_error" => 529,
        "invalid_request_error"
        | "context_length_exceeded"
        | "content_filter"
        | "content_policy_violation"
        | "request_too_large" => 400,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(key: Option<&SecretString>) -> Asked<'_> {
        let (model, path) = ("m", "/v1/x");
        Asked { model, path, key }
    }

    #[test]
    fn only_short_names_of_errors_are_repeated() {
        let key = SecretString::from("sk_secret");
        let name =
            |body: &str| short_name(&serde_json::from_str(body).unwrap_or_default(), Some(&key));
        for (body, expected) in [
            (
                r#"{"error":{"type":"invalid_request_error","message":"x"}}"#,
                "invalid_request_error",
            ),
            (
                r#"{"error":{"code":"context_length_exceeded","type":"t"}}"#,
                "context_length_exceeded",
            ),
            (
                r#"{"error":{"code":400,"status":"INVALID_ARGUMENT"}}"#,
                "INVALID_ARGUMENT",
            ),
            (
                r#"{"error":{"code":"400","type":"BadRequest"}}"#,
                "BadRequest",
            ),
        ] {
            assert_eq!(name(body).as_deref(), Some(expected), "{body}");
        }
        for body in [
            "",
            "[]",
            r#"{"error":"x"}"#,
            r#"{"error":{"type":"bad key sk_secret"}}"#,
            r#"{"error":{"code":"sk_secret"}}"#,
            r#"{"error":{"code":"a\u0000b"}}"#,
        ] {
            assert_eq!(name(body), None, "{body}");
        }
    }

    #[test]
    fn what_a_status_and_a_name_mean() {
        for (status, kind, expected) in [
            (400, "content_filter", "Refused"),
            (413, "request_too_large", "Refused"),
            (400, "invalid_api_key", "KeyRefused"),
            (400, "model_not_found", "ModelNotFound"),
            (401, "x", "KeyRefused"),
            (401, "invalid_request_error", "KeyRefused"),
            (404, "invalid_request_error", "ModelNotFound"),
            (402, "x", "NoQuota"),
            (404, "x", "ModelNotFound"),
            (307, "x", "WrongEndpoint"),
            (405, "x", "WrongEndpoint"),
            (408, "x", "Server"),
            (429, "rate_limit_exceeded", "RateLimited"),
            (429, "insufficient_quota", "NoQuota"),
            (500, "invalid_request_error", "Server"),
            (529, "overloaded_error", "Server"),
        ] {
            let body = json!({"error": {"type": kind}});
            let error = format!("{:?}", of_status(status, &body, None, &asked(None)));
            assert!(error.starts_with(expected), "{status} {kind}: {error}");
        }
        let poor = json!({"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}});
        let error = of_status(400, &poor, None, &asked(None));
        assert!(matches!(error, ProviderError::NoQuota { .. }), "{error:?}");
    }

    #[test]
    fn an_error_inside_a_success_is_what_its_code_says() {
        for (error, expected) in [
            (json!({"code": 429}), "RateLimited"),
            (json!({"code": 502, "message": "x"}), "Server"),
            (json!({"type": "overloaded_error"}), "Server"),
            (json!({"code": "content_filter"}), "Refused"),
            (json!({"code": "insufficient_quota"}), "NoQuota"),
            (json!("it went wrong"), "Failed"),
            (json!({"code": "odd"}), "Failed"),
        ] {
            let found = in_answer(&json!({"error": error}), &asked(None));
            let found = format!("{:?}", found.unwrap());
            assert!(found.starts_with(expected), "{error}: {found}");
        }
        assert!(in_answer(&json!({"error": null, "choices": []}), &asked(None)).is_none());
    }
}
