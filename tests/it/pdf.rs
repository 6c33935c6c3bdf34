//! The clinical history on paper holds every datum of the chart (issue 4, Must show 3): of all samples, and of the Synthea
//! patient with the most resources. What must be there is derived here from the FHIR resources, by a walker that knows
//! nothing of the model of the page.

use crate::harness::data::unpacked;
use crate::harness::fhir::login;
use crate::harness::{Fhir, fhir, run, server, skip, unique};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use std::time::{Duration, Instant};

const MARK: &str = "_security=http://terminology.hl7.org/CodeSystem/v3-ActReason|HTEST";
const WORDS: &str = include_str!("../../templates/i18n/es.json");
const MONTHS: [&str; 12] = ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"];

// ------------------------------------------------------------------ what a resource says, in es-CO

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A CodeableConcept: its text, else a display, else a code.
fn concept(value: &Value) -> String {
    let of =
        |name: &str| list(value, "coding").iter().map(|coding| text(&coding[name])).find(|found| !found.is_empty());
    Some(text(&value["text"]))
        .filter(|text| !text.is_empty())
        .or_else(|| of("display"))
        .or_else(|| of("code"))
        .unwrap_or_default()
}

fn code(value: &Value, system: &str) -> Option<String> {
    let found = list(value, "coding").iter().find(|coding| coding["system"] == system)?;
    Some(text(&found["code"]))
}

/// `72.50` -> `72,50`, `12345` -> `12.345`, the digits as they were written.
fn number(value: &Value) -> String {
    let digits = value.to_string();
    let (whole, fraction) = digits.split_once('.').map_or((digits.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |rest| ("−", rest));
    let least = if fraction.is_some() { 4 } else { 5 };
    let mut out = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) && whole.len() >= least {
            out.push('.');
        }
        out.push(digit);
    }
    format!("{sign}{out}{}", fraction.map(|fraction| format!(",{fraction}")).unwrap_or_default())
}

/// The day of a date or an instant, here: `23 nov 2026`, `nov 2026`, `2026`.
fn day(iso: &str) -> String {
    let civil = match iso.parse::<jiff::Timestamp>() {
        Ok(at) if iso.len() > 10 => at.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(-5))).date().to_string(),
        _ => iso.to_owned(),
    };
    let parts: Vec<&str> = civil.split('-').collect();
    let month = |part: &str| MONTHS[part.parse::<usize>().unwrap() - 1];
    match parts.as_slice() {
        [year, m, d] => format!("{d} {} {year}", month(m)),
        [year, m] => format!("{} {year}", month(m)),
        _ => civil,
    }
}

fn time(iso: &str) -> String {
    let at: jiff::Timestamp = iso.parse().unwrap();
    let local = at.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(-5)));
    format!("{:02}:{:02}", local.hour(), local.minute())
}

/// A date with its time when it has one.
fn moment(iso: &str) -> String {
    if iso.len() > 10 { format!("{}, {}", day(iso), time(iso)) } else { day(iso) }
}

/// What one resource must have left on the paper. `names`: of the directory.
struct Walker<'n> {
    names: &'n HashMap<String, String>,
    /// Pieces that must stand somewhere as they are.
    pieces: Vec<String>,
    /// What the examination of a code is called; a code changes its name over the years, and its row has the last one.
    examinations: BTreeMap<String, Vec<String>>,
    /// A value with its unit, or a value alone, and how often.
    values: BTreeMap<(String, String), usize>,
}

impl Walker<'_> {
    fn put(&mut self, piece: impl Into<String>) {
        let piece = piece.into();
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    fn concepts(&mut self, resource: &Value, names: &[&str]) {
        for name in names {
            match &resource[*name] {
                Value::Array(items) => items.iter().for_each(|item| self.put(concept(item))),
                item => self.put(concept(item)),
            }
        }
    }

    fn reference(&mut self, reference: &Value) {
        let target = text(&reference["reference"]);
        let name = self.names.iter().find(|(id, _)| target.ends_with(id.as_str())).map(|(_, name)| name.clone());
        self.put(name.unwrap_or_else(|| text(&reference["display"])));
    }

    fn notes(&mut self, resource: &Value) {
        list(resource, "note").iter().for_each(|note| self.put(text(&note["text"])));
    }

    fn first_date(&mut self, resource: &Value, names: &[&str]) {
        if let Some(iso) = names.iter().map(|name| text(&resource[*name])).find(|iso| !iso.is_empty()) {
            self.put(moment(&iso));
        }
    }

    fn period(&mut self, period: &Value) {
        let (start, end) = (text(&period["start"]), text(&period["end"]));
        match (start.is_empty(), end.is_empty()) {
            (false, true) => self.put(moment(&start)),
            (false, false) if day(&start) == day(&end) && start.len() > 10 => {
                self.put(
                    format!("{}, {} a {}", day(&start), time(&start), time(&end))
                        .replace(&format!("{} a {}", time(&start), time(&start)), &time(&start)),
                );
            }
            (false, false) if day(&start)[3..] == day(&end)[3..] => {
                self.put(format!("{} a {}", &day(&start)[..2], day(&end)));
            }
            (false, false) => self.put(format!("{} a {}", day(&start), day(&end))),
            _ => {}
        }
    }

    fn resource(&mut self, r: &Value) {
        match r["resourceType"].as_str().unwrap() {
            "Patient" => self.patient(r),
            "Observation" => self.observation(r),
            "Condition" => {
                self.concepts(r, &["code", "severity", "bodySite"]);
                self.put(code(&r["code"], "http://hl7.org/fhir/sid/icd-10").unwrap_or_default());
                self.first_date(r, &["onsetDateTime", "recordedDate"]);
                self.first_date(r, &["abatementDateTime"]);
            }
            "AllergyIntolerance" => {
                let none =
                    ["716186003", "no-known-allergies"].iter().any(|known| r["code"].to_string().contains(known));
                if none {
                    return self.put("Sin alergias conocidas");
                }
                self.concepts(r, &["code"]);
                for reaction in list(r, "reaction") {
                    self.concepts(reaction, &["manifestation"]);
                    self.put(text(&reaction["description"]));
                }
            }
            "MedicationRequest" | "MedicationStatement" => {
                self.concepts(r, &["medicationCodeableConcept", "reasonCode", "statusReason"]);
                list(r, "dosageInstruction").iter().for_each(|dosage| self.put(text(&dosage["text"])));
                self.first_date(r, &["authoredOn", "effectiveDateTime", "dateAsserted"]);
            }
            "Encounter" => {
                self.concepts(r, &["type", "serviceType", "reasonCode", "priority"]);
                list(r, "location").iter().for_each(|place| self.reference(&place["location"]));
                list(r, "participant").iter().for_each(|person| self.reference(&person["individual"]));
                self.concepts(&r["hospitalization"], &["dischargeDisposition"]);
                self.period(&r["period"]);
            }
            "DiagnosticReport" => {
                self.concepts(r, &["code", "conclusionCode"]);
                self.put(text(&r["conclusion"]));
                self.first_date(r, &["effectiveDateTime", "issued"]);
            }
            "ServiceRequest" => {
                self.concepts(r, &["code", "reasonCode"]);
                self.reference(&r["requester"]);
                self.first_date(r, &["authoredOn", "occurrenceDateTime"]);
            }
            "Procedure" => {
                self.concepts(r, &["code", "bodySite", "outcome", "reasonCode"]);
                list(r, "performer").iter().for_each(|person| self.reference(&person["actor"]));
                self.first_date(r, &["performedDateTime"]);
                self.period(&r["performedPeriod"]);
            }
            "Immunization" => {
                self.concepts(r, &["vaccineCode"]);
                self.put(text(&r["lotNumber"]));
                self.first_date(r, &["occurrenceDateTime"]);
            }
            "DocumentReference" => {
                self.concepts(r, &["type"]);
                self.put(text(&r["description"]));
                list(r, "author").iter().for_each(|person| self.reference(person));
                self.first_date(r, &["date"]);
            }
            "Coverage" => list(r, "payor").iter().for_each(|payor| self.reference(payor)),
            "CarePlan" | "CareTeam" | "Goal" | "Specimen" | "FamilyMemberHistory" => {
                self.concepts(r, &["code", "type"]);
                self.put(text(&r["title"]));
            }
            _ => {}
        }
        self.notes(r);
    }

    fn patient(&mut self, r: &Value) {
        let official = list(r, "name").iter().find(|name| name["use"] == "official").unwrap_or(&r["name"][0]);
        let given: Vec<String> = list(official, "given").iter().map(text).collect();
        self.put(format!("{}, {}", text(&official["family"]), given.join(" ")));
        self.put(day(&text(&r["birthDate"])));
        self.put(match r["gender"].as_str() {
            Some("female") => "Mujer",
            Some("male") => "Hombre",
            _ => "",
        });
        list(r, "address").iter().for_each(|home| self.put(text(&home["city"])));
        list(r, "telecom").iter().for_each(|point| self.put(text(&point["value"])));
        for identifier in list(r, "identifier") {
            let value = text(&identifier["value"]);
            // Some kinds of document are written with points.
            let kinds = ["CC", "TI", "RC", "PPT", "PT", "NIT"];
            let pointed =
                list(&identifier["type"], "coding").iter().any(|one| kinds.iter().any(|kind| one["code"] == *kind));
            let plain = value.bytes().all(|b| b.is_ascii_digit()) && value.len() > 4 && pointed;
            self.put(if plain { number(&Value::Number(value.parse().unwrap())) } else { value });
        }
    }

    fn observation(&mut self, r: &Value) {
        let words: HashMap<String, String> = serde_json::from_str(WORDS).unwrap();
        let loinc = |holder: &Value| code(&holder["code"], "http://loinc.org").unwrap_or_default();
        let short = words.get(&format!("sign.{}", loinc(r)));
        let parts = list(r, "component");
        let amount = |holder: &Value| holder["valueQuantity"].get("value").map(number);
        let of = |code: &str| parts.iter().find(|part| loinc(part) == code).and_then(amount);
        if let (Some(high), Some(low)) = (of("8480-6"), of("8462-4")) {
            *self.values.entry((format!("{high}/{low}"), String::new())).or_default() += 1;
        } else {
            let name = short.cloned().unwrap_or_else(|| concept(&r["code"]));
            let key = if loinc(r).is_empty() { name.clone() } else { loinc(r) };
            self.examinations.entry(key).or_default().push(name);
            let is_sign = r["category"].to_string().contains("vital-signs") || short.is_some();
            for holder in std::iter::once(r).chain(parts) {
                self.value(holder, is_sign);
                for range in list(holder, "referenceRange").iter().filter(|_| !is_sign) {
                    let end = |name: &str| range[name].get("value").map(number);
                    self.put(match (end("low"), end("high")) {
                        (Some(low), Some(high)) => format!("{low} a {high}"),
                        (Some(low), None) => format!("más de {low}"),
                        (None, Some(high)) => format!("menos de {high}"),
                        (None, None) => text(&range["text"]),
                    });
                }
            }
            if !is_sign {
                self.put(day(&text(&r["effectiveDateTime"])));
            }
        }
    }

    fn value(&mut self, holder: &Value, is_sign: bool) {
        let quantity = &holder["valueQuantity"];
        if let Some(value) = quantity.get("value") {
            let unit = Some(text(&quantity["unit"]))
                .filter(|unit| !unit.is_empty())
                .unwrap_or_else(|| text(&quantity["code"]));
            // Units that have a nicer form, or none, are left to the eye.
            let unit = if unit.contains(['*', '{', '[']) || is_sign { String::new() } else { unit };
            let comparator = match quantity["comparator"].as_str() {
                Some("<=") => "≤",
                Some(">=") => "≥",
                Some(sign) => sign,
                None => "",
            };
            *self.values.entry((format!("{comparator}{}", number(value)), unit)).or_default() += 1;
        }
        self.put(text(&holder["valueString"]));
        self.put(concept(&holder["valueCodeableConcept"]));
    }
}

// ------------------------------------------------------------------ the paper

/// Text without its blanks, those of no width among them: lines break anywhere.
fn solid(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '\u{200B}').collect()
}

fn pages_of(pdf: &[u8]) -> Option<Vec<String>> {
    let path = std::env::temp_dir().join(format!("historia-it-{}.pdf", unique()));
    std::fs::write(&path, pdf).unwrap();
    let run = Command::new("pdftotext").args(["-raw", &path.display().to_string(), "-"]).output();
    let _ = std::fs::remove_file(&path);
    let text = String::from_utf8(run.ok()?.stdout).expect("UTF-8");
    Some(text.split('\u{c}').filter(|page| !page.trim().is_empty()).map(str::to_owned).collect())
}

/// Everything that is missing on the paper of a record; none where poppler is not installed.
async fn missing(medico: &Fhir, id: &str) -> Option<Vec<String>> {
    let bundle = medico.get(&format!("/paciente/{id}")).await.expect(200).json();
    let started = Instant::now();
    let pdf = medico.get(&format!("/exportar_pdf/{id}")).await.expect(200).body;
    let pages = pages_of(&pdf)?;
    println!("{} resources, {} pages, {} ms", list(&bundle, "entry").len(), pages.len(), started.elapsed().as_millis());
    let mut names = HashMap::new();
    let of_mode =
        |mode: &'static str| list(&bundle, "entry").iter().filter(move |entry| entry["search"]["mode"] == mode);
    for resource in of_mode("include").map(|entry| &entry["resource"]) {
        let name = match &resource["name"] {
            Value::Array(all) => text(&all[0]["family"]),
            name => text(name),
        };
        names.insert(format!("{}/{}", text(&resource["resourceType"]), text(&resource["id"])), name);
    }
    let mut walker =
        Walker { names: &names, pieces: Vec::new(), examinations: BTreeMap::new(), values: BTreeMap::new() };
    for resource in of_mode("match").map(|entry| &entry["resource"]) {
        let in_error = resource["status"] == "entered-in-error"
            || concept(&resource["verificationStatus"]) == "entered-in-error"
            || code(&resource["verificationStatus"], "http://terminology.hl7.org/CodeSystem/condition-ver-status")
                .as_deref()
                == Some("entered-in-error");
        if !in_error {
            walker.resource(resource);
        }
    }
    let (all, tokens) = (pages.concat(), pages.concat());
    let all = solid(&all);
    let tokens: Vec<&str> = tokens.split_whitespace().collect();
    let mut missing: Vec<String> = walker.pieces.iter().filter(|piece| !all.contains(&solid(piece))).cloned().collect();
    let unnamed = walker.examinations.values().filter(|names| !names.iter().any(|name| all.contains(&solid(name))));
    missing.extend(unnamed.map(|names| names.join(" or ")));
    for ((value, unit), n) in &walker.values {
        let found = match unit.as_str() {
            // Longer ones may be broken.
            "" if value.len() < 8 => {
                tokens.iter().filter(|token| **token == value || token.ends_with(value.as_str())).count()
            }
            unit => all.matches(&solid(&format!("{value}{unit}"))).count(),
        };
        if found < *n {
            missing.push(format!("{value} {unit}: {found} of {n}"));
        }
    }
    missing.extend(margins(&bundle, &pages));
    missing.sort();
    missing.dedup();
    Some(missing)
}

/// What every page says: whose it is, which of how many it is, who took it out, and until when it is true.
fn margins(bundle: &Value, pages: &[String]) -> Vec<String> {
    let mut missing = Vec::new();
    let patient = &bundle["entry"][0]["resource"];
    let official = list(patient, "name").iter().find(|name| name["use"] == "official").unwrap_or(&patient["name"][0]);
    let family = text(&official["family"]);
    for (n, page) in pages.iter().enumerate() {
        let page = solid(page);
        let number = format!("Página {} de {}", n + 1, pages.len());
        for wanted in [family.as_str(), &number, "Exportó: ", ", médico", "Código ", "Documento reservado"] {
            if !page.contains(&solid(wanted)) {
                missing.push(format!("page {}: {wanted}", n + 1));
            }
        }
    }
    missing
}

async fn medico() -> Fhir {
    let (usuario, clave) = server().login("medico");
    login(&server().http(), &usuario, &clave).await
}

#[test]
fn the_paper_of_every_sample_holds_its_whole_chart() {
    const NAME: &str = "the_paper_of_every_sample_holds_its_whole_chart";
    run(async {
        let medico = medico().await;
        let samples = fhir("integracion").await.get(&format!("Patient?{MARK}&_count=100")).await.expect(200).ids();
        if samples.is_empty() {
            return skip(NAME, "the server under test has no sample");
        }
        assert_eq!(samples.len(), 17);
        for id in samples {
            let Some(missing) = missing(&medico, &id).await else { return skip(NAME, "there is no pdftotext") };
            assert!(missing.is_empty(), "{id}: {missing:#?}");
        }
    });
}

/// The one file of a folder whose name has this.
fn bundle_of(folder: &std::path::Path, name: &str) -> Value {
    let files = crate::harness::data::json_files(folder);
    let file = files.iter().find(|file| file.to_string_lossy().contains(name)).unwrap_or_else(|| panic!("no {name}"));
    crate::harness::data::json_of(file)
}

/// References that look somebody up in the directory keep their display only: the directory is not loaded here.
fn without_lookups(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("reference").and_then(Value::as_str).is_some_and(|target| target.contains('?')) {
                members.remove("reference");
                members.entry("display").or_insert_with(|| "Sin directorio".into());
            }
            members.values_mut().for_each(without_lookups);
        }
        Value::Array(items) => items.iter_mut().for_each(without_lookups),
        _ => {}
    }
}

#[test]
fn the_paper_of_a_life_in_synthea_holds_its_whole_chart() {
    const NAME: &str = "the_paper_of_a_life_in_synthea_holds_its_whole_chart";
    // Of each collection the patient with the most resources.
    for (archive, person, resources) in
        [("synthea-hiv-79", "Lawerence6_Baumbach677", 1379), ("synthea-smart-generated", "Vito_Feeney", 1244)]
    {
        let Some(folder) = unpacked(archive) else {
            return skip(NAME, &format!("no {archive} in HISTORIA_SHARED"));
        };
        let mut bundle = bundle_of(&folder, person);
        assert_eq!(list(&bundle, "entry").len(), resources);
        without_lookups(&mut bundle);
        let Some(missing) = run(async {
            let made = fhir("integracion").await.post("", &bundle).await.expect(200).json();
            let location = text(&made["entry"][0]["response"]["location"]);
            let id = location.strip_prefix("Patient/").and_then(|rest| rest.split('/').next()).expect("the patient");
            let medico = medico().await;
            let started = Instant::now();
            medico.get(&format!("/exportar_pdf/{id}")).await.expect(200);
            assert!(started.elapsed() < Duration::from_secs(20), "{:?} even without optimisation", started.elapsed());
            missing(&medico, id).await
        }) else {
            return skip(NAME, "there is no pdftotext");
        };
        assert!(missing.is_empty(), "{person}: {missing:#?}");
    }
}
