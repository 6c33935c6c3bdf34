//! `historia dev`: embedded PostgreSQL, sample data once, everything listening on loopback.

/// Everything on this machine: its own PostgreSQL, sample data, listeners on loopback
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  historia dev\n\nThe data lies in ./.historia (data_dir); Ctrl-C stops all of it.")]
pub struct Arguments {}
