//! What a restart cannot be faster than: a bare client lists what the operator listed when it
//! started, all kinds at once and in the same pages, and keeps none of it. Reads the operator's own
//! requests from the audit log, so that it never asks for other pages than those.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use http::Request;
use kube::{
    Client,
    api::{DynamicObject, ObjectList},
};
use langop_integration_tests::{AuditLog, Filter, Mark};

/// The lists with which `user` has begun since the mark: path and query of the first page of each.
pub(crate) fn recorded(audit: &AuditLog, mark: Mark, user: &str) -> Result<Vec<String>> {
    let mut lists = Vec::new();
    audit.each_recorded(mark, &Filter::all().user(user), |request| {
        if let Some(list) = first_page(&request.event.verb, &request.uri)
            && !lists.contains(&list)
        {
            lists.push(list);
        }
        Ok(())
    })?;
    ensure!(!lists.is_empty(), "the operator has listed nothing");
    Ok(lists)
}

/// The list that a request begins, if it begins one. One that is streamed is listed in the pages
/// that clients use if nobody says otherwise.
fn first_page(verb: &str, uri: &str) -> Option<String> {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let has = |name: &str| query.split('&').any(|pair| pair.starts_with(name));
    match verb {
        "list" if !has("continue=") => Some(uri.to_owned()),
        "watch" if has("sendInitialEvents=true") => {
            let selectors = query
                .split('&')
                .filter(|pair| pair.starts_with("labelSelector=") || pair.starts_with("fieldSel"));
            let query: Vec<&str> = ["limit=500"].into_iter().chain(selectors).collect();
            Some(format!("{path}?{}", query.join("&")))
        }
        _ => None,
    }
}

/// How long all of them take, and how many objects they hold.
pub(crate) async fn list(client: &Client, lists: &[String]) -> Result<(Duration, usize)> {
    let begun = Instant::now();
    let counts = try_join_all(lists.iter().map(|list| pages(client, list))).await?;
    Ok((begun.elapsed(), counts.iter().sum()))
}

async fn pages(client: &Client, list: &str) -> Result<usize> {
    let (mut uri, mut count) = (list.to_owned(), 0);
    loop {
        let request = Request::get(&uri).body(Vec::new())?;
        let page: ObjectList<DynamicObject> = client.request(request).await?;
        count += page.items.len();
        // Base64 of the kind that a query takes as it is.
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => {
                let join = if list.contains('?') { '&' } else { '?' };
                uri = format!("{list}{join}continue={token}");
            }
            None => return Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::first_page;

    #[test]
    fn only_first_pages_begin_a_list() {
        let pods = "/api/v1/pods?&limit=100&labelSelector=a%3Db";
        assert_eq!(first_page("list", pods).as_deref(), Some(pods));
        assert_eq!(first_page("list", &format!("{pods}&continue=x")), None);
        assert_eq!(
            first_page("watch", &format!("{pods}&resourceVersion=5")),
            None
        );
        assert_eq!(first_page("get", "/api/v1/namespaces/a/pods/b"), None);
    }

    #[test]
    fn a_streamed_list_is_listed_in_usual_pages() {
        let streamed = "/api/v1/pods?&watch=true&sendInitialEvents=true&labelSelector=a%3Db";
        assert_eq!(
            first_page("watch", streamed).as_deref(),
            Some("/api/v1/pods?limit=500&labelSelector=a%3Db")
        );
    }
}
