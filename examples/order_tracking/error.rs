//! Errors and refusals of the store.

use std::io;

use thiserror::Error;

use crate::order::{Illegal, Invalid};

/// An answer of the store that is no order. The first three are the asker's doing and are sentences
/// for them.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error("There is no order {0}.")]
    NoSuchOrder(u64),
    #[error("This token does not open order {0}.")]
    WrongToken(u64),
    #[error(transparent)]
    Illegal(#[from] Illegal),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("something else has happened to order {0} meanwhile")]
    Overtaken(u64),
    #[error("enough simulated orders are under way")]
    Enough,
    #[error("the database was made by a newer program (version {0})")]
    WrongVersion(u32),
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error("items do not fit a column: {0}")]
    Items(#[from] serde_json::Error),
    #[error("the operating system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the store's thread did not start: {0}")]
    Thread(#[from] io::Error),
    #[error("the store has stopped")]
    Stopped,
}
