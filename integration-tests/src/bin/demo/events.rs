//! Follows the operator's events and prints them as they happen.

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher},
};

use crate::say::note;

/// Until the API server goes away for good.
pub(crate) async fn follow(client: Client) -> Result<()> {
    let api: Api<Event> = Api::all(client);
    let begun = k8s_openapi::jiff::Timestamp::now();
    let mut events = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Some(event) = events.try_next().await? {
        let is_new = event
            .event_time
            .as_ref()
            .is_some_and(|time| time.0 >= begun);
        let is_ours = event
            .reporting_controller
            .as_deref()
            .is_some_and(|who| who.starts_with("langop.io/"));
        if is_new && is_ours {
            note(&line(&event));
        }
    }
    Ok(())
}

fn line(event: &Event) -> String {
    let about = event.regarding.as_ref();
    format!(
        "{} {}: {} — {}",
        about
            .and_then(|object| object.kind.as_deref())
            .unwrap_or("?"),
        about
            .and_then(|object| object.name.as_deref())
            .unwrap_or("?"),
        event.reason.as_deref().unwrap_or("?"),
        event.note.as_deref().unwrap_or("")
    )
}
