//! Hands on every request to an MCP server and every answer back, and writes down what was asked.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub(crate) struct Spy {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Value>>>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Line {
    server: String,
    client: reqwest::Client,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Spy {
    /// In front of the server at this URL.
    pub(crate) async fn before(server: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::default();
        let line = Line {
            server,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            heard: Arc::clone(&heard),
        };
        let router = Router::new().fallback(hand_on).with_state(line);
        let server = tokio::spawn(async {
            // It ends by being aborted only.
            let _ = axum::serve(listener, router).await;
        });
        Self {
            url,
            heard,
            _server: AbortOnDropHandle::new(server),
        }
    }

    /// How often this method was asked for.
    pub(crate) fn count(&self, method: &str) -> usize {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|one| one["method"] == method).count()
    }
}

async fn hand_on(
    State(line): State<Line>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Ok(message) = serde_json::from_slice(&body) {
        line.heard.lock().unwrap().push(message);
    }
    // The server's own name, as if nobody were between.
    headers.remove(header::HOST);
    let url = format!("{}{}", line.server, uri.path());
    let asked = line.client.request(method, url).headers(headers).body(body);
    match asked.send().await {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status());
            response
                .headers_mut()
                .unwrap()
                .extend(answer.headers().clone());
            let headers = response.headers_mut().unwrap();
            headers.remove(header::TRANSFER_ENCODING);
            response
                .body(Body::from_stream(answer.bytes_stream()))
                .unwrap()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
