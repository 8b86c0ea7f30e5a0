//! The NATS backend with a private server: the conformance suite, outages, and what is refused at
//! the start.

use std::future::IntoFuture;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use crate::support::log::Log;
use crate::support::servers::{Nats, NatsOptions};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use strait::layer::{Channel, Receivers};
use strait::testing::conformance;
use strait::{ChannelLayer, Error};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "note")]
struct Note {
    n: u64,
}

#[tokio::test]
#[ignore = "needs nats"]
async fn it_conforms() {
    let server = Nats::start().await;
    let url = server.url();
    conformance::run(|| ChannelLayer::from_url(&url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats"]
async fn it_conforms_on_several_threads() {
    let server = Nats::start().await;
    let url = format!("{}?prefix=other.app", server.url());
    conformance::run(|| ChannelLayer::from_url(&url)).await;
}

#[tokio::test]
#[ignore = "needs nats"]
async fn it_promises_neither_one_order_nor_a_count() {
    let server = Nats::start().await;
    let layer = ChannelLayer::from_url(&server.url()).await.unwrap();
    assert!(!layer.guarantees().ordered);
    assert_eq!(layer.guarantees().receivers, Receivers::Unknown);
}

/// A publisher publishes all the time, and knows of each event whether it was taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats"]
async fn a_server_that_is_killed_and_comes_back_costs_a_gap_and_nothing_twice() {
    let mut server = Nats::start().await;
    let (here, there) = two(&server).await;
    let mut members = Vec::new();
    for n in 0..100 {
        let mut channel = there.new_channel();
        channel.group_add("all").await.unwrap();
        channel.group_add(format!("own_{n}")).await.unwrap();
        members.push(tokio::spawn(watch(channel)));
    }
    let publisher = tokio::spawn(publish(here.clone(), Duration::from_secs(8)));
    sleep(Duration::from_secs(1)).await;
    let killed = Instant::now();
    server.kill();
    sleep(Duration::from_secs(1)).await;
    let refused = there.new_channel().group_add("late").await.unwrap_err();
    assert!(refused.is_unavailable(), "{refused}");
    assert!(refused.to_string().contains(&server.address()), "{refused}");
    sleep(Duration::from_secs(2)).await;
    server.restart().await;
    let restarted = Instant::now();
    let published = publisher.await.unwrap();
    for member in members {
        let seen = member.await.unwrap();
        let mut gaps = seen.gaps;
        gaps.sort();
        assert_eq!(gaps.len(), 2, "one for each group: {gaps:?}");
        let mut sorted = seen.numbers.clone();
        sorted.dedup();
        assert!(
            sorted.is_sorted() && sorted.len() == seen.numbers.len(),
            "twice, or out of order"
        );
        // Accepted messages arrive, except those under way when the server was killed and those
        // accepted before this node had subscribed again: the gap stands for both.
        let before: Vec<_> = published
            .iter()
            .filter(|taken| taken.at + ON_THE_WAY < killed)
            .collect();
        for taken in &before {
            assert!(
                seen.numbers.contains(&taken.n),
                "{} was taken and did not come",
                taken.n
            );
        }
        let last = published.last().unwrap().n;
        assert_eq!(seen.numbers.last(), Some(&last));
    }
    let refused = published.last().unwrap().refused;
    assert!(refused > 10, "{refused} were refused");
    let first = published.iter().find(|taken| taken.at > restarted).unwrap();
    let resumed = first.at - restarted;
    assert!(resumed < Duration::from_secs(2), "{resumed:?}");
    eprintln!(
        "{} taken, {refused} refused, resumed after {resumed:?}",
        published.len()
    );
}

/// The longest time from a publish to its arrival at all members.
const ON_THE_WAY: Duration = Duration::from_millis(200);

struct Taken {
    n: u64,
    at: Instant,
    /// Before it.
    refused: u64,
}

async fn publish(layer: ChannelLayer, time: Duration) -> Vec<Taken> {
    let begin = Instant::now();
    let (mut taken, mut refused) = (Vec::new(), 0);
    for n in 0.. {
        let called = Instant::now();
        match layer.group_send("all", &Note { n }).await {
            Ok(_) => taken.push(Taken {
                n,
                at: Instant::now(),
                refused,
            }),
            Err(error) => {
                assert!(error.is_unavailable(), "{error}");
                refused += 1;
            }
        }
        assert!(called.elapsed() < Duration::from_millis(500), "it waited");
        // The last one is taken.
        if begin.elapsed() > time && taken.last().is_some_and(|taken: &Taken| taken.n == n) {
            break;
        }
        sleep(Duration::from_millis(2)).await;
    }
    taken
}

#[derive(Default)]
struct Seen {
    numbers: Vec<u64>,
    gaps: Vec<String>,
}

/// Until nothing has come for a while, and a gap has.
async fn watch(mut channel: Channel) -> Seen {
    let mut seen = Seen::default();
    loop {
        match timeout(Duration::from_secs(6), channel.recv::<Note>()).await {
            Ok(Ok(note)) => seen.numbers.push(note.n),
            Ok(Err(error)) if error.is_gap() => seen.gaps.push(error.to_string()),
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => return seen,
        }
    }
}

/// The server takes one client: neither what the library makes of a lost connection nor a layer
/// that was dropped stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats"]
async fn no_connection_outlives_its_use() {
    let mut server = NatsOptions::new().line("max_connections: 1").start().await;
    let url = server.url();
    let layer = connect(&url).await;
    for n in 0..3 {
        server.kill();
        server.restart().await;
        let begin = Instant::now();
        while layer.group_send("room", &Note { n }).await.is_err() {
            assert!(
                begin.elapsed() < Duration::from_secs(5),
                "it does not come back"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
    drop(layer);
    for _ in 0..3 {
        let layer = connect(&url).await;
        let mut channel = layer.new_channel();
        channel.group_add("room").await.unwrap();
    }
}

/// As soon as the server takes it.
async fn connect(url: &str) -> ChannelLayer {
    let connected = timeout(PATIENCE, async {
        loop {
            match ChannelLayer::from_url(url).await {
                Ok(layer) => return layer,
                Err(error) => assert!(error.is_unavailable(), "{error}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    connected.await.expect("the server takes no more")
}

#[tokio::test]
#[ignore = "needs nats"]
async fn a_server_that_has_become_silent_is_given_up() {
    let server = Nats::start().await;
    let layer = quick(ChannelLayer::from_url(&server.url()).await.unwrap());
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    server.freeze();
    let begin = Instant::now();
    // The server's threads do not stop at the same moment.
    let error = loop {
        match layer.group_send("room", &Note { n: 1 }).await {
            Ok(_) => assert!(begin.elapsed() < Duration::from_secs(1), "it does not stop"),
            Err(error) => break error,
        }
    };
    assert!(
        error.is_unavailable() && begin.elapsed() < Duration::from_secs(7),
        "{error}"
    );
    let error = layer.group_send("room", &Note { n: 1 }).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(7), "{error}");
    server.thaw();
    let gap = timeout(PATIENCE, async {
        loop {
            if let Err(error) = channel.recv::<Note>().await {
                return error;
            }
        }
    });
    assert!(gap.await.unwrap().is_gap());
    layer.group_send("room", &Note { n: 2 }).await.unwrap();
    while channel.recv::<Note>().await.unwrap() != (Note { n: 2 }) {}
}

#[tokio::test]
#[ignore = "needs nats"]
async fn faults_at_the_start_are_named_in_one_sentence() {
    let open = Nats::start().await;
    let user = NatsOptions::new().user("me", "p@ss").start().await;
    let token = NatsOptions::new().token("t0ken").start().await;
    let denied = NatsOptions::new()
        .line("authorization { users: [{ user: a, password: b, permissions: { publish: \"x.>\", subscribe: \"x.>\" } }] }")
        .start()
        .await;
    let (user, token, denied) = (user.address(), token.address(), denied.address());
    let rows = [
        (
            format!("nats://{user}"),
            "refuses the login; the URL has none",
        ),
        (format!("nats://me:wrong@{user}"), "check user and password"),
        (format!("nats://wrong@{token}"), "check the token"),
        (
            format!("nats://{}?tls=true", open.address()),
            "speaks no TLS, which tls=true asks for",
        ),
        (
            format!("nats://a:b@{denied}"),
            "the user needs permission to publish and to subscribe to strait.>",
        ),
    ];
    for (url, why) in rows {
        let error = ChannelLayer::from_url(&url).await.unwrap_err();
        let text = error.to_string();
        assert!(
            error.is_misconfigured() && text.contains(why),
            "{url}: {text}"
        );
        assert!(!text.contains("wrong"), "{text}");
    }
    for url in ["nats://127.0.0.1:1", "nats://nowhere.invalid"] {
        let error = ChannelLayer::from_url(url).await.unwrap_err();
        let text = error.to_string();
        assert!(
            error.is_unavailable() && text.contains("cannot reach NATS at"),
            "{url}: {text}"
        );
    }
    let prefixed = strait::backends::Nats::new(open.url()).prefix("a b");
    let error = ChannelLayer::new(prefixed).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("the prefix \"a b\" cannot begin a NATS subject"),
        "{text}"
    );
    ChannelLayer::from_url(&format!("nats://me:p%40ss@{user}"))
        .await
        .unwrap();
    ChannelLayer::from_url(&format!("nats://t0ken@{token}"))
        .await
        .unwrap();
    ChannelLayer::from_url(&format!("nats://a:b@{denied}?prefix=x.y"))
        .await
        .unwrap();
    // Of several servers one is enough.
    ChannelLayer::from_url(&format!("nats://127.0.0.1:1,{}", open.address()))
        .await
        .unwrap();
}

/// A server whose only user may do so much.
async fn restricted(permissions: &str) -> Nats {
    NatsOptions::new()
        .line(&restriction(permissions))
        .start()
        .await
}

fn restriction(permissions: &str) -> String {
    format!(
        "authorization {{ users: [{{ user: a, password: b, permissions: {{ {permissions} }} }}] }}"
    )
}

async fn as_user(server: &Nats) -> ChannelLayer {
    let url = format!("nats://a:b@{}", server.address());
    quick(ChannelLayer::from_url(&url).await.unwrap())
}

/// Whether an event arrives that is published now.
async fn hears(layer: &ChannelLayer, group: &str, channel: &mut Channel, n: u64) {
    layer.group_send(group, &Note { n }).await.unwrap();
    let note = timeout(PATIENCE, channel.recv::<Note>()).await.unwrap();
    assert_eq!(note.unwrap(), Note { n });
}

#[tokio::test]
#[ignore = "needs nats"]
async fn a_join_that_the_server_denies_fails_and_a_later_one_tries_again() {
    let mut server = restricted("subscribe: { deny: \"strait.g.secret\" }").await;
    let (log, _guard) = Log::start();
    let layer = as_user(&server).await;
    let mut channel = layer.new_channel();
    channel.group_add("open").await.unwrap();
    for _ in 0..10 {
        let error = channel.group_add("secret").await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_misconfigured(), "{text}");
        for part in [
            "strait.g.secret",
            "Permissions Violation",
            "permission to publish and to subscribe to strait.>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert_eq!(log.lines("WARN"), 1, "{}", log.text());
    assert!(layer.is_available());
    hears(&layer, "open", &mut channel, 1).await;
    server.reconfigure(&restriction(""));
    let mut member = layer.new_channel();
    join_at_last(&mut member, "secret").await;
    hears(&layer, "secret", &mut member, 2).await;
}

/// As soon as the server lets it.
async fn join_at_last(channel: &mut Channel, group: &str) {
    let joined = timeout(PATIENCE, async {
        while channel.group_add(group).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    joined.await.expect("it is still refused");
}

/// Many at once, so that those that are refused and those that are not are confirmed together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats"]
async fn of_many_requests_at_once_those_that_the_server_denies_fail() {
    let all = |name: &str| -> String {
        let subjects = (0..200).map(|n| format!("\"strait.g.{name}_{n}\""));
        subjects.collect::<Vec<_>>().join(", ")
    };
    let (secret, dark) = (all("secret"), all("dark"));
    let denied = format!("publish: {{ deny: [{secret}] }}, subscribe: {{ deny: [{dark}] }}");
    let server = restricted(&denied).await;
    let layer = as_user(&server).await;
    let joins = (0..200).map(|n| {
        let (layer, name) = (&layer, ["open", "dark"][n % 2]);
        async move {
            let mut channel = layer.new_channel();
            let joined = channel.group_add(format!("{name}_{n}")).await;
            assert_eq!(joined.is_ok(), name == "open", "{n}");
            (n, channel)
        }
    });
    let members = join_all(joins).await;
    let name = |n: usize| ["open", "secret"][n / 2 % 2];
    for round in 0..10 {
        let publishes = (0..200).map(|n| {
            let group = format!("{}_{n}", name(n));
            layer.group_send(group, &Note { n: round }).into_future()
        });
        for (n, published) in join_all(publishes).await.into_iter().enumerate() {
            assert_eq!(published.is_ok(), name(n) == "open", "{n}: {published:?}");
            if let Err(error) = published {
                assert!(error.is_misconfigured(), "{error}");
            }
        }
    }
    for (n, mut channel) in members.into_iter().filter(|(n, _)| n % 4 == 0) {
        for round in 0..10 {
            let note = timeout(PATIENCE, channel.recv::<Note>()).await.unwrap();
            assert_eq!(note.unwrap(), Note { n: round }, "{n}");
        }
    }
}

#[tokio::test]
#[ignore = "needs nats"]
async fn a_publish_that_the_server_denies_fails() {
    let server = restricted("publish: { deny: \"strait.g.secret\" }").await;
    let (log, _guard) = Log::start();
    let layer = as_user(&server).await;
    let mut channel = layer.new_channel();
    channel.group_add("secret").await.unwrap();
    channel.group_add("open").await.unwrap();
    for n in 0..10 {
        let error = layer.group_send("secret", &Note { n }).await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_misconfigured(), "{text}");
        for part in [
            "strait.g.secret",
            "Permissions Violation",
            "permission to publish and to subscribe to strait.>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    hears(&layer, "open", &mut channel, 11).await;
    assert_eq!(log.lines("WARN"), 1, "{}", log.text());
}

#[tokio::test]
#[ignore = "needs nats"]
async fn a_join_beyond_the_limit_of_subscriptions_fails_until_there_is_room() {
    // One is for the node's channels.
    let server = NatsOptions::new()
        .line("max_subscriptions: 3")
        .start()
        .await;
    let (log, _guard) = Log::start();
    let layer = ChannelLayer::from_url(&server.url()).await.unwrap();
    let mut members = [layer.new_channel(), layer.new_channel()];
    members[0].group_add("g0").await.unwrap();
    members[1].group_add("g1").await.unwrap();
    let mut late = layer.new_channel();
    for _ in 0..10 {
        let error = late.group_add("g2").await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_misconfigured(), "{text}");
        for part in [
            "strait.g.g2",
            "maximum subscriptions exceeded",
            "raise max_subscriptions",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert_eq!(log.lines("WARN"), 1, "{}", log.text());
    hears(&layer, "g1", &mut members[1], 1).await;
    let _ = members[0].group_discard("g0");
    join_at_last(&mut late, "g2").await;
    hears(&layer, "g2", &mut late, 2).await;
    hears(&layer, "g1", &mut members[1], 3).await;
}

/// The server comes back with less permission: the groups that are left are subscribed to again,
/// and the denied one is not said to be.
#[tokio::test]
#[ignore = "needs nats"]
async fn a_group_that_is_denied_after_an_outage_keeps_no_other_deaf() {
    let mut server = restricted("").await;
    let (log, _guard) = Log::start();
    let layer = as_user(&server).await;
    let mut open = layer.new_channel();
    for n in 0..100 {
        open.group_add(format!("open_{n}")).await.unwrap();
    }
    let mut secret = layer.new_channel();
    secret.group_add("secret").await.unwrap();
    server.kill();
    server.reconfigure(&restriction("subscribe: { deny: \"strait.g.secret\" }"));
    server.restart().await;
    for _ in 0..100 {
        let told = timeout(PATIENCE, open.recv::<Note>()).await.unwrap();
        assert!(told.unwrap_err().is_gap());
    }
    hears(&layer, "open_57", &mut open, 1).await;
    let error = layer.new_channel().group_add("secret").await.unwrap_err();
    assert!(error.is_misconfigured(), "{error}");
    assert_eq!(
        log.lines("WARN"),
        3,
        "the loss, the refusal, the group: {}",
        log.text()
    );
}

/// A server that is reconfigured takes subscriptions away, or the login, while the connection
/// stays.
#[tokio::test]
#[ignore = "needs nats"]
async fn a_subscription_and_a_login_that_a_reload_takes_away_are_outages() {
    let mut server = restricted("").await;
    let layer = as_user(&server).await;
    let mut channel = layer.new_channel();
    channel.group_add("open").await.unwrap();
    let mut secret = layer.new_channel();
    secret.group_add("secret").await.unwrap();
    server.reconfigure(&restriction("subscribe: { deny: \"strait.g.secret\" }"));
    let told = timeout(PATIENCE, channel.recv::<Note>()).await.unwrap();
    assert!(told.unwrap_err().is_gap());
    hears(&layer, "open", &mut channel, 1).await;
    let error = layer.new_channel().group_add("secret").await.unwrap_err();
    assert!(error.is_misconfigured(), "{error}");
    server.reconfigure("authorization { users: [{ user: other, password: other }] }");
    let refused = timeout(PATIENCE, async {
        loop {
            match layer.group_send("open", &Note { n: 2 }).await {
                Err(error) if error.to_string().contains("refuses the login") => return error,
                _ => sleep(Duration::from_millis(20)).await,
            }
        }
    });
    let error = refused.await.unwrap();
    assert!(error.is_unavailable() && !layer.is_available(), "{error}");
    server.reconfigure(&restriction(""));
    let told = timeout(PATIENCE, channel.recv::<Note>()).await.unwrap();
    assert!(told.unwrap_err().is_gap());
    hears(&layer, "open", &mut channel, 3).await;
}

#[tokio::test]
#[ignore = "needs nats"]
async fn a_payload_larger_than_the_server_takes_is_refused_with_the_limit() {
    let server = NatsOptions::new().line("max_payload: 2000").start().await;
    let layer = ChannelLayer::from_url(&server.url()).await.unwrap();
    let error = layer
        .group_broadcast("room", "x".repeat(2000))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        error.is_too_large() && text.contains("2002 bytes"),
        "{text}"
    );
    assert!(text.contains("max_payload of NATS is 2000 bytes"), "{text}");
    layer
        .group_broadcast("room", "x".repeat(1998))
        .await
        .unwrap();
}

/// It closes the connection over a message that is too large, and only then says what it takes.
#[tokio::test]
#[ignore = "needs nats"]
async fn a_limit_of_the_payload_that_a_reload_lowers_is_learned() {
    let mut server = Nats::start().await;
    let layer = quick(ChannelLayer::from_url(&server.url()).await.unwrap());
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    server.reconfigure("max_payload: 2000");
    let refused = timeout(PATIENCE, async {
        loop {
            match layer.group_broadcast("room", "x".repeat(5_000)).await {
                Err(error) => return error,
                Ok(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    });
    let text = refused.await.unwrap().to_string();
    assert!(text.to_lowercase().contains("maximum payload"), "{text}");
    while !channel
        .recv::<Note>()
        .await
        .is_err_and(|error| error.is_gap())
    {}
    let error = layer
        .group_broadcast("room", "x".repeat(5_000))
        .await
        .unwrap_err();
    assert!(error.is_too_large(), "{error}");
    hears(&layer, "room", &mut channel, 1).await;
}

#[tokio::test]
#[ignore = "needs nats"]
async fn a_server_without_room_for_another_client_says_so() {
    let server = NatsOptions::new().line("max_connections: 1").start().await;
    let _layer = connect(&server.url()).await;
    let error = ChannelLayer::from_url(&server.url()).await.unwrap_err();
    let text = error.to_string();
    assert!(error.is_unavailable(), "{text}");
    assert!(text.contains("raise max_connections"), "{text}");
}

/// A server that is about to leave serves for a while yet.
#[tokio::test]
#[ignore = "needs nats"]
async fn a_server_in_lame_duck_mode_is_used_until_it_closes_the_connection() {
    let options =
        NatsOptions::new().line("lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"");
    let mut server = options.start().await;
    let layer = quick(ChannelLayer::from_url(&server.url()).await.unwrap());
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    server.signal("USR2");
    hears(&layer, "room", &mut channel, 1).await;
    while layer.is_available() {
        sleep(Duration::from_millis(20)).await;
    }
    server.kill();
    server.restart().await;
    while !channel
        .recv::<Note>()
        .await
        .is_err_and(|error| error.is_gap())
    {}
    hears(&layer, "room", &mut channel, 2).await;
}

/// A server in the hands of a test, for one connection. It takes no group.
struct Fake {
    address: String,
    /// Whether what the node publishes to itself comes back.
    echoes: bool,
    /// Whether it answers.
    answers: watch::Sender<bool>,
    /// How many subscriptions to groups it has read.
    asked: watch::Sender<usize>,
}

impl Fake {
    async fn start(echoes: bool) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Arc::new(Self {
            address: listener.local_addr().unwrap().to_string(),
            echoes,
            answers: watch::Sender::new(true),
            asked: watch::Sender::new(0),
        });
        tokio::spawn(fake.clone().serve(listener));
        fake
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.into_split();
        writer
            .write_all(b"INFO {\"max_payload\":1048576}\r\n")
            .await
            .unwrap();
        let mut lines = BufReader::new(reader).lines();
        let mut answers = self.answers.subscribe();
        while let Ok(Some(line)) = lines.next_line().await {
            let words: Vec<_> = line.split(' ').collect();
            let answer = match &words[..] {
                ["PING"] => "PONG\r\n".to_owned(),
                ["SUB", subject, _] if subject.contains(".g.") => {
                    self.asked.send_modify(|asked| *asked += 1);
                    "-ERR 'maximum subscriptions exceeded'\r\n".to_owned()
                }
                ["PUB", subject, "0"] if self.echoes => format!("MSG {subject} 1 0\r\n\r\n"),
                _ => continue,
            };
            answers.wait_for(|answers| *answers).await.unwrap();
            if writer.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn url(&self) -> String {
        format!("nats://{}", self.address)
    }
}

#[tokio::test]
async fn a_server_that_answers_and_delivers_nothing_is_of_no_use() {
    let fake = Fake::start(false).await;
    let error = ChannelLayer::from_url(&fake.url()).await.unwrap_err();
    let text = error.to_string();
    assert!(error.is_unavailable(), "{text}");
    assert!(text.contains("does not come back"), "{text}");
}

/// The first join is dropped before the server refuses it. The second finds the subscription asked
/// for, and must not trust it.
#[tokio::test]
async fn a_join_does_not_trust_a_subscription_that_is_refused_to_another() {
    let fake = Fake::start(true).await;
    let layer = ChannelLayer::from_url(&fake.url()).await.unwrap();
    fake.answers.send_replace(false);
    let [mut dropped, mut waiting] = [layer.new_channel(), layer.new_channel()];
    let mut asked = fake.asked.subscribe();
    tokio::select! {
        _ = dropped.group_add("room") => panic!("nothing answers it"),
        asked = asked.wait_for(|asked| *asked == 1) => drop(asked.unwrap()),
    }
    let answer = async {
        // Until the second is asked for, too.
        for _ in 0..10 {
            yield_now().await;
        }
        fake.answers.send_replace(true);
    };
    let (joined, ()) = tokio::join!(waiting.group_add("room"), answer);
    let text = joined.unwrap_err().to_string();
    assert!(text.contains("strait.g.room"), "{text}");
}

#[tokio::test]
#[ignore = "needs nats"]
async fn tls_is_spoken_with_a_server_whose_authority_is_trusted() {
    let folder = env::temp_dir().join(format!("strait-nats-tls-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    let status = Command::new("openssl")
        .args("req -x509 -nodes -newkey rsa:2048 -days 2 -subj /CN=nats -keyout key.pem -out cert.pem".split(' '))
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(&folder)
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let [key, cert] = ["key.pem", "cert.pem"].map(|name| folder.join(name).display().to_string());
    let tls = format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\" }}");
    let server = NatsOptions::new().line(&tls).start().await;
    for query in [format!("?tls=true&ca={cert}"), format!("?ca={cert}")] {
        let url = format!("{}{query}", server.url());
        let layer = ChannelLayer::from_url(&url).await.unwrap();
        let mut channel = layer.new_channel();
        channel.group_add("room").await.unwrap();
        layer.group_send("room", &Note { n: 1 }).await.unwrap();
        assert_eq!(channel.recv::<Note>().await.unwrap(), Note { n: 1 });
    }
    let error = ChannelLayer::from_url(&server.url()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        error.is_misconfigured() && text.contains("?ca=FILE"),
        "{text}"
    );
    let url = format!("{}?ca=/nowhere.pem", server.url());
    let error = ChannelLayer::from_url(&url).await.unwrap_err();
    assert!(error.is_misconfigured(), "{error}");
    fs::remove_dir_all(&folder).unwrap();
}

/// One thread has the connection, the tasks of the groups, the deliveries, and the member: all that
/// is read at once waits for its turn.
#[tokio::test]
#[ignore = "needs nats"]
async fn a_burst_to_a_member_that_receives_is_delivered() {
    let server = Nats::start().await;
    let (here, there) = two(&server).await;
    let mut channel = there.new_channel();
    channel.group_add("room").await.unwrap();
    for round in 0..10 {
        let first = round * 1_000;
        let publishes = (first..first + 1_000).map(|n| here.group_send("room", &Note { n }));
        let publishing = join_all(publishes.map(IntoFuture::into_future));
        let receiving = async {
            let mut numbers = Vec::new();
            while numbers.len() < 1_000 {
                let note = timeout(PATIENCE, channel.recv::<Note>())
                    .await
                    .expect("it is lost");
                numbers.push(note.unwrap().n);
            }
            numbers
        };
        let (published, mut numbers) = tokio::join!(publishing, receiving);
        // A publisher that does not await one publish before the next has no order.
        numbers.sort_unstable();
        assert!(published.iter().all(Result::is_ok));
        assert_eq!(numbers, (first..first + 1_000).collect::<Vec<_>>());
    }
    assert_eq!(channel.dropped(), 0);
}

/// The node is blocked while 60,000 events come. It then reads no more at a time than can be
/// delivered.
#[test]
#[ignore = "needs nats"]
fn a_node_that_was_blocked_misses_nothing() {
    let [node, other] = [(); 2].map(|()| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap()
    });
    let patient = NatsOptions::new().line("write_deadline: \"60s\"");
    let server = other.block_on(patient.start());
    let here = other
        .block_on(ChannelLayer::from_url(&server.url()))
        .unwrap();
    let (layer, mut channel) = node.block_on(async {
        let layer = quick(ChannelLayer::from_url(&server.url()).await.unwrap());
        let mut channel = layer.new_channel();
        channel.group_add("room").await.unwrap();
        (layer, channel)
    });
    const EVENTS: u64 = 60_000;
    other.block_on(async {
        for first in (0..EVENTS).step_by(500) {
            let publishes = (first..first + 500).map(|n| here.group_send("room", &Note { n }));
            let published = join_all(publishes.map(IntoFuture::into_future)).await;
            assert!(published.iter().all(Result::is_ok));
        }
    });
    let (received, gaps) = node.block_on(async {
        let (mut received, mut gaps) = (0, 0);
        loop {
            match timeout(Duration::from_secs(2), channel.recv::<Note>()).await {
                Ok(Ok(_)) => received += 1,
                Ok(Err(error)) if error.is_gap() => gaps += 1,
                Ok(Err(error)) => panic!("{error}"),
                Err(_) => return (received, gaps),
            }
        }
    });
    assert_eq!((received, gaps, channel.dropped()), (EVENTS, 0, 0));
    node.block_on(async {
        layer.group_send("room", &Note { n: 7 }).await.unwrap();
        let note = timeout(PATIENCE, channel.recv::<Note>()).await.unwrap();
        assert_eq!(note.unwrap(), Note { n: 7 });
    });
}

/// One confirmation is for all that wait for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats"]
async fn many_publishes_at_once_are_confirmed_together() {
    let server = Nats::start().await;
    let layer = ChannelLayer::from_url(&server.url()).await.unwrap();
    let begin = Instant::now();
    for _ in 0..20 {
        let publishes = (0..500).map(|n| layer.group_send("room", &Note { n }).into_future());
        let results: Vec<Result<_, Error>> = join_all(publishes).await;
        assert!(results.iter().all(Result::is_ok));
    }
    eprintln!("10,000 publishes in {:?}", begin.elapsed());
}

async fn two(server: &Nats) -> (ChannelLayer, ChannelLayer) {
    let url = server.url();
    let [here, there] = [
        ChannelLayer::from_url(&url).await,
        ChannelLayer::from_url(&url).await,
    ];
    (quick(here.unwrap()), quick(there.unwrap()))
}

/// For tests that wait until all hooks have run.
fn quick(layer: ChannelLayer) -> ChannelLayer {
    layer.gap_window(Duration::from_millis(500))
}

const PATIENCE: Duration = Duration::from_secs(20);
