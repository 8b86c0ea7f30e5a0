//! [`Guard`]: which events may be published where Django's consumers are members, too.

use crate::error::Error;
use crate::layer::{Address, Glob};

/// Keeps events from being published that would end each of Django's consumers that gets them.
///
/// In Channels the type of an event, its `.` replaced by `_`, is the name of the consumer's method
/// that is called with it. If there is no such method, or it is one of the framework's, the
/// consumer fails, and its connection is closed.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// The first whose pattern matches the group decides; where none does, all but what is reserved
    /// may pass.
    allowed: Vec<(Glob, Vec<String>)>,
}

impl Guard {
    pub(super) fn allow<T: Into<String>>(
        &mut self,
        groups: &str,
        types: impl IntoIterator<Item = T>,
    ) {
        let types = types.into_iter().map(Into::into).collect();
        self.allowed.push((Glob::new(groups), types));
    }

    pub(super) fn check(&self, to: &Address, kind: &str) -> Result<(), Error> {
        if let Some(why) = reserved(kind) {
            return Err(Error::refused_type(kind, why));
        }
        let Address::Group(group) = to else {
            return Ok(());
        };
        let rule = self
            .allowed
            .iter()
            .find(|(glob, _)| glob.matches(group.as_str()));
        match rule {
            Some((_, types)) if !types.iter().any(|allowed| allowed == kind) => {
                Err(Error::refused_type(
                    kind,
                    format!("the types that group {group:?} is allowed are {types:?}"),
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Why a Django consumer would fail with an event of this type, whatever the consumer.
fn reserved(kind: &str) -> Option<&'static str> {
    let handler = kind.replace('.', "_");
    if handler.is_empty() {
        return Some("Channels finds no handler for an empty type");
    }
    if handler.starts_with('_') {
        return Some(
            "Channels refuses types that begin with '_' or '.', and closes the connection",
        );
    }
    if ASGI.iter().any(|prefix| handler.starts_with(prefix)) {
        return Some("it is kept for what a server tells a consumer (ASGI)");
    }
    if FRAMEWORK.binary_search(&handler.as_str()).is_ok() {
        return Some("it would call a method of the framework in each Django consumer");
    }
    None
}

const ASGI: &[&str] = &["http_", "lifespan_", "websocket_"];

/// The methods and attributes of the consumers of Channels 4.3, besides their ASGI handlers.
const FRAMEWORK: &[&str] = &[
    "accept",
    "as_asgi",
    "base_send",
    "body",
    "channel_layer",
    "channel_layer_alias",
    "channel_name",
    "channel_receive",
    "close",
    "connect",
    "decode_json",
    "disconnect",
    "dispatch",
    "encode_json",
    "groups",
    "handle",
    "receive",
    "receive_json",
    "scope",
    "send",
    "send_body",
    "send_headers",
    "send_json",
    "send_response",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use crate::layer::Address;
    use crate::name::{ChannelName, GroupName};

    use super::{FRAMEWORK, Guard};

    #[test]
    fn events_that_would_end_a_django_consumer_are_refused() {
        let rows = [
            ("order.updated", None),
            ("order_updated", None),
            ("closed", None),
            ("sending", None),
            ("receive.order", None),
            ("websocket", None),
            ("https.seen", None),
            ("ördér", None),
            ("", Some("empty")),
            ("_private", Some("'_' or '.'")),
            (".private", Some("'_' or '.'")),
            ("..", Some("'_' or '.'")),
            ("websocket.disconnect", Some("ASGI")),
            ("websocket_connect", Some("ASGI")),
            ("websocket.anything", Some("ASGI")),
            ("http.request", Some("ASGI")),
            ("lifespan.startup", Some("ASGI")),
            ("send.json", Some("framework")),
            ("channel.layer.alias", Some("framework")),
        ];
        let group = Address::Group(GroupName::try_from("order_5").unwrap());
        let channel = Address::Channel(ChannelName::try_from("specific.a!b").unwrap());
        for (kind, wrong) in rows {
            for to in [&group, &channel] {
                let checked = Guard::default().check(to, kind);
                match (checked, wrong) {
                    (Ok(()), None) => {}
                    (Err(error), Some(why)) => {
                        let text = error.to_string();
                        assert!(text.contains(&format!("{kind:?}")), "{text}");
                        assert!(text.contains(why), "{kind:?}: {text}");
                        assert!(error.is_refused(), "{kind:?}");
                    }
                    (checked, _) => panic!("{kind:?}: {checked:?}"),
                }
            }
        }
        for method in FRAMEWORK {
            assert!(Guard::default().check(&group, method).is_err(), "{method}");
        }
        assert!(FRAMEWORK.is_sorted());
    }

    #[test]
    fn a_group_may_be_allowed_some_types_only() {
        let mut guard = Guard::default();
        guard.allow("order_*", ["order.updated", "order.shipped", "close"]);
        guard.allow("order_5", ["chat.said"]);
        guard.allow("closed", [""; 0]);
        let rows = [
            ("order_5", "order.updated", true),
            ("order_5", "order.shipped", true),
            ("order_5", "order_updated", false),
            ("order_5", "chat.said", false),
            // Allowed or not, it closes all that are not strait's.
            ("order_5", "close", false),
            ("chat_1", "chat.said", true),
            ("closed", "chat.said", false),
        ];
        for (group, kind, passes) in rows {
            let to = Address::Group(GroupName::try_from(group).unwrap());
            let checked = guard.check(&to, kind);
            assert_eq!(checked.is_ok(), passes, "{group} {kind}: {checked:?}");
            if let Err(error) = checked {
                assert!(error.to_string().contains(&format!("{kind:?}")), "{error}");
            }
        }
    }
}
