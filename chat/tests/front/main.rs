//! The real `langop-chat` as a process, with the reference filesystem tool and a scripted model,
//! all on loopback: its API as programs use it, and its page in a real Chromium.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod api;
mod browser;
mod front;
#[path = "../../../runtime/tests/end_to_end/model.rs"]
mod model;
mod page;
