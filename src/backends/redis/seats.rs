//! [`Seats`]: at which server of a Cluster each topic is subscribed to.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::slots::slot;

/// All wanted topics and the places of their subscriptions. Shared with the links, which report
/// losses.
#[derive(Debug, Default)]
pub(super) struct Seats {
    state: Mutex<State>,
    /// Something may have to be done about the servers, or about the topics at them.
    pub(super) changed: Notify,
}

/// A connection to a server: the server's number, and the connection's.
pub(super) type Place = (u64, u64);

#[derive(Debug, Default)]
struct State {
    topics: HashMap<String, Seat>,
    /// How many subscriptions servers have ended by themselves.
    losses: u64,
}

#[derive(Debug)]
struct Seat {
    slot: u16,
    /// The connection that confirmed it. It is subscribed to while that connection is the server's
    /// and the server owns the slot.
    place: Option<Place>,
    /// Somebody is subscribing to it for the first time, and sees to it.
    is_new: bool,
    /// Which of the losses the last one was that ended it.
    lost: u64,
}

impl Seats {
    /// Notes topics that are about to be subscribed to; returns those that have not been before.
    pub(super) fn begin(&self, topics: &[String]) -> Vec<String> {
        let seats = &mut self.lock().topics;
        let mut new = Vec::new();
        for topic in topics {
            if seats.contains_key(topic) {
                continue;
            }
            new.push(topic.clone());
            let seat = Seat {
                slot: slot(topic),
                place: None,
                is_new: true,
                lost: 0,
            };
            seats.insert(topic.clone(), seat);
        }
        new
    }

    /// To be asked for before a topic is subscribed to.
    pub(super) fn losses(&self) -> u64 {
        self.lock().losses
    }

    /// The server has confirmed it there, after this many losses. Whether
    /// it is wanted still.
    pub(super) fn confirm(&self, topic: &str, place: Place, losses: u64) -> bool {
        let mut state = self.lock();
        let Some(seat) = state.topics.get_mut(topic) else {
            return false;
        };
        // Else the server has ended it before this was called.
        if seat.lost <= losses {
            seat.place = Some(place);
        }
        true
    }

    /// The task that began with them is done, and leaves them to `tend`.
    pub(super) fn settle(&self, topics: &[String]) {
        let mut is_lost = false;
        let seats = &mut self.lock().topics;
        for topic in topics {
            if let Some(seat) = seats.get_mut(topic) {
                seat.is_new = false;
                is_lost |= seat.place.is_none();
            }
        }
        if is_lost {
            self.changed.notify_one();
        }
    }

    /// They are no longer wanted.
    pub(super) fn forget(&self, topics: &[String]) {
        let seats = &mut self.lock().topics;
        for topic in topics {
            seats.remove(topic);
        }
    }

    /// The server has ended the subscription.
    pub(super) fn lose(&self, topic: &str) {
        let mut state = self.lock();
        let losses = state.losses + 1;
        let Some(seat) = state.topics.get_mut(topic) else {
            // It was asked to.
            return;
        };
        seat.place = None;
        seat.lost = losses;
        state.losses = losses;
        drop(state);
        self.changed.notify_one();
    }

    /// The topics that are not where they should be. New topics are none of them.
    pub(super) fn misplaced(&self, place_of: impl Fn(u16) -> Option<Place>) -> Vec<String> {
        let seats = &self.lock().topics;
        let misplaced = seats.iter().filter(|(_, seat)| {
            let is_there = seat.place.is_some() && seat.place == place_of(seat.slot);
            !seat.is_new && !is_there
        });
        misplaced.map(|(topic, _)| topic.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Seats;

    fn names(topics: &[&str]) -> Vec<String> {
        topics.iter().map(|topic| (*topic).to_owned()).collect()
    }

    fn misplaced(seats: &Seats, place: (u64, u64)) -> Vec<String> {
        seats.misplaced(|_| Some(place))
    }

    #[test]
    fn a_topic_subscribed_to_elsewhere_is_misplaced() {
        let seats = Seats::default();
        let topics = names(&["a"]);
        assert_eq!(seats.begin(&topics), topics);
        assert_eq!(seats.begin(&topics), names(&[]), "it is known");
        assert_eq!(misplaced(&seats, (1, 1)), names(&[]), "it is new");
        assert!(seats.confirm("a", (1, 1), 0));
        seats.settle(&topics);
        assert_eq!(misplaced(&seats, (1, 1)), names(&[]));
        assert_eq!(misplaced(&seats, (1, 2)), topics, "another connection");
        assert_eq!(misplaced(&seats, (2, 1)), topics, "another server");
        seats.lose("a");
        assert_eq!(misplaced(&seats, (1, 1)), topics, "the server ended it");
        seats.forget(&topics);
        assert_eq!(misplaced(&seats, (1, 1)), names(&[]));
        assert!(!seats.confirm("a", (1, 1), 1), "nobody wants it");
    }

    #[test]
    fn a_topic_lost_while_it_is_new_is_not_taken_for_subscribed() {
        let seats = Seats::default();
        let topics = names(&["a"]);
        seats.begin(&topics);
        let losses = seats.losses();
        seats.lose("a");
        seats.confirm("a", (1, 1), losses);
        seats.settle(&topics);
        assert_eq!(misplaced(&seats, (1, 1)), topics);
        seats.confirm("a", (1, 1), seats.losses());
        assert_eq!(misplaced(&seats, (1, 1)), names(&[]));
    }
}
