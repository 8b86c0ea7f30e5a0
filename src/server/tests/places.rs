//! Places: the limits, the connection that makes room, and that each place is given back.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;

use super::stage::{Client, GET, Stage};
use crate::server::places::{Full, Places};

/// A little more than a connection must have waited to make room.
const LONG_ENOUGH: Duration = Duration::from_millis(260);

fn stage(connections: usize, per_ip: Option<usize>) -> Stage {
    Stage::with_places(Places::new(connections, per_ip))
}

async fn asked(stage: &Stage) -> Client {
    let mut client = stage.connect();
    client.write(GET).await;
    client.read_until("page").await;
    client
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_has_waited_longest_makes_room() {
    let stage = stage(4, None);
    let silent = stage.connect();
    sleep(LONG_ENOUGH).await;
    let idle = asked(&stage).await;
    sleep(LONG_ENOUGH).await;
    let mut half = stage.connect();
    half.write("GET / HT").await;
    sleep(LONG_ENOUGH).await;
    let mut unread = stage.connect();
    unread.write("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(LONG_ENOUGH).await;
    let mut newer = Vec::new();
    for client in [silent, idle, half, unread] {
        assert!(client.is_served());
        newer.push(asked(&stage).await);
        sleep(Duration::from_millis(1)).await;
        assert!(!client.is_served());
    }
    assert!(newer.iter().all(Client::is_served));
}

#[tokio::test(start_paused = true)]
async fn requests_in_hand_and_new_connections_make_no_room() {
    let stage = stage(2, None);
    let mut slow = stage.connect();
    slow.write("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(LONG_ENOUGH).await;
    let new = stage.connect();
    sleep(LONG_ENOUGH / 2).await;
    assert!(stage.try_connect_from("192.0.2.2").is_none());
    sleep(LONG_ENOUGH).await;
    assert!(stage.try_connect_from("192.0.2.2").is_some());
    sleep(Duration::from_millis(1)).await;
    assert!(!new.is_served());
    assert!(slow.read_until("slow").await.starts_with("HTTP/1.1 200"));
}

/// Its task has not run yet, so its request may have arrived unread.
#[tokio::test(start_paused = true)]
async fn a_connection_that_was_never_looked_at_makes_no_room() {
    let stage = stage(1, None);
    let place = stage
        .places
        .take("192.0.2.1".parse().expect("an address"))
        .expect("a place");
    sleep(LONG_ENOUGH * 10).await;
    assert!(stage.try_connect_from("192.0.2.1").is_none());
    drop(place);
    assert!(stage.try_connect_from("192.0.2.1").is_some());
}

#[tokio::test(start_paused = true)]
async fn one_client_has_no_more_places_than_its_limit() {
    let stage = stage(100, Some(2));
    let both = [stage.connect(), stage.connect()];
    let address = "192.0.2.1".parse().expect("an address");
    assert_eq!(stage.places.take(address).err(), Some(Full::PerIp));
    assert!(stage.try_connect_from("192.0.2.2").is_some());
    // 64 bits of an IPv6 address are one client.
    let six = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
        .map(|address| stage.try_connect_from(address));
    assert!(six.iter().all(Option::is_some));
    assert!(stage.try_connect_from("2001:db8::3").is_none());
    drop(both);
    yield_now().await;
    sleep(Duration::from_secs(1)).await;
    assert!(stage.places.take(address).is_ok());
}

/// However connections end, and in whatever order.
#[tokio::test(start_paused = true)]
async fn every_place_is_given_back() {
    let stage = stage(50, Some(50));
    for round in 0..20 {
        let mut clients: Vec<Client> = Vec::new();
        for number in 0..70 {
            let mut client = stage.connect();
            match (round + number) % 4 {
                0 => client.write(GET).await,
                1 => client.write("rubbish\r\n\r\n").await,
                2 => client.write("GET /la").await,
                _ => {}
            }
            clients.push(client);
            sleep(LONG_ENOUGH / 40).await;
            if number % 3 == 0 {
                clients.swap_remove(clients.len() / 2);
            }
        }
    }
    sleep(Duration::from_secs(2)).await;
    let address = "192.0.2.9".parse().expect("an address");
    let all: Vec<_> = (0..50)
        .map(|_| Arc::clone(&stage.places).take(address))
        .collect();
    assert!(all.iter().all(Result::is_ok));
}
