//! [`Terms`]: what a connection is granted.

use std::sync::Arc;

use crate::config::Config;
use crate::sampler::LogSampler;

use super::budget::Budget;

/// The limits of each connection of a route, the node's budget, and the sampler of what these
/// connections log. Shared by all of them.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(super) config: Config,
    pub(super) budget: Arc<Budget>,
    log: LogSampler,
}

impl Terms {
    pub(crate) fn new(config: Config, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            config,
            budget,
            log: LogSampler::new(),
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// For the lines that the clients of this route can cause.
    pub(crate) fn log(&self) -> &LogSampler {
        &self.log
    }

    /// Without a budget.
    #[cfg(test)]
    pub(crate) fn of(config: Config) -> Arc<Self> {
        Self::new(config, Budget::new(usize::MAX))
    }
}
