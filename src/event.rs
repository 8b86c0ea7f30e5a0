//! [`Event`]: the type of events for consumers that name no type of their own.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;

/// An untyped event: a dictionary with a `"type"`, as in Channels.
///
/// It is the default of [`Consumer`](crate::Consumer)'s parameter. A consumer that knows its events
/// names a `#[serde(tag = "type")]` enum instead; both travel alike, as JSON objects.
///
/// ```
/// use strait::Event;
///
/// let event = Event::new("chat.message").with("text", "hello");
/// assert_eq!(event.kind(), "chat.message");
/// assert_eq!(event.field("text").unwrap(), "hello");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Event {
    /// An event of this type, with no fields yet.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            fields: Map::new(),
        }
    }

    /// The same event with one field more; a field of that name is replaced. So is the `"type"`, by
    /// a text; by anything else it makes an event that cannot be published.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        match (name.into(), value.into()) {
            (name, Value::String(kind)) if name == "type" => self.kind = kind,
            (name, value) => {
                self.fields.insert(name, value);
            }
        }
        self
    }

    /// The `"type"`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// A field's value.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// All fields but the `"type"`.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The event as a value of a type that knows it.
    ///
    /// # Errors
    ///
    /// When it does not decode into `T`.
    pub fn decode<T: DeserializeOwned>(self) -> Result<T, Error> {
        let mut object = self.fields;
        object.insert("type".to_owned(), Value::String(self.kind));
        serde_json::from_value(Value::Object(object))
            .map_err(|source| Error::decode(std::any::type_name::<T>(), source))
    }
}

/// By hand: derived, each field of a flattened map would be held a second time on its way.
impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event: an object with a \"type\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let mut kind = None;
        let mut fields = Map::new();
        while let Some(name) = map.next_key()? {
            match name {
                Name::Field(name) => drop(fields.insert(name, map.next_value()?)),
                Name::Type if kind.is_some() => return Err(A::Error::duplicate_field("type")),
                Name::Type => kind = Some(map.next_value()?),
            }
        }
        let kind = kind.ok_or_else(|| A::Error::missing_field("type"))?;
        Ok(Event { kind, fields })
    }
}

/// The name of a field. Every event has a `"type"`, so that one is not copied.
enum Name {
    Type,
    Field(String),
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(match name {
            "type" => Name::Type,
            name => Name::Field(name.to_owned()),
        })
    }
}

/// Whether it is the JSON of an event, in UTF-8.
pub(crate) fn is_event(json: &[u8]) -> bool {
    str::from_utf8(json).is_ok_and(|json| serde_json::from_str::<Kind<'_>>(json).is_ok())
}

/// All of an event is looked at, and nothing of it kept.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    _kind: Cow<'a, str>,
}

/// The event as JSON, after a look that it is an object with one `"type"`, a string.
///
/// It is written into a buffer of the thread's, and copied: two allocations less than a buffer that
/// grows, and none too long.
pub(crate) fn encode<E: Serialize + ?Sized>(event: &E) -> Result<Bytes, Error> {
    // Taken, since an event may publish another while it is written.
    let mut buffer = BUFFER.take();
    buffer.clear();
    serde_json::to_writer(&mut buffer, event).map_err(Error::encode)?;
    check(&buffer)?;
    if buffer.capacity() > KEPT {
        return Ok(buffer.into());
    }
    let json = Bytes::copy_from_slice(&buffer);
    BUFFER.set(buffer);
    Ok(json)
}

fn check(json: &[u8]) -> Result<(), Error> {
    // serde_json writes nothing else, but its types do not say so.
    let json = str::from_utf8(json).map_err(|_| Error::untyped("bytes that are not UTF-8"))?;
    // The beginning of serde's internally tagged enums and of `Event`. No second look is needed,
    // except if a flattened field, or JSON that was published as it is, may repeat it. Readers
    // disagree on which of two counts.
    let is_plain = json
        .strip_prefix(r#"{"type":""#)
        .is_some_and(|rest| !rest.contains(r#""type""#) && !rest.contains(r"\u"));
    if is_plain || serde_json::from_str::<Event>(json).is_ok() {
        return Ok(());
    }
    let got: String = json.chars().take(80).collect();
    Err(Error::untyped(got))
}

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How much a thread keeps for its next event.
const KEPT: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use std::collections::BTreeMap;

    use serde::{Serialize, Serializer};
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::{BUFFER, Event, KEPT, encode};

    #[test]
    fn an_event_is_an_object_with_a_string_type() {
        let rows = [
            (json!({"type": "order.updated", "order_id": 5}), true),
            (json!({"order_id": 5, "type": "order.updated"}), true),
            (json!({"type": "quoted \" and \u{e9}"}), true),
            (json!({"order_id": 5}), false),
            (json!({"type": 5}), false),
            (json!({"type": null}), false),
            (json!(["type"]), false),
            (json!("type"), false),
            (json!(null), false),
        ];
        for (value, accepted) in rows {
            assert_eq!(encode(&value).is_ok(), accepted, "{value}");
        }
    }

    #[test]
    fn encoding_after_a_failure_or_panic_is_whole() {
        #[derive(Serialize)]
        struct Said {
            r#type: &'static str,
            #[serde(serialize_with = "encoding_another")]
            text: String,
        }
        fn encoding_another<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
            assert!(encode(&Event::new("another").with("text", text)).is_ok());
            text.serialize(serializer)
        }
        for len in [10, KEPT + 1, 5, KEPT, 0] {
            let text = "x".repeat(len);
            let json = encode(&Said {
                r#type: "said",
                text: text.clone(),
            });
            let expected = format!(r#"{{"type":"said","text":"{text}"}}"#);
            assert_eq!(json.unwrap(), expected);
            let kept = BUFFER.take();
            assert!(kept.capacity() <= KEPT);
            BUFFER.set(kept);
        }
    }

    #[test]
    fn an_event_has_one_type() {
        #[derive(Serialize)]
        struct Said {
            r#type: &'static str,
            #[serde(flatten)]
            more: BTreeMap<&'static str, &'static str>,
        }
        for (field, accepted) in [("text", true), ("type", false)] {
            let more = BTreeMap::from([(field, "kick")]);
            let r#type = "chat.said";
            assert_eq!(encode(&Said { r#type, more }).is_ok(), accepted, "{field}");
        }
        let event = Event::new("one").with("type", "two");
        assert_eq!((event.kind(), event.fields().len()), ("two", 0));
        assert!(encode(&Event::new("one").with("type", 2)).is_err());
        for (raw, accepted) in [
            (r#"{"type":"a","b": "\u00e9"}"#, true),
            (r#"{"type":"a","type" : "b"}"#, false),
            (r#"{"type":"a","t\u0079pe":"b"}"#, false),
        ] {
            let raw: &RawValue = serde_json::from_str(raw).unwrap();
            assert_eq!(encode(raw).is_ok(), accepted, "{raw}");
        }
        let nested = json!({"type": "place", "at": {"type": "Point"}});
        assert!(encode(&nested).is_ok());
    }
}
