//! Cases of the order within a group.

use futures::future::{try_join, try_join_all};

use super::checks::{Outcome, ensure, note, same, take};
use super::nodes::Nodes;

/// A publisher that awaits each publish before the next.
pub(super) async fn one_publisher_is_received_in_order(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut members = nodes.members(&group, 2).await?;
    const COUNT: u64 = 500;
    let publish = async || -> Outcome {
        for n in 0..COUNT {
            nodes.here().group_send(group.as_str(), &note(n)).await?;
        }
        Ok(())
    };
    let receive = members
        .iter_mut()
        .map(|member| take(member, COUNT as usize));
    let ((), received) = try_join(publish(), try_join_all(receive)).await?;
    for got in received {
        same("at a member", got, (0..COUNT).collect())?;
    }
    Ok(())
}

/// Concurrent publishes have one order: on one node always, on all nodes if the guarantees say so.
pub(super) async fn all_members_see_one_order(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut members = nodes.members(&group, 2).await?;
    // Each node has publishers that await each publish, and some that do not wait for one another.
    let publishers = 3 * nodes.all.len() as u64;
    let steady = async |publisher: u64| -> Outcome {
        let layer = &nodes.all[publisher as usize % nodes.all.len()];
        for n in 0..EACH {
            let event = note(publisher * EACH + n);
            layer.group_send(group.as_str(), &event).await?;
        }
        Ok(())
    };
    let hasty = nodes.all.iter().flat_map(|layer| {
        (publishers * EACH..publishers * EACH + HASTY)
            .map(|n| layer.group_send(group.as_str(), &note(n)).into_future())
    });
    let total = publishers * EACH + HASTY * nodes.all.len() as u64;
    let publish = try_join(try_join_all((0..publishers).map(steady)), async {
        Ok(try_join_all(hasty).await?)
    });
    let receive = members
        .iter_mut()
        .map(|member| take(member, total as usize));
    let (_, received) = try_join(publish, try_join_all(receive)).await?;
    for publisher in 0..publishers {
        let own = publisher * EACH..(publisher + 1) * EACH;
        let got = received[0].iter().copied().filter(|n| own.contains(n));
        same(
            "of one publisher",
            got.collect::<Vec<_>>(),
            own.clone().collect(),
        )?;
    }
    for (node, of_node) in received.chunks(2).enumerate() {
        ensure(of_node[0] == of_node[1], || {
            format!("two members of node {node} see different orders")
        })?;
        if nodes.here().guarantees().ordered {
            ensure(of_node[0] == received[0], || {
                format!("node {node} sees another order than node 0, against the guarantees")
            })?;
        }
    }
    Ok(())
}

const EACH: u64 = 50;
const HASTY: u64 = 50;
