//! Composed resources of the form and size that Synthea makes: these people do not exist.
//!
//! Everything follows from numbers, so two runs send the same. A blood pressure is about 1.4 kB as it is sent.

use std::fmt::Write;

/// Codes of the Observations (LOINC), so few that a patient has more than one page of each.
pub const CODES: [(&str, &str); 8] = [
    ("85354-9", "Blood pressure panel with all children optional"),
    ("8302-2", "Body Height"),
    ("29463-7", "Body Weight"),
    ("8867-4", "Heart rate"),
    ("9279-1", "Respiratory rate"),
    ("2708-6", "Oxygen saturation in Arterial blood"),
    ("72514-3", "Pain severity - 0-10 verbal numeric rating [Score] - Reported"),
    ("39156-5", "Body mass index (BMI) [Ratio]"),
];

/// A Bundle: the patient, and 20 visits of 11 Observations, 1 Condition and 1 or 2 DiagnosticReports each.
const VISITS: usize = 20;
const OBSERVATIONS: usize = 11;
pub const ENTRIES: usize = 1 + VISITS * (1 + OBSERVATIONS + 1 + 1) + REPORTS_MORE;
/// Visits with a second report.
const REPORTS_MORE: usize = 19;

/// The code of the nth Observation.
pub fn code(n: usize) -> (&'static str, &'static str) {
    CODES.get(n % CODES.len()).copied().unwrap_or(("85354-9", "Blood pressure"))
}

/// A well mixed number from a number (SplitMix64), so that values differ as real ones do.
pub fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn urn(patient: usize, part: u32, n: usize) -> String {
    format!("urn:uuid:{patient:08x}-{part:04x}-4000-8000-{n:012x}")
}

fn date(n: usize) -> String {
    let n = mixed(n as u64);
    format!(
        "20{:02}-{:02}-{:02}T{:02}:{:02}:{:02}-05:00",
        10 + n % 15,
        1 + n / 15 % 12,
        1 + n / 180 % 28,
        n / 5040 % 24,
        n / 7 % 60,
        n / 11 % 60
    )
}

/// An Observation with panel, components, category, reference range and text. `id`: only for an update.
pub fn observation(
    id: Option<&str>,
    subject: &str,
    encounter: &str,
    (code, display): (&str, &str),
    n: usize,
) -> String {
    let id = id.map(|id| format!("\"id\":\"{id}\",")).unwrap_or_default();
    let (date, mix) = (date(n), mixed(n as u64));
    let (high, low) = (100 + mix % 60, 60 + mix / 60 % 40);
    let component = |code: &str, display: &str, value: u64| {
        format!(
            "{{\"code\":{{\"coding\":[{{\"system\":\"http://loinc.org\",\"code\":\"{code}\",\"display\":\"{display}\"}}],\"text\":\"{display}\"}},\
             \"valueQuantity\":{{\"value\":{value}.{}0,\"unit\":\"mm[Hg]\",\"system\":\"http://unitsofmeasure.org\",\"code\":\"mm[Hg]\"}}}}",
            mix % 10
        )
    };
    let components =
        [component("8462-4", "Diastolic Blood Pressure", low), component("8480-6", "Systolic Blood Pressure", high)]
            .join(",");
    format!(
        "{{\"resourceType\":\"Observation\",{id}\"text\":{{\"status\":\"generated\",\"div\":\"<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\">{display}: {high}/{low}</div>\"}},\
         \"status\":\"final\",\"category\":[{{\"coding\":[{{\"system\":\"http://terminology.hl7.org/CodeSystem/observation-category\",\"code\":\"vital-signs\",\"display\":\"Vital signs\"}}]}}],\
         \"code\":{{\"coding\":[{{\"system\":\"http://loinc.org\",\"code\":\"{code}\",\"display\":\"{display}\"}}],\"text\":\"{display}\"}},\
         \"subject\":{{\"reference\":\"{subject}\"}},\"encounter\":{{\"reference\":\"{encounter}\"}},\"effectiveDateTime\":\"{date}\",\"issued\":\"{date}\",\
         \"interpretation\":[{{\"coding\":[{{\"system\":\"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation\",\"code\":\"N\"}}]}}],\
         \"component\":[{components}]}}"
    )
}

fn patient(n: usize) -> String {
    let mix = mixed(n as u64);
    format!(
        "{{\"resourceType\":\"Patient\",\"identifier\":[{{\"use\":\"official\",\"type\":{{\"coding\":[\
         {{\"system\":\"http://terminology.hl7.org/CodeSystem/v2-0203\",\"code\":\"PN\"}},\
         {{\"system\":\"https://fhir.minsalud.gov.co/rda/CodeSystem/ColombianPersonIdentifier\",\"code\":\"CC\"}}]}},\
         \"system\":\"https://fhir.minsalud.gov.co/rda/NamingSystem/RNEC\",\"value\":\"{}\"}}],\"active\":true,\
         \"name\":[{{\"use\":\"official\",\"family\":\"Muestra{:03} Ejemplo{:03}\",\"given\":[\"Nombre{:02}\",\"Segundo{:02}\"]}}],\
         \"telecom\":[{{\"system\":\"phone\",\"value\":\"300{:07}\",\"use\":\"mobile\"}}],\"gender\":\"{}\",\"birthDate\":\"19{:02}-{:02}-{:02}\",\
         \"address\":[{{\"line\":[\"Calle {} # {}-{}\"],\"city\":\"Bogotá\",\"state\":\"Bogotá D.C.\",\"country\":\"CO\"}}]}}",
        1_000_000_000 + n,
        mix % 997,
        mix / 997 % 991,
        mix % 89,
        mix % 83,
        mix % 10_000_000,
        if mix.is_multiple_of(2) { "female" } else { "male" },
        30 + mix % 70,
        1 + mix % 12,
        1 + mix % 28,
        mix % 180,
        mix % 90,
        mix % 80
    )
}

fn encounter(subject: &str, n: usize) -> String {
    let date = date(n);
    format!(
        "{{\"resourceType\":\"Encounter\",\"status\":\"finished\",\"class\":{{\"system\":\"http://terminology.hl7.org/CodeSystem/v3-ActCode\",\"code\":\"AMB\"}},\
         \"type\":[{{\"coding\":[{{\"system\":\"http://snomed.info/sct\",\"code\":\"162673000\",\"display\":\"General examination of patient (procedure)\"}}],\
         \"text\":\"General examination of patient (procedure)\"}}],\"subject\":{{\"reference\":\"{subject}\"}},\"period\":{{\"start\":\"{date}\",\"end\":\"{date}\"}},\
         \"serviceProvider\":{{\"display\":\"Hospital de Muestra\"}}}}"
    )
}

fn condition(subject: &str, encounter: &str, n: usize) -> String {
    let date = date(n);
    format!(
        "{{\"resourceType\":\"Condition\",\"clinicalStatus\":{{\"coding\":[{{\"system\":\"http://terminology.hl7.org/CodeSystem/condition-clinical\",\"code\":\"active\"}}]}},\
         \"verificationStatus\":{{\"coding\":[{{\"system\":\"http://terminology.hl7.org/CodeSystem/condition-ver-status\",\"code\":\"confirmed\"}}]}},\
         \"category\":[{{\"coding\":[{{\"system\":\"http://terminology.hl7.org/CodeSystem/condition-category\",\"code\":\"encounter-diagnosis\"}}]}}],\
         \"code\":{{\"coding\":[{{\"system\":\"http://snomed.info/sct\",\"code\":\"{}\",\"display\":\"Muestra (disorder)\"}}],\"text\":\"Muestra (disorder)\"}},\
         \"subject\":{{\"reference\":\"{subject}\"}},\"encounter\":{{\"reference\":\"{encounter}\"}},\"onsetDateTime\":\"{date}\",\"recordedDate\":\"{date}\"}}",
        38_341_003 + mixed(n as u64) % 400
    )
}

fn report(subject: &str, encounter: &str, results: &[String], n: usize) -> String {
    let date = date(n);
    let results: Vec<String> =
        results.iter().map(|r| format!("{{\"reference\":\"{r}\",\"display\":\"Resultado\"}}")).collect();
    format!(
        "{{\"resourceType\":\"DiagnosticReport\",\"status\":\"final\",\"category\":[{{\"coding\":[{{\"system\":\"http://terminology.hl7.org/CodeSystem/v2-0074\",\"code\":\"LAB\",\"display\":\"Laboratory\"}}]}}],\
         \"code\":{{\"coding\":[{{\"system\":\"http://loinc.org\",\"code\":\"58410-2\",\"display\":\"CBC panel - Blood by Automated count\"}}],\"text\":\"CBC panel - Blood by Automated count\"}},\
         \"subject\":{{\"reference\":\"{subject}\"}},\"encounter\":{{\"reference\":\"{encounter}\"}},\"effectiveDateTime\":\"{date}\",\"issued\":\"{date}\",\"result\":[{}]}}",
        results.join(",")
    )
}

/// The transaction Bundle of one patient, its references as `urn:uuid`.
pub fn bundle(number: usize) -> String {
    let mut text = String::from("{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[");
    let mut add = |full_url: &str, name: &str, resource: String| {
        let comma = if text.ends_with('[') { "" } else { "," };
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "{comma}{{\"fullUrl\":\"{full_url}\",\"resource\":{resource},\"request\":{{\"method\":\"POST\",\"url\":\"{name}\"}}}}"
        );
    };
    let subject = urn(number, 1, 0);
    add(&subject, "Patient", patient(number));
    for visit in 0..VISITS {
        let seed = number * 1_000 + visit * 40;
        let encounter_url = urn(number, 2, visit);
        add(&encounter_url, "Encounter", encounter(&subject, seed));
        let urls: Vec<String> = (0..OBSERVATIONS).map(|n| urn(number, 3, visit * OBSERVATIONS + n)).collect();
        for (n, url) in urls.iter().enumerate() {
            let kind = code(visit * OBSERVATIONS + n);
            add(url, "Observation", observation(None, &subject, &encounter_url, kind, seed + n));
        }
        add(&urn(number, 4, visit), "Condition", condition(&subject, &encounter_url, seed + 20));
        let reports = if visit < REPORTS_MORE { 2 } else { 1 };
        for (n, results) in urls.chunks(OBSERVATIONS.div_ceil(2)).take(reports).enumerate() {
            add(
                &urn(number, 5, visit * 2 + n),
                "DiagnosticReport",
                report(&subject, &encounter_url, results, seed + 30 + n),
            );
        }
    }
    text.push_str("]}");
    text
}

/// The resources of a Bundle, one a line: what the floor stores.
pub fn lines(bundle: &str) -> crate::Result<String> {
    #[derive(serde::Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        resource: &'a serde_json::value::RawValue,
    }
    #[derive(serde::Deserialize)]
    struct Bundle<'a> {
        #[serde(borrow)]
        entry: Vec<Entry<'a>>,
    }
    let bundle: Bundle<'_> = serde_json::from_str(bundle)?;
    Ok(bundle.entry.iter().map(|entry| entry.resource.get()).collect::<Vec<_>>().join("\n"))
}
