//! `historia client`: OAuth clients.

/// OAuth clients: add, list, disable
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  historia client add --id laboratorio --tipo confidential --rol integracion\n  historia client list --json"
)]
pub struct Arguments {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    Add(Add),
    List(List),
    Disable(Disable),
}

/// Make a client; its secret is printed once
#[derive(Debug, clap::Args)]
pub struct Add {
    #[arg(long)]
    pub id: String,
    #[arg(long, value_parser = ["public", "confidential", "asymmetric"])]
    pub tipo: String,
    /// May be given several times
    #[arg(long, value_name = "URI")]
    pub redirect: Vec<String>,
    /// Space-separated
    #[arg(long)]
    pub scope: Option<String>,
    #[arg(long, value_parser = ["integracion"])]
    pub rol: Option<String>,
    /// Keys of an asymmetric client
    #[arg(long, value_name = "FILE|URL")]
    pub jwks: Option<String>,
    #[arg(long)]
    pub json: bool,
}

/// List the clients, without secrets
#[derive(Debug, clap::Args)]
pub struct List {
    #[arg(long)]
    pub json: bool,
}

/// Disable a client; its tokens are dead at once
#[derive(Debug, clap::Args)]
pub struct Disable {
    #[arg(long)]
    pub id: String,
}
