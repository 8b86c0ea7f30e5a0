//! Cases of payloads.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::checks::{Note, Outcome, PATIENCE, ensure, next, note, received, same};
use super::nodes::{Nodes, member};

/// As a value: how it was written may change on the way.
pub(super) async fn any_json_arrives_as_it_was(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut member = member(nodes.there(), &group).await?;
    let mut deep = json!([]);
    for _ in 0..30 {
        deep = json!({ "deeper": [deep] });
    }
    let values = [
        json!(null),
        json!(true),
        json!([0, -1, i64::MIN, i64::MAX, u64::MAX, 0.5, -1.25e-7, 1e300]),
        json!([
            "",
            "é",
            "😀",
            "\u{0}\u{1f}\u{7f}\u{2028}\u{ffff}",
            "\"\\/\n",
            "<a&b>"
        ]),
        json!({ "": 1, "é": 2, "a b": 3, "type": "inner", "n": { "n": {} } }),
        json!([[], {}, [[]], [null]]),
        deep,
    ];
    for value in values {
        let event = json!({ "type": "conformance.value", "value": value });
        nodes.here().group_send(group.as_str(), &event).await?;
        nodes.here().send(member.name(), &event).await?;
        for way in ["by the group", "directly"] {
            let got = timeout(PATIENCE, member.recv::<Value>()).await;
            let got = got.map_err(|_| format!("{event} did not come {way}"))??;
            same(way, got, event.clone())?;
        }
    }
    Ok(())
}

/// 100 KB arrive; a megabyte may be too much for the backend, which is then told, and does no harm.
pub(super) async fn large_payloads_arrive_or_are_refused(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut members = nodes.members(&group, 1).await?;
    for (n, bytes) in (0..).zip([100_000, 1_000_000]) {
        let pad = "é".repeat(bytes / 2);
        let published = nodes
            .here()
            .group_send(
                group.as_str(),
                &Note {
                    n,
                    pad: pad.clone(),
                },
            )
            .await;
        match published {
            Ok(_) => {
                for member in &mut members {
                    let got = received(member).await??;
                    ensure(
                        got == Note {
                            n,
                            pad: pad.clone(),
                        },
                        || format!("{bytes} bytes came as {}", got.pad.len()),
                    )?;
                }
            }
            Err(error) => ensure(bytes > 100_000 && error.is_too_large(), || {
                format!("{bytes} bytes: {error}")
            })?,
        }
        nodes.here().group_send(group.as_str(), &note(n)).await?;
        for member in &mut members {
            same("the next event", next(member).await?, n)?;
        }
    }
    Ok(())
}
