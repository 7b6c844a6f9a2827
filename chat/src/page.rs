//! The page: files of this program, the same for everybody. They load nothing from elsewhere, and
//! the browser is told to see to it.

use axum::{
    Router,
    extract::Request,
    http::{
        HeaderName, HeaderValue,
        header::{
            CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    response::Response,
    routing::get,
};

/// Nothing but its own files and API, no script in the text, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Path, type and text of each file.
const FILES: [(&str, &str, &str); 6] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    ),
    (
        "/chat.css",
        "text/css; charset=utf-8",
        include_str!("../page/chat.css"),
    ),
    ("/chat.js", SCRIPT, include_str!("../page/chat.js")),
    ("/answers.js", SCRIPT, include_str!("../page/answers.js")),
    ("/markdown.js", SCRIPT, include_str!("../page/markdown.js")),
    (
        "/icon.svg",
        "image/svg+xml",
        include_str!("../page/icon.svg"),
    ),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The routes of the files.
pub fn router() -> Router {
    FILES.iter().fold(Router::new(), |router, file| {
        let (path, kind, text) = *file;
        let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")];
        router.route(path, get(move || async move { (headers, text) }))
    })
}

/// What browsers are told with every answer. A connection has an end, which must not come in the
/// middle of an answer, so that each has its own.
pub async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (CONNECTION, "close"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
