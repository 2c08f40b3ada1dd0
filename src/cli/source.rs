//! `wellspring source`: loads files through the public door, batch by batch, in order. Each batch carries an
//! idempotency key made of its content and place, so that running the same command again repeats nothing.
//! What the server cannot take at the moment is sent again; only what it refuses for good goes to the error file.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    Answer, Settings,
    remote::{Remote, Target, refused},
    runtime,
};
use crate::error::{Code, Error, Result, Retry};
use crate::format::{self, Item, Limits, Readable};
use crate::record;
use crate::telemetry::Clock;

/// The most records and bytes in one request.
const RECORDS: usize = 1_000;
const BYTES: usize = 4 * 1024 * 1024;
/// The first and the longest pause before a request is sent again, when its answer names none.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

#[derive(Args)]
pub(super) struct Options {
    /// Files to load; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// First part of what kind of data it is.
    #[arg(long)]
    category: String,
    /// Second part of what kind of data it is.
    #[arg(long)]
    subcategory: String,
    /// The system that the data comes from.
    #[arg(long)]
    source: String,
    /// JSON pointer of each record's uid; without it uids are made of content and place.
    #[arg(long, value_name = "POINTER")]
    key: Option<String>,
    /// `json`, `ndjson` or `csv`; without it the file's extension says it.
    #[arg(long)]
    format: Option<String>,
    /// Where rejected records go, one JSON object a line.
    #[arg(long, value_name = "FILE", default_value = "wellspring-rejected.ndjson")]
    errors: PathBuf,
    /// How many seconds a batch is sent again while the server is busy, restarts or misses its database.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
    /// Load also what the server knows from an earlier load, as new revisions; brings back what was retracted since.
    #[arg(long, requires = "key")]
    again: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: &Options) -> Result<Answer> {
    let remote = Remote::new(&options.target.url, options.target.token.as_deref())?;
    let mut load = Load::new(options, remote)?;
    runtime()?.block_on(async {
        for file in &options.files {
            load.file(file).await?;
        }
        load.finish()
    })
}

struct Load<'a> {
    options: &'a Options,
    remote: Remote,
    path: String,
    limits: Limits,
    /// Sets the keys of this load apart from those of an earlier one.
    run: String,
    /// Whether the server has answered at all; one that never did is not waited for.
    answered: bool,
    /// Whether a request got no answer: what it stored is known when it is sent again.
    doubtful: bool,
    accepted: u64,
    known: u64,
    rejected: u64,
    /// How many were rejected without being named.
    unlisted: u64,
    errors: Option<BufWriter<File>>,
}

/// Records of one request.
#[derive(Default)]
struct Batch {
    records: Vec<Bytes>,
    bytes: usize,
    /// Place of the first record in its file.
    first: u64,
}

/// What the batch route answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    rejected: Vec<Rejected>,
    rejected_total: u64,
    receipts: Vec<Receipt>,
    accepted: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rejected {
    index: usize,
    code: String,
    message: String,
    retry_after_ms: Option<u64>,
}

impl Rejected {
    /// The error when the same record can be taken later.
    fn transient(&self) -> Option<Error> {
        let code = Code::by_name(&self.code).filter(|code| code.retry() == Retry::Transient)?;
        let error = Error::new(code, format!("the server says: {} ({})", self.message, self.code));
        Some(self.retry_after_ms.into_iter().fold(error, Error::retry_after_ms))
    }
}

#[derive(Deserialize)]
struct Receipt {
    duplicate: bool,
}

impl<'a> Load<'a> {
    fn new(options: &'a Options, remote: Remote) -> Result<Self> {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        if let Some(errors) = real(&options.errors)
            && options.files.iter().any(|file| real(file).as_ref() == Some(&errors))
        {
            let text = "`--errors` names a file that is to be loaded and would be written over; name another";
            return Err(Error::bad_request(text));
        }
        let base = "http://localhost/source".parse::<url::Url>();
        let mut url = base.map_err(Error::internal)?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend([&options.category, &options.subcategory, &options.source]);
        }
        if let Some(key) = &options.key {
            url.query_pairs_mut().append_pair("key", key);
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", url.path());
        let run = if options.again { format!("-{}", Clock::system().now_us()) } else { String::new() };
        Ok(Load {
            options,
            remote,
            path,
            // The bounds can be set for this command like for the server.
            limits: (&Settings::default().load()?.sourcing).into(),
            run,
            answered: false,
            doubtful: false,
            accepted: 0,
            known: 0,
            rejected: 0,
            unlisted: 0,
            errors: None,
        })
    }

    async fn file(&mut self, path: &Path) -> Result<()> {
        let format = self.format(path)?;
        if path == Path::new("-") {
            let bar = progress(None);
            return self.read(tokio::io::stdin(), format, bar, path).await;
        }
        let unreadable =
            |error: io::Error| Error::bad_request(format!("`{}` cannot be read: {error}", path.display()));
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let bar = progress(Some(file.metadata().await.map_err(unreadable)?.len()));
        self.read(file, format, bar, path).await
    }

    fn format(&self, path: &Path) -> Result<&'static dyn Readable> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let name = self.options.format.as_deref().or(extension).unwrap_or("ndjson");
        format::readable_by_name(name).ok_or_else(|| {
            let known: Vec<&str> = format::readable().iter().map(|format| format.name()).collect();
            Error::bad_request(format!(
                "`{name}` is not a format; set --format to one of `{}`",
                known.join("`, `")
            ))
        })
    }

    async fn read(
        &mut self,
        mut input: impl AsyncRead + Unpin,
        format: &dyn Readable,
        bar: ProgressBar,
        path: &Path,
    ) -> Result<()> {
        bar.set_message(path.display().to_string());
        let mut splitter = format.splitter(self.limits);
        let (mut batch, mut index) = (Batch::default(), 0_u64);
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            let count = input.read(&mut buffer).await.map_err(|error| {
                Error::bad_request(format!("`{}` cannot be read further: {error}", path.display()))
            })?;
            if count == 0 {
                break;
            }
            let mut rest = buffer.get(..count).unwrap_or_default();
            while let Some(item) = splitter.next(&mut rest) {
                self.take(item, &mut batch, &mut index).await?;
            }
            bar.inc(count as u64);
        }
        while let Some(item) = splitter.end() {
            self.take(item, &mut batch, &mut index).await?;
        }
        self.send(&mut batch).await?;
        bar.finish_and_clear();
        Ok(())
    }

    async fn take(&mut self, item: Item, batch: &mut Batch, index: &mut u64) -> Result<()> {
        let checked = item.map_err(|error| (error, None)).and_then(|record| match document(&record) {
            Ok(()) => Ok(record),
            Err(error) => Err((error, Some(record))),
        });
        match checked {
            Ok(record) => {
                if batch.records.is_empty() {
                    batch.first = *index;
                }
                batch.bytes += record.len();
                batch.records.push(record);
            }
            Err((error, record)) => {
                // What follows must keep its place, so what came before goes first.
                self.send(batch).await?;
                self.reject(*index, error.code().as_str(), error.message(), record.as_ref())?;
            }
        }
        *index += 1;
        if batch.records.len() >= RECORDS || batch.bytes >= BYTES {
            self.send(batch).await?;
        }
        Ok(())
    }

    async fn send(&mut self, batch: &mut Batch) -> Result<()> {
        let batch = std::mem::take(batch);
        if batch.records.is_empty() {
            return Ok(());
        }
        let mut body = Vec::with_capacity(batch.bytes + batch.records.len() + 2);
        body.push(b'[');
        body.extend_from_slice(&batch.records.join(&b','));
        body.push(b']');
        let digest = record::hex(Sha256::digest(&body).iter().take(16));
        let key = format!("{digest}-{}{}", batch.first, self.run);
        let outcome = self.post(&key, &Bytes::from(body)).await?;
        let unlisted = outcome.rejected_total.saturating_sub(outcome.rejected.len() as u64);
        self.accepted += outcome.accepted;
        self.rejected += unlisted;
        self.unlisted += unlisted;
        for rejected in outcome.rejected {
            let record = batch.records.get(rejected.index);
            let index = batch.first + rejected.index as u64;
            self.reject(index, &rejected.code, &rejected.message, record)?;
        }
        Ok(())
    }

    /// Sends one batch, again while that can help: with the same key nothing of it is repeated.
    async fn post(&mut self, key: &str, body: &Bytes) -> Result<Outcome> {
        let deadline = Instant::now() + Duration::from_secs(self.options.patience);
        let [mut pause, longest] = PAUSES;
        let mut fresh = 0;
        loop {
            let failure = match self.attempt(key, body).await {
                Ok(outcome) => {
                    let known = outcome.receipts.iter().filter(|receipt| receipt.duplicate).count();
                    match outcome.rejected.iter().find_map(Rejected::transient) {
                        None => {
                            self.known += known.saturating_sub(fresh) as u64;
                            return Ok(outcome);
                        }
                        Some(failure) => {
                            fresh += outcome.receipts.len() - known;
                            failure
                        }
                    }
                }
                Err(error) if self.answered && error.code().retry() == Retry::Transient => error,
                Err(error) => return Err(error),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.given_up(failure));
            }
            let wait = failure.retry_after().map_or(pause, Duration::from_millis);
            tokio::time::sleep(wait.min(left)).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Sends one batch once.
    async fn attempt(&mut self, key: &str, body: &Bytes) -> Result<Outcome> {
        let request = self.remote.request(Method::POST, &self.path);
        let request = request.header("content-type", "application/json").header("idempotency-key", key);
        let sent = self.remote.send(request.body(body.clone())).await;
        let (status, text) = sent.inspect_err(|_| self.doubtful = true)?;
        self.answered = true;
        if status == 202 {
            return serde_json::from_str(&text).map_err(|error| {
                Error::bad_request("the answer is not one to a batch; check --url").with_cause(error)
            });
        }
        self.doubtful |= status >= 500;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let error = refused(status, answer.get("error"));
        let wait = answer.pointer("/error/retryAfterMs").and_then(Value::as_u64);
        Err(wait.into_iter().fold(error, Error::retry_after_ms))
    }

    fn given_up(&self, failure: Error) -> Error {
        let Load { accepted, rejected, .. } = self;
        let text = format!(
            "{}; given up after {} s with {accepted} records accepted and {rejected} rejected before: run the \
             command again later, what was accepted is not repeated",
            failure.message(),
            self.options.patience
        );
        Error::new(failure.code(), text)
    }

    fn reject(&mut self, index: u64, code: &str, message: &str, record: Option<&Bytes>) -> Result<()> {
        self.rejected += 1;
        let path = &self.options.errors;
        let unwritable =
            |error: io::Error| Error::bad_request(format!("`{}` cannot be written: {error}", path.display()));
        let errors = match &mut self.errors {
            Some(errors) => errors,
            None => self.errors.insert(BufWriter::new(File::create(path).map_err(unwritable)?)),
        };
        let text = record.map(|record| String::from_utf8_lossy(record).into_owned());
        // A record that is not JSON, or not on one line, is kept as text.
        let record = text.map(|text| {
            let whole = serde_json::from_str::<&RawValue>(&text).is_ok() && !text.contains(['\n', '\r']);
            if whole { text } else { Value::from(text).to_string() }
        });
        let head = json!({"index": index, "code": code, "message": message}).to_string();
        let head = head.trim_end_matches('}');
        writeln!(errors, "{head},\"record\":{}}}", record.as_deref().unwrap_or("null")).map_err(unwritable)
    }

    fn finish(mut self) -> Result<Answer> {
        let Load { accepted, known, rejected, unlisted, .. } = self;
        let mut text = format!("accepted {accepted} ({known} of them known already), rejected {rejected}");
        if let Some(errors) = &mut self.errors {
            errors.flush().map_err(Error::internal)?;
            text.push_str(&format!("; see {}", self.options.errors.display()));
        }
        if unlisted > 0 {
            text.push_str(&format!(
                "; {unlisted} were not named, raise the server's `sourcing.rejected_listed_max`"
            ));
        }
        super::print(&text)?;
        if accepted > 0 && known == accepted && !self.doubtful {
            let text = "wellspring: warning: the server knows all of it from an earlier load, so nothing has changed; \
                        what was retracted since stays retracted. To load it anew, use --key and --again";
            let _ = writeln!(io::stderr(), "{text}");
        }
        Ok(if rejected == 0 { Answer::Yes } else { Answer::No })
    }
}

/// Whether it is JSON: what is not would break the batch's array, and its neighbours with it.
fn document(record: &[u8]) -> Result<()> {
    let anything = record::Limits { depth_max: 500, values_max: usize::MAX };
    record::parse(record, anything).map(drop)
}

/// A bar over the bytes of a file, or a count when their number is not known; only on a terminal.
fn progress(bytes: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::with_draw_target(Some(bytes), target),
            "{msg} {bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        ),
        None => (ProgressBar::with_draw_target(None, target), "{msg} {bytes} {bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
