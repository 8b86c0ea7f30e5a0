//! A node killed with -9 beside Django's core layer: the others hear everything, and Django's sends
//! take as long as before.
//!
//! A node is this program again, with the URL of its layer in a variable; it counts what its
//! members hear. Django has members, too. The sends to the group of the dead node are measured in
//! turn with those to a group that it was not in.

use std::env;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use strait::ChannelLayer;

use super::stage::Tick;
use crate::support::servers::{Peer, PeerConfig, Redis};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis and django"]
async fn a_node_killed_beside_django_costs_the_others_nothing() {
    let redis = Redis::start().await;
    let django = Peer::start(&PeerConfig::core(&[redis.url()])).await;
    let url = format!("channels-redis-core://{}/0", redis.address());
    let mut scene = Scene {
        nodes: Vec::new(),
        django,
        sent: [0; 2],
    };
    for groups in [ALL, ALL, DOOMED] {
        scene.nodes.push(Node::start(&url, groups).await);
    }
    for group in GROUPS {
        scene.django.crowd(group, DJANGO_MEMBERS).await;
    }

    // Work that is slow the first time.
    scene.round().await;
    let before = scene.rounds().await;
    scene.nodes.pop().unwrap().kill().await;
    let after = scene.rounds().await;
    // So that what the dead node left is either full or gone.
    sleep(CLEANED).await;
    let later = scene.rounds().await;

    let times = [
        ("before", before),
        ("right after", after),
        ("20 s after", later),
    ];
    for (when, [hit, other]) in times {
        println!(
            "{when} the kill, Django's send took {hit:.2?}, to the group without the dead node {other:.2?}"
        );
    }
    let key = format!("asgi:group:{}", GROUPS[0]);
    let left = redis.command(&["zcard", &key]).await;
    println!("the group in Redis: {left} members, {DJANGO_MEMBERS} of them Django's");
    let logs = scene.django.logs().await;
    println!(
        "Django logged {} lines, the last: {:?}",
        logs.len(),
        logs.last()
    );

    for (when, times) in [("right after", after), ("20 s after", later)] {
        let [hit, other] = [0, 1].map(|group| times[group].div_duration_f64(before[group]));
        // A cause that slows the other one, too, is not the dead node.
        let slower = hit / other.max(1.0);
        assert!(
            slower < SLOWER,
            "{when} the kill: {slower:.2} times as long"
        );
    }
    assert_eq!(
        left,
        (DJANGO_MEMBERS + 2).to_string(),
        "each living node has one"
    );
}

/// No test of its own: a node, when this program is started as one.
#[tokio::test]
#[ignore = "is a node of the test above"]
async fn as_a_node() {
    let (Ok(url), Ok(groups)) = (env::var(URL), env::var(JOINS)) else {
        return;
    };
    let layer = ChannelLayer::from_url(&url).await.unwrap();
    // Of each member, the numbers that it heard of each group.
    let heard: Arc<Mutex<Vec<(usize, usize, usize)>>> = Arc::default();
    for member in 0..MEMBERS {
        let mut channel = layer.new_channel();
        for group in groups.split(',') {
            channel.group_add(group).await.unwrap();
        }
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok(tick) = channel.recv::<Tick>().await {
                heard.lock().unwrap().push((member, tick.group, tick.n));
            }
        });
    }
    println!("\n{MARK}ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = lines.next_line().await {
        let all = heard.lock().unwrap().clone();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        println!("{MARK}{} {}", all.len(), all.len() - once.len());
    }
}

struct Scene {
    nodes: Vec<Node>,
    django: Peer,
    /// To each group.
    sent: [usize; 2],
}

impl Scene {
    /// The median send to each group.
    async fn rounds(&mut self) -> [Duration; 2] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            let round = self.round().await;
            for (times, round) in times.iter_mut().zip(round) {
                times.extend(round);
            }
        }
        times.map(|mut times| {
            times.sort();
            times[times.len() / 2]
        })
    }

    /// Some sends to each group in turn, then everybody has heard all of them once.
    async fn round(&mut self) -> [Vec<Duration>; 2] {
        let mut times = [Vec::new(), Vec::new()];
        for (place, group) in GROUPS.into_iter().enumerate() {
            let from = self.sent[place];
            let messages: Vec<_> = (from..from + SENDS)
                .map(|n| json!({"type": "tick", "group": place, "n": n}))
                .collect();
            times[place] = self.django.group_sends(group, &messages).await.unwrap();
            self.sent[place] += SENDS;
            let total = self.sent[place] * DJANGO_MEMBERS;
            let heard = self.django.crowd_received(group, total, SOON).await;
            assert_eq!(
                heard.iter().map(Vec::len).sum::<usize>(),
                total,
                "Django's members"
            );
        }
        for node in &mut self.nodes {
            node.heard(&self.sent).await;
        }
        times
    }
}

struct Node {
    groups: &'static [usize],
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Node {
    async fn start(url: &str, groups: &'static [usize]) -> Self {
        let names: Vec<_> = groups.iter().map(|group| GROUPS[*group]).collect();
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "backends::outage::killed_node::as_a_node",
            ])
            .env(URL, url)
            .env(JOINS, names.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut node = Self {
            groups,
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        };
        assert_eq!(node.line().await, "ready");
        node
    }

    /// Waits until each member has heard so much of each group, nothing twice.
    async fn heard(&mut self, sent: &[usize; 2]) {
        let sent: usize = self.groups.iter().map(|group| sent[*group]).sum();
        let all = format!("{} 0", MEMBERS * sent);
        let mut told = String::new();
        for _ in 0..500 {
            self.input.write_all(b"\n").await.unwrap();
            told = self.line().await;
            if told == all {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("heard and of it twice: {told}, expected {all}");
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    async fn line(&mut self) -> String {
        loop {
            let line = timeout(SOON, self.output.next_line()).await;
            let line = line.unwrap().unwrap().expect("the node runs");
            if let Some(line) = line.strip_prefix(MARK) {
                return line.to_owned();
            }
        }
    }
}

const GROUPS: [&str; 2] = ["order_42", "order_43"];
const ALL: &[usize] = &[0, 1];
/// The groups of the node that is killed.
const DOOMED: &[usize] = &[0];
/// Of each node.
const MEMBERS: usize = 100;
const DJANGO_MEMBERS: usize = 5;
const ROUNDS: usize = 15;
const SENDS: usize = 10;
/// The allowed time of a send, as a multiple of the time before.
const SLOWER: f64 = 1.5;
const CLEANED: Duration = Duration::from_secs(20);
/// Only a failing test waits that long.
const SOON: Duration = Duration::from_secs(30);
const URL: &str = "STRAIT_TESTS_NODE_URL";
const JOINS: &str = "STRAIT_TESTS_NODE_GROUPS";
/// The prefix of a node's lines, among those of the test.
const MARK: &str = "node: ";
