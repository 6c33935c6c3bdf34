//! Logs and metrics: how they are set up, and the names that their fields may have.
//!
//! Logs go to stderr (stdout belongs to answers for people). Other crates are capped, because some of them write values
//! when asked for details: tokio-postgres logs parameters at `debug`, HTTP crates log headers at `trace`.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::fmt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

/// The fields of log lines. Values of records, search values, names, identifiers, bodies, tokens and raw paths have none.
pub mod field {
    /// Id of the request, as in `X-Request-Id`.
    pub const REQUEST_ID: &str = "request_id";
    /// Template of the route (`/fhir/{type}/{id}`), never the path itself.
    pub const ROUTE: &str = "route";
    pub const METHOD: &str = "method";
    pub const STATUS: &str = "status";
    /// FHIR interaction code.
    pub const INTERACTION: &str = "interaction";
    pub const RESOURCE_TYPE: &str = "resource_type";
    /// Names of search parameters, without values.
    pub const PARAMETERS: &str = "parameters";
    pub const ROLE: &str = "role";
    pub const MILLISECONDS: &str = "ms";
    /// Name of the configured sender of an HL7 message.
    pub const SENDER: &str = "sender";
    /// MSH-9 of an HL7 message.
    pub const EVENT: &str = "event";
    /// Text of an error's private source, at the edge only.
    pub const ERROR: &str = "error";
}

/// The metrics: `historia_<thing>_<unit>`; labels are closed sets (route template, type, interaction, status class).
pub mod metric {
    pub const HTTP_SECONDS: &str = "historia_http_request_seconds";
    pub const INTERACTIONS: &str = "historia_interactions_total";
    pub const POOL_WAIT_SECONDS: &str = "historia_pool_wait_seconds";
    pub const AUDIT_BATCH: &str = "historia_audit_batch_records";
    pub const WRITE_BATCH: &str = "historia_write_batch_records";
    pub const HL7_MESSAGES: &str = "historia_hl7_messages_total";
    pub const MLLP_CONNECTIONS: &str = "historia_mllp_connections";
}

/// From a cached read to the statement timeout.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
const RECORDS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// What the process needs to answer `/metrics`.
#[derive(Clone)]
pub struct Telemetry {
    prometheus: PrometheusHandle,
}

#[derive(Debug)]
pub enum TelemetryError {
    /// `log.level` is not a filter that is allowed; the sentence says why.
    Level(String),
    Log(TryInitError),
    Metrics(BuildError),
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TelemetryError::Level(sentence) => f.write_str(sentence),
            TelemetryError::Log(error) => write!(f, "the log cannot be set up: {error}"),
            TelemetryError::Metrics(error) => write!(f, "the metrics cannot be set up: {error}"),
        }
    }
}

impl std::error::Error for TelemetryError {}

impl Telemetry {
    /// Sets up the log and the metrics of this process, once. `level`: `log.level`.
    pub fn start(json: bool, level: &str) -> Result<Telemetry, TelemetryError> {
        let directives = directives(level).map_err(TelemetryError::Level)?;
        let filter = EnvFilter::try_new(&directives).map_err(|_| TelemetryError::Level(NOT_A_FILTER.to_owned()))?;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let started = if json {
            use tracing_subscriber::util::SubscriberInitExt;
            log.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
        } else {
            use tracing_subscriber::util::SubscriberInitExt;
            log.finish().try_init()
        };
        started.map_err(TelemetryError::Log)?;
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &RECORDS))
            .map_err(TelemetryError::Metrics)?;
        Ok(Telemetry { prometheus: builder.install_recorder().map_err(TelemetryError::Metrics)? })
    }

    /// The metrics in Prometheus' text format. Also drains the histograms, so it should be called now and then.
    pub fn render(&self) -> String {
        self.prometheus.run_upkeep();
        self.prometheus.render()
    }
}

const NOT_A_FILTER: &str =
    "must be error, warn, info, debug or trace, or a list such as historia=debug,actix_server=info";

/// `log.level` as directives: a bare level is ours, other crates stay at `warn` and are never finer than `info`.
fn directives(level: &str) -> Result<String, String> {
    let mut directives = vec!["warn".to_owned()];
    for part in level.split(',').map(str::trim) {
        let (target, detail) = part.split_once('=').unwrap_or(("historia", part));
        let rank = ["off", "error", "warn", "info", "debug", "trace"].iter().position(|name| *name == detail);
        let rank = rank.ok_or_else(|| NOT_A_FILTER.to_owned())?;
        let named = !target.is_empty() && target.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
        if !named {
            return Err(NOT_A_FILTER.to_owned());
        }
        let own = target == "historia" || target.starts_with("historia::");
        if !own && rank > 3 {
            return Err(format!("{target} may not be finer than info: its details hold values of records"));
        }
        directives.push(format!("{target}={detail}"));
    }
    Ok(directives.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_other_crates_are_capped() {
        let check =
            |level: &str, expected: Option<&str>| assert_eq!(directives(level).ok().as_deref(), expected, "{level}");
        check("info", Some("warn,historia=info"));
        check("debug, historia::store=trace", Some("warn,historia=debug,historia::store=trace"));
        check("info,actix_server=info", Some("warn,historia=info,actix_server=info"));
        check("info,tokio_postgres=debug", None);
        check("info,tokio_postgres::query=trace", None);
        check("historiador=debug", None);
        check("loud", None);
        check("", None);
        check("historia[request{id=1}]=trace", None);
    }
}
