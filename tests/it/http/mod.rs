//! HTTP around the WebSocket: the handshake, its limits, and what is served beside it.

mod handshake;
mod limits;
mod mounting;
mod plain_http;
