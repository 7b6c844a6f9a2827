//! Follows the operator's events and prints them as they happen.

use futures::StreamExt as _;
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher},
};

use crate::say::{note, warn};

/// For ever: a watch that breaks is begun again, more and more slowly, for as long as the API
/// server is away.
pub(crate) async fn follow(client: Client) {
    let api: Api<Event> = Api::all(client);
    let begun = k8s_openapi::jiff::Timestamp::now();
    let mut events = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                warn(&format!("events are not seen for a moment: {error}"));
                continue;
            }
        };
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
