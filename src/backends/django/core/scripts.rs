//! The scripts that Redis runs for the core layer: each does one thing at once, and by Redis's own clock.
//!
//! Of a skewed clock of ours Django's processes would see messages that are too old, and delete them. A number in Lua becomes text
//! with 14 digits, so the time is put together as text. Keys that follow from what is found are not named beforehand, so that, like
//! channels_redis itself, this is not for a Cluster.

use std::sync::LazyLock;

use crate::backends::django::script::Script;

/// The members of a group, without those that have been in it for too long. KEYS: the group. ARGV: `group_expiry`.
pub(super) static MEMBERS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - tonumber(ARGV[1]))
return redis.call('ZRANGE', KEYS[1], 0, -1)",
    )
});

/// Puts an entry into each queue that has room, and returns the numbers of those that have none, from 1. KEYS: the queues. ARGV: an entry
/// for each, `capacity`, `expiry`.
pub(super) static SEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
local score = time[1] .. '.' .. string.format('%06d', tonumber(time[2]))
local capacity, expiry = tonumber(ARGV[#KEYS + 1]), tonumber(ARGV[#KEYS + 2])
local full = {}
for i = 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], 0, tonumber(time[1]) - expiry)
  if redis.call('ZCARD', KEYS[i]) < capacity then
    redis.call('ZADD', KEYS[i], score, ARGV[i])
    redis.call('EXPIRE', KEYS[i], expiry)
  else
    full[#full + 1] = i
  end
end
return full",
    )
});

/// Makes this node a member of groups, or renews that. KEYS: the node's groups, then each group. ARGV: `group_expiry`, how long the
/// node's list is kept, then for each group its name and the member.
pub(super) static JOIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local now = redis.call('TIME')[1]
for i = 2, #KEYS do
  local group, member = ARGV[2 * i - 1], ARGV[2 * i]
  redis.call('ZADD', KEYS[i], now, member)
  redis.call('EXPIRE', KEYS[i], ARGV[1])
  redis.call('HSET', KEYS[1], group, member)
end
redis.call('EXPIRE', KEYS[1], ARGV[2])",
    )
});

/// Takes this node out of groups, which it may have joined anew under another name. KEYS: as of [`JOIN`]. ARGV: for each group its name and the member.
pub(super) static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "for i = 2, #KEYS do
  local group, member = ARGV[2 * i - 3], ARGV[2 * i - 2]
  redis.call('ZREM', KEYS[i], member)
  if redis.call('HGET', KEYS[1], group) == member then
    redis.call('HDEL', KEYS[1], group)
  end
end",
    )
});

/// Says that this node is alive, and takes one out of its groups that has long not said so. Returns whether this node was known: else
/// it was taken for dead, or everything was deleted. KEYS: the nodes. ARGV: the node, the layer's prefix, after how many seconds a node
/// is dead, how long the list of nodes is kept.
pub(super) static BEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "{BURY}
local now = tonumber(redis.call('TIME')[1])
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[4])
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]), 'LIMIT', 0, 1)) do
  bury(node)
end
return known and 1 or 0",
    ))
});

/// Takes this node out of everything. KEYS: the nodes. ARGV: the node, the layer's prefix.
pub(super) static END: LazyLock<Script> =
    LazyLock::new(|| Script::new(format!("{BURY}\nbury(ARGV[1])")));

/// What a node leaves behind. Its queues end by themselves, within `expiry`.
const BURY: &str = "local function bury(node)
  local groups = ARGV[2] .. ':strait:groups:' .. node
  local members = redis.call('HGETALL', groups)
  for i = 1, #members, 2 do
    redis.call('ZREM', ARGV[2] .. ':group:' .. members[i], members[i + 1])
  end
  redis.call('DEL', groups)
  redis.call('ZREM', KEYS[1], node)
end";
