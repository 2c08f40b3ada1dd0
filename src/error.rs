//! The one error of the whole program: a code from a closed list, a public message, a private cause.
//!
//! The code decides HTTP status, `extensions.code` and whether a retry can help. The message is shown to
//! clients and says what to do next; the cause goes to the log only. This file must not know transports.

use std::{error::Error as StdError, fmt};

/// What went wrong, as a client may branch on it. The list is part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request cannot be understood.
    BadRequest,
    /// The request asks for more work than one request may cause.
    TooComplex,
    /// Who asks is not known, or the proof has expired.
    Unauthenticated,
    /// Who asks may not do this.
    Forbidden,
    /// There is no such thing within the caller's scope.
    NotFound,
    /// It contradicts what is stored.
    Conflict,
    /// The cursor points at changes that are no longer kept.
    CursorTooOld,
    /// A body, record or batch passes its bound.
    TooLarge,
    /// Understood, but the content cannot be processed.
    Unprocessable,
    /// The caller's own budget is used up.
    RateLimited,
    /// The system's queues are full; the same request will succeed later.
    Backpressure,
    /// A bug or a damaged store.
    Internal,
    /// A service that is needed does not answer.
    Unavailable,
    /// It took longer than it may.
    Timeout,
}

/// Whether doing the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request can succeed later.
    Transient,
    /// The same request will be refused again.
    Refused,
    /// Neither is known; a person should look.
    Bug,
}

impl Code {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::BadRequest => "BAD_REQUEST",
            Code::TooComplex => "TOO_COMPLEX",
            Code::Unauthenticated => "UNAUTHENTICATED",
            Code::Forbidden => "FORBIDDEN",
            Code::NotFound => "NOT_FOUND",
            Code::Conflict => "CONFLICT",
            Code::CursorTooOld => "CURSOR_TOO_OLD",
            Code::TooLarge => "TOO_LARGE",
            Code::Unprocessable => "UNPROCESSABLE",
            Code::RateLimited => "RATE_LIMITED",
            Code::Backpressure => "BACKPRESSURE",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::Timeout => "TIMEOUT",
        }
    }

    /// Every code.
    pub const ALL: [Code; 14] = [
        Code::BadRequest,
        Code::TooComplex,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::Conflict,
        Code::CursorTooOld,
        Code::TooLarge,
        Code::Unprocessable,
        Code::RateLimited,
        Code::Backpressure,
        Code::Internal,
        Code::Unavailable,
        Code::Timeout,
    ];

    /// The code with this name on the wire.
    pub fn by_name(name: &str) -> Option<Self> {
        Code::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// The HTTP status of a REST answer with this code.
    pub fn http_status(self) -> u16 {
        match self {
            Code::BadRequest | Code::TooComplex => 400,
            Code::Unauthenticated => 401,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::Conflict => 409,
            Code::CursorTooOld => 410,
            Code::TooLarge => 413,
            Code::Unprocessable => 422,
            Code::RateLimited | Code::Backpressure => 429,
            Code::Internal => 500,
            Code::Unavailable => 503,
            Code::Timeout => 504,
        }
    }

    /// Whether the same request can succeed later.
    pub fn retry(self) -> Retry {
        match self {
            Code::RateLimited | Code::Backpressure | Code::Unavailable | Code::Timeout => Retry::Transient,
            Code::Internal => Retry::Bug,
            _ => Retry::Refused,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure: public code and message, private cause.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    retry_after_ms: Option<u64>,
    stale: bool,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure with its public text: lowercase, no full stop, user input in backticks, saying what to do.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), retry_after_ms: None, stale: false, cause: None }
    }

    /// [`Code::BadRequest`].
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// [`Code::Forbidden`].
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// [`Code::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// [`Code::Internal`] with its cause; the public text never names it.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Code::Internal, "internal error; the log has the cause under this request id")
            .with_cause(cause)
    }

    /// [`Code::Unavailable`] with its cause.
    pub fn unavailable(
        message: impl Into<String>,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::new(Code::Unavailable, message).with_cause(cause)
    }

    /// [`Code::Unavailable`]: the statement was planned for a shape that another node has changed by now. Whoever
    /// planned it reads the catalog again and plans anew.
    pub fn stale(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let text = "the shape of this data has just changed; try again";
        Error { stale: true, ..Self::unavailable(text, cause) }
    }

    /// About a name that is not known: another node may have published it by now.
    pub fn perhaps_stale(mut self) -> Self {
        self.stale = true;
        self
    }

    /// Whether reading the catalog again and planning anew may help.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Adds what only the log may show.
    pub fn with_cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds how long a client should wait before it tries again.
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The public text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How long a client should wait, in milliseconds.
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after_ms
    }

    /// The private cause, for the log.
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync)> {
        self.cause.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}
