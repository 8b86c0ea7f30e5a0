//! JSON: read leniently as Python writes it, written strictly.

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::de::IgnoredAny;

use super::output::{Container, MAX_DEPTH, MAX_EVENT, Number, Output, Unreadable};

/// Reads one value.
///
/// Python's `json` writes NaN and the infinities as bare words, which no other reader takes. They
/// become `null`, as JavaScript and `serde_json` write them.
pub(super) fn read(text: &[u8], out: &mut impl Output) -> Result<(), Unreadable> {
    let text = str::from_utf8(text).map_err(|_| Unreadable::NOT_UTF8)?;
    let mut reader = Reader { text, at: 0 };
    reader.value(out, 0)?;
    match reader.peek() {
        None => Ok(()),
        Some(_) => Err(Unreadable::TRAILING),
    }
}

/// Only the structure is read here: strings with escapes, and whether a float is one, are left to
/// `serde_json`. The whole is not, since that would lose the order of the keys, integers beyond 64
/// bits, and Python's dialect.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, out: &mut impl Output, depth: usize) -> Result<(), Unreadable> {
        match self.peek().ok_or(Unreadable::CUT_OFF)? {
            b'{' => self.map(out, depth + 1),
            b'[' => self.array(out, depth + 1),
            b'"' => out.text(&self.string()?),
            b'-' if self.takes("-Infinity") => out.null(),
            b'-' | b'0'..=b'9' => out.number(self.number()?),
            _ if self.takes("null") || self.takes("NaN") || self.takes("Infinity") => out.null(),
            _ if self.takes("true") => out.boolean(true),
            _ if self.takes("false") => out.boolean(false),
            _ => Err(Unreadable::MALFORMED_JSON),
        }
    }

    fn map(&mut self, out: &mut impl Output, depth: usize) -> Result<(), Unreadable> {
        self.open(depth)?;
        out.begin(Container::Map)?;
        let mut has_more = !self.closes(b'}');
        while has_more {
            if self.peek() != Some(b'"') {
                return Err(self.malformed());
            }
            out.key(&self.string()?)?;
            if self.peek() != Some(b':') {
                return Err(self.malformed());
            }
            self.at += 1;
            self.value(out, depth)?;
            has_more = self.separates(b'}')?;
        }
        out.end(Container::Map)
    }

    fn array(&mut self, out: &mut impl Output, depth: usize) -> Result<(), Unreadable> {
        self.open(depth)?;
        out.begin(Container::Array)?;
        let mut has_more = !self.closes(b']');
        while has_more {
            self.value(out, depth)?;
            has_more = self.separates(b']')?;
        }
        out.end(Container::Array)
    }

    fn open(&mut self, depth: usize) -> Result<(), Unreadable> {
        if depth > MAX_DEPTH {
            return Err(Unreadable::DEEP);
        }
        self.at += 1;
        Ok(())
    }

    fn closes(&mut self, end: u8) -> bool {
        let closes = self.peek() == Some(end);
        self.at += usize::from(closes);
        closes
    }

    /// Whether another entry follows.
    fn separates(&mut self, end: u8) -> Result<bool, Unreadable> {
        if self.closes(end) {
            return Ok(false);
        }
        if self.peek() != Some(b',') {
            return Err(self.malformed());
        }
        self.at += 1;
        Ok(true)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Unreadable> {
        let rest = &self.text[self.at..];
        let mut bytes = rest.bytes().enumerate().skip(1);
        let mut is_plain = true;
        let end = loop {
            match bytes.next().ok_or(Unreadable::CUT_OFF)? {
                (end, b'"') => break end,
                (_, b'\\') => {
                    is_plain = false;
                    bytes.next();
                }
                (_, byte) => is_plain &= byte >= b' ',
            }
        };
        self.at += end + 1;
        if is_plain {
            return Ok(Cow::Borrowed(&rest[1..end]));
        }
        // The remaining faults: a control character, an unknown escape, half of a surrogate pair.
        let text: Result<String, _> = serde_json::from_str(&rest[..=end]);
        text.map(Cow::Owned).map_err(|_| Unreadable::SURROGATE)
    }

    fn number(&mut self) -> Result<Number<'a>, Unreadable> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let number = &rest[..end];
        self.at += end;
        if number.contains(['.', 'e', 'E']) {
            let checked: Result<IgnoredAny, _> = serde_json::from_str(number);
            checked.map_err(|_| Unreadable::MALFORMED_JSON)?;
            // Not `serde_json`'s value, which may differ in the last bit.
            let value = number.parse().map_err(|_| Unreadable::MALFORMED_JSON)?;
            return Ok(Number::Float(value));
        }
        let digits = number.strip_prefix('-').unwrap_or(number);
        let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty();
        if !is_integer || (digits.len() > 1 && digits.starts_with('0')) {
            return Err(Unreadable::MALFORMED_JSON);
        }
        Ok(match (number.parse(), number.parse()) {
            (Ok(value), _) => Number::Unsigned(value),
            (_, Ok(value @ ..0)) => Number::Negative(value),
            // `-0`: Python reads it as the integer.
            (_, Ok(_)) => Number::Unsigned(0),
            _ => Number::Big(number),
        })
    }

    fn takes(&mut self, word: &str) -> bool {
        let takes = self.text[self.at..].starts_with(word);
        self.at += if takes { word.len() } else { 0 };
        takes
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blanks = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.at += blanks.count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed(&self) -> Unreadable {
        if self.at == self.text.len() {
            return Unreadable::CUT_OFF;
        }
        Unreadable::MALFORMED_JSON
    }
}

/// Writes compact JSON. Bytes become text in base64, floats that are no number `null`.
#[derive(Debug, Default)]
pub(super) struct Writer {
    text: Vec<u8>,
}

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.text
    }

    /// Begins a value or a key.
    fn separate(&mut self) {
        // Text ends with a quote, so these are never text's.
        if !matches!(self.text.last(), None | Some(b'{' | b'[' | b':')) {
            self.text.push(b',');
        }
    }

    fn put(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), Unreadable> {
        self.separate();
        // Into memory, and of a type that always encodes.
        let _ = serde_json::to_writer(&mut self.text, value);
        self.check()
    }

    fn check(&self) -> Result<(), Unreadable> {
        if self.text.len() > MAX_EVENT {
            return Err(Unreadable::LARGE);
        }
        Ok(())
    }
}

impl Output for Writer {
    fn null(&mut self) -> Result<(), Unreadable> {
        self.put(&())
    }

    fn boolean(&mut self, value: bool) -> Result<(), Unreadable> {
        self.put(&value)
    }

    fn number(&mut self, value: Number<'_>) -> Result<(), Unreadable> {
        match value {
            Number::Unsigned(value) => self.put(&value),
            Number::Negative(value) => self.put(&value),
            Number::Float(value) => self.put(&value),
            Number::Big(digits) => {
                self.separate();
                self.text.extend_from_slice(digits.as_bytes());
                self.check()
            }
        }
    }

    fn text(&mut self, value: &str) -> Result<(), Unreadable> {
        self.put(value)
    }

    fn bytes(&mut self, value: &[u8]) -> Result<(), Unreadable> {
        self.put(&BASE64.encode(value))
    }

    fn begin(&mut self, container: Container) -> Result<(), Unreadable> {
        self.separate();
        self.text.push(match container {
            Container::Array => b'[',
            Container::Map => b'{',
        });
        self.check()
    }

    fn key(&mut self, key: &str) -> Result<(), Unreadable> {
        self.put(key)?;
        self.text.push(b':');
        Ok(())
    }

    fn end(&mut self, container: Container) -> Result<(), Unreadable> {
        self.text.push(match container {
            Container::Array => b']',
            Container::Map => b'}',
        });
        self.check()
    }
}
