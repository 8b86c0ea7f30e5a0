//! [`Stage`]: one node with 1,000 sockets over loopback TCP, each in two groups, and another that
//! publishes steadily to all groups.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use strait::layer::GroupName;
use strait::testing::TestServer;
use strait::{Accept, ChannelLayer, Consumer, Context, Message, Reject, Router};

use super::socket::{Heard, Socket};

/// A published message: its number within the group, from 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename = "tick")]
pub(crate) struct Tick {
    pub(crate) group: usize,
    pub(crate) n: usize,
}

pub(crate) struct Stage {
    pub(crate) members: ChannelLayer,
    /// Kept, so that what was accepted last is not dropped with its backend.
    _publishing: ChannelLayer,
    record: Arc<Record>,
    server: TestServer,
    sockets: Vec<Socket>,
    publisher: JoinHandle<Vec<Sent>>,
    stop: Arc<AtomicBool>,
}

/// The events of the consumers.
#[derive(Default)]
pub(crate) struct Record {
    /// Of each member and group, when its `gap` hook ran.
    pub(crate) gaps: Mutex<HashMap<(usize, usize), Vec<Instant>>>,
    pub(crate) disconnects: AtomicUsize,
}

/// One publish.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) group: usize,
    pub(crate) n: usize,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) result: Result<(), String>,
}

/// All there is to judge.
pub(crate) struct Story {
    pub(crate) sent: Vec<Sent>,
    /// Of each socket.
    pub(crate) heard: Vec<Heard>,
    pub(crate) gaps: HashMap<(usize, usize), Vec<Instant>>,
    pub(crate) disconnects: usize,
    pub(crate) open: usize,
}

struct Member {
    number: usize,
    record: Arc<Record>,
}

impl Consumer<Tick> for Member {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        for group in groups_of(self.number) {
            let join = ctx.group_add(name(group));
            // One half gets its events through the hook, the other past it.
            if self.number.is_multiple_of(2) {
                join.await?;
            } else {
                join.relay().await?;
            }
        }
        Ok(Accept::new())
    }

    async fn event(&mut self, ctx: &Context, _event: Tick) -> strait::Result {
        Ok(ctx.forward().await?)
    }

    async fn gap(&mut self, _ctx: &Context, group: GroupName) -> strait::Result {
        let group = (0..GROUPS).find(|known| name(*known) == group.as_str());
        let key = (self.number, group.unwrap());
        let mut gaps = self.record.gaps.lock().unwrap();
        gaps.entry(key).or_default().push(Instant::now());
        Ok(())
    }

    async fn receive(&mut self, ctx: &Context, _message: Message) -> strait::Result {
        let answer = match ctx.group_add("joined_late").await {
            Ok(()) => "joined".to_owned(),
            Err(error) if error.is_unavailable() => "unavailable".to_owned(),
            Err(error) => error.to_string(),
        };
        Ok(ctx.send_text(answer).await?)
    }

    async fn disconnect(&mut self, _ctx: &Context, _closed: strait::Closed) {
        self.record.disconnects.fetch_add(1, Ordering::Relaxed);
    }
}

impl Stage {
    /// Opens all sockets and publishes for a while.
    pub(crate) async fn open(members: ChannelLayer, publishing: ChannelLayer) -> Self {
        enough_descriptors();
        let record = Arc::new(Record::default());
        let server = TestServer::spawn(router(&members, &record)).await.unwrap();
        let mut sockets = Vec::new();
        for number in 0..SOCKETS {
            let path = format!("/ws/{number}/");
            sockets.push(Socket::open(server.local_addr(), &path).await);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let publisher = tokio::spawn(publish(publishing.clone(), Arc::clone(&stop)));
        sleep(BEFORE_AND_AFTER).await;
        Self {
            members,
            _publishing: publishing,
            record,
            server,
            sockets,
            publisher,
            stop,
        }
    }

    /// The result for a consumer that joins another group now.
    pub(crate) async fn join_now(&self) -> String {
        self.sockets[0].ask().await
    }

    /// Waits until the hooks of this many members and groups have run and everybody receives
    /// everything again; ends all.
    pub(crate) async fn close(self, gaps: usize) -> Story {
        for _ in 0..1_000 {
            if self.record.gaps.lock().unwrap().len() >= gaps {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        // Those that come too often, too.
        sleep(BEFORE_AND_AFTER).await;
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.publisher.await.unwrap();
        let open = self.server.sockets().count();
        sleep(Duration::from_millis(500)).await;
        let disconnects = self.record.disconnects.load(Ordering::Relaxed);
        let heard = join_all(self.sockets.into_iter().map(Socket::end)).await;
        let gaps = std::mem::take(&mut *self.record.gaps.lock().unwrap());
        self.server.stop().await;
        Story {
            sent,
            heard,
            gaps,
            disconnects,
            open,
        }
    }
}

fn router(layer: &ChannelLayer, record: &Arc<Record>) -> Router {
    let record = Arc::clone(record);
    Router::new()
        .path("ws/<int:number>/", move |scope| {
            Ok(Member {
                number: scope.param("number")?,
                record: Arc::clone(&record),
            })
        })
        .channel_layer(layer.clone())
}

/// To one group after the other, a publish each [`PACE`], until the test stops it.
async fn publish(layer: ChannelLayer, stop: Arc<AtomicBool>) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0.. {
        for group in 0..GROUPS {
            pace.tick().await;
            let begun = Instant::now();
            let result = layer.group_send(name(group), &Tick { group, n }).await;
            sent.push(Sent {
                group,
                n,
                begun,
                ended: Instant::now(),
                result: match result {
                    Ok(_) => Ok(()),
                    Err(error) if error.is_unavailable() => Err(UNAVAILABLE.to_owned()),
                    Err(error) => Err(error.to_string()),
                },
            });
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    sent
}

/// Group 0 has all members, each of the others a tenth of them.
pub(crate) fn groups_of(member: usize) -> [usize; 2] {
    [0, 1 + member % (GROUPS - 1)]
}

pub(crate) fn name(group: usize) -> String {
    format!("outage_{}", char::from(b'a' + u8::try_from(group).unwrap()))
}

/// Two for each socket.
fn enough_descriptors() {
    let limit = getrlimit(Resource::Nofile).maximum;
    let enough = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Nofile, enough).unwrap();
}

pub(crate) const SOCKETS: usize = 1_000;
pub(crate) const GROUPS: usize = 11;
pub(crate) const UNAVAILABLE: &str = "unavailable";
/// From one publish to the next: each group has one every 220 ms.
const PACE: Duration = Duration::from_millis(20);
const BEFORE_AND_AFTER: Duration = Duration::from_millis(1_500);
