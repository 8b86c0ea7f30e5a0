//! [`Single`]: all nodes over one Redis server, or over the master that Sentinels name.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::layer::{Envelope, Published, Sink};
use crate::name::GroupName;

use super::commands::failed;
use super::find::Find;
use super::link::{Link, LinkOptions, Listener, Probe};
use super::topics::Topics;

/// Every topic is at one server, so its order is every node's.
#[derive(Debug)]
pub(super) struct Single {
    link: Link,
    topics: Arc<Topics>,
}

impl Single {
    pub(super) async fn start(
        find: Find,
        mut options: LinkOptions,
        topics: Topics,
        sink: Sink,
    ) -> Result<Self, Error> {
        options.topics = vec![topics.node.clone(), topics.probe.clone()];
        options.probe = Probe::Publish(topics.probe.clone());
        let topics = Arc::new(topics);
        let arrivals = Arrivals {
            topics: topics.clone(),
            sink,
        };
        let link = Link::connect(find, options, Arc::new(arrivals)).await?;
        Ok(Self { link, topics })
    }

    pub(super) async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        // It ends here, and not when the answer is there: most likely on the thread that made it.
        let write = move |bytes: &mut Vec<u8>| self.topics.write(&envelope, bytes);
        let published = self.link.publish_with("PUBLISH", write).await?;
        let receivers = published.map_err(|error| failed("PUBLISH", &error))?;
        Ok(Published::new(receivers))
    }

    pub(super) async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        let topics = self.topics.of_groups(groups);
        let subscribed = self.link.commands()?.subscribe(&topics).await;
        subscribed.map_err(|error| failed("SUBSCRIBE", &error))
    }

    pub(super) async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        let topics = self.topics.of_groups(groups);
        let unsubscribed = self.link.commands()?.unsubscribe(&topics).await;
        unsubscribed.map_err(|error| failed("UNSUBSCRIBE", &error))
    }
}

struct Arrivals {
    topics: Arc<Topics>,
    sink: Sink,
}

impl Listener for Arrivals {
    fn message(&self, topic: &str, payload: Bytes) {
        self.topics.deliver(topic, payload, &self.sink);
    }

    fn down(&self, reason: &str) {
        self.sink.down(reason);
    }

    fn up(&self) {
        self.sink.up();
    }
}
