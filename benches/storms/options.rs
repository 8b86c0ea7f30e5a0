//! The arguments.

use std::path::PathBuf;

pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) only: String,
    /// How long each figure of `attacks` is measured.
    pub(crate) seconds: u64,
    /// Which of the `attacks`: those whose name contains it.
    pub(crate) attack: String,
    /// Whether the server of `attacks` has the core of the load, too.
    pub(crate) spread: bool,
    /// The program that is measured instead of the tree's own hub.
    pub(crate) hub: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: 0,
            quick: false,
            only: String::new(),
            seconds: 0,
            attack: String::new(),
            spread: false,
            hub: None,
        };
        while let Some(flag) = arguments.next() {
            let value =
                |value: Option<String>| value.ok_or_else(|| format!("{flag} needs a value"));
            match flag.as_str() {
                // cargo's own.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--spread" => options.spread = true,
                "--only" => options.only = value(arguments.next())?,
                "--rounds" => {
                    let rounds = value(arguments.next())?.parse();
                    options.rounds = rounds.map_err(|_| "--rounds: not a number")?;
                }
                "--seconds" => {
                    let seconds = value(arguments.next())?.parse();
                    options.seconds = seconds.map_err(|_| "--seconds: not a number")?;
                }
                "--attack" => options.attack = value(arguments.next())?,
                "--hub" => options.hub = Some(value(arguments.next())?.into()),
                _ => {
                    return Err(format!("unknown flag {flag}; known are {KNOWN}"));
                }
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.quick { 1 } else { 5 };
        }
        if options.seconds == 0 {
            options.seconds = if options.quick { 1 } else { 3 };
        }
        Ok(options)
    }

    /// The full number, or the one to see that everything works.
    pub(crate) const fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

const KNOWN: &str =
    "--rounds N, --seconds N, --attack TEXT, --spread, --quick, --only TEXT and --hub PATH";
