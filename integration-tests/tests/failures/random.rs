//! Whatever goes wrong while users do whatever they do: once it is calm again, the end state is the
//! one that the specs say.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _};
use langop_integration_tests::{
    FaultMode,
    fault_proxy::faults::{Random, Rates},
};

use crate::{
    fault_env::{End, FaultEnv},
    invariants::Snapshot,
    settings,
    user::User,
};

/// Things that users and misfortune do in one run.
const STEPS: u32 = 30;
/// One in so many seeds has a LanguageCluster.
const FRAMED: u64 = 6;
/// Longest pause between two of them.
const PAUSE: Duration = Duration::from_millis(400);

#[tokio::test]
async fn whatever_goes_wrong_the_end_state_is_the_one_that_the_specs_say() {
    let runs = futures::stream::iter(settings::seeds())
        .map(|seed| async move { (seed, Box::pin(caught(run(seed))).await) });
    let mut runs = std::pin::pin!(runs.buffer_unordered(settings::jobs()));
    let (mut good, mut bad) = (0_u32, Vec::new());
    while let Some((seed, outcome)) = runs.next().await {
        match outcome {
            Ok(tried) => {
                good += 1;
                say(&format!("seed {seed}: {tried}"));
            }
            Err(why) => {
                say(&format!("seed {seed} FAILED: {why}"));
                bad.push(seed);
            }
        }
    }
    assert!(
        bad.is_empty(),
        "{good} seeds hold; run again those that do not by LANGOP_FAULT_SEED=N: {bad:?}"
    );
}

#[expect(
    clippy::print_stderr,
    reason = "which seeds were tried, and what they tried, is the point of a random test"
)]
fn say(line: &str) {
    eprintln!("{line}");
}

/// What a future returns, or what it says when it panics.
async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let outcome = AssertUnwindSafe(future).catch_unwind().await;
    outcome.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other
            .downcast::<&str>()
            .map_or_else(|_| "no text".to_owned(), |text| (*text).to_owned()),
    })
}

/// One seed; panics if something does not hold. Returns what it tried.
async fn run(seed: u64) -> String {
    let mut env = if seed % FRAMED == FRAMED / 2 {
        FaultEnv::framed(seed).await
    } else {
        FaultEnv::new("random", seed).await
    };
    let mut user = User::new(seed);
    let mut fate = Fate::new(seed);
    say(&format!(
        "seed {seed}: begins with {:?}, {} of 1000 answers of the LLM bad, operator log {}",
        fate.rates,
        fate.bad_answers,
        env.operator.log().display()
    ));
    user.begin(&env).await;
    env.proxy.set(FaultMode::Storm(fate.rates.clone()));
    env.account.be_bad(fate.bad_answers);
    for _ in 0..STEPS {
        tokio::time::sleep(fate.random.shorter_than(PAUSE)).await;
        fate.strike(&mut env, &mut user).await;
        user.act(&env).await;
    }
    user.tidy_up(&env).await;
    env.heal();
    fate.make_good(&mut env, &mut user).await;
    let calm = Instant::now();
    let settled = caught(env.until_settled()).await;
    if let Err(why) = settled {
        panic!("{why}\nwhat was done:\n  {}", user.log.join("\n  "));
    }
    env.account.audit(user.demands);
    user.found_what_was_kept(&env).await;
    let ends = Snapshot::of(&env).await.ends();
    if env.frame.is_some() {
        env.clear().await;
    }
    format!(
        "settled {:.1} s after the storm; {} demands, {} good and {} bad answers of the LLM; ends {ends:?}; faults {:?}",
        calm.elapsed().as_secs_f32(),
        user.demands,
        env.account.total(),
        env.account.total_bad(),
        env.proxy.tally()
    )
}

/// Programs that die and come back, and faults that change.
struct Fate {
    random: Random,
    rates: Rates,
    /// Of the LLM, in a thousand.
    bad_answers: u16,
    /// Steps until it comes back; `None`: it runs.
    operator_down: Option<u64>,
    synthesizer_down: Option<u64>,
}

impl Fate {
    fn new(seed: u64) -> Self {
        // Another sequence than the user's.
        let mut random = Random::new(seed.rotate_left(32) ^ 0xfa7e);
        let rates = Rates::of(&mut random);
        let bad_answers = *random.pick(&[0, 150, 400]).unwrap();
        Self {
            random,
            rates,
            bad_answers,
            operator_down: None,
            synthesizer_down: None,
        }
    }

    async fn strike(&mut self, env: &mut FaultEnv, user: &mut User) {
        match self.operator_down {
            Some(0) => self.raise_operator(env, user).await,
            Some(steps) => self.operator_down = Some(steps - 1),
            None if self.random.chance(80) => {
                user.log.push("kill the operator".to_owned());
                env.kill_operator().await;
                self.operator_down = Some(self.random.below(3));
            }
            None => {}
        }
        match self.synthesizer_down {
            Some(0) => self.raise_synthesizer(env, user).await,
            Some(steps) => self.synthesizer_down = Some(steps - 1),
            None if self.random.chance(80) => {
                let how = *self.random.pick(&[End::Kill, End::Stop]).unwrap();
                user.log.push(format!("{how:?} the synthesizer"));
                env.end_synthesizer(how).await;
                self.synthesizer_down = Some(self.random.below(4));
            }
            None => {}
        }
    }

    async fn raise_operator(&mut self, env: &mut FaultEnv, user: &mut User) {
        user.log.push("start the operator".to_owned());
        self.operator_down = None;
        env.operator.start_again().await.unwrap();
    }

    async fn raise_synthesizer(&mut self, env: &mut FaultEnv, user: &mut User) {
        user.log.push("start the synthesizer".to_owned());
        self.synthesizer_down = None;
        env.start_synthesizer().await;
    }

    /// Everything runs again.
    async fn make_good(&mut self, env: &mut FaultEnv, user: &mut User) {
        if self.operator_down.is_some() {
            self.raise_operator(env, user).await;
        }
        if self.synthesizer_down.is_some() {
            self.raise_synthesizer(env, user).await;
        }
    }
}
