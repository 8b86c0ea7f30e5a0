//! The cost of Redis: publishing by one node beside the bare client, in turn, and the way of a
//! message from node to node.
//!
//! `cargo bench --features redis --bench redis` starts a server of its own. Publishing is over when
//! all answers are there; each message is of 200 bytes.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails should panic")]
#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo};
use serde::{Deserialize, Serialize};
use strait::ChannelLayer;
use strait::backends::Redis;

fn main() {
    // `cargo test --benches` runs it, too, to see that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = Server::start();
        throughput(&server).await;
        latency(&server).await;
    });
}

/// Rounds in turn, so that what else the machine does meets all alike.
async fn throughput(server: &Server) {
    let bare = server.client().await;
    let subscribed = server.subscribed_client("heard by the client").await;
    let silent = ChannelLayer::new(Redis::new(server.url())).await.unwrap();
    let busy = ChannelLayer::new(Redis::new(server.url())).await.unwrap();
    let mut member = busy.new_channel();
    member.group_add("heard").await.unwrap();
    let drain = tokio::spawn(async move {
        // A gap is no end: the publisher is faster than any one member.
        loop {
            let _ = member.recv::<Ping>().await;
        }
    });
    let mut costs: [Vec<Cost>; 5] = Default::default();
    for round in 0..=ROUNDS {
        let turn = [
            pipelined(&bare, "unheard").await,
            concurrent(&bare).await,
            through(&silent, "unheard").await,
            pipelined(&subscribed, "heard by the client").await,
            through(&busy, "heard").await,
        ];
        // The first warms up.
        if round > 0 {
            for (costs, cost) in costs.iter_mut().zip(turn) {
                costs.push(cost);
            }
        }
    }
    drain.abort();
    let rates = costs
        .each_ref()
        .map(|costs| median(costs, |cost| cost.rate));
    let cpus = costs.each_ref().map(|costs| median(costs, |cost| cost.cpu));
    println!("publishes a second, median of {ROUNDS} rounds in turn, {PUBLISHERS} publishers:");
    let rows = [
        "the bare client, pipelines of 100",
        "the bare client, each by itself",
        "group_send, no member",
        "the bare client, pipelines, heard here",
        "group_send, heard by a member here",
    ];
    for (place, row) in rows.iter().enumerate() {
        // Each beside the bare client's pipelines in the same position.
        let beside = rates[place / 3 * 3];
        let (rate, part, cpu) = (rates[place], rates[place] / beside, cpus[place]);
        println!(
            "  {row:38} {rate:>9.0}  {part:.2} of the pipelines, {cpu:.2} µs of processor time each"
        );
    }
}

async fn latency(server: &Server) {
    let memory = ChannelLayer::memory();
    let here = ChannelLayer::new(Redis::new(server.url())).await.unwrap();
    let there = ChannelLayer::new(Redis::new(server.url())).await.unwrap();
    let rows = [
        ("in memory", &memory, &memory),
        ("Redis, to this node", &here, &here),
        ("Redis, to another node", &here, &there),
    ];
    println!("from group_send to a member, one at a time:");
    for (row, from, to) in rows {
        let mut member = to.new_channel();
        member.group_add("latency").await.unwrap();
        let mut times = Vec::new();
        for _ in 0..MESSAGES {
            let began = Instant::now();
            // The member may have it before Redis has answered.
            let (sent, received) = tokio::join!(
                from.group_send("latency", &Ping::new()),
                member.recv::<Ping>()
            );
            sent.unwrap();
            received.unwrap();
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
        println!(
            "  {row:38} median {:>6.0} µs, 99 % {:>6.0} µs",
            at(50),
            at(99)
        );
    }
}

/// As fast as the client can be.
async fn pipelined(client: &MultiplexedConnection, topic: &'static str) -> Cost {
    let event = serde_json::to_vec(&Ping::new()).unwrap();
    let client = client.clone();
    measure(PUBLISHERS / 100, move |count| {
        let (mut client, event) = (client.clone(), event.clone());
        async move {
            for _ in 0..count / 100 {
                let mut pipeline = redis::Pipeline::with_capacity(100);
                for _ in 0..100 {
                    pipeline.cmd("PUBLISH").arg(topic).arg(&event);
                }
                let _: Vec<usize> = pipeline.query_async(&mut client).await.unwrap();
            }
        }
    })
    .await
}

async fn concurrent(client: &MultiplexedConnection) -> Cost {
    let event = serde_json::to_vec(&Ping::new()).unwrap();
    let client = client.clone();
    measure(PUBLISHERS, move |count| {
        let (mut client, event) = (client.clone(), event.clone());
        async move {
            for _ in 0..count {
                let mut command = redis::cmd("PUBLISH");
                command.arg("unheard").arg(&event);
                let _: usize = command.query_async(&mut client).await.unwrap();
            }
        }
    })
    .await
}

async fn through(layer: &ChannelLayer, group: &'static str) -> Cost {
    let layer = layer.clone();
    measure(PUBLISHERS, move |count| {
        let layer = layer.clone();
        async move {
            let event = Ping::new();
            for _ in 0..count {
                layer.group_send(group, &event).await.unwrap();
            }
        }
    })
    .await
}

/// Publishes a second, and this process's processor time for each, in µs.
#[derive(Clone, Copy)]
struct Cost {
    rate: f64,
    cpu: f64,
}

/// This many concurrent tasks, each with its part of all publishes.
async fn measure<F>(publishers: usize, publish: impl Fn(usize) -> F) -> Cost
where
    F: Future<Output = ()> + Send + 'static,
{
    let each = PUBLISHES / publishers;
    let (began, cpu) = (Instant::now(), cpu());
    let tasks = (0..publishers).map(|_| tokio::spawn(publish(each)));
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let count = (each * publishers) as f64;
    Cost {
        rate: count / began.elapsed().as_secs_f64(),
        cpu: (self::cpu() - cpu).as_secs_f64() * 1e6 / count,
    }
}

/// Of this process as yet.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

#[derive(Serialize, Deserialize)]
struct Ping {
    r#type: String,
    filling: String,
}

impl Ping {
    /// 200 bytes as JSON.
    fn new() -> Self {
        Self {
            r#type: "ping".to_owned(),
            filling: "x".repeat(200 - br#"{"type":"ping","filling":""}"#.len()),
        }
    }
}

fn median(costs: &[Cost], value: impl Fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<_> = costs.iter().map(value).collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A server of this benchmark's own.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server runs: apt-get install redis-server");
        let mut server = Self { process, port };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let mut words = String::new();
        let _ = server.process.kill();
        let _ = server
            .process
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut words);
        panic!("redis-server does not answer: {words}");
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn client(&self) -> MultiplexedConnection {
        self.connect(config()).await
    }

    /// It only counts the events that it receives.
    async fn subscribed_client(&self, topic: &str) -> MultiplexedConnection {
        let heard = AtomicU64::new(0);
        let mut client = self
            .connect(config().set_push_sender(move |_: PushInfo| {
                heard.fetch_add(1, Ordering::Relaxed);
                Ok::<_, redis::aio::SendError>(())
            }))
            .await;
        client.subscribe(topic).await.unwrap();
        client
    }

    async fn connect(&self, config: AsyncConnectionConfig) -> MultiplexedConnection {
        let client = Client::open(format!("{}?protocol=resp3", self.url())).unwrap();
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        connection.await.unwrap()
    }
}

fn config() -> AsyncConnectionConfig {
    // The default holds 50 commands, and waits.
    AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1_024)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const PUBLISHERS: usize = 512;
const PUBLISHES: usize = 204_800;
const ROUNDS: usize = 5;
const MESSAGES: usize = 5_000;
