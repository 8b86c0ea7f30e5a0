//! [`ConnectionSettings`]: the limits of a connection.

use std::sync::Arc;

use crate::budget::Budget;
use crate::config::Config;
use crate::sampler::LogSampler;

/// The limits of each connection of a route, the node's budget, and the sampler of the lines that
/// these connections log. Shared by all of them.
#[derive(Debug)]
pub(crate) struct ConnectionSettings {
    config: Config,
    budget: Arc<Budget>,
    log: LogSampler,
}

impl ConnectionSettings {
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

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// For the lines that clients of this route can cause.
    pub(crate) fn log(&self) -> &LogSampler {
        &self.log
    }

    /// With an unlimited budget.
    #[cfg(test)]
    pub(crate) fn of(config: Config) -> Arc<Self> {
        Self::new(config, Budget::new(usize::MAX))
    }
}
