//! Places shared fairly between groups of those who want one: namespaces, callers. The groups take
//! turns, so that a group with a long queue does not hold up the single member of another, and no
//! group holds the last quarter of the places.
//!
//! [`Queue`] decides and waits for nothing; [`Places`] waits.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Who has a place and who is next.
#[derive(Debug)]
pub struct Queue<G> {
    places: usize,
    /// Most places of one group.
    share: usize,
    taken: usize,
    held: HashMap<G, usize>,
    waiting: HashMap<G, VecDeque<u64>>,
    /// The groups that wait, the next one first.
    turns: VecDeque<G>,
    last: u64,
}

impl<G: Clone + Eq + Hash> Queue<G> {
    /// A queue for `places` places, at least one. Of four places or more, a quarter is always
    /// another group's.
    pub fn new(places: usize) -> Self {
        let places = places.max(1);
        Self {
            places,
            share: places - places / 4,
            taken: 0,
            held: HashMap::new(),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            last: 0,
        }
    }

    /// One more of `group` waits; the number says which.
    pub fn join(&mut self, group: &G) -> u64 {
        self.last += 1;
        let waiting = self.waiting.entry(group.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(group.clone());
        }
        waiting.push_back(self.last);
        self.last
    }

    /// Gives a free place to the next in line.
    pub fn serve(&mut self) -> Option<u64> {
        if self.taken >= self.places {
            return None;
        }
        let may = |group: &G| self.held.get(group).copied().unwrap_or_default() < self.share;
        let turn = self.turns.iter().position(may)?;
        let group = self.turns.remove(turn)?;
        let waiting = self.waiting.get_mut(&group)?;
        let number = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&group);
        } else {
            self.turns.push_back(group.clone());
        }
        *self.held.entry(group).or_default() += 1;
        self.taken += 1;
        Some(number)
    }

    /// One of `group` gives its place back.
    pub fn leave(&mut self, group: &G) {
        if let Some(held) = self.held.get_mut(group) {
            *held -= 1;
            self.taken -= 1;
            if *held == 0 {
                self.held.remove(group);
            }
        }
    }

    /// The one of that number waits no longer; false: it did not wait.
    pub fn give_up(&mut self, group: &G, number: u64) -> bool {
        let Some(waiting) = self.waiting.get_mut(group) else {
            return false;
        };
        let before = waiting.len();
        waiting.retain(|waits| *waits != number);
        let did_wait = waiting.len() < before;
        if waiting.is_empty() {
            self.waiting.remove(group);
            self.turns.retain(|turn| turn != group);
        }
        did_wait
    }
}

/// Places to wait for.
#[derive(Debug)]
pub struct Places<G: Clone + Eq + Hash>(Arc<Mutex<State<G>>>);

#[derive(Debug)]
struct State<G> {
    queue: Queue<G>,
    called: HashMap<u64, oneshot::Sender<()>>,
}

impl<G: Clone + Eq + Hash> Clone for Places<G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<G: Clone + Eq + Hash> Places<G> {
    /// So many places, one at least.
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            queue: Queue::new(places),
            called: HashMap::new(),
        })))
    }

    /// A place for one of `group`, once it is its turn. A caller that stops waiting leaves the
    /// queue.
    pub async fn take(&self, group: G) -> Place<G> {
        let (call, called) = oneshot::channel();
        let number = {
            let mut state = self.state();
            let number = state.queue.join(&group);
            state.called.insert(number, call);
            state.call_next();
            number
        };
        let place = Place {
            places: self.clone(),
            group,
            number,
        };
        // Kept until it is called, so this is no error.
        let _ = called.await;
        place
    }

    fn state(&self) -> MutexGuard<'_, State<G>> {
        // Every lock is held for one step that leaves the queue whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<G: Clone + Eq + Hash> State<G> {
    fn call_next(&mut self) {
        while let Some(number) = self.queue.serve() {
            if let Some(call) = self.called.remove(&number) {
                // A caller that stopped listening returns the place when it is dropped.
                let _ = call.send(());
            }
        }
    }
}

/// A place, or the wait for one; free again when dropped.
#[derive(Debug)]
#[must_use = "the place is free again when this is dropped"]
pub struct Place<G: Clone + Eq + Hash> {
    places: Places<G>,
    group: G,
    number: u64,
}

impl<G: Clone + Eq + Hash> Drop for Place<G> {
    fn drop(&mut self) {
        let mut state = self.places.state();
        if state.queue.give_up(&self.group, self.number) {
            state.called.remove(&self.number);
        } else {
            state.queue.leave(&self.group);
        }
        state.call_next();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Join(u8),
        Leave(usize),
        GiveUp(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u8).prop_map(Step::Join),
            3 => (0..32_usize).prop_map(Step::Leave),
            1 => (0..32_usize).prop_map(Step::GiveUp),
        ]
    }

    /// What the queue should hold, kept in the plainest way.
    #[derive(Default)]
    struct Model {
        waiting: Vec<(u8, u64)>,
        holding: Vec<(u8, u64)>,
        /// How often others were served while a group waited and might have been.
        passed_over: HashMap<u8, usize>,
    }

    impl Model {
        fn held(&self, group: u8) -> usize {
            self.holding.iter().filter(|(of, _)| *of == group).count()
        }

        fn may_be_served(&self, group: u8, share: usize) -> bool {
            self.held(group) < share && self.waiting.iter().any(|(of, _)| *of == group)
        }

        fn serve(&mut self, number: u64, share: usize) {
            let at = self.waiting.iter().position(|(_, it)| *it == number);
            let (group, _) = self.waiting.remove(at.expect("only who waits is served"));
            let first = self.waiting.iter().find(|(of, _)| *of == group);
            assert!(first.is_none_or(|(_, it)| *it > number), "in their order");
            for other in 0..4 {
                if other != group && self.may_be_served(other, share) {
                    *self.passed_over.entry(other).or_default() += 1;
                }
            }
            self.passed_over.insert(group, 0);
            self.holding.push((group, number));
        }
    }

    proptest! {
        #[test]
        fn turns_are_fair(places in 1..9_usize, steps in prop::collection::vec(step(), 0..200)) {
            let share = places - places / 4;
            let (mut queue, mut model) = (Queue::new(places), Model::default());
            for step in steps {
                match step {
                    Step::Join(group) => model.waiting.push((group, queue.join(&group))),
                    Step::Leave(index) if index < model.holding.len() => {
                        let (group, number) = model.holding.remove(index);
                        prop_assert!(!queue.give_up(&group, number), "it does not wait");
                        queue.leave(&group);
                    }
                    Step::GiveUp(index) if index < model.waiting.len() => {
                        let (group, number) = model.waiting.remove(index);
                        prop_assert!(queue.give_up(&group, number));
                        if !model.waiting.iter().any(|(of, _)| *of == group) {
                            model.passed_over.remove(&group);
                        }
                    }
                    Step::Leave(_) | Step::GiveUp(_) => {}
                }
                while let Some(number) = queue.serve() {
                    model.serve(number, share);
                }
                prop_assert!(model.holding.len() <= places);
                for group in 0..4 {
                    prop_assert!(model.held(group) <= share);
                    let passed = model.passed_over.get(&group).copied().unwrap_or_default();
                    prop_assert!(passed <= 3, "each of the others is served once before: {passed}");
                    let is_free = model.holding.len() < places;
                    prop_assert!(!(is_free && model.may_be_served(group, share)), "nobody waits for nothing");
                }
            }
        }
    }

    /// One asks 500 times for a second each, and then another asks once.
    #[tokio::test(start_paused = true)]
    async fn a_long_queue_holds_up_nobody_else() {
        for places in [1, 2, 16, 64] {
            let shared = Places::new(places);
            let many: Vec<_> = (0..500)
                .map(|_| {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        let _place = shared.take("greedy").await;
                        sleep(Duration::from_secs(1)).await;
                    })
                })
                .collect();
            sleep(Duration::from_millis(100)).await;
            let asked = Instant::now();
            let place = shared.take("single").await;
            let waited = asked.elapsed();
            // Where no place is kept for others: what is under way, and one turn.
            let most = Duration::from_secs(if places < 4 { 2 } else { 0 });
            assert!(waited <= most, "{places} places: {waited:?}");
            drop(place);
            for one in many {
                one.await.unwrap();
            }
            assert_eq!(shared.state().queue.taken, 0);
            assert!(shared.state().called.is_empty());
        }
    }

    #[tokio::test]
    async fn whoever_stops_waiting_takes_nobodys_place() {
        let places = Places::new(1);
        let first = places.take("a").await;
        let second = tokio::spawn({
            let places = places.clone();
            async move { drop(places.take("a").await) }
        });
        while places.state().called.is_empty() {
            tokio::task::yield_now().await;
        }
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        assert!(places.state().called.is_empty());
        drop(first);
        let _third = places.take("b").await;
    }
}
