//! [`Options`]: the options of both layers, from a builder or a URL.

use std::fmt;
use std::time::Duration;

use crate::backends::redis::{Find, RedisUrl};
use crate::error::Error;

use super::codec::SerializerFormat;
use super::guard::Guard;

/// The options of `CONFIG` in Django's settings, and those that strait adds.
#[derive(Clone)]
pub(super) struct Options {
    /// In the order of the settings, since they tell what lies where. An error of their URLs is
    /// returned when the layer starts.
    pub(super) hosts: Result<Vec<Find>, String>,
    pub(super) prefix: String,
    pub(super) format: SerializerFormat,
    pub(super) keys: Vec<String>,
    pub(super) guard: Guard,
}

impl Options {
    pub(super) fn new<H: AsRef<str>>(hosts: impl IntoIterator<Item = H>) -> Self {
        let parse = |host: &str| server(&mut RedisUrl::parse(host)?, OF_HOSTS);
        let mut hosts: Vec<_> = hosts.into_iter().map(|host| parse(host.as_ref())).collect();
        if hosts.is_empty() {
            hosts.push(parse("redis://localhost:6379"));
        }
        Self {
            hosts: hosts.into_iter().collect(),
            prefix: "asgi".to_owned(),
            format: SerializerFormat::MsgPack,
            keys: Vec::new(),
            guard: Guard::default(),
        }
    }

    /// The hosts, if the builder was given nothing that makes no sense.
    pub(super) fn checked_hosts(&self) -> Result<Vec<Find>, Error> {
        if self.keys.iter().any(String::is_empty) {
            return Err(Error::misconfigured(EMPTY_KEY));
        }
        self.hosts.clone().map_err(Error::misconfigured)
    }

    /// The options that must be equal in Django, for a developer who wonders why nothing arrives.
    pub(super) fn tell(&self, layer: &str) {
        let Self { prefix, format, .. } = self;
        let keys = self.keys.len();
        tracing::info!(
            layer,
            prefix,
            ?format,
            keys,
            "the channel layer is beside Django"
        );
    }

    /// From `SCHEME://[user:password@]host[:port][/db]?…`; `more` takes what only one of the layers
    /// has, and `known` names all.
    pub(super) fn from_url(
        url: &str,
        known: &str,
        more: impl FnOnce(&mut RedisUrl) -> Result<(), String>,
    ) -> Result<Self, Error> {
        Self::parse(url, known, more).map_err(Error::misconfigured)
    }

    fn parse(
        url: &str,
        known: &str,
        more: impl FnOnce(&mut RedisUrl) -> Result<(), String>,
    ) -> Result<Self, String> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or("it needs a host: SCHEME://HOST:PORT/DB")?;
        // `redis`, `rediss`, and the same with `+sentinel`.
        let redis = scheme
            .strip_prefix("channels-")
            .and_then(|scheme| scheme.rsplit_once('-'))
            .map_or(scheme, |(redis, _layer)| redis);
        let mut url = RedisUrl::parse(&format!("{redis}://{rest}"))?;
        let mut options = Self::new([""; 0]);
        if let Some(prefix) = url.take("prefix") {
            options.prefix = prefix;
        }
        options.format = match url.take("serializer").as_deref() {
            None | Some("msgpack") => SerializerFormat::MsgPack,
            Some("json") => SerializerFormat::Json,
            Some(other) => {
                let other = url.quote(other);
                return Err(format!("?serializer= is msgpack or json, not {other}"));
            }
        };
        options.keys = url.take_all("key");
        if options.keys.iter().any(String::is_empty) {
            return Err("?key= is empty: give a key, or leave it out for no encryption".to_owned());
        }
        let others = url.take_all("host");
        more(&mut url)?;
        let first = server(&mut url.clone(), known)?;
        let others = others.iter().map(|host| {
            let found = another(host, &url).and_then(|mut other| server(&mut other, OF_HOSTS));
            found.map_err(|why| url.hide(why))
        });
        let others = others.collect::<Result<Vec<_>, _>>()?;
        options.hosts = Ok([first].into_iter().chain(others).collect());
        Ok(options)
    }
}

/// Without the keys, and without what a password may have been mistaken for: hosts and a prefix.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("format", &self.format)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

/// The hosts of a URL, once all options are taken out of it.
fn server(url: &mut RedisUrl, known: &str) -> Result<Find, String> {
    // A Cluster would not do: the core layer's keys are not of one slot.
    let find = Find::new(url)?;
    url.finish(known)?;
    Ok(find)
}

/// Whole seconds, as the settings of Django have them.
pub(super) fn seconds(url: &mut RedisUrl, name: &str) -> Result<Option<Duration>, String> {
    Ok(number(url, name)?.map(Duration::from_secs))
}

/// A number above zero.
pub(super) fn number(url: &mut RedisUrl, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = url.take(name) else {
        return Ok(None);
    };
    let number = text.parse().ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| {
        let text = url.quote(&text);
        format!("?{name}= is a whole number from 1, not {text}")
    })?;
    Ok(Some(number))
}

/// A further host: `HOST:PORT`, with all else as of the first, or a URL of its own.
fn another(host: &str, first: &RedisUrl) -> Result<RedisUrl, String> {
    if host.contains("://") {
        return RedisUrl::parse(host);
    }
    first.at(host)
}

const EMPTY_KEY: &str =
    "symmetric_encryption_keys has an empty key: give each a text, or none for no encryption";
/// Options of a host's own URL.
const OF_HOSTS: &str = "ca, sentinel_user, sentinel_password";

/// The builder methods that both layers have.
macro_rules! shared_options {
    ($layer:ident) => {
        impl $layer {
            /// The setting `prefix`: the beginning of all names in Redis. Default: `"asgi"`, that
            /// of channels_redis.
            #[must_use]
            pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
                self.options.prefix = prefix.into();
                self
            }

            /// The setting `serializer_format`. Default: msgpack, that of channels_redis.
            #[must_use]
            pub fn serializer_format(mut self, format: SerializerFormat) -> Self {
                self.options.format = format;
                self
            }

            /// Sets `symmetric_encryption_keys`, in the same order: the first encrypts, each
            /// decrypts. A message that cannot be decrypted is counted and skipped. Messages that
            /// only strait's nodes read are encrypted, too, and bound to their topic and to the
            /// time: one that is more than 70 s old or 60 s from the future is skipped, and its
            /// group gets `gap`, so the clocks of the nodes must agree. The format of
            /// channels_redis has no such binding: an event that Django reads, too, can be
            /// published again by anybody who may write to Redis. Names of groups are never
            /// encrypted. An empty key is an error when the layer starts. Default: none, no
            /// encryption.
            #[must_use]
            pub fn symmetric_encryption_keys<K: Into<String>>(
                mut self,
                keys: impl IntoIterator<Item = K>,
            ) -> Self {
                self.options.keys = keys.into_iter().map(Into::into).collect();
                self
            }

            /// Lets only events of these types be published to the groups whose name matches the
            /// pattern (`*` for any text, `?` for one character): those that Django's consumers in
            /// these groups have handlers for. Any other would end each of them. The first pattern
            /// that matches decides. Default: every type but those that no consumer may be sent
            /// ([`Error::is_refused`]).
            #[must_use]
            pub fn allow<T: Into<String>>(
                mut self,
                groups: &str,
                types: impl IntoIterator<Item = T>,
            ) -> Self {
                self.options.guard.allow(groups, types);
                self
            }
        }
    };
}

pub(super) use shared_options;

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use crate::backends::url::secrets;
    use crate::backends::{ChannelsRedisCore, ChannelsRedisPubSub};

    use super::Options;

    proptest! {
        #[test]
        fn no_password_shows_in_an_error_or_in_debug(
            url in secrets::urls(&[
                "channels-redis-core://",
                "channels-redis+sentinel-core://",
                "channels-redis-core://a?host=",
                "channels-redis-core://a?host=redis://",
            ])
        ) {
            let core = ChannelsRedisCore::from_url(&url);
            let pubsub = ChannelsRedisPubSub::from_url(&url);
            secrets::assert_hidden(&url, &[&core, &pubsub]);
        }

        #[test]
        fn no_password_shows_in_an_error_of_a_host(
            url in secrets::urls(&["", "redis://", "unix://", "redis+sentinel://"])
        ) {
            let options = Options::new(["redis://a", &*url]);
            secrets::assert_hidden(&url, &[&options.hosts.as_ref().err(), &options]);
        }
    }

    #[test]
    fn keys_do_not_show_in_debug() {
        let keyed = ChannelsRedisCore::new(["redis://a"]).symmetric_encryption_keys(["S3CRET"]);
        secrets::assert_hidden("", &[&keyed]);
    }

    #[test]
    fn a_further_host_is_a_host_and_a_port_or_a_url() {
        for (host, why) in [
            ("b:1/2", "port of host \"b\""),
            ("user:S3CRET@b", "a whole URL"),
            ("b,c", "takes one host"),
        ] {
            let url = format!("channels-redis-core://a?host={}", host.replace('@', "%40"));
            let error = ChannelsRedisCore::from_url(&url)
                .err()
                .map(|error| error.to_string());
            let text = error.unwrap_or_default();
            assert!(
                text.contains(why) && !text.contains("S3CRET"),
                "{host}: {text}"
            );
        }
    }
}
