//! The rows: the kinds of work that are measured.

use std::time::Duration;

use crate::common::request::Headers;

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) work: Work,
    pub(crate) goal: Option<Goal>,
}

#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// CPU time for each frame that the server sends, while messages go round.
    Steady { shape: Shape, route: Route },
    /// CPU time for each connection, its first message answered.
    Handshakes,
    /// Resident bytes for each member that rests.
    Idle { shape: Shape, headers: Headers },
}

/// Sockets in groups. One socket of each group publishes; an echo is a group of one.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) groups: usize,
    pub(crate) members: usize,
    /// Messages written together; the next ones when all members have these.
    pub(crate) in_flight: usize,
    /// The time from one publication to the next, if the clock decides.
    pub(crate) pace: Option<Duration>,
}

impl Shape {
    const fn new(groups: usize, members: usize, in_flight: usize) -> Self {
        Self {
            groups,
            members,
            in_flight,
            pace: None,
        }
    }

    pub(crate) const fn sockets(&self) -> usize {
        self.groups * self.members
    }
}

/// The way through `hub`. The others have `/echo` and `/group/NAME/` only.
#[derive(Clone, Copy)]
pub(crate) enum Route {
    Echo,
    Group,
    Events,
    Relay,
}

/// The most that `hub` may need, and what it should come to.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// Of the floor's.
    Multiple {
        must: f64,
        aim: f64,
    },
    Bytes {
        must: f64,
        aim: f64,
    },
}

impl Row {
    fn steady(name: impl Into<String>, shape: Shape, route: Route, must: f64, aim: f64) -> Self {
        Self {
            name: name.into(),
            work: Work::Steady { shape, route },
            goal: Some(Goal::Multiple { must, aim }),
        }
    }

    pub(crate) const fn in_flight(&self) -> usize {
        match self.work {
            Work::Steady { shape, .. } => shape.in_flight,
            Work::Handshakes | Work::Idle { .. } => 1,
        }
    }

    /// How many descriptors a process needs for it.
    pub(crate) fn descriptors(&self) -> usize {
        let sockets = match self.work {
            Work::Steady { shape, .. } | Work::Idle { shape, .. } => shape.sockets(),
            Work::Handshakes => BURST,
        };
        // The first ones of an idle row, standard streams, epoll, the listener, and whatever a
        // runtime opens.
        sockets + sockets / 50 + 64
    }
}

pub(crate) fn works() -> Vec<Row> {
    let echo = |in_flight| Shape::new(64, 1, in_flight);
    let thousand = |in_flight| Shape::new(1, 1000, in_flight);
    let paced = Shape {
        pace: Some(Duration::from_millis(100)),
        ..Shape::new(1, 10_000, 1)
    };
    let tens = Shape::new(1000, 10, 1);
    let idle = |name: &str, headers, goal| Row {
        name: name.to_owned(),
        work: Work::Idle {
            shape: tens,
            headers,
        },
        goal,
    };
    vec![
        Row::steady(
            "echo, 128 B, one in flight",
            echo(1),
            Route::Echo,
            1.10,
            1.03,
        ),
        Row::steady(
            "echo, 16 in flight per socket",
            echo(16),
            Route::Echo,
            1.20,
            1.10,
        ),
        Row::steady(
            "broadcast to 1,000, one in flight",
            thousand(1),
            Route::Group,
            1.10,
            1.02,
        ),
        Row::steady(
            "broadcast to 1,000, 8 in flight",
            thousand(8),
            Route::Group,
            1.10,
            1.00,
        ),
        Row::steady(
            "broadcast to 10,000 at 10/s",
            paced,
            Route::Group,
            1.05,
            1.00,
        ),
        Row::steady("1,000 groups of 10", tens, Route::Group, 1.15, 1.03),
        Row::steady(
            "event through a hook that forwards, to 1,000",
            thousand(1),
            Route::Events,
            1.50,
            1.25,
        ),
        // The same path as a broadcast, and no goal of its own in between.
        Row::steady(
            "event relayed to 1,000",
            thousand(1),
            Route::Relay,
            1.10,
            1.02,
        ),
        Row {
            name: "handshake and first frame".to_owned(),
            work: Work::Handshakes,
            goal: Some(Goal::Multiple {
                must: 1.35,
                aim: 1.25,
            }),
        },
        idle(
            "resident bytes per idle member, short request",
            Headers::Short,
            Some(Goal::Bytes {
                must: 1600.0,
                aim: 1400.0,
            }),
        ),
        idle(
            "resident bytes per idle member, a browser's request",
            Headers::Browser,
            None,
        ),
    ]
}

/// The cost of a delivery should hardly depend on how many members there are, nor on how many
/// groups.
pub(crate) fn sizes() -> Vec<Row> {
    let members = [10, 100, 1000, 5000, 15_000].map(|members| {
        let name = format!("one group of {members}");
        Row::steady(name, Shape::new(1, members, 1), Route::Group, 1.10, 1.02)
    });
    let groups = [1, 10, 100, 1000, 5000].map(|groups| {
        let name = format!("{groups} groups of 3");
        Row::steady(name, Shape::new(groups, 3, 1), Route::Group, 1.15, 1.03)
    });
    members.into_iter().chain(groups).collect()
}

/// Connections opened between two rests.
pub(crate) const BURST: usize = 2000;
