//! [`Fields`]: a filter for an event on its way from one form into another: it checks the `"type"`
//! and takes out the keys that are not the event's own.

use std::collections::BTreeSet;

use crate::name::{ChannelName, Key};

use super::names::is_name;
use super::output::{Container, Number, Output, Unreadable};

/// The local channels that an entry of the core layer is for.
pub(super) const CHANNELS: &str = "__asgi_channel__";
/// The channel that is left out. Of strait's own: Channels has no such thing.
pub(super) const EXCEPT: &str = "__strait_except__";
/// [`latest`](crate::layer::Publish::latest)'s key. Of strait's own.
pub(super) const LATEST: &str = "__strait_latest__";

/// Passes an event on, except the reserved keys, and checks that it is one: a dictionary with one
/// `"type"`, a text.
#[derive(Debug, Default)]
pub(super) struct Fields<O> {
    out: O,
    /// How many arrays and dictionaries are open.
    depth: usize,
    /// The key of the event that the value in hand belongs to.
    field: Field,
    kind: Option<String>,
    reserved: Reserved,
}

/// The reserved keys of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reserved {
    /// Each once, however often it was named.
    pub(super) channels: BTreeSet<String>,
    /// Something else was named among them.
    pub(super) has_odd_channels: bool,
    pub(super) except: Option<ChannelName>,
    pub(super) latest: Option<Key>,
}

impl Reserved {
    /// A group has whatever members it was given, and an entry for it names them all: those that
    /// are no channels are passed over.
    fn add_channel(&mut self, name: &str) -> Result<(), Unreadable> {
        if !is_name(name) {
            self.has_odd_channels = true;
        } else if !self.channels.contains(name) {
            if self.channels.len() == MAX_CHANNELS {
                return Err(Unreadable::MANY);
            }
            self.channels.insert(name.to_owned());
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Own,
    Type,
    Channels,
    Except,
    Latest,
}

impl<O: Output> Fields<O> {
    /// The event's type, what travelled beside it, and what was written.
    pub(super) fn finish(self) -> Result<(String, Reserved, O), Unreadable> {
        let kind = self.kind.ok_or(UNTYPED)?;
        Ok((kind, self.reserved, self.out))
    }

    /// The receiver of a value; none if the value must not be there.
    fn out(&mut self) -> Result<&mut O, Unreadable> {
        match self.field {
            _ if self.depth == 0 => Err(NO_DICTIONARY),
            Field::Own => Ok(&mut self.out),
            Field::Type if self.depth > 1 => Ok(&mut self.out),
            Field::Type => Err(UNTYPED),
            Field::Channels | Field::Except | Field::Latest => Err(RESERVED),
        }
    }
}

impl<O: Output> Output for Fields<O> {
    fn null(&mut self) -> Result<(), Unreadable> {
        self.out()?.null()
    }

    fn boolean(&mut self, value: bool) -> Result<(), Unreadable> {
        self.out()?.boolean(value)
    }

    fn number(&mut self, value: Number<'_>) -> Result<(), Unreadable> {
        self.out()?.number(value)
    }

    fn text(&mut self, value: &str) -> Result<(), Unreadable> {
        match self.field {
            Field::Type if self.depth == 1 => {
                self.kind = Some(value.to_owned());
                self.out.text(value)
            }
            Field::Channels => self.reserved.add_channel(value),
            Field::Except => {
                let name = ChannelName::try_from(value).map_err(|_| RESERVED)?;
                self.reserved.except = Some(name);
                Ok(())
            }
            Field::Latest => {
                let key = Key::try_from(value).map_err(|_| RESERVED)?;
                self.reserved.latest = Some(key);
                Ok(())
            }
            Field::Own | Field::Type => self.out()?.text(value),
        }
    }

    fn bytes(&mut self, value: &[u8]) -> Result<(), Unreadable> {
        self.out()?.bytes(value)
    }

    fn begin(&mut self, container: Container) -> Result<(), Unreadable> {
        let passes = match (self.depth, self.field, container) {
            (0, _, Container::Map) => true,
            (1, Field::Channels, Container::Array) => false,
            _ => {
                self.out()?;
                true
            }
        };
        self.depth += 1;
        if passes {
            self.out.begin(container)?;
        }
        Ok(())
    }

    fn key(&mut self, key: &str) -> Result<(), Unreadable> {
        if self.depth > 1 {
            return self.out()?.key(key);
        }
        self.field = match key {
            "type" if self.kind.is_some() => return Err(TWO_TYPES),
            "type" => Field::Type,
            CHANNELS => Field::Channels,
            EXCEPT => Field::Except,
            LATEST => Field::Latest,
            _ => Field::Own,
        };
        if matches!(self.field, Field::Own | Field::Type) {
            return self.out.key(key);
        }
        Ok(())
    }

    fn end(&mut self, container: Container) -> Result<(), Unreadable> {
        self.depth -= 1;
        if (self.depth, self.field) == (1, Field::Channels) {
            return Ok(());
        }
        self.out.end(container)
    }
}

/// How many channels an entry may name: that many sockets of one process in one group.
const MAX_CHANNELS: usize = 131_072;

const NO_DICTIONARY: Unreadable = Unreadable("it is no dictionary");
const RESERVED: Unreadable = Unreadable("the value of a reserved key is not what it must be");
const TWO_TYPES: Unreadable = Unreadable("it has more than one \"type\"");
const UNTYPED: Unreadable = Unreadable("it has no \"type\" that is text");
