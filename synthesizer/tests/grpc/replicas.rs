//! Several replicas behind one pool: they answer as one cache, and whichever of them stops, is
//! killed or closes an old connection, no request is lost and nothing is made again that need not
//! be.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use langop_client::pool::{Address, Pool};
use langop_proto::routing::routing_key;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tonic::{Code, Status, transport::Endpoint};

use crate::{
    fake_llm::{Act, FakeLlm, GOOD},
    harness::{Client, KEY, request},
};

const KEYS: usize = 100;
const REQUESTS: usize = 3000;
/// Calls at a time.
const CALLERS: usize = 64;

/// The program, in a process that ends with the test.
struct Program {
    process: Child,
    endpoint: String,
}

impl Program {
    fn start(llm: &FakeLlm) -> Self {
        Self::start_with(llm, &[])
    }

    fn start_with(llm: &FakeLlm, flags: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", llm, flags)
    }

    fn start_at(address: &str, llm: &FakeLlm, flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_langop-synthesizer"))
            .args(["--listen", address, "--admin-listen", "127.0.0.1:0"])
            .args(flags)
            .env_clear()
            .envs([
                ("SYNTHESIS_PROVIDER", "openai"),
                ("SYNTHESIS_MODEL", "fake"),
                ("SYNTHESIS_ENDPOINT", llm.url.as_str()),
                ("SYNTHESIS_API_KEY", KEY),
                ("LANGOP_MAX_LLM_REQUESTS", "100"),
                ("LANGOP_LOG_FORMAT", "json"),
            ])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).ok()?;
            Some(line["fields"]["grpc"].as_str()?.to_owned())
        });
        // Reads on, so that the process never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            endpoint: format!("http://{}/", address.expect("it serves")),
        }
    }

    /// SIGTERM.
    fn terminate(&self) {
        self.signal("TERM");
    }

    fn signal(&self, name: &str) {
        let (signal, id) = (format!("-{name}"), self.process.id().to_string());
        let status = Command::new("kill").args([signal, id]).status();
        assert!(status.unwrap().success());
    }

    /// Whether none of its threads runs any more: SIGSTOP reaches each when it can.
    fn is_stopped(&self) -> bool {
        let tasks = format!("/proc/{}/task", self.process.id());
        let tasks = std::fs::read_dir(tasks).unwrap();
        let mut states =
            tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")));
        states.all(|status| status.is_ok_and(|status| status.contains("State:\tT")))
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Another process at its address, with nothing in its cache.
    fn restart(&mut self, llm: &FakeLlm) {
        let address = self.endpoint.trim_start_matches("http://");
        *self = Self::start_at(address.trim_end_matches('/'), llm, &[]);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn endpoint(url: &str) -> Endpoint {
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
    endpoint.connect_timeout(Duration::from_secs(5))
}

fn pool<'a>(endpoints: impl IntoIterator<Item = &'a str>) -> Pool {
    Pool::fixed(endpoints.into_iter().map(endpoint).collect())
}

/// As the operator learns of them from the Service's endpoints.
fn addresses(replicas: &[Program]) -> Vec<Address> {
    let addresses = replicas.iter().map(|replica| endpoint(&replica.endpoint));
    addresses.map(Address::from).collect()
}

fn task(key: usize) -> String {
    format!("zebra-{key:03} must be watched")
}

/// Asks for the code of one key.
async fn ask(pool: &Pool, key: usize) -> Result<(), Status> {
    ask_within(Duration::from_mins(1), pool, key).await
}

async fn ask_within(time: Duration, pool: &Pool, key: usize) -> Result<(), Status> {
    let request = request("a", &task(key));
    let home = routing_key(&request);
    let deadline = tokio::time::Instant::now() + time;
    let answer = pool.call(&home, deadline, |channel| {
        let (mut client, request) = (Client::new(channel), request.clone());
        async move { Ok(client.synthesize(request).await?.into_inner()) }
    });
    assert!(answer.await?.code.contains("agent 'a' do"));
    Ok(())
}

/// Asks `count` times, all keys in turn; `watch` sees how many answers there are. Gives the
/// failures.
async fn storm(pool: &Pool, count: usize, watch: impl Fn(usize)) -> Vec<Status> {
    let answers = AtomicUsize::new(0);
    stream::iter(0..count)
        .map(|index| ask(pool, index % KEYS))
        .buffer_unordered(CALLERS)
        .inspect(|_| watch(answers.fetch_add(1, Ordering::Relaxed) + 1))
        .filter_map(async |answer| answer.err())
        .collect()
        .await
}

/// The keys whose home an endpoint is.
fn at_home(pool: &Pool, endpoint: &str) -> BTreeSet<usize> {
    let lives = |key: &usize| {
        let key = routing_key(&request("a", &task(*key)));
        pool.preference(&key)[0] == endpoint
    };
    (0..KEYS).filter(lives).collect()
}

/// How often the LLM was asked for each key.
fn made(llm: &FakeLlm) -> BTreeMap<usize, usize> {
    let mut made = BTreeMap::new();
    for request in llm.requests() {
        let prompt = request.body["messages"][1]["content"].as_str().unwrap();
        let start = prompt.find("zebra-").unwrap() + "zebra-".len();
        let key = prompt[start..start + 3].parse().unwrap();
        *made.entry(key).or_default() += 1;
    }
    made
}

/// What the LLM should have been asked if only the keys of `lost` were made again.
fn expected(lost: &BTreeSet<usize>) -> BTreeMap<usize, usize> {
    let times = |key| if lost.contains(&key) { 2 } else { 1 };
    (0..KEYS).map(|key| (key, times(key))).collect()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_are_one_cache_and_a_killed_one_loses_no_request() {
    let llm = FakeLlm::start([Act::Say(GOOD)]).await;
    let mut replicas = [(); 3].map(|()| Program::start(&llm));
    let pool = pool(replicas.iter().map(|replica| replica.endpoint.as_str()));

    let failures = storm(&pool, REQUESTS / 2, |_| {}).await;
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(made(&llm), expected(&BTreeSet::new()), "each key once");

    let lost = at_home(&pool, &replicas[0].endpoint);
    assert!(lost.len() > KEYS / 10, "{lost:?}");
    let victim = std::sync::Mutex::new(&mut replicas[0]);
    let kill = |answers| {
        if answers == REQUESTS / 4 {
            victim.lock().unwrap().kill();
        }
    };
    let failures = storm(&pool, REQUESTS / 2, kill).await;
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(made(&llm), expected(&lost), "only the killed one's again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_comes_back_gets_its_keys_back_and_no_request_is_lost() {
    let llm = FakeLlm::start([Act::Say(GOOD)]).await;
    let mut replicas = [(); 3].map(|()| Program::start(&llm));
    let pool = pool(replicas.iter().map(|replica| replica.endpoint.as_str()));
    let lost = at_home(&pool, &replicas[0].endpoint);
    replicas[0].kill();
    let failures = storm(&pool, 3 * KEYS, |_| {}).await;
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(made(&llm), expected(&BTreeSet::new()), "all elsewhere");
    replicas[0].restart(&llm);
    // At home nothing is known of them, so there they are made again.
    let started = Instant::now();
    while made(&llm) != expected(&lost) {
        let failures = storm(&pool, KEYS, |_| {}).await;
        assert!(failures.is_empty(), "{failures:?}");
        assert!(
            started.elapsed() < Duration::from_mins(2),
            "never: {lost:?} go home, {:?}",
            made(&llm)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_hangs_loses_its_keys_until_it_goes_on() {
    let llm = FakeLlm::start([Act::Say(GOOD)]).await;
    let replicas = [(); 2].map(|()| Program::start(&llm));
    let pool = pool(replicas.iter().map(|replica| replica.endpoint.as_str()));
    let home = at_home(&pool, &replicas[0].endpoint);
    let key = *home.first().unwrap();
    ask(&pool, key).await.unwrap();
    replicas[0].signal("STOP");
    until("it has stopped", || replicas[0].is_stopped()).await;
    let hasty = || ask_within(Duration::from_millis(1500), &pool, key);
    let late = hasty().await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    // Only a trial of it hangs from now on, which on a slow machine may be the next.
    let served = stream::iter(0..10).any(async |_| hasty().await.is_ok());
    assert!(served.await, "it keeps its keys");
    assert_eq!(made(&llm)[&key], 2, "made elsewhere");
    replicas[0].signal("CONT");
    let failures = storm(&pool, 3 * KEYS, |_| {}).await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_under_way_on_a_killed_replica_is_done_by_the_next() {
    let gate = Arc::new(Semaphore::new(0));
    let llm = FakeLlm::start([Act::SayAfter(gate.clone(), GOOD)]).await;
    let mut replicas = [(); 3].map(|()| Program::start(&llm));
    let pool = Arc::new(pool(replicas.iter().map(|r| r.endpoint.as_str())));
    let lost = at_home(&pool, &replicas[1].endpoint);
    let calls: Vec<_> = (0..KEYS)
        .map(|key| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { ask(&pool, key).await })
        })
        .collect();
    until("all are under way", || llm.calls() == KEYS).await;
    replicas[1].kill();
    until("the lost are under way elsewhere", || {
        llm.calls() == KEYS + lost.len()
    })
    .await;
    gate.add_permits(2 * KEYS);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(made(&llm), expected(&lost));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_told_to_stop_loses_no_request() {
    let llm = FakeLlm::start([Act::Say(GOOD)]).await;
    let mut replicas = [(); 3].map(|()| Program::start(&llm));
    let pool = pool(replicas.iter().map(|replica| replica.endpoint.as_str()));
    let lost = at_home(&pool, &replicas[2].endpoint);
    let stop = |answers| {
        if answers == REQUESTS / 4 {
            replicas[2].terminate();
        }
    };
    let failures = storm(&pool, REQUESTS / 2, stop).await;
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(made(&llm), expected(&lost), "only the stopped one's again");
    let status = tokio::task::spawn_blocking(move || replicas[2].process.wait());
    assert!(status.await.unwrap().unwrap().success());
}

/// Under load all the while: what is made again are the keys whose home is another one now and does
/// not know them yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_one_replica_to_five_and_to_two_only_the_moved_keys_are_made_again() {
    let llm = FakeLlm::start([Act::Say(GOOD)]).await;
    let replicas = [(); 5].map(|()| Program::start(&llm));
    let (scale, known) = watch::channel(addresses(&replicas[..1]));
    let pool = Pool::new(known);
    let homes = || -> Vec<BTreeSet<usize>> {
        let homes = replicas.iter().map(|one| at_home(&pool, &one.endpoint));
        homes.collect()
    };
    let after = |answers, replicas: &[Program]| {
        let scaled = addresses(replicas);
        let scale = &scale;
        move |count| {
            if count == answers {
                scale.send_replace(scaled.clone());
            }
        }
    };
    let half = REQUESTS / 2;
    // One, and in the middle five.
    let failures = storm(&pool, REQUESTS, after(half, &replicas)).await;
    assert!(failures.is_empty(), "{failures:?}");
    let of_five = homes();
    let moved: BTreeSet<usize> = of_five[1..].iter().flatten().copied().collect();
    assert!(moved.len() > KEYS / 2, "{moved:?}");
    assert_eq!(made(&llm), expected(&moved), "those with a new home");

    // Two, and the others are told to stop while calls are under way.
    let scale_down = after(half, &replicas[..2]);
    let stop = |answers| {
        scale_down(answers);
        if answers == half {
            replicas[2..].iter().for_each(Program::terminate);
        }
    };
    let failures = storm(&pool, REQUESTS, stop).await;
    assert!(failures.is_empty(), "{failures:?}");
    // The first one knew every key when it was alone.
    let learnt: BTreeSet<usize> = homes()[1].difference(&of_five[1]).copied().collect();
    let mut times = expected(&moved);
    for key in learnt {
        *times.entry(key).or_default() += 1;
    }
    assert_eq!(made(&llm), times, "those that the second has to learn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_connections_are_closed_without_a_trace() {
    // Long beside what a request takes on a busy machine: one that meets five ends in a row passes
    // its replica over, and rightly.
    const AGE: Duration = Duration::from_secs(1);
    let llm = FakeLlm::start([Act::Say(GOOD)]).await;
    let flags = ["--max-connection-age=1s"];
    let replicas = [(); 2].map(|()| Program::start_with(&llm, &flags));
    let pool = pool(replicas.iter().map(|replica| replica.endpoint.as_str()));
    let started = Instant::now();
    while started.elapsed() < 5 * AGE {
        let failures = storm(&pool, 5 * KEYS, |_| {}).await;
        assert!(failures.is_empty(), "{failures:?}");
    }
    assert_eq!(
        made(&llm),
        expected(&BTreeSet::new()),
        "no replica was passed over"
    );
}
