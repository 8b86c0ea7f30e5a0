//! [`Script`]: Lua that Redis runs, named by its hash once it knows it.

use std::fmt::Write;

use redis::{Cmd, FromRedisValue, RedisResult};
use sha1::{Digest, Sha1};

use crate::backends::redis::Commands;

/// The text is sent if the server has not seen it yet, else its hash.
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

    /// Runs it, and returns what it returns.
    pub(super) async fn run<T: FromRedisValue, A: AsRef<[u8]>>(
        &self,
        commands: &mut Commands,
        keys: &[String],
        args: &[A],
    ) -> RedisResult<T> {
        let by_hash = with(redis::cmd("EVALSHA").arg(&self.hash), keys, args);
        match commands.query(&by_hash).await {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                let by_text = with(redis::cmd("EVAL").arg(&self.text), keys, args);
                commands.query(&by_text).await
            }
            result => result,
        }
    }
}

fn with<A: AsRef<[u8]>>(command: &mut Cmd, keys: &[String], args: &[A]) -> Cmd {
    command.arg(keys.len()).arg(keys);
    for arg in args {
        command.arg(arg.as_ref());
    }
    command.take()
}
