//! Whether a bed is taken. A bed is text in the stay of who lies in it, so the stays that go on are read, and compared by
//! what they say. Two who take the same bed in the same second are not told: it is a question, not a lock.

use crate::error::Result;
use crate::interaction::Unit;
use crate::view::encounter::{self, OPEN, STAY};
use crate::view::patient::{self, Name, search};
use crate::view::record::words::joined;
use crate::view::visit::Visit;

/// Stays that are looked through, those who came last first: more than a hospital has beds.
const MOST: usize = 1000;

/// Who has a bed.
pub struct Taken {
    /// Encounter.id.
    pub stay: String,
    pub says: String,
}

/// Who else lies in a bed of a service.
pub async fn taken(
    unit: &mut Unit<'_>,
    visit: &Visit,
    (service, bed): (&str, &str),
    own: &str,
) -> Result<Option<Taken>> {
    if bed.is_empty() {
        return Ok(None);
    }
    let query = format!("status={OPEN}&class={STAY}&_sort=-date&_count={MOST}");
    let stays = search(unit, "Encounter", &query).await?;
    let lies =
        |stay: &&serde_json::Value| encounter::patient(stay) != Some(own) && encounter::is_in(stay, service, bed);
    let Some(stay) = stays.resources.iter().find(lies) else { return Ok(None) };
    let person = patient::read(unit, "Patient", encounter::patient(stay).unwrap_or_default()).await?;
    let who = joined([Name::of(&person).whole(), patient::document(visit, &person).unwrap_or_default()], ", ");
    let since = visit.reader.fhir(encounter::start(stay));
    let says = visit.reader.fill("admission.bed_taken", &[("bed", bed), ("who", &who), ("time", &since)]);
    Ok(Some(Taken { stay: encounter::id(stay).to_owned(), says }))
}
