//! The rules of events and their JSON, for any text.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::{Event, encode};
use crate::message::Message;

/// Reads a text as JSON that an application publishes as it is.
///
/// - It is an event exactly if it is an object with one `"type"`, a string, however that is
///   written.
/// - An event has its fields, and what is written of it is an event again.
/// - A message of the text decodes where JSON does, and fails otherwise.
///
/// # Panics
///
/// Panics if one of these rules is broken.
pub fn events(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let value: Result<Value, _> = serde_json::from_str(&text);
    let decoded = Message::Text(text.to_string()).json::<Value>();
    assert_eq!(decoded.is_ok(), value.is_ok());
    let (Ok(raw), Ok(value)) = (serde_json::from_str::<&RawValue>(&text), value) else {
        return;
    };
    let keys = serde_json::from_str::<Keys>(&text).map(|keys| keys.0);
    let types = keys.iter().flatten().filter(|key| *key == "type").count();
    let kind = value.get("type").and_then(Value::as_str);
    let is_event = types == 1 && kind.is_some();
    assert_eq!(encode(raw).is_ok(), is_event, "{text:?}");
    let event = serde_json::from_str::<Event>(&text);
    assert_eq!(event.is_ok(), is_event, "{text:?}");
    let Ok(event) = event else {
        return;
    };
    assert_eq!(Some(event.kind()), kind);
    let names: HashSet<_> = keys.into_iter().flatten().collect();
    assert_eq!(event.fields().len() + 1, names.len());
    let json = encode(&event).expect("an event can be published");
    let again: Event = serde_json::from_slice(&json).expect("a published value is an event");
    assert_eq!(again.kind(), event.kind());
    assert!(again.fields().keys().eq(event.fields().keys()));
    assert!(encode(&value).is_ok(), "{text:?}");
}

/// The names of an object's members, in their order and with those that stand there twice.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Visitor)
    }
}

struct Visitor;

impl<'de> serde::de::Visitor<'de> for Visitor {
    type Value = Keys;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = map.next_key()? {
            map.next_value::<serde::de::IgnoredAny>()?;
            keys.push(key);
        }
        Ok(Keys(keys))
    }
}
