//! [`Terms`]: what a connection is granted.

use std::sync::Arc;

use crate::config::Config;

use super::budget::Budget;

/// The limits of each connection of a route, and the node's budget. Shared by all of them.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(super) config: Config,
    pub(super) budget: Arc<Budget>,
}

impl Terms {
    pub(crate) fn new(config: Config, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { config, budget })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Without a budget.
    #[cfg(test)]
    pub(crate) fn of(config: Config) -> Arc<Self> {
        Self::new(config, Budget::new(usize::MAX))
    }
}
