//! [`Output`]: where the readers of JSON and of msgpack put a value, piece by piece, and the bounds
//! that hold for all.

/// The output of a reader. Neither end builds a tree, so that what a hostile message costs is its
/// own length.
pub(super) trait Output {
    fn null(&mut self) -> Result<(), Unreadable>;
    fn boolean(&mut self, value: bool) -> Result<(), Unreadable>;
    fn number(&mut self, value: Number<'_>) -> Result<(), Unreadable>;
    fn text(&mut self, value: &str) -> Result<(), Unreadable>;
    fn bytes(&mut self, value: &[u8]) -> Result<(), Unreadable>;
    fn begin(&mut self, container: Container) -> Result<(), Unreadable>;
    /// Of the value that comes next, within a map.
    fn key(&mut self, key: &str) -> Result<(), Unreadable>;
    fn end(&mut self, container: Container) -> Result<(), Unreadable>;
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number<'a> {
    Unsigned(u64),
    /// Below zero.
    Negative(i64),
    Float(f64),
    /// An integer beyond 64 bits, as JSON has it.
    Big(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Array,
    Map,
}

/// Why a message cannot be read, or has no form in the other serialisation. It is counted and
/// logged as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) &'static str);

impl Unreadable {
    pub(super) const CUT_OFF: Self = Self("it ends in the middle of a value");
    pub(super) const DEEP: Self = Self("its values are nested too deeply");
    pub(super) const EXTENSION: Self = Self("it has a value of a msgpack extension type");
    pub(super) const FOREIGN: Self = Self("it is not an envelope");
    pub(super) const FUTURE: Self = Self("it is from the future: the clocks differ");
    pub(super) const KEY: Self = Self("it has a dictionary whose keys are not text");
    pub(super) const LARGE: Self = Self("it is too large");
    pub(super) const MALFORMED_JSON: Self = Self("it is not JSON");
    pub(super) const MALFORMED_MSGPACK: Self = Self("it is not msgpack");
    pub(super) const MISADDRESSED: Self = Self("it was encrypted for another topic");
    pub(super) const MANY: Self = Self("it names too many channels");
    pub(super) const NOT_UTF8: Self = Self("it has text that is not UTF-8");
    pub(super) const OLD: Self = Self("it is too old");
    pub(super) const SURROGATE: Self = Self("it has text that is not Unicode");
    pub(super) const BIG: Self = Self("it has an integer beyond 64 bits, which msgpack cannot say");
    pub(super) const TRAILING: Self = Self("something follows its end");
}

impl Unreadable {
    /// The message is authentic, and its time is the only fault: it may be one that was held up.
    pub(super) fn is_untimely(self) -> bool {
        matches!(self, Self::OLD | Self::FUTURE)
    }
}

/// How deeply arrays and dictionaries may be nested: the limit of `serde_json`.
pub(super) const MAX_DEPTH: usize = 127;

/// How long an event may be, as JSON and as msgpack.
pub(super) const MAX_EVENT: usize = 1024 * 1024;
