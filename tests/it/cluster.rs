//! The schema and every statement on Citus: one patient is one shard, and nothing is written that does not commit together.
//!
//! docs/adr/0001-esquema-en-citus.md holds the table that `plans` writes to target/tmp/citus-plans.md.

use crate::harness::cluster::cluster;
use crate::harness::data::{bundle, entry, patient, patient_with, weight};
use crate::harness::database::{connect, count, rows};
use crate::harness::fhir::signed_in;
use crate::harness::hl7::{Visit, accepted};
use crate::harness::mllp::Mllp;
use crate::harness::{Fhir, Start, run, skip, unique};
use historia::fhir::definitions;
use historia::search::Context;
use historia::search::hash::Hasher;
use historia::search::parse::{Limits, parse};
use historia::search::plan::{self, Plan};
use historia::search::sql::{self, Bind, Guard, Statement};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Statements that are sent on one node only, because Citus refuses them.
const ONE_NODE: &[(&str, &str)] =
    &[("update resource r set version = k.version", "on a cluster each version is a statement of its own")];

/// Statements that look at more than one patient's shard, by how they begin, each with its reason. Everything else that
/// touches a distributed table is one-patient work.
const WIDE: &[(&str, &str)] = &[
    (
        "select recorded, id, action, outcome, actor, role, patient_id, resource_type",
        "the administrator's audit list is of all records",
    ),
    ("select to_char(received + $2::float8", "the administrator's counts are of all messages"),
    (
        "select count(*), count(*) filter (where state <> 'applied')",
        "the desk counts the messages of today of all patients",
    ),
    ("select received, sender, control_id", "the desk lists the messages of today of all patients"),
    ("select id, nombre from usuario where id = any($1)", "names of those who looked, whoever they are: once a page"),
    (
        "select documento_id, id, usuario, nombre, rol, estado, paciente_id from usuario order by",
        "`historia user list`",
    ),
    ("update usuario set estado = 'inactivo'", "deletion of a Patient: its accounts lie under their own documents"),
    (
        "select r.resource_type, r.documento_id, r.id, r.version, r.updated, r.owner",
        "conditional references of a whole Bundle in one query",
    ),
    ("select not exists (select 1 from resource) and not exists", "`historia copy`: whether the target is empty"),
    (
        "select w.key, r.resource_type from unnest($1::int8[]) w(key) join resource r",
        "deletion: anything may point at a resource",
    ),
    ("select count(*) from resource where resource_type = any($1)", "`$reindex` counts what it will read"),
    ("select documento_id, resource_type, id, version, patient, nullif(", "`$reindex` reads the rows of all patients"),
    ("select s.documento_id, s.resource_type, s.id, s.key, s.value", "`$reindex`: the texts of the rows that it reads"),
    (
        "select s.documento_id, s.resource_type, s.id, s.key, s.lo",
        "`$reindex`: the intervals of the rows that it reads",
    ),
];

/// Rows of several documents in one statement: each goes to the shard of its document.
const SPREAD: &[(&str, &str)] = &[(
    "insert into audit_event (documento_id, recorded, id, action, outcome, actor, role, patient_id, resource_type, resource_id, version, request_id, detail)\nselect",
    "audit records of many requests, one insert",
)];

macro_rules! citus {
    ($name:literal) => {
        match cluster() {
            Some(cluster) => cluster,
            None => return skip($name, "extension not installed"),
        }
    };
}

// ------------------------------------------------------------------ plans

/// What Citus does with a statement.
#[derive(Debug, Default)]
struct Seen {
    /// `Task Count` of each part.
    tasks: Vec<u32>,
    /// INSERT ... SELECT that pulls its rows to the coordinator and sends them where they belong.
    pulls: u32,
    subplans: u32,
    text: String,
}

impl Seen {
    fn of(plan: String) -> Seen {
        let mut seen = Seen::default();
        for line in plan.lines().map(str::trim) {
            if let Some(tasks) = line.strip_prefix("Task Count: ") {
                seen.tasks.push(tasks.parse().expect("a number of tasks"));
            }
            seen.pulls += u32::from(line.contains("pull to coordinator"));
            seen.subplans += u32::from(line.contains("Distributed Subplan"));
        }
        assert!(!plan.contains("repartition"), "{plan}");
        seen.text = plan;
        seen
    }

    fn widest(&self) -> u32 {
        self.tasks.iter().copied().max().unwrap_or(0)
    }

    fn kind(&self) -> String {
        let mut kind = match (self.tasks.is_empty(), self.pulls) {
            (true, 0) => "local".to_owned(),
            (true, _) => "insert..select by the coordinator".to_owned(),
            (false, 0) if self.widest() == 1 => "router".to_owned(),
            (false, 0) => "fan-out".to_owned(),
            (false, pulls) => format!("router + {pulls} insert..select by the coordinator"),
        };
        if self.subplans > 0 {
            write!(kind, ", {} subplans", self.subplans).unwrap();
        }
        kind
    }
}

/// A value of this type, as SQL.
fn literal(of: &Type) -> &'static str {
    match *of {
        Type::TEXT => "'CC-1'",
        Type::TEXT_ARRAY => "array['CC-1']",
        Type::INT8 => "1::int8",
        Type::INT8_ARRAY => "array[1]::int8[]",
        Type::INT2 => "1::int2",
        Type::INT2_ARRAY => "array[1]::int2[]",
        Type::FLOAT8 => "1::float8",
        Type::FLOAT8_ARRAY => "array[1]::float8[]",
        Type::BOOL => "false",
        Type::BOOL_ARRAY => "array[false]",
        Type::BYTEA => "'{}'::bytea",
        Type::BYTEA_ARRAY => "array['{}'::bytea]",
        Type::TIMESTAMPTZ => "'2026-01-01 00:00:00+00'::timestamptz",
        Type::TIMESTAMPTZ_ARRAY => "array['2026-01-01 00:00:00+00'::timestamptz]",
        Type::UUID => "'01890a5d-ac96-774b-bcce-b302099a8057'::uuid",
        Type::UUID_ARRAY => "array['01890a5d-ac96-774b-bcce-b302099a8057'::uuid]",
        ref other => panic!("no value of the type {other}"),
    }
}

/// The plan that a prepared statement settles on: the server may change its mind after the fifth execution.
async fn settled(client: &Client, name: &str, sql: &str, values: &[String]) -> Seen {
    let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    client.batch_execute(&format!("prepare settled as {sql}")).await.unwrap_or_else(|e| panic!("{name}: {e:?}\n{sql}"));
    let mut last = String::new();
    for _ in 0..7 {
        let explained = client.simple_query(&format!("explain (costs off) execute settled{values}")).await;
        let explained = explained.unwrap_or_else(|e| panic!("{name}: {e:?}\n{sql}"));
        let lines = explained.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        last = lines.collect::<Vec<_>>().join("\n");
    }
    client.batch_execute("deallocate settled").await.unwrap();
    Seen::of(last)
}

/// The tables that Citus knows, and whether each is distributed.
async fn tables(client: &Client) -> BTreeMap<String, bool> {
    let sql = "select table_name::text, citus_table_type = 'distributed' from citus_tables where citus_table_type in ('distributed', 'local')";
    rows(client, sql, &[]).await.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn touched<'t>(sql: &str, tables: &'t BTreeMap<String, bool>) -> Vec<(&'t str, bool)> {
    let words: Vec<&str> = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    // A word counts as a table only where a table can stand: many are names of columns too.
    let stands = |table: &str| {
        words.windows(2).any(|w| matches!(w[0], "from" | "join" | "into" | "update" | "using") && w[1] == table)
    };
    tables
        .iter()
        .filter(|(table, _)| stands(table))
        .map(|(table, distributed)| (table.as_str(), *distributed))
        .collect()
}

fn reason(list: &'static [(&str, &str)], sql: &str) -> Option<&'static str> {
    list.iter().find(|(start, _)| sql.starts_with(start)).map(|(_, reason)| *reason)
}

#[test]
fn every_statement_of_one_patient_is_one_task() {
    let cluster = citus!("every_statement_of_one_patient_is_one_task");
    run(async {
        let client = connect(&cluster.url).await.unwrap();
        let tables = tables(&client).await;
        let mut report = String::from("| statement | tables | plan | tasks |\n|---|---|---|---|\n");
        let mut wrong = Vec::new();
        // Without RETURNING Citus answers how many rows it was given, not how many met nothing.
        let counted = |sql: &str| {
            !(sql.starts_with("insert") && sql.contains("select") && sql.contains("on conflict"))
                || sql.ends_with("returning 1")
        };
        for (module, statements) in historia::store::STATEMENTS {
            wrong.extend(
                statements
                    .iter()
                    .filter(|sql| !counted(sql))
                    .map(|sql| format!("{module}: cannot be counted on Citus: {sql}")),
            );
        }
        for (start, _) in WIDE.iter().chain(SPREAD).chain(ONE_NODE) {
            let all = historia::store::STATEMENTS.iter().flat_map(|(_, statements)| *statements);
            assert_eq!(all.filter(|sql| sql.starts_with(start)).count(), 1, "not one statement begins so: {start}");
        }
        for (module, statements) in historia::store::STATEMENTS {
            for sql in statements.iter().filter(|sql| reason(ONE_NODE, sql).is_none()) {
                let start: String = sql.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(70).collect();
                let name = format!("{module}: {start}");
                let types = client.prepare(sql).await.unwrap_or_else(|e| panic!("{name}: {e:?}")).params().to_vec();
                let values: Vec<String> = types.iter().map(|of| literal(of).to_owned()).collect();
                let seen = settled(&client, &name, sql, &values).await;
                let touched = touched(sql, &tables);
                let distributed = touched.iter().any(|(_, distributed)| *distributed);
                let expected = match (distributed, reason(WIDE, sql), reason(SPREAD, sql)) {
                    (true, Some(_), _) => seen.widest() > 1,
                    (true, None, Some(_)) => seen.tasks.is_empty() && seen.pulls == 1,
                    // What the coordinator inserts by itself carries the one document of the statement.
                    (true, None, None) => {
                        seen.widest() <= 1
                            && seen.tasks.len() as u32 + seen.pulls > 0
                            && (seen.pulls == 0 || sql.contains("select $1,"))
                    }
                    (false, ..) => seen.widest() <= 1,
                };
                if !expected {
                    wrong.push(format!("{name}\n{}", seen.text));
                }
                let names: Vec<&str> = touched.iter().map(|(table, _)| *table).collect();
                writeln!(
                    report,
                    "| {} | {} | {} | {} |",
                    name.replace('|', "\\|"),
                    names.join(", "),
                    seen.kind(),
                    seen.widest()
                )
                .unwrap();
            }
        }
        std::fs::write(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("citus-plans.md"), report).unwrap();
        assert!(wrong.is_empty(), "plans that are not what they should be:\n{}", wrong.join("\n\n"));
    });
}

/// What a search is asked, and whether it is about one patient.
const SEARCHES: &[(&str, &str, bool)] = &[
    ("Observation", "patient=p1", true),
    ("Observation", "patient=p1&code=http://loinc.org|29463-7&date=ge2024-01-01&_sort=-date", true),
    ("Condition", "patient=p1&recorded-date=ge2024-01-01", true),
    ("Patient", "_id=p1", true),
    ("Patient", "_id=p1&name=ana", true),
    ("Patient", "", false),
    ("Patient", "identifier=https://www.registraduria.gov.co|1", false),
    ("Patient", "name=ana", false),
    ("Patient", "name=ana,luz&birthdate=1984-02-29&gender=female", false),
    ("Patient", "name=ana&_sort=_id", false),
    ("Patient", "gender:not=male&_sort=-_lastUpdated", false),
    ("Patient", "_lastUpdated=gt2020-01-01", false),
    ("Patient", "_tag=a|b&_security=c|d&_profile=http://e", false),
    ("Observation", "code=29463-7&date=ge2024-01-01&_sort=-date", false),
    ("Observation", "status=final,amended&date=ap2024", false),
    ("Condition", "recorded-date=ge2024-01-01", false),
    ("Organization", "name=hospital", false),
    ("Observation", "patient=p1&value-quantity=gt5|http://unitsofmeasure.org|mg&_sort=status,-date,value-string", true),
    ("Observation", "patient=p1&component-code-value-quantity=8480-6$ge140", true),
    ("Observation", "combo-code-value-quantity=8480-6$ge140&combo-value-quantity=5", false),
    ("Observation", "value-quantity=ne5||mg,6&code:text=peso", false),
    ("Observation", "component-value-quantity=5&_sort=-value-date,_id", false),
    ("Patient", "name:contains=ana&identifier:of-type=a|b|c&_sort=-family,gender", false),
    ("ValueSet", "url:below=http://a/b", false),
    ("RiskAssessment", "probability=ap0.5", false),
];

fn value(bind: &Bind) -> String {
    let quoted = |text: &String| format!("'{}'", text.replace('\'', "''"));
    match bind {
        Bind::Text(text) => quoted(text),
        Bind::Texts(texts) => format!("array[{}]::text[]", texts.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        Bind::Int(number) => format!("{number}::int8"),
        Bind::Ints(numbers) => format!("array{numbers:?}::int8[]"),
        Bind::Float(number) => format!("'{number}'::float8"),
        Bind::Time(time) => format!("'{time}'::timestamptz"),
        Bind::Bool(truth) => truth.to_string(),
    }
}

#[test]
fn every_search_is_taken_and_that_of_one_patient_is_one_task() {
    let cluster = citus!("every_search_is_taken_and_that_of_one_patient_is_one_task");
    let hasher = Hasher::new([7; 16]);
    let context = Context { hasher: &hasher, definitions: definitions::r4(), base: "http://h/fhir", local: 0 };
    run(async {
        let client = connect(&cluster.url).await.unwrap();
        let mut report = String::from("| search | statement | plan | tasks |\n|---|---|---|---|\n");
        let guards = [
            Guard::default(),
            Guard { owner: Some("p1".into()), documents: Some(vec!["CC-1".into()]), label_rule: None },
        ];
        // Of a patient, and of one whose data lie under several documents.
        let places = [vec!["CC-1".to_owned()], vec!["CC-1".to_owned(), "CC-2".to_owned(), "CC-3".to_owned()]];
        for (resource_type, text, one_patient) in SEARCHES {
            let definition = definitions::r4().resource_type(resource_type).unwrap();
            let query = parse(&context, definition, text, &Limits::default(), historia::clock::now())
                .unwrap_or_else(|e| panic!("{text}: {e}"));
            for (guard, documents) in
                guards.iter().flat_map(|guard| places.iter().map(move |documents| (guard, documents)))
            {
                let mut statements: Vec<(String, Statement)> = Vec::new();
                let within = one_patient.then_some(documents.as_slice());
                let one = within.is_some_and(|documents| documents.len() == 1);
                for plan in plan::choose(&query, within.unwrap_or_default(), true, None) {
                    let statement = match plan {
                        Plan::Timeline => sql::timeline(&query, guard, documents),
                        Plan::Plain => sql::plain(&query, guard, within),
                        other => panic!("{other:?} is not for a cluster"),
                    };
                    statements.push((format!("{plan:?}"), statement));
                }
                statements.push(("count".to_owned(), sql::count(&query, guard, within, one)));
                statements.push(("count up to".to_owned(), sql::count_up_to(&query, guard, within, one, 10_000)));
                for (plan, statement) in statements {
                    let name = format!("{resource_type}?{text} ({plan})");
                    let values: Vec<String> = statement.params.iter().map(value).collect();
                    let seen = settled(&client, &name, &statement.sql, &values).await;
                    if (*one_patient && documents.len() == 1) || guard.documents.is_some() {
                        assert!(seen.widest() <= 1, "{name}\n{}\n{}", statement.sql, seen.text);
                    }
                    if guard.owner.is_none() && documents.len() == 1 {
                        let search = format!("{resource_type}?{text}").replace('|', "\\|");
                        writeln!(report, "| `{search}` | {plan} | {} | {} |", seen.kind(), seen.widest()).unwrap();
                    }
                }
            }
        }
        // Everything of a patient, as two groups of types that are seen by different rules.
        let types = || vec!["Observation".to_owned(), "Condition".to_owned()];
        // The history of types: what one person may see lies on one node.
        let now = historia::clock::now();
        let after = Some((now, "Condition", "c1"));
        for guard in guards.clone() {
            let (owned, sights) = (guard.owner.is_some(), [(guard, types())]);
            for kept in [sql::Kept::Current, sql::Kept::Living, sql::Kept::Superseded] {
                let span = sql::Span { until: now, since: Some(now), at: Some((now, now)), after, limit: 21 };
                let statement = sql::versions(kept, &sights, &span);
                let values: Vec<String> = statement.params.iter().map(value).collect();
                let name = format!("history, {kept:?}");
                let seen = settled(&client, &name, &statement.sql, &values).await;
                assert!(!owned || seen.widest() <= 1, "{name}\n{}\n{}", statement.sql, seen.text);
                writeln!(report, "| `{name}` | History | {} | {} |", seen.kind(), seen.widest()).unwrap();
            }
        }
        let sights = guards.map(|guard| (guard, types()));
        let members =
            sql::Members { since: Some(now), after: Some(("Condition", "c1")), limit: 1_000, ..Default::default() };
        let documents = ["CC-1".to_owned()];
        let statement = sql::compartment(sql::Member::Patient("p1", &documents), &sights, &members);
        let values: Vec<String> = statement.params.iter().map(value).collect();
        let seen = settled(&client, "everything", &statement.sql, &values).await;
        assert_eq!(seen.widest(), 1, "{}\n{}", statement.sql, seen.text);
        writeln!(report, "| `Patient/p1/$everything` | Compartment | {} | {} |", seen.kind(), seen.widest()).unwrap();
        std::fs::write(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("citus-searches.md"), report).unwrap();
    });
}

// ------------------------------------------------------------------ tables

/// A plain table beside a distributed write would be lost or kept alone when one of the nodes fails at COMMIT.
#[test]
fn every_table_commits_with_the_others() {
    let cluster = citus!("every_table_commits_with_the_others");
    run(async {
        let client = connect(&cluster.url).await.unwrap();
        let plain =
            "select relname::text from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
            and not exists (select 1 from citus_tables t where t.table_name = c.oid) order by 1";
        let plain: Vec<String> = rows(&client, plain, &[]).await.iter().map(|row| row.get(0)).collect();
        assert_eq!(plain, ["migration"], "tables that Citus does not know");
        let groups = "select count(distinct colocation_id) from citus_tables where citus_table_type = 'distributed'";
        assert_eq!(count(&client, groups, &[]).await, 1, "all distributed tables lie together");
        let keys = "select count(*) from citus_tables where citus_table_type = 'distributed' and distribution_column <> 'documento_id'";
        assert_eq!(count(&client, keys, &[]).await, 0);
    });
}

#[test]
fn what_is_only_for_clusters_runs() {
    let cluster = citus!("what_is_only_for_clusters_runs");
    run(async {
        let client = connect(&cluster.url).await.unwrap();
        for sql in historia::store::cluster::STATEMENTS {
            let answers = rows(&client, sql, &[]).await;
            let done = answers.iter().filter(|row| row.get::<_, bool>(0)).count();
            assert!(done == answers.len() && [1, 8].contains(&done), "{sql}: {done} of {}", answers.len());
        }
        let shards = rows(&client, historia::store::cluster::STATISTICS, &[]).await;
        assert_eq!(shards.len(), 8);
        assert!(shards.iter().all(|row| row.get::<_, Option<&str>>(0).is_some()), "a shard has no statistics");
    });
}

/// What the commands and the watch over the nodes ask, and the hash by which they know who holds whom.
#[test]
fn what_looks_at_the_cluster_can_be_prepared() {
    use historia::store::cluster::{nodes, setup, shard, status};
    let cluster = citus!("what_looks_at_the_cluster_can_be_prepared");
    run(async {
        let client = connect(&cluster.url).await.unwrap();
        for sql in setup::STATEMENTS.iter().chain(status::STATEMENTS).chain(nodes::STATEMENTS).chain(shard::STATEMENTS)
        {
            client.prepare(sql).await.unwrap_or_else(|e| panic!("{e:?}\n{sql}"));
        }
        let documents: Vec<String> = (0..300).map(|n| format!("{}-{}", "CC-".repeat(n % 7), unique())).collect();
        let hashes = "select d, worker_hash(d) from unnest($1::text[]) d";
        for row in rows(&client, hashes, &[&documents]).await {
            let (documento, hash): (&str, i32) = (row.get(0), row.get(1));
            assert_eq!(nodes::hash(documento.as_bytes()), hash, "{documento}");
        }
    });
}

#[test]
fn months_ahead_become_distributed_partitions() {
    let cluster = citus!("months_ahead_become_distributed_partitions");
    run(async {
        let client = connect(&cluster.url).await.unwrap();
        let months = "select count(*) from citus_tables where citus_table_type = 'distributed' and table_name::text like 'audit\\_event\\_2%'";
        let before = count(&client, months, &[]).await;
        client
            .batch_execute("begin; select historia_partitions(6); commit; select historia_partitions(6)")
            .await
            .unwrap();
        assert_eq!(before.max(7), count(&client, months, &[]).await);
    });
}

// ------------------------------------------------------------------ the walk

async fn patients_and_their_records(fhir: &Fhir) -> String {
    let ana = fhir.post("Patient", &patient()).await.expect(201).id();
    let about = format!("Patient/{ana}");
    let observation = fhir.post("Observation", &weight(&about, "2024-05-06T07:08:09-05:00")).await.expect(201).json();
    let at = format!("Observation/{}", observation["id"].as_str().unwrap());
    for version in 2..9 {
        assert_eq!(fhir.put(&at, &observation).await.expect(200).version(), version);
    }
    fhir.get(&at).await.expect(200);
    fhir.get(&format!("{at}/_history/3")).await.expect(200);
    assert_eq!(fhir.get(&format!("{at}/_history")).await.expect(200).ids().len(), 8);
    assert_eq!(fhir.get(&format!("Observation?patient={ana}&code=29463-7")).await.expect(200).ids().len(), 1);
    fhir.delete(&about).await.expect(409);
    fhir.delete(&at).await.expect(204);
    fhir.get(&at).await.expect(410);
    fhir.delete(&about).await.expect(204);
    ana
}

/// Two records, a shared resource, an update and a conditional reference in one commit.
async fn transactions(fhir: &Fhir) {
    let (luz, number) = (unique(), unique());
    let there = patient_with(&number);
    let stored = fhir.post("Patient", &there).await.expect(201).json();
    let change = format!("Patient/{}", stored["id"].as_str().unwrap());
    let entries = vec![
        entry("POST", "Patient", Some("urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"), Some(patient_with(&luz))),
        entry("POST", "Observation", None, Some(weight("urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a", "2024-05-06"))),
        entry("POST", "Organization", None, Some(json!({"resourceType": "Organization", "name": "Hospital"}))),
        entry("PUT", &change, None, Some(stored.clone())),
        entry(
            "POST",
            "Observation",
            None,
            Some(weight(&format!("Patient?identifier=https://www.registraduria.gov.co|{number}"), "2024-05-06")),
        ),
    ];
    let answer = fhir.post("", &bundle("transaction", entries)).await.expect(200).json();
    assert_eq!(answer["entry"].as_array().unwrap().len(), 5);
    let bad = vec![
        entry("PUT", &change, None, Some(stored)),
        entry("POST", "Observation", None, Some(weight("Patient/nobody-at-all", "2024-05-06"))),
    ];
    fhir.post("", &bundle("transaction", bad)).await.expect(422);
    assert_eq!(fhir.get(&change).await.expect(200).version(), 2, "nothing of a refused transaction stays");
}

/// Of twenty at once, on two instances, one creates: by criteria, and by an id of their choice.
async fn races(one: &Fhir, other: &Fhir) {
    let number = unique();
    let criteria = format!("identifier=https://www.registraduria.gov.co|{number}");
    let (person, mut chosen) = (patient_with(&number), patient());
    let id = format!("carrera-{}", unique());
    chosen["id"] = id.as_str().into();
    let mut asked = Vec::new();
    for n in 0..40 {
        let fhir = if n % 4 < 2 { one.clone() } else { other.clone() };
        let (person, chosen, criteria, id) = (person.clone(), chosen.clone(), criteria.clone(), id.clone());
        asked.push(tokio::spawn(async move {
            match n % 2 {
                0 => fhir.post_with("Patient", &[("If-None-Exist", &criteria)], &person).await.status,
                _ => fhir.put(&format!("Patient/{id}"), &chosen).await.status,
            }
        }));
    }
    let mut statuses = [Vec::new(), Vec::new()];
    for (n, answer) in asked.into_iter().enumerate() {
        statuses[n % 2].push(answer.await.unwrap());
    }
    for of in &statuses {
        let counted = |wanted: u16| of.iter().filter(|status| **status == wanted).count();
        assert_eq!((counted(201), counted(200)), (1, 19), "{statuses:?}");
    }
}

#[test]
fn two_instances_on_one_cluster_do_everything() {
    let cluster = citus!("two_instances_on_one_cluster_do_everything");
    let one = Start::dev().with("DATABASE_URL", &cluster.url).ready();
    let other = Start::serve(&cluster.url).ready();
    run(async {
        let medico = signed_in(&one, "medico").await;
        let second = Fhir::new(&other.http(), medico.token.clone());
        let ana = patients_and_their_records(&medico).await;
        transactions(&signed_in(&one, "integracion").await).await;
        races(&medico, &second).await;
        admission(&one.mllp()).await;
        let client = connect(&cluster.url).await.unwrap();
        let left = "select count(*) from audit_event where patient_id = $1 and action in ('create', 'update', 'read', 'delete')";
        assert!(count(&client, left, &[&ana]).await >= 12, "the trail of the patient is complete");
        assert_eq!(count(&client, "select count(*) from pg_prepared_xacts", &[]).await, 0);
    });
}

async fn admission(address: &str) {
    let visit = Visit::new();
    let mut mllp = Mllp::connect(address).await;
    let (first, second, third) = (unique(), unique(), unique());
    let admitted = mllp.ask(visit.a01(&first).as_bytes()).await;
    accepted(&admitted, &first);
    accepted(&mllp.ask(visit.a08(&second, "CALLE 1").as_bytes()).await, &second);
    accepted(&mllp.ask(visit.a03(&third).as_bytes()).await, &third);
    assert_eq!(mllp.ask(visit.a01(&first).as_bytes()).await, admitted, "a resend gets the same bytes");
}
