//! [`Bus`]: a backend in the hands of a test, which can take it away, let it fail, and make it
//! wrong in one thing.

#![allow(dead_code, reason = "each test target uses some of it")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use strait::layer::{
    Address, Backend, Envelope, GroupName, Guarantees, Payload, Published, Receivers, Sink,
};
use strait::{ChannelLayer, Error, Message};
use tokio::sync::Notify;
use tokio::time::sleep;

/// The state that its nodes share. Deliveries never wait, as over a network.
#[derive(Clone, Default)]
pub(crate) struct Bus(Arc<Shared>);

#[derive(Default)]
struct Shared {
    fault: Option<Fault>,
    nodes: Mutex<Vec<Weak<Node>>>,
    outage: Mutex<Outage>,
    published: AtomicU64,
    /// A subscribe that is held waits for it.
    release: Notify,
}

#[derive(Default)]
struct Outage {
    is_down: bool,
    is_held: bool,
    /// This many subscribes fail.
    failing: usize,
    /// Subscribes that ask for this group are refused.
    refused: Option<GroupName>,
    /// How many groups each subscribe asked for, those that failed included.
    asked: Vec<usize>,
}

/// A backend that does one thing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Loses,
    Doubles,
    Reorders,
    ReordersBetweenNodes,
    SubscribesLate,
    UnsubscribesLate,
    NeverUnsubscribes,
    IgnoresExcept,
    ConfusesNames,
    CountsOneMore,
    LosesDirectSends,
    ForgetsKinds,
    LosesLargeOnes,
    FailsOnFull,
    StaysWhenDropped,
}

#[derive(Default)]
struct Node {
    sink: OnceLock<Sink>,
    groups: Mutex<HashSet<GroupName>>,
}

struct OnBus {
    bus: Bus,
    node: Arc<Node>,
}

impl Bus {
    pub(crate) fn wrong(fault: Fault) -> Self {
        Self(Arc::new(Shared {
            fault: Some(fault),
            ..Shared::default()
        }))
    }

    pub(crate) async fn layer(&self) -> Result<ChannelLayer, Error> {
        let (bus, node) = (self.clone(), Arc::default());
        ChannelLayer::new(OnBus { bus, node }).await
    }

    /// Nothing works any longer, and all subscriptions are forgotten.
    pub(crate) fn down(&self) {
        self.outage().is_down = true;
        for node in self.nodes() {
            node.groups.lock().unwrap().clear();
            node.sink().down("the test says so");
        }
    }

    pub(crate) fn up(&self) {
        self.outage().is_down = false;
        for node in self.nodes() {
            node.sink().up();
        }
    }

    pub(crate) fn fail_subscribes(&self, count: usize) {
        self.outage().failing = count;
    }

    /// Subscribes that ask for this group are refused from now on; with `None`, no group is.
    pub(crate) fn refuse(&self, group: Option<&str>) {
        self.outage().refused = group.map(|group| group.try_into().unwrap());
    }

    /// Subscribes wait until they are released.
    pub(crate) fn hold_subscribes(&self, is_held: bool) {
        self.outage().is_held = is_held;
        self.0.release.notify_waiters();
    }

    /// How many groups each subscribe asked for since this was last asked.
    pub(crate) fn asked(&self) -> Vec<usize> {
        std::mem::take(&mut self.outage().asked)
    }

    /// The sinks of the nodes, in the order in which they began.
    pub(crate) fn sinks(&self) -> Vec<Sink> {
        self.nodes()
            .iter()
            .map(|node| node.sink().clone())
            .collect()
    }

    fn has(&self, fault: Fault) -> bool {
        self.0.fault == Some(fault)
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        let nodes = self.0.nodes.lock().unwrap();
        nodes.iter().filter_map(Weak::upgrade).collect()
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.0.outage.lock().unwrap()
    }

    fn check(&self) -> Result<(), Error> {
        match self.outage().is_down {
            true => Err(Error::unavailable("the test has taken the bus away")),
            false => Ok(()),
        }
    }
}

impl Node {
    fn sink(&self) -> &Sink {
        self.sink.get().unwrap()
    }
}

impl OnBus {
    fn name(&self, group: &GroupName) -> GroupName {
        match self.bus.has(Fault::ConfusesNames) {
            true => group.as_str().replace('.', "_").try_into().unwrap(),
            false => group.clone(),
        }
    }

    fn receivers(&self, to: &Address) -> Vec<Arc<Node>> {
        let mut nodes = self.bus.nodes();
        nodes.retain(|node| match to {
            Address::Group(group) => node.groups.lock().unwrap().contains(&self.name(group)),
            Address::Channel(channel) => node.sink().owns(channel),
            _ => false,
        });
        nodes
    }

    /// The envelope as this bus carries it; `None` if it is lost.
    fn spoiled(&self, mut envelope: Envelope, number: u64) -> Option<Envelope> {
        let is_event = matches!(envelope.payload, Payload::Event(_));
        let size = envelope.encode().len();
        let is_direct = matches!(envelope.to, Address::Channel(_));
        match self.bus.0.fault {
            Some(Fault::Loses) if number % 100 == 99 => return None,
            Some(Fault::LosesDirectSends) if is_direct => return None,
            Some(Fault::LosesLargeOnes) if size > 500_000 => return None,
            Some(Fault::IgnoresExcept) => envelope.except = None,
            Some(Fault::ForgetsKinds) if !is_event => {
                if let Payload::Message(Message::Text(text)) = envelope.payload {
                    envelope.payload = Payload::Message(Message::Binary(text.into_bytes().into()));
                }
            }
            _ => {}
        }
        Some(envelope)
    }
}

#[async_trait]
impl Backend for OnBus {
    fn guarantees(&self) -> Guarantees {
        Guarantees::new().ordered().receivers(Receivers::Nodes)
    }

    async fn start(&self, sink: Sink) -> Result<(), Error> {
        self.bus.check()?;
        self.node.sink.set(sink).unwrap();
        let mut nodes = self.bus.0.nodes.lock().unwrap();
        nodes.push(Arc::downgrade(&self.node));
        Ok(())
    }

    async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        self.bus.check()?;
        let number = self.bus.0.published.fetch_add(1, Ordering::SeqCst);
        let receivers = self.receivers(&envelope.to);
        let published = receivers.len() + usize::from(self.bus.has(Fault::CountsOneMore));
        let Some(envelope) = self.spoiled(envelope, number) else {
            return Ok(Published::new(published));
        };
        for (place, node) in receivers.into_iter().enumerate() {
            let (sink, envelope) = (node.sink().clone(), envelope.clone());
            let twice = self.bus.has(Fault::Doubles) && number % 100 == 99;
            let is_late = match self.bus.0.fault {
                Some(Fault::Reorders) => number % 10 == 5,
                Some(Fault::ReordersBetweenNodes) => place == 1 && number % 7 == 3,
                _ => false,
            };
            if is_late {
                tokio::spawn(async move {
                    sleep(Duration::from_millis(2)).await;
                    sink.try_deliver(&envelope)
                });
                continue;
            }
            let delivered = sink.try_deliver(&envelope);
            if twice {
                let _ = sink.try_deliver(&envelope);
            }
            if self.bus.has(Fault::FailsOnFull) && delivered.is_err() {
                return Err(Error::unavailable("a receiver was full"));
            }
        }
        Ok(Published::new(published))
    }

    async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.bus.outage().asked.push(groups.len());
        loop {
            let released = self.bus.0.release.notified();
            if !self.bus.outage().is_held {
                break;
            }
            released.await;
        }
        self.bus.check()?;
        {
            let mut outage = self.bus.outage();
            if outage.failing > 0 {
                outage.failing -= 1;
                return Err(Error::unavailable("the test lets it fail"));
            }
            if outage
                .refused
                .as_ref()
                .is_some_and(|group| groups.contains(group))
            {
                return Err(Error::misconfigured("the test refuses a group"));
            }
        }
        let names: Vec<_> = groups.iter().map(|group| self.name(group)).collect();
        let node = self.node.clone();
        if self.bus.has(Fault::SubscribesLate) {
            tokio::spawn(async move { node.groups.lock().unwrap().extend(names) });
        } else {
            node.groups.lock().unwrap().extend(names);
        }
        Ok(())
    }

    async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.bus.check()?;
        let names: Vec<_> = groups.iter().map(|group| self.name(group)).collect();
        let node = self.node.clone();
        let remove = async move {
            let mut groups = node.groups.lock().unwrap();
            groups.retain(|group| !names.contains(group));
        };
        match self.bus.0.fault {
            Some(Fault::NeverUnsubscribes) => {}
            Some(Fault::UnsubscribesLate) => drop(tokio::spawn(remove)),
            _ => remove.await,
        }
        Ok(())
    }
}

impl Drop for OnBus {
    fn drop(&mut self) {
        if self.bus.has(Fault::StaysWhenDropped) {
            std::mem::forget(self.node.clone());
        }
    }
}
