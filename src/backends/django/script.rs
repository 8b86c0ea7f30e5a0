//! [`Script`]: Lua that Redis runs, named by its hash once it knows it.

use std::fmt::Write;

use redis::Cmd;
use sha1::Digest;
use sha1::Sha1;

/// The text is sent where the server has not seen it yet, else its hash.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    hash: String,
}

impl Script {
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let mut hash = String::with_capacity(40);
        for byte in Sha1::digest(text.as_bytes()) {
            let _ = write!(hash, "{byte:02x}");
        }
        Self { text, hash }
    }

    pub(super) fn by_hash<A: AsRef<[u8]>>(&self, keys: &[String], args: &[A]) -> Cmd {
        with(redis::cmd("EVALSHA").arg(&self.hash), keys, args)
    }

    /// For a server that has not seen it.
    pub(super) fn by_text<A: AsRef<[u8]>>(&self, keys: &[String], args: &[A]) -> Cmd {
        with(redis::cmd("EVAL").arg(&self.text), keys, args)
    }
}

fn with<A: AsRef<[u8]>>(command: &mut Cmd, keys: &[String], args: &[A]) -> Cmd {
    command.arg(keys.len()).arg(keys);
    for arg in args {
        command.arg(arg.as_ref());
    }
    command.take()
}
