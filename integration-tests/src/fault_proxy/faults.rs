//! Which fault befalls a request: pure decisions from a seed and rates. Must not know how a fault
//! is made.

use std::time::Duration;

use axum::http::{Method, Uri};

/// `SplitMix64`: small, and good enough to choose faults. One seed gives one sequence, on every
/// machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_mille: u16) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// One of these; `None` of an empty slice.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let at = self.below(choices.len() as u64);
        choices.get(usize::try_from(at).unwrap_or_default())
    }

    /// A duration of whole milliseconds, shorter than `bound`.
    pub fn shorter_than(&mut self, bound: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// How often each fault befalls a request, in a thousand. All 0 is calm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// The request waits before it is passed on.
    pub delayed: u16,
    /// For less than this.
    pub delay: Duration,
    /// 429 with `Retry-After: 1`; the server does not see the request.
    pub too_many: u16,
    /// 500 or 503; the server does not see the request.
    pub failed: u16,
    /// The server does what it is asked, and the answer is a 500.
    pub answer_lost: u16,
    /// The connection is cut, before the server sees the request or after it has answered.
    pub cut: u16,
    /// 409 to an update, as when others write the object all the time.
    pub conflict: u16,
    /// A watch ends early, without a word or by a cut connection.
    pub watch_dropped: u16,
    /// A watch ends early, by word that its resource version has expired; or begins so.
    pub watch_expired: u16,
}

impl Rates {
    /// Rates of one seed: each fault absent, rare or common, so that seeds differ in what they try.
    pub fn of(random: &mut Random) -> Self {
        let mut rate = |rare: u16, common: u16| *random.pick(&[0, rare, common]).unwrap_or(&0);
        Self {
            delayed: rate(100, 500),
            too_many: rate(30, 100),
            failed: rate(50, 150),
            answer_lost: rate(50, 150),
            cut: rate(50, 150),
            conflict: rate(50, 250),
            watch_dropped: rate(200, 700),
            watch_expired: rate(100, 300),
            delay: Duration::from_millis(300),
        }
    }

    /// Everything at once, often.
    pub fn heavy() -> Self {
        Self {
            delayed: 300,
            delay: Duration::from_millis(200),
            too_many: 50,
            failed: 100,
            answer_lost: 100,
            cut: 100,
            conflict: 150,
            watch_dropped: 400,
            watch_expired: 200,
        }
    }
}

/// What kind of request it is, as far as faults differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Get or list.
    Read,
    /// A stream of events.
    Watch,
    /// Create or delete: never refused because somebody else wrote meanwhile.
    Write,
    /// Update or patch.
    Update,
}

impl Nature {
    /// By method and query.
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let watches = |query: &str| {
            query
                .split('&')
                .any(|p| p == "watch=true" || p == "watch=1")
        };
        match *method {
            Method::GET if uri.query().is_some_and(watches) => Self::Watch,
            Method::PUT | Method::PATCH => Self::Update,
            Method::POST | Method::DELETE => Self::Write,
            _ => Self::Read,
        }
    }

    /// It stores something.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::Update)
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429
    TooMany,
    /// 500, not seen by the server.
    Internal,
    /// 503, not seen by the server.
    Unavailable,
    /// 409 Conflict, not seen by the server.
    Conflict,
    /// No answer, not seen by the server.
    CutBefore,
    /// 500 although the server did it.
    AnswerLost,
    /// No answer although the server did it.
    CutAfter,
    /// A watch that is told at once that it is too late.
    ExpiredAtOnce,
    /// A watch that ends after this time.
    Dropped(Duration),
    /// A watch that is told after this time that it is too late.
    Expired(Duration),
}

impl Fault {
    /// For counting.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooMany => "429",
            Self::Internal => "500",
            Self::Unavailable => "503",
            Self::Conflict => "409",
            Self::CutBefore => "cut before",
            Self::AnswerLost => "500 after",
            Self::CutAfter => "cut after",
            Self::ExpiredAtOnce => "410 at once",
            Self::Dropped(_) => "watch dropped",
            Self::Expired(_) => "watch expired",
        }
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Before anything else.
    pub delay: Duration,
    /// After that.
    pub fault: Option<Fault>,
}

impl From<Fault> for Plan {
    fn from(fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }
}

/// Longest life of a watch that ends early.
const WATCH: Duration = Duration::from_secs(3);

/// Decides.
pub fn plan(rates: &Rates, random: &mut Random, nature: Nature) -> Plan {
    let delay = if random.chance(rates.delayed) {
        random.shorter_than(rates.delay)
    } else {
        Duration::ZERO
    };
    let fault = refused(rates, random, nature).or_else(|| match nature {
        Nature::Watch => ended_early(rates, random),
        _ => None,
    });
    Plan { delay, fault }
}

fn refused(rates: &Rates, random: &mut Random, nature: Nature) -> Option<Fault> {
    if random.chance(rates.too_many) {
        Some(Fault::TooMany)
    } else if random.chance(rates.failed) {
        random.pick(&[Fault::Internal, Fault::Unavailable]).copied()
    } else if random.chance(rates.cut) {
        random.pick(&[Fault::CutBefore, Fault::CutAfter]).copied()
    } else if nature.is_write() && random.chance(rates.answer_lost) {
        Some(Fault::AnswerLost)
    } else if nature == Nature::Update && random.chance(rates.conflict) {
        Some(Fault::Conflict)
    } else {
        None
    }
}

fn ended_early(rates: &Rates, random: &mut Random) -> Option<Fault> {
    if random.chance(rates.watch_expired) {
        let after = random.shorter_than(WATCH);
        random
            .pick(&[Fault::ExpiredAtOnce, Fault::Expired(after)])
            .copied()
    } else if random.chance(rates.watch_dropped) {
        Some(Fault::Dropped(random.shorter_than(WATCH)))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(seed: u64, nature: Nature) -> Vec<Plan> {
        let mut random = Random::new(seed);
        let rates = Rates::heavy();
        (0..500)
            .map(|_| plan(&rates, &mut random, nature))
            .collect()
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        assert_eq!(plans(7, Nature::Update), plans(7, Nature::Update));
        assert_ne!(plans(7, Nature::Update), plans(8, Nature::Update));
    }

    #[test]
    fn faults_fit_the_request() {
        let names = |nature| {
            let faults = plans(1, nature).into_iter().filter_map(|plan| plan.fault);
            let mut names: Vec<_> = faults.map(Fault::name).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let refused = ["429", "500", "503", "cut after", "cut before"];
        assert_eq!(names(Nature::Read), refused);
        let write = ["429", "500", "500 after", "503", "cut after", "cut before"];
        assert_eq!(names(Nature::Write), write);
        assert!(names(Nature::Update).contains(&"409"));
        let watch = names(Nature::Watch);
        for fault in ["410 at once", "watch dropped", "watch expired"] {
            assert!(watch.contains(&fault), "{watch:?}");
        }
    }

    #[test]
    fn no_rates_are_calm() {
        let mut random = Random::new(3);
        for nature in [Nature::Read, Nature::Watch, Nature::Update] {
            assert_eq!(
                plan(&Rates::default(), &mut random, nature),
                Plan::default()
            );
        }
    }

    #[test]
    fn the_nature_of_a_request_is_in_method_and_query() {
        for (method, uri, expected) in [
            (Method::GET, "/api/v1/pods?limit=5", Nature::Read),
            (Method::GET, "/api/v1/pods?watch=true&x=1", Nature::Watch),
            (
                Method::GET,
                "/api/v1/pods?fieldSelector=watch=trueish",
                Nature::Read,
            ),
            (Method::PATCH, "/api/v1/pods/a", Nature::Update),
            (Method::POST, "/api/v1/pods", Nature::Write),
            (Method::DELETE, "/api/v1/pods/a", Nature::Write),
        ] {
            assert_eq!(
                Nature::of(&method, &uri.parse().unwrap()),
                expected,
                "{uri}"
            );
        }
    }
}
