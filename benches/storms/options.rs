//! The arguments.

pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) only: String,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: 0,
            quick: false,
            only: String::new(),
        };
        while let Some(flag) = arguments.next() {
            let value =
                |value: Option<String>| value.ok_or_else(|| format!("{flag} needs a value"));
            match flag.as_str() {
                // cargo's own.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--only" => options.only = value(arguments.next())?,
                "--rounds" => {
                    let rounds = value(arguments.next())?.parse();
                    options.rounds = rounds.map_err(|_| "--rounds: not a number")?;
                }
                _ => {
                    return Err(format!(
                        "unknown flag {flag}; known are --rounds N, --quick and --only TEXT"
                    ));
                }
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.quick { 1 } else { 5 };
        }
        Ok(options)
    }

    /// The full number, or the one to see that everything works.
    pub(crate) const fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}
