//! `channels_redis.pubsub`: a topic for each group and for each channel.

mod node;
mod pubsub;

pub use pubsub::ChannelsRedisPubSub;
