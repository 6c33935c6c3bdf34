//! Citus: the only place that names its functions (<https://docs.citusdata.com/en/v13.0/develop/api_udf.html>).
//!
//! The store runs the same statements on one node and on many; here is what cannot be the same. Whether a database is a
//! cluster each connection learns when it is opened ([`crate::store::Conn::is_citus`]).

pub const STATEMENTS: &[&str] = &[CLEAN_PENDING, IS_DISTRIBUTED];

/// A row when the database has the extension.
pub(super) const EXTENSION: &str = "select 1 from pg_extension where extname = 'citus'";

/// The index of the coordinator's own, empty table holds nothing: each shard has its own.
pub(super) const CLEAN_PENDING: &str = "\
select success from run_command_on_shards('resource', $$select gin_clean_pending_list(replace('%s', 'resource', 'resource_keys')::regclass)$$)";

/// Inside a migration: the shards are changed one after the other, over one connection to each node.
pub(super) const ONE_BY_ONE: &str = "set local citus.multi_shard_modify_mode = 'sequential'";

pub(super) const IS_DISTRIBUTED: &str = "\
select exists (select 1 from pg_dist_partition where logicalrelid = to_regclass('resource') and partmethod = 'h')";

/// Where each shard starts, as a hash of documento_id.
pub(super) const SHARD_STARTS: &str = "\
select shardminvalue::bigint from pg_dist_shard where logicalrelid = to_regclass('resource') order by 1";

/// What makes the schema of one node that of a cluster; passes over what is done.
pub(super) const DISTRIBUTE: &str = include_str!("../../sql/citus/distribute.sql");
