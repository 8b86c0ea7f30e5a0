//! The hub one writes by hand: groups by name, a bounded queue for each member.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::mpsc;

/// Groups by name; an empty one stays, since a benchmark reuses its names.
pub struct Hub<T> {
    groups: Mutex<HashMap<String, Arc<Group<T>>>>,
}

impl<T> Default for Hub<T> {
    fn default() -> Self {
        Self {
            groups: Mutex::default(),
        }
    }
}

impl<T: Clone> Hub<T> {
    pub fn join(&self, name: &str) -> (Membership<T>, mpsc::Receiver<T>) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = Arc::clone(groups.entry(name.to_owned()).or_default());
        drop(groups);
        let (sender, receiver) = mpsc::channel(WAITING);
        let own = sender.clone();
        group.members().push(sender);
        (Membership { group, own }, receiver)
    }
}

struct Group<T> {
    members: Mutex<Vec<mpsc::Sender<T>>>,
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self {
            members: Mutex::default(),
        }
    }
}

impl<T> Group<T> {
    fn members(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::Sender<T>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a group, left when dropped.
pub struct Membership<T> {
    group: Arc<Group<T>>,
    own: mpsc::Sender<T>,
}

impl<T: Clone> Membership<T> {
    /// Puts the value into every member's queue. A member whose queue is full is dropped: its
    /// receiver ends.
    pub fn publish(&self, value: &T) {
        self.group
            .members()
            .retain(|member| member.try_send(value.clone()).is_ok());
    }
}

impl<T> Drop for Membership<T> {
    fn drop(&mut self) {
        self.group
            .members()
            .retain(|member| !member.same_channel(&self.own));
    }
}

const WAITING: usize = 64;
