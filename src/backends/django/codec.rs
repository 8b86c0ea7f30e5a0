//! [`Codec`]: an event as strait carries it, to and from the bytes that channels_redis puts into
//! Redis.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::error::Error;
use crate::layer::{Address, Envelope};

use super::fernet::Fernet;
use super::fields::{CHANNELS, EXCEPT, Fields, LATEST, Reserved};
use super::output::{Container, MAX_EVENT, Output, Unreadable};
use super::{json, msgpack};

/// How channels_redis writes an event: its setting `serializer_format`.
///
/// Either way a node carries events as JSON. A msgpack `bytes` value becomes text in base64, a
/// float that is no number (NaN, an infinity) `null`. From JSON to msgpack, integers beyond 64 bits
/// are an error, as they are in Python.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SerializerFormat {
    /// `"msgpack"`, the default of channels_redis.
    #[default]
    MsgPack,
    /// `"json"`.
    Json,
}

/// Both ways, with the settings of one layer.
#[derive(Clone, Debug)]
pub(super) struct Codec {
    pub(super) format: SerializerFormat,
    pub(super) fernet: Option<Fernet>,
    /// How many random bytes go before each entry, so that equal events are different members of a
    /// queue.
    pub(super) random_prefix: usize,
    /// Encrypted entries that are older are refused.
    pub(super) max_age: Option<Duration>,
}

/// An event in the layer's format: not encrypted, and without what travels beside it.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) kind: String,
    bytes: Vec<u8>,
}

/// The content that was read from an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// A JSON object with one `"type"`.
    pub(super) event: Bytes,
    pub(super) reserved: Reserved,
}

impl Codec {
    /// An event in the layer's format, to be [sealed](Self::seal) for each queue it goes to.
    pub(super) fn body(&self, event: &[u8]) -> Result<Body, Error> {
        let (kind, reserved, bytes) = match self.format {
            SerializerFormat::Json => through(event, json::read, json::Writer::finish),
            SerializerFormat::MsgPack => through(event, json::read, msgpack::Writer::finish),
        }
        .map_err(|Unreadable(why)| Error::not_carried(why))?;
        if reserved != Reserved::default() {
            let why =
                format!("{CHANNELS:?}, {EXCEPT:?} and {LATEST:?} are no names for its fields");
            return Err(Error::not_carried(why));
        }
        Ok(Body { kind, bytes })
    }

    /// The bytes of an entry.
    pub(super) fn seal(&self, body: &Body, reserved: &Reserved) -> Result<Vec<u8>, Error> {
        let mut bytes = body.bytes.clone();
        let names = &reserved.channels;
        if !names.is_empty() {
            self.add(&mut bytes, CHANNELS, Value::Names(names));
        }
        if let Some(except) = &reserved.except {
            self.add(&mut bytes, EXCEPT, Value::Text(except.as_str()));
        }
        if let Some(latest) = &reserved.latest {
            self.add(&mut bytes, LATEST, Value::Text(latest.as_str()));
        }
        if let Some(fernet) = &self.fernet {
            bytes = encrypt(fernet, &bytes)?;
        }
        if self.random_prefix == 0 {
            return Ok(bytes);
        }
        let mut entry = vec![0; self.random_prefix];
        fill(&mut entry)?;
        entry.append(&mut bytes);
        Ok(entry)
    }

    /// The content of an entry. It may be anybody's, so nothing in it is trusted.
    pub(super) fn open(&self, entry: &[u8]) -> Result<Entry, Unreadable> {
        if entry.len() > MAX_ENTRY {
            return Err(Unreadable::LARGE);
        }
        let entry = entry.get(self.random_prefix..).ok_or(Unreadable::CUT_OFF)?;
        let decrypted;
        let entry = match &self.fernet {
            Some(fernet) => {
                decrypted = fernet.decrypt(entry)?;
                if let Some(max_age) = self.max_age {
                    decrypted.check_age(now(), max_age)?;
                }
                &decrypted.plain[..]
            }
            None => entry,
        };
        let read = match self.format {
            SerializerFormat::Json => json::read,
            SerializerFormat::MsgPack => msgpack::read,
        };
        let (_, reserved, json) = through(entry, read, json::Writer::finish)?;
        let event = json.into();
        Ok(Entry { event, reserved })
    }

    /// Encodes what only strait's nodes read, for a topic of their own. With keys it is a token
    /// that holds the topic, too, so that a message that was overheard cannot be published to
    /// another topic.
    pub(super) fn wrap(&self, topic: &str, envelope: &Envelope) -> Result<Bytes, Error> {
        envelope.check_len()?;
        let Some(fernet) = &self.fernet else {
            return Ok(envelope.encode());
        };
        let mut plain = topic_header(topic);
        envelope.encode_to(&mut plain);
        encrypt(fernet, &plain).map(Bytes::from)
    }

    /// Decodes what [`wrap`](Self::wrap) made for this topic, which leads to this address.
    pub(super) fn unwrap(
        &self,
        topic: &str,
        to: Address,
        bytes: &Bytes,
    ) -> Result<Envelope, Unreadable> {
        self.unwrap_at(now(), topic, to, bytes)
    }

    /// As [`unwrap`](Self::unwrap), at this time.
    pub(super) fn unwrap_at(
        &self,
        now: u64,
        topic: &str,
        to: Address,
        bytes: &Bytes,
    ) -> Result<Envelope, Unreadable> {
        if bytes.len() > MAX_WRAPPED {
            return Err(Unreadable::LARGE);
        }
        let envelope = match &self.fernet {
            None => Envelope::decode(to, bytes),
            Some(fernet) => {
                let token = fernet.decrypt(bytes)?;
                let header = topic_header(topic);
                if !token.plain.starts_with(&header) {
                    return Err(Unreadable::MISADDRESSED);
                }
                token.check_age(now, MAX_AGE_OF_OWN)?;
                Envelope::decode(to, &Bytes::from(token.plain).slice(header.len()..))
            }
        };
        envelope.map_err(|_| Unreadable::FOREIGN)
    }

    /// One entry more in a dictionary that has some.
    fn add(&self, dictionary: &mut Vec<u8>, key: &str, value: Value<'_>) {
        match self.format {
            SerializerFormat::Json => add_to_json(dictionary, key, value),
            SerializerFormat::MsgPack => add_to_msgpack(dictionary, key, value),
        }
    }
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Names(&'a BTreeSet<String>),
}

type Read<O> = fn(&[u8], &mut Fields<O>) -> Result<(), Unreadable>;

/// Reads an event and writes it: its type, what travelled beside it, and what was written.
fn through<O: Output + Default>(
    event: &[u8],
    read: Read<O>,
    finish: fn(O) -> Vec<u8>,
) -> Result<(String, Reserved, Vec<u8>), Unreadable> {
    let mut fields = Fields::default();
    read(event, &mut fields)?;
    let (kind, reserved, out) = fields.finish()?;
    Ok((kind, reserved, finish(out)))
}

fn add_to_json(dictionary: &mut Vec<u8>, key: &str, value: Value<'_>) {
    dictionary.pop();
    // Into memory, and text always encodes.
    let value = match value {
        Value::Text(text) => serde_json::to_vec(text),
        Value::Names(names) => serde_json::to_vec(names),
    }
    .unwrap_or_default();
    dictionary.extend_from_slice(format!(",\"{key}\":").as_bytes());
    dictionary.extend_from_slice(&value);
    dictionary.push(b'}');
}

fn add_to_msgpack(dictionary: &mut Vec<u8>, key: &str, value: Value<'_>) {
    let Some((entries, begin)) = msgpack::map_header(dictionary) else {
        return;
    };
    let header = msgpack::header(Container::Map, entries + 1);
    dictionary.splice(..begin, header);
    msgpack::put_text(dictionary, key);
    match value {
        Value::Text(text) => msgpack::put_text(dictionary, text),
        Value::Names(names) => {
            let entries = u32::try_from(names.len()).unwrap_or(u32::MAX);
            dictionary.extend(msgpack::header(Container::Array, entries));
            for name in names {
                msgpack::put_text(dictionary, name);
            }
        }
    }
}

/// The length of the topic, and the topic.
fn topic_header(topic: &str) -> Vec<u8> {
    let length = topic.len() as u64;
    [&length.to_be_bytes(), topic.as_bytes()].concat()
}

fn encrypt(fernet: &Fernet, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut iv = [0; 16];
    fill(&mut iv)?;
    Ok(fernet.encrypt(bytes, now(), iv))
}

/// Seconds since 1970 by this machine's clock.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::unavailable(format!("no random bytes: {error}")))
}

/// How long an entry may be, encrypted and with the names of all channels of a process that are in
/// the group.
pub(super) const MAX_ENTRY: usize = 8 * MAX_EVENT;

/// How long a message between nodes may be: an envelope of 16 MiB, encrypted, and its topic.
const MAX_WRAPPED: usize = 24 * 1024 * 1024;

/// How old an encrypted message between nodes may be. It arrives at once or never, so this is what
/// their clocks may differ: as much as channels_redis allows by default.
const MAX_AGE_OF_OWN: Duration = Duration::from_secs(70);
