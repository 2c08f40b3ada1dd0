//! The commands. Each reads its options, calls the library and says what happened; results go to standard
//! output, everything else to standard error. Must not hold business rules.

mod contract;
mod dead_letter;
mod demo;
mod key;
mod policy;
mod remote;
mod schema;
mod serve;
mod shape;
mod source;
mod token;
mod verify;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config};
use crate::error::{Code, Error, Result};

/// Send any JSON, read a typed, row-secured, live API.
#[derive(Parser)]
#[command(name = "wellspring", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve with real sample data and a small simulated shop that keeps sending; shows what to try.
    Demo(Settings),
    /// Serve: take records in, provision them, publish collections.
    Serve(Settings),
    /// Load a file of records: NDJSON, a JSON array or CSV, with a progress bar.
    Source(source::Options),
    /// Print a signed token and nothing else; reads only the key file.
    Token(token::Options),
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Print the schema as SDL: the management part, or with --url what its token can see.
    Schema(schema::Options),
    /// Compare what was published of a collection.
    #[command(subcommand)]
    Shape(shape::Command),
    /// Work with contracts.
    #[command(subcommand)]
    Contract(contract::Command),
    /// Work with policies.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Look at parked records, and put them back to work.
    #[command(subcommand)]
    DeadLetter(dead_letter::Command),
    /// Check that every accepted record is settled, pending or parked, and that lineage holds; reads only.
    Verify(Settings),
    /// Print the effective configuration with each option's sentence.
    Config(Settings),
}

/// Options that most commands share; each is also an option of the configuration.
#[derive(Args, Default)]
struct Settings {
    /// Configuration file; without it `wellspring.toml` is read when it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the embedded database, the signing key and the policies.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// `sqlite://…` or `postgres://…`; without it the embedded database in the data directory.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// `redis://…`; without it the stream is a log in the database.
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// What this node does: `api`, `relay`, `worker`.
    #[arg(long, value_name = "ROLE,…")]
    roles: Option<String>,
    /// Directory of `*.polar` files.
    #[arg(long, value_name = "DIR")]
    policies: Option<String>,
}

impl Settings {
    fn load(&self) -> Result<Config> {
        let usual = PathBuf::from("wellspring.toml");
        let file = self.config.clone().or_else(|| usual.is_file().then_some(usual));
        let given = [
            ("store.data", &self.data),
            ("server.listen", &self.listen),
            ("store.database_url", &self.database_url),
            ("stream.redis_url", &self.redis_url),
            ("server.roles", &self.roles),
            ("policy.directory", &self.policies),
        ];
        let overrides: Vec<(&str, String)> =
            given.into_iter().filter_map(|(option, value)| Some((option, value.clone()?))).collect();
        config::load(file.as_deref(), environment(), &overrides)
    }
}

/// The process's environment, as far as it is text.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text)
}

/// How a command ended when it did not fail.
enum Answer {
    /// Done.
    Yes,
    /// Done, and the answer is no.
    No,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Demo(settings) => demo::run(&settings),
        Command::Serve(settings) => serve::run(&settings),
        Command::Source(options) => source::run(&options),
        Command::Token(options) => token::run(&options),
        Command::Key(command) => key::run(&command),
        Command::Schema(options) => schema::run(&options),
        Command::Shape(command) => shape::run(&command),
        Command::Contract(command) => contract::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::DeadLetter(command) => dead_letter::run(&command),
        Command::Verify(settings) => verify::run(&settings),
        Command::Config(settings) => {
            settings.load().and_then(|config| config::print(&config)).and_then(|text| print(&text))
        }
    };
    match result {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(error) => {
            // Nothing is left to do when even standard error is closed.
            let _ = writeln!(io::stderr(), "wellspring: {}", error.message());
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                let _ = writeln!(io::stderr(), "  caused by: {error}");
                cause = error.source();
            }
            ExitCode::from(exit_code(&error))
        }
    }
}

/// 1 the answer is no, 2 usage or configuration, 3 a service is unreachable.
fn exit_code(error: &Error) -> u8 {
    match error.code() {
        Code::Unavailable | Code::Timeout | Code::Backpressure | Code::RateLimited => 3,
        Code::Internal | Code::NotFound => 1,
        _ => 2,
    }
}

/// Writes a result to standard output.
fn print(text: &str) -> Result<Answer> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    match written.and_then(|()| out.flush()) {
        Ok(()) => Ok(Answer::Yes),
        // Whoever read has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Answer::Yes),
        Err(error) => Err(Error::internal(error)),
    }
}

/// A runtime for one command.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)
}
