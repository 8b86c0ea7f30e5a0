//! A WebSocket client for tests: it sends and reads what a test says, bytes if need be, and answers
//! nothing by itself.
//!
//! A test target takes it with `mod client;`, or with a `#[path]` from a folder of its own, and may
//! give [`Client`] further methods.

#![allow(dead_code, unused_imports, reason = "each test target uses some of it")]

mod client;
mod frame;
mod narrow;

pub(crate) use client::{Client, PATIENCE, request};
pub(crate) use frame::{
    BINARY, CLOSE, CONTINUATION, FIN, Frame, MASK, PING, PONG, RSV1, TEXT, close_payload, fragment,
    frame, header, masked,
};
pub(crate) use narrow::{KERNEL, serve};
