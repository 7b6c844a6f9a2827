//! The operator's admin port is open to every pod: it is bounded.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
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
