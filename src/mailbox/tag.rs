//! [`Tag`]: what two values must have in common for the newer to take the older one's place.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use crate::name::{GroupName, Key};

/// A key within a group, and the kind of what is published. A clone shares the text.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    /// Of the rest, so that a queue is searched without following the pointers. The hasher is the
    /// same for all and known to whoever cares: equal hashes cost a comparison, nothing else.
    hash: u64,
    value: Arc<Value>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Value {
    group: GroupName,
    key: Key,
    /// An event runs hooks, a ready message does not: neither can stand for the other.
    is_event: bool,
}

impl Tag {
    pub(crate) fn new(group: &GroupName, key: &Key, is_event: bool) -> Self {
        let value = Value {
            group: group.clone(),
            key: key.clone(),
            is_event,
        };
        Self {
            hash: BuildHasherDefault::<DefaultHasher>::default().hash_one(&value),
            value: Arc::new(value),
        }
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && (Arc::ptr_eq(&self.value, &other.value) || self.value == other.value)
    }
}

impl Eq for Tag {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use super::Tag;

    #[test]
    fn group_key_and_kind_make_a_tag() {
        let tag = |group: &str, key: &str, is_event| {
            Tag::new(
                &group.try_into().unwrap(),
                &key.try_into().unwrap(),
                is_event,
            )
        };
        let one = tag("map", "courier_7", false);
        assert_eq!(one, tag("map", "courier_7", false));
        for other in [
            tag("map", "courier_8", false),
            tag("map2", "courier_7", false),
            tag("map", "courier_7", true),
        ] {
            assert_ne!(one, other);
        }
    }
}
