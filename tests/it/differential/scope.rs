//! Searches over several types and of compartments, filters, words, lists, places, value sets.

use crate::differential::compare::Order;
use crate::differential::content::{WRITTEN, day};
use crate::differential::request::Request;
use crate::differential::search::of;
use crate::differential::world::{Rng, World};
use crate::harness::browser::encoded;

const KINDS: [&str; 4] = ["Patient", "Patient", "Encounter", "Practitioner"];

pub fn request(rng: &mut Rng, world: &World, role: &'static str) -> Request {
    let kind = rng.word(&KINDS);
    let whose = world.some(rng, kind).unwrap_or_else(|| format!("{kind}/nadie"));
    let resource_type = rng.word(&WRITTEN);
    let patient = world.some(rng, "Patient").unwrap_or_else(|| "Patient/nadie".to_owned());
    match rng.below(8) {
        // By type and id nothing is told apart that both sides do not share.
        0 => several(role, format!("?{}&_count=200&_sort=_id", everywhere(rng, &patient))),
        1 => several(role, format!("{whose}/*?_count=200&_sort=-_id")),
        2 | 3 => {
            let count = rng.pick(&["", "?_count=2", "?_count=0", "?_total=accurate&_count=1", "?_lastUpdated=ge2020"]);
            of("scope", role, format!("{whose}/{resource_type}{count}"))
        }
        4 | 5 => {
            let filter = filter(rng, &patient, 2);
            of("scope", role, format!("Observation?_filter={}", encoded(&filter)))
        }
        6 => {
            let words = rng.pick(&["peso", "ruiz", "dolor alergia", "final", "nada,ana", "OR x"]);
            of(
                "scope",
                role,
                format!("{resource_type}?{}={}", rng.pick(&["_content", "_content", "_text"]), encoded(words)),
            )
        }
        _ => {
            let other = rng.pick(&[
                "Observation?status:in=http://hl7.org/fhir/ValueSet/observation-status",
                "Patient?gender:not-in=http://hl7.org/fhir/ValueSet/administrative-gender",
                "Observation?code:in=http://example.org/none",
                "Location?near=4.6%7C-74.1%7C500%7Ckm",
                "Observation?_list=nadie",
            ]);
            of("scope", role, (*other).to_owned())
        }
    }
}

fn several(role: &'static str, path: String) -> Request {
    Request { order: Order::Everything, ..of("scope", role, path) }
}

fn everywhere(rng: &mut Rng, patient: &str) -> String {
    match rng.below(5) {
        0 => format!("_id={}", patient.rsplit('/').next().unwrap_or_default()),
        1 => format!("_type=Observation,Encounter,Condition&patient={patient}"),
        2 => format!("_type={},{}", rng.word(&WRITTEN), rng.word(&WRITTEN)),
        3 => format!("_filter={}", encoded("_lastUpdated ge 2020 and not (_id eq nadie)")),
        _ => "code=x".to_owned(),
    }
}

fn filter(rng: &mut Rng, patient: &str, depth: usize) -> String {
    let two = |rng: &mut Rng| (filter(rng, patient, depth - 1), filter(rng, patient, depth - 1));
    match rng.below(if depth == 0 { 5 } else { 8 }) {
        0 => format!("subject re {patient}"),
        1 => format!("date {} {}", rng.pick(&["ge", "lt", "eq", "ne", "po"]), day(rng)),
        2 => format!("status {} {}", rng.pick(&["eq", "ne"]), rng.pick(&["final", "preliminary"])),
        3 => format!("code eq {}", rng.pick(&["29463-7", "http://loinc.org|29463-7", "x"])),
        4 => format!("{} pr {}", rng.pick(&["value-quantity", "encounter", "nada"]), rng.pick(&["true", "false"])),
        5 => format!("not ({})", filter(rng, patient, depth - 1)),
        6 => {
            let (one, other) = two(rng);
            format!("({one}) and ({other})")
        }
        _ => {
            let (one, other) = two(rng);
            format!("({one}) or ({other})")
        }
    }
}
