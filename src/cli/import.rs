//! `historia import`: FHIR Bundles, resources, NDJSON, folders of them.

use std::path::PathBuf;

/// Load FHIR Bundles, resources, NDJSON files, or folders of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  historia import bundles/\n  zcat patients.ndjson.gz | historia import -")]
pub struct Arguments {
    /// Files or folders; - is stdin
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Report as one JSON object
    #[arg(long)]
    pub json: bool,
}
