//! [`Memory`]: the backend of a single process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use crate::error::Error;
use crate::layer::{Backend, ChannelLayer, Envelope, Guarantees, Published, Receivers, Sink};
use crate::name::GroupName;

/// Carries envelopes within one process. The default.
///
/// Layers made over clones of one `Memory` act as several nodes, which is of use in tests.
///
/// ```
/// use strait::ChannelLayer;
/// use strait::backends::Memory;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let memory = Memory::new();
/// let here = ChannelLayer::new(memory.clone()).await?;
/// let there = ChannelLayer::new(memory).await?;
/// # Ok::<(), strait::Error>(()) }).unwrap();
/// ```
///
/// # Outages
///
/// Nothing can be lost in one process. To see what a program does when a networked backend is away,
/// tests make it so:
///
/// ```
/// use strait::ChannelLayer;
/// use strait::backends::Memory;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// let memory = Memory::new();
/// let layer = ChannelLayer::new(memory.clone()).await?;
/// let mut member = layer.new_channel();
/// member.group_add("room").await?;
///
/// memory.interrupt();
/// let event = strait::Event::new("chat.message");
/// let error = layer.group_send("room", &event).await.unwrap_err();
/// assert!(error.is_unavailable());
///
/// memory.restore(); // now each consumer in a group has its hook `gap` run, within 5 s
/// let error = member.recv::<strait::Event>().await.unwrap_err();
/// assert!(error.is_gap());
/// layer.group_send("room", &event).await?;
/// assert_eq!(member.recv::<strait::Event>().await?, event);
/// # Ok::<(), strait::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The nodes, in the order in which they started; they stay for as long as this backend.
    nodes: RwLock<Arc<[Sink]>>,
    is_interrupted: AtomicBool,
    /// Held while an envelope goes to several nodes, so that all see one order.
    order: tokio::sync::Mutex<()>,
}

impl Memory {
    /// A backend with no node yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on publishing and joining fail on all nodes, until [`restore`](Self::restore).
    pub fn interrupt(&self) {
        self.shared.is_interrupted.store(true, Ordering::Release);
        let nodes = self.nodes();
        nodes
            .iter()
            .for_each(|node| node.down("it was interrupted"));
    }

    /// The end of [`interrupt`](Self::interrupt): the nodes join their groups again, and tell all
    /// members that they may have missed something. To be called in a runtime.
    pub fn restore(&self) {
        if self.shared.is_interrupted.swap(false, Ordering::AcqRel) {
            let nodes = self.nodes();
            nodes.iter().for_each(Sink::up);
        }
    }

    fn check(&self) -> Result<(), Error> {
        match self.shared.is_interrupted.load(Ordering::Acquire) {
            true => Err(Error::unavailable("it was interrupted")),
            false => Ok(()),
        }
    }

    fn nodes(&self) -> Arc<[Sink]> {
        let nodes = self.shared.nodes.read();
        nodes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, sink: Sink) {
        let mut nodes = self
            .shared
            .nodes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *nodes = nodes.iter().cloned().chain([sink]).collect();
    }
}

#[async_trait]
impl Backend for Memory {
    fn guarantees(&self) -> Guarantees {
        Guarantees::new().ordered().receivers(Receivers::Members)
    }

    async fn start(&self, sink: Sink) -> Result<(), Error> {
        self.check()?;
        self.add(sink);
        Ok(())
    }

    async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        self.check()?;
        let nodes = self.nodes();
        if let [only] = &*nodes {
            return only.deliver(&envelope).await.map(Published::new);
        }
        let _order = self.shared.order.lock().await;
        let mut receivers = 0;
        for node in &*nodes {
            receivers += node.deliver(&envelope).await?;
        }
        Ok(Published::new(receivers))
    }

    async fn subscribe(&self, _groups: &[GroupName]) -> Result<(), Error> {
        self.check()
    }

    async fn unsubscribe(&self, _groups: &[GroupName]) -> Result<(), Error> {
        Ok(())
    }
}

impl ChannelLayer {
    /// A layer for a single process: no server needed, nothing can be unavailable.
    #[must_use]
    pub fn memory() -> Self {
        let memory = Memory::new();
        let (layer, sink) = Self::unstarted(Arc::new(memory.clone()));
        memory.add(sink);
        layer
    }
}
