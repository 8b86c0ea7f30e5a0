//! Keys, topics and hosts, as channels_redis forms them.

#![allow(clippy::unwrap_used, reason = "a failing row should panic")]

use crate::backends::django::names::{Names, non_local};
use crate::layer::Address;
use crate::name::{ChannelName, GroupName};

#[test]
fn a_name_lies_on_the_host_that_channels_redis_asks() {
    // From `channels_redis.utils._consistent_hash`.
    let rows = [
        ("order_42", [(1, 0), (2, 1), (3, 2), (4, 2), (10, 6)]),
        ("order_43", [(1, 0), (2, 1), (3, 1), (4, 2), (10, 6)]),
        (
            "asgi__group__order_42",
            [(1, 0), (2, 1), (3, 1), (4, 2), (10, 5)],
        ),
        (
            "specific.0123456789abcdef0123456789abcdef!",
            [(1, 0), (2, 0), (3, 1), (4, 1), (10, 3)],
        ),
        (
            "specific.0123456789abcdef0123456789abcdef!fedcba9876543210fedcba9876543210",
            [(1, 0), (2, 0), (3, 1), (4, 1), (10, 3)],
        ),
        ("key_one", [(1, 0), (2, 1), (3, 2), (4, 2), (10, 6)]),
        ("key_two", [(1, 0), (2, 0), (3, 1), (4, 1), (10, 4)]),
    ];
    for (name, hosts) in rows {
        for (hosts, host) in hosts {
            assert_eq!(names(hosts).host(name), host, "{name} on {hosts}");
        }
    }
    for hosts in 1..100 {
        let last = (0..5_000)
            .map(|number| names(hosts).host(&format!("group_{number}")))
            .max();
        assert!(last.unwrap() < hosts);
    }
}

#[test]
fn keys_and_topics_are_those_of_channels_redis() {
    let group = GroupName::try_from("order_42").unwrap();
    let names = names(2);
    let (process, channel) = (
        "specific.0123456789abcdef0123456789abcdef!",
        "specific.0123456789abcdef0123456789abcdef!fedcba9876543210fedcba9876543210",
    );
    assert_eq!(names.group_key(&group), "asgi:group:order_42");
    assert_eq!(names.group_host(&group), 1);
    assert_eq!(names.queue_key(channel), format!("asgi{process}"));
    assert_eq!(names.queue_key("thumbnails"), "asgithumbnails");
    assert_eq!(names.queue_host(channel), names.host(process));
    assert_eq!(names.group_topic(&group), "asgi__group__order_42");
    assert_eq!(names.topic_host(&group), 1);
    assert_eq!(names.own_topic(&group), "asgi__strait__order_42");
    assert_eq!((non_local(channel), non_local("plain")), (process, "plain"));
}

#[test]
fn a_topic_tells_its_group() {
    let names = names(1);
    let rows = [
        ("asgi__group__order_42", Some("order_42"), None),
        ("asgi__strait__order_42", None, Some("order_42")),
        ("asgi__group____strait__", Some("__strait__"), None),
        ("asgi__group__", None, None),
        ("asgi__group__a b", None, None),
        ("other__group__order_42", None, None),
        ("order_42", None, None),
        ("", None, None),
    ];
    for (topic, group, own) in rows {
        let name = |name: Option<&str>| name.map(|name| GroupName::try_from(name).unwrap());
        assert_eq!(names.group_of_topic(topic), name(group), "{topic}");
        let own = name(own).map(Address::Group);
        assert_eq!(names.address_of_own_topic(topic), own, "{topic}");
    }
}

#[test]
fn only_channels_of_strait_have_topics_of_their_own() {
    let names = Names {
        prefix: "a[b]*".to_owned(),
        hosts: 1,
    };
    let node = "specific.0123456789abcdef0123456789abcdef";
    let rows = [
        (format!("{node}!1f-0123456789abcdef"), true),
        (format!("{node}!1f"), false),
        (format!("{node}!fedcba9876543210fedcba9876543210"), false),
        (
            "asgispecific.0123456789abcdef0123456789abcdef".to_owned(),
            false,
        ),
        ("thumbnails".to_owned(), false),
    ];
    for (name, is_own) in rows {
        let channel = ChannelName::try_from(&name).unwrap();
        let topic = names.own_channel_topic(&channel);
        assert_eq!(topic.is_some(), is_own, "{name}");
        if let Some(topic) = topic {
            let address = names.address_of_own_topic(&topic);
            assert_eq!(address, Some(Address::Channel(channel)));
        }
    }
    let pattern = names.own_channel_topics(node);
    assert_eq!(pattern, format!(r"a\[b\]\*__strait__{node}!*"));
}

fn names(hosts: usize) -> Names {
    Names {
        prefix: "asgi".to_owned(),
        hosts,
    }
}
