//! The rules of names, and of patterns over them, for any text.

use crate::layer::{ChannelName, GroupName};

use crate::layer::glob::Glob;

/// Reads two texts, separated by a line break.
///
/// - A text is a name exactly if Channels' rules say so.
/// - Any text can be encoded, different texts have different names, and the text of a short one can
///   be read from it.
/// - A text of letters, digits, `-` and `_` is its own name.
/// - The first text as a pattern matches the second exactly if one way to expand the stars does.
///
/// # Panics
///
/// Panics if one of these rules is broken.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (one, other) = text.split_once('\n').unwrap_or((&text, ""));
    for text in [one, other] {
        assert_eq!(GroupName::try_from(text).is_ok(), is_name(text), "{text:?}");
        let parts: Vec<&str> = text.split('!').collect();
        let is_channel =
            parts.len() <= 2 && parts.iter().all(|part| is_name(part)) && text.len() < 100;
        let channel = ChannelName::try_from(text);
        assert_eq!(channel.is_ok(), is_channel, "{text:?}");
        if let Some(address) = channel.ok().and_then(|channel| channel.address()) {
            let made = ChannelName::specific(address);
            assert_eq!(made.address(), Some(address), "{text:?}");
        }
        check_encoding(text);
    }
    let (first, second) = (GroupName::encode(one), GroupName::encode(other));
    assert_eq!(first == second, one == other, "{one:?} and {other:?}");
    // The walk below takes time for each way to spread the stars.
    if one.len() <= 12 && other.len() <= 24 {
        let matches = Glob::new(one).matches(other);
        let expected = plainly_matches(one.as_bytes(), other.as_bytes());
        assert_eq!(matches, expected, "{one:?} over {other:?}");
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..100).contains(&text.len()) && text.bytes().all(allowed)
}

fn check_encoding(text: &str) {
    let name = GroupName::encode(text);
    assert!(is_name(name.as_str()), "{name}");
    if is_name(text) && !text.contains('.') {
        assert_eq!(name.as_str(), text);
    }
    if name.as_str().contains("..") {
        assert!(text.len() >= 34, "{text:?} was cut");
        return;
    }
    let mut decoded = Vec::new();
    let mut rest = name.as_str();
    while let Some(first) = rest.chars().next() {
        if first != '.' {
            decoded.push(first as u8);
            rest = &rest[1..];
            continue;
        }
        // Alone it stands for the empty text.
        let Some(hex) = rest.get(1..3) else {
            assert_eq!(text, "");
            return;
        };
        decoded.extend(u8::from_str_radix(hex, 16).ok());
        rest = &rest[3..];
    }
    assert_eq!(decoded, text.as_bytes(), "{name}");
}

fn plainly_matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, _) => name.is_empty(),
        (Some((b'*', others)), rest) => {
            plainly_matches(others, name)
                || rest.is_some_and(|(_, rest)| plainly_matches(pattern, rest))
        }
        (Some((b'?', others)), Some((_, rest))) => plainly_matches(others, rest),
        (Some((first, others)), Some((byte, rest))) => {
            first == byte && plainly_matches(others, rest)
        }
        (Some(_), None) => false,
    }
}
