//! [`Memberships`]: the groups that one consumer is in.

use std::ops::Deref;
use std::slice;
use std::sync::Arc;

use crate::layer::Group;
use crate::name::GroupName;

/// The groups, in no order. Most consumers are in one, which needs no allocation.
#[derive(Clone, Default)]
pub(super) enum Memberships {
    #[default]
    None,
    One(Arc<Group>),
    Many(Vec<Arc<Group>>),
}

impl Memberships {
    /// The place of the group with this name.
    pub(super) fn position(&self, name: &GroupName) -> Option<usize> {
        self.iter().position(|group| group.name() == name)
    }

    pub(super) fn push(&mut self, group: Arc<Group>) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(group),
            Self::One(first) => Self::Many(vec![first, group]),
            Self::Many(mut groups) => {
                groups.push(group);
                Self::Many(groups)
            }
        };
    }

    /// Takes out the group that stands there.
    pub(super) fn remove(&mut self, place: usize) -> Arc<Group> {
        let (removed, rest) = match std::mem::take(self) {
            Self::Many(mut groups) => (groups.swap_remove(place), Self::Many(groups)),
            Self::One(group) => (group, Self::None),
            Self::None => unreachable!("a group stands at {place}"),
        };
        *self = rest;
        removed
    }
}

impl Deref for Memberships {
    type Target = [Arc<Group>];

    fn deref(&self) -> &[Arc<Group>] {
        match self {
            Self::None => &[],
            Self::One(group) => slice::from_ref(group),
            Self::Many(groups) => groups,
        }
    }
}
