//! The web tool: fetches pages as text, and searches where a search engine is set. Addresses that
//! are not public are refused after a name is resolved, on every hop, so that no name and no
//! redirect leads into the cluster.

pub mod address;

use std::{fmt::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use http::header::{CONTENT_TYPE, LOCATION};
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use rmcp::model::Tool;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use self::address::Allowed;
use crate::{
    arguments,
    settings::{SettingError, list, text},
    toolbox::{Call, Effect, Output, ToolError, Toolbox, operation},
};

/// Most redirects of one fetch.
const MAX_REDIRECTS: usize = 5;
/// Most bytes of a page that are read.
const MAX_PAGE: usize = 4 * 1024 * 1024;
/// Most bytes of a text that is returned, and how many where nobody says.
const MAX_BYTES: usize = 1024 * 1024;
const DEFAULT_BYTES: usize = 32 * 1024;
/// Longest exchange.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// Most hits of a search.
const MAX_HITS: usize = 20;

/// Fetches, and searches.
#[derive(Debug)]
pub struct Web {
    pages: reqwest::Client,
    allowed: Arc<Allowed>,
    /// The search engine, which the administrator named: its address may be any.
    search: Option<(reqwest::Client, Url)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fetch {
    url: String,
    #[serde(default)]
    max_bytes: Option<usize>,
    #[serde(default)]
    start: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    query: String,
    #[serde(default)]
    limit: Option<usize>,
}

/// What a hop gave.
enum Hop {
    Redirect(Url),
    Page {
        kind: String,
        body: Vec<u8>,
        is_cut: bool,
    },
}

impl Web {
    /// By `WEB_ALLOWED_ADDRESSES` (addresses and CIDRs that are not public and may be fetched from)
    /// and `SEARCH_ENDPOINT` (`SearXNG`).
    ///
    /// # Errors
    /// What is wrong with a setting.
    pub fn from_environment() -> Result<Self, SettingError> {
        let allowed = Allowed::parse(&list("WEB_ALLOWED_ADDRESSES")).map_err(|word| {
            let problem = format!("holds '{word}': write addresses or CIDRs such as 10.0.0.0/8");
            SettingError::new("WEB_ALLOWED_ADDRESSES", problem)
        })?;
        let search = text("SEARCH_ENDPOINT").map(|url| {
            Url::parse(&url).map_err(|_| {
                SettingError::new(
                    "SEARCH_ENDPOINT",
                    "is no URL: write for example http://searxng:8080/search",
                )
            })
        });
        Self::new(allowed, search.transpose()?)
    }

    /// With these exceptions and this search engine.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn new(allowed: Allowed, search: Option<Url>) -> Result<Self, SettingError> {
        let allowed = Arc::new(allowed);
        let client = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .timeout(TIMEOUT)
                .redirect(Policy::none())
                .no_proxy()
                .user_agent(concat!("langop-tool-web/", env!("CARGO_PKG_VERSION")))
        };
        let built = |client: reqwest::ClientBuilder| {
            client.build().map_err(|_| {
                SettingError::new(
                    "SSL_CERT_FILE",
                    "names no certificates: there is no HTTP client",
                )
            })
        };
        let guard = Guard(Arc::clone(&allowed));
        let search = search.map(|url| Ok((built(client())?, url))).transpose()?;
        Ok(Self {
            pages: built(client().dns_resolver(Arc::new(guard)))?,
            allowed,
            search,
        })
    }

    async fn fetch(&self, fetch: &Fetch) -> Result<Output, ToolError> {
        let mut url = Url::parse(&fetch.url).map_err(|_| {
            ToolError::new("'url' is no URL: write for example https://example.com/")
        })?;
        for _ in 0..=MAX_REDIRECTS {
            match self.hop(&url).await? {
                Hop::Redirect(next) => url = next,
                Hop::Page { kind, body, is_cut } => {
                    let text = read(&kind, &body)?;
                    return Ok(window(&text, fetch, is_cut, &url));
                }
            }
        }
        Err(ToolError::new(format!(
            "more than {MAX_REDIRECTS} redirects"
        )))
    }

    async fn hop(&self, url: &Url) -> Result<Hop, ToolError> {
        self.check(url)?;
        let mut response = self
            .pages
            .get(url.clone())
            .send()
            .await
            .map_err(|error| failed(&error))?;
        let status = response.status();
        if status.is_redirection()
            && let Some(location) = response.headers().get(LOCATION)
        {
            let next = location
                .to_str()
                .ok()
                .and_then(|location| url.join(location).ok());
            return next
                .map(Hop::Redirect)
                .ok_or_else(|| ToolError::new("the page redirects to something that is no URL"));
        }
        if !status.is_success() {
            return Err(ToolError::new(format!("the server answers {status}")));
        }
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or("text/plain")
            .to_lowercase();
        let mut body = Vec::new();
        let mut is_cut = false;
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_PAGE {
                body.truncate(MAX_PAGE);
                is_cut = true;
                break;
            }
        }
        Ok(Hop::Page { kind, body, is_cut })
    }

    /// Scheme, and the address where the URL names it itself: then nothing is resolved.
    fn check(&self, url: &Url) -> Result<(), ToolError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ToolError::new("only http and https are fetched"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ToolError::new("'url' must not hold a user or password"));
        }
        let host = url
            .host_str()
            .ok_or_else(|| ToolError::new("'url' names no host"))?;
        match host.trim_matches(['[', ']']).parse() {
            Ok(address) if !self.allowed.allows(address) => Err(refused()),
            _ => Ok(()),
        }
    }

    async fn search(&self, search: &Search) -> Result<Output, ToolError> {
        let Some((client, endpoint)) = &self.search else {
            return Err(ToolError::new("no search engine is set"));
        };
        let limit = search.limit.unwrap_or(10).clamp(1, MAX_HITS);
        let mut url = endpoint.clone();
        url.query_pairs_mut()
            .append_pair("q", &search.query)
            .append_pair("format", "json");
        let answer = client
            .get(url)
            .send()
            .await
            .map_err(|error| failed(&error))?;
        if !answer.status().is_success() {
            let status = answer.status();
            return Err(ToolError::new(format!(
                "the search engine answers {status}"
            )));
        }
        let body: Json = answer
            .json()
            .await
            .map_err(|_| ToolError::new("the search engine's answer is no JSON"))?;
        Ok(hits(&body, limit))
    }
}

/// What a search engine found, of `SearXNG`'s JSON.
fn hits(body: &Json, limit: usize) -> Output {
    let found = body["results"].as_array().map(Vec::as_slice);
    let field = |hit: &Json, name: &str| hit[name].as_str().unwrap_or_default().to_owned();
    let hits: Vec<[String; 3]> = found
        .unwrap_or_default()
        .iter()
        .take(limit)
        .map(|hit| ["title", "url", "content"].map(|name| field(hit, name)))
        .collect();
    let lines: Vec<String> = hits.iter().map(|hit| hit.join("\n")).collect();
    let results: Json = hits
        .iter()
        .map(|[title, url, text]| json!({"title": title, "url": url, "text": text}))
        .collect();
    Output::structured(lines.join("\n\n"), json!({"results": results}))
}

/// HTML as Markdown, other texts as they are.
fn read(kind: &str, body: &[u8]) -> Result<String, ToolError> {
    let text = String::from_utf8_lossy(body);
    let essence = kind.split(';').next().unwrap_or_default().trim();
    match essence {
        "text/html" | "application/xhtml+xml" => htmd::HtmlToMarkdown::builder()
            .skip_tags(vec!["script", "style", "noscript", "iframe", "svg"])
            .build()
            .convert(&text)
            .map_err(|_| ToolError::new("the page cannot be read as HTML")),
        _ if essence.starts_with("text/")
            || essence.ends_with("json")
            || essence.ends_with("xml")
            || essence.ends_with("yaml") =>
        {
            Ok(text.into_owned())
        }
        _ => Err(ToolError::new(format!(
            "the page is {} bytes of {}, which is no text",
            body.len(),
            essence.chars().take(60).collect::<String>()
        ))),
    }
}

/// The part that was asked for.
fn window(text: &str, fetch: &Fetch, is_cut: bool, url: &Url) -> Output {
    let most = fetch.max_bytes.unwrap_or(DEFAULT_BYTES).clamp(1, MAX_BYTES);
    let start = text.floor_char_boundary(fetch.start);
    let end = text.floor_char_boundary(start.saturating_add(most));
    let mut part = text[start..end].to_owned();
    if end < text.len() {
        let _ = write!(part, "\n[more: call again with start {end}]");
    } else if is_cut {
        part.push_str("\n[the page is longer than is read]");
    }
    let structured = json!({
        "url": url.as_str(), "text": part, "start": start, "end": end, "total": text.len(),
    });
    Output::structured(part, structured)
}

fn refused() -> ToolError {
    ToolError::new("the address is not public: the administrator may allow it")
}

fn failed(error: &reqwest::Error) -> ToolError {
    let mut source = std::error::Error::source(error);
    while let Some(current) = source {
        if current.is::<NotPublic>() {
            return refused();
        }
        source = current.source();
    }
    ToolError::new(if error.is_timeout() {
        "the server does not answer in time"
    } else if error.is_connect() {
        "there is no connection to the server"
    } else {
        "the exchange with the server broke"
    })
}

/// Resolves names, and keeps only addresses that may be connected to: what is connected to is what
/// was checked.
#[derive(Debug)]
struct Guard(Arc<Allowed>);

/// None of a name's addresses may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("not a public address")]
struct NotPublic;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let good: Vec<SocketAddr> = found.filter(|at| allowed.allows(at.ip())).collect();
            if good.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

impl Toolbox for Web {
    fn name(&self) -> &'static str {
        "langop-tool-web"
    }

    fn operations(&self) -> Vec<Tool> {
        let fetch = operation(
            "fetch",
            "Returns a page as text; HTML as Markdown.",
            Effect::ReadOnly,
            &json!({
                "url": {"type": "string", "description": "http or https."},
                "max_bytes": {"type": "integer", "minimum": 1, "maximum": MAX_BYTES},
                "start": {"type": "integer", "minimum": 0, "description": "Where to begin in the text."},
            }),
            &["url"],
        );
        let search = operation(
            "search",
            "Searches the web; titles, addresses and excerpts.",
            Effect::ReadOnly,
            &json!({
                "query": {"type": "string"},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_HITS},
            }),
            &["query"],
        );
        let mut all = vec![fetch];
        all.extend(self.search.is_some().then_some(search));
        all
    }

    async fn call(&self, operation: &str, call: Call) -> Option<Result<Output, ToolError>> {
        Some(match operation {
            "fetch" => match arguments::read(call.arguments) {
                Ok(fetch) => self.fetch(&fetch).await,
                Err(error) => Err(error),
            },
            "search" if self.search.is_some() => match arguments::read(call.arguments) {
                Ok(search) => self.search(&search).await,
                Err(error) => Err(error),
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
