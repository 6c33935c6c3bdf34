//! Citus: the only place that names its functions (<https://docs.citusdata.com/en/v13.0/develop/api_udf.html>).
//!
//! The store runs the same statements on one node and on many; here is what cannot be the same. Whether a database is a
//! cluster each connection learns when it is opened ([`crate::store::Conn::is_citus`]).
//!
//! * [`setup`]: makes a cluster of nodes, and changes which nodes there are.
//! * [`status`]: what a person wants to know of it.
//! * [`nodes`]: which nodes are lost, while the server runs.
//! * [`shard`]: the tables of a node, for statements that go to it.

pub mod nodes;
pub mod setup;
pub mod shard;
pub mod status;

use std::fmt;
use std::str::FromStr;

/// Statements without parameters that answer whether they did it.
pub const STATEMENTS: &[&str] = &[CLEAN_PENDING, IS_DISTRIBUTED];

/// A row when the database has the extension.
pub(super) const EXTENSION: &str = "select 1 from pg_extension where extname = 'citus'";

/// The index of the coordinator's own, empty table holds nothing: each shard has its own.
pub(super) const CLEAN_PENDING: &str = "\
select success from run_command_on_shards('resource', $$select gin_clean_pending_list(replace('%s', 'resource', 'resource_keys')::regclass)$$)";

/// As `statistics::READ`, of each shard.
pub const STATISTICS: &str = "\
select case when success then result end from run_command_on_shards('resource', $$
select json_build_object('rows', c.reltuples / greatest(c.relpages, 1) * (pg_relation_size(c.oid) / 8192), 'keys', k.most_common_elems::text::int8[], 'shares', k.most_common_elem_freqs,
  'types', t.most_common_vals::text::text[], 'parts', t.most_common_freqs)::text
from pg_class c
left join pg_stats k on k.schemaname = c.relnamespace::regnamespace::text and k.tablename = c.relname and k.attname = 'keys' and not k.inherited
left join pg_stats t on t.schemaname = k.schemaname and t.tablename = c.relname and t.attname = 'resource_type' and not t.inherited
where c.oid = '%s'::regclass$$)";

/// Inside a migration: the shards are changed one after the other, over one connection to each node.
pub(super) const ONE_BY_ONE: &str = "set local citus.multi_shard_modify_mode = 'sequential'";

pub(super) const IS_DISTRIBUTED: &str = "\
select exists (select 1 from pg_dist_partition where logicalrelid = to_regclass('resource') and partmethod = 'h')";

/// Where each shard starts, as a hash of documento_id.
pub(super) const SHARD_STARTS: &str = "\
select shardminvalue::bigint from pg_dist_shard where logicalrelid = to_regclass('resource') order by 1";

/// What makes the schema of one node that of a cluster; passes over what is done.
pub(super) const DISTRIBUTE: &str = include_str!("../../sql/citus/distribute.sql");

/// Where a node is reached: a name that stays, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Only on the same machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a node is named HOST:PORT, as in worker-1.db.internal:5432";
        let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(FORM)?;
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(known) || (bracketed.is_none() && host.contains(':')) {
            return Err(FORM);
        }
        Ok(Address { host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let parsed = text.parse::<Address>().ok();
            assert_eq!(parsed.as_ref().map(|a| (a.host.as_str(), a.port)), expected, "{text}");
            if let Some(parsed) = parsed {
                assert_eq!(parsed.to_string(), text);
            }
        };
        check("worker-1:5432", Some(("worker-1", 5432)));
        check("[::1]:5432", Some(("::1", 5432)));
        check("::1:5432", None);
        check("worker", None);
        check("worker:0", None);
        check(":5432", None);
        check("a b:5432", None);
        assert!("[::1]:1".parse::<Address>().unwrap().is_loopback());
        assert!(!"db.internal:1".parse::<Address>().unwrap().is_loopback());
    }
}
