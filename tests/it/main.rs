//! The integration tests: one program, so that they are linked once.
//!
//! A new test goes into the folder of its topic: `http` (handshake, limits, plain HTTP), `protocol`
//! (frames on the wire), `routing`, `session` (against a model), `lifecycle` (hooks and ends, one
//! by one), `layer` (groups in one process), `backends` (Redis, NATS, Django). A fault that was
//! fixed gets a test in `regressions`. Code that tests share is in `support`. A test that needs a
//! server is `#[ignore = "needs redis"]` and runs in the section `servers` of `tests/run-all.sh`.
//! Tests run side by side in this process: keep subscribers and recorders to the thread, paths and
//! ports to the test. A test that changes the process gets a program of its own in `tests/`, whose
//! opening lines say why, as in `panic_location.rs`. `tests/watchdog.py` ends a test that hangs.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

mod backends;
mod http;
mod layer;
mod lifecycle;
#[cfg(feature = "metrics")]
mod metrics;
mod protocol;
mod regressions;
mod routing;
mod session;
mod support;
