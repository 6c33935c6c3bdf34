//! The record of a composed patient: what a chart shows of it.

use super::results::{Flag, Row};
use super::*;
use crate::access::Role;
use crate::i18n::Language;
use jiff::tz::Offset;

/// Composed: nobody real. A searchset as `$everything` answers it.
pub const SAMPLE: &str = include_str!("sample.json");
const ALL: Sees = Sees { admission: true, clinical: true, results: true };

fn reader(language: Language) -> Reader {
    Reader { language, offset: Offset::from_seconds(-5 * 3600).unwrap(), now: "2026-11-23T19:05:00Z".parse().unwrap() }
}

fn record(language: Language) -> Record {
    Record::of(SAMPLE.as_bytes(), &reader(language), &Systems::default(), "http://h/fhir", ALL).unwrap()
}

fn lines(items: &[Item]) -> Vec<String> {
    items.iter().map(|i| [&i.what, &i.code, &i.when.text, &i.status, &i.detail].map(String::as_str).join("|")).collect()
}

#[test]
fn the_person_and_the_allergies() {
    let record = record(Language::Es);
    let who = &record.who;
    assert_eq!(who.full_name(), "Muñoz Peñaranda, Gloria Inés");
    assert_eq!((who.document(), who.age.as_str(), who.sex.as_str()), ("CC 51.999.208", "58 años", "Mujer"));
    assert_eq!((who.birth.text.as_str(), who.municipality.as_str()), ("14 mar 1968", "Bogotá, D. C. (11001)"));
    assert_eq!(
        (who.place.as_str(), who.insurance.join("")),
        ("Medicina interna, 412B", "EPS Ejemplo Uno · contributivo".to_owned())
    );
    let more: Vec<String> = who.more.iter().map(|fact| format!("{}: {}", fact.term, fact.text)).collect();
    assert_eq!(more, ["Otro número: Historia HC-004417", "Contacto: Lucía Ñáñez Muñoz · hija · 300 000 0418"]);
    assert_eq!(record.allergies.state, AllergyState::Known);
    assert_eq!(
        lines(&record.allergies.items),
        ["Penicilina||2009|activo|anafilaxia, grave, riesgo alto", "Dipirona||2017|activo|urticaria, leve"]
    );
    assert_eq!(record.in_error, 1);
    assert_eq!(record.counted, [("Facturas presentadas".to_owned(), 1)]);
}

#[test]
fn lines_hold_everything_that_is_recorded() {
    let record = record(Language::Es);
    assert_eq!(lines(&record.problems)[1], "Enfermedad renal crónica, estadio 3b|N183|ago 2024|activo|");
    assert_eq!(record.problems.iter().filter(|p| p.active).count(), 4);
    assert_eq!((record.problems[4].until.text.as_str(), record.problems[4].active), ("20 feb 2019", false));
    let medication = lines(&record.medication);
    assert!(
        medication.contains(&"Levofloxacina||20 nov 2026, 05:10|activo|750 mg cada 48 h, oral · día 4 de 7".to_owned()),
        "{medication:?}"
    );
    assert_eq!(record.medication.last().map(|m| m.status.as_str()), Some("suspendido"));
    let visits = lines(&record.visits);
    assert_eq!(
        visits[0],
        "Hospitalización|IMP|20 nov 2026, 12:32, en curso|en curso|Medicina interna · 412B · Julián Ñáñez Ospina"
    );
    assert_eq!(
        visits[1],
        "Urgencias|EMER|20 nov 2026, 03:12 a 12:32|terminado|Julián Ñáñez Ospina · Triage II: dificultad para respirar"
    );
    assert!(visits.iter().any(|v| v.contains("14 a 19 ene 2025")), "{visits:?}");
    assert_eq!(lines(&record.vaccines), ["Influenza, trivalente||10 abr 2026|completo|dosis 1 · lote LT-0042"]);
    assert_eq!(lines(&record.orders), ["Potasio de control||23 nov 2026, 13:05|activo|urgente · Julián Ñáñez Ospina"]);
    assert_eq!(lines(&record.reports).len(), 1);
    assert_eq!(
        lines(&record.documents),
        ["Consentimiento informado||20 nov 2026, 04:00|vigente|Consentimiento de ingreso, application/pdf"]
    );
    let others: Vec<String> =
        record.others.iter().map(|s| format!("{}: {}", s.title, lines(&s.items).join(","))).collect();
    assert_eq!(
        others,
        [
            "Planes de cuidado: Plan de diabetes||22 ago 2024|activo|Dieta baja en azúcares",
            "Antecedentes familiares: Madre|||completo|Diabetes mellitus tipo 2"
        ]
    );
}

fn row<'r>(record: &'r Record, name: &str) -> &'r Row {
    let results = record.results.iter().flat_map(|group| &group.rows);
    results.chain(&record.signs.rows).find(|row| row.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn results_stand_under_their_report_with_the_last_value() {
    let record = record(Language::Es);
    let groups: Vec<String> =
        record.results.iter().map(|g| format!("{} {} {}", g.title, g.when.text, g.rows.len())).collect();
    let expected = [
        "Química sanguínea 23 nov 2026, 12:48 5",
        "Cuadro hemático 23 nov 2026, 12:48 3",
        "Otros exámenes 23 nov 2026, 12:48 2",
        "Control de diabetes 12 ago 2026 1",
    ];
    assert_eq!(groups, expected);
    assert_eq!(
        record.results[0].rows.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(),
        ["Potasio", "Creatinina", "Sodio", "Glucosa", "Proteína C reactiva"]
    );
    let potassium = row(&record, "Potasio");
    let last = &potassium.last;
    assert_eq!(
        (last.value.as_str(), last.unit.as_str(), last.flag, last.flag_text.as_str()),
        ("6,3", "mmol/L", Flag::CriticalHigh, "crítico alto")
    );
    assert_eq!((last.reference.as_str(), last.status.as_str()), ("3,5 a 5,1", "preliminar"));
    assert_eq!(
        potassium.series.iter().map(|p| p.text.as_str()).collect::<Vec<_>>(),
        ["4,6", "4,9", "5,2", "5,6", "6,3"]
    );
    assert_eq!(potassium.earlier.first().map(|r| r.value.as_str()), Some("5,6"));
    assert_eq!((potassium.band.low, potassium.band.high), (Some(3.5), Some(5.1)));
    // Outside its reference without a word of the laboratory: high, never critical.
    assert_eq!(potassium.earlier[0].flag, Flag::High);
    assert_eq!(row(&record, "Proteína C reactiva").last.reference, "menos de 5");
    assert_eq!(row(&record, "Leucocitos").last.unit, "10³/µL");
    assert_eq!(row(&record, "Antígeno de Legionella").last.flag_text, "negativo");
    assert_eq!(
        row(&record, "Hemoglobina A1c").series.iter().map(|p| p.date.as_str()).collect::<Vec<_>>(),
        ["08/2025", "11/2025", "05/2026", "08/2026"]
    );
}

#[test]
fn vital_signs_are_a_table_of_the_last_times() {
    let record = record(Language::Es);
    let signs = &record.signs;
    assert_eq!(
        signs.rows.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(),
        ["Presión arterial", "Frec. cardiaca", "Frec. respiratoria", "Temperatura", "SpO₂", "Dolor", "Peso"]
    );
    assert_eq!(signs.times.iter().map(|t| t.text.as_str()).collect::<Vec<_>>().last(), Some(&"23 nov 2026, 13:40"));
    let cells: Vec<&str> =
        signs.times.iter().filter_map(|time| signs.at(&signs.rows[0], time)).map(|r| r.value.as_str()).collect();
    assert_eq!(cells, ["118/70", "124/76", "138/82", "142/86"]);
    assert_eq!(signs.rows[0].last.flag, Flag::High);
    // Said to be normal: not judged again.
    assert_eq!(row(&record, "SpO₂").last.flag, Flag::None);
    assert_eq!(row(&record, "Peso").last.value, "72,50");
    assert_eq!(signs.at(row(&record, "Peso"), &signs.times[3]).map(|r| r.value.as_str()), None);
}

#[test]
fn english_says_the_same() {
    let record = record(Language::En);
    assert_eq!((record.who.age.as_str(), record.who.birth.text.as_str()), ("58 years", "14 Mar 1968"));
    assert_eq!(row(&record, "Potasio").last.flag_text, "critical high");
    assert_eq!(row(&record, "Potasio").last.value, "6.3");
}

#[test]
fn allergies_have_states_that_never_look_alike() {
    let state = |allergies: &str, sees: Sees| {
        let bundle = format!(
            r#"{{"entry": [{{"resource": {{"resourceType": "Patient", "id": "p"}}, "search": {{"mode": "match"}}}}{allergies}]}}"#
        );
        Record::of(bundle.as_bytes(), &reader(Language::Es), &Systems::default(), "http://h/fhir", sees)
            .unwrap()
            .allergies
            .state
    };
    let allergy = |body: &str| {
        format!(
            r#", {{"resource": {{"resourceType": "AllergyIntolerance", "id": "a", {body}}}, "search": {{"mode": "match"}}}}"#
        )
    };
    assert_eq!(state("", ALL), AllergyState::NotAsked);
    assert_eq!(state(&allergy(r#""code": {"coding": [{"code": "716186003"}]}"#), ALL), AllergyState::NoneKnown);
    assert_eq!(state(&allergy(r#""code": {"text": "Látex"}"#), ALL), AllergyState::Known);
    assert_eq!(
        state(&allergy(r#""code": {"text": "Látex"}, "clinicalStatus": {"coding": [{"code": "resolved"}]}"#), ALL),
        AllergyState::NotAsked
    );
    let admission = Caller {
        role: Role::Admisionista,
        actor: "a".into(),
        documento_id: "-".into(),
        patient: None,
        language: Language::En,
        request_id: "r".into(),
    };
    assert_eq!(state("", Sees::of(&admission)), AllergyState::Hidden);
}

#[test]
fn a_record_that_goes_on_is_refused() {
    let bundle = r#"{"link": [{"relation": "self"}, {"relation": "next"}], "entry": []}"#;
    let error = Record::of(bundle.as_bytes(), &reader(Language::Es), &Systems::default(), "http://h/fhir", ALL)
        .expect_err("too large");
    assert_eq!(error.kind, Kind::TooCostly);
}

#[test]
fn a_related_person_has_a_name_and_a_telephone() {
    let mut bundle: Value = serde_json::from_str(SAMPLE).unwrap();
    bundle["entry"].as_array_mut().unwrap().push(
        serde_json::json!({"fullUrl": "http://h/fhir/RelatedPerson/r", "search": {"mode": "match"}, "resource": {
            "resourceType": "RelatedPerson", "id": "r", "patient": {"reference": "Patient/x"},
            "name": [{"family": "Ñáñez Muñoz", "given": ["Lucía"]}], "relationship": [{"text": "hija"}],
            "telecom": [{"system": "phone", "value": "300 000 0418"}]
        }}),
    );
    let reader = reader(Language::Es);
    let record = Record::of(bundle.to_string().as_bytes(), &reader, &Systems::default(), "http://h/fhir", ALL).unwrap();
    let whats: Vec<&str> = record.others.iter().flat_map(|group| &group.items).map(|item| item.what.as_str()).collect();
    assert!(whats.contains(&"Lucía Ñáñez Muñoz · hija · 300 000 0418"), "{whats:?}");
}
