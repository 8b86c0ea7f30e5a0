//! An [`Envelope`] as bytes: the form in which strait's own backends carry it.
//!
//! One byte of version and kind, one of flags; then, where the flags say so, the channel that is
//! left out and the key, each behind one byte of length; then the payload as it is. The address is
//! the backend's topic and not in it.

use bytes::{BufMut, Bytes};

use crate::error::Error;
use crate::event::is_event;
use crate::message::Message;
use crate::name::{ChannelName, Key};

use super::envelope::{Address, Envelope, Payload};

impl Envelope {
    /// The payload and its options as bytes, for a backend without a format of its own: the
    /// payload, 2 bytes, and 1 byte and the name for each option. [`decode`](Self::decode) is the
    /// way back.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        self.encode_to(&mut bytes);
        bytes.into()
    }

    /// The length of what [`encode`](Self::encode) makes.
    pub(crate) fn encoded_len(&self) -> usize {
        let names = self.names().into_iter().flatten();
        2 + names.map(|name| 1 + name.len()).sum::<usize>() + self.kind_and_bytes().1.len()
    }

    /// Whether [`decode`](Self::decode) takes it: asked before it is published, since receivers
    /// could only skip it.
    ///
    /// # Errors
    ///
    /// [`Error::is_too_large`].
    #[cfg(any(feature = "nats", feature = "redis"))]
    pub(crate) fn check_len(&self) -> Result<(), Error> {
        match self.encoded_len() {
            ..=LARGEST => Ok(()),
            bytes => Err(Error::too_large(
                bytes,
                format!("{LARGEST} bytes are allowed"),
            )),
        }
    }

    /// As [`encode`](Self::encode), into a buffer of the backend's.
    pub(crate) fn encode_to(&self, bytes: &mut impl BufMut) {
        let (kind, payload) = self.kind_and_bytes();
        let [except, latest] = self.names();
        bytes.put_u8(VERSION | kind);
        let flag = |flag, option: Option<&str>| if option.is_some() { flag } else { 0 };
        bytes.put_u8(flag(EXCEPT, except) | flag(LATEST, latest));
        for name in [except, latest].into_iter().flatten() {
            // Names and keys are shorter than 100 bytes.
            bytes.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
            bytes.put_slice(name.as_bytes());
        }
        bytes.put_slice(payload);
    }

    fn kind_and_bytes(&self) -> (u8, &[u8]) {
        match &self.payload {
            Payload::Event(json) => (EVENT, json),
            Payload::Message(Message::Text(text)) => (TEXT, text.as_bytes()),
            Payload::Message(Message::Binary(bytes)) => (BINARY, bytes),
        }
    }

    fn names(&self) -> [Option<&str>; 2] {
        let except = self.except.as_ref().map(ChannelName::as_str);
        [except, self.latest.as_ref().map(Key::as_str)]
    }

    /// Decodes bytes that [`encode`](Self::encode) has made, for this address. The payload shares
    /// the bytes.
    ///
    /// # Errors
    ///
    /// For anything else: another version, names that are none, text that is not UTF-8, an event
    /// that is not a JSON object with a `"type"`; and for more than 16 MiB.
    pub fn decode(to: Address, bytes: &Bytes) -> Result<Self, Error> {
        if bytes.len() > LARGEST {
            let what = format!("{} bytes, {LARGEST} are allowed", bytes.len());
            return Err(Error::envelope(what));
        }
        let (&[head, flags], mut rest) = bytes
            .split_first_chunk::<2>()
            .ok_or_else(|| Error::envelope("it is cut off"))?;
        if head & !KINDS != VERSION || flags & !(EXCEPT | LATEST) != 0 {
            return Err(Error::envelope("it is not of this version of strait"));
        }
        let except = name(flags & EXCEPT != 0, &mut rest)?;
        let latest = name(flags & LATEST != 0, &mut rest)?;
        let payload = payload(head & KINDS, bytes.slice_ref(rest))?;
        Ok(Self {
            to,
            payload,
            except: except.map(ChannelName::try_from).transpose()?,
            latest: latest.map(Key::try_from).transpose()?,
        })
    }
}

fn payload(kind: u8, bytes: Bytes) -> Result<Payload, Error> {
    match kind {
        EVENT if is_event(&bytes) => Ok(Payload::Event(bytes)),
        TEXT => match String::from_utf8(bytes.into()) {
            Ok(text) => Ok(Payload::Message(Message::Text(text))),
            Err(_) => Err(Error::envelope("its text is not UTF-8")),
        },
        BINARY => Ok(Payload::Message(Message::Binary(bytes))),
        _ => Err(Error::envelope("it holds no event")),
    }
}

/// The next name, if there is one.
fn name<'a>(is_there: bool, rest: &mut &'a [u8]) -> Result<Option<&'a str>, Error> {
    if !is_there {
        return Ok(None);
    }
    let cut_off = || Error::envelope("it is cut off");
    let (&len, behind) = rest.split_first().ok_or_else(cut_off)?;
    let (name, behind) = behind.split_at_checked(len.into()).ok_or_else(cut_off)?;
    *rest = behind;
    let name = str::from_utf8(name).map_err(|_| Error::envelope("a name is not UTF-8"))?;
    Ok(Some(name))
}

const VERSION: u8 = 0x10;
/// The bits of the first byte that say what the payload is.
const KINDS: u8 = 0x0f;
const EVENT: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

const EXCEPT: u8 = 1;
const LATEST: u8 = 2;

/// More than any message that is published on purpose.
const LARGEST: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::proptest;

    use crate::layer::{Address, Envelope, Payload};
    use crate::message::Message;
    use crate::name::{ChannelName, GroupName, Key};

    #[cfg(feature = "redis")]
    use super::LARGEST;

    fn room() -> Address {
        Address::Group(GroupName::try_from("room").unwrap())
    }

    #[test]
    fn decode_inverts_encode() {
        let event = || Payload::Event(Bytes::from_static(br#"{"type":"order.updated","id":5}"#));
        let excepts = [
            None,
            Some(ChannelName::try_from("specific.7!ff-9").unwrap()),
        ];
        let keys = [None, Some(Key::try_from("courier 7/é").unwrap())];
        let payloads = [
            event(),
            Payload::Message(Message::from("é")),
            Payload::Message(Message::from(vec![0_u8, 255])),
            Payload::Message(Message::from("")),
        ];
        for except in &excepts {
            for latest in &keys {
                for payload in &payloads {
                    let mut envelope = Envelope::new(room(), payload.clone());
                    envelope.except.clone_from(except);
                    envelope.latest.clone_from(latest);
                    let encoded = envelope.encode();
                    assert_eq!(encoded.len(), envelope.encoded_len());
                    let decoded = Envelope::decode(room(), &encoded).unwrap();
                    assert_eq!(decoded, envelope);
                }
            }
        }
        let bytes = Envelope::new(room(), event()).encode();
        assert_eq!(bytes.len(), 31 + 2, "its length");
    }

    #[test]
    fn malformed_envelopes_are_refused() {
        let rows: &[(&[u8], &str)] = &[
            (b"", "cut off"),
            (b"\x10", "cut off"),
            (b"\x20\x00{\"type\":\"x\"}", "version"),
            (b"\x10\x04{\"type\":\"x\"}", "version"),
            (b"{\"type\":\"x\"}", "version"),
            (b"\x13\x00x", "no event"),
            (b"\x10\x00{}", "no event"),
            (b"\x10\x00{\"type\":7}", "no event"),
            (b"\x10\x00{\"type\":\"x\"", "no event"),
            (b"\x10\x00{\"type\":\"\xff\"}", "no event"),
            (b"\x10\x00[1]", "no event"),
            (b"\x11\x00\xff", "not UTF-8"),
            (b"\x11\x01", "cut off"),
            (b"\x11\x01\x05abcd", "cut off"),
            (b"\x11\x01\x02\xff\xffx", "not UTF-8"),
            (b"\x11\x01\x02a\x20x", "channel name"),
            (b"\x11\x02\x00x", "key"),
        ];
        for (bytes, why) in rows {
            let error = Envelope::decode(room(), &Bytes::copy_from_slice(bytes)).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(why),
                "{:?}: {text}",
                Bytes::copy_from_slice(bytes)
            );
        }
        #[cfg(feature = "redis")]
        for (bytes, is_taken) in [(LARGEST - 2, true), (LARGEST - 1, false)] {
            let message = Payload::Message(Message::from(vec![0_u8; bytes]));
            let envelope = Envelope::new(room(), message);
            assert_eq!(envelope.check_len().is_ok(), is_taken);
            assert_eq!(
                Envelope::decode(room(), &envelope.encode()).is_ok(),
                is_taken
            );
        }
        let large = vec![0x12; 16 * 1024 * 1024 + 1];
        let error = Envelope::decode(room(), &large.into()).unwrap_err();
        assert!(error.to_string().contains("16777217 bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(kind in 0..4_u8, flags in 0..4_u8, rest in vec(any::<u8>(), 0..300)) {
            let bytes = [vec![0x10 | kind, flags], rest].concat();
            if let Ok(envelope) = Envelope::decode(room(), &bytes.clone().into()) {
                assert_eq!(envelope.encode(), bytes);
            }
        }
    }
}
