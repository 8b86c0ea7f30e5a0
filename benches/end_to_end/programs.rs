//! The programs that are measured.

use std::path::PathBuf;
use std::process::Command;

use crate::common::build;
use crate::common::machine::Cores;
use crate::common::server::Server;
use crate::rows::{Route, Row};

pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The runtime, less its number of workers.
    pub(crate) flavour: &'static str,
    path: PathBuf,
    arguments: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Writes together what came together.
    Floor,
    /// Writes each frame on its own.
    FloorApart,
    Hub,
    /// The same on a runtime without workers.
    HubCurrent,
    Axum,
    Other,
}

impl Program {
    /// Builds all of them as they are published: the release profile.
    pub(crate) fn build_all() -> Result<Vec<Self>, String> {
        let (hub, peers) = (build::hub("")?, build::peers()?);
        let program = |name, kind, flavour, path: PathBuf, arguments| Self {
            name,
            kind,
            flavour,
            path,
            arguments,
        };
        let floor = |name, kind, arguments| {
            let path = peers.join("floor");
            program(name, kind, "none", path, arguments)
        };
        let hub = |name, kind, flavour, arguments| {
            let path = hub.clone();
            program(name, kind, flavour, path, arguments)
        };
        let peer = |name, kind, file| {
            let path = peers.join(file);
            program(name, kind, "tokio, multi_thread", path, &[])
        };
        Ok(vec![
            floor("floor", Kind::Floor, &[]),
            floor("floor, frame by frame", Kind::FloorApart, &["--apart"]),
            hub(
                "hub",
                Kind::Hub,
                "tokio, multi_thread, event_interval 1024",
                &[],
            ),
            hub(
                "hub, current_thread",
                Kind::HubCurrent,
                "tokio, current_thread, event_interval 1024",
                &["--threads", "current"],
            ),
            peer("axum, tuned", Kind::Axum, "axum_hub"),
            peer("tokio-tungstenite", Kind::Other, "tungstenite_hub"),
            peer("fastwebsockets", Kind::Other, "fastwebsockets_hub"),
        ])
    }

    /// Whether it takes part in this row, one of the sizes or of the works.
    pub(crate) fn is_for(&self, row: &Row, sizes: bool) -> bool {
        match self.kind {
            Kind::Floor | Kind::Hub => true,
            // With one frame in flight, there is nothing to write together.
            Kind::FloorApart => row.in_flight() > 1,
            Kind::HubCurrent | Kind::Axum | Kind::Other => !sizes,
        }
    }

    pub(crate) const fn is_hub(&self) -> bool {
        matches!(self.kind, Kind::Hub | Kind::HubCurrent)
    }

    /// The path of a socket in this group.
    pub(crate) fn route(&self, route: Route, group: usize) -> String {
        match route {
            Route::Echo => "/echo".to_owned(),
            Route::Events if self.is_hub() => format!("/events/g{group}/"),
            Route::Relay if self.is_hub() => format!("/relay/g{group}/"),
            Route::Group | Route::Events | Route::Relay => format!("/group/g{group}/"),
        }
    }

    /// Starts it on its core and waits until it listens.
    pub(crate) fn start(&self, cores: &Cores) -> Result<Server, String> {
        let mut command = Command::new(&self.path);
        command.args(self.arguments);
        Server::start(command, &self.path.with_extension("log"), cores)
    }
}
