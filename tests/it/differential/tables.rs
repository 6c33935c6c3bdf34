//! What lies in the tables of both databases at the end: as many of each, whatever was answered. The audit trail is seen here.

use crate::harness::database::{connect, rows};

/// Each counts rows in groups that need no id. A page of a search leaves one record per patient shown, and which patients
/// stand on one page may hang on ids: these are not counted.
const COUNTED: [&str; 9] = [
    "select 'resource', resource_type || ' ' || method, deleted::text || cardinality(patient) || cardinality(owner), count(*) from resource group by 2, 3",
    "select 'history', resource_type || ' ' || method, version::text, count(*) from resource_history group by 2, 3",
    "select 'text', resource_type, '', count(*) from search_string group by 2",
    "select 'range', resource_type, '', count(*) from search_range group by 2",
    "select 'audit', role || ' ' || action || ' ' || outcome, coalesce(resource_type, '') || ' ' || (patient_id is null)::text, count(*) from audit_event where action not in ('search-type', 'search-system', 'history-type', 'history-system') group by 2, 3",
    "select 'message', '', '', count(*) from hl7_message",
    "select 'receipt', '', '', count(*) from hl7_receipt",
    "select 'directory', resource_type, '', count(*) from resource_directory group by 2",
    "select 'record', '', '', count(*) from record",
];

/// What is counted differently, as lines.
pub async fn differing(urls: [&str; 2]) -> Vec<String> {
    let mut sides = Vec::new();
    for url in urls {
        let client = connect(url).await.expect("the database answers");
        let mut lines = Vec::new();
        for sql in COUNTED {
            for row in rows(&client, &format!("select * from ({sql}) c (a, b, c, n) order by 1, 2, 3"), &[]).await {
                let (table, group, more): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
                lines.push(format!("{table} {group} {more}: {}", row.get::<_, i64>(3)));
            }
        }
        assert!(lines.len() > 50, "little was counted: {lines:?}");
        sides.push(lines);
    }
    let only = |here: &[String], there: &[String], name: &str| -> Vec<String> {
        here.iter().filter(|line| !there.contains(line)).map(|line| format!("{name}: {line}")).collect()
    };
    [only(&sides[0], &sides[1], "one node"), only(&sides[1], &sides[0], "cluster")].concat()
}
