//! The allocator of the programs that hold much for long, operator and synthesizer, and a profile of
//! what it holds: the answer to "why does it take a gigabyte?" where it happens.
//!
//! jemalloc on Linux, because a quarter of the CPU of a bring-up was glibc's malloc, and because that
//! keeps what the lists of a start took. Must not decide whether a profile is made: who starts the
//! program does, by [`SETTING`], which jemalloc reads before the program's first instruction.

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};

/// What [`ALLOCATOR`] is.
#[cfg(target_os = "linux")]
pub type Allocator = tikv_jemallocator::Jemalloc;
/// What [`ALLOCATOR`] is.
#[cfg(not(target_os = "linux"))]
pub type Allocator = std::alloc::System;

/// To be the program's `#[global_allocator]`.
#[cfg(target_os = "linux")]
pub const ALLOCATOR: Allocator = tikv_jemallocator::Jemalloc;
/// To be the program's `#[global_allocator]`.
#[cfg(not(target_os = "linux"))]
pub const ALLOCATOR: Allocator = std::alloc::System;

/// The environment variable that has allocations sampled from the program's start on, one for each
/// 512 KiB.
pub const SETTING: &str = "_RJEM_MALLOC_CONF=prof:true";

/// `GET /debug/pprof/heap`: bytes in use by the stack that asked for them, as gzipped pprof (for `go
/// tool pprof`). 404 unless the program was started with [`SETTING`]; 500 with the reason if there is
/// nowhere to put a temporary file (`TMPDIR`).
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/debug/pprof/heap", get(heap))
}

#[cfg(target_os = "linux")]
async fn heap() -> Response {
    use axum::http::header::CONTENT_TYPE;

    let Some(profiler) = jemalloc_pprof::PROF_CTL.as_ref() else {
        return off();
    };
    match profiler.lock().await.dump_pprof() {
        Ok(profile) => ([(CONTENT_TYPE, "application/octet-stream")], profile).into_response(),
        Err(error) => {
            let error = format!("the profile cannot be made: {error:#}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, error).into_response()
        }
    }
}

#[cfg(not(target_os = "linux"))]
async fn heap() -> Response {
    off()
}

fn off() -> Response {
    let off = format!("allocations are not sampled: start the program with {SETTING}\n");
    (StatusCode::NOT_FOUND, off).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn without_samples_it_says_how_to_have_some() {
        let request = Request::get("/debug/pprof/heap").body(Body::empty());
        let response = routes().with_state(()).oneshot(request.unwrap()).await;
        let response = response.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&text).contains(SETTING));
    }
}
