//! The merged layers as typed values; a wrong form is an error that names key and origin.

use super::source::Layers;
use super::value::{self, Network, Secret};
use super::{
    Cluster, ConditionalDelete, Config, ConfigError, Database, Direct, DocumentoSystem, Fhir, Hl7v2, Http, Institution,
    Limits, Log, LogFormat, Mllp, References, Sender, Sessions, Tokens,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

pub fn interpret(layers: Layers) -> Result<Config, ConfigError> {
    let read = Reader { layers: &layers };
    let config = Config {
        data_dir: read.optional_path("data_dir")?.ok_or_else(|| ConfigError::new("data_dir", "must name a folder"))?,
        http: http(&read)?,
        mllp: Mllp {
            listen: read.listener("mllp.listen")?,
            tls_listen: read.listener("mllp.tls_listen")?,
            senders: senders(&read)?,
            connections: read.count("mllp.connections", 1, 100_000)?,
            idle_timeout: read.duration("mllp.idle_timeout")?,
            byte_timeout: read.duration("mllp.byte_timeout")?,
            write_timeout: read.duration("mllp.write_timeout")?,
        },
        hl7v2: hl7v2(&read)?,
        ops: read.listener("ops.listen")?,
        database: Database {
            url: database_url(&read)?,
            pool_size: u32::try_from(read.count("database.pool_size", 1, 1_000)?).unwrap_or(1),
            pool_timeout: read.duration("database.pool_timeout")?,
            connect_timeout: read.duration("database.connect_timeout")?,
            statement_timeout: read.duration("database.statement_timeout")?,
            migrate: read.flag("database.migrate")?,
        },
        cluster: Cluster {
            shards: read.count("cluster.shards", 1, 1_024)?,
            patience: read.duration("cluster.patience")?,
            node_timeout: read.duration("cluster.node_timeout")?,
            direct: read.choice("cluster.direct", &[("auto", Direct::Auto), ("off", Direct::Off)])?,
        },
        fhir: Fhir {
            references: read
                .choice("fhir.references", &[("enforce", References::Enforce), ("off", References::Off)])?,
            conditional_delete: read.choice(
                "fhir.conditional_delete",
                &[("single", ConditionalDelete::Single), ("multiple", ConditionalDelete::Multiple)],
            )?,
        },
        documento_systems: documento_systems(&read)?,
        tokens: Tokens { login: read.duration("tokens.login")?, client: read.duration("tokens.client")? },
        sessions: sessions(&read)?,
        institution: Institution {
            name: read.line("institution.name")?,
            nit: read.line("institution.nit")?,
            code: read.line("institution.code")?,
            address: read.line("institution.address")?,
            telephone: read.line("institution.telephone")?,
        },
        limits: limits(&read)?,
        log: Log {
            format: read.choice("log.format", &[("json", LogFormat::Json), ("text", LogFormat::Text)])?,
            level: read.required("log.level")?.to_owned(),
        },
        failpoint: None,
        layers: Layers::default(),
    };
    Ok(Config { layers, ..config })
}

fn http(read: &Reader) -> Result<Http, ConfigError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = read.count("http.workers", 0, 1_024)?;
    Ok(Http {
        listen: read.listener("http.listen")?,
        tls_listen: read.listener("http.tls_listen")?,
        tls_cert: read.optional_path("http.tls_cert")?,
        tls_key: read.optional_path("http.tls_key")?,
        public_url: public_url(read)?,
        workers: if workers == 0 { cores } else { workers },
        connections: read.count("http.connections", 1, 1_000_000)?,
        keep_alive: read.duration("http.keep_alive")?,
        head_timeout: read.duration("http.head_timeout")?,
        shutdown_timeout: read.duration("http.shutdown_timeout")?,
        cors: origins(read)?,
    })
}

/// Origins as browsers write them: scheme, host and port, without a slash at the end.
fn origins(read: &Reader) -> Result<Vec<String>, ConfigError> {
    let key = "http.cors";
    let origins = read.texts(key)?;
    let is_origin = |text: &str| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or("");
        !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', ',', '*']) && text == text.to_ascii_lowercase()
    };
    match origins.iter().all(|origin| origin == "*" || is_origin(origin)) {
        true => Ok(origins),
        false => Err(read.wrong(key, "must be a list of origins such as https://app.example.org, or \"*\"")),
    }
}

fn public_url(read: &Reader) -> Result<Option<String>, ConfigError> {
    let key = "http.public_url";
    let text = read.text(key)?.trim_end_matches('/');
    if text.is_empty() {
        return Ok(None);
    }
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or("");
    if host.is_empty() || host.starts_with('/') || host.contains(['?', '#', '@', ' ', '"', '<']) {
        return Err(read.wrong(key, "must be an address such as https://historia.example.org"));
    }
    Ok(Some(text.to_owned()))
}

/// A form that only looks like an address would fail later, far from its key.
fn database_url(read: &Reader) -> Result<Option<Secret>, ConfigError> {
    let key = "database.url";
    let text = read.text(key)?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
    if !is_url && !text.contains('=') {
        return Err(read.wrong(key, "must have the form postgres://USER:PASSWORD@HOST:PORT/DATABASE"));
    }
    Ok(Some(Secret::new(text)))
}

fn hl7v2(read: &Reader) -> Result<Hl7v2, ConfigError> {
    let zone = read.required("hl7v2.time_zone")?;
    let digit = |n: usize| zone.as_bytes().get(n).is_some_and(u8::is_ascii_digit);
    let form = zone.len() == 6
        && zone.starts_with(['+', '-'])
        && [1, 2, 4, 5].into_iter().all(digit)
        && zone.get(3..4) == Some(":");
    let (hours, minutes) = (zone.get(1..3).unwrap_or("99"), zone.get(4..6).unwrap_or("99"));
    if !form || hours > "14" || minutes > "59" {
        return Err(read.wrong("hl7v2.time_zone", "must be an offset such as -05:00"));
    }
    let processing_ids = read.texts("hl7v2.processing_ids")?;
    if let Some(other) = processing_ids.iter().find(|id| !matches!(id.as_str(), "P" | "T" | "D")) {
        return Err(read.wrong("hl7v2.processing_ids", &format!("knows P, T and D, not {other}")));
    }
    Ok(Hl7v2 { processing_ids, charset: read.required("hl7v2.charset")?.to_owned(), time_zone: zone.to_owned() })
}

fn sessions(read: &Reader) -> Result<Sessions, ConfigError> {
    let sessions = Sessions { idle: read.duration("sessions.idle")?, absolute: read.duration("sessions.absolute")? };
    if sessions.idle.is_zero() || sessions.idle > sessions.absolute {
        return Err(read.wrong("sessions.idle", "must not be zero, and not more than sessions.absolute"));
    }
    if sessions.absolute.as_secs() > 24 * 3600 {
        return Err(read.wrong("sessions.absolute", "must not be more than a day"));
    }
    Ok(sessions)
}

fn limits(read: &Reader) -> Result<Limits, ConfigError> {
    let limits = Limits {
        bundle_entries: read.count("limits.bundle_entries", 1, 1_000_000)?,
        conditional_deletes: read.count("limits.conditional_deletes", 1, 10_000)?,
        patch_operations: read.count("limits.patch_operations", 1, 100_000)?,
        body: read.size("limits.body")?,
        depth: read.count("limits.depth", 8, 100)?,
        string: read.size("limits.string")?,
        count_default: read.count("limits.count_default", 1, 10_000)?,
        count_max: read.count("limits.count_max", 1, 10_000)?,
        or_terms: read.count("limits.or_terms", 1, 10_000)?,
        search_parameters: read.count("limits.search_parameters", 0, 1_000)?,
        parameters: read.count("limits.parameters", 1, 1_000)?,
        search_rows: read.count("limits.search_rows", 1, 1_000_000_000)?,
        chain_depth: read.count("limits.chain_depth", 1, 10)?,
        iterate_depth: read.count("limits.iterate_depth", 1, 10)?,
        linked: read.count("limits.linked", 1, 10_000)?,
        includes: read.count("limits.includes", 1, 100_000)?,
        everything: read.count("limits.everything", 1, 1_000_000)?,
        url: read.size("limits.url")?,
        headers: read.size("limits.headers")?,
        mllp_frame: read.size("limits.mllp_frame")?,
        bundles_at_once: read.count("limits.bundles_at_once", 1, 1_000)?,
        patients_per_resource: read.count("limits.patients_per_resource", 1, 1_000)?,
    };
    if limits.headers > 128_000 {
        return Err(read.wrong("limits.headers", "must not be more than 128 kB"));
    }
    if limits.count_default > limits.count_max {
        return Err(read.wrong("limits.count_default", "must not be more than limits.count_max"));
    }
    Ok(limits)
}

fn senders(read: &Reader) -> Result<Vec<Sender>, ConfigError> {
    let key = "mllp.sender";
    let allowed = ["name", "address", "sending_application", "sending_facility", "charset"];
    let mut senders: Vec<Sender> = Vec::new();
    for (n, table) in read.tables(key, &allowed)?.into_iter().enumerate() {
        let field =
            |name: &str| table.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let wrong = |sentence: &str| read.wrong(&format!("{key}[{n}]"), sentence);
        let name = field("name").ok_or_else(|| wrong("needs a name"))?;
        if senders.iter().any(|sender| sender.name == name) {
            return Err(wrong("has the name of another sender"));
        }
        let address = Network::parse(&field("address").ok_or_else(|| wrong("needs an address"))?)
            .map_err(|sentence| wrong(&format!("address {sentence}")))?;
        senders.push(Sender {
            name,
            address,
            sending_application: field("sending_application"),
            sending_facility: field("sending_facility"),
            charset: field("charset"),
        });
    }
    Ok(senders)
}

fn documento_systems(read: &Reader) -> Result<Vec<DocumentoSystem>, ConfigError> {
    const TYPES: [&str; 17] =
        ["CC", "TI", "RC", "CE", "PA", "CD", "SC", "PE", "PT", "PPT", "CN", "DE", "PC", "NIT", "AS", "MS", "SI"];
    let key = "documento.systems";
    let mut systems = Vec::new();
    for (n, table) in read.tables(key, &["system", "type"])?.into_iter().enumerate() {
        let field = |name: &str| table.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let wrong = |sentence: &str| read.wrong(&format!("{key}[{n}]"), sentence);
        let system = field("system").ok_or_else(|| wrong("needs a system"))?;
        let type_code = field("type")
            .filter(|code| TYPES.contains(code))
            .ok_or_else(|| wrong(&format!("needs a type, one of {}", TYPES.join(" "))))?;
        systems.push(DocumentoSystem { system: system.to_owned(), type_code: type_code.to_owned() });
    }
    Ok(systems)
}

/// Values of the layers, each with the sentence that names its key and origin when its form is wrong.
struct Reader<'a> {
    layers: &'a Layers,
}

impl<'a> Reader<'a> {
    fn value(&self, key: &str) -> Result<&'a Value, ConfigError> {
        self.layers
            .values
            .get(key)
            .map(|(value, _)| value)
            .ok_or_else(|| ConfigError::new(key, "is not in config.toml"))
    }

    fn wrong(&self, key: &str, sentence: &str) -> ConfigError {
        let base = key.split_once('[').map_or(key, |(base, _)| base);
        match self.layers.values.get(base) {
            Some((_, origin)) => ConfigError::new(key, format!("{sentence} ({origin})")),
            None => ConfigError::new(key, sentence),
        }
    }

    fn text(&self, key: &str) -> Result<&'a str, ConfigError> {
        self.value(key)?.as_str().ok_or_else(|| self.wrong(key, "must be a text"))
    }

    fn required(&self, key: &str) -> Result<&'a str, ConfigError> {
        Some(self.text(key)?.trim()).filter(|text| !text.is_empty()).ok_or_else(|| self.wrong(key, "must not be empty"))
    }

    /// A text of one line that fits on paper.
    fn line(&self, key: &str) -> Result<String, ConfigError> {
        let text = self.text(key)?.trim();
        if text.chars().count() > 120 || text.chars().any(char::is_control) {
            return Err(self.wrong(key, "must be one line of at most 120 characters"));
        }
        Ok(text.to_owned())
    }

    fn optional_path(&self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(Some(self.text(key)?).filter(|text| !text.is_empty()).map(PathBuf::from))
    }

    fn listener(&self, key: &str) -> Result<Option<SocketAddr>, ConfigError> {
        value::listener(self.text(key)?.trim()).map_err(|sentence| self.wrong(key, &sentence))
    }

    fn duration(&self, key: &str) -> Result<Duration, ConfigError> {
        value::duration(self.text(key)?).map_err(|sentence| self.wrong(key, &sentence))
    }

    fn size(&self, key: &str) -> Result<usize, ConfigError> {
        value::size(self.text(key)?).map_err(|sentence| self.wrong(key, &sentence))
    }

    fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        self.value(key)?.as_bool().ok_or_else(|| self.wrong(key, "must be true or false"))
    }

    fn count(&self, key: &str, least: usize, most: usize) -> Result<usize, ConfigError> {
        let number = self.value(key)?.as_integer().and_then(|number| usize::try_from(number).ok());
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.wrong(key, &format!("must be a whole number from {least} to {most}")))
    }

    fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let text = self.text(key)?.trim();
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        choices
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, choice)| *choice)
            .ok_or_else(|| self.wrong(key, &format!("must be one of {}", names.join(", "))))
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        let list = self.value(key)?.as_array().ok_or_else(|| self.wrong(key, "must be a list"))?;
        list.iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| self.wrong(key, "must be a list of texts")))
            .collect()
    }

    /// A list of tables whose members are texts named in `allowed`.
    fn tables(&self, key: &str, allowed: &[&str]) -> Result<Vec<&'a toml::Table>, ConfigError> {
        let list = self.value(key)?.as_array().ok_or_else(|| self.wrong(key, "must be a list of tables"))?;
        let mut tables = Vec::with_capacity(list.len());
        for (n, item) in list.iter().enumerate() {
            let place = format!("{key}[{n}]");
            let table = item.as_table().ok_or_else(|| self.wrong(&place, "must be a table"))?;
            for (name, member) in table {
                if !allowed.contains(&name.as_str()) {
                    return Err(self.wrong(&place, &format!("has no {name}; it has {}", allowed.join(", "))));
                }
                if !member.is_str() {
                    return Err(self.wrong(&place, &format!("{name} must be a text")));
                }
            }
            tables.push(table);
        }
        Ok(tables)
    }
}
