//! Asks a Tempo or a Jaeger for the spans of a trace, over the connection that the API server is
//! asked by, and without any credential of the user's.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Uri};
use kube::{Client, Config};
use langop_dsl::clean;

use super::spans::{self, Span};
use crate::{failure::Failure, world};

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) base: Uri,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Backend {
    /// The spans of a trace; none if it has none.
    pub(crate) async fn spans(&self, trace_id: &str) -> Result<Vec<Span>, Failure> {
        let act = format!("ask {} for trace {trace_id}", self.base);
        let failed = |said: String| Failure::Refused {
            act: act.clone(),
            said,
        };
        let client = self
            .client()
            .map_err(|error| failed(clean(&error.to_string())))?;
        let request = Request::get(format!("/api/traces/{trace_id}"))
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new());
        let request = request.map_err(|error| failed(error.to_string()))?;
        let answer = match client.request_text(request).await {
            Ok(answer) => answer,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            Err(kube::Error::Api(status)) => {
                let said = format!("it answers {} {}", status.code, clean(&status.message));
                return Err(failed(said.trim_end().to_owned()));
            }
            Err(error) => return Err(failed(crate::failure::deepest(&error))),
        };
        let answer = serde_json::from_str(&answer).ok();
        answer
            .and_then(|answer| spans::read(&answer))
            .ok_or_else(|| failed("its answer is neither a Tempo's nor a Jaeger's".to_owned()))
    }

    fn client(&self) -> Result<Client, kube::Error> {
        let mut config = Config::new(self.base.clone());
        config.connect_timeout = Some(world::CONNECT);
        config.read_timeout = Some(PATIENCE);
        config.headers.clone_from(&self.headers);
        config.headers.push(world::user_agent());
        Client::try_from(config)
    }
}
