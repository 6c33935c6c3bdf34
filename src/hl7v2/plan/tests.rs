use super::super::charset::Charset;
use super::*;

const ADMISSION: &[u8] = include_bytes!("../../../examples/hl7v2/01-ingreso-a01.hl7");
const UPDATE: &[u8] = include_bytes!("../../../examples/hl7v2/02-actualizacion-a08.hl7");
const DISCHARGE: &[u8] = include_bytes!("../../../examples/hl7v2/03-egreso-a03.hl7");
const REGISTRATION: &[u8] = include_bytes!("../../../examples/hl7v2/04-consulta-ti-a04.hl7");
const LATIN: &[u8] = include_bytes!("../../../examples/hl7v2/05-iso-8859-1-a04.hl7");
const BIRTH: &[u8] = include_bytes!("../../../examples/hl7v2/06-nacimiento-rc-a01.hl7");

fn empty() -> Current {
    Current {
        patient: None,
        encounter: None,
        patient_id: "rec0000001".to_owned(),
        encounter_id: "rec0000001.v1".to_owned(),
        received: "2025-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn text(raw: &[u8]) -> String {
    String::from_utf8(raw.to_vec()).unwrap()
}

fn read(raw: &str) -> Message {
    Message::parse(raw.as_bytes(), Charset::Utf8).unwrap_or_else(|e| panic!("{e:?}"))
}

/// Plans a message and keeps what it changes; what became of Patient and Encounter (`+` made, `~` changed, `=` same).
fn step(current: &mut Current, raw: &str) -> Result<(String, Vec<Kind>), Kind> {
    let plan = plan(&read(raw), current, &Settings::default()).map_err(|irregularity| irregularity.kind)?;
    let warnings = plan.warnings.iter().map(|warning| warning.kind).collect();
    let mut signs = String::new();
    for (change, place) in plan.changes().into_iter().zip([&mut current.patient, &mut current.encounter]) {
        match change {
            Change::None => signs.push('='),
            Change::Create { resource } => {
                assert!(place.is_none());
                *place = Some(Stored { resource, version: 1 });
                signs.push('+');
            }
            Change::Update { resource, version } => {
                assert_eq!(place.as_ref().map(|stored| stored.version), Some(version));
                *place = Some(Stored { resource, version: version + 1 });
                signs.push('~');
            }
        }
    }
    Ok((signs, warnings))
}

fn done(current: &mut Current, raw: &str, signs: &str, warnings: &[Kind]) {
    assert_eq!(step(current, raw), Ok((signs.to_owned(), warnings.to_vec())), "{raw}");
}

fn visit(current: &Current) -> &Value {
    &current.encounter.as_ref().unwrap().resource
}

fn person(current: &Current) -> &Value {
    &current.patient.as_ref().unwrap().resource
}

#[test]
fn one_visit_from_admission_to_discharge() {
    let mut current = empty();
    done(&mut current, &text(ADMISSION), "++", &[]);
    assert_eq!(
        person(&current),
        &json!({
            "resourceType": "Patient", "id": "rec0000001", "active": true,
            "meta": {"extension": [{"url": LAST_SOURCE_SYNC, "valueDateTime": "2024-03-01T08:12:00-05:00"}]},
            "identifier": [
                {"use": "official", "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PN"},
                    {"system": "https://fhir.minsalud.gov.co/rda/CodeSystem/ColombianPersonIdentifier", "code": "CC"}]},
                 "system": "https://fhir.minsalud.gov.co/rda/NamingSystem/RNEC", "value": "1020304050", "assigner": {"display": "RNEC"}},
                {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
                 "value": "H-4471", "assigner": {"display": "HOSPITAL"}}],
            "name": [{"use": "official", "family": "MUÑOZ PEÑA", "_family": {"extension": [
                {"url": "http://hl7.org/fhir/StructureDefinition/humanname-fathers-family", "valueString": "MUÑOZ"},
                {"url": "http://hl7.org/fhir/StructureDefinition/humanname-mothers-family", "valueString": "PEÑA"}]},
                "given": ["MARÍA", "JOSÉ"]}],
            "gender": "female", "birthDate": "1984-02-29",
            "telecom": [{"system": "phone", "value": "57 601 5550101", "use": "home"}, {"system": "phone", "value": "3005550101", "use": "mobile"},
                {"system": "phone", "value": "57 601 5550199", "use": "work"}],
            "address": [{"use": "home", "line": ["CALLE 10 # 5-20", "APTO 301"], "city": "BOGOTÁ", "state": "DC", "postalCode": "110111", "country": "COL"}],
            "maritalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M", "display": "Married"}]}
        })
    );
    assert_eq!(
        visit(&current),
        &json!({
            "resourceType": "Encounter", "id": "rec0000001.v1", "status": "in-progress",
            "meta": {"extension": [{"url": LAST_SOURCE_SYNC, "valueDateTime": "2024-03-01T08:12:00-05:00"}]},
            "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "VN"}]}, "value": "V-9001", "assigner": {"display": "HOSPITAL"}}],
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP", "display": "inpatient encounter"},
            "type": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0007", "code": "E"}]}],
            "subject": {"reference": "Patient/rec0000001"},
            "participant": [{"type": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "ATND", "display": "attender"}]}],
                "individual": {"type": "Practitioner", "identifier": {"value": "7001", "assigner": {"display": "RETHUS"}}, "display": "DRA. ANA ÁLVAREZ"}}],
            "period": {"start": "2024-03-01T08:10:00-05:00"},
            "location": [{"location": {"display": "URG / 101 / A"}, "status": "active"}]
        })
    );

    done(&mut current, &text(UPDATE), "~~", &[]);
    assert_eq!(visit(&current)["status"], "in-progress");
    assert_eq!(visit(&current)["location"], json!([{"location": {"display": "UCI / 3 / B"}, "status": "active"}]));
    assert_eq!(person(&current)["address"][0]["line"], json!(["CARRERA 7 # 12-34"]));
    assert_eq!(
        person(&current)["telecom"].as_array().unwrap().len(),
        2,
        "the work number was deleted by two quotation marks"
    );
    assert_eq!(person(&current)["identifier"].as_array().unwrap().len(), 2);

    done(&mut current, &text(DISCHARGE), "~~", &[]);
    assert_eq!(visit(&current)["status"], "finished");
    assert_eq!(
        visit(&current)["period"],
        json!({"start": "2024-03-01T08:10:00-05:00", "end": "2024-03-05T16:00:00-05:00"})
    );
    assert_eq!(visit(&current)["hospitalization"]["dischargeDisposition"]["coding"][0]["code"], "home");
    assert_eq!(visit(&current)["location"][0]["status"], "completed");
    assert_eq!(person(&current)["birthDate"], "1984-02-29", "what a message leaves out stays");

    // Everything once more, renumbered: nothing goes back.
    let discharged = visit(&current).clone();
    done(&mut current, &text(ADMISSION).replace("ING0001", "X"), "==", &[Kind::OlderEvent, Kind::OlderEvent]);
    done(&mut current, &text(UPDATE), "==", &[Kind::OlderEvent, Kind::OlderEvent]);
    done(&mut current, &text(DISCHARGE), "==", &[]);
    assert_eq!(visit(&current), &discharged);
}

#[test]
fn the_order_of_arrival_does_not_matter_for_the_visit() {
    let messages = [text(ADMISSION), text(UPDATE), text(DISCHARGE)];
    let run = |order: [usize; 3]| {
        let mut current = empty();
        for n in order {
            step(&mut current, &messages[n]).unwrap_or_else(|kind| panic!("{order:?}: {kind:?}"));
        }
        visit(&current).clone()
    };
    let expected = run([0, 1, 2]);
    for order in [[0, 2, 1], [1, 0, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
        assert_eq!(run(order), expected, "{order:?}");
    }
}

#[test]
fn states_of_a_visit() {
    let later = |raw: &[u8], day: &str| text(raw).replace("|20240301081200-0500\r", &format!("|{day}120000-0500\r"));
    let admission = text(ADMISSION);
    let discharge = text(DISCHARGE);
    let mut current = empty();
    done(&mut current, &discharge, "++", &[Kind::DischargeFirst]);
    assert_eq!(visit(&current)["status"], "finished");
    done(&mut current, &admission, "=~", &[Kind::OlderEvent, Kind::OlderEvent]);
    assert_eq!(visit(&current)["status"], "finished");
    // A new admission under a number that is closed, and the same one told again.
    let again = later(ADMISSION, "20240401");
    done(&mut current, &again, "~=", &[Kind::RepeatedAdmission]);
    assert_eq!(step(&mut current, &again.replace("20240301081000", "20240401110000")), Err(Kind::VisitClosed));
    // An update neither closes nor opens.
    let update = text(UPDATE).replace("20240302095900", "20240501000000");
    done(&mut current, &update, "~~", &[]);
    assert_eq!(visit(&current)["status"], "finished");
    let mut current = empty();
    done(&mut current, &text(UPDATE), "+=", &[Kind::UnknownVisit]);
    done(&mut current, &admission, "=+", &[Kind::OlderEvent]);
    let closing =
        text(UPDATE).replace("V-9001^^^HOSPITAL^VN", &format!("V-9001^^^HOSPITAL^VN{}20240305160000", "|".repeat(26)));
    done(&mut current, &closing, "=~", &[Kind::DischargeIgnored]);
    assert_eq!(visit(&current)["status"], "in-progress");
    assert_eq!(visit(&current)["period"].get("end"), None);
    // Cancelled by somebody else.
    current.encounter.as_mut().unwrap().resource["status"] = json!("cancelled");
    assert_eq!(step(&mut current, &discharge), Err(Kind::VisitClosed));
    assert_eq!(step(&mut current, &later(ADMISSION, "20240601")), Err(Kind::VisitClosed));
    // Planned becomes in progress; a number of another patient is refused.
    current.encounter.as_mut().unwrap().resource["status"] = json!("planned");
    done(&mut current, &later(ADMISSION, "20240601"), "~~", &[]);
    assert_eq!(visit(&current)["status"], "in-progress");
    current.encounter.as_mut().unwrap().resource["subject"] = json!({"reference": "Patient/other"});
    assert_eq!(step(&mut current, &later(ADMISSION, "20240701")), Err(Kind::VisitOfAnother));
    // A discharge before its admission is no discharge.
    let mut current = empty();
    done(&mut current, &admission, "++", &[]);
    assert_eq!(step(&mut current, &discharge.replace("|20240305160000", "|20240229000000")), Err(Kind::Period));
}

#[test]
fn a_clock_that_runs_ahead_stops_nothing() {
    let mut current = empty();
    done(&mut current, &text(ADMISSION).replace("|20240301081200-0500\r", "|20990101000000\r"), "++", &[]);
    assert_eq!(person(&current)["meta"]["extension"][0]["valueDateTime"], "2025-01-01T00:00:00Z");
    current.received = "2025-01-03T00:00:00Z".parse().unwrap();
    done(&mut current, &text(UPDATE).replace("20240302095900", "20250102000000"), "~~", &[]);
    done(&mut current, &text(DISCHARGE).replace("20240305160100", "20250102000000"), "=~", &[]);
    assert_eq!(visit(&current)["status"], "finished");
}

#[test]
fn what_is_not_accepted_and_where() {
    let check = |from: &str, to: &str, expected: Kind, at: &str| {
        let raw = text(ADMISSION);
        let changed = raw.replacen(from, to, 1);
        assert_ne!(raw, changed);
        let found = plan(&read(&changed), &empty(), &Settings::default()).unwrap_err();
        let place = found.at.map(|at| format!("{}-{}", at.segment, at.field));
        assert_eq!((found.kind, place.as_deref()), (expected, Some(at)), "{from:?} -> {to:?}");
    };
    check("ADT^A01^ADT_A01", "ORU^R01", Kind::MessageType, "MSH-9");
    check("ADT^A01^ADT_A01", "ADT^A02", Kind::Event, "MSH-9");
    check("ADT^A01^ADT_A01", "", Kind::HeaderField, "MSH-9");
    check("|ING0001|", "||", Kind::HeaderField, "MSH-10");
    check("|P|2.5.1", "||2.5.1", Kind::HeaderField, "MSH-11");
    check("|P|2.5.1", "|P|", Kind::HeaderField, "MSH-12");
    check("20240301081500-0500", "", Kind::HeaderField, "MSH-7");
    check("|P|2.5.1", "|P|3.0", Kind::Version, "MSH-12");
    check("|P|2.5.1", "|T|2.5.1", Kind::Processing, "MSH-11");
    check("|ING0001|", &format!("|{}|", "9".repeat(200)), Kind::HeaderLength, "MSH-10");
    check("\rPID|", "\rZZZ|", Kind::Segment, "PID-0");
    check("\rPV1|", "\rZZZ|", Kind::Segment, "PV1-0");
    check("V-9001^^^HOSPITAL^VN", "", Kind::Field, "PV1-19");
    check("PV1|1|I|", "PV1|1||", Kind::Field, "PV1-2");
    check("1020304050^^^RNEC^CC~", &"1^^^A~".repeat(60), Kind::TooLarge, "PID-3");
    check("1020304050^^^RNEC^CC~H-4471^^^HOSPITAL^MR", "77^^^HOSPITAL^AN", Kind::Identity, "PID-3");
    check("MUÑOZ PEÑA^MARÍA^JOSÉ^^^^L", "", Kind::Field, "PID-5");
    check("|19840229|", "|19840230|", Kind::Date, "PID-7");
    check("|20240301081000", "|202403010", Kind::Date, "PV1-44");
    check("EVN|A01|20240301081200-0500", "EVN|A01|ayer", Kind::Date, "EVN-2");
}

#[test]
fn identities() {
    let check = |raw: &str, documento: Option<&str>, keys: &[&str], visit: Option<&str>| {
        let found = identity(&read(raw), &Settings::default()).unwrap();
        assert_eq!(found.documento.as_ref().map(DocumentoId::as_str), documento);
        let shown = |key: &String| key.replace(JOINT, "/");
        assert_eq!(found.keys.iter().map(shown).collect::<Vec<_>>(), keys);
        assert_eq!(found.visit.as_ref().map(shown).as_deref(), visit);
    };
    check(
        &text(ADMISSION),
        Some("CC-1020304050"),
        &["documento/CC-1020304050", "identifier/HOSPITAL/HOSPITAL/H-4471"],
        Some("visit/HOSPITAL/HOSPITAL/V-9001"),
    );
    check(&text(REGISTRATION), Some("TI-1098765432"), &["documento/TI-1098765432"], Some("visit/CLINICA SUR//55120"));
    check(
        &text(ADMISSION).replace("1020304050^^^RNEC^CC~", "").replace("^^^HOSPITAL^VN", "^^^X&1.2&ISO"),
        None,
        &["identifier/HOSPITAL/HOSPITAL/H-4471"],
        Some("visit/urn:oid:1.2/V-9001"),
    );
    let alternate = text(ADMISSION)
        .replace("V-9001^^^HOSPITAL^VN", &format!("{}A-1", "|".repeat(31)))
        .split("|||||||||||||||||||||||||20240301081000")
        .next()
        .unwrap()
        .to_owned();
    check(
        &alternate,
        Some("CC-1020304050"),
        &["documento/CC-1020304050", "identifier/HOSPITAL/HOSPITAL/H-4471"],
        Some("visit/HOSPITAL//A-1"),
    );
}

#[test]
fn other_examples() {
    let plan_of = |raw: &[u8]| {
        let message = Message::parse(raw, Charset::Utf8).unwrap();
        plan(&message, &empty(), &Settings::default()).unwrap()
    };
    let created = |plan: Plan| match plan.changes() {
        [Change::Create { resource: patient }, Change::Create { resource: visit }] => (patient, visit),
        other => panic!("{other:?}"),
    };
    let (patient, visit) = created(plan_of(REGISTRATION));
    assert_eq!(patient["identifier"][0]["value"], "1098765432");
    assert_eq!(patient["name"][0]["_family"]["extension"][0]["valueString"], "DE LA CRUZ");
    assert_eq!(patient["telecom"], json!([{"system": "phone", "value": "3015550102", "use": "home"}]));
    assert_eq!((&visit["class"]["code"], &visit["status"]), (&json!("AMB"), &json!("in-progress")));
    assert_eq!(visit["period"], json!({"start": "2024-04-10T13:55:00-05:00"}));
    let (patient, _) = created(plan_of(LATIN));
    assert_eq!(patient["name"][0]["family"], "NUÑEZ IBÁÑEZ");
    assert_eq!(patient["identifier"][0]["value"], "E445566");
    let (patient, _) = created(plan_of(BIRTH));
    assert_eq!(patient["birthDate"], "2024-04-20");
    assert_eq!(patient["_birthDate"]["extension"][0]["valueDateTime"], "2024-04-20T04:30:00-05:00");
    assert_eq!(patient["extension"][0]["valueString"], "ROJAS");
}

#[test]
fn a_person_changes_document_and_another_person_is_held() {
    let mut current = empty();
    done(&mut current, &text(ADMISSION).replace("^CC~", "^TI~"), "++", &[]);
    let grown = text(UPDATE).replace("1020304050", "1020304051");
    done(&mut current, &grown, "~~", &[]);
    let uses: Vec<(&str, &str)> = person(&current)["identifier"]
        .as_array()
        .unwrap()
        .iter()
        .map(|identifier| (identifier["use"].as_str().unwrap_or("-"), identifier["value"].as_str().unwrap()))
        .collect();
    assert_eq!(uses, [("old", "1020304050"), ("-", "H-4471"), ("official", "1020304051")]);

    let next = |raw: &str| raw.replace("20240302095900", "20240303000000");
    let name = next(&text(UPDATE)).replace("MUÑOZ PEÑA^MARÍA^JOSÉ", "ROJAS^PEDRO");
    assert_eq!(step(&mut current.clone(), &name.replace("19840229|F", "19700101|M")), Err(Kind::OtherPerson));
    // One of the three that agrees is enough, and so is another spelling of the name.
    assert!(step(&mut current.clone(), &name.replace("19840229|F", "19700101|F")).is_ok());
    let spelled = next(&text(UPDATE))
        .replace("MUÑOZ PEÑA^MARÍA^JOSÉ", "Munoz Pena^Maria^Jose")
        .replace("19840229|F", "19700101|M");
    assert!(step(&mut current.clone(), &spelled).is_ok());
}

#[test]
fn two_quotation_marks_delete_and_nothing_keeps() {
    let mut current = empty();
    done(&mut current, &text(ADMISSION), "++", &[]);
    let before = person(&current).clone();
    let newer = text(DISCHARGE).replace("A03", "A08").replace("20240305160100", "20240302000000");
    let pid = newer.split('\r').find(|line| line.starts_with("PID")).unwrap().to_owned();
    let null = "\"\"";
    let deleting = format!("{pid}||{null}|{null}|||{null}||{null}|||{null}");
    done(&mut current, &newer.replace(&pid, &deleting), "~~", &[Kind::DischargeIgnored]);
    for gone in ["birthDate", "gender", "address", "maritalStatus"] {
        assert_eq!(person(&current).get(gone), None, "{gone}");
    }
    assert_eq!(person(&current)["name"], before["name"]);
    assert_eq!(person(&current)["telecom"], json!([before["telecom"][2]]));
}

#[test]
fn mutated_messages_never_panic() {
    let examples = [ADMISSION, UPDATE, DISCHARGE, REGISTRATION, BIRTH];
    let mut state = 11_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit.max(1)
    };
    let mut current = empty();
    let mut planned = 0;
    for round in 0..10_000 {
        let mut raw = examples[round % examples.len()].to_vec();
        for _ in 0..=below(3) {
            let at = 90 + below(raw.len() - 90);
            match below(3) {
                0 => raw[at] = *b"|^~\\&\"09AZ".get(below(10)).unwrap(),
                1 => drop(raw.remove(at)),
                _ => raw.insert(at, *b"|^~\\&\"09AZ".get(below(10)).unwrap()),
            }
        }
        if let Ok(text) = String::from_utf8(raw)
            && Message::parse(text.as_bytes(), Charset::Utf8).is_ok()
        {
            planned += usize::from(step(&mut current, &text).is_ok());
        }
        if round % 50 == 0 {
            current = empty();
        }
    }
    assert!(planned > 1_000, "{planned}");
}
