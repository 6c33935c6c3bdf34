//! Shards as tables of the node that holds them.
//!
//! A read of one record goes to the node itself, and names the shard there: `resource_102012` in place of `resource`. Citus
//! on that node would plan each statement twice (0.12 to 0.3 ms of CPU against nothing, and its cache of local plans loses
//! 45 kB a read in 13.2: docs/adr/0015). What makes that safe is the guard in the statement: in the same snapshot as the
//! rows the node's own metadata must say that the shard is here, else the statement fails and is asked through the
//! coordinator. Nothing is written so: writes take the locks that a moving shard needs, which Citus does.

use super::Address;
use crate::error::Result;
use crate::store::pool::Conn;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use tokio_postgres::types::ToSql;

/// The tables that are read so, in the order of the numbers of a shard.
const TABLES: [&str; 4] = ["resource", "resource_history", "search_range", "search_string"];

const SHARDS: &str = "\
select s.shardminvalue::int4, s.shardmaxvalue::int4, n.nodename, n.nodeport, n.groupid, n.isactive and n.hasmetadata and n.metadatasynced,
  array_agg(s.shardid order by s.logicalrelid::text collate \"C\")
from pg_dist_shard s join pg_dist_placement p using (shardid) join pg_dist_node n using (groupid)
where s.logicalrelid in (to_regclass('resource'), to_regclass('resource_history'), to_regclass('search_range'), to_regclass('search_string'))
  and n.noderole = 'primary' group by 1, 2, 3, 4, 5, 6 order by 1";
const SYSTEM: &str = "\
select result from master_run_on_worker(array[$1::text], array[$2::int4], array['select system_identifier from pg_control_system()'], false) where success";

/// Who answers at the other end, as text.
pub(in crate::store) const WHO: &str = "select system_identifier from pg_control_system()";

/// Prepared by a test.
pub const STATEMENTS: &[&str] = &[SHARDS, SYSTEM, WHO];

/// One range of hashes of documento_id, and where its rows lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub from: i32,
    pub to: i32,
    pub node: Address,
    /// Citus' number of the node.
    pub group: i32,
    /// What the node is, once it is known and takes statements itself.
    pub system: Option<String>,
    synced: bool,
    /// Of each of [`TABLES`].
    numbers: Vec<i64>,
}

impl Shard {
    #[cfg(test)]
    pub fn of(from: i32, to: i32, node: Address) -> Shard {
        Shard { from, to, node, group: 1, system: None, synced: true, numbers: vec![8, 9, 10, 11] }
    }

    /// The same, the node being known: taken only where the node knows the cluster.
    pub(super) fn known_as(&self, system: &str) -> Shard {
        let able = self.synced && self.numbers.len() == TABLES.len();
        Shard { system: able.then(|| system.to_owned()), ..self.clone() }
    }

    /// The statement about this shard; none when it names none of its tables.
    pub fn rewrite(&self, sql: &str) -> Option<String> {
        let mut text = String::with_capacity(sql.len() + 160);
        let (mut rest, mut before, mut any) = (sql, "", false);
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        while !rest.is_empty() {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            // A name is a table only where one can stand.
            match TABLES
                .iter()
                .zip(&self.numbers)
                .find(|(table, _)| **table == word && matches!(before, "from" | "join"))
            {
                // Those beside the resources are never read without them.
                Some((table, number)) if table.starts_with("search") => {
                    let _ = write!(text, "{table}_{number}");
                }
                Some((table, number)) => {
                    any = true;
                    let Shard { group, .. } = self;
                    // Divides by zero where the shard is not. Evaluated once, before the first row.
                    let _ = write!(
                        text,
                        "(select * from {table}_{number} where (select 1/count(*) from pg_dist_placement where shardid = {number} and groupid = {group}) is not null)"
                    );
                }
                None => text.push_str(word),
            }
            if !word.is_empty() {
                before = word;
            }
            let next = behind.find(is_word).unwrap_or(behind.len());
            let (between, behind) = behind.split_at(next);
            // `from (` is followed by no table.
            if !between.trim().is_empty() {
                before = "";
            }
            text.push_str(between);
            rest = behind;
        }
        any.then_some(text)
    }
}

/// Ends a transaction that wrote to these shards on their node, unless one is not there (any more): then it divides by zero,
/// and nothing was written. What was written before holds the locks that keep a shard where it is, so this look is the last.
pub fn commit(shards: &[Arc<Shard>]) -> String {
    let group = shards.first().map_or(0, |shard| shard.group);
    let numbers: Vec<String> = shards.iter().filter_map(|shard| shard.numbers.first()).map(i64::to_string).collect();
    let (count, numbers) = (numbers.len(), numbers.join(", "));
    format!(
        "select 1/(count(*)/{count}) from pg_dist_placement where shardid in ({numbers}) and groupid = {group}; commit"
    )
}

/// All shards, sorted. `systems`: the nodes that are known.
pub(super) async fn all(conn: &Conn, systems: &HashMap<Address, String>) -> Result<Vec<Arc<Shard>>> {
    let rows = conn.query(SHARDS, &[]).await?;
    let shard = |row: &tokio_postgres::Row| {
        let node = Address { host: row.get(2), port: u16::try_from(row.get::<_, i32>(3)).unwrap_or_default() };
        let (synced, numbers): (bool, Vec<i64>) = (row.get(5), row.get(6));
        let system = systems.get(&node);
        let shard = Shard {
            from: row.get(0),
            to: row.get(1),
            node: node.clone(),
            group: row.get(4),
            system: None,
            synced,
            numbers,
        };
        Arc::new(system.map_or_else(|| shard.clone(), |system| shard.known_as(system)))
    };
    Ok(rows.iter().map(shard).collect())
}

/// The same, one more node being known.
pub(super) fn known(shards: &[Arc<Shard>], node: &Address, system: &str) -> Vec<Arc<Shard>> {
    let known = |shard: &Arc<Shard>| match shard.node == *node {
        true => Arc::new(shard.known_as(system)),
        false => shard.clone(),
    };
    shards.iter().map(known).collect()
}

/// What a worker is, asked through the coordinator: the identifier of its data folder.
pub(super) async fn system(conn: &Conn, worker: &Address) -> Result<Option<String>> {
    let port = i32::from(worker.port);
    let params: [&(dyn ToSql + Sync); 2] = [&worker.host, &port];
    Ok(conn.query_opt(SYSTEM, &params).await?.map(|row| row.get(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_those_of_the_shard() {
        let shard = Shard::of(0, 9, Address { host: "h".to_owned(), port: 1 });
        let of = |table: &str, n: u32| {
            format!(
                "(select * from {table}_{n} where (select 1/count(*) from pg_dist_placement where shardid = {n} and groupid = 1) is not null)"
            )
        };
        let check = |sql: &str, expected: Option<String>| assert_eq!(shard.rewrite(sql), expected, "{sql}");
        check("select 1", None);
        check("select resource from x", None);
        check(
            "select r.resource_type from resource r",
            Some(format!("select r.resource_type from {} r", of("resource", 8))),
        );
        check(
            "select (select 1 from\nsearch_range g) from (select * from resource o limit 1) r join resource_history h",
            Some(format!(
                "select (select 1 from\nsearch_range_10 g) from (select * from {} o limit 1) r join {} h",
                of("resource", 8),
                of("resource_history", 9)
            )),
        );
        check("select f(á from (resource)) from record", None);
    }
}
