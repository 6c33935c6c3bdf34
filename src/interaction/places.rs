//! Looking up ids where they lie: one query a place, not one an id.

use crate::access::Access;
use crate::error::Result;
use crate::fhir::definitions::ResourceType;
use crate::interaction::unit::Unit;
use crate::store::resource::Stored;
use crate::store::{self, Conn};
use std::collections::{BTreeMap, HashSet};

fn by_place<'i, T>(ids: impl Iterator<Item = (T, Option<String>)>) -> BTreeMap<String, Vec<T>>
where
    T: 'i,
{
    let mut places: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (id, place) in ids {
        if let Some(place) = place {
            places.entry(place).or_default().push(id);
        }
    }
    places
}

pub(super) async fn at_places<'i>(
    unit: &Unit<'_>,
    access: &Access,
    ids: impl Iterator<Item = (&'i str, Option<String>)>,
) -> Result<Vec<Stored>> {
    let mut found = Vec::new();
    for (documento_id, ids) in by_place(ids) {
        let there = async |conn: &Conn| store::resource::current_set(conn, access, &documento_id, &ids).await;
        found.extend(unit.at(&documento_id, there).await?);
    }
    Ok(found)
}

pub(super) async fn existing_at<'i>(
    unit: &Unit<'_>,
    access: &Access,
    ids: impl Iterator<Item = ((ResourceType, &'i str), Option<String>)>,
) -> Result<HashSet<(ResourceType, String)>> {
    let mut found = HashSet::new();
    for (documento_id, ids) in by_place(ids) {
        let there = async |conn: &Conn| store::resource::existing(conn, access, &documento_id, &ids).await;
        found.extend(unit.at(&documento_id, there).await?);
    }
    Ok(found)
}
