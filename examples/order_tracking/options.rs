//! The flags of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::{fs, io};

use thiserror::Error;

use crate::secret::Secret;

/// The options of the command line, with defaults.
#[derive(Debug)]
pub(crate) struct Options {
    /// The address to listen on. Default: `127.0.0.1:8000`.
    pub(crate) listen: String,
    /// The database file. Default: a file beside the program.
    pub(crate) database: Option<PathBuf>,
    /// The backend that carries events between processes: a URL for
    /// [`ChannelLayer::from_url`](strait::ChannelLayer::from_url). Default: `memory:`.
    pub(crate) backend: String,
    /// How many simulated orders are under way at a time. Default: 5.
    pub(crate) simulate: u16,
    /// Opens the board; given by itself, or in a file, which a list of processes does not show.
    /// Default: a random one at every start.
    pub(crate) staff_token: Option<Secret>,
}

impl Options {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut options = Self::default();
        let mut arguments = arguments
            .into_iter()
            .map(|argument| argument.into_string().map_err(Usage::NoText));
        while let Some(argument) = arguments.next().transpose()? {
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            if matches!(flag, "-h" | "--help") {
                return Err(Usage::Asked);
            }
            if !FLAGS.contains(&flag) {
                return Err(Usage::Unknown(argument));
            }
            let value = match value {
                Some(value) => Some(value),
                None => arguments.next().transpose()?,
            };
            let value = value.filter(|value| !value.is_empty());
            options.set(flag, value.ok_or_else(|| Usage::NoValue(flag.to_owned()))?)?;
        }
        Ok(options)
    }

    fn set(&mut self, flag: &str, value: String) -> Result<(), Usage> {
        match flag {
            "--listen" => self.listen = value,
            "--database" => self.database = Some(value.into()),
            "--backend" => self.backend = value,
            "--simulate" => self.simulate = value.parse().map_err(|_| Usage::NoNumber(value))?,
            _ if self.staff_token.is_some() => return Err(Usage::TwoTokens),
            "--staff-token" => self.staff_token = Some(staff_token(flag, &value)?),
            _ => self.staff_token = Some(staff_token_in(&value)?),
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8000".to_owned(),
            database: None,
            backend: "memory:".to_owned(),
            simulate: 5,
            staff_token: None,
        }
    }
}

/// Why there are no options to start with.
#[derive(Debug, Error)]
pub(crate) enum Usage {
    #[error("help was asked for")]
    Asked,
    #[error("there is no flag {0:?}")]
    Unknown(String),
    #[error("{0:?} is not valid Unicode")]
    NoText(OsString),
    #[error("{0} needs a value")]
    NoValue(String),
    #[error("{0}: a staff token is one or more of A-Z a-z 0-9 - . _ ~")]
    NoToken(String),
    #[error("more than one staff token: use --staff-token or --staff-token-file, once")]
    TwoTokens,
    #[error("cannot read the staff token from {0}: {1}")]
    NoFile(String, #[source] io::Error),
    #[error("--simulate takes a number from 0 to 65535, not {0:?}")]
    NoNumber(String),
}

fn staff_token_in(file: &str) -> Result<Secret, Usage> {
    let content =
        fs::read_to_string(file).map_err(|error| Usage::NoFile(file.to_owned(), error))?;
    staff_token(file, content.trim())
}

/// The token stands in an address and in a header.
fn staff_token(source: &str, token: &str) -> Result<Secret, Usage> {
    match !token.is_empty() && token.chars().all(is_unreserved) {
        true => Ok(Secret::new(token.to_owned())),
        false => Err(Usage::NoToken(source.to_owned())),
    }
}

/// Characters that a URL contains unescaped.
fn is_unreserved(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '-' | '.' | '_' | '~')
}

pub(crate) const USAGE: &str = "\
usage: order_tracking [--listen 127.0.0.1:8000] [--database FILE] [--backend URL] [--simulate N]
                      [--staff-token T | --staff-token-file FILE]";

const FLAGS: [&str; 6] = [
    "--listen",
    "--database",
    "--backend",
    "--simulate",
    "--staff-token",
    "--staff-token-file",
];

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;
    use std::{env, fs, io, process};

    use crate::secret::Secret;

    use super::{Options, Usage};

    #[test]
    fn flags_are_read_in_both_spellings() -> Result<(), Usage> {
        let options = parse(
            "--listen [::1]:0 --database o.db --simulate=0 --staff-token=a-b --backend redis://h/?a=b",
        )?;
        assert_eq!((options.listen.as_str(), options.simulate), ("[::1]:0", 0));
        assert_eq!(options.database, Some(PathBuf::from("o.db")));
        assert_eq!(options.backend, "redis://h/?a=b");
        assert_eq!(
            options.staff_token.as_ref().map(Secret::reveal),
            Some("a-b")
        );
        Ok(())
    }

    #[test]
    fn a_bad_line_is_refused_with_a_sentence_that_names_the_flag() {
        let table = [
            (
                "--simulate many",
                "--simulate takes a number from 0 to 65535, not \"many\"",
            ),
            ("--simulate", "--simulate needs a value"),
            ("--staff-token=", "--staff-token needs a value"),
            (
                "--staff-token a&b",
                "--staff-token: a staff token is one or more of A-Z a-z 0-9 - . _ ~",
            ),
            ("--staff-token a --staff-token-file b", TWO_TOKENS),
            ("--staff-token a --staff-token=b", TWO_TOKENS),
            ("--port 80", "there is no flag \"--port\""),
            ("8000", "there is no flag \"8000\""),
        ];
        for (line, sentence) in table {
            let refusal = parse(line).err().map(|usage| usage.to_string());
            assert_eq!(refusal.as_deref(), Some(sentence), "{line:?}");
        }
    }

    #[test]
    fn the_staff_token_is_read_from_a_file() -> io::Result<()> {
        let path = env::temp_dir().join(format!("strait-staff-token-{}", process::id()));
        let line = format!("--staff-token-file {}", path.display());
        for (content, token) in [
            (" a-b\n", Ok("a-b")),
            ("\n", Err("a staff token is one or more of")),
            ("a b", Err("a staff token is one or more of")),
        ] {
            fs::write(&path, content)?;
            let parsed = parse(&line).map(|options| options.staff_token);
            let read = parsed.map_err(|usage| usage.to_string());
            match token {
                Ok(token) => {
                    let read = read.ok().flatten();
                    assert_eq!(read.as_ref().map(Secret::reveal), Some(token));
                }
                Err(why) => {
                    let sentence = read.err().unwrap_or_default();
                    assert!(sentence.starts_with(&*path.to_string_lossy()), "{sentence}");
                    assert!(sentence.contains(why), "{sentence}");
                }
            }
        }
        fs::write(&path, "a-b")?;
        let both = parse(&format!("{line} --staff-token a")).err();
        assert_eq!(
            both.map(|usage| usage.to_string()).as_deref(),
            Some(TWO_TOKENS)
        );

        fs::remove_file(&path)?;
        let missing = parse(&line).err();
        assert!(matches!(missing, Some(Usage::NoFile(..))), "{missing:?}");
        Ok(())
    }

    fn parse(line: &str) -> Result<Options, Usage> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    const TWO_TOKENS: &str =
        "more than one staff token: use --staff-token or --staff-token-file, once";
}
