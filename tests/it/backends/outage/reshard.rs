//! Slots of a Cluster that move to another server, one after the other, while their groups have
//! members and are published to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use strait::layer::Channel;
use strait::{ChannelLayer, Event};

use super::TURN;
use crate::support::servers::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn slots_move_one_after_the_other() {
    let _turn = TURN.lock().await;
    let cluster = Cluster::start().await;
    let (moving, staying) = groups(&cluster).await;
    let members = ChannelLayer::from_url(&cluster.url()).await.unwrap();
    let publishing = ChannelLayer::from_url(&cluster.url()).await.unwrap();
    let gaps = Arc::new(AtomicUsize::new(0));
    let mut readers = Vec::new();
    for group in moving.values().chain(&staying) {
        for _ in 0..MEMBERS {
            let mut channel = members.new_channel();
            channel.group_add(group.as_str()).await.unwrap();
            let reader = tokio::spawn(read(channel, Arc::clone(&gaps)));
            readers.push((group.clone(), reader));
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let all = moving.values().chain(&staying).cloned();
    let publishers =
        all.map(|group| tokio::spawn(publish(publishing.clone(), group, Arc::clone(&stop))));
    let publishers: Vec<_> = publishers.collect();
    sleep(BEFORE_AND_AFTER).await;

    let began = Instant::now();
    for slot in moving.keys() {
        cluster.move_slot(slot, 0, 2).await;
        sleep(BETWEEN).await;
    }
    let took = began.elapsed();
    while gaps.load(Ordering::Relaxed) < moving.len() * MEMBERS && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(BEFORE_AND_AFTER).await;
    stop.store(true, Ordering::Relaxed);
    let sent = join_all(publishers).await.into_iter().map(Result::unwrap);
    let sent = sent.collect();
    sleep(BEFORE_AND_AFTER).await;
    let heard = join_all(readers.into_iter().map(end)).await;
    println!("{} slots moved within {took:.1?}", moving.len());
    let moving: BTreeSet<_> = moving.into_values().collect();
    judge(&moving, &sent, &heard);
    drop((members, publishing));
}

/// A published message: its number within the group, from 0.
struct Sent {
    begun: Instant,
    ended: Instant,
    result: Result<usize, String>,
}

/// The messages of a member.
#[derive(Default)]
struct Heard {
    numbers: Vec<usize>,
    gaps: Vec<Instant>,
}

/// Groups of the first server: some by their slots, no two in one, and some that stay there; of
/// each other server one, too.
async fn groups(cluster: &Cluster) -> (BTreeMap<String, String>, Vec<String>) {
    let mut slots = BTreeMap::new();
    let mut elsewhere = BTreeMap::new();
    let mut number = 0;
    while slots.len() < MOVING + STAYING || elsewhere.len() < 2 {
        let group = format!("group_{number}");
        number += 1;
        let topic = format!("strait:g:{group}");
        let place = cluster.place_of(&topic).await;
        if place != 0 {
            elsewhere.entry(place).or_insert(group);
            continue;
        }
        let words = ["cluster", "keyslot", &topic];
        let slot = cluster.nodes[0].command(&words).await;
        slots.entry(slot).or_insert(group);
    }
    let staying = slots.split_off(&slots.keys().nth(MOVING).unwrap().clone());
    let staying = staying.into_values().chain(elsewhere.into_values());
    (slots, staying.collect())
}

/// Reads until nothing has come for a while.
async fn read(mut channel: Channel, gaps: Arc<AtomicUsize>) -> Heard {
    let mut heard = Heard::default();
    while let Ok(got) = timeout(SILENCE, channel.recv::<Event>()).await {
        match got {
            Ok(event) => {
                let number = event.field("number").and_then(Value::as_u64).unwrap();
                heard.numbers.push(usize::try_from(number).unwrap());
            }
            Err(error) => {
                assert!(error.is_gap(), "{error}");
                heard.gaps.push(Instant::now());
                gaps.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    heard
}

async fn end((group, reader): (String, JoinHandle<Heard>)) -> (String, Heard) {
    (group, reader.await.unwrap())
}

/// One after the other, until the test stops it.
async fn publish(layer: ChannelLayer, group: String, stop: Arc<AtomicBool>) -> (String, Vec<Sent>) {
    let mut sent = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let event = json!({"type": "tick", "number": sent.len()});
        let begun = Instant::now();
        let result = layer.group_send(group.as_str(), &event).await;
        sent.push(Sent {
            begun,
            ended: Instant::now(),
            result: result
                .map(|published| published.receivers)
                .map_err(|error| error.to_string()),
        });
        sleep(PACE).await;
    }
    (group, sent)
}

/// Prints the counts, and fails if they are not as promised.
fn judge(moving: &BTreeSet<String>, sent: &BTreeMap<String, Vec<Sent>>, heard: &[(String, Heard)]) {
    let published = sent.values().flatten();
    let failed: Vec<_> = published
        .clone()
        .filter_map(|sent| sent.result.as_ref().err())
        .collect();
    let slowest = published.clone().map(|sent| sent.ended - sent.begun).max();
    let (mut lost, mut silent, mut twice, mut deaf) = (0, Vec::new(), 0, Vec::new());
    let mut gaps = BTreeMap::<_, usize>::new();
    for (group, member) in heard {
        let told = (moving.contains(group), member.gaps.len());
        *gaps.entry(told).or_default() += 1;
        twice += member
            .numbers
            .windows(2)
            .filter(|pair| pair[0] >= pair[1])
            .count();
        let numbers: BTreeSet<_> = member.numbers.iter().copied().collect();
        for (number, sent) in sent[group].iter().enumerate() {
            if sent.result.is_err() || numbers.contains(&number) {
                continue;
            }
            lost += 1;
            if !member.gaps.iter().any(|told| *told >= sent.begun) {
                silent.push(format!("{group} {number}: {:?}", sent.result));
            }
        }
        let last = sent[group].len() - 1;
        if !numbers.contains(&last) || sent[group][last].result != Ok(1) {
            deaf.push(group);
        }
    }
    println!(
        "  published: {}, failed: {}, the slowest took {:.1?}; members: {}, by whether their group moved and how many gaps they had: {gaps:?}",
        published.count(),
        failed.len(),
        slowest.unwrap_or_default(),
        heard.len(),
    );
    println!(
        "  missed: {lost}, in silence: {}, twice or out of order: {twice}, deaf in the end: {}",
        silent.len(),
        deaf.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(twice, 0);
    assert!(silent.is_empty(), "{silent:?}");
    assert!(deaf.is_empty(), "{deaf:?}");
    let once = [
        ((false, 0), heard.len() - MOVING * MEMBERS),
        ((true, 1), MOVING * MEMBERS),
    ];
    assert_eq!(gaps, BTreeMap::from(once), "gaps");
}

const MOVING: usize = 20;
/// At the server that they move away from.
const STAYING: usize = 4;
/// Of each group.
const MEMBERS: usize = 3;
/// From one publish to the next, of each group.
const PACE: Duration = Duration::from_millis(5);
/// From one slot to the next.
const BETWEEN: Duration = Duration::from_millis(50);
const BEFORE_AND_AFTER: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);
