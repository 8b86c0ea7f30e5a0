//! The argument that every peer has, as `hub` does: `--listen ADDR`, the last one.

use std::io;

/// # Errors
///
/// When the arguments are anything else than `--listen ADDR`.
pub fn address() -> io::Result<String> {
    let (address, more) = arguments()?;
    if more.is_empty() {
        return Ok(address);
    }
    Err(io::Error::other(format!("unknown arguments: {more:?}")))
}

/// The address, and the arguments before it.
///
/// # Errors
///
/// When the last two arguments are not `--listen ADDR`.
pub fn arguments() -> io::Result<(String, Vec<String>)> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [more @ .., flag, address] if flag == "--listen" => Ok((address.clone(), more.to_vec())),
        other => Err(io::Error::other(format!(
            "the last arguments are --listen ADDR, not {other:?}"
        ))),
    }
}
