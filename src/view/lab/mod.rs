//! `/resultados`: the pages of the laboratory.
//!
//! | address | file |
//! |---|---|
//! | `/resultados` | [`list`]: what is critical first, then by the longest wait, then what was validated today |
//! | `/resultados/orden/{id}`, `/resultados/nuevo/{id}` | [`enter`]: results of an order, or of nobody's order |
//! | `/resultados/{id}` | [`validate`]: preliminary, final, a new version; the notice of a critical value |
//! | `/resultados/pacientes`, `/resultados/nuevo` | [`find`]: a patient, to look at or to enter a result for |
//! | `/resultados/historico` | [`history`]: the final results of a day |
//!
//! [`exam`]: what is measured. [`value`]: what was typed, judged. [`notice`]: of a critical value. [`follow`]: report and
//! order after a result.

pub mod enter;
pub mod exam;
pub mod find;
pub mod follow;
pub mod history;
pub mod list;
pub mod notice;
pub mod validate;
pub mod value;

use crate::error::{Error, Kind, Result};
use crate::view::encounter::{self, Class};
use crate::view::format::Reader;
use crate::view::page::{Badge, Flag};
use crate::view::patient;
use crate::view::record::words::{Words, codes, joined, text};
use crate::view::visit::Visit;
use serde_json::Value;
use std::collections::HashMap;

pub const DESK: &str = "/resultados";
/// What patients and charts see as released.
const RELEASED: &str = "final,amended,corrected,appended";

/// Datatypes in words, without the directory.
fn words(visit: &Visit) -> Words<'_> {
    Words { reader: &visit.reader, systems: &visit.app.systems, base: &visit.app.base, names: HashMap::new() }
}

/// The id of the patient that a resource is of.
fn patient_of(resource: &Value) -> Result<String> {
    let reference = resource.get("subject").map(|subject| text(subject, "reference")).unwrap_or_default();
    let id = reference.rsplit_once("Patient/").map(|(_, id)| id.to_owned());
    id.ok_or_else(|| Error::new(Kind::NotFound, "there is no such resource"))
}

/// The id in a reference.
fn id_of(reference: &Value) -> &str {
    text(reference, "reference").rsplit('/').next().unwrap_or_default()
}

fn is_released(resource: &Value) -> bool {
    RELEASED.split(',').any(|status| status == text(resource, "status"))
}

/// What the interpretation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Judged {
    icon: &'static str,
    key: &'static str,
    /// Class of the value.
    tone: &'static str,
}

impl Judged {
    fn of(resource: &Value) -> Option<Judged> {
        codes(resource, "interpretation").find_map(|code| {
            let (icon, key, tone) = match code {
                "HH" | "HU" => ("octagon", "flag.critical_high", "crit"),
                "LL" | "LU" => ("octagon", "flag.critical_low", "crit"),
                "AA" => ("octagon", "flag.critical", "crit"),
                "H" => ("up", "flag.high", "high"),
                "L" => ("down", "flag.low", "low"),
                "A" => ("info", "flag.abnormal", ""),
                _ => return None,
            };
            Some(Judged { icon, key, tone })
        })
    }

    fn is_critical(self) -> bool {
        self.tone == "crit"
    }

    fn flag(self, reader: &Reader) -> Flag {
        Flag { crit: self.is_critical(), icon: self.icon, label: reader.text(self.key).to_owned() }
    }
}

fn is_critical(resource: &Value) -> bool {
    Judged::of(resource).is_some_and(Judged::is_critical)
}

fn status(visit: &Visit, resource: &Value) -> Badge {
    let is_order = text(resource, "resourceType") == "ServiceRequest";
    let (kind, icon, key) = match text(resource, "status") {
        _ if is_order => ("plain", "pending", "lab.pending"),
        "registered" => ("plain", "pending", "lab.pending"),
        "preliminary" => ("warn", "half", "lab.preliminary"),
        "corrected" => ("info", "pencil", "lab.corrected"),
        "amended" | "appended" => ("info", "pencil", "lab.amended"),
        "cancelled" | "entered-in-error" => ("off", "off", "lab.cancelled"),
        _ => ("ok", "check", "lab.final"),
    };
    Badge::new(kind, Some(icon), visit.text(key))
}

/// Where somebody is: the bed of an inpatient, else the service.
fn place(reader: &Reader, stay: Option<&Value>) -> String {
    let Some(stay) = stay else { return String::new() };
    match encounter::bed(stay).filter(|_| Class::of(stay) == Class::Inpatient) {
        Some(bed) => reader.fill("lab.bed", &[("bed", &bed)]),
        None => encounter::place(reader, stay),
    }
}

/// Document, sex, age and place of somebody, in one line.
fn who(visit: &Visit, person: &Value, stay: Option<&Value>) -> String {
    let age = patient::age(&visit.reader, person).unwrap_or_default();
    let sex = joined([patient::sex(&visit.reader, person).unwrap_or_default(), &age], ", ");
    joined([patient::document(visit, person).unwrap_or_default(), sex, place(&visit.reader, stay)], " · ")
}
