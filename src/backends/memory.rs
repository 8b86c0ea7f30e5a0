//! [`Memory`]: the backend of a single process.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use async_trait::async_trait;

use crate::error::Error;
use crate::layer::Backend;
use crate::layer::ChannelLayer;
use crate::layer::Envelope;
use crate::layer::Guarantees;
use crate::layer::Published;
use crate::layer::Receivers;
use crate::layer::Sink;
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
#[derive(Clone, Debug, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The nodes, in the order in which they started; they stay for as long as this backend.
    nodes: RwLock<Arc<[Sink]>>,
    /// Held while an envelope goes to several nodes, so that all see one order.
    order: tokio::sync::Mutex<()>,
}

impl Memory {
    /// A backend with no node yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
        self.add(sink);
        Ok(())
    }

    async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        let nodes = self
            .shared
            .nodes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
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
        Ok(())
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
