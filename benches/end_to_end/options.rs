//! The arguments.

use std::time::Duration;

use crate::rows;
use crate::rows::Row;

pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) only: String,
    pub(crate) sizes: bool,
    pub(crate) strace: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: 0,
            quick: false,
            only: String::new(),
            sizes: false,
            strace: false,
        };
        while let Some(flag) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{flag} needs a value"))
            };
            match flag.as_str() {
                // cargo's own.
                "--bench" => {}
                "--rounds" => {
                    let rounds = value()?;
                    options.rounds = rounds
                        .parse()
                        .map_err(|_| format!("--rounds {rounds}: not a number"))?;
                }
                "--quick" => options.quick = true,
                "--only" => options.only = value()?,
                "--sizes" => options.sizes = true,
                "--strace" => options.strace = true,
                _ => {
                    return Err(format!(
                        "unknown flag {flag}; known are --rounds N, --quick, --only TEXT, --sizes and --strace"
                    ));
                }
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.quick { 1 } else { 5 };
        }
        Ok(options)
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = if self.sizes {
            rows::sizes()
        } else {
            rows::works()
        };
        rows.retain(|row| row.name.contains(&self.only));
        rows
    }

    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_millis(if self.quick { 50 } else { 300 })
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_millis(if self.quick { 200 } else { 1500 })
    }
}
