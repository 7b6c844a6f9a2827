//! The operator's admin port is open to every pod: it is bounded, and says what takes the memory only
//! where that was asked for at the start.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use langop_integration_tests::env::TestEnv;

/// More than there are places.
const MANY: usize = 100;

#[tokio::test]
async fn who_sends_half_a_request_to_the_operator_holds_a_place_for_a_bounded_time() {
    let env = TestEnv::new("admin").await;
    let address = env.operator.admin_url().trim_start_matches("http://");
    let mut halves = Vec::new();
    for _ in 0..MANY {
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET /metrics HTTP/1.1\r\nhost:")
            .await
            .unwrap();
        halves.push(half);
    }
    for half in &mut halves {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let ended = timeout(Duration::from_secs(30), half.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open");
    }
    env.operator.metrics().await.expect("there is place again");
}

#[tokio::test]
async fn an_operator_that_samples_its_allocations_says_whose_the_memory_is() {
    let env = TestEnv::choosing("profile", |operator| {
        operator.env("_RJEM_MALLOC_CONF", "prof:true,lg_prof_sample:10")
    })
    .await;
    let url = format!("{}/debug/pprof/heap", env.operator.admin_url());
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status(), 200);
    let profile = unzipped(response.bytes().await.unwrap().to_vec()).await;
    let names = String::from_utf8_lossy(&profile);
    for name in ["langop_operator::", "inuse_space", "bytes"] {
        assert!(names.contains(name), "no {name} in {} bytes", profile.len());
    }
}

/// Unpacked by a program that is not ours.
async fn unzipped(packed: Vec<u8>) -> Vec<u8> {
    let mut gzip = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = gzip.stdin.take().unwrap();
    let writing = async move { stdin.write_all(&packed).await.unwrap() };
    let ((), output) = tokio::join!(writing, gzip.wait_with_output());
    let output = output.unwrap();
    assert!(output.status.success());
    output.stdout
}
