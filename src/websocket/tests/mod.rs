//! The codec against RFC 6455 and against tungstenite.

mod basics;
mod cases;
mod differences;
mod encoding;
mod oracle;
mod properties;
mod reference;
mod wire;
