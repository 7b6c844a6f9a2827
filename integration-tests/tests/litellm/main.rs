//! The default model proxy as a caller meets it: exactly what the LanguageModel says, and nothing
//! else.
//!
//! Always: the door under the system's Python, before a stand-in for LiteLLM; and that the
//! recording of the real one is of what the operator builds today. By one command, nightly, as it
//! installs 756 MB and takes minutes:
//!
//! ```text
//! LANGOP_LITELLM=1 cargo test --workspace --test litellm          # the real LiteLLM, compared with the recording
//! LANGOP_LITELLM=image cargo test --workspace --test litellm      # the same in the image `model`, which it builds
//! LANGOP_LITELLM=record cargo test --workspace --test litellm     # writes peers/litellm/recording.json anew
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests are tests, too"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "json! makes values, and most of these are used once"
)]

mod built;
mod door;
mod peer;
mod probes;
mod real;
mod recording;
mod upstream;
