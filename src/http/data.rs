//! `GET /data/{collection}` and `…/history`: rows without GraphQL, as JSON, NDJSON, CSV or XML, streamed page by page
//! as fast as the client reads. Parses the URL and sends bytes; which rows there are is the engine's to say.

mod question;

use axum::{
    Extension,
    body::Body,
    extract::{OriginalUri, Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Shared, accept, answer::Refusal, auth::Auth, close::Outcome, close::causes, contract, door, graphql,
};
use crate::contract::{self as agreement, Transport};
use crate::error::{Code, Error, Result};
use crate::format::{self, Format, Writer};
use crate::graphql::{Context, Table};
use crate::publishing::Step;
use crate::record::Actor;
use question::Question;

/// Whether the last change of a history is where its row began, for its reader; told when it comes with the first page.
static COMPLETE: HeaderName = HeaderName::from_static("wellspring-complete");

/// `GET /data/{collection}`, with the format as its extension or by `Accept`.
pub(super) async fn rows(
    State(shared): State<Shared>,
    method: Method,
    Extension(visit): Extension<door::Visit>,
    Path(path): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (name, extension) = named(&path);
    let format = format_of(&headers, &format!("/data/{name}"), extension)?;
    let question = question::of_rows(uri.query().unwrap_or_default(), &shared.config)?;
    answer(&shared, &visit, &uri, (name, extension.map(|_| name)), format, question, method).await
}

/// `GET /data/{collection}/history`, likewise: the changes of one row.
pub(super) async fn history(
    State(shared): State<Shared>,
    method: Method,
    Extension(visit): Extension<door::Visit>,
    Path((name, path)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (what, extension) = named(&path);
    if what != "history" {
        let text = format!("of a collection there is `/data/{name}/history`, the changes of one row");
        return Err(Error::not_found(text).into());
    }
    let format = format_of(&headers, &format!("/data/{name}/history"), extension)?;
    let question = question::of_changes(uri.query().unwrap_or_default(), &shared.config)?;
    let file = extension.map(|_| "history");
    answer(&shared, &visit, &uri, (&name, file), format, question, method).await
}

/// A name and the extension of a path's last part.
fn named(path: &str) -> (&str, Option<&str>) {
    path.split_once('.').map_or((path, None), |(name, extension)| (name, Some(extension)))
}

fn by_extension(extension: &str) -> Result<&'static dyn Format> {
    format::by_name(extension).ok_or_else(|| {
        let extension: String = extension.chars().take(100).collect();
        Error::not_found(format!("there is no format `.{extension}`; there are {}", formats("`.{}`")))
    })
}

fn format_of(
    headers: &HeaderMap,
    path: &str,
    extension: Option<&str>,
) -> Result<&'static dyn Format, Refusal> {
    match extension {
        Some(extension) => Ok(by_extension(extension)?),
        None => accept::format(headers).ok_or_else(|| {
            let formats = formats("`.{}`");
            let text = format!("name a format that can be given, such as `{path}.csv`; there are {formats}");
            Refusal::with_status(StatusCode::NOT_ACCEPTABLE, text)
        }),
    }
}

/// The rows that are asked for of a collection, by its name and, when they are to be a file, the file's.
async fn answer(
    shared: &Shared,
    visit: &door::Visit,
    uri: &Uri,
    (name, file): (&str, Option<&str>),
    format: &'static dyn Format,
    (mut ask, min_cursor): Question,
    method: Method,
) -> Result<Response, Refusal> {
    let actor = contract::bind(shared, visit.actor()?, visit.contract()?, Transport::Rest, agreed(format))?;
    let context = Context {
        transport: Transport::Rest,
        format: agreed(format),
        ..graphql::context(visit, actor.clone(), false)
    };
    let Ok(permit) = shared.0.exports.clone().try_acquire_owned() else {
        let error = Error::new(Code::Backpressure, "too many exports are in work; try again shortly");
        return Err(error.retry_after_ms(1_000).into());
    };
    if let Some(cursors) = &min_cursor {
        shared.engine.wait_for(cursors).await?;
    }
    ask.cells = format.takes_cells();
    let left = ask.first.unwrap_or(usize::MAX);
    let table = shared.engine.table(&context, name, ask).await?;
    let outcome = Outcome::default();
    let mut export = Export {
        writer: format.writer(table.columns()),
        rows: ROWS_FIRST.min(shared.config.data.page_rows_max),
        left,
        come: 0,
        until: until(shared, &context.actor),
        outcome: outcome.clone(),
        table,
        context,
        shared: shared.clone(),
        _permit: permit,
    };
    // The first page comes before the status: what is wrong with the question shows here. Nobody waits for it who asks
    // for the headers alone.
    let mut page = Vec::new();
    if method != Method::HEAD {
        export.writer.begin(&mut page);
        export.page(&mut page).await?;
    }
    let told = export.told(uri);
    let mut response = Response::new(export.into_body(page));
    response.extensions_mut().insert(outcome);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type(format));
    if let Some(file) = file {
        headers.insert(header::CONTENT_DISPOSITION, file_name(file, format));
    }
    contract::tell(shared, actor.contract.as_ref(), headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(told);
    Ok(response)
}

/// When an export is broken off, and why then: at the bound, or with the token that it was asked with.
fn until(shared: &Shared, actor: &Actor) -> (i64, Code, &'static str) {
    let (now_us, limit_ms) = (shared.clock.now_us(), shared.config.data.export_timeout_ms);
    let bound = now_us.saturating_add_unsigned(limit_ms.saturating_mul(1_000));
    let remaining = shared.auth.remaining_us(actor);
    match remaining
        .map(|remaining| now_us.saturating_add_unsigned(remaining))
        .filter(|expiry| *expiry < bound)
    {
        Some(expiry) => (expiry, Code::Unauthenticated, Auth::over(actor)),
        None => (bound, Code::Timeout, "the export took too long"),
    }
}

/// A format as contracts name it.
pub(super) fn agreed(format: &dyn Format) -> agreement::Format {
    match format.name() {
        "csv" => agreement::Format::Csv,
        "ndjson" => agreement::Format::Ndjson,
        "xml" => agreement::Format::Xml,
        _ => agreement::Format::Json,
    }
}

fn formats(pattern: &str) -> String {
    let names: Vec<String> =
        format::all().iter().map(|format| pattern.replace("{}", format.name())).collect();
    names.join(", ")
}

fn content_type(format: &dyn Format) -> HeaderValue {
    let usual = format.media_types().first().copied().unwrap_or("application/octet-stream");
    HeaderValue::from_str(&format!("{usual}; charset=utf-8"))
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// RFC 6266: who names a format by its extension wants a file. There is a collection of this name, so it is one of
/// GraphQL.
fn file_name(name: &str, format: &dyn Format) -> HeaderValue {
    HeaderValue::from_str(&format!("attachment; filename=\"{name}.{}\"", format.name()))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

/// `OPTIONS` of what is only read: which methods there are; of rows, where there are any.
pub(super) async fn methods(OriginalUri(uri): OriginalUri) -> Result<Response, Refusal> {
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    if uri.path().starts_with("/data/")
        && let (_, Some(extension)) = named(last)
    {
        by_extension(extension)?;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    Ok(response)
}

/// RFC 8288: the same URL after another cursor.
fn link(uri: &Uri, next: &str) -> String {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query
        .extend_pairs(pairs.filter(|(name, _)| !["after", "minCursor"].contains(&&**name)))
        .append_pair("after", next);
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())
}

/// How many rows the first page has: it comes soon, and tells how large rows are.
const ROWS_FIRST: usize = 255;

/// An answer on its way.
struct Export {
    table: Table,
    context: Context,
    writer: Box<dyn Writer + Send>,
    /// How many rows the next page has.
    rows: usize,
    /// How many rows may still come.
    left: usize,
    /// How many rows have come.
    come: usize,
    /// Unix microseconds, and what is told from then on.
    until: (i64, Code, &'static str),
    outcome: Outcome,
    shared: Shared,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Export {
    /// However it has ended.
    fn drop(&mut self) {
        self.shared.engine.note_export(&self.context, &self.table, self.come);
    }
}

impl Export {
    /// Where the rows go on.
    fn next(&self) -> Option<&str> {
        self.table.next()
    }

    /// What headers say of the rows, as far as it is known with the first page.
    fn told(&self, uri: &Uri) -> Vec<(HeaderName, HeaderValue)> {
        let mut told = Vec::new();
        if self.left > 0 && self.next().is_some() {
            return told;
        }
        let link = self.next().and_then(|next| HeaderValue::from_str(&link(uri, next)).ok());
        told.extend(link.map(|link| (header::LINK, link)));
        let complete = self.table.complete().map(|complete| if complete { "true" } else { "false" });
        told.extend(complete.map(|complete| (COMPLETE.clone(), HeaderValue::from_static(complete))));
        told
    }

    /// Appends the next page.
    async fn page(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let limits = &self.shared.config.data;
        let start = out.len();
        let rows = loop {
            let step = Step { rows_max: self.left.min(self.rows), bytes_max: limits.page_bytes };
            let page = self.shared.engine.page(&self.context, &mut self.table, step, &mut *self.writer, out);
            match page.await {
                // What is told of rows is so much that fewer of them fill an answer.
                Err(error) if error.code() == Code::TooComplex && step.rows_max > 1 => {
                    self.rows = step.rows_max / 2;
                }
                page => break page?,
            }
        };
        // A page of average rows fills what may be held; so many and one more are a power of two.
        let fill = limits.page_bytes.saturating_mul(rows.max(1)) / (out.len() - start).max(1);
        let most = fill.clamp(1, limits.page_rows_max);
        self.rows = (most.saturating_add(2).next_power_of_two() / 2).saturating_sub(1).clamp(1, most);
        self.left -= rows.min(self.left);
        self.come = self.come.saturating_add(rows);
        self.outcome.sent(rows);
        if self.left == 0 || self.next().is_none() {
            self.writer.end(out);
        }
        Ok(())
    }

    /// The body: one piece a page, made when the client has taken the one before. An error breaks it off, so that
    /// nobody takes a part for the whole.
    fn into_body(self, first: Vec<u8>) -> Body {
        Body::from_stream(stream::try_unfold((self, Some(first)), |(mut export, first)| async move {
            let page = match first {
                Some(page) => page,
                None if export.left == 0 || export.next().is_none() => return Ok(None),
                None => {
                    export.may_go_on()?;
                    let mut page = Vec::with_capacity(export.shared.config.data.page_bytes);
                    export.page(&mut page).await.inspect_err(|error| export.broken(error))?;
                    page
                }
            };
            Ok::<_, Error>(Some((Bytes::from(page), (export, None))))
        }))
    }

    fn may_go_on(&self) -> Result<()> {
        let (until_us, code, why) = self.until;
        let actor = &self.context.actor;
        let error = if self.shared.clock.now_us() > until_us {
            Error::new(code, why)
        } else if self.shared.auth.remaining_us(actor) == Some(0) {
            // A key was revoked.
            Error::new(Code::Unauthenticated, Auth::over(actor))
        } else if self.shared.stopping.is_cancelled() {
            Error::new(Code::Unavailable, "the node stops")
        } else {
            return Ok(());
        };
        self.broken(&error);
        Err(error)
    }

    fn broken(&self, error: &Error) {
        self.outcome.fault(Some(error.code()));
        let request_id = self.context.request_id.as_str();
        tracing::warn!(request_id, %error, cause = error.cause().map(causes), "an export was broken off");
    }
}
