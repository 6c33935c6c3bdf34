//! `$reindex`: stored resources are read again for what they are found by (docs/operations/search.md).
//!
//! Admin alone: nothing of a resource is shown. The work is a job's (`job/reindex`); here it is asked for, looked at and
//! cancelled.

use crate::access;
use crate::audit::Event;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::interaction::Answer;
use crate::interaction::request::pairs;
use crate::interaction::unit::Unit;
use crate::store::reindex::{self, Job};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// `type`, `searchParameter`; all types without them.
    Start {
        query: String,
    },
    List,
    Look {
        job: String,
    },
    Cancel {
        job: String,
    },
}

pub(in crate::interaction) async fn run(unit: &mut Unit<'_>, ask: &Ask) -> Result<Answer> {
    access::may_reindex(unit.caller)?;
    let (told, mut answer) = match ask {
        Ask::Start { query } => ("start", start(unit, query).await?),
        Ask::List => {
            let jobs = unit.with(async |conn| reindex::all(conn).await).await?;
            let parts = jobs.iter().map(|job| json!({"name": "job", "part": members(job)}));
            ("list", parameters(parts.collect()))
        }
        Ask::Look { job } => ("look", look(unit, job).await?),
        Ask::Cancel { job } => ("cancel", cancel(unit, job).await?),
    };
    let event = Event::new(unit.caller, "operation");
    unit.audit(Event { detail: Some(format!("$reindex {told}")), ..event });
    if answer.body.is_none() && answer.status == 200 {
        answer.status = 204;
    }
    Ok(answer)
}

async fn start(unit: &mut Unit<'_>, query: &str) -> Result<Answer> {
    let types = types(unit, query)?;
    let id = clock::uuid();
    let conn = unit.transaction().await?;
    reindex::add(conn, id, "$reindex", &types).await?;
    let job = reindex::one(conn, id).await?.ok_or_else(|| Error::internal("a job was not added"))?;
    Ok(Answer { status: 202, content_location: Some(format!("$reindex/{id}")), ..parameters(members(&job)) })
}

/// The types that are read.
fn types(unit: &Unit<'_>, query: &str) -> Result<Vec<&'static str>> {
    let definitions = unit.app.search_context().definitions;
    let mut types: BTreeSet<&'static str> = BTreeSet::new();
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "_format" | "_pretty" => {}
            "type" => {
                for one in value.split(',') {
                    let t = ResourceType::parse(one);
                    types.insert(t.ok_or_else(|| Error::at(Kind::Value, "type", "is no resource type of R4"))?.name());
                }
            }
            "searchParameter" => {
                let before = types.len();
                let has = |t: &ResourceType| definitions.search_parameters(*t).iter().any(|one| one.url == value);
                types.extend(ResourceType::all().filter(has).map(|t| t.name()));
                if types.len() == before {
                    return Err(Error::at(Kind::Value, "searchParameter", "is the url of no search parameter"));
                }
            }
            _ => return Err(Error::new(Kind::Value, "the parameters of $reindex are type and searchParameter")),
        }
    }
    match types.is_empty() {
        true => Ok(ResourceType::all().map(|t| t.name()).collect()),
        false => Ok(types.into_iter().collect()),
    }
}

async fn look(unit: &mut Unit<'_>, job: &str) -> Result<Answer> {
    let id = Uuid::try_parse(job).map_err(|_| there_is_none())?;
    let job = unit.with(async |conn| reindex::one(conn, id).await).await?.ok_or_else(there_is_none)?;
    Ok(parameters(members(&job)))
}

async fn cancel(unit: &mut Unit<'_>, job: &str) -> Result<Answer> {
    let id = Uuid::try_parse(job).map_err(|_| there_is_none())?;
    let conn = unit.transaction().await?;
    if !reindex::cancel(conn, id).await? {
        reindex::one(conn, id).await?.ok_or_else(there_is_none)?;
        return Err(Error::new(Kind::Conflict, "this job has ended"));
    }
    Ok(Answer { status: 204, ..Answer::default() })
}

fn there_is_none() -> Error {
    Error::new(Kind::NotFound, "there is no such job")
}

fn parameters(parameter: Vec<Value>) -> Answer {
    Answer::bundle(json!({"resourceType": "Parameters", "parameter": parameter}).to_string().into_bytes())
}

fn members(job: &Job) -> Vec<Value> {
    let number = |name: &str, rows: i64| json!({"name": name, "valueDecimal": rows});
    let mut all = vec![
        json!({"name": "id", "valueString": job.id.to_string()}),
        json!({"name": "state", "valueCode": job.state}),
        json!({"name": "cause", "valueString": job.cause}),
    ];
    if job.types.len() < ResourceType::all().count() {
        all.extend(job.types.iter().map(|name| json!({"name": "type", "valueCode": name})));
    }
    all.extend([
        number("total", job.total),
        number("done", job.done),
        number("changed", job.changed),
        number("failed", job.failed),
        json!({"name": "asked", "valueInstant": job.asked.to_string()}),
    ]);
    all.extend(job.started.map(|at| json!({"name": "started", "valueInstant": at.to_string()})));
    all.extend(job.ended.map(|at| json!({"name": "ended", "valueInstant": at.to_string()})));
    all
}
