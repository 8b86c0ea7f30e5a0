//! Whole entries: those that channels_redis writes, what travels beside an event, and what is none.

#![allow(clippy::unwrap_used, reason = "a failing row should panic")]

use std::time::Duration;

use crate::backends::django::codec::{Codec, SerializerFormat};
use crate::backends::django::fernet::Fernet;
use crate::backends::django::fields::Reserved;
use crate::name::{ChannelName, Key};

use super::values::{hex, unhex};

const EVENT: &str = r#"{"type":"order.updated","id":42,"status":"shipped"}"#;
const MSGPACK: &str =
    "83a474797065ad6f726465722e75706461746564a269642aa6737461747573a773686970706564";
const CHANNEL: &str = "specific.0123456789abcdef0123456789abcdef!fedcba9876543210fedcba9876543210";

#[test]
fn an_event_is_what_channels_redis_makes_of_it() {
    let pub_sub = codec(SerializerFormat::MsgPack);
    let body = pub_sub.body(EVENT.as_bytes()).unwrap();
    assert_eq!(body.kind, "order.updated");
    let sealed = pub_sub.seal(&body, &Reserved::default()).unwrap();
    assert_eq!(hex(&sealed), MSGPACK);
    assert_eq!(pub_sub.open(&sealed).unwrap().event, EVENT);

    let core = Codec {
        random_prefix: 12,
        ..pub_sub
    };
    let of_one = Reserved {
        channels: [CHANNEL.to_owned()].into(),
        ..Reserved::default()
    };
    let [one, other] = [(); 2].map(|()| core.seal(&body, &of_one).unwrap());
    let expected = format!(
        "84{}b05f5f617367695f6368616e6e656c5f5f91d94a{}",
        &MSGPACK[2..],
        hex(CHANNEL.as_bytes())
    );
    assert_eq!(hex(&one[12..]), expected);
    assert_ne!(one[..12], other[..12], "equal events are two members");
    let opened = core.open(&one).unwrap();
    assert_eq!(
        (&*opened.event, opened.reserved),
        (EVENT.as_bytes(), of_one)
    );
}

#[test]
fn reserved_keys_are_removed_from_an_event() {
    let reserved = Reserved {
        channels: ["s.a!1".to_owned(), "s.a!\"2".to_owned()].into(),
        except: Some(ChannelName::try_from(CHANNEL).unwrap()),
        latest: Some(Key::try_from("courier \"7\"").unwrap()),
        ..Reserved::default()
    };
    let many: Vec<_> = (0..40)
        .map(|number| format!("\"f{number}\":{number}"))
        .collect();
    let many = format!(r#"{{"type":"many",{}}}"#, many.join(","));
    // Beside it there are 15 and 16 entries: the map's header grows.
    let fifteen = r#"{"type":"t","a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1}"#;
    for format in [SerializerFormat::MsgPack, SerializerFormat::Json] {
        for keys in [&[][..], &["new", "old"]] {
            let codec = Codec {
                fernet: Fernet::new(keys),
                random_prefix: 12,
                max_age: Some(Duration::from_secs(70)),
                ..codec(format)
            };
            for event in [EVENT, &many, fifteen] {
                let body = codec.body(event.as_bytes()).unwrap();
                let sealed = codec.seal(&body, &reserved).unwrap();
                let opened = codec.open(&sealed).unwrap();
                assert_eq!(opened.event, event, "{format:?} {keys:?}");
                assert_eq!(opened.reserved, reserved, "{format:?} {keys:?}");
            }
        }
    }
}

#[test]
fn the_names_of_all_channels_of_a_large_process_fit() {
    let process = CHANNEL.split_once('!').unwrap().0;
    let channels = (0..20_000).map(|local| format!("{process}!{local:032x}"));
    let reserved = Reserved {
        channels: channels.collect(),
        ..Reserved::default()
    };
    for format in [SerializerFormat::MsgPack, SerializerFormat::Json] {
        let codec = codec(format);
        let body = codec.body(EVENT.as_bytes()).unwrap();
        let opened = codec.open(&codec.seal(&body, &reserved).unwrap()).unwrap();
        assert_eq!(opened.reserved, reserved, "{format:?}");
    }
}

#[test]
fn malformed_events_are_skipped() {
    let rows = [
        (r#"{"type":"t","__asgi_channel__":"a!b"}"#, None),
        (r#"{"type":"t","__asgi_channel__":["a!b"]}"#, None),
        (r#"{"__asgi_channel__":[],"type":"t"}"#, None),
        (
            r#"{"type":"t","v":{"type":1,"__asgi_channel__":[1]}}"#,
            None,
        ),
        (r#"[{"type":"t"}]"#, Some("no dictionary")),
        (r#""type""#, Some("no dictionary")),
        ("null", Some("no dictionary")),
        ("{}", Some("no \"type\"")),
        (r#"{"v":{"type":"t"}}"#, Some("no \"type\"")),
        (r#"{"type":1}"#, Some("no \"type\"")),
        (r#"{"type":null}"#, Some("no \"type\"")),
        (r#"{"type":["t"]}"#, Some("no \"type\"")),
        (r#"{"type":{"type":"t"}}"#, Some("no \"type\"")),
        (r#"{"type":"t","type":"t"}"#, Some("more than one")),
        (r#"{"type":"t","__asgi_channel__":1}"#, Some("reserved key")),
        (
            r#"{"type":"t","__asgi_channel__":null}"#,
            Some("reserved key"),
        ),
        (
            r#"{"type":"t","__asgi_channel__":{"a":"b"}}"#,
            Some("reserved key"),
        ),
        (
            r#"{"type":"t","__asgi_channel__":[1]}"#,
            Some("reserved key"),
        ),
        (
            r#"{"type":"t","__asgi_channel__":[["a"]]}"#,
            Some("reserved key"),
        ),
        (
            r#"{"type":"t","__strait_except__":["a!b"]}"#,
            Some("reserved key"),
        ),
        (
            r#"{"type":"t","__strait_except__":"a b"}"#,
            Some("reserved key"),
        ),
        (
            r#"{"type":"t","__strait_latest__":""}"#,
            Some("reserved key"),
        ),
    ];
    let json = codec(SerializerFormat::Json);
    for (text, wrong) in rows {
        match (json.open(text.as_bytes()), wrong) {
            (Ok(_), None) => {}
            (Err(why), Some(wrong)) => assert!(why.0.contains(wrong), "{text}: {}", why.0),
            (opened, _) => panic!("{text}: {opened:?}"),
        }
    }
    let core = Codec {
        random_prefix: 12,
        ..codec(SerializerFormat::MsgPack)
    };
    let whole = [&[0; 12][..], &unhex(MSGPACK)].concat();
    assert!(core.open(&whole).is_ok());
    for end in 0..whole.len() {
        assert!(core.open(&whole[..end]).is_err(), "the first {end}");
    }
    assert!(core.open(&vec![0; 9 * 1024 * 1024]).is_err());
}

#[test]
fn an_event_that_django_could_not_read_is_refused() {
    let rows = [
        (
            SerializerFormat::MsgPack,
            r#"{"type":"t","v":18446744073709551615}"#,
            None,
        ),
        (
            SerializerFormat::MsgPack,
            r#"{"type":"t","v":18446744073709551616}"#,
            Some("64 bits"),
        ),
        (
            SerializerFormat::Json,
            r#"{"type":"t","v":18446744073709551616}"#,
            None,
        ),
        (
            SerializerFormat::Json,
            r#"{"type":"t","__asgi_channel__":"a!b"}"#,
            Some("__asgi_channel__"),
        ),
        (
            SerializerFormat::MsgPack,
            r#"{"type":"t","__strait_except__":"a!b"}"#,
            Some("__strait_except__"),
        ),
    ];
    for (format, event, wrong) in rows {
        match (codec(format).body(event.as_bytes()), wrong) {
            (Ok(_), None) => {}
            (Err(error), Some(wrong)) => {
                assert!(error.is_refused(), "{event}: {error}");
                assert!(error.to_string().contains(wrong), "{event}: {error}");
            }
            (body, _) => panic!("{event}: {body:?}"),
        }
    }
    let long = format!(r#"{{"type":"t","v":{:?}}}"#, "x".repeat(1024 * 1024));
    let error = codec(SerializerFormat::Json)
        .body(long.as_bytes())
        .unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
}

fn codec(format: SerializerFormat) -> Codec {
    Codec {
        format,
        fernet: None,
        random_prefix: 0,
        max_age: None,
    }
}
