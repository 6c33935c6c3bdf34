//! `historia migrate`: brings the schema up to this version.

/// Bring the schema of the database up to this version
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  DATABASE_URL=postgres://historia@db/historia historia migrate")]
pub struct Arguments {
    /// Report as one JSON object
    #[arg(long)]
    pub json: bool,
}
