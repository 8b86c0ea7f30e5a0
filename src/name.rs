//! Names of groups and channels, and keys of values within a group: checked once, when they are
//! made.

use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

use sha1::{Digest, Sha1};

use crate::error::Error;

/// The name of a group: 1 to 99 ASCII letters, digits, `-`, `_` or `.`, as in Channels.
///
/// Strings convert into it wherever a group is named; use [`GroupName::encode`] for text of any
/// other kind. A clone shares the text.
///
/// ```
/// use strait::layer::GroupName;
///
/// assert!(GroupName::try_from("order_5").is_ok());
/// assert!(GroupName::try_from("général").unwrap_err().is_invalid_name());
/// assert_eq!(GroupName::encode("room_lobby").as_str(), "room_lobby");
/// assert_eq!(GroupName::encode("room_général").as_str(), "room_g.c3.a9n.c3.a9ral");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// Makes a name of any text. Different texts have different names.
    ///
    /// A text of 1 to 99 ASCII letters, digits, `-` and `_` is its own name. Every other byte, `.`
    /// included, becomes `.` and two hexadecimal digits; the empty text becomes `.`. A name that
    /// would have 100 characters or more is cut to 57, followed by `..` and the SHA-1 of the text.
    ///
    /// If a user chooses the text, **always put it behind a prefix of your own**, as in
    /// `GroupName::encode(&format!("room_{room}"))`. Otherwise the user can name any of your
    /// groups: the text `staff` is the group `staff`.
    #[must_use]
    pub fn encode(text: &str) -> Self {
        let mut name = String::with_capacity(text.len());
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {
                    name.push(char::from(byte))
                }
                _ => push_hex(&mut name, ".", &[byte]),
            }
        }
        if name.is_empty() {
            name.push('.');
        }
        if name.len() >= LIMIT {
            // A complete name never contains `..`, since two digits follow each escape.
            name.truncate(57);
            push_hex(&mut name, "..", &Sha1::digest(text.as_bytes()));
        }
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(name: &str) -> Result<(), Error> {
        check("group name", name, name)
    }
}

/// The name of one channel: a consumer's, or one made by
/// [`ChannelLayer::new_channel`](crate::ChannelLayer::new_channel).
///
/// It is `specific.<node>!<number>-<secret>`, all parts hexadecimal: the node that made it, the
/// channel there, and 64 bits that cannot be guessed from other names. So who knows one channel's
/// name can send to that one alone. As in Channels the alphabet is a group's and one `!`, and there
/// are fewer than 100 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    pub(crate) fn specific(address: ChannelAddress) -> Self {
        let ChannelAddress { node, id, secret } = address;
        Self(format!("specific.{node:032x}!{id:x}-{secret:016x}").into())
    }

    /// The parts of the name, if strait made it.
    pub(crate) fn address(&self) -> Option<ChannelAddress> {
        let (node, local) = self.0.strip_prefix("specific.")?.split_once('!')?;
        let (id, secret) = local.split_once('-')?;
        Some(ChannelAddress {
            node: u128::from_str_radix(node, 16).ok()?,
            id: u64::from_str_radix(id, 16).ok()?,
            secret: u64::from_str_radix(secret, 16).ok()?,
        })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(name: &str) -> Result<(), Error> {
        match name.split_once('!') {
            Some((process, local)) => {
                check("channel name", name, process)?;
                check("channel name", name, local)
            }
            None => check("channel name", name, name),
        }
    }
}

/// The parts of a channel's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChannelAddress {
    pub(crate) node: u128,
    pub(crate) id: u64,
    pub(crate) secret: u64,
}

/// The key of [`latest`](crate::layer::Publish::latest): 1 to 99 bytes of any text.
///
/// Strings convert into it. It names a value within a group, so it is never part of a backend's
/// topic, and has no alphabet. A clone shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(key: &str) -> Result<(), Error> {
        let why = match key.len() {
            0 => "it is empty".to_owned(),
            1..LIMIT => return Ok(()),
            len => format!("{len} bytes, fewer than {LIMIT} are allowed"),
        };
        Err(Error::invalid_name("latest()'s key", key, why))
    }
}

macro_rules! name {
    ($($type:ident),*) => {$(
        impl TryFrom<&str> for $type {
            type Error = Error;

            fn try_from(name: &str) -> Result<Self, Error> {
                Self::parse(name)?;
                Ok(Self(name.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(name: String) -> Result<Self, Error> {
                Self::try_from(name.as_str())
            }
        }

        impl TryFrom<&String> for $type {
            type Error = Error;

            fn try_from(name: &String) -> Result<Self, Error> {
                Self::try_from(name.as_str())
            }
        }

        impl From<&Self> for $type {
            fn from(name: &Self) -> Self {
                name.clone()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}

name!(GroupName, ChannelName, Key);

/// `part` is what must be made of the alphabet; the limit holds for the whole.
fn check(what: &'static str, name: &str, part: &str) -> Result<(), Error> {
    if part.is_empty() {
        return Err(Error::invalid_name(
            what,
            name,
            "it, or a part of it, is empty",
        ));
    }
    if name.len() >= LIMIT {
        let why = format!("{} characters, fewer than {LIMIT} are allowed", name.len());
        return Err(Error::invalid_name(what, name, why));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let Some(offender) = part.chars().find(|&c| !allowed(c)) else {
        return Ok(());
    };
    let why = format!(
        "{offender:?} is not among ASCII letters, digits, '-', '_', '.'; GroupName::encode makes any text fit"
    );
    Err(Error::invalid_name(what, name, why))
}

fn push_hex(text: &mut String, before: &str, bytes: &[u8]) {
    text.push_str(before);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
}

/// Names and keys are shorter than this, as names are in Channels.
const LIMIT: usize = 100;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use std::collections::BTreeSet;

    use proptest::prelude::any;
    use proptest::test_runner::TestRunner;
    use proptest::{prop_assert, prop_assert_eq, prop_oneof};

    use super::{ChannelAddress, ChannelName, GroupName, Key};

    #[test]
    fn keys_are_short_and_of_any_text() {
        let (longest, too_long) = ("a".repeat(99), "é".repeat(50));
        let rows = [
            ("courier 7/é", None),
            (&longest, None),
            (&too_long, Some("100 bytes, fewer than 100")),
            ("", Some("empty")),
        ];
        for (key, wrong) in rows {
            match (Key::try_from(key), wrong) {
                (Ok(made), None) => assert_eq!(made.as_str(), key),
                (Err(error), Some(why)) => {
                    assert!(error.is_invalid_name(), "{key:?}");
                    assert!(error.to_string().contains(why), "{key:?}: {error}");
                }
                (made, _) => panic!("{key:?}: {made:?}"),
            }
        }
    }

    #[test]
    fn group_names_follow_the_rules_of_channels() {
        let (longest, too_long) = ("a".repeat(99), "a".repeat(100));
        let rows = [
            ("order_5", true),
            ("A-Z.a_z.09", true),
            (&longest, true),
            (&too_long, false),
            ("", false),
            ("a b", false),
            ("a!b", false),
            ("a/b", false),
            ("é", false),
            ("٤", false),
            ("a\n", false),
        ];
        for (name, accepted) in rows {
            assert_eq!(GroupName::try_from(name).is_ok(), accepted, "{name:?}");
        }
        let text = GroupName::try_from("chat room").unwrap_err().to_string();
        assert!(text.contains("chat room") && text.contains("' '"), "{text}");
        let text = GroupName::try_from(too_long).unwrap_err().to_string();
        assert!(text.contains("fewer than 100"), "{text}");
    }

    #[test]
    fn channel_names_may_have_one_local_part() {
        for (name, accepted) in [
            ("worker-1", true),
            ("specific.ab!cd", true),
            ("a!b!c", false),
            ("!b", false),
            ("a!", false),
            ("a!é", false),
        ] {
            assert_eq!(ChannelName::try_from(name).is_ok(), accepted, "{name:?}");
        }
        let largest = ChannelAddress {
            node: u128::MAX,
            id: u64::MAX,
            secret: u64::MAX,
        };
        let small = ChannelAddress {
            node: 7,
            id: 255,
            secret: 0,
        };
        for address in [largest, small] {
            let name = ChannelName::specific(address);
            let read = ChannelName::try_from(name.as_str()).unwrap();
            assert_eq!(read.address(), Some(address));
        }
    }

    #[test]
    fn encode_keeps_letters_digits_hyphens_and_underscores() {
        let result = TestRunner::default().run(&"[A-Za-z0-9_-]{1,99}", |text| {
            let name = GroupName::encode(&text);
            prop_assert_eq!(name.as_str(), text);
            Ok(())
        });
        result.unwrap();
    }

    #[test]
    fn encode_gives_each_text_a_valid_name_of_its_own() {
        let text = || prop_oneof!["[a.2_é]{0,6}", "[a.é]{30,110}", any::<String>()];
        let result = TestRunner::default().run(&(text(), text()), |(one, other)| {
            // A name is a text, too: it must not be its own name if another text has it.
            let own = [&one, &other].map(|text| GroupName::encode(text).to_string());
            let texts = BTreeSet::from([one, other, own[0].clone(), own[1].clone()]);
            let names: BTreeSet<_> = texts.iter().map(|text| GroupName::encode(text)).collect();
            prop_assert_eq!(names.len(), texts.len(), "{:?} of {:?}", names, texts);
            for name in names {
                prop_assert!(GroupName::try_from(name.as_str()).is_ok(), "{}", name);
            }
            Ok(())
        });
        result.unwrap();
    }

    #[test]
    fn encode_escapes_its_own_output_again() {
        let long = "é".repeat(60);
        let longer = format!("{long}!");
        let plain = "a".repeat(100);
        // The names of long texts are themselves texts, and short ones.
        let (of_long, of_plain) = (GroupName::encode(&long), GroupName::encode(&plain));
        let texts = [
            "",
            ".",
            "..",
            ".2e",
            "a_b",
            "a.5fb",
            "a b",
            "a.20b",
            &long,
            &longer,
            &plain,
            of_long.as_str(),
            of_plain.as_str(),
        ];
        let names: BTreeSet<_> = texts.iter().map(|text| GroupName::encode(text)).collect();
        assert_eq!(names.len(), texts.len(), "{names:?}");
        for name in names {
            assert!(GroupName::try_from(name.as_str()).is_ok(), "{name}");
        }
    }
}
