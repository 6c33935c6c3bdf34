//! `historia serve`: production, with the configured database, or the embedded one when none is configured.

/// The server, as configured
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  historia serve --config /etc/historia/historia.toml")]
pub struct Arguments {}
