//! [`Line`]: one connection to an actor, for tests that are no sequence of acts.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use strait::close::Cause;
use strait::config::Config;
use strait::service::Sockets;
use strait::testing::Communicator;
use strait::{ChannelLayer, Router};

use super::act::Stage;
use super::actor::{Actor, Notes, RELAYED};
use super::client::TEXT;
use super::peer::Peer;

pub(crate) struct Line {
    pub(crate) notes: Notes,
    pub(crate) peer: Peer,
    pub(crate) layer: ChannelLayer,
    pub(crate) sockets: Sockets,
}

impl Line {
    /// A connection whose pipe takes this many bytes. The peer reads.
    pub(crate) async fn open(config: Config, pipe: usize) -> Self {
        let (notes, layer) = (Notes::default(), ChannelLayer::memory());
        let (service, sockets) = router(&notes, config, &layer).into_service();
        let mut client = Communicator::new(service, "/").pipe(pipe);
        client.connect().await.unwrap();
        let mut peer = Peer::default();
        peer.stream = Some(client.into_stream().unwrap());
        peer.reads = true;
        Self {
            notes,
            peer,
            layer,
            sockets,
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.peer.send(TEXT, text.as_bytes());
    }

    pub(crate) async fn broadcast(&self, text: String) {
        let sent = self.layer.group_broadcast(RELAYED, text).await;
        sent.unwrap();
    }

    /// Lets this many milliseconds pass, while the peer runs.
    pub(crate) async fn pass(&mut self, time: u64) {
        let _ = timeout(Duration::from_millis(time), self.peer.pump()).await;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.sockets.count() == 0
    }

    /// Waits until the session is over, in steps of a millisecond. How many.
    pub(crate) async fn over(&self) -> u64 {
        let start = Instant::now();
        while !self.is_over() {
            assert!(start.elapsed() < Duration::from_secs(600), "not over");
            sleep(Duration::from_millis(1)).await;
        }
        u64::try_from(start.elapsed().as_millis()).unwrap()
    }

    /// The end that `disconnect` was called with, if it ran. It runs once at most.
    pub(crate) fn closed(&self) -> Option<(u16, String, Cause)> {
        let notes = self.notes.lock();
        assert!(notes.farewells.len() <= 1, "{:?}", notes.farewells);
        let closed = notes.farewells.first()?;
        let reason = closed.reason().to_owned();
        Some((closed.code().as_u16(), reason, closed.cause()))
    }
}

/// A router of actors that return at once unless a message says otherwise.
pub(crate) fn router(notes: &Notes, config: Config, layer: &ChannelLayer) -> Router {
    let notes = notes.clone();
    let factory = move |_: &strait::Scope| {
        Ok(Actor {
            notes: notes.clone(),
            stage: Stage::Idle,
        })
    };
    Router::new()
        .path("", factory)
        .config(config)
        .channel_layer(layer.clone())
}
