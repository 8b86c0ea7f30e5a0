//! A WebSocket client for tests: it sends and reads what a test says, bytes if need be, and answers nothing by itself.
//!
//! A test target takes it with `mod client;`, or with a `#[path]` from a folder of its own, and may give [`Client`] further methods.

#![allow(dead_code, unused_imports, reason = "each test target uses some of it")]
#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

mod client;
mod frame;
mod narrow;

pub(crate) use client::Client;
pub(crate) use client::PATIENCE;
pub(crate) use client::request;
pub(crate) use frame::BINARY;
pub(crate) use frame::CLOSE;
pub(crate) use frame::CONTINUATION;
pub(crate) use frame::FIN;
pub(crate) use frame::Frame;
pub(crate) use frame::MASK;
pub(crate) use frame::PING;
pub(crate) use frame::PONG;
pub(crate) use frame::RSV1;
pub(crate) use frame::TEXT;
pub(crate) use frame::close_payload;
pub(crate) use frame::fragment;
pub(crate) use frame::frame;
pub(crate) use frame::header;
pub(crate) use frame::masked;
pub(crate) use narrow::KERNEL;
pub(crate) use narrow::serve;
