//! msgpack: read as Python's `packb` writes it, and written byte for byte as it does.

use super::output::{Container, MAX_DEPTH, MAX_EVENT, Number, Output, Unreadable};

/// Reads one value.
pub(super) fn read(bytes: &[u8], out: &mut impl Output) -> Result<(), Unreadable> {
    let mut reader = Reader { rest: bytes };
    reader.value(out, 0)?;
    if reader.rest.is_empty() {
        return Ok(());
    }
    Err(Unreadable::TRAILING)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, out: &mut impl Output, depth: usize) -> Result<(), Unreadable> {
        let [marker] = self.array()?;
        match marker {
            0x00..=0x7f => out.number(Number::Unsigned(marker.into())),
            0x80..=0x8f => self.map(out, usize::from(marker & 0x0f), depth + 1),
            0x90..=0x9f => self.sequence(out, usize::from(marker & 0x0f), depth + 1),
            0xa0..=0xbf => out.text(self.text(usize::from(marker & 0x1f))?),
            0xc0 => out.null(),
            0xc1 => Err(Unreadable::MALFORMED_MSGPACK),
            0xc2 | 0xc3 => out.boolean(marker == 0xc3),
            0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                out.bytes(self.take(length)?)
            }
            0xc7..=0xc9 | 0xd4..=0xd8 => Err(Unreadable::EXTENSION),
            0xca => out.number(Number::Float(f32::from_be_bytes(self.array()?).into())),
            0xcb => out.number(Number::Float(f64::from_be_bytes(self.array()?))),
            0xcc..=0xcf => out.number(Number::Unsigned(self.unsigned(marker - 0xcc)?)),
            0xd0..=0xd3 => out.number(self.signed(marker - 0xd0)?),
            0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                out.text(self.text(length)?)
            }
            0xdc | 0xdd => {
                let length = self.length(marker - 0xdb)?;
                self.sequence(out, length, depth + 1)
            }
            0xde | 0xdf => {
                let length = self.length(marker - 0xdd)?;
                self.map(out, length, depth + 1)
            }
            0xe0..=0xff => out.number(negative(i8::from_be_bytes([marker]).into())),
        }
    }

    /// A map that claims four billion entries ends with its bytes.
    fn map(
        &mut self,
        out: &mut impl Output,
        entries: usize,
        depth: usize,
    ) -> Result<(), Unreadable> {
        check(depth)?;
        out.begin(Container::Map)?;
        for _ in 0..entries {
            let [marker] = self.array()?;
            let length = match marker {
                0xa0..=0xbf => usize::from(marker & 0x1f),
                0xd9..=0xdb => self.length(marker - 0xd9)?,
                _ => return Err(Unreadable::KEY),
            };
            out.key(self.text(length)?)?;
            self.value(out, depth)?;
        }
        out.end(Container::Map)
    }

    fn sequence(
        &mut self,
        out: &mut impl Output,
        entries: usize,
        depth: usize,
    ) -> Result<(), Unreadable> {
        check(depth)?;
        out.begin(Container::Array)?;
        for _ in 0..entries {
            self.value(out, depth)?;
        }
        out.end(Container::Array)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, Unreadable> {
        str::from_utf8(self.take(length)?).map_err(|_| Unreadable::NOT_UTF8)
    }

    /// A length of one, two or four bytes.
    fn length(&mut self, width: u8) -> Result<usize, Unreadable> {
        let length = self.unsigned(width)?;
        usize::try_from(length).map_err(|_| Unreadable::CUT_OFF)
    }

    /// Of one, two, four or eight bytes.
    fn unsigned(&mut self, width: u8) -> Result<u64, Unreadable> {
        Ok(match width {
            0 => u8::from_be_bytes(self.array()?).into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            2 => u32::from_be_bytes(self.array()?).into(),
            _ => u64::from_be_bytes(self.array()?),
        })
    }

    fn signed(&mut self, width: u8) -> Result<Number<'a>, Unreadable> {
        Ok(negative(match width {
            0 => i8::from_be_bytes(self.array()?).into(),
            1 => i16::from_be_bytes(self.array()?).into(),
            2 => i32::from_be_bytes(self.array()?).into(),
            _ => i64::from_be_bytes(self.array()?),
        }))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Unreadable::CUT_OFF)?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Unreadable::CUT_OFF)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn check(depth: usize) -> Result<(), Unreadable> {
    if depth > MAX_DEPTH {
        return Err(Unreadable::DEEP);
    }
    Ok(())
}

/// Others than Python write small positive numbers as signed ones, too.
fn negative(value: i64) -> Number<'static> {
    match u64::try_from(value) {
        Ok(value) => Number::Unsigned(value),
        Err(_) => Number::Negative(value),
    }
}

/// Writes integers and lengths in their least width, and floats in eight bytes.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// The arrays and maps that are not ended: where each begins, and how many entries it has.
    open: Vec<(usize, u32)>,
}

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// An entry more in what is open, if that is an array: in a map the keys are counted.
    fn entry(&mut self) {
        if let Some((begin, entries)) = self.open.last_mut()
            && self.bytes[*begin] == ARRAY
        {
            *entries += 1;
        }
    }

    fn put_text(&mut self, text: &str) -> Result<(), Unreadable> {
        put_text(&mut self.bytes, text);
        self.check()
    }

    fn negative(&mut self, value: i64) {
        let bytes = value.to_be_bytes();
        let (marker, width) = match value {
            -32.. => return self.bytes.push(bytes[7]),
            -0x80..-32 => (0xd0, 1),
            -0x8000..-0x80 => (0xd1, 2),
            -0x8000_0000..-0x8000 => (0xd2, 4),
            _ => (0xd3, 8),
        };
        self.bytes.push(marker);
        self.bytes.extend_from_slice(&bytes[8 - width..]);
    }

    fn check(&self) -> Result<(), Unreadable> {
        if self.bytes.len() > MAX_EVENT {
            return Err(Unreadable::LARGE);
        }
        Ok(())
    }
}

impl Output for Writer {
    fn null(&mut self) -> Result<(), Unreadable> {
        self.entry();
        self.bytes.push(0xc0);
        self.check()
    }

    fn boolean(&mut self, value: bool) -> Result<(), Unreadable> {
        self.entry();
        self.bytes.push(0xc2 | u8::from(value));
        self.check()
    }

    fn number(&mut self, value: Number<'_>) -> Result<(), Unreadable> {
        self.entry();
        match value {
            Number::Unsigned(value @ 0..=0x7f) => self.bytes.push(value.to_be_bytes()[7]),
            Number::Unsigned(value) => put_unsigned(&mut self.bytes, 0xcc, value),
            Number::Negative(value) => self.negative(value),
            Number::Float(value) => {
                self.bytes.push(0xcb);
                self.bytes.extend_from_slice(&value.to_be_bytes());
            }
            Number::Big(_) => return Err(Unreadable::BIG),
        }
        self.check()
    }

    fn text(&mut self, value: &str) -> Result<(), Unreadable> {
        self.entry();
        self.put_text(value)
    }

    fn bytes(&mut self, value: &[u8]) -> Result<(), Unreadable> {
        self.entry();
        put_unsigned(&mut self.bytes, 0xc4, value.len() as u64);
        self.bytes.extend_from_slice(value);
        self.check()
    }

    fn begin(&mut self, container: Container) -> Result<(), Unreadable> {
        self.entry();
        self.open.push((self.bytes.len(), 0));
        self.bytes.push(match container {
            Container::Array => ARRAY,
            Container::Map => MAP,
        });
        self.check()
    }

    fn key(&mut self, key: &str) -> Result<(), Unreadable> {
        if let Some((_, entries)) = self.open.last_mut() {
            *entries += 1;
        }
        self.put_text(key)
    }

    fn end(&mut self, container: Container) -> Result<(), Unreadable> {
        let Some((begin, entries)) = self.open.pop() else {
            return Ok(());
        };
        let header = header(container, entries);
        self.bytes.splice(begin..=begin, header);
        self.check()
    }
}

pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(short @ 0..=31) => bytes.push(0xa0 | short),
        _ => put_unsigned(bytes, 0xd9, text.len() as u64),
    }
    bytes.extend_from_slice(text.as_bytes());
}

/// A marker, of three or four in a row, and the number in its least width.
fn put_unsigned(bytes: &mut Vec<u8>, marker: u8, value: u64) {
    let (step, width) = match value {
        0..=0xff => (0, 1),
        0x100..=0xffff => (1, 2),
        0x1_0000..=0xffff_ffff => (2, 4),
        _ => (3, 8),
    };
    bytes.push(marker + step);
    bytes.extend_from_slice(&value.to_be_bytes()[8 - width..]);
}

/// The beginning of an array or map of this many entries.
pub(super) fn header(container: Container, entries: u32) -> Vec<u8> {
    let (short, long) = match container {
        Container::Array => (ARRAY, 0xdc),
        Container::Map => (MAP, 0xde),
    };
    let [_, _, high, low] = entries.to_be_bytes();
    match entries {
        0..=15 => vec![short | low],
        16..=0xffff => vec![long, high, low],
        _ => [&[long + 1], &entries.to_be_bytes()[..]].concat(),
    }
}

/// The entries of the map that begins here, and where the first of them stands.
pub(super) fn map_header(bytes: &[u8]) -> Option<(u32, usize)> {
    Some(match bytes {
        [marker @ 0x80..=0x8f, ..] => (u32::from(marker & 0x0f), 1),
        [0xde, rest @ ..] => (u16::from_be_bytes(*rest.first_chunk()?).into(), 3),
        [0xdf, rest @ ..] => (u32::from_be_bytes(*rest.first_chunk()?), 5),
        _ => return None,
    })
}

/// Markers of short ones; of one that is open the marker tells which it is.
const ARRAY: u8 = 0x90;
const MAP: u8 = 0x80;
