//! What the write of a SearchParameter means for searches: it is judged and compiled before it is stored, and a job reads
//! the resources that are there for it (docs/adr/0019). In the transaction of the write itself.

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{Custom, ResourceType, r4};
use crate::interaction::unit::Unit;
use crate::store::{Conn, extraction, reindex};
use serde_json::Value;
use std::collections::BTreeSet;

/// Call it for every new version, `resource`: none for a tombstone.
pub(super) async fn kept(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    id: &str,
    resource: Option<&Value>,
) -> Result<()> {
    if resource_type.name() != "SearchParameter" {
        return Ok(());
    }
    // The standard's own parameters are there already.
    let resource = resource.filter(|resource| !is_standard(resource));
    let custom = resource.map(Custom::read).transpose()?.flatten();
    let most = unit.app.config.limits.search_parameters;
    unit.transaction().await?;
    let redefined = unit
        .with(async |conn| {
            extraction::lock(conn).await?;
            match custom {
                Some(custom) => put(conn, id, &custom, most).await,
                None => remove(conn, id).await,
            }
        })
        .await?;
    unit.redefines |= redefined;
    Ok(())
}

fn is_standard(resource: &Value) -> bool {
    resource.get("url").and_then(Value::as_str).is_some_and(|url| r4().has_parameter(url))
}

/// False when nothing changes.
async fn put(conn: &Conn, id: &str, custom: &Custom, most: usize) -> Result<bool> {
    let text = serde_json::to_string(custom).map_err(Error::internal)?;
    let known = extraction::of_id(conn, id).await?;
    if known.as_ref().is_some_and(|(known, _)| *known == text) {
        return Ok(false);
    }
    if let Some(name) = extraction::taken(conn, id, &custom.code, &custom.base).await? {
        let text = format!("another active SearchParameter gives {name} a parameter with this code");
        return Err(Error::at(Kind::BusinessRule, "SearchParameter.code", text));
    }
    if extraction::count_others(conn, id).await? >= i64::try_from(most).unwrap_or(i64::MAX) {
        let text = format!("there are {most} active search parameters (limits.search_parameters)");
        return Err(Error::new(Kind::BusinessRule, text));
    }
    // Those that it had, too: what they were found by goes.
    let types: BTreeSet<&str> =
        known.iter().flat_map(|(_, base)| base).chain(&custom.base).map(String::as_str).collect();
    let job = clock::uuid();
    reindex::add(conn, job, &format!("SearchParameter/{id}"), &types.into_iter().collect::<Vec<_>>()).await?;
    extraction::put(conn, id, &custom.base, &custom.code, &text, job).await.map(|()| true)
}

async fn remove(conn: &Conn, id: &str) -> Result<bool> {
    let Some((_, base)) = extraction::of_id(conn, id).await? else { return Ok(false) };
    let job = clock::uuid();
    let types: Vec<&str> = base.iter().map(String::as_str).collect();
    reindex::add(conn, job, &format!("SearchParameter/{id}"), &types).await?;
    extraction::going(conn, id, job).await.map(|()| true)
}
