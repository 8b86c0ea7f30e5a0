//! [`ConflationKey`]: the key that two values share if the newer one replaces the older one.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use crate::name::{GroupName, Key};

/// A key within a group, and the kind of the published value. A clone shares the text.
#[derive(Clone, Debug)]
pub(crate) struct ConflationKey {
    /// A hash of the rest, so that a queue is searched without following pointers. The hasher has
    /// no secret: equal hashes cost a comparison and nothing else.
    hash: u64,
    value: Arc<Value>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Value {
    group: GroupName,
    key: Key,
    /// An event runs hooks, a ready message does not, so neither replaces the other.
    is_event: bool,
}

impl ConflationKey {
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

impl PartialEq for ConflationKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && (Arc::ptr_eq(&self.value, &other.value) || self.value == other.value)
    }
}

impl Eq for ConflationKey {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use super::ConflationKey;

    #[test]
    fn group_key_and_kind_make_a_conflation_key() {
        let conflation_key = |group: &str, key: &str, is_event| {
            let (group, key) = (group.try_into().unwrap(), key.try_into().unwrap());
            ConflationKey::new(&group, &key, is_event)
        };
        let one = conflation_key("map", "courier_7", false);
        assert_eq!(one, conflation_key("map", "courier_7", false));
        for other in [
            conflation_key("map", "courier_8", false),
            conflation_key("map2", "courier_7", false),
            conflation_key("map", "courier_7", true),
        ] {
            assert_ne!(one, other);
        }
    }
}
