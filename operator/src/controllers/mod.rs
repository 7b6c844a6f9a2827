//! One controller for each kind: dereference → validate → record → decide → build → apply → update
//! status → publish. Thin: what to want is decided in `langop-desired`. The loop around them is
//! [`crate::run::runner`].

pub(crate) mod agent;
mod budget;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod model;
mod namespace;
pub(crate) mod persona;
mod service;
pub(crate) mod tool;

use crate::{
    cache::objects::Stored,
    context::Context,
    run::steps::{Step, Steps},
    write::effects::Effects,
};

/// Publishes what there is to tell so far, once it is in the status. Losing an event is no reason
/// to stop.
async fn publish<K: Stored>(ctx: &Context, steps: &Steps, object: &K, effects: &mut Effects) {
    let events = std::mem::take(&mut effects.events);
    let about = object.object_ref(&());
    let publishing = ctx.events.publish(&about, events);
    steps.tell(Step::Publish, publishing).await;
}
