//! Lines of the log. Those below a warning wait a moment and are written together: to write one for each request takes
//! a seventh of what answering a small one takes. A warning is written at once, behind all that came before it. Must
//! not know what is logged.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::config;
use crate::error::{Error, Result};

/// What is still to be written; until this is dropped, which writes the rest.
#[must_use = "what waits is written when it is dropped"]
#[derive(Debug)]
pub struct Log {
    lines: Arc<Lines>,
    writing: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    ended: bool,
}

/// Where lines wait.
#[derive(Debug)]
struct Lines {
    held: Mutex<Held>,
    /// The first line that waits has come, or the last.
    came: Condvar,
    /// Held by the one that writes: lines go out in the order in which they came.
    out: Mutex<Vec<u8>>,
    wait: Duration,
    bytes_max: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lines {
    fn new(log: &config::Log) -> Self {
        Lines {
            held: Mutex::default(),
            came: Condvar::new(),
            out: Mutex::default(),
            wait: Duration::from_millis(log.flush_ms),
            bytes_max: log.held_bytes_max,
        }
    }

    /// Takes a line in, and writes all that waits when it must not wait or there is no room.
    fn push(&self, line: &[u8], at_once: bool, to: &mut impl Write) -> io::Result<()> {
        let mut held = lock(&self.held);
        let first = held.bytes.is_empty();
        held.bytes.extend_from_slice(line);
        // Behind the end nobody comes for what waits.
        let full = held.ended || held.bytes.len() > self.bytes_max;
        drop(held);
        if at_once || full || self.wait.is_zero() {
            return self.flush(to);
        }
        if first {
            self.came.notify_one();
        }
        Ok(())
    }

    fn flush(&self, to: &mut impl Write) -> io::Result<()> {
        let mut out = lock(&self.out);
        std::mem::swap(&mut lock(&self.held).bytes, &mut *out);
        let written = to.write_all(&out);
        out.clear();
        written
    }

    /// Writes what waits, again and again, until the end.
    fn run(&self, mut to: impl Write) {
        loop {
            let waits = |held: &mut Held| held.bytes.is_empty() && !held.ended;
            let held = self.came.wait_while(lock(&self.held), waits).unwrap_or_else(PoisonError::into_inner);
            let gathers = |held: &mut Held| !held.ended;
            let gathered = self.came.wait_timeout_while(held, self.wait, gathers);
            let ended = gathered.unwrap_or_else(PoisonError::into_inner).0.ended;
            // Nobody is left to be told when standard error is gone.
            let _gone = self.flush(&mut to);
            if ended {
                return;
            }
        }
    }
}

impl Log {
    /// Begins to write to standard error.
    pub(super) fn begin(log: &config::Log) -> Result<Self> {
        Self::begin_to(log, io::stderr())
    }

    fn begin_to(log: &config::Log, to: impl Write + Send + 'static) -> Result<Self> {
        let lines = Arc::new(Lines::new(log));
        let own = lines.clone();
        let thread = std::thread::Builder::new().name("log".to_owned());
        let writing = thread.spawn(move || own.run(to)).map_err(Error::internal)?;
        Ok(Log { lines, writing: Some(writing) })
    }

    /// What the subscriber writes to.
    pub(super) fn writer(&self) -> Writer {
        Writer(self.lines.clone())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        lock(&self.lines.held).ended = true;
        self.lines.came.notify_one();
        if let Some(writing) = self.writing.take() {
            // One that has panicked has nothing more to say.
            let _panicked = writing.join();
        }
    }
}

/// Makes writers of lines.
pub(super) struct Writer(Arc<Lines>);

/// Writes one line.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    at_once: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.push(line, self.at_once, &mut io::stderr())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: &self.0, at_once: true }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Line<'a> {
        Line { lines: &self.0, at_once: *of.level() <= Level::WARN }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn lines(flush_ms: u64, held_bytes_max: usize) -> Lines {
        Lines::new(&config::Log { flush_ms, held_bytes_max, ..config::Log::default() })
    }

    #[test]
    fn lines_wait_and_a_warning_takes_them_along_in_their_order() {
        let (lines, mut out) = (lines(60_000, 100), Vec::new());
        lines.push(b"one\n", false, &mut out).unwrap();
        lines.push(b"two\n", false, &mut out).unwrap();
        assert_eq!(out, b"");
        lines.push(b"warning\n", true, &mut out).unwrap();
        assert_eq!(out, b"one\ntwo\nwarning\n");
        lines.push(b"three\n", false, &mut out).unwrap();
        lines.flush(&mut out).unwrap();
        assert_eq!(out, b"one\ntwo\nwarning\nthree\n");
    }

    #[test]
    fn what_finds_no_room_is_written_and_so_is_all_where_nothing_waits() {
        let (full, mut out) = (lines(60_000, 5), Vec::new());
        full.push(b"one\n", false, &mut out).unwrap();
        full.push(b"two\n", false, &mut out).unwrap();
        assert_eq!(out, b"one\ntwo\n");
        let (none, mut out) = (lines(0, 100), Vec::new());
        none.push(b"one\n", false, &mut out).unwrap();
        assert_eq!(out, b"one\n");
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_ends_writes_the_rest() {
        let out = Shared::default();
        let patient = config::Log { flush_ms: 3_600_000, ..config::Log::default() };
        let log = Log::begin_to(&patient, out.clone()).unwrap();
        log.lines.push(b"last\n", false, &mut io::sink()).unwrap();
        let lines = log.lines.clone();
        drop(log);
        assert_eq!(*lock(&out.0), b"last\n");
        lines.push(b"late\n", false, &mut out.clone()).unwrap();
        assert_eq!(*lock(&out.0), b"last\nlate\n", "what comes behind the end waits for nobody");
    }
}
