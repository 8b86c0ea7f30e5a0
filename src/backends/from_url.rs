//! [`ChannelLayer::from_url`]: the backend that a setting names.

#[cfg(feature = "redis")]
use crate::backends::ChannelsRedisCore;
#[cfg(feature = "redis")]
use crate::backends::ChannelsRedisPubSub;
#[cfg(feature = "redis")]
use crate::backends::redis::Redis;
use crate::error::Error;
use crate::layer::ChannelLayer;

impl ChannelLayer {
    /// A layer over the backend that this URL names, started: for a flag or a setting.
    ///
    /// | URL | backend | feature |
    /// | --- | --- | --- |
    /// | `memory:` | [`Memory`](crate::backends::Memory): one process | |
    /// | `redis://…`, `rediss://…`, `unix://…` | `Redis`: one server | `redis` |
    /// | `redis+sentinel://…`, `rediss+sentinel://…` | `Redis`: the master that Sentinels name | `redis` |
    /// | `redis+cluster://…`, `rediss+cluster://…` | `Redis`: a Cluster | `redis` |
    /// | `channels-redis-pubsub://…`, `channels-redis-core://…`, and with `rediss` or `redis+sentinel` in it | an unmodified Django on the same Redis: `ChannelsRedisPubSub`, `ChannelsRedisCore` | `redis` |
    /// | `nats://[user:password@\|token@]host[:port],…?prefix=…` | core NATS: see `backends::Nats` | `nats` |
    ///
    /// ```
    /// use strait::ChannelLayer;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let layer = ChannelLayer::from_url("memory:").await?;
    /// # Ok::<(), strait::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_misconfigured`] for a URL that names no backend, or one whose feature was not
    /// compiled in: the text names it. Then as [`new`](Self::new).
    ///
    /// # Cancel safety
    ///
    /// As [`new`](Self::new).
    pub async fn from_url(url: &str) -> Result<Self, Error> {
        let Some((scheme, _)) = url.split_once(':') else {
            return Err(Error::misconfigured(format!(
                "{} names no backend: write memory:, or SCHEME://HOST:PORT with one of {}",
                quoted_scheme(url),
                names()
            )));
        };
        match scheme {
            "memory" if url == "memory:" => Ok(Self::memory()),
            "memory" => Err(Error::misconfigured(
                "memory: takes no options, write \"memory:\"",
            )),
            #[cfg(feature = "redis")]
            "channels-redis-pubsub"
            | "channels-rediss-pubsub"
            | "channels-redis+sentinel-pubsub"
            | "channels-rediss+sentinel-pubsub" => {
                Self::new(ChannelsRedisPubSub::from_url(url)?).await
            }
            #[cfg(feature = "redis")]
            "channels-redis-core"
            | "channels-rediss-core"
            | "channels-redis+sentinel-core"
            | "channels-rediss+sentinel-core" => Self::new(ChannelsRedisCore::from_url(url)?).await,
            #[cfg(feature = "redis")]
            _ if is_of(scheme, "redis") => Self::new(Redis::new(url)).await,
            #[cfg(feature = "nats")]
            "nats" => Self::new(super::nats::Nats::new(url)).await,
            _ => Err(unknown(scheme)),
        }
    }
}

/// Whether this feature is for it.
#[cfg(feature = "redis")]
fn is_of(scheme: &str, feature: &str) -> bool {
    SCHEMES.contains(&(scheme, feature))
}

fn unknown(scheme: &str) -> Error {
    let known = SCHEMES.iter().find(|(known, _)| *known == scheme);
    Error::misconfigured(match known {
        Some((scheme, feature)) => {
            format!("{scheme}: needs strait's feature {feature:?}, which was not compiled in")
        }
        None => format!(
            "no backend is called {}: it is one of {}",
            quoted_scheme(scheme),
            names()
        ),
    })
}

/// A scheme for an error: `…` if it is none, since a login may stand there.
pub(super) fn quoted_scheme(scheme: &str) -> String {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_');
    if scheme.bytes().all(is_plain) {
        format!("{scheme:?}")
    } else {
        "…".to_owned()
    }
}

fn names() -> String {
    let names = ["memory"]
        .into_iter()
        .chain(SCHEMES.iter().map(|(scheme, _)| *scheme));
    names.collect::<Vec<_>>().join(", ")
}

/// The schemes of backends that are features, and those.
const SCHEMES: &[(&str, &str)] = &[
    ("redis", "redis"),
    ("rediss", "redis"),
    ("unix", "redis"),
    ("redis+sentinel", "redis"),
    ("rediss+sentinel", "redis"),
    ("redis+cluster", "redis"),
    ("rediss+cluster", "redis"),
    ("channels-redis-pubsub", "redis"),
    ("channels-redis-core", "redis"),
    ("channels-rediss-pubsub", "redis"),
    ("channels-rediss-core", "redis"),
    ("channels-redis+sentinel-pubsub", "redis"),
    ("channels-redis+sentinel-core", "redis"),
    ("channels-rediss+sentinel-pubsub", "redis"),
    ("channels-rediss+sentinel-core", "redis"),
    ("nats", "nats"),
];

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    #[cfg(any(feature = "nats", feature = "redis"))]
    use crate::backends::url::secrets;
    use crate::layer::ChannelLayer;

    #[test]
    fn an_unknown_backend_is_an_error_that_lists_the_known_ones() {
        for (url, why) in [
            #[cfg(not(feature = "redis"))]
            (
                "redis://localhost",
                "needs strait's feature \"redis\", which was not compiled in",
            ),
            #[cfg(feature = "redis")]
            ("redis://localhost?colour=red", "no option \"colour\""),
            #[cfg(feature = "redis")]
            ("redis:localhost", "begins with redis://, rediss://"),
            ("", "\"\" names no backend: write memory:"),
            ("memory", "\"memory\" names no backend: write memory:"),
            ("memory://x", "takes no options"),
            (
                "carrier-pigeon://loft",
                "no backend is called \"carrier-pigeon\"",
            ),
            #[cfg(not(feature = "nats"))]
            ("nats://localhost", "needs strait's feature \"nats\""),
            #[cfg(feature = "nats")]
            ("nats://", "the NATS URL has no host"),
        ] {
            let result = ChannelLayer::from_url(url).now_or_never();
            let error = result.and_then(Result::err);
            assert!(
                error.as_ref().is_some_and(|error| error.is_misconfigured()),
                "{url:?}"
            );
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains(why), "{url:?}: {text}");
        }
    }

    #[cfg(any(feature = "nats", feature = "redis"))]
    proptest::proptest! {
        #[test]
        fn no_password_shows_in_an_error(url in secrets::urls(&["", "carrier-pigeon://", "user:P@", ":P", "nats:", "redis:"])) {
            let error = ChannelLayer::from_url(&url).now_or_never().and_then(Result::err);
            secrets::assert_hidden(&url, &[&error]);
        }
    }
}
