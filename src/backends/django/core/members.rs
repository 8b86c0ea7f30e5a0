//! [`Members`]: the groups that this node is a member of, and the names by which it is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::name::GroupName;

/// One member per group, however many sockets there are: a message comes back with the member's
/// name, and the name identifies the group.
///
/// Django bounds what waits for a process by the text before a name's `!`. So a node has several
/// such texts, lanes, and spreads its groups over them.
#[derive(Debug)]
pub(super) struct Members {
    /// The beginning of this node's lanes: `s.`, twelve hexadecimal digits and a dot.
    stem: String,
    lanes: u64,
    groups: Mutex<Groups>,
    /// Those that were left, and are still to be taken out of Redis.
    left: Mutex<Vec<(GroupName, String)>>,
}

#[derive(Debug, Default)]
struct Groups {
    /// Never used twice, so that what is late for a group that was left is not taken for another's.
    next: u64,
    numbers: HashMap<GroupName, u64>,
    names: HashMap<u64, Joined>,
}

/// A group that this node is a member of.
#[derive(Debug)]
struct Joined {
    name: GroupName,
    /// Redis has it, and would still have it if nobody had deleted it.
    is_confirmed: bool,
}

impl Members {
    pub(super) fn new(node: &str, lanes: u64) -> Self {
        Self {
            stem: format!("{STEM}{node}."),
            lanes,
            groups: Mutex::default(),
            left: Mutex::default(),
        }
    }

    /// The lanes, each with its `!`.
    pub(super) fn lanes(&self) -> impl Iterator<Item = String> {
        (0..self.lanes).map(|lane| self.lane(lane))
    }

    /// The member that this node is of a group: a new one, if it is none yet.
    pub(super) fn add(&self, group: &GroupName) -> String {
        let mut groups = self.lock();
        let number = match groups.numbers.get(group) {
            Some(number) => *number,
            None => {
                let number = groups.next;
                groups.next += 1;
                groups.numbers.insert(group.clone(), number);
                let name = group.clone();
                let is_confirmed = false;
                groups.names.insert(number, Joined { name, is_confirmed });
                number
            }
        };
        self.member(number)
    }

    /// This node is a member in Redis, too.
    pub(super) fn confirm(&self, members: &[(GroupName, String)]) {
        let mut groups = self.lock();
        for (_, member) in members {
            let number = self.number(member);
            if let Some(joined) = number.and_then(|number| groups.names.get_mut(&number)) {
                joined.is_confirmed = true;
            }
        }
    }

    /// This node is no longer a member. In Redis it is, until [`left`](Self::left) is seen to.
    pub(super) fn remove(&self, group: &GroupName) {
        let mut groups = self.lock();
        let Some(number) = groups.numbers.remove(group) else {
            return;
        };
        groups.names.remove(&number);
        drop(groups);
        self.keep_left([(group.clone(), self.member(number))]);
    }

    /// Takes what is to be taken out of Redis, of the groups for which this holds.
    pub(super) fn left(&self, is_due: impl Fn(&GroupName) -> bool) -> Vec<(GroupName, String)> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.extract_if(.., |(group, _)| is_due(group)).collect()
    }

    /// It was not done.
    pub(super) fn keep_left(&self, members: impl IntoIterator<Item = (GroupName, String)>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.extend(members);
    }

    /// The groups that this node is a [confirmed](Self::confirm) member of, with their members.
    pub(super) fn confirmed(&self) -> Vec<(GroupName, String)> {
        let groups = self.lock();
        let confirmed = groups
            .names
            .iter()
            .filter(|(_, joined)| joined.is_confirmed);
        confirmed
            .map(|(number, joined)| (joined.name.clone(), self.member(*number)))
            .collect()
    }

    /// The group of this member: none, if it is not this node's, or no longer.
    pub(super) fn group(&self, member: &str) -> Option<GroupName> {
        let number = self.number(member)?;
        let groups = self.lock();
        groups.names.get(&number).map(|joined| joined.name.clone())
    }

    /// The groups whose messages come through this lane.
    pub(super) fn groups_of(&self, lane: &str) -> Vec<GroupName> {
        let groups = self.lock();
        let of_lane = |number: &u64| self.lane(number % self.lanes) == lane;
        let names = groups.names.iter().filter(|(number, _)| of_lane(number));
        names.map(|(_, joined)| joined.name.clone()).collect()
    }

    /// Only the very text that [`member`](Self::member) makes: one member has one name.
    fn number(&self, member: &str) -> Option<u64> {
        let (_, number) = member.strip_prefix(&self.stem)?.split_once('!')?;
        let number = u64::from_str_radix(number, 16).ok()?;
        (self.member(number) == member).then_some(number)
    }

    fn member(&self, number: u64) -> String {
        format!("{}{number:x}", self.lane(number % self.lanes))
    }

    fn lane(&self, lane: u64) -> String {
        format!("{}{lane:x}!", self.stem)
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a member of a group is some node's of strait.
pub(super) fn is_node(member: &str) -> bool {
    member.starts_with(STEM)
}

const STEM: &str = "s.";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use crate::name::GroupName;

    use super::{Members, is_node};

    #[test]
    fn a_member_tells_its_group() {
        let members = Members::new("0123456789ab", 4);
        let groups: Vec<_> = (0..20)
            .map(|number| GroupName::try_from(format!("order_{number}")).unwrap())
            .collect();
        let names: Vec<_> = groups.iter().map(|group| members.add(group)).collect();
        assert_eq!(names[18], "s.0123456789ab.2!12");
        for (group, name) in groups.iter().zip(&names) {
            assert_eq!(members.group(name).as_ref(), Some(group));
            assert_eq!(&members.add(group), name, "to join again changes nothing");
            assert!(is_node(name));
        }
        let lanes: Vec<_> = members.lanes().collect();
        assert_eq!(lanes[3], "s.0123456789ab.3!");
        let spread: Vec<_> = lanes
            .iter()
            .map(|lane| members.groups_of(lane).len())
            .collect();
        assert_eq!(spread, [5; 4]);

        members.remove(&groups[3]);
        members.remove(&groups[3]);
        assert!(members.left(|group| *group != groups[3]).is_empty());
        let left = members.left(|group| *group == groups[3]);
        assert_eq!(left, [(groups[3].clone(), names[3].clone())]);
        assert!(members.left(|_| true).is_empty(), "it was taken");
        assert_eq!(
            members.group(&names[3]),
            None,
            "a late message has no receiver"
        );
        assert_ne!(members.add(&groups[3]), names[3]);
        assert!(members.confirmed().is_empty());
        let joined = [(groups[4].clone(), names[4].clone())];
        members.confirm(&joined);
        members.confirm(&left);
        assert_eq!(members.confirmed(), joined);

        for foreign in [
            "s.0123456789ab.0!04",
            "s.0123456789ab.0!+4",
            "s.0123456789ab.1!4",
            "s.0123456789ab.x!4",
            "s.0123456789ac.3!12",
            "s.0123456789ab.3",
            "s.0123456789ab.3!",
            "s.0123456789ab.3!x",
            "specific.0123456789abcdef0123456789abcdef!0",
            "",
        ] {
            assert_eq!(members.group(foreign), None, "{foreign}");
        }
    }
}
