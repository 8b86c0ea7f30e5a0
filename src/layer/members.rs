//! [`Members`]: the members of one group on this node, with joins and leaves in constant time and
//! walks in chunks.

use std::collections::HashMap;
use std::sync::Arc;

use crate::mailbox::Mailbox;

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) mailbox: Arc<Mailbox>,
    /// Events go straight to the socket; otherwise to the hook.
    pub(super) relay: bool,
    /// The sequence number of the first message that this member gets.
    pub(super) since: u64,
}

/// Slots that keep their place while a fan-out walks over them. A member that leaves in the
/// meantime leaves a hole, so that no member is skipped or served twice. Holes are closed when no
/// fan-out runs.
#[derive(Debug, Default)]
pub(super) struct Members {
    slots: Vec<Option<Member>>,
    holes: usize,
    /// The slot of each member. Kept from [`INDEX_MIN_MEMBERS`] members on; below that, a search is
    /// faster.
    index: HashMap<u64, usize>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.holes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.position(id).is_some()
    }

    /// Adds a member. One that is there already keeps its place but joins in the new way.
    pub(super) fn insert(&mut self, member: Member) {
        let id = member.mailbox.id();
        if let Some(known) = self.position(id).and_then(|slot| self.slots[slot].as_mut()) {
            known.relay = member.relay;
            return;
        }
        self.slots.push(Some(member));
        if !self.index.is_empty() {
            self.index.insert(id, self.slots.len() - 1);
        } else if self.slots.len() > INDEX_MIN_MEMBERS {
            self.rebuild_index();
        }
    }

    /// Removes a member. `is_walked` says that a fan-out holds positions.
    pub(super) fn remove(&mut self, id: u64, is_walked: bool) -> bool {
        let Some(slot) = self.position(id) else {
            return false;
        };
        self.index.remove(&id);
        if is_walked {
            self.slots[slot] = None;
            self.holes += 1;
            return true;
        }
        self.slots.swap_remove(slot);
        if let Some(Some(moved)) = self.slots.get(slot)
            && let Some(place) = self.index.get_mut(&moved.mailbox.id())
        {
            *place = slot;
        }
        self.shrink();
        true
    }

    /// The members from position `from` on, at most `most` slots of them, appended to `chunk`; then
    /// the position to go on from, or `None` at the end.
    pub(super) fn chunk(&self, from: usize, most: usize, chunk: &mut Vec<Member>) -> Option<usize> {
        let end = self.slots.len().min(from + most);
        let slots = self.slots.get(from..end).unwrap_or_default();
        chunk.extend(slots.iter().flatten().cloned());
        (end < self.slots.len()).then_some(end)
    }

    /// Closes the holes. Must not be called while a fan-out holds positions.
    pub(super) fn compact(&mut self) {
        if self.holes == 0 {
            return;
        }
        self.slots.retain(Option::is_some);
        self.holes = 0;
        self.index.clear();
        if self.slots.len() > INDEX_MIN_MEMBERS {
            self.rebuild_index();
        }
        self.shrink();
    }

    fn position(&self, id: u64) -> Option<usize> {
        if !self.index.is_empty() {
            return self.index.get(&id).copied();
        }
        let is_it = |slot: &Option<Member>| {
            slot.as_ref()
                .is_some_and(|member| member.mailbox.id() == id)
        };
        self.slots.iter().position(is_it)
    }

    fn rebuild_index(&mut self) {
        let members = self.slots.iter().enumerate();
        self.index = members
            .filter_map(|(slot, member)| Some((member.as_ref()?.mailbox.id(), slot)))
            .collect();
    }

    /// Frees memory that a large group has used.
    fn shrink(&mut self) {
        if self.slots.capacity() > 4 * INDEX_MIN_MEMBERS
            && self.slots.len() < self.slots.capacity() / 4
        {
            self.slots.shrink_to(self.slots.len() * 2);
            self.index.shrink_to(self.slots.len() * 2);
        }
        if self.slots.is_empty() {
            self.index = HashMap::new();
        }
    }
}

/// No index is kept up to this many members.
const INDEX_MIN_MEMBERS: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::{Just, any};
    use proptest::sample::Index;
    use proptest::strategy::Strategy;
    use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

    use crate::config::Config;
    use crate::mailbox::{ConnectionSettings, Mailbox};

    use super::{Member, Members};

    fn member() -> Member {
        Member {
            mailbox: Mailbox::channel(ConnectionSettings::of(Config::new())),
            relay: false,
            since: 0,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Join,
        Leave(usize),
        Walk(usize),
        Done,
    }

    proptest! {
        /// A walk meets every member that is there from its beginning to its end, once, even if
        /// others join and leave in the meantime.
        #[test]
        fn a_walk_neither_skips_nor_doubles(steps in vec(prop_oneof![
            3 => Just(Step::Join),
            2 => any::<Index>().prop_map(|index| Step::Leave(index.index(1000))),
            2 => (1..40_usize).prop_map(Step::Walk),
            1 => Just(Step::Done),
        ], 0..300)) {
            let mut members = Members::default();
            let mut there: Vec<Member> = Vec::new();
            let mut walk: Option<(Option<usize>, BTreeSet<u64>, Vec<u64>)> = None;
            for step in steps {
                match step {
                    Step::Join => {
                        let member = member();
                        there.push(member.clone());
                        members.insert(member);
                    }
                    Step::Leave(_) if there.is_empty() => {}
                    Step::Leave(index) => {
                        let id = there.swap_remove(index % there.len()).mailbox.id();
                        prop_assert!(members.remove(id, walk.is_some()));
                        prop_assert!(!members.remove(id, walk.is_some()));
                        if let Some((_, expected, _)) = &mut walk {
                            expected.remove(&id);
                        }
                    }
                    Step::Walk(most) => {
                        let (position, _, met) = walk.get_or_insert_with(|| {
                            (Some(0), there.iter().map(|member| member.mailbox.id()).collect(), Vec::new())
                        });
                        if let Some(from) = *position {
                            let mut chunk = Vec::new();
                            *position = members.chunk(from, most, &mut chunk);
                            met.extend(chunk.iter().map(|member| member.mailbox.id()));
                        }
                    }
                    Step::Done => {
                        if let Some((position, expected, mut met)) = walk.take() {
                            let mut chunk = Vec::new();
                            if let Some(from) = position {
                                members.chunk(from, usize::MAX - from, &mut chunk);
                            }
                            met.extend(chunk.iter().map(|member| member.mailbox.id()));
                            let unique: BTreeSet<_> = met.iter().copied().collect();
                            prop_assert_eq!(unique.len(), met.len(), "somebody was met twice");
                            prop_assert!(expected.is_subset(&unique), "somebody was skipped");
                        }
                        members.compact();
                    }
                }
                prop_assert_eq!(members.len(), there.len());
                for member in &there {
                    prop_assert!(members.contains(member.mailbox.id()));
                }
            }
        }
    }
}
