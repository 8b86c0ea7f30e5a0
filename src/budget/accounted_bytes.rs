//! [`AccountedBytes`]: bytes that several queues hold, once in memory.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::Budget;

/// Bytes that know whether the budget counts them. A clone shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountedBytes {
    bytes: Bytes,
    /// The node's budget counts them once for all queues; otherwise each queue that holds them
    /// counts them.
    is_counted: bool,
}

impl AccountedBytes {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            is_counted: false,
        }
    }

    /// The same bytes, counted once from now until the last clone is dropped.
    pub(crate) fn counted(&self, budget: &Arc<Budget>) -> Self {
        if self.is_counted {
            return self.clone();
        }
        Self {
            bytes: budget.count_shared(self.bytes.clone()),
            is_counted: true,
        }
    }

    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        Self {
            bytes: self.bytes.slice(range),
            is_counted: self.is_counted,
        }
    }
}
