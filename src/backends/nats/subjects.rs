//! [`Subjects`]: the names of groups and nodes on NATS.

use crate::layer::Address;
use crate::name::{ChannelName, GroupName};

/// `<prefix>.g.<group>` is a group; `<prefix>.n.<node>.<number>` a channel;
/// `<prefix>.n.<node>.echo` what a node sends to itself.
///
/// A group's name is one token, so that no two names are confused and `<prefix>.g.*` matches all of
/// them: its dots, which would separate tokens, are slashes there. Names have no slash of their
/// own, and NATS takes them in a token.
#[derive(Clone, Debug)]
pub(super) struct Subjects {
    prefix: String,
    /// This node's 32 digits.
    node: String,
}

impl Subjects {
    /// `node` as the sink says it.
    pub(super) fn new(prefix: &str, node: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            node: node.strip_prefix(SPECIFIC).unwrap_or(node).to_owned(),
        }
    }

    pub(super) fn group(&self, group: &GroupName) -> String {
        let token = group.as_str().replace('.', "/");
        format!("{}.g.{token}", self.prefix)
    }

    /// Of a channel that a node has made; any other is nobody's.
    pub(super) fn channel(&self, channel: &ChannelName) -> Option<String> {
        let (node, number) = channel.as_str().strip_prefix(SPECIFIC)?.split_once('!')?;
        let are_tokens = [node, number].iter().all(|part| is_plain(part));
        are_tokens.then(|| format!("{}.n.{node}.{number}", self.prefix))
    }

    /// All channels of this node.
    pub(super) fn channels(&self) -> String {
        format!("{}.n.{}.*", self.prefix, self.node)
    }

    /// The subject of messages from this node to itself. It is among [its
    /// channels](Self::channels), and no name of one.
    pub(super) fn echo(&self) -> String {
        format!("{}.n.{}.echo", self.prefix, self.node)
    }

    /// Everything that is published or subscribed to, as permissions name it.
    pub(super) fn all(&self) -> String {
        format!("{}.>", self.prefix)
    }

    /// The channel of this node that has this subject.
    pub(super) fn addressee(&self, subject: &str) -> Option<Address> {
        let (_, number) = subject.rsplit_once('.')?;
        let name = format!("{SPECIFIC}{}!{number}", self.node);
        ChannelName::try_from(name).ok().map(Address::Channel)
    }
}

fn is_plain(part: &str) -> bool {
    part.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Begins every channel's name, before the node.
const SPECIFIC: &str = "specific.";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use std::collections::HashSet;

    use proptest::proptest;

    use crate::layer::Address;
    use crate::name::{ChannelName, GroupName};

    use super::Subjects;

    fn subjects() -> Subjects {
        Subjects::new("strait", "specific.00ff")
    }

    #[test]
    fn a_group_is_one_token_of_its_own() {
        let names = [
            "a.b", "a_b", "a-b", "a..b", ".a.b", "a.b.", ".", "..", "g.a",
        ];
        let mut seen = HashSet::new();
        for name in names {
            let subject = subjects().group(&GroupName::try_from(name).unwrap());
            let token = subject.strip_prefix("strait.g.").unwrap();
            assert!(!token.is_empty() && !token.contains('.'), "{subject}");
            assert!(seen.insert(subject.clone()), "{subject}");
        }
        let name = GroupName::try_from("order.5").unwrap();
        assert_eq!(subjects().group(&name), "strait.g.order/5");
    }

    proptest! {
        #[test]
        fn no_two_names_share_a_subject(one in "[a._-]{1,6}", other in "[a._-]{1,6}") {
            let [of_one, of_other] = [&one, &other].map(|name| subjects().group(&GroupName::try_from(name).unwrap()));
            assert_eq!(of_one == of_other, one == other);
        }
    }

    #[test]
    fn a_channel_finds_its_way_back() {
        let name = ChannelName::try_from("specific.00ff!1a-09").unwrap();
        let subject = subjects().channel(&name).unwrap();
        assert_eq!(subject, "strait.n.00ff.1a-09");
        assert_eq!(subjects().addressee(&subject), Some(Address::Channel(name)));
        assert_eq!(subjects().channels(), "strait.n.00ff.*");
    }

    #[test]
    fn a_channel_that_no_node_has_made_has_no_subject() {
        for name in [
            "worker-1",
            "a!b",
            "specific.a.b!c",
            "specific.a!b.c",
            "specific.a",
        ] {
            let name = ChannelName::try_from(name).unwrap();
            assert_eq!(subjects().channel(&name), None, "{name}");
        }
    }
}
