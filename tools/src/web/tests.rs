//! Fetching from loopback, which has to be allowed for it.

use axum::{
    Router,
    response::{Html, Redirect},
    routing::get,
};
use tokio::net::TcpListener;

use super::*;

async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let page = "<html><head><style>x</style></head><body><h1>Title</h1><script>evil()</script><p>A <b>bold</b> text</p></body></html>";
    let router = Router::new()
        .route("/", get(async move || Html(page)))
        .route("/away", get(async || Redirect::temporary("/")))
        .route("/loop", get(async || Redirect::temporary("/loop")))
        .route("/inside", get(async || Redirect::temporary("http://169.254.169.254/")))
        .route("/bytes", get(async || ([(CONTENT_TYPE, "image/png")], "x")))
        .route("/search", get(async || axum::Json(json!({"results": [
            {"title": "T", "url": "http://t", "content": "c"}, {"title": "U", "url": "http://u"},
        ]}))));
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

async fn fetch(web: &Web, arguments: Json) -> Result<Output, ToolError> {
    let call = Call {
        arguments: arguments.as_object().cloned(),
        idempotency_key: None,
    };
    web.call("fetch", call).await.unwrap()
}

fn loopback() -> Web {
    let allowed = Allowed::parse(&["127.0.0.1".to_owned()]).unwrap();
    Web::new(allowed, None).unwrap()
}

#[tokio::test]
async fn pages_are_markdown_in_parts() {
    let address = server().await;
    let web = loopback();
    let page = fetch(&web, json!({"url": format!("http://{address}/away")}))
        .await
        .unwrap();
    assert_eq!(page.text, "# Title\n\nA **bold** text");
    let arguments = json!({"url": format!("http://{address}/"), "start": 2, "max_bytes": 5});
    let part = fetch(&web, arguments).await.unwrap();
    assert_eq!(part.text, "Title\n[more: call again with start 7]");
    for (path, said) in [
        ("loop", "redirects"),
        ("bytes", "image/png"),
        ("nothing", "404"),
        ("inside", "not public"),
    ] {
        let url = format!("http://{address}/{path}");
        let error = fetch(&web, json!({"url": url})).await.unwrap_err();
        assert!(error.to_string().contains(said), "{path}: {error}");
    }
}

#[tokio::test]
async fn no_name_and_no_address_leads_inside() {
    let address = server().await;
    let port = address.port();
    let web = Web::new(Allowed::default(), None).unwrap();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
    ] {
        let error = fetch(&web, json!({"url": url})).await.unwrap_err();
        assert!(error.to_string().contains("not public"), "{url}: {error}");
    }
    for url in [
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://u:p@example.com/",
        "x",
    ] {
        assert!(fetch(&web, json!({"url": url})).await.is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_search_is_there_only_where_an_engine_is_set() {
    assert_eq!(loopback().operations().len(), 1);
    let call = || Call {
        arguments: json!({"query": "x", "limit": 1}).as_object().cloned(),
        idempotency_key: None,
    };
    assert!(loopback().call("search", call()).await.is_none());
    let url = format!("http://{}/search", server().await);
    let web = Web::new(Allowed::default(), Some(url.parse().unwrap())).unwrap();
    assert_eq!(web.operations().len(), 2);
    let found = web.call("search", call()).await.unwrap().unwrap();
    assert_eq!(found.text, "T\nhttp://t\nc");
}
