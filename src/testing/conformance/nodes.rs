//! [`Nodes`]: the nodes of a case and their members: channels, and consumers behind sockets.

use futures::future::{LocalBoxFuture, try_join_all};

use crate::consumer::{Consumer, Context};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::handshake::{Accept, Reject};
use crate::layer::{Channel, ChannelLayer};
use crate::message::Message;
use crate::random;
use crate::router::Router;
use crate::scope::Scope;
use crate::testing::Communicator;

use super::checks::{Outcome, PATIENCE};

pub(super) struct Nodes<'m> {
    make: &'m Make<'m>,
    /// One or more.
    pub(super) all: Vec<ChannelLayer>,
    /// Begins the names of this case's groups, so that none is another's.
    prefix: String,
}

type Make<'m> = dyn Fn() -> LocalBoxFuture<'m, Result<ChannelLayer, Error>> + 'm;

impl<'m> Nodes<'m> {
    pub(super) async fn new(make: &'m Make<'m>, count: usize, case: usize) -> Outcome<Self> {
        let run = random::bits() as u64;
        let all = try_join_all((0..count).map(|_| make())).await?;
        Ok(Self {
            make,
            all,
            prefix: format!("{run:016x}-{case}"),
        })
    }

    /// A node more, which is the caller's to keep.
    pub(super) async fn another(&self) -> Result<ChannelLayer, Error> {
        (self.make)().await
    }

    /// The name of a group of this case.
    pub(super) fn group(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// If there are several nodes, another one than [`there`](Self::there).
    pub(super) fn here(&self) -> &ChannelLayer {
        &self.all[0]
    }

    pub(super) fn there(&self) -> &ChannelLayer {
        &self.all[self.all.len() - 1]
    }

    /// This many channels on each node that have joined; those of the first node first.
    pub(super) async fn members(&self, group: &str, each: usize) -> Outcome<Vec<Channel>> {
        let mut members = Vec::new();
        for layer in &self.all {
            for _ in 0..each {
                members.push(member(layer, group).await?);
            }
        }
        Ok(members)
    }
}

/// A channel that has joined the group.
pub(super) async fn member(layer: &ChannelLayer, group: &str) -> Outcome<Channel> {
    let mut channel = layer.new_channel();
    channel.group_add(group).await?;
    Ok(channel)
}

/// A consumer that has joined the group and hands every event on to its socket, with a hook or
/// without. To `name` it answers its channel's name.
pub(super) async fn socket(
    layer: &ChannelLayer,
    group: &str,
    relay: bool,
) -> Outcome<Communicator> {
    let group = group.to_owned();
    let factory = move |_: &Scope| {
        let group = group.clone();
        Ok(Socket { group, relay })
    };
    let router = Router::new()
        .path("ws/", factory)
        .channel_layer(layer.clone());
    let mut socket = Communicator::new(router, "/ws/").timeout(PATIENCE);
    socket.connect().await?;
    Ok(socket)
}

struct Socket {
    group: String,
    relay: bool,
}

impl Consumer for Socket {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        let join = ctx.group_add(self.group.as_str());
        if self.relay {
            join.relay().await?;
        } else {
            join.await?;
        }
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, _name: Message) -> Result {
        ctx.send_text(ctx.channel_name().as_str()).await?;
        Ok(())
    }

    async fn event(&mut self, ctx: &Context, _event: Event) -> Result {
        ctx.forward().await?;
        Ok(())
    }
}
