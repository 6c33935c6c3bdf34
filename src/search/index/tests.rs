use super::*;
use crate::fhir::definitions::r4;
use crate::search::parse::{Limits, parse};
use crate::search::query::{Clause, Interval, Place, Prefix, Query};
use serde_json::json;

const BASE: &str = "https://h.example/fhir";

fn with<T>(f: impl FnOnce(&Context<'_>) -> T) -> T {
    let hasher = Hasher::new([1; 16]);
    f(&Context { hasher: &hasher, definitions: r4(), base: BASE, local: -5 * 3600 })
}

fn type_of(resource: &Value) -> ResourceType {
    ResourceType::parse(resource["resourceType"].as_str().unwrap()).unwrap()
}

fn of(resource: &Value) -> Columns {
    with(|context| columns(context, type_of(resource), resource).unwrap())
}

fn ask(resource: &Value, raw: &str) -> Query {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    with(|context| parse(context, type_of(resource), raw, &Limits::default(), now))
        .unwrap_or_else(|e| panic!("{raw}: {e}"))
}

/// R4's comparison of intervals, said with points instead of the operators of the SQL.
fn holds(one: &Interval, lo: f64, hi: f64) -> bool {
    let (from, to) = (one.lo, one.hi);
    let contained = from <= lo && hi <= to;
    match one.prefix {
        Prefix::Eq => contained,
        Prefix::Ne => !contained,
        Prefix::Lt => lo < from,
        Prefix::Gt => hi > to,
        Prefix::Le => lo < from || contained,
        Prefix::Ge => hi > to || contained,
        Prefix::Sa => lo > to,
        Prefix::Eb => hi < from,
        Prefix::Ap => lo <= to && from <= hi,
    }
}

/// The clauses as the SQL means them, on columns in memory.
fn matches(query: &Query, columns: &Columns, id: &str) -> bool {
    query.clauses.iter().all(|clause| fulfils(clause, columns, id))
}

fn fulfils(clause: &Clause, columns: &Columns, id: &str) -> bool {
    let has = |keys: &[i64]| keys.iter().any(|key| columns.keys.contains(key));
    let stands = |place: Place, value: &str, text: &str| match place {
        Place::Start => value.starts_with(text),
        Place::Word => format!(" {value}").contains(&format!(" {text}")),
        Place::Anywhere => value.contains(text),
        Place::Whole => value == text,
        Place::Differs => value != text,
        Place::End => value.ends_with(text),
    };
    match clause {
        Clause::Any(keys) => has(keys),
        Clause::Not(keys) => !has(keys),
        Clause::Ids(ids) => ids.iter().any(|one| one == id),
        Clause::Text { keys, place, any } => {
            let texts = columns.strings.iter().filter(|(key, _)| keys.contains(key));
            texts.into_iter().any(|(_, value)| any.iter().any(|text| stands(*place, value, text)))
        }
        Clause::Date(any) => match (columns.date_lo, columns.date_hi) {
            (Some(lo), Some(hi)) => {
                let (lo, hi) = date::seconds(lo, hi);
                any.iter().any(|one| holds(&date::interval(one), lo, hi))
            }
            _ => false,
        },
        Clause::Range(any) => any.iter().any(|term| {
            let rows = columns.ranges.iter().filter(|row| row.key == term.key);
            rows.filter(|row| term.marks.iter().all(|mark| row.marks.contains(mark)))
                .any(|row| holds(&term.interval, row.lo, row.hi))
        }),
        Clause::Number(any) => any.iter().any(|amount| {
            let ends =
                if amount.canonical { (columns.num_lo, columns.num_hi) } else { (columns.raw_lo, columns.raw_hi) };
            let (Some(lo), Some(hi)) = ends else { return false };
            amount.keys.iter().all(|key| columns.keys.contains(key)) && holds(&amount.interval, lo, hi)
        }),
        Clause::Updated(_) => true,
        Clause::Missing { code, missing } => columns.shape.contains(code) != *missing,
        Clause::All(all) => all.iter().all(|one| fulfils(one, columns, id)),
        Clause::Either(any) => any.iter().any(|one| fulfils(one, columns, id)),
        Clause::Near(any) => any.iter().any(|circle| {
            let rows = columns.ranges.iter().filter(|row| row.key == circle.key);
            rows.into_iter().any(|row| distance((circle.latitude, circle.longitude), (row.lo, row.hi)) <= circle.metres)
        }),
        Clause::Without(inner) => !fulfils(inner, columns, id),
        Clause::Listed(_) | Clause::Concepts { .. } => panic!("only the store knows"),
        Clause::Never | Clause::Linked(_) | Clause::Joined(_) => false,
    }
}

/// By the law of cosines, where the SQL goes by haversines.
fn distance(one: (f64, f64), other: (f64, f64)) -> f64 {
    let (a, b) = (one.0.to_radians(), other.0.to_radians());
    let cosine = a.sin() * b.sin() + a.cos() * b.cos() * (one.1 - other.1).to_radians().cos();
    near::RADIUS * cosine.clamp(-1.0, 1.0).acos()
}

fn found(resource: &Value, expected: bool, queries: &[&str]) {
    let columns = of(resource);
    for raw in queries {
        let query = ask(resource, raw);
        assert_eq!(
            matches(&query, &columns, resource["id"].as_str().unwrap_or_default()),
            expected,
            "{raw} of {columns:?}"
        );
        if let (true, Some(patients)) = (expected, &query.patient) {
            assert!(patients.iter().any(|patient| columns.patient.contains(patient)), "{raw}: not in the compartment");
        }
    }
}

fn patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "p1",
        "meta": {"profile": ["http://x/profile|2"], "tag": [{"system": "http://t", "code": "demo"}], "security": [{"code": "R"}]},
        "identifier": [{"system": "http://id", "value": "CC-1"}, {"value": "bare"}, {"system": "http://only"}],
        "active": true,
        "name": [{"family": "García Márquez", "given": ["José", "de Jesús"]}, {"text": "Ñoño"}],
        "telecom": [{"system": "phone", "value": "555"}, {"system": "email", "value": "a@b.c"}],
        "gender": "female", "birthDate": "1980-02-29", "deceasedDateTime": "2020-01-02T03:04:05-05:00",
        "address": [{"line": ["Calle 1 # 2-3"], "city": "Bogotá", "use": "home"}],
        "generalPractitioner": [{"reference": "Practitioner/d1/_history/4"}, {"reference": "http://o/Practitioner/9"}, {"reference": "#c"}],
        "managingOrganization": {"reference": "https://h.example/fhir/Organization/o1"},
        "link": [{"other": {"reference": "Patient/p2"}, "type": "seealso"}]
    })
}

#[test]
fn a_patient_is_found_by_what_it_has() {
    found(
        &patient(),
        true,
        &[
            "_id=p1",
            "identifier=http://id|CC-1",
            "identifier=CC-1",
            "identifier=http://id|",
            "identifier=|bare",
            "identifier=bare",
            "identifier=http://only|",
            "identifier:code-text=cc1",
            "identifier:code-text=C-C",
            "identifier:code-text=zz,BA",
            "active=true",
            "gender=female",
            "gender=http://hl7.org/fhir/administrative-gender|female",
            "gender:not=male",
            "name=garcia",
            "name=GARCÍA mar",
            "name=marquez",
            "name=jose",
            "name=jesus",
            "name=nono",
            "name=%C3%B1o",
            "family=m%C3%A1rquez",
            "given=de j",
            "name:exact=Ñoño",
            "family:exact=García Márquez",
            "telecom=555",
            "phone=555",
            "email=a@b.c",
            "deceased=true",
            "birthdate=1980",
            "birthdate=1980-02-29",
            "birthdate=le1980-02-29",
            "birthdate=ne1981",
            "birthdate=gt1979",
            "birthdate=sa1980-02-28",
            "death-date=2020-01-02T08:04:05Z",
            "death-date=2020-01-02",
            "death-date=lt2020-01-03",
            "death-date=eb2020-01-03",
            "address=bogota",
            "address=3",
            "address-city=BOG",
            "address-use=home",
            "general-practitioner=Practitioner/d1",
            "general-practitioner=d1",
            "general-practitioner=Practitioner/d1/_history/4",
            "general-practitioner:Practitioner=d1",
            "general-practitioner=http://o/Practitioner/9",
            "organization=Organization/o1",
            "organization=o1",
            "organization=https://h.example/fhir/Organization/o1",
            "link=Patient/p2",
            "_tag=http://t|demo",
            "_tag=demo",
            "_security=|R",
            "_profile=http://x/profile",
            "_profile=http://x/profile|2",
            "gender=male,female",
        ],
    );
}

#[test]
fn a_patient_is_not_found_by_what_it_has_not() {
    found(
        &patient(),
        false,
        &[
            "_id=p2",
            "identifier=http://idx|CC-1",
            "identifier=cc-1",
            "identifier=|CC-1",
            "identifier=http://id|bare",
            "identifier=CC",
            "identifier:code-text=c1",
            "active=false",
            "gender=Female",
            "gender:not=female",
            "gender:not=male,female",
            "name=arcia",
            "name=garciam",
            "name:exact=ñoño",
            "family=jose",
            "given=garcia",
            "phone=a@b.c",
            "deceased=false",
            "birthdate=1980-02-28",
            "birthdate=lt1980-02-29",
            "birthdate=ne1980",
            "birthdate=gt1980",
            "birthdate=sa1980-02",
            "death-date=2020-01-02T08:04:06Z",
            "death-date=sa2020-01-02",
            "address-city=bogotas",
            "general-practitioner=Practitioner/d1/_history/3",
            "general-practitioner=Practitioner/9",
            "general-practitioner=c",
            "general-practitioner=PractitionerRole/d1",
            "organization=http://o/Organization/o1",
            "_tag=http://u|demo",
            "_security=http://x|R",
            "_profile=http://x/profile|1",
            "gender=female&gender=male",
        ],
    );
}

#[test]
fn dates_compare_as_intervals() {
    let encounter = |period: Value| json!({"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}, "period": period});
    let closed = encounter(json!({"start": "2020-03-10", "end": "2020-03-20"}));
    found(
        &closed,
        true,
        &[
            "date=2020-03",
            "date=ge2020-03-15",
            "date=le2020-03-15",
            "date=gt2020-03-15",
            "date=lt2020-03-15",
            "date=ap2020-03-15",
            "date=ne2020-03-15",
            "date=sa2020-03-09",
            "date=eb2020-03-21",
        ],
    );
    found(
        &closed,
        false,
        &[
            "date=2020-03-15",
            "date=sa2020-03-10",
            "date=eb2020-03-20",
            "date=gt2020-03-20",
            "date=lt2020-03-10",
            "date=ge2020-03-21",
        ],
    );
    let begun = encounter(json!({"start": "2020-03-10"}));
    found(&begun, true, &["date=gt2025", "date=ge2025", "date=sa2020-03-09", "date=ne2020", "date=ap2021"]);
    found(&begun, false, &["date=2020", "date=eb2025", "date=lt2020-03-10"]);
    let ended = encounter(json!({"end": "2020-03-10"}));
    found(&ended, true, &["date=lt1990", "date=le1990", "date=eb2020-03-11"]);
    found(&ended, false, &["date=2020", "date=sa1990", "date=gt2020-03-10"]);
    assert_eq!(of(&ended).sort_date, "2020-03-11T04:59:59.999999Z".parse().ok());
    assert_eq!(of(&ended).date_lo, Some(date::BEGINNING));
    assert_eq!(of(&begun).date_hi, Some(date::END));
    assert_eq!(of(&encounter(json!({}))).sort_date, None);
}

#[test]
fn several_main_dates_are_each_found() {
    let substance = json!({"resourceType": "Substance", "code": {"text": "x"}, "instance": [{"expiry": "2020-01-01"}, {"expiry": "2022-01-01"}]});
    found(&substance, true, &["expiry=2020", "expiry=2022-01-01", "expiry=ne2020"]);
    found(&substance, false, &["expiry=2021"]);
    assert_eq!(of(&substance).sort_date, "2020-01-01T05:00:00Z".parse().ok());
}

#[test]
fn compartment_and_shape() {
    let observation = json!({
        "resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "1"}]},
        "subject": {"reference": "Patient/a"}, "performer": [{"reference": "Patient/b"}, {"reference": "Practitioner/c"}],
        "focus": [{"reference": "Patient/d"}], "effectiveDateTime": "2020-05-05", "valueQuantity": {"value": 1}
    });
    let columns = of(&observation);
    assert_eq!(columns.patient, ["a", "b"]);
    assert_eq!(of(&patient()).patient, ["p1"]);
    for code in ["code", "subject", "patient", "performer", "date", "status", "focus", "value-quantity"] {
        assert!(columns.shape.contains(&code), "{code}");
    }
    assert!(!columns.shape.contains(&"encounter") && columns.shape.is_sorted());
    let (hasher, t) = (Hasher::new([1; 16]), type_of(&observation));
    assert!(columns.keys.contains(&shape_key(&hasher, t, &columns.shape)));
    assert!(columns.keys.contains(&year_key(&hasher, t, 2020)));
    assert!(columns.keys.is_sorted());
    assert_eq!((columns.num_lo, columns.raw_lo), (None, Some(1.0)));
}

#[test]
fn too_many_values_are_refused_not_left_out() {
    let concepts: Vec<Value> = (0..MOST).map(|n| json!({"code": n.to_string()})).collect();
    let resource =
        json!({"resourceType": "CodeSystem", "status": "active", "content": "complete", "concept": concepts});
    let error = with(|context| columns(context, type_of(&resource), &resource)).unwrap_err();
    assert_eq!(error.kind, Kind::TooCostly);
}
