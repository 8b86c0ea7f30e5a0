//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455, 9.1).

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// One element of the header: an extension that is offered, with its parameters in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension<'a> {
    pub(super) name: &'a str,
    pub(super) params: Vec<Param<'a>>,
}

/// A parameter; its value is unquoted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Param<'a> {
    pub(super) name: &'a str,
    pub(super) value: Option<Cow<'a, str>>,
}

/// The header is none by its grammar: the handshake must fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The place in its line, in bytes.
    at: usize,
    what: &'static str,
}

/// Reads all lines of the header, which are one list.
///
/// Spaces may stand between any two parts and elements may be empty, as in every list of HTTP (RFC
/// 7230, 7); a header with nothing but empty elements is as good as absent.
pub(super) fn parse_all<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Extension<'a>>, Malformed> {
    let mut extensions = Vec::new();
    for line in lines {
        parse(line, &mut extensions)?;
    }
    Ok(extensions)
}

fn parse<'a>(line: &'a [u8], extensions: &mut Vec<Extension<'a>>) -> Result<(), Malformed> {
    let mut reader = Reader::of(line);
    loop {
        while reader.take(b',') {}
        if reader.is_at_end() {
            return Ok(());
        }
        extensions.push(reader.extension()?);
        if !reader.is_at_end() && !reader.take(b',') {
            return Err(reader.malformed("neither ',' nor ';' behind an extension"));
        }
    }
}

struct Reader<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn of(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    fn extension(&mut self) -> Result<Extension<'a>, Malformed> {
        let name = self.token("no name of an extension")?;
        let mut params = Vec::new();
        while self.take(b';') {
            params.push(self.param()?);
        }
        Ok(Extension { name, params })
    }

    fn param(&mut self) -> Result<Param<'a>, Malformed> {
        let name = self.token("no name of a parameter")?;
        let value = if self.take(b'=') {
            Some(self.value()?)
        } else {
            None
        };
        Ok(Param { name, value })
    }

    fn value(&mut self) -> Result<Cow<'a, str>, Malformed> {
        if self.take(b'"') {
            return self.quoted().map(Cow::Owned);
        }
        self.token("no value behind '='").map(Cow::Borrowed)
    }

    /// The text within quotes, which must be a token as well once it is unescaped.
    fn quoted(&mut self) -> Result<String, Malformed> {
        let mut value = String::new();
        loop {
            let byte = match self.next() {
                Some(b'"') => break,
                Some(b'\\') => self.next(),
                byte => byte,
            };
            match byte {
                None => return Err(self.malformed("quotes that are not closed")),
                Some(byte) if is_token(byte) => value.push(char::from(byte)),
                Some(_) => return Err(self.malformed("a quoted value that is no token")),
            }
        }
        if value.is_empty() {
            return Err(self.malformed("an empty quoted value"));
        }
        Ok(value)
    }

    fn token(&mut self, missing: &'static str) -> Result<&'a str, Malformed> {
        self.skip_spaces();
        let rest = &self.line[self.at..];
        let len = rest.iter().take_while(|&&byte| is_token(byte)).count();
        // A token is ASCII.
        let token = str::from_utf8(&rest[..len]).unwrap_or_default();
        if token.is_empty() {
            return Err(self.malformed(missing));
        }
        self.at += len;
        Ok(token)
    }

    /// Takes this byte, and spaces before it, if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_spaces();
        let is_next = self.line.get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.line.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_spaces();
        self.at == self.line.len()
    }

    fn skip_spaces(&mut self) {
        let rest = &self.line[self.at..];
        let spaces = rest
            .iter()
            .take_while(|&&byte| matches!(byte, b' ' | b'\t'));
        self.at += spaces.count();
    }

    fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }
}

/// Of RFC 7230, 3.2.6.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, what } = self;
        write!(f, "Sec-WebSocket-Extensions, byte {at}: {what}")
    }
}

impl Error for Malformed {}
