//! [`World`]: a real session over a pipe, to which the acts happen. Time is paused, and each act is
//! over before the next.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::runtime::Builder;
use tokio::select;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use strait::service::{Drain, Drained, Sockets, WebSocketService};
use strait::testing::Communicator;
use strait::{ChannelLayer, Event, Router};

use super::act::{
    Act, DRAIN, EVENTS, HUGE, LARGE, MANY, MESSAGES, Numbers, PIPE, STEP, Sequence, Stage, config,
};
use super::actor::{Actor, HOOKED, Notes, RELAYED, padded};
use super::client::TEXT;
use super::peer::Peer;

pub(crate) struct World {
    pub(crate) notes: Notes,
    pub(crate) peer: Peer,
    pub(crate) rejected: Option<u16>,
    pub(crate) start: Instant,
    sockets: Sockets,
    layer: ChannelLayer,
    connecting: Option<Connecting>,
    drain: Option<JoinHandle<Drained>>,
    numbers: Numbers,
}

type Connecting = Pin<Box<dyn Future<Output = Result<DuplexStream, u16>>>>;

/// The state at the end.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    pub(crate) members: usize,
    pub(crate) sockets: usize,
    pub(crate) tasks: usize,
    pub(crate) drained: Option<Drained>,
}

/// The service that the sequences of one stage share; a drained one is renewed.
pub(crate) struct Hall {
    pub(crate) stage: Stage,
    service: WebSocketService,
    sockets: Sockets,
    layer: ChannelLayer,
    /// The notes of the next to come in.
    notes: Arc<Mutex<Notes>>,
}

impl Hall {
    pub(crate) fn new(stage: Stage) -> Self {
        let (notes, layer) = (Arc::<Mutex<Notes>>::default(), ChannelLayer::memory());
        let next = notes.clone();
        let factory = move |_: &strait::Scope| {
            let notes = next.lock().unwrap().clone();
            Ok(Actor { notes, stage })
        };
        let router = Router::new()
            .path("", factory)
            .config(config())
            .channel_layer(layer.clone());
        let (service, sockets) = router.into_service();
        Self {
            stage,
            service,
            sockets,
            layer,
            notes,
        }
    }
}

/// Plays the sequence to its end on a runtime of its own. `leaves`: the peer does so, because
/// nothing else would end it.
pub(crate) fn play(hall: &mut Hall, sequence: &Sequence, leaves: bool) -> (World, Remains) {
    if hall.sockets.is_draining() {
        *hall = Hall::new(hall.stage);
    }
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (world, mut remains) = runtime.block_on(async {
        let mut world = World::new(hall).await;
        for &act in &sequence.acts {
            world.act(act).await;
        }
        if let Some(acts) = sequence.at_once {
            for act in acts {
                world.happen(act).await;
            }
            world.settle(STEP).await;
        }
        if leaves {
            world.act(Act::PeerDrops).await;
        }
        let remains = world.run_out().await;
        (world, remains)
    });
    remains.tasks = runtime.metrics().num_alive_tasks();
    (world, remains)
}

impl World {
    async fn new(hall: &Hall) -> Self {
        let notes = Notes::default();
        *hall.notes.lock().unwrap() = notes.clone();
        let mut client = Communicator::new(&hall.service, "/").pipe(PIPE);
        let mut world = Self {
            notes,
            peer: Peer::default(),
            rejected: None,
            start: Instant::now(),
            sockets: hall.sockets.clone(),
            layer: hall.layer.clone(),
            connecting: Some(Box::pin(async move {
                match client.connect().await {
                    Ok(_) => Ok(client.into_stream().unwrap()),
                    Err(rejected) => Err(rejected.status.as_u16()),
                }
            })),
            drain: None,
            numbers: Numbers::default(),
        };
        world.settle(STEP).await;
        world.reach(hall.stage).await;
        world
    }

    async fn reach(&mut self, stage: Stage) {
        match stage {
            Stage::Idle | Stage::Connect => return,
            Stage::Receive => self.peer.send(TEXT, b"wait"),
            Stage::Event => self.publish("wait").await,
            Stage::Disconnect => self.peer.close(),
            Stage::Closing => {
                self.peer.reads = false;
                self.peer.send(TEXT, b"close");
            }
        }
        self.settle(STEP).await;
    }

    async fn act(&mut self, act: Act) {
        self.happen(act).await;
        self.settle(act.wait().unwrap_or(STEP)).await;
    }

    async fn happen(&mut self, act: Act) {
        match act {
            Act::PeerSends => self.say_message(),
            Act::PeerBursts => (0..MESSAGES + 2).for_each(|_| self.say_message()),
            Act::PeerPanics => self.peer.send(TEXT, b"panic"),
            Act::PeerFails => self.peer.send(TEXT, b"fail"),
            Act::PeerCloses => self.peer.close(),
            // A reserved bit.
            Act::PeerBreaks => self.peer.write(&[0xf1, 0x80, 0, 0, 0, 0]),
            Act::PeerDrops => {
                self.connecting = None;
                self.peer.stream = None;
            }
            Act::PeerHalfCloses => self.peer.half_close(),
            Act::PeerStopsReading => self.peer.reads = false,
            Act::PeerResumes => self.peer.reads = true,
            Act::GroupEvent => self.publish_event().await,
            Act::GroupEvents => {
                for _ in 1..EVENTS + 2 {
                    self.publish_event().await;
                    self.settle(STEP).await;
                }
                self.publish_event().await;
            }
            Act::GroupFrame => self.broadcast(0).await,
            Act::GroupFill => self.broadcast(HUGE).await,
            Act::GroupFrames => {
                for _ in 1..MANY {
                    self.broadcast(LARGE).await;
                    self.settle(STEP).await;
                }
                self.broadcast(LARGE).await;
            }
            Act::GateOpens
            | Act::GatePanics
            | Act::GateFails
            | Act::GateCloses
            | Act::GateClosesOn
            | Act::GateSends => self.notes.tell(act),
            Act::DrainBegins => self.begin_drain(),
            Act::PassClose | Act::PassWrite | Act::PassGrace | Act::PassLimit | Act::PassPing => {}
        }
    }

    /// Lets this many milliseconds pass, in which the peer reads and the handshake goes on.
    async fn settle(&mut self, time: u64) {
        let until = Instant::now() + Duration::from_millis(time);
        if let Some(connecting) = &mut self.connecting {
            select! {
                biased;
                answer = connecting => self.connected(answer),
                () = sleep_until(until) => return,
            }
        }
        let _ = timeout_at(until, self.peer.pump()).await;
    }

    fn connected(&mut self, answer: Result<DuplexStream, u16>) {
        self.connecting = None;
        match answer {
            Ok(stream) => {
                self.peer.stream = Some(stream);
                self.peer.reads = true;
            }
            Err(status) => self.rejected = Some(status),
        }
    }

    fn say_message(&mut self) {
        let text = self.numbers.next('m');
        self.peer.send(TEXT, text.as_bytes());
    }

    async fn publish_event(&mut self) {
        let kind = self.numbers.next('x');
        self.publish(&kind).await;
    }

    async fn publish(&self, kind: &str) {
        let event = Event::new(kind);
        self.layer.group_send(HOOKED, &event).await.unwrap();
    }

    async fn broadcast(&mut self, len: usize) {
        let text = padded(&self.numbers.next('g'), len);
        self.layer.group_broadcast(RELAYED, text).await.unwrap();
    }

    fn begin_drain(&mut self) {
        let (sockets, deadline) = (self.sockets.clone(), Duration::from_millis(DRAIN));
        let drain = Drain::new().deadline(deadline);
        self.drain = Some(tokio::spawn(async move { sockets.drain(drain).await }));
    }

    async fn run_out(&mut self) -> Remains {
        for _ in 0..20 {
            if self.sockets.count() == 0 && self.drain.as_ref().is_none_or(JoinHandle::is_finished)
            {
                break;
            }
            self.settle(20_000).await;
        }
        self.peer.reads = true;
        self.settle(STEP).await;
        let mut members = 0;
        for group in [HOOKED, RELAYED] {
            let probe = Event::new("probe");
            members += self
                .layer
                .group_send(group, &probe)
                .await
                .unwrap()
                .receivers;
        }
        let drained = match self.drain.take() {
            Some(drain) if drain.is_finished() => Some(drain.await.unwrap()),
            _ => None,
        };
        Remains {
            members,
            sockets: self.sockets.count(),
            tasks: 0,
            drained,
        }
    }
}
