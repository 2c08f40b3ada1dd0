//! The stream over Redis or Valkey (6.2 and newer).
//!
//! Each partition is one stream `ws:{<database>.<partition>}:ev`. An entry's id is `<pseq>-0`, its fields are `v` (1),
//! `r` (record id) and `h` (hook). There is one consumer group, made at `0` and never at `$`: a group made at the end
//! would skip silently what was appended before it. Appending is one script that compares the stream's own last id
//! with what the relay believes; so nothing is ever appended behind a gap.
//!
//! Blocking reads have a connection of their own: a shared one would make every other call wait, and its response
//! timeout would cut the block short. After a failure every call is refused until a randomly spread pause is over,
//! so that no caller can spin. Must not decide what to do about a lost stream: that is the relay's part.

use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, RedisError, Script, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Append, Delivery, Entry, Stream};
use crate::config;
use crate::error::{Code, Error, Result};

/// The one consumer group.
const GROUP: &str = "wellspring";

/// `KEYS[1]` the stream; `ARGV[1]` the last number expected, empty for none; `ARGV[2]` the group; then number, record
/// id and hook of each entry. With `?` as expectation it only tells where the stream ends.
const APPEND: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then
  if ARGV[1] ~= '' then return 'GONE' end
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[2], '0', 'MKSTREAM')
else
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  local last = ''
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = string.match(info[i + 1], '^%d+') end
  end
  if last ~= ARGV[1] then return 'MOVED ' .. last end
end
for i = 3, #ARGV, 3 do
  redis.call('XADD', KEYS[1], ARGV[i] .. '-0', 'v', '1', 'r', ARGV[i + 1], 'h', ARGV[i + 2])
end
return 'DONE'
";

/// The first pause after a failure.
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// Redis Streams, as one consumer of the group.
pub struct Redis {
    client: Client,
    database: String,
    consumer: String,
    append: Script,
    calls: Mutex<Option<MultiplexedConnection>>,
    reads: Mutex<Option<MultiplexedConnection>>,
    /// Of appends and of everything else: a full Redis still answers reads.
    pauses: [std::sync::Mutex<Pause>; 2],
    pause_max: Duration,
    call_timeout: Duration,
}

/// What a call does; failures of one way say nothing about the other.
#[derive(Clone, Copy)]
enum Way {
    Append,
    Other,
}

/// Until when calls are refused after a failure.
#[derive(Default)]
struct Pause {
    until: Option<Instant>,
    last: Duration,
}

impl Redis {
    /// A stream for this database (a short text that no other database of the same Redis has), read as `consumer`.
    /// Connects at the first call.
    ///
    /// # Errors
    /// `BAD_REQUEST` when the URL cannot be understood.
    pub fn new(url: &str, database: &str, consumer: &str, config: &config::Stream) -> Result<Self> {
        let bad = |error: RedisError| {
            let text = "`stream.redis_url` is not a Redis URL; write `redis://host:port/0`";
            Error::bad_request(text).with_cause(error)
        };
        let info = url.into_connection_info().map_err(bad)?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_tcp_settings(tcp)).map_err(bad)?;
        Ok(Redis {
            client,
            database: database.to_owned(),
            consumer: consumer.to_owned(),
            append: Script::new(APPEND),
            calls: Mutex::new(None),
            reads: Mutex::new(None),
            pauses: Default::default(),
            pause_max: Duration::from_millis(config.backoff_max_ms.max(1)),
            call_timeout: Duration::from_millis(config.call_timeout_ms),
        })
    }

    fn key(&self, partition: u32) -> String {
        format!("ws:{{{}.{partition}}}:ev", self.database)
    }

    fn pause(&self, way: Way) -> std::sync::MutexGuard<'_, Pause> {
        let [append, other] = &self.pauses;
        let pause = match way {
            Way::Append => append,
            Way::Other => other,
        };
        pause.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Refuses while the pause after the last failure is not over.
    fn gate(&self, way: Way) -> Result<()> {
        match self.pause(way).until {
            Some(until) if Instant::now() < until => Err(away("paused after a failure")),
            _ => Ok(()),
        }
    }

    /// Remembers a failure: the pause doubles up to its bound, spread by half so that nodes do not come in step.
    fn failed(&self, way: Way, error: RedisError) -> Error {
        let mut pause = self.pause(way);
        pause.last = (pause.last * 2).clamp(PAUSE_FIRST, self.pause_max);
        let spread = pause.last.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        pause.until = Some(Instant::now() + spread);
        away(error)
    }

    fn succeeded(&self, way: Way) {
        *self.pause(way) = Pause::default();
    }

    async fn connect(&self, response_timeout: Option<Duration>) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.call_timeout / 2))
            .set_response_timeout(response_timeout);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// The connection for everything that does not block; checked when it is made.
    async fn connection(&self, way: Way) -> Result<MultiplexedConnection> {
        self.gate(way)?;
        let mut slot = self.calls.lock().await;
        if let Some(connection) = slot.as_ref() {
            return Ok(connection.clone());
        }
        let mut connection = match self.connect(Some(self.call_timeout)).await {
            Ok(connection) => connection,
            Err(error) => return Err(self.failed(way, error)),
        };
        let info = redis::cmd("INFO");
        match info.query_async::<String>(&mut connection).await {
            Ok(text) => {
                if let Err(error) = check(&text) {
                    tracing::error!(error = error.message(), "the stream's Redis is set up wrongly");
                }
            }
            Err(error) => return Err(self.failed(way, error)),
        }
        *slot = Some(connection.clone());
        tracing::info!(consumer = self.consumer, "connected to the stream's Redis");
        Ok(connection)
    }

    /// Runs one command; a failure closes the connection and starts a pause.
    async fn call(&self, command: &Cmd) -> Result<Value> {
        let mut connection = self.connection(Way::Other).await?;
        match command.query_async::<Value>(&mut connection).await {
            Ok(value) => {
                self.succeeded(Way::Other);
                Ok(value)
            }
            Err(error) => Err(self.lost(Way::Other, &self.calls, error).await),
        }
    }

    async fn lost(&self, way: Way, slot: &Mutex<Option<MultiplexedConnection>>, error: RedisError) -> Error {
        *slot.lock().await = None;
        self.failed(way, error)
    }

    async fn compare_and_append(&self, partition: u32, entries: &[Entry], expected: &str) -> Result<Append> {
        let mut connection = self.connection(Way::Append).await?;
        let mut invocation = self.append.key(self.key(partition));
        invocation.arg(expected).arg(GROUP);
        for entry in entries {
            invocation.arg(entry.pseq).arg(entry.record_id.to_string()).arg(&entry.hook);
        }
        let answer = match invocation.invoke_async::<String>(&mut connection).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.lost(Way::Append, &self.calls, error).await),
        };
        // Asking where the stream ends works while it takes nothing more: only an append shows that it does.
        if !entries.is_empty() {
            self.succeeded(Way::Append);
        }
        match answer.strip_prefix("MOVED ").map(str::parse::<i64>) {
            Some(Ok(last)) => Ok(Append::Moved(last)),
            Some(Err(error)) => Err(away(error)),
            None if answer == "GONE" => Ok(Append::Gone),
            None => Ok(Append::Done),
        }
    }

    /// Makes the group of each partition where it is missing, from the very first entry on.
    async fn make_groups(&self, partitions: &[u32]) -> Result<()> {
        for partition in partitions {
            let mut command = redis::cmd("XGROUP");
            command.arg("CREATE").arg(self.key(*partition)).arg(GROUP).arg("0").arg("MKSTREAM");
            let mut connection = self.connection(Way::Other).await?;
            match command.query_async::<Value>(&mut connection).await {
                Ok(_) => tracing::info!(partition, "made the stream's consumer group anew"),
                Err(error) if error.code() == Some("BUSYGROUP") => {}
                Err(error) => return Err(self.lost(Way::Other, &self.calls, error).await),
            }
        }
        Ok(())
    }

    /// Drops consumers that have been silent for long and have nothing pending: every process is a new one. What goes
    /// wrong here is tried again with the next reclaim.
    async fn forget_consumers(&self, partition: u32, idle: Duration) {
        let key = self.key(partition);
        let Ok(list) = self.call(redis::cmd("XINFO").arg("CONSUMERS").arg(&key).arg(GROUP)).await else {
            return;
        };
        let old = idle.as_millis().saturating_mul(10).max(3_600_000);
        for consumer in items(&list) {
            let field = |name: &str| {
                let found = items(consumer)
                    .chunks(2)
                    .find(|pair| pair.first().and_then(text).as_deref() == Some(name));
                found.and_then(|pair| pair.get(1))
            };
            let number = |name: &str| match field(name) {
                Some(Value::Int(number)) => u128::try_from(*number).ok(),
                _ => None,
            };
            let (Some(name), Some(0), Some(silent)) =
                (field("name").and_then(text), number("pending"), number("idle"))
            else {
                continue;
            };
            if silent > old && name != self.consumer {
                let drop =
                    self.call(redis::cmd("XGROUP").arg("DELCONSUMER").arg(&key).arg(GROUP).arg(&name)).await;
                tracing::debug!(partition, consumer = name, done = drop.is_ok(), "dropped a silent consumer");
            }
        }
    }

    async fn read_new(&self, partitions: &[u32], max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.gate(Way::Other)?;
        let mut slot = self.reads.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            // The server ends the wait; a dead peer is found by keep-alive or by the next write.
            None => match self.connect(None).await {
                Ok(connection) => connection,
                Err(error) => return Err(self.failed(Way::Other, error)),
            },
        };
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(max.max(1));
        if !wait.is_zero() {
            command.arg("BLOCK").arg(u64::try_from(wait.as_millis()).unwrap_or(1_000).max(1));
        }
        command.arg("STREAMS");
        command.arg(partitions.iter().map(|p| self.key(*p)).collect::<Vec<_>>());
        command.arg(vec![">"; partitions.len()]);
        // A caller that stops waiting drops this future: the connection, taken out of its slot, goes with it,
        // because its next answer would belong to the abandoned read.
        let limit = wait + self.call_timeout;
        let answer = tokio::time::timeout(limit, command.query_async::<Value>(&mut connection)).await;
        match answer {
            Ok(Ok(value)) => {
                *slot = Some(connection);
                self.succeeded(Way::Other);
                Ok(self.deliveries(partitions, &value))
            }
            Ok(Err(error)) if group_is_missing(&error) => {
                *slot = Some(connection);
                drop(slot);
                self.make_groups(partitions).await?;
                Ok(Vec::new())
            }
            Ok(Err(error)) => Err(self.failed(Way::Other, error)),
            Err(_) => Err(self.failed(Way::Other, (ErrorKind::Io, "the read timed out").into())),
        }
    }

    /// `[[key, entries], …]` (or the same as a map) of an XREADGROUP.
    fn deliveries(&self, partitions: &[u32], value: &Value) -> Vec<Delivery> {
        let mut found = Vec::new();
        let mut take = |name: &Value, entries: &Value| {
            let Some(name) = text(name) else { return };
            let Some(partition) = partitions.iter().copied().find(|p| self.key(*p) == name) else { return };
            found.extend(items(entries).iter().filter_map(|entry| delivery(partition, entry)));
        };
        match value {
            Value::Map(pairs) => pairs.iter().for_each(|(name, entries)| take(name, entries)),
            _ => items(value).iter().for_each(|pair| {
                if let [name, entries] = items(pair) {
                    take(name, entries);
                }
            }),
        }
        found
    }
}

impl Stream for Redis {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn wants_append(&self) -> bool {
        true
    }

    fn append<'a>(
        &'a self,
        partition: u32,
        entries: &'a [Entry],
        expected: Option<i64>,
    ) -> BoxFuture<'a, Result<Append>> {
        let expected = expected.map(|last| last.to_string()).unwrap_or_default();
        Box::pin(async move { self.compare_and_append(partition, entries, &expected).await })
    }

    fn last(&self, partition: u32) -> BoxFuture<'_, Result<Option<i64>>> {
        Box::pin(async move {
            match self.compare_and_append(partition, &[], "?").await? {
                Append::Moved(last) => Ok(Some(last)),
                Append::Gone | Append::Done => Ok(None),
            }
        })
    }

    fn read<'a>(
        &'a self,
        partitions: &'a [u32],
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(async move {
            if partitions.is_empty() {
                return Ok(Vec::new());
            }
            self.read_new(partitions, max, wait).await
        })
    }

    fn reclaim(&self, partition: u32, idle: Duration, max: usize) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(async move {
            let mut command = redis::cmd("XAUTOCLAIM");
            command.arg(self.key(partition)).arg(GROUP).arg(&self.consumer);
            command.arg(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)).arg("0-0");
            command.arg("COUNT").arg(max.max(1));
            let mut connection = self.connection(Way::Other).await?;
            match command.query_async::<Value>(&mut connection).await {
                Ok(value) => {
                    self.succeeded(Way::Other);
                    self.forget_consumers(partition, idle).await;
                    let entries = items(&value).get(1).map(items).unwrap_or_default();
                    Ok(entries.iter().filter_map(|entry| delivery(partition, entry)).collect())
                }
                Err(error) if group_is_missing(&error) => {
                    self.make_groups(&[partition]).await?;
                    Ok(Vec::new())
                }
                Err(error) => Err(self.lost(Way::Other, &self.calls, error).await),
            }
        })
    }

    fn acknowledge<'a>(
        &'a self,
        partition: u32,
        pseqs: &'a [i64],
        settled: i64,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let key = self.key(partition);
            let mut pipeline = redis::pipe();
            if !pseqs.is_empty() {
                let ids: Vec<String> = pseqs.iter().map(|pseq| format!("{pseq}-0")).collect();
                pipeline.cmd("XACK").arg(&key).arg(GROUP).arg(ids).ignore();
            }
            pipeline.cmd("XTRIM").arg(&key).arg("MINID").arg(settled.saturating_add(1)).ignore();
            let mut connection = self.connection(Way::Other).await?;
            match pipeline.query_async::<()>(&mut connection).await {
                Ok(()) => {
                    self.succeeded(Way::Other);
                    Ok(())
                }
                Err(error) => Err(self.lost(Way::Other, &self.calls, error).await),
            }
        })
    }

    fn discard(&self, partition: u32) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.call(redis::cmd("DEL").arg(self.key(partition))).await?;
            Ok(())
        })
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let value = self.call(&redis::cmd("INFO")).await?;
            check(&text(&value).unwrap_or_default())
        })
    }
}

/// A public text with its private cause.
fn away(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::unavailable("the stream's Redis does not answer; it is tried again by itself", cause)
}

fn group_is_missing(error: &RedisError) -> bool {
    // The key may also vanish under a blocked reader: then the server answers `UNBLOCKED`, whose text names the key.
    matches!(error.code(), Some("NOGROUP" | "UNBLOCKED"))
}

/// Refuses what is too old, or evicts keys by itself.
fn check(info: &str) -> Result<()> {
    let line =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let policy = line("maxmemory_policy").unwrap_or_default();
    if policy.starts_with("allkeys-") {
        return Err(Error::new(
            Code::Conflict,
            format!("the stream's Redis evicts keys (`maxmemory-policy {policy}`); set it to `noeviction`"),
        ));
    }
    let version = line("redis_version").unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if !version.is_empty() && found < (6, 2) {
        let text = format!("the stream's Redis is `{version}`; use 6.2 or newer, or any Valkey");
        return Err(Error::new(Code::Conflict, text));
    }
    Ok(())
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => &[],
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// `[id, [field, value, …]]`. What is not ours (another id form, no record id) is still delivered by its number, with
/// a nil id: the worker takes what is true from the database and acknowledges the rest.
fn delivery(partition: u32, entry: &Value) -> Option<Delivery> {
    let [id, fields] = items(entry) else { return None };
    let id = text(id)?;
    let pseq = id.split('-').next()?.parse().ok()?;
    let field = |name: &str| {
        items(fields).chunks(2).find_map(|pair| match pair {
            [key, value] if text(key).as_deref() == Some(name) => text(value),
            _ => None,
        })
    };
    let record_id = field("r").and_then(|id| Uuid::parse_str(&id).ok()).unwrap_or_default();
    Some(Delivery { partition, entry: Entry { pseq, record_id, hook: field("h").unwrap_or_default() } })
}
