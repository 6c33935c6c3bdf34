//! The clinical record of a patient as a model: what the page and the PDF show, so that they cannot differ.
//!
//! Built from one `$everything` that was run and audited in one unit. Pure after that: FHIR JSON -> [`Record`]. It holds
//! what the role may see; a section that it may not see is told from one that is empty by [`Sees`]. Records made in error
//! are counted and left out. Texts are in the reader's language, dates are absolute, numbers keep their digits.
//!
//! * [`words`]: datatypes -> words. [`who`]: the person. [`clinical`]: everything that is a line. [`results`]: observations.

pub mod clinical;
pub mod results;
pub mod who;
pub mod words;

use crate::access::{self, Caller};
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::documento::Systems;
use crate::fhir::format::{self, parse_json};
use crate::interaction::{self, Answer};
use crate::view::format::Reader;
use crate::view::visit::{Reply, Visit};
use clinical::{Allergies, Allergy, AllergyState, Item, Seen};
use results::{Gathered, Group, Signs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use who::Who;
use words::{Words, clean, joined, text};

/// What the role may see at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sees {
    pub admission: bool,
    pub clinical: bool,
    pub results: bool,
}

impl Sees {
    pub fn of(caller: &Caller) -> Sees {
        let may = |name: &str| ResourceType::parse(name).is_some_and(|ty| access::may_read(caller, ty));
        Sees { admission: may("Encounter"), clinical: may("Condition"), results: may("DiagnosticReport") }
    }
}

/// Lines of one kind that have no section of their own.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    pub kind: &'static str,
    pub title: String,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// Patient.id: what our own links carry.
    pub id: String,
    pub who: Who,
    pub sees: Sees,
    pub allergies: Allergies,
    /// Active ones first, then newest first; so everywhere below.
    pub problems: Vec<Item>,
    pub medication: Vec<Item>,
    pub visits: Vec<Item>,
    /// The last result of each examination, by report.
    pub results: Vec<Group>,
    pub signs: Signs,
    /// Observations that are neither results nor vital signs, by category.
    pub observations: Vec<Group>,
    /// Reports that say something themselves, and those that are no heading of `results`.
    pub reports: Vec<Item>,
    pub orders: Vec<Item>,
    pub procedures: Vec<Item>,
    pub vaccines: Vec<Item>,
    pub documents: Vec<Item>,
    pub others: Vec<Section>,
    /// Critical values that somebody saw, the last one first.
    #[serde(skip)]
    pub seen: Vec<Seen>,
    /// Administrative records, by type: counted, not listed.
    pub counted: Vec<(String, usize)>,
    /// Records that were made in error: left out.
    pub in_error: usize,
}

/// Types that a chart counts instead of listing: billing, and records about records.
const COUNTED: [&str; 16] = [
    "Account",
    "AuditEvent",
    "Basic",
    "ChargeItem",
    "Claim",
    "ClaimResponse",
    "CoverageEligibilityRequest",
    "CoverageEligibilityResponse",
    "EnrollmentRequest",
    "ExplanationOfBenefit",
    "Invoice",
    "List",
    "PaymentNotice",
    "Person",
    "Provenance",
    "SupplyRequest",
];

#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(borrow, default)]
    entry: Vec<Entry<'a>>,
    #[serde(borrow, default)]
    link: Vec<Link<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    resource: &'a RawValue,
    search: Mode<'a>,
}

#[derive(Deserialize)]
struct Mode<'a> {
    mode: &'a str,
}

#[derive(Deserialize)]
struct Link<'a> {
    relation: &'a str,
}

/// Bytes of a Bundle that are read in less time than another thread takes to wake.
const AT_ONCE: usize = 64_000;

/// What a page needs of a record: what it does not show is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// Who it is: the banner, and the stay that a new entry belongs to.
    Banner,
    /// That and all observations.
    Results,
    /// That and what was prescribed.
    Medication,
}

impl Extent {
    /// The query of `$everything`.
    fn query(self) -> &'static str {
        match self {
            Extent::Whole => "",
            Extent::Banner => "_type=Patient,AllergyIntolerance,Encounter,Coverage",
            Extent::Results => "_type=Patient,AllergyIntolerance,Encounter,Coverage,Observation,DiagnosticReport",
            Extent::Medication => {
                "_type=Patient,AllergyIntolerance,Encounter,Coverage,MedicationRequest,MedicationStatement"
            }
        }
    }
}

/// Reads the record of the patient that `given` means and makes something of it, as one audited unit; `make` gives the
/// detail of the audit record too. `action`: what the audit record says.
pub async fn read<T>(
    app: &Arc<App>,
    caller: &Caller,
    reader: &Reader,
    given: &str,
    extent: Extent,
    action: &'static str,
    make: impl AsyncFnOnce(Record) -> Result<(T, String)>,
) -> Result<T> {
    let sees = Sees::of(caller);
    interaction::show(app, caller, given, extent.query(), action, async |answer: Answer| {
        let body = answer.body.unwrap_or_default();
        let (reader, app) = (*reader, app.clone());
        let large = body.len() > AT_ONCE;
        let built = move || Record::of(&body, &reader, &app.systems, &app.base, sees);
        // A large record takes a while to read: not on the thread that serves others.
        let built = if large { tokio::task::spawn_blocking(built).await.map_err(Error::internal)?? } else { built()? };
        make(built).await
    })
    .await
}

/// The record for a page.
pub async fn page(app: &Arc<App>, caller: &Caller, reader: &Reader, given: &str, extent: Extent) -> Result<Record> {
    let detail = if extent == Extent::Whole { "$everything page" } else { "$everything _type page" };
    read(app, caller, reader, given, extent, "operation", async |record| Ok((record, detail.to_owned()))).await
}

/// `/paciente/{id}` for programs: the searchset of `$everything`, as it is.
pub async fn json(visit: &Visit) -> Result<Reply> {
    let query = visit.address.split_once('?').map_or("", |(_, query)| query);
    let make = async |answer: Answer| Ok((answer.body.unwrap_or_default(), "$everything".to_owned()));
    let body = interaction::show(&visit.app, &visit.caller, visit.part("id"), query, "operation", make).await?;
    Ok(Reply::Fhir { body })
}

impl Record {
    /// From the Bundle of `$everything`. `base`: of our FHIR addresses.
    pub fn of(bundle: &[u8], reader: &Reader, systems: &Systems, base: &str, sees: Sees) -> Result<Record> {
        let bundle: Bundle<'_> = serde_json::from_slice(bundle).map_err(Error::internal)?;
        if bundle.link.iter().any(|link| link.relation == "next") {
            let text = "the record has more resources than a page or a document may show (limits.everything)";
            return Err(Error::new(Kind::TooCostly, text));
        }
        let base = format!("{base}/");
        let mut words = Words { reader, systems, base: &base, names: HashMap::new() };
        let read = |entry: &Entry<'_>| parse_json(entry.resource.get().as_bytes(), &format::Limits::default());
        for entry in bundle.entry.iter().filter(|entry| entry.search.mode == "include") {
            words.learn(&read(entry)?);
        }
        let mut record = Record { sees, ..Record::default() };
        if !sees.clinical {
            record.allergies.state = AllergyState::Hidden;
        }
        let mut gathered = Gathered::default();
        let mut others = BTreeMap::new();
        let mut counted = BTreeMap::new();
        for entry in bundle.entry.iter().filter(|entry| entry.search.mode == "match") {
            let resource = read(entry)?;
            let Some(kind) = ResourceType::parse(text(&resource, "resourceType")).map(ResourceType::name) else {
                continue;
            };
            if clinical::in_error(&resource) {
                record.in_error += 1;
            } else if COUNTED.contains(&kind) {
                *counted.entry(words.word("type", kind)).or_default() += 1;
            } else if !record.take(&words, &mut gathered, kind, &resource) {
                others.entry(kind).or_insert_with(Vec::new).push(words.other(kind, &resource));
            }
        }
        let sorted = gathered.sorted(&words);
        (record.results, record.signs, record.observations) = (sorted.results, sorted.signs, sorted.observations);
        let headings: HashSet<&str> = record.results.iter().filter_map(|group| group.report.as_deref()).collect();
        record.reports.retain(|report| report.grave || !headings.contains(report.id.as_str()));
        record.others =
            others.into_iter().map(|(kind, items)| Section { kind, title: words.word("type", kind), items }).collect();
        record.counted = counted.into_iter().collect();
        record.order();
        Ok(record)
    }

    /// Takes a resource of a type that has a section; false when it has none.
    fn take(&mut self, words: &Words<'_>, gathered: &mut Gathered, kind: &'static str, resource: &Value) -> bool {
        match kind {
            "Patient" => {
                self.id = text(resource, "id").to_owned();
                // Visits and coverages may have come before.
                let who = words.who(resource);
                self.who = Who {
                    place: std::mem::take(&mut self.who.place),
                    insurance: std::mem::take(&mut self.who.insurance),
                    ..who
                };
            }
            "AllergyIntolerance" => self.take_allergy(words.allergy(resource)),
            "Condition" => self.problems.push(words.problem(resource)),
            "MedicationRequest" => self.medication.push(words.medicine("MedicationRequest", resource)),
            "MedicationStatement" => self.medication.push(words.medicine("MedicationStatement", resource)),
            "Encounter" => {
                let visit = words.visit(resource);
                if visit.active && self.who.place.is_empty() {
                    self.who.place = words.place(resource);
                }
                self.visits.push(visit);
            }
            "Coverage" if matches!(text(resource, "status"), "active" | "") => {
                let coverage = words.coverage(resource);
                if !coverage.is_empty() {
                    self.who.insurance.push(coverage);
                }
            }
            "Observation" => gathered.observation(words, resource),
            "DiagnosticReport" => {
                gathered.report(words, resource);
                self.reports.push(words.report(resource));
            }
            "ServiceRequest" => self.orders.push(words.order(resource)),
            "Procedure" => self.procedures.push(words.procedure(resource)),
            "Immunization" => self.vaccines.push(words.vaccine(resource)),
            "DocumentReference" => self.documents.push(words.document(resource)),
            "Communication" => {
                self.seen.extend(words.seen(resource));
                return false;
            }
            _ => return false,
        }
        true
    }

    fn take_allergy(&mut self, allergy: Allergy) {
        let allergies = &mut self.allergies;
        match allergy {
            Allergy::Known(item) => {
                if item.active {
                    allergies.state = AllergyState::Known;
                }
                allergies.items.push(*item);
            }
            Allergy::NoneKnown(_, false) => {}
            Allergy::NoneKnown(when, true) => {
                if allergies.state == AllergyState::NotAsked {
                    allergies.state = AllergyState::NoneKnown;
                }
                if allergies.asked.text.is_empty() || when.at > allergies.asked.at {
                    allergies.asked = when;
                }
            }
            Allergy::NotAsked => {}
        }
    }

    fn order(&mut self) {
        self.seen.sort_by_key(|seen| std::cmp::Reverse(seen.when.at));
        self.reports.iter_mut().for_each(|report| report.grave = false);
        let lists = [
            &mut self.allergies.items,
            &mut self.problems,
            &mut self.medication,
            &mut self.visits,
            &mut self.reports,
            &mut self.orders,
            &mut self.procedures,
            &mut self.vaccines,
            &mut self.documents,
        ];
        let newest = |items: &mut Vec<Item>| {
            items.sort_by(|a, b| (b.active, b.grave, b.when.at, &a.what).cmp(&(a.active, a.grave, a.when.at, &b.what)))
        };
        lists.into_iter().for_each(newest);
        self.others.iter_mut().for_each(|section| newest(&mut section.items));
    }
}

impl Words<'_> {
    /// Learns what a resource of the directory is called.
    fn learn(&mut self, resource: &Value) {
        let (kind, id) = (text(resource, "resourceType"), text(resource, "id"));
        let name = match kind {
            "Practitioner" => who::person(resource),
            "PractitionerRole" => {
                joined([self.named(resource.get("practitioner")), self.concepts(resource, "specialty")], ", ")
            }
            "Medication" | "Substance" => self.concept(resource.get("code")),
            _ => clean(text(resource, "name")),
        };
        if !name.is_empty() {
            self.names.insert(format!("{kind}/{id}"), name);
        }
    }
}

#[cfg(test)]
pub(in crate::view) mod tests;
