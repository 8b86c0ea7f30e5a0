//! The servers of the tests, tested themselves: they answer, die, come back and leave nothing
//! behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::{Cluster, Nats, NatsOptions, Peer, PeerConfig, Proxy, Redis, RedisOptions, Sentinels};

#[tokio::test]
#[ignore = "needs redis"]
async fn redis_dies_and_comes_back_empty_on_its_port() {
    let mut redis = Redis::start().await;
    redis.command(&["set", "a", "1"]).await;
    assert_eq!(redis.command(&["get", "a"]).await, "1");
    redis.kill();
    assert!(TcpStream::connect(redis.address()).await.is_err());
    redis.restart().await;
    assert_eq!(redis.command(&["get", "a"]).await, "");
    let id = redis.id();
    drop(redis);
    assert!(!runs(id));
}

#[tokio::test]
#[ignore = "needs redis"]
async fn redis_asks_for_the_login_of_its_options() {
    let open = Redis::start().await;
    let password = RedisOptions::new().password("pass-of-tests").start().await;
    let user = RedisOptions::new()
        .user("ann", "secret", "+ping ~* &*")
        .start()
        .await;
    let as_password: &[&str] = &["--pass", "pass-of-tests"];
    let as_user: &[&str] = &["--user", "ann", "--pass", "secret"];
    for (redis, login, ping) in [
        (&open, &[][..], "PONG"),
        (&password, as_password, "PONG"),
        (&password, &[], "NOAUTH"),
        (&user, as_user, "PONG"),
        (&user, &[], "NOAUTH"),
    ] {
        let output = Command::new("redis-cli")
            .args(["-p", &redis.port.to_string(), "--no-auth-warning"])
            .args(login)
            .arg("ping")
            .output();
        let answer = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(answer.starts_with(ping), "{login:?}: {answer}");
        assert_eq!(redis.command(&["ping"]).await, "PONG");
    }
    let at = |redis: &Redis| format!("@127.0.0.1:{}/0", redis.port);
    assert_eq!(
        password.url(),
        format!("redis://:pass-of-tests{}", at(&password))
    );
    assert_eq!(user.url(), format!("redis://ann:secret{}", at(&user)));
}

#[tokio::test]
#[ignore = "needs redis"]
async fn sentinels_choose_another_master() {
    let mut set = Sentinels::with(RedisOptions::new().password("pass-of-tests"), 1).await;
    assert_eq!(set.master().await, 0);
    let old = set.kill_master().await;
    assert_eq!(set.master_instead_of(old).await.0, 1);
    set.servers[1].command(&["set", "a", "1"]).await;
    set.servers[old].restart().await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_cluster_answers_without_one_node_and_is_whole_again_with_it() {
    let mut cluster = Cluster::start().await;
    let key = "a";
    let place = cluster.place_of(key).await;
    let other = (place + 1) % 3;
    cluster.nodes[other].kill();
    cluster.nodes[place].command(&["set", key, "1"]).await;
    cluster.nodes[other].restart().await;
    cluster.agrees().await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_replica_takes_the_place_of_a_cluster_node() {
    let mut cluster = Cluster::start_with_replica().await;
    cluster.nodes[0].kill();
    cluster.replica_took_over().await;
    cluster.agrees().await;
}

#[tokio::test]
#[ignore = "needs nats"]
async fn nats_dies_and_comes_back_on_its_port() {
    let mut nats = Nats::start().await;
    nats.kill();
    assert!(TcpStream::connect(nats.address()).await.is_err());
    nats.restart().await;
    let id = nats.id();
    drop(nats);
    assert!(!runs(id));
}

#[tokio::test]
#[ignore = "needs nats"]
async fn nats_asks_for_the_login_of_its_options() {
    for (options, connect, answer) in [
        (NatsOptions::new(), "{}", "PONG"),
        (
            NatsOptions::new().user("ann", "secret"),
            r#"{"user":"ann","pass":"secret"}"#,
            "PONG",
        ),
        (NatsOptions::new().user("ann", "secret"), "{}", "-ERR"),
        (
            NatsOptions::new().token("t-of-tests"),
            r#"{"auth_token":"t-of-tests"}"#,
            "PONG",
        ),
    ] {
        let nats = options.start().await;
        let mut stream = TcpStream::connect(nats.address()).await.unwrap();
        let words = format!("CONNECT {connect}\r\nPING\r\n");
        stream.write_all(words.as_bytes()).await.unwrap();
        let mut text = String::new();
        while !text.contains("PONG") && !text.contains("-ERR") {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            assert_ne!(length, 0, "{connect}: {text}");
            text += std::str::from_utf8(&buffer[..length]).unwrap();
        }
        assert!(text.contains(answer), "{connect}: {text}");
    }
}

#[tokio::test]
#[ignore = "needs redis and django"]
async fn two_django_processes_talk() {
    let (one, two) = tokio::join!(Redis::start(), Redis::start());
    let hosts = [one.url(), two.url()];
    for (layer, format) in [
        (PeerConfig::core(&hosts), "msgpack"),
        (PeerConfig::core(&hosts), "json"),
        (PeerConfig::pubsub(&hosts), "msgpack"),
        (PeerConfig::pubsub(&hosts), "json"),
    ] {
        let config = layer.prefix("test").serializer(format).keys(&["a", "b"]);
        let (here, there) = tokio::join!(Peer::start(&config), Peer::start(&config));
        let channel = here.new_channel().await;
        here.group_add("g", &channel).await;
        let message = if format == "json" {
            json!({"type": "a.b", "n": {"$int": "123456789012345678901234567890"}, "x": {"$float": "inf"}})
        } else {
            json!({"type": "a.b", "b": {"$bytes": "AP8="}, "n": [u64::MAX, i64::MIN, 1.5, null, true], "m": {"é": {}}})
        };
        there.group_send("g", &message).await.unwrap();
        assert_eq!(
            here.receive(&channel, SOON).await,
            Some(message),
            "{config:?}"
        );
        here.group_discard("g", &channel).await;
        there.group_send("g", &json!({"type": "c"})).await.unwrap();
        assert_eq!(here.receive(&channel, SHORT).await, None, "{config:?}");

        here.crowd("many", 20).await;
        let messages: Vec<Value> = (0..5).map(|n| json!({"type": "a", "n": n})).collect();
        let took = there.group_sends("many", &messages).await.unwrap();
        assert_eq!(took.len(), 5);
        let received = here.crowd_received("many", 100, SOON).await;
        assert!(
            received.iter().all(|of_one| *of_one == messages),
            "{received:?}"
        );
        here.flush().await;
    }
}

#[tokio::test]
#[ignore = "needs redis and django"]
async fn a_full_django_channel_is_an_exception_and_a_full_group_a_line_in_the_log() {
    let redis = Redis::start().await;
    let config = PeerConfig::core(&[redis.url()]).capacity(1);
    let peer = Peer::start(&config).await;
    let channel = peer.new_channel().await;
    peer.group_add("g", &channel).await;
    let message = json!({"type": "a"});
    peer.send(&channel, &message).await.unwrap();
    let full = peer.send(&channel, &message).await.unwrap_err();
    assert_eq!(full.class, "ChannelFull");
    peer.group_send("g", &message).await.unwrap();
    let logs = peer.logs().await;
    assert_eq!(logs, ["INFO 1 of 1 channels over capacity in group g"]);
    assert_eq!(peer.receive(&channel, SOON).await, Some(message));
}

/// The remains of a killed test: this target, run as a child that is killed with -9.
#[tokio::test]
#[ignore = "needs redis"]
async fn a_killed_test_leaves_no_server_and_no_folder() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "support::servers::tests::waits_to_be_killed",
        ])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let line = output
        .lines()
        .map(Result::unwrap)
        .find_map(|line| line.split_once("server ").map(|(_, rest)| rest.to_owned()))
        .unwrap();
    let (id, folder) = line.split_once(' ').unwrap();
    let id = id.parse().unwrap();
    assert!(runs(id) && Path::new(folder).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    for _ in 0..500 {
        if !runs(id) && !Path::new(folder).exists() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} runs: {}, {folder}", runs(id));
}

#[tokio::test]
#[ignore = "is the victim of the test above"]
#[allow(clippy::print_stdout, reason = "the test above reads it")]
async fn waits_to_be_killed() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let redis = Redis::start().await;
    let folder = std::fs::read_link(format!("/proc/{}/cwd", redis.id())).unwrap();
    println!("server {} {}", redis.id(), folder.display());
    sleep(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn a_stalled_proxy_passes_nothing_and_then_all() {
    let proxy = Proxy::to(echo().await).await;
    let mut first = TcpStream::connect(proxy.address()).await.unwrap();
    said(&mut first, "a").await;
    proxy.stall();
    first.write_all(b"b").await.unwrap();
    let mut second = TcpStream::connect(proxy.address()).await.unwrap();
    second.write_all(b"c").await.unwrap();
    silent(&mut first).await;
    silent(&mut second).await;
    proxy.resume();
    assert_eq!(timeout(SOON, first.read_u8()).await.unwrap().unwrap(), b'b');
    assert_eq!(
        timeout(SOON, second.read_u8()).await.unwrap().unwrap(),
        b'c'
    );
    assert_eq!(proxy.opened(), 2);
}

#[tokio::test]
async fn a_proxy_forgets_the_connections_of_now_only() {
    let proxy = Proxy::to(echo().await).await;
    let mut first = TcpStream::connect(proxy.address()).await.unwrap();
    said(&mut first, "a").await;
    proxy.forget();
    first.write_all(b"b").await.unwrap();
    silent(&mut first).await;
    let mut second = TcpStream::connect(proxy.address()).await.unwrap();
    said(&mut second, "c").await;
    proxy.resume();
    silent(&mut first).await;
}

#[tokio::test]
async fn a_proxy_passes_an_end_on() {
    let proxy = Proxy::to(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    said(&mut stream, "a").await;
    stream.shutdown().await.unwrap();
    assert_eq!(
        timeout(SOON, stream.read(&mut [0])).await.unwrap().unwrap(),
        0
    );
}

/// The address of a server that sends back what it gets.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address.to_string()
}

async fn said(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; text.len()];
    let read = timeout(SOON, stream.read_exact(&mut answer)).await;
    read.unwrap().unwrap();
    assert_eq!(answer, text.as_bytes());
}

async fn silent(stream: &mut TcpStream) {
    let read = timeout(Duration::from_millis(100), stream.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
}

/// Whether it is a process that has not ended.
fn runs(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

const VICTIM: &str = "STRAIT_TESTS_VICTIM";
/// To see that nothing comes.
const SHORT: Duration = Duration::from_millis(200);
/// Only a failing test waits that long.
const SOON: Duration = Duration::from_secs(30);
