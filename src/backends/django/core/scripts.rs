//! The scripts that Redis runs for the core layer: each does one thing at once, and by Redis's own
//! clock.
//!
//! Of a skewed clock of ours Django's processes would see messages that are too old, and delete
//! them. A number in Lua becomes text with 14 digits, so the time is put together as text. Keys
//! that depend on values in Redis are not named beforehand, so that, like channels_redis itself,
//! this is not for a Cluster.
//!
//! Anybody who may write to Redis can put anything under these keys. A key of another type is
//! passed over, or replaced if the key is this node's to write; no script fails for ever because of
//! one.

use std::sync::LazyLock;

use crate::backends::django::script::Script;

/// The members of a group, without those that have been in it for too long, and how many are left
/// out: since there are too many, or their names are too long. KEYS: the group. ARGV:
/// `group_expiry`, how many are returned at most, how many bytes a name has at most.
pub(super) static MEMBERS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "{TRY}
local now = tonumber(redis.call('TIME')[1])
local _, other_type = try('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[1]))
if other_type then
  return {{1, {{}}}}
end
local total, longest = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[3])
local most, members = math.min(total, tonumber(ARGV[2])), {{}}
for from = 0, most - 1, 1000 do
  for _, member in ipairs(redis.call('ZRANGE', KEYS[1], from, math.min(from + 999, most - 1))) do
    if #member <= longest then
      members[#members + 1] = member
    end
  end
end
return {{total - #members, members}}"
    ))
});

/// Puts an entry into each queue that has room, and returns how many have none, and how many are no
/// queues. KEYS: the queues. ARGV: an entry for each, `capacity`, `expiry`.
pub(super) static SEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "{TRY}
local time = redis.call('TIME')
local score = time[1] .. '.' .. string.format('%06d', tonumber(time[2]))
local capacity, expiry = tonumber(ARGV[#KEYS + 1]), tonumber(ARGV[#KEYS + 2])
local full, other = 0, 0
for i = 1, #KEYS do
  local _, other_type = try('ZREMRANGEBYSCORE', KEYS[i], '-inf', tonumber(time[1]) - expiry)
  if other_type then
    other = other + 1
  elseif redis.call('ZCARD', KEYS[i]) < capacity then
    redis.call('ZADD', KEYS[i], score, ARGV[i])
    redis.call('EXPIRE', KEYS[i], expiry)
  else
    full = full + 1
  end
end
return {{full, other}}"
    ))
});

/// Takes the first entries of a queue: returns how many there were, how many were dropped since
/// they are too long, and the others. KEYS: the queue. ARGV: how many entries are taken at most;
/// after how many bytes it is enough; how long an entry is at most.
pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local most, enough, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local waiting = redis.call('ZCARD', KEYS[1])
local taken, bytes, dropped = {}, 0, 0
while #taken + dropped < most and bytes < enough do
  local entry = redis.call('ZPOPMIN', KEYS[1])[1]
  if not entry then
    break
  end
  if #entry > longest then
    dropped = dropped + 1
  else
    bytes = bytes + #entry
    taken[#taken + 1] = entry
  end
end
return {waiting, dropped, taken}",
    )
});

/// Deletes those keys that are no queues, and returns how many. KEYS: this node's queues.
pub(super) static REPAIR: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "{TRY}
local deleted = 0
for i = 1, #KEYS do
  local _, other_type = try('ZCARD', KEYS[i])
  if other_type then
    redis.call('DEL', KEYS[i])
    deleted = deleted + 1
  end
end
return deleted"
    ))
});

/// Makes this node a member of groups, and renews memberships that are older than half of
/// `group_expiry`. Returns the numbers, from 1, of the groups that it was no member of. KEYS: the
/// node's groups, then each group. ARGV: `group_expiry`, how long the node's list is kept, then for
/// each group its name and the member.
pub(super) static JOIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "{TRY}
local now, expiry = tonumber(redis.call('TIME')[1]), tonumber(ARGV[1])
local _, other_type = try('HLEN', KEYS[1])
if other_type then
  redis.call('DEL', KEYS[1])
end
local missing = {{}}
for i = 2, #KEYS do
  local group, member = ARGV[2 * i - 1], ARGV[2 * i]
  local score, other_type = try('ZSCORE', KEYS[i], member)
  if other_type then
    redis.call('DEL', KEYS[i])
  end
  local since = score and tonumber(score)
  if not since then
    missing[#missing + 1] = i - 1
  end
  if not since or since > now or since <= now - expiry / 2 then
    redis.call('ZADD', KEYS[i], now, member)
    redis.call('EXPIRE', KEYS[i], expiry)
  end
  if redis.call('HGET', KEYS[1], group) ~= member then
    redis.call('HSET', KEYS[1], group, member)
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return missing"
    ))
});

/// Takes this node out of groups, which it may have joined again under another name. KEYS: as of
/// [`JOIN`]. ARGV: for each group its name and the member.
pub(super) static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "{TRY}
for i = 2, #KEYS do
  local group, member = ARGV[2 * i - 3], ARGV[2 * i - 2]
  try('ZREM', KEYS[i], member)
  if try('HGET', KEYS[1], group) == member then
    redis.call('HDEL', KEYS[1], group)
  end
end"
    ))
});

/// Says that this node is alive, and takes one out of its groups that has long not said so. Returns
/// whether this node was known: else it was taken for dead, or everything was deleted. KEYS: the
/// nodes. ARGV: the node, the layer's prefix, after how many seconds a node is dead, how long the
/// list of nodes is kept.
pub(super) static BEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(format!(
        "{TRY}
{BURY}
local now = tonumber(redis.call('TIME')[1])
local known, other_type = try('ZSCORE', KEYS[1], ARGV[1])
if other_type then
  redis.call('DEL', KEYS[1])
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[4])
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]), 'LIMIT', 0, 1)) do
  bury(node, 10)
end
return known and 1 or 0"
    ))
});

/// Takes this node out of everything. KEYS: the nodes. ARGV: the node, the layer's prefix.
pub(super) static END: LazyLock<Script> =
    LazyLock::new(|| Script::new(format!("{TRY}\n{BURY}\nbury(ARGV[1], math.huge)")));

/// Runs a command. If the key is of another type, the first result is nil and the second is true;
/// any other error ends the script, as with `redis.call`.
const TRY: &str = "local function try(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then
    return reply
  elseif string.find(reply.err, 'WRONGTYPE', 1, true) then
    return nil, true
  end
  return redis.call(...)
end";

/// Removes what a node leaves behind: at most this many times about a thousand groups, and then the
/// node itself. Its queues end by themselves, within `expiry`.
const BURY: &str = "local function bury(node, times)
  local groups, cursor = ARGV[2] .. ':strait:groups:' .. node, '0'
  while times > 0 do
    times = times - 1
    local found = try('HSCAN', groups, cursor, 'COUNT', 1000) or {'0', {}}
    local members = found[2]
    for i = 1, #members, 2 do
      try('ZREM', ARGV[2] .. ':group:' .. members[i], members[i + 1])
      redis.call('HDEL', groups, members[i])
    end
    cursor = found[1]
    if cursor == '0' then
      redis.call('DEL', groups)
      try('ZREM', KEYS[1], node)
      return
    end
  end
end";
