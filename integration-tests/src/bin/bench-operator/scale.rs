//! What grows with the number of agents: how the fleet is made up and how long is waited for it.
//! Pure.

use std::time::Duration;

/// Above so many, agents are scheduled and suspended: what is asked of more is memory and restarts,
/// and as many pods would measure Kubernetes' own controllers.
const RUNNING: u32 = 10_000;

/// How the agents of a fleet run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All the time, in four namespaces.
    Running,
    /// At times, and suspended, in namespaces of a thousand. Only those whose tool changes run.
    Suspended,
}

/// A number of agents, and how they run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) agents: u32,
    pub(crate) shape: Shape,
}

impl Scale {
    pub(crate) const fn of(agents: u32) -> Self {
        let shape = if agents > RUNNING {
            Shape::Suspended
        } else {
            Shape::Running
        };
        Self { agents, shape }
    }

    pub(crate) const fn suspended(agents: u32) -> Self {
        Self {
            agents,
            shape: Shape::Suspended,
        }
    }

    /// Whether the bodies of all writes fit on the disk and in memory, to be repeated.
    pub(crate) fn is_repeatable(self) -> bool {
        self.agents <= RUNNING
    }

    /// From which size on the heaps of Kubernetes' own programs may not double between two
    /// collections, in GiB; `None`: they may always. Of 100,000 agents an API server holds some 9.
    pub(crate) fn heap_limit(self) -> Option<u16> {
        const MANY: u32 = 30_000;
        (self.agents > MANY).then_some(13)
    }

    /// Until something must have happened that takes seconds for few agents, on a machine under
    /// load.
    pub(crate) fn soon(self) -> Duration {
        const EACH: Duration = Duration::from_millis(6);
        Duration::from_mins(2) + EACH * self.agents
    }

    /// Between two readings of the operator's metrics, for each of which it counts all agents: more
    /// of them would be a good part of what is measured.
    pub(crate) fn between_polls(self) -> Duration {
        const EACH: Duration = Duration::from_micros(10);
        (EACH * self.agents).max(Duration::from_millis(50))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_agents_are_suspended_and_waited_for_longer() {
        let (few, many) = (Scale::of(RUNNING), Scale::of(RUNNING + 1));
        assert_eq!([few.shape, many.shape], [Shape::Running, Shape::Suspended]);
        assert!(few.is_repeatable() && !many.is_repeatable());
        assert_eq!(Scale::of(100_000).soon(), Duration::from_mins(12));
        assert_eq!(Scale::of(100).between_polls(), Duration::from_millis(50));
        assert_eq!(Scale::of(100_000).between_polls(), Duration::from_secs(1));
    }
}
