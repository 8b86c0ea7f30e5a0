//! Groups and channels: the members of each group, and the way of a message to them.
//!
//! A node (a process) keeps its own registry of groups and local members. A [`Backend`] only
//! carries envelopes between nodes; [`ChannelLayer`] is the face of both.

mod backend;
mod channel;
mod channel_layer;
#[cfg(feature = "deflate")]
mod compressed_batches;
mod envelope;
mod envelope_codec;
mod fanout;
mod glob;
mod group;
mod members;
mod pending;
mod publish;
mod registry;
mod resubscription;
mod run_queue;
mod sink;
#[cfg(any(test, fuzzing))]
pub(crate) mod tests;

pub use backend::{Backend, Guarantees, Published, Receivers};
pub use channel::Channel;
pub use channel_layer::ChannelLayer;
pub use envelope::{Address, Envelope, Payload};
pub use publish::Publish;
pub use sink::Sink;

pub use crate::config::Overflow;
pub use crate::name::{ChannelName, GroupName, Key};

#[cfg(feature = "redis")]
pub(crate) use glob::Glob;
pub(crate) use group::Group;
