//! [`Shared`]: bytes that several queues hold, once in memory.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::Budget;

/// A clone shares the bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    bytes: Bytes,
    /// The node's budget counts them once for all; else each queue that holds them does.
    is_counted: bool,
}

impl Shared {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            is_counted: false,
        }
    }

    pub(super) fn counted(&self, budget: &Arc<Budget>) -> Self {
        if self.is_counted {
            return self.clone();
        }
        Self {
            bytes: budget.share(self.bytes.clone()),
            is_counted: true,
        }
    }

    pub(super) fn is_counted(&self) -> bool {
        self.is_counted
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        Self {
            bytes: self.bytes.slice(range),
            is_counted: self.is_counted,
        }
    }
}
