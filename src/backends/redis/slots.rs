//! [`Slots`]: which server of a Cluster a topic belongs to.

use std::ops::RangeInclusive;

use redis::Value;

use super::server::as_text;
use super::url::Host;

/// The slot of a topic: the CRC-16 of it, or of what stands between its first braces.
pub(super) fn slot(topic: &str) -> u16 {
    let tag = topic
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map_or(topic, |(tag, _)| if tag.is_empty() { topic } else { tag });
    crc16(tag.as_bytes()) % COUNT
}

/// For each slot the place of its server in a list, if it has one.
pub(super) struct Slots(Box<[Option<u16>]>);

impl Slots {
    /// Later ranges win, though no two overlap in a Cluster that is well.
    pub(super) fn new(ranges: impl IntoIterator<Item = (RangeInclusive<u16>, u16)>) -> Self {
        let mut places = vec![None; COUNT.into()].into_boxed_slice();
        for (range, place) in ranges {
            let range = usize::from(*range.start())..=usize::from(*range.end());
            if let Some(places) = places.get_mut(range) {
                places.fill(Some(place));
            }
        }
        Self(places)
    }

    pub(super) fn of(&self, slot: u16) -> Option<usize> {
        let place = self.0.get(usize::from(slot)).copied().flatten();
        place.map(usize::from)
    }
}

/// The answer to `CLUSTER SLOTS`: ranges of slots, each with its master. One without an address is
/// the one that was asked.
pub(super) fn parse(answer: &Value, asked: &str) -> Option<Vec<(RangeInclusive<u16>, Host)>> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    ranges
        .iter()
        .map(|range| parse_range(range, asked))
        .collect()
}

fn parse_range(range: &Value, asked: &str) -> Option<(RangeInclusive<u16>, Host)> {
    let Value::Array(parts) = range else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(master),
        ..,
    ] = &**parts
    else {
        return None;
    };
    let [host, Value::Int(port), ..] = &**master else {
        return None;
    };
    let host = match as_text(host) {
        None | Some("" | "?") => asked,
        Some(host) => host,
    };
    let range = u16::try_from(*first).ok()?..=u16::try_from(*last).ok()?;
    Some((range, (host.to_owned(), u16::try_from(*port).ok()?)))
}

/// CRC-16/XMODEM, bit by bit: topics are short.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

const COUNT: u16 = 16_384;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use redis::Value;

    use super::{Slots, crc16, parse, slot};

    #[test]
    fn a_topic_has_the_slot_that_redis_gives_it() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let rows = [
            ("", 0),
            ("foo", 12_182),
            ("somekey", 11_058),
            ("foo{hash_tag}", 2_515),
            ("{hash_tag}bar", 2_515),
            ("foo{}{hash_tag}", 10_378),
            ("foo{hash_tag", 9_815),
            ("foo{a}}", 15_495),
            ("strait:g:order_5", 15_649),
        ];
        for (topic, expected) in rows {
            assert_eq!(slot(topic), expected, "{topic}");
        }
    }

    #[test]
    fn a_slot_has_the_server_of_its_range() {
        let slots = Slots::new([(0..=5_460, 0), (5_461..=10_922, 1), (10_924..=16_383, 2)]);
        let rows = [
            (0, Some(0)),
            (5_460, Some(0)),
            (5_461, Some(1)),
            (10_923, None),
            (16_383, Some(2)),
            (16_384, None),
        ];
        for (slot, expected) in rows {
            assert_eq!(slots.of(slot), expected, "{slot}");
        }
        assert_eq!(Slots::new([(0..=u16::MAX, 0)]).of(7), None, "no such range");
    }

    #[test]
    fn an_answer_names_the_masters() {
        let bytes = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let server = |host, port| Value::Array(vec![host, Value::Int(port), bytes("id")]);
        let range = |first, last, servers: Vec<Value>| {
            let range = [Value::Int(first), Value::Int(last)];
            Value::Array(range.into_iter().chain(servers).collect())
        };
        let answer = Value::Array(vec![
            range(
                0,
                99,
                vec![
                    server(bytes("10.0.0.1"), 7_000),
                    server(bytes("10.0.0.2"), 7_001),
                ],
            ),
            range(100, 16_383, vec![server(Value::Nil, 7_002)]),
        ]);
        let masters = parse(&answer, "asked").unwrap();
        assert_eq!(masters[0], (0..=99, ("10.0.0.1".to_owned(), 7_000)));
        assert_eq!(masters[1], (100..=16_383, ("asked".to_owned(), 7_002)));

        let broken = [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![range(0, 1, vec![])]),
            Value::Array(vec![range(-1, 1, vec![server(Value::Nil, 1)])]),
            Value::Array(vec![range(0, 1, vec![server(Value::Nil, 70_000)])]),
        ];
        for answer in broken {
            assert_eq!(parse(&answer, "asked"), None, "{answer:?}");
        }
    }
}
