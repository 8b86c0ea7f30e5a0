//! Text that arrives in pieces, checked as it comes.

use std::str;

/// A string under construction whose pieces may end inside a character.
///
/// Every byte is checked once. A byte that can no longer become valid fails at once, a character
/// cut off at the end of a piece waits in the tail.
#[derive(Debug, Default)]
pub(super) struct Utf8Text {
    text: String,
    /// The first bytes of the character that was cut off, at most three between two calls.
    tail: [u8; 4],
    tail_len: usize,
}

/// The bytes pushed so far are not the beginning of any UTF-8 text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8Text {
    /// Bytes pushed so far, the tail among them.
    pub(super) const fn len(&self) -> usize {
        self.text.len() + self.tail_len
    }

    /// Bytes that fit without growing.
    pub(super) const fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Makes room for `additional` bytes beyond [`Self::len`].
    pub(super) fn reserve_exact(&mut self, additional: usize) {
        self.text.reserve_exact(self.tail_len + additional);
    }

    /// Appends one piece, of any length, cut anywhere.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), NotUtf8> {
        let piece = self.complete_tail(piece)?;
        let (whole, cut) = piece.split_at(piece.len() - cut_off(piece));
        let whole = str::from_utf8(whole).map_err(|_| NotUtf8)?;
        self.text.push_str(whole);
        self.keep_tail(cut)
    }

    /// The text, if it does not end inside a character, without room for more.
    pub(super) fn finish(mut self) -> Result<String, NotUtf8> {
        if self.tail_len > 0 {
            return Err(NotUtf8);
        }
        self.text.shrink_to_fit();
        Ok(self.text)
    }

    /// Completes the waiting character from the front of `piece` and returns what follows it.
    fn complete_tail<'a>(&mut self, mut piece: &'a [u8]) -> Result<&'a [u8], NotUtf8> {
        while self.tail_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                break;
            };
            piece = rest;
            self.tail[self.tail_len] = byte;
            self.tail_len += 1;
            match str::from_utf8(&self.tail[..self.tail_len]) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.tail_len = 0;
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(NotUtf8),
            }
        }
        Ok(piece)
    }

    /// Keeps a character that was cut off, if it can still become one. With an empty `cut` a tail
    /// that waits already goes on waiting.
    fn keep_tail(&mut self, cut: &[u8]) -> Result<(), NotUtf8> {
        let Err(error) = str::from_utf8(cut) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(NotUtf8);
        }
        self.tail[..cut.len()].copy_from_slice(cut);
        self.tail_len = cut.len();
        Ok(())
    }
}

/// How many bytes at the end of `piece`, 0 to 3, belong to a character that it does not complete.
fn cut_off(piece: &[u8]) -> usize {
    for (back, &byte) in (1..=3).zip(piece.iter().rev()) {
        let width = match byte {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        return if width > back { back } else { 0 };
    }
    0
}
