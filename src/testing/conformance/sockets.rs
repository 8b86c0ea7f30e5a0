//! Cases of ready messages, which are for sockets alone.

use crate::error::BoxError;
use crate::message::Message;
use crate::testing::Communicator;

use super::checks::{Outcome, nothing_more, same};
use super::nodes::{Nodes, socket};

pub(super) async fn ready_messages_reach_the_sockets_on_all_nodes(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut channels = nodes.members(&group, 1).await?;
    let mut sockets = of_all(nodes, &group).await?;
    let every_byte: Vec<u8> = (0..=255).collect();
    let messages = [
        Message::from("plain"),
        Message::from(""),
        Message::from("é 😀 \u{0} \u{7f} \" \\ {\"type\":\"x\"}"),
        Message::from(every_byte),
        Message::from(Vec::new()),
        Message::from("x".repeat(50_000)),
        Message::from(vec![0xff; 50_000]),
    ];
    for layer in &nodes.all {
        for message in &messages {
            layer
                .group_broadcast(group.as_str(), message.clone())
                .await?;
        }
        for socket in &mut sockets {
            for message in &messages {
                same("at a socket", &socket.receive().await?, message)?;
            }
        }
    }
    nothing_more(&mut channels).await?;
    for socket in &mut sockets {
        socket.expect_nothing().await?;
    }
    Ok(())
}

pub(super) async fn a_ready_message_leaves_its_sender_out(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut sockets = of_all(nodes, &group).await?;
    let mut names = Vec::new();
    for socket in &mut sockets {
        socket.send_text("name").await?;
        names.push(socket.receive_text().await?);
    }
    for (n, name) in names.iter().enumerate() {
        let publish = nodes.here().group_broadcast(group.as_str(), n.to_string());
        publish.except(name).await?;
    }
    nodes.here().group_broadcast(group.as_str(), "last").await?;
    for (own, socket) in sockets.iter_mut().enumerate() {
        for n in (0..names.len()).filter(|n| *n != own) {
            same("at a socket", socket.receive_text().await?, n.to_string())?;
        }
        same(
            "at the end",
            socket.receive_text().await?,
            "last".to_owned(),
        )?;
    }
    Ok(())
}

/// On each node one with a hook, and one that relays.
async fn of_all(nodes: &Nodes<'_>, group: &str) -> Result<Vec<Communicator>, BoxError> {
    let mut sockets = Vec::new();
    for layer in &nodes.all {
        for relay in [false, true] {
            sockets.push(socket(layer, group, relay).await?);
        }
    }
    Ok(sockets)
}
