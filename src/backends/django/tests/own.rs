//! Encrypted messages between strait's nodes are bound to their topic and their time.

#![allow(clippy::unwrap_used, reason = "a failing row should panic")]

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::backends::django::codec::{Codec, SerializerFormat};
use crate::backends::django::fernet::Fernet;
use crate::backends::django::names::Names;
use crate::backends::django::output::Unreadable;
use crate::layer::{Address, Envelope, Payload};
use crate::message::Message;
use crate::name::{ChannelAddress, ChannelName, GroupName};

#[test]
fn an_encrypted_message_is_refused_on_any_other_topic() {
    let (names, codec) = (names("asgi"), codec(&["secret"]));
    let channel = ChannelName::specific(ChannelAddress {
        node: 7,
        id: 1,
        secret: 5,
    });
    let topics = [
        (names.own_topic(&group("a")), Address::Group(group("a"))),
        (names.own_topic(&group("ab")), Address::Group(group("ab"))),
        (
            self::names("asgi2").own_topic(&group("a")),
            Address::Group(group("a")),
        ),
        (
            names.own_channel_topic(&channel).unwrap(),
            Address::Channel(channel),
        ),
    ];
    for (from, sent_to) in &topics {
        let envelope = envelope(sent_to);
        let token = codec.wrap(from, &envelope).unwrap();
        for (at, to) in &topics {
            let read = codec.unwrap(at, to.clone(), &token);
            match from == at {
                true => assert_eq!(read, Ok(envelope.clone()), "{from}"),
                false => assert_eq!(read, Err(Unreadable::MISADDRESSED), "{from} at {at}"),
            }
        }
    }
}

#[test]
fn an_encrypted_message_is_refused_after_70_seconds() {
    let (codec, to) = (codec(&["secret"]), Address::Group(group("a")));
    let topic = names("asgi").own_topic(&group("a"));
    let before = now();
    let token = codec.wrap(&topic, &envelope(&to)).unwrap();
    // The clock may have gone on by some seconds while it was made.
    let rows = [
        (before, None),
        (before + 70, None),
        (before - 55, None),
        (before + 100, Some(Unreadable::OLD)),
        (before - 61, Some(Unreadable::FUTURE)),
    ];
    for (now, wrong) in rows {
        let read = codec.unwrap_at(now, &topic, to.clone(), &token);
        assert_eq!(read.err(), wrong, "{} s later", now - before.min(now));
        assert!(wrong.is_none_or(Unreadable::is_untimely));
    }
    let elsewhere = names("asgi").own_topic(&group("b"));
    let read = codec.unwrap_at(before + 100, &elsewhere, to, &token);
    assert_eq!(read, Err(Unreadable::MISADDRESSED), "no gap is made there");
}

#[test]
fn an_overlong_message_is_refused_before_it_is_decrypted() {
    let (topic, to) = (
        names("asgi").own_topic(&group("a")),
        Address::Group(group("a")),
    );
    let long = Bytes::from(vec![b'A'; 24 * 1024 * 1024 + 1]);
    for keys in [&[][..], &["secret"]] {
        let read = codec(keys).unwrap(&topic, to.clone(), &long);
        assert_eq!(read, Err(Unreadable::LARGE));
    }
    let largest = Message::from(vec![0_u8; 16 * 1024 * 1024 - 2]);
    let largest = Envelope::new(to.clone(), Payload::Message(largest));
    let codec = codec(&["secret"]);
    let token = codec.wrap(&topic, &largest).unwrap();
    assert_eq!(codec.unwrap(&topic, to, &token), Ok(largest));
}

fn envelope(to: &Address) -> Envelope {
    let message = Message::from("order 42 has been shipped".to_owned());
    Envelope::new(to.clone(), Payload::Message(message))
}

fn group(name: &str) -> GroupName {
    GroupName::try_from(name).unwrap()
}

fn names(prefix: &str) -> Names {
    Names {
        prefix: prefix.to_owned(),
        hosts: 1,
    }
}

fn codec(keys: &[&str]) -> Codec {
    Codec {
        format: SerializerFormat::MsgPack,
        fernet: Fernet::new(keys),
        random_prefix: 0,
        max_age: None,
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}
