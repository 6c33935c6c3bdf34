//! `make bench`: what a request costs, beside its floor.
//!
//! It starts the release build (`historia dev` with a data folder of its own) and the floor (this very program with the
//! argument `floor`, on the same PostgreSQL), sends both the same kind of work in turns, and prints a table of CPU, time
//! and ratios. Nothing is asserted about time: docs/operations/bench.md says how to read it.

mod cpu;
mod floor;
mod load;
mod options;
mod page_list;
mod pages;
mod prepare;
mod report;
mod sample;
mod server;
mod shape;
mod size_list;
mod sizes;

use options::Options;

/// Any failure ends the run with its sentence.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("floor") => floor::run(&arguments),
        _ => Options::parse(&arguments).and_then(|options| bench(&options)),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<()> {
    // One thread: the client is to leave the cores to the servers.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let historia = server::Historia::start(options.binary.as_deref(), options.data.as_deref()).await?;
        if options.only == ["pages"] {
            pages::bench(&historia, options.percent).await?;
            return historia.stop();
        }
        if options.only == ["sizes"] {
            sizes::bench(&historia, options).await?;
            return historia.stop();
        }
        let floor = server::Floor::start(&historia.database_url).await?;
        eprintln!("server {} floor {} PostgreSQL {}", historia.pid, floor.pid, historia.postgres_pid);
        let stage = prepare::Stage::set(&historia, &floor, options).await?;
        let rows = shape::measure(&stage, options).await?;
        report::print(&rows, &stage.bytes, options);
        drop(floor);
        historia.stop()
    })
}
