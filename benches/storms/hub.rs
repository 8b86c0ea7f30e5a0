//! `examples/hub`, which is put to the test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::common::build;
use crate::common::machine::Cores;
use crate::common::server::Server;
use crate::options::Options;

pub(crate) struct Hub {
    path: PathBuf,
    cores: Cores,
}

/// How many connections ended, by code and cause, as `hub` counts them.
pub(crate) type Ends = BTreeMap<String, usize>;

impl Hub {
    /// Builds it with these features, or takes one that was built before.
    pub(crate) fn get(options: &Options, features: &str, cores: Cores) -> Result<Self, String> {
        let path = match &options.hub {
            Some(path) => path.clone(),
            None => build::hub(features)?,
        };
        Ok(Self { path, cores })
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Result<Server, String> {
        self.start_under(Command::new(&self.path), arguments)
    }

    /// Starts it on the cores of both the server and the load.
    pub(crate) fn start_spread(&self, arguments: &[&str]) -> Result<Server, String> {
        let Cores { server, load } = self.cores;
        let mut tool = Command::new("taskset");
        tool.args(["--cpu-list", &format!("{server},{load}")]);
        self.start_through(tool, arguments)
    }

    /// Starts it by way of a program whose last argument is the one to run.
    pub(crate) fn start_through(
        &self,
        mut tool: Command,
        arguments: &[&str],
    ) -> Result<Server, String> {
        tool.arg(&self.path);
        self.start_under(tool, arguments)
    }

    fn start_under(&self, mut command: Command, arguments: &[&str]) -> Result<Server, String> {
        command.args(arguments);
        Server::start(command, &self.path.with_extension("log"), &self.cores)
    }
}

pub(crate) fn ends(text: &str) -> Result<Ends, String> {
    serde_json::from_str(text).map_err(|error| format!("{text:?} are no counts of hub: {error}"))
}

/// Waits until nothing runs, then what is resident.
pub(crate) fn resident_at_rest(server: &Server) -> Result<u64, String> {
    server.cpu_at_rest().map_err(|error| error.to_string())?;
    server.resident().map_err(|error| error.to_string())
}

/// Output of the server that is read while a scenario waits for a line of it.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
