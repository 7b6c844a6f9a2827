//! kill -9 of the real process, by seeds: at each request, call and answer, between a call's effect
//! and its result, and at each write of the checkpoint, again and again until the run ends. Nothing
//! that counts each time happens twice, and a run that does not know says `outcome-unknown`.
//!
//! ```sh
//! LANGOP_KILL_SEED=17 cargo test -p langop-runtime --test end_to_end kills -- --nocapture
//! LANGOP_KILL_SEEDS=200 cargo test -p langop-runtime --test end_to_end kills -- --nocapture
//! ```
//!
//! The first runs one seed, the second 200 of them.

mod moment;
mod recorder;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use serde_json::Value as Json;

use self::{
    moment::{Event, Gate, Moment, watch},
    recorder::{APPEND, Done, Recorder},
};
use super::agent::{Agent, Running, text, until};

/// Seeds with all other tests: half of them for each program.
const USUAL: u64 = 20;
/// Seeds at a time.
const AT_ONCE: usize = 3;
/// Longest time of one process, a little less than anything is waited for: what it logged is told.
const LONGEST: Duration = Duration::from_secs(55);
/// Most processes of a run that are killed.
const MOST_KILLS: u64 = 6;

const WORKFLOW: &str = r#"
  workflow do
    step "First" do
      use_tool "recorder", action: "append", params: { text: "first" }
    end
    step "Put", depends_on: "First" do
      use_tool "recorder", action: "put", params: { text: "put" }
    end
    step "List", depends_on: "Put" do
      ask "Which are there?"
    end
    step "Each", depends_on: "List", each: result("List") do
      use_tool "recorder", action: "append", params: { text: item }
    end
    step "Look", depends_on: "Each" do
      use_tool "recorder", action: "look", params: { text: "look" }
    end
    step "Last", depends_on: "Look", only_if: "something is there" do
      use_tool "recorder", action: "append", params: { text: "last" }
    end
    step "Left", depends_on: "Last" do
      use_tool "recorder", action: "append", params: { text: "left" }
    end
    step "Right", depends_on: "Last" do
      use_tool "other", action: "append", params: { text: "right" }
    end
  end
"#;

const OBJECTIVES: &str = "  objectives ['Append what there is']";

/// What an agent is to do, and all that it does.
struct Program {
    body: &'static str,
    /// Texts of all that takes effect.
    texts: &'static [&'static str],
    /// How often something happens in a run that nobody kills; a few more are no harm.
    often: &'static [(Event, usize)],
}

const PROGRAMS: [Program; 2] = [
    Program {
        body: WORKFLOW,
        texts: &["first", "last", "left", "look", "put", "right", "x", "y"],
        often: &[
            (Event::Requested, 12),
            (Event::Called, 8),
            (Event::Effective, 8),
            (Event::Answered, 8),
            (Event::Written, 56),
            (Event::Asked, 2),
            (Event::Replied, 2),
        ],
    },
    Program {
        body: OBJECTIVES,
        texts: &["first", "last", "look", "put", "x", "y"],
        often: &[
            (Event::Requested, 10),
            (Event::Called, 6),
            (Event::Effective, 6),
            (Event::Answered, 6),
            (Event::Written, 56),
            (Event::Asked, 5),
            (Event::Replied, 5),
        ],
    },
];

/// splitmix64: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Seeds to try: one if only that is named.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        let number = text.parse();
        Some(number.unwrap_or_else(|_| panic!("{name} is '{text}': write a whole number")))
    };
    let first: Option<u64> = number("LANGOP_KILL_SEED");
    let usual = if first.is_some() { 1 } else { USUAL };
    let first = first.unwrap_or(0);
    first..first + number("LANGOP_KILL_SEEDS").unwrap_or(usual)
}

#[tokio::test]
async fn nothing_is_done_twice_whenever_it_is_killed() {
    let runs = stream::iter(seeds()).map(|seed| tokio::spawn(run(seed)));
    let runs: Vec<_> = runs.buffer_unordered(AT_ONCE).collect().await;
    let mut ends = BTreeMap::<String, usize>::new();
    let mut bad = Vec::new();
    for run in runs {
        match run.unwrap() {
            Ok(end) => *ends.entry(end).or_default() += 1,
            Err(problem) => bad.push(problem),
        }
    }
    say(&format!("{ends:?}"));
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    // A search that kills nothing, or always at once, shows nothing.
    if seeds().count() as u64 >= USUAL {
        assert_eq!(
            ends.keys().collect::<Vec<_>>(),
            ["outcome-unknown", "succeeded"]
        );
    }
}

#[expect(
    clippy::print_stderr,
    reason = "when it was killed is the point of a random test"
)]
fn say(line: &str) {
    eprintln!("{line}");
}

/// One seed. How the run ended, or what does not hold.
async fn run(seed: u64) -> Result<String, String> {
    let program = &PROGRAMS[usize::try_from(seed % 2).unwrap()];
    let mut killed = Killed::start(seed, program).await;
    let ended = killed.until_it_ends().await;
    let word = ended.as_deref().unwrap_or("not ended");
    let line = format!("seed {seed}: {word} after kills at {:?}", killed.kills);
    say(&line);
    let problem = |what| format!("{line}: {what}\n{}", text(&killed.agent.log_path()));
    let checked = match ended {
        Ok(ended) => killed.check(&ended).map(|()| ended),
        Err(what) => Err(what),
    };
    checked.map_err(problem)
}

/// A run of an agent that is killed.
struct Killed {
    program: &'static Program,
    random: Random,
    seed: u64,
    gate: std::sync::Arc<Gate>,
    recorder: Recorder,
    agent: Agent,
    kills: Vec<Moment>,
    /// Whether each time nothing was under way that may not be done twice.
    all_harmless: bool,
    /// Effects of steps that were known to be done when a process began, and came after that.
    done_again: Vec<Done>,
}

impl Killed {
    async fn start(seed: u64, program: &'static Program) -> Self {
        let gate = Gate::new();
        let recorder = Recorder::new(&gate);
        let has_discovery = (seed / 2).is_multiple_of(2);
        let tool = recorder.serve(has_discovery).await;
        let other = recorder.serve(has_discovery).await;
        let model = recorder::model(&gate).await;
        let agent = Agent::new(program.body)
            .tools(&[("recorder", tool), ("other", other)])
            .model(model)
            .with_workspace()
            .with("AGENT_MODE", "autonomous");
        let checkpoint = agent.workspace().join(".langop/test-agent");
        fs::create_dir_all(&checkpoint).unwrap();
        watch(&checkpoint, &gate);
        Self {
            program,
            random: Random(seed),
            seed,
            gate,
            recorder,
            agent,
            kills: Vec::new(),
            all_harmless: true,
            done_again: Vec::new(),
        }
    }

    fn saved(&self) -> Json {
        let state = text(&self.agent.workspace().join(".langop/test-agent/state.json"));
        serde_json::from_str(&state).unwrap_or_default()
    }

    /// Starts and kills until the run has ended, and says how, or that it does not.
    async fn until_it_ends(&mut self) -> Result<String, String> {
        let mut kills = 1 + self.random.below(MOST_KILLS);
        for process in 1.. {
            let moment = (kills > 0).then(|| self.moment());
            kills = kills.saturating_sub(1);
            let settled = settled(&self.saved());
            let before = self.recorder.done().len();
            self.gate.arm(process, moment);
            let running = self.agent.start();
            let is_killed = tokio::select! {
                () = self.gate.is_reached(process) => true,
                () = until("the run has ended", || has_ended(&running)) => false,
                () = tokio::time::sleep(LONGEST) => {
                    return Err(format!("process {process} neither ends nor comes to {moment:?}"));
                }
            };
            running.kill().await;
            if is_killed {
                self.kills.extend(moment);
                self.all_harmless &= self.gate.was_harmless();
            }
            let since = self.recorder.done().split_off(before);
            let again = since
                .into_iter()
                .filter(|done| settled.contains(&done.text));
            self.done_again.extend(again);
            if let Some(end) = self.saved()["ended"].as_str() {
                return Ok(reason(end));
            }
        }
        unreachable!("a run ends once nobody kills it")
    }

    /// The first moments of all seeds cover all that happens; those that follow are random.
    fn moment(&mut self) -> Moment {
        let often = self.program.often;
        let all: usize = often.iter().map(|(_, count)| count).sum();
        let mut which = if self.kills.is_empty() {
            usize::try_from(self.seed / 2).unwrap() * 37 % all
        } else {
            usize::try_from(self.random.below(all as u64)).unwrap()
        };
        let later = Duration::from_micros(self.random.below(3000));
        for (event, count) in often {
            if which < *count {
                let later = if *event == Event::Written {
                    later / 10
                } else {
                    later
                };
                return Moment {
                    event: *event,
                    nth: which + 1,
                    later,
                };
            }
            which -= count;
        }
        unreachable!("it is one of all")
    }

    /// What the promise is.
    fn check(&self, ended: &str) -> Result<(), String> {
        let done = self.recorder.done();
        let appended: Vec<&Done> = done
            .iter()
            .filter(|done| done.operation == APPEND)
            .collect();
        let texts: BTreeSet<&str> = appended.iter().map(|done| &*done.text).collect();
        if texts.len() != appended.len() {
            return Err(format!("a side effect happened twice: {done:?}"));
        }
        if !self.done_again.is_empty() {
            return Err(format!("steps were done twice: {:?}", self.done_again));
        }
        let mut by_key = BTreeMap::<&str, &str>::new();
        for done in &done {
            let text = by_key.entry(&done.key).or_insert(&done.text);
            if *text != done.text {
                return Err(format!("one key for two calls: {done:?} and '{text}'"));
            }
        }
        let keys: BTreeSet<&str> = by_key.values().copied().collect();
        if keys.len() != by_key.len() {
            return Err(format!("two keys for one call: {done:?}"));
        }
        let all: Vec<&str> = keys.into_iter().collect();
        match ended {
            "succeeded" if all == self.program.texts => Ok(()),
            "succeeded" => Err(format!("something was not done: {done:?}")),
            "outcome-unknown" if !self.all_harmless => Ok(()),
            other => Err(format!("it ended with {other}")),
        }
    }
}

fn has_ended(running: &Running<'_>) -> bool {
    running.log().contains("the run ended")
}

/// The reason in the line that a run ended with.
fn reason(end: &str) -> String {
    let failed = end.split_once([' ', ':']).map_or(end, |(word, _)| word);
    if failed == "outcome-unknown" {
        failed.to_owned()
    } else if end.ends_with("steps done") || end == "done" {
        "succeeded".to_owned()
    } else {
        end.to_owned()
    }
}

/// The texts of calls that have a result in the checkpoint.
fn settled(saved: &Json) -> BTreeSet<String> {
    let steps = saved["steps"].as_array().into_iter().flatten();
    let of_steps = steps.flat_map(|step| {
        let name = step["name"].as_str().unwrap().to_lowercase();
        let items = step["items"].as_array().map_or(0, Vec::len);
        let items = match &*name {
            "each" if step["state"] == "done" => 2,
            _ => items,
        };
        let name = Some(name).filter(|_| step["state"] == "done");
        let items = ["x", "y"].into_iter().take(items).map(str::to_owned);
        name.into_iter().chain(items)
    });
    let messages = saved["messages"].as_array().into_iter().flatten();
    let of_loop = messages.filter_map(|message| message["tool_call_id"].as_str());
    of_steps.chain(of_loop.map(str::to_owned)).collect()
}
