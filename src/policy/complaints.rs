//! What there is to complain about policies, in words and with places: what refuses them, and what they are told of.
//! Must not decide anything for an actor.

use std::sync::Arc;

use crate::config;
use crate::error::{Code, Error, Result};
use crate::policy::check::{self, Wrong};
use crate::policy::load;
use crate::policy::program::Program;
use crate::policy::shapes::{Shapes, nearest};
use crate::policy::text::{Diagnostic, File, Span};

/// The most complaints shown at once.
const SHOWN_MAX: usize = 8;

/// What [`Engine::check`](super::Engine::check) has found, each with file, line, column and caret.
#[derive(Debug, Default)]
pub struct Findings {
    /// Rules about a field that their collection lacks, or that compare one with a constant of another type: never
    /// true, whoever asks.
    pub misfits: Vec<Misfit>,
    /// Rules about collections or relations that do not exist yet, with the nearest that does.
    pub sleeping: Vec<String>,
}

/// A rule that does not fit its collection, and so denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The class of the collection.
    pub class: Option<Arc<str>>,
    /// Where and why.
    pub at: Diagnostic,
    /// The rule's text, by which it is known wherever it stands.
    pub rule: String,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.at, f)
    }
}

/// What is wrong with a text whatever collections there are is refused.
pub(super) fn compile(files: Vec<File>, config: &config::Policy) -> Result<Program> {
    let program = load::load(files, config).map_err(|diagnostics| refusal(&diagnostics))?;
    complain(&program, &check::check(&program, None).wrong)?;
    Ok(program)
}

/// Rules that do not fit the collections that there are.
pub(super) fn misfits(program: &Program, shapes: &Shapes) -> Vec<Wrong> {
    check::check(program, Some(shapes)).wrong
}

pub(super) fn placed(program: &Program, wrong: &Wrong) -> Diagnostic {
    Diagnostic::new(&program.files, wrong.span, wrong.reason.as_str())
}

pub(super) fn complain(program: &Program, wrong: &[Wrong]) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(refusal(&wrong.iter().map(|wrong| placed(program, wrong)).collect::<Vec<_>>()))
}

/// Warnings about rules whose collection does not exist yet, or a relation of it.
pub(super) fn dormant(program: &Program, shapes: &Shapes, asleep: &[Wrong]) -> Vec<String> {
    let absent = program.collections.iter().filter(|(class, _)| !shapes.has(class));
    let warning = |(class, span): (&String, &Span)| {
        let known = shapes.classes().chain(["User", "Source", "Row", "Field", "Request"]);
        let hint =
            nearest(class, known).map_or_else(String::new, |name| format!("; the nearest is `{name}`"));
        let reason = format!("there is no collection of class `{class}` yet, so this rule sleeps{hint}");
        Diagnostic::new(&program.files, *span, reason).to_string()
    };
    absent.map(warning).chain(asleep.iter().map(|one| placed(program, one).to_string())).collect()
}

fn refusal(diagnostics: &[Diagnostic]) -> Error {
    let mut shown: Vec<String> = diagnostics.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
    if diagnostics.len() > SHOWN_MAX {
        shown.push(format!("and {} more", diagnostics.len() - SHOWN_MAX));
    }
    Error::new(Code::Unprocessable, format!("the policies are refused:\n{}", shown.join("\n\n")))
}
