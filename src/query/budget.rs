//! How large an answer may become: one budget for all of its root fields, which may be written at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Code, Error, Result};

/// The bytes that an answer may still take.
#[derive(Debug)]
pub struct Budget {
    max: usize,
    left: AtomicUsize,
}

impl Budget {
    /// For an answer of at most this many bytes.
    pub fn new(max: usize) -> Self {
        Budget { max, left: AtomicUsize::new(max) }
    }

    /// What is left.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// A budget of its own for what becomes part of the answer later, and is taken from this one then.
    pub fn ahead(&self) -> Self {
        Budget { max: self.max, left: AtomicUsize::new(self.left()) }
    }

    /// Uses some of it.
    ///
    /// # Errors
    /// `TOO_COMPLEX` when there is not enough left.
    pub fn take(&self, bytes: usize) -> Result<()> {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| self.spent())
    }

    /// What is said when there is not enough left.
    pub fn spent(&self) -> Error {
        let text = format!("the answer is larger than {} bytes; ask for fewer rows or fields", self.max);
        Error::new(Code::TooComplex, text)
    }
}
