//! The one argument of a peer, as `hub` has it: `--listen ADDR`.

use std::io;

/// # Errors
///
/// When the arguments are anything else than `--listen ADDR`.
pub fn address() -> io::Result<String> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag, address] if flag == "--listen" => Ok(address.clone()),
        other => Err(io::Error::other(format!(
            "the arguments are --listen ADDR, not {other:?}"
        ))),
    }
}
