//! What the LLM of these tests says, in good moods and bad ones, and the account of what it was
//! paid for in which life of the synthesizer.
//!
//! The account. Good answers are counted, by what was asked and by the life of the synthesizer that
//! asked. Two things hold of them:
//!
//! - No question is well answered twice in one life: the replica that got the answer has it.
//! - All together there are at most as many as users had reasons (`demands`), and one more for each
//!   attempt that a death interrupted.
//!
//! Bad answers (errors, answers that are cut or garbage, refused code) are not counted, though some
//! of them are paid for, too: nothing can be made of one, so whoever gets it must ask again. In
//! other words, each allows exactly one call more.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
    time::Duration,
};

use langop_integration_tests::{FakeLlm, Reply, fake_llm::LlmRequest, fault_proxy::faults::Random};
use serde_json::Value;

/// The longest that it thinks.
const THINKS: Duration = Duration::from_millis(600);
/// What it makes of every persona.
pub(crate) const CONDENSED: &str = "You do as you are told.";

/// Good answers, by what was asked and by the life of the synthesizer that asked; and how often it
/// is in a bad mood.
#[derive(Default)]
pub(crate) struct Account {
    life: AtomicU32,
    paid: Mutex<BTreeMap<(String, u32), u32>>,
    interrupted: AtomicU32,
    bad_per_mille: AtomicU16,
    bad: AtomicU32,
}

impl Account {
    /// Answers each request of this LLM, and keeps account of it. `seed` decides how long it takes
    /// and what a bad answer is.
    pub(crate) fn open(self: &Arc<Self>, llm: &FakeLlm, seed: u64) {
        let (account, random) = (Arc::clone(self), Mutex::new(Random::new(seed ^ 0x11a)));
        llm.reply_with(move |request| {
            let mut random = random.lock().unwrap();
            let pause = random.shorter_than(THINKS);
            let reply = account.bad(request, &mut random).unwrap_or_else(|| {
                account.paid(request);
                answer(request)
            });
            Reply::Slow(pause, Box::new(reply))
        });
    }

    /// From now on it is in a bad mood so often.
    pub(crate) fn be_bad(&self, per_mille: u16) {
        self.bad_per_mille.store(per_mille, Ordering::Relaxed);
    }

    /// The synthesizer's next life begins.
    pub(crate) fn next_life(&self) {
        self.life.fetch_add(1, Ordering::Relaxed);
    }

    /// A death interrupted so many attempts.
    pub(crate) fn interrupted(&self, attempts: u32) {
        self.interrupted.fetch_add(attempts, Ordering::Relaxed);
    }

    /// Fails if anything was paid for twice. `demands`: how often a user wanted something made.
    pub(crate) fn audit(&self, demands: u32) {
        let paid = self.paid.lock().unwrap();
        let twice: Vec<_> = paid.iter().filter(|(_, times)| **times > 1).collect();
        assert!(
            twice.is_empty(),
            "paid for again while the synthesizer that was answered lived: {twice:#?}"
        );
        let (total, interrupted) = (
            paid.values().sum::<u32>(),
            self.interrupted.load(Ordering::Relaxed),
        );
        let questions: Vec<_> = paid.keys().collect();
        assert!(
            total <= demands + interrupted,
            "{total} good answers for {demands} demands and {interrupted} interrupted attempts: {questions:#?}"
        );
    }

    /// All good answers so far.
    pub(crate) fn total(&self) -> u32 {
        self.paid.lock().unwrap().values().sum()
    }

    /// All bad answers so far.
    pub(crate) fn total_bad(&self) -> u32 {
        self.bad.load(Ordering::Relaxed)
    }

    fn paid(&self, request: &LlmRequest) {
        let life = self.life.load(Ordering::Relaxed);
        let question = question(request).to_owned();
        let mut paid = self.paid.lock().unwrap();
        *paid.entry((question, life)).or_default() += 1;
    }

    /// A bad answer, in a bad mood.
    fn bad(&self, request: &LlmRequest, random: &mut Random) -> Option<Reply> {
        if !random.chance(self.bad_per_mille.load(Ordering::Relaxed)) {
            return None;
        }
        let asks_for_code = section(question(request), "instructions").is_some();
        let reply = match random.below(if asks_for_code { 9 } else { 7 }) {
            0 => limited(None),
            1 => limited(Some(1)),
            2 => Reply::status(500),
            3 => Reply::status(503),
            4 => Reply::Garbage,
            5 => Reply::Truncated,
            // As if the key were wrong.
            6 => Reply::status(401),
            // Any text is an answer about a persona, but not every text is code.
            7 => Reply::Text("I would rather not.".to_owned()),
            _ => Reply::Code("agent 'agent' do\n  system 'rm -rf /'\nend".to_owned()),
        };
        self.bad.fetch_add(1, Ordering::Relaxed);
        Some(reply)
    }
}

fn limited(retry_after: Option<u64>) -> Reply {
    Reply::Status {
        code: 429,
        retry_after,
    }
}

/// What is asked: the first message of the user. Later ones ask for repairs of the answer.
fn question(request: &LlmRequest) -> &str {
    let messages = request.body["messages"].as_array().into_iter().flatten();
    let mut of_user = messages.filter(|message| message["role"] == "user");
    of_user
        .next()
        .and_then(|message| message["content"].as_str())
        .unwrap_or_default()
}

/// Code that says which instructions and variant it is for and what it was offered, and that uses
/// the first tool of those; a text for a persona.
fn answer(request: &LlmRequest) -> Reply {
    let question = question(request);
    let Some(instructions) = section(question, "instructions") else {
        return Reply::Text(CONDENSED.to_owned());
    };
    let variant = section(question, "variant").unwrap_or("\"first\"");
    let [tools, models] = ["tools", "models"].map(|list| names(question, list));
    let uses = tools.first().map_or_else(String::new, |tool| {
        format!("\n  workflow do\n    step \"Act\" do\n      use_tool \"{tool}\", action: \"act\"\n    end\n  end\n")
    });
    Reply::Code(format!(
        "require 'language_operator'\n\nagent 'agent' do\n  objectives [\n    {instructions:?},\n    {variant},\n    \"{}\"\n  ]\n{uses}end\n",
        offer(&tools, &models)
    ))
}

/// How code says what it was offered.
fn offer(tools: &[String], models: &[String]) -> String {
    format!("offered: {} | {}.", tools.join(" "), models.join(" "))
}

/// What code of [`answer`] says that it was offered, tools and models, and which tools it uses.
pub(crate) fn offered_and_used(code: &str) -> ([Vec<String>; 2], Vec<String>) {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let said = |from: &str, to: &str| -> &str {
        let after = code.split_once(from).map_or("", |(_, after)| after);
        after.split_once(to).map_or("", |(said, _)| said)
    };
    let offered = said("\"offered: ", ".\"");
    let (tools, models) = offered.split_once('|').unwrap_or_default();
    (
        [words(tools), words(models)],
        words(said("use_tool \"", "\"")),
    )
}

/// The names in a list of a question.
fn names(question: &str, list: &str) -> Vec<String> {
    let list = section(question, list).unwrap_or("[]");
    let items: Vec<Value> = serde_json::from_str(list).unwrap();
    let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

/// What stands between the tags of this name.
fn section<'a>(question: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = question.split_once(&format!("\n<{name}-"))?;
    let (_, content) = after.split_once(">\n")?;
    content
        .split_once(&format!("\n</{name}-"))
        .map(|(content, _)| content)
}
