//! The pages of the physician: the desk, the chart, vital signs, observations, problems, corrections and their versions.

use crate::harness::browser::{Browser, hidden};
use crate::harness::data::{encounter, patient_with, result};
use crate::harness::fhir::account;
use crate::harness::{Fhir, Reply, fhir, run, server, unique};
use serde_json::{Value, json};

#[track_caller]
fn shows(reply: &Reply, text: &str) {
    assert!(reply.text().contains(text), "{}: no {text:?} in {}", reply.asked, reply.text());
}

/// A patient of this test with names that only it has.
async fn person(medico: &Fhir) -> (String, String, String) {
    let number = unique();
    let family: String = number.bytes().map(|digit| char::from(b'a' + digit % 26)).collect();
    let mut patient = patient_with(&number);
    patient["name"][0]["family"] = format!("Ñungo Éx{family}").into();
    let id = medico.create(patient).await["id"].as_str().unwrap().to_owned();
    (id, number, format!("ex{family}"))
}

/// What a page says of a type of this patient.
async fn all(medico: &Fhir, kind: &str, id: &str) -> Vec<Value> {
    medico.get(&format!("/fhir/{kind}?patient={id}&_count=50")).await.expect(200).resources()
}

#[test]
fn a_patient_is_found_by_what_people_type() {
    run(async {
        let medico = fhir("medico").await;
        let (id, number, surname) = person(&medico).await;
        let mut browser = Browser::of("medico").await;
        let pointed = format!("{}.{}", &number[..number.len() - 3], &number[number.len() - 3..]);
        for typed in [
            surname.to_uppercase(),
            format!("nungo%20{surname}"),
            number.clone(),
            pointed,
            format!("{surname}%2029/02/1984"),
        ] {
            shows(&browser.get(&format!("/medico?q={typed}")).await.expect(200), &format!("href=\"/paciente/{id}\""));
        }
        let none = browser.get(&format!("/medico?q={surname}%2001/01/1984")).await.expect(200);
        assert!(!none.text().contains(&id));
        shows(&none, "Nadie coincide");
        medico.create(encounter(&format!("Patient/{id}"))).await;
        // The address that is found carries the id, whatever leads there.
        shows(&browser.get(&format!("/paciente/CC-{number}")).await.expect(200), &format!("/paciente/{id}/signos"));
        browser.get("/paciente/CC-1").await.expect(404);
    });
}

#[test]
fn vital_signs_are_judged_and_kept_once() {
    run(async {
        let medico = fhir("medico").await;
        let (id, ..) = person(&medico).await;
        let visit = medico.create(encounter(&format!("Patient/{id}"))).await;
        let mut browser = Browser::of("medico").await;
        let address = format!("/paciente/{id}/signos");
        let form = browser.get(&address).await.expect(200);
        let when = [("fecha", "01/06/2024"), ("hora", "14:05")];
        let typed = |more: &[(&'static str, &'static str)]| [&when[..], more].concat();
        let wrong = browser
            .fill(&form, &address, &typed(&[("sistolica", "142"), ("diastolica", "86"), ("temperatura", "368")]))
            .await
            .expect(422);
        shows(&wrong, "368 °C no es posible. ¿Quiso decir 36,8? Se acepta de 25 a 45.");
        shows(&wrong, "value=\"142\"");
        shows(
            &browser.fill(&form, &address, &typed(&[("sistolica", "142")])).await.expect(422),
            "La presión lleva los dos valores.",
        );
        shows(
            &browser
                .fill(&form, &address, &[("fecha", "01/06/2999"), ("hora", "14:05"), ("peso", "70")])
                .await
                .expect(422),
            "Es una fecha futura",
        );
        shows(&browser.fill(&form, &address, &typed(&[])).await.expect(422), "Escriba al menos un signo");
        assert!(all(&medico, "Observation", &id).await.is_empty());
        // Unlikely: shown once, then saved. Sent twice: done once.
        let values =
            typed(&[("sistolica", "142"), ("diastolica", "86"), ("temperatura", "36,80"), ("respiratoria", "32")]);
        let soft = browser.fill(&form, &address, &values).await.expect(422);
        shows(&soft, "32 es alto para su edad");
        let done = browser.fill(&soft, &address, &values).await.expect(303);
        assert_eq!(done.header("location"), format!("/paciente/{id}"));
        browser.fill(&soft, &address, &values).await.expect(303);
        let kept = all(&medico, "Observation", &id).await;
        assert_eq!(kept.len(), 3);
        let of = |code: &str| {
            kept.iter().find(|o| o["code"]["coding"][0]["code"] == code).unwrap_or_else(|| panic!("no {code}"))
        };
        assert_eq!(of("8310-5")["valueQuantity"]["value"].to_string(), "36.80");
        assert_eq!(
            (
                &of("85354-9")["component"][0]["interpretation"][0]["coding"][0]["code"],
                &of("85354-9")["component"][1]["valueQuantity"]["code"]
            ),
            (&json!("H"), &json!("mm[Hg]"))
        );
        assert_eq!(of("9279-1")["encounter"]["reference"], format!("Encounter/{}", visit["id"].as_str().unwrap()));
        assert_eq!(of("9279-1")["effectiveDateTime"], "2024-06-01T14:05:00-05:00");
        let chart = browser.follow(&done).await.expect(200);
        for text in ["142/86", "36,80", "alto", "Guardado"] {
            shows(&chart, text);
        }
    });
}

#[test]
fn observations_and_problems_are_kept_and_corrected() {
    run(async {
        let medico = fhir("medico").await;
        let (id, ..) = person(&medico).await;
        let mut browser = Browser::of("medico").await;
        let address = format!("/paciente/{id}/observacion");
        for typed in ["potasio", "potassium", "2823-3"] {
            shows(&browser.get(&format!("{address}?q={typed}")).await.expect(200), "codigo&#x3D;2823-3");
        }
        let form = browser.get(&format!("{address}?codigo=2823-3")).await.expect(200);
        let values =
            [("valor", "6,30"), ("minimo", "3,5"), ("maximo", "5,1"), ("fecha", "01/06/2024"), ("hora", "08:00")];
        let done = browser.fill(&form, &address, &values).await.expect(303);
        shows(&browser.follow(&done).await.expect(200), "6,30");
        let potassium = all(&medico, "Observation", &id).await.remove(0);
        let entry = format!("/paciente/{id}/registro/Observation/{}", potassium["id"].as_str().unwrap());
        let correct = format!("{entry}/corregir");
        let form = browser.get(&correct).await.expect(200);
        shows(&form, "value=\"6,30\"");
        shows(&browser.fill(&form, &correct, &[("valor", "5,30")]).await.expect(422), "Falta este dato");
        browser.fill(&form, &correct, &[("valor", "5,30"), ("motivo", "Digitación")]).await.expect(303);
        let versions = browser.get(&entry).await.expect(200);
        for text in ["5,30", "6,30", "Digitación", "Versión 1", "Versión 2"] {
            shows(&versions, text);
        }
        let now =
            medico.get(&format!("/fhir/Observation/{}", potassium["id"].as_str().unwrap())).await.expect(200).json();
        assert_eq!(
            (&now["status"], now["valueQuantity"]["value"].to_string()),
            (&json!("corrected"), "5.30".to_owned())
        );
        // A form of the version before: both are shown, and the choice is saved on top of the new one.
        let mut other = Browser::of("medico").await;
        let stale = other.get(&correct).await.expect(200);
        let mut old = hidden(&stale.text(), &correct);
        old.iter_mut().filter(|(name, _)| name == "version").for_each(|(_, value)| *value = "1".to_owned());
        let mut fields: Vec<(&str, &str)> = old.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.extend([("valor", "4,9"), ("motivo", "Otra lectura")]);
        let both = other.post(&correct, &fields).await.expect(409);
        shows(&both, "5,30");
        shows(&both, "4,9");
        other.fill(&both, &correct, &[("valor", "4,9")]).await.expect(303);
        // An entry of somebody else is not found under this patient.
        let (stranger, ..) = person(&medico).await;
        browser
            .get(&format!("/paciente/{stranger}/registro/Observation/{}", potassium["id"].as_str().unwrap()))
            .await
            .expect(404);
        browser.get(&format!("/paciente/{id}/registro/Patient/{id}")).await.expect(404);

        let address = format!("/paciente/{id}/problema");
        let form = browser.get(&address).await.expect(200);
        shows(
            &browser.fill(&form, &address, &[("texto", "Neumonía"), ("codigo", "189")]).await.expect(422),
            "No es un código CIE-10",
        );
        browser
            .fill(
                &form,
                &address,
                &[
                    ("texto", "Neumonía"),
                    ("codigo", "j18.9"),
                    ("desde", "11/2023"),
                    ("estado", "active"),
                    ("certeza", "confirmed"),
                ],
            )
            .await
            .expect(303);
        let condition = all(&medico, "Condition", &id).await.remove(0);
        assert_eq!(
            (&condition["code"]["coding"][0]["code"], &condition["onsetDateTime"]),
            (&json!("J189"), &json!("2023-11"))
        );
        let correct = format!("/paciente/{id}/registro/Condition/{}/corregir", condition["id"].as_str().unwrap());
        let form = browser.get(&correct).await.expect(200);
        browser
            .fill(
                &form,
                &correct,
                &[
                    ("texto", "Neumonía leve"),
                    ("codigo", "J189"),
                    ("desde", "2023"),
                    ("estado", "resolved"),
                    ("certeza", "confirmed"),
                    ("motivo", "Egresó"),
                ],
            )
            .await
            .expect(303);
        // What is resolved is one link away.
        shows(&browser.get(&format!("/paciente/{id}")).await.expect(200), "Todos (1)");
        let chart = browser.get(&format!("/paciente/{id}?todo=1")).await.expect(200);
        shows(&chart, "Neumonía leve");
        shows(&chart, "resuelto");
    });
}

#[test]
fn roles_see_what_they_may() {
    run(async {
        let medico = fhir("medico").await;
        let (id, ..) = person(&medico).await;
        let subject = format!("Patient/{id}");
        medico.create(encounter(&subject)).await;
        medico.create(result(&subject, "final")).await;
        medico
            .create(json!({"resourceType": "Condition", "subject": {"reference": subject}, "code": {"text": "Asma"}}))
            .await;
        let (chart, signs) = (format!("/paciente/{id}"), format!("/paciente/{id}/signos"));
        let needed = Browser::new().get(&chart).await.expect(401);
        shows(&needed, "Entre para ver esta página");
        for (role, sees, clinical, results, writes) in [
            ("medico", 200, true, true, true),
            ("resultados", 200, true, true, false),
            ("admisionista", 200, false, false, false),
            ("admin", 403, false, false, false),
        ] {
            let mut browser = Browser::of(role).await;
            let page = browser.get(&chart).await.expect(sees);
            assert_eq!(page.text().contains("Asma"), clinical, "{role}");
            assert_eq!(page.text().contains("id=\"resultados\""), results, "{role}");
            assert_eq!(page.text().contains(&signs), writes, "{role}");
            browser.get(&signs).await.expect(if writes { 200 } else { 403 });
            browser.get("/medico").await.expect(if role == "medico" { 200 } else { 403 });
        }
        // A patient sees the own record and no other.
        let (other, ..) = person(&medico).await;
        let (usuario, clave) = account(server(), "paciente", &format!("CC-{}", unique()), Some(&id));
        let mut own = Browser::new();
        own.sign_in(&usuario, &clave).await.expect(303);
        own.get(&chart).await.expect(200);
        own.get(&format!("/paciente/{other}")).await.expect(404);
        own.get(&signs).await.expect(403);
        let bundle = fhir("medico").await.get(&chart).await.expect(200).json();
        assert_eq!((&bundle["resourceType"], &bundle["type"]), (&json!("Bundle"), &json!("searchset")));
    });
}

#[test]
fn what_people_wrote_is_text_on_every_page() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        for payload in [
            "<script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "{{page.csrf}}",
            "'-alert(1)-'",
            "<svg/onload=alert(1)>",
        ] {
            let mut patient = patient_with(&unique());
            patient["name"][0] =
                json!({"use": "official", "family": format!("{payload} x{number}"), "given": [payload]});
            patient["address"] = json!([{"city": payload, "line": [payload]}]);
            let id = medico.create(patient).await["id"].as_str().unwrap().to_owned();
            let subject = format!("Patient/{id}");
            let mut visit = encounter(&subject);
            visit["serviceType"] = json!({"text": payload});
            medico.create(visit).await;
            let condition = medico.create(json!({"resourceType": "Condition", "subject": {"reference": subject}, "code": {"text": payload}, "note": [{"text": payload}]})).await;
            medico.create(json!({"resourceType": "AllergyIntolerance", "patient": {"reference": subject}, "code": {"text": payload}, "reaction": [{"manifestation": [{"text": payload}]}]})).await;
            let mut lab = result(&subject, "final");
            lab["code"] = json!({"text": payload});
            lab["valueQuantity"]["unit"] = payload.into();
            lab["referenceRange"] = json!([{"text": payload}]);
            let lab = medico.create(lab).await;
            let mut browser = Browser::of("medico").await;
            let at =
                |kind: &str, entry: &Value| format!("/paciente/{id}/registro/{kind}/{}", entry["id"].as_str().unwrap());
            let (lab, condition) = (at("Observation", &lab), at("Condition", &condition));
            for page in [
                format!("/medico?q=x{number}"),
                format!("/paciente/{id}"),
                format!("/paciente/{id}?todo=1"),
                lab.clone(),
                format!("{lab}/corregir"),
                condition.clone(),
                format!("{condition}/corregir"),
                format!("/paciente/{id}/signos"),
                format!("/paciente/{id}/observacion?q={}", crate::harness::browser::encoded(payload)),
            ] {
                let text = browser.get(&page).await.expect(200).text();
                for live in ["<script>alert", "<img src=x", "<svg/onload", "\"><img"] {
                    assert!(!text.contains(live), "{live} in {page}: {text}");
                }
                if payload.starts_with('{') {
                    assert!(!page.contains("registro") || text.contains("{{page.csrf}}"), "{page}: {text}");
                }
            }
        }
    });
}

#[test]
fn numbers_mean_the_same_in_both_languages_and_what_cannot_be_is_refused() {
    run(async {
        let (medico, id, mut browser) = at_the_chart().await;
        let subject = format!("Patient/{id}");
        let mut troponin = result(&subject, "final");
        troponin["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "89579-7"}], "text": "Troponina"});
        troponin["valueQuantity"] =
            json!({"value": 12500, "unit": "ng/L", "system": "http://unitsofmeasure.org", "code": "ng/L"});
        troponin["referenceRange"] = json!([{"high": {"value": 34, "unit": "ng/L"}}]);
        let troponin = medico.create(troponin).await;
        let at = format!("/paciente/{id}/registro/Observation/{}/corregir", troponin["id"].as_str().unwrap());
        let path = format!("Observation/{}", troponin["id"].as_str().unwrap());
        for (language, typed) in [("en", "12,500"), ("es", "12.500")] {
            browser.cookies.insert("idioma".to_owned(), language.to_owned());
            let form = browser.get(&at).await.expect(200);
            assert!(form.text().contains("value=\"12500\""), "{}", form.text());
            // Neither a thousand nor a decimal is guessed.
            let refused = [("valor", typed), ("motivo", "Revisión")];
            browser.fill(&form, &at, &refused).await.expect(422);
            assert_eq!(medico.get(&path).await.json()["valueQuantity"]["value"], 12500);
        }
        // What the form shows is what is kept.
        let form = browser.get(&at).await.expect(200);
        let shown = [("valor", "12500"), ("motivo", "Revisión")];
        browser.fill(&form, &at, &shown).await.expect(303);
        let kept = medico.get(&path).await.json();
        assert_eq!(kept["valueQuantity"]["value"], 12500);
        assert_eq!(kept["interpretation"][0]["coding"][0]["code"], "H");

        let observe = format!("/paciente/{id}/observacion?codigo=2823-3");
        let send = format!("/paciente/{id}/observacion");
        for (typed, status) in [("4000", 422), ("-4", 422), ("7,5", 303), (">5,1", 303), ("<3,5", 303), (">4", 303)] {
            let form = browser.get(&observe).await.expect(200);
            let values = [
                ("codigo", "2823-3"),
                ("valor", typed),
                ("minimo", "3,5"),
                ("maximo", "5,1"),
                ("fecha", "06/05/2024"),
                ("hora", "07:10"),
            ];
            browser.fill(&form, &send, &values).await.expect(status);
        }
        // A note is no book.
        let form = browser.get(&observe).await.expect(200);
        let note = "x".repeat(4001);
        let values =
            [("codigo", "2823-3"), ("valor", "4"), ("fecha", "06/05/2024"), ("hora", "07:10"), ("nota", &note)];
        browser.fill(&form, &send, &values).await.expect(422);
        let found = medico.get(&format!("Observation?patient={id}&code=2823-3&_sort=_lastUpdated")).await.json();
        let codes: Vec<String> = found["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                let resource = &entry["resource"];
                resource["interpretation"][0]["coding"][0]["code"].as_str().unwrap_or("-").to_owned()
            })
            .collect();
        assert_eq!(codes, ["HH", "H", "L", "-"]);
    });
}

#[test]
fn a_critical_value_stays_until_it_is_seen_and_what_was_somebody_elses_is_taken_back() {
    run(async {
        let (medico, id, mut browser) = at_the_chart().await;
        let subject = format!("Patient/{id}");
        let at = |minutes: i64| {
            jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_mins(minutes)).unwrap().to_string()
        };
        let potassium = |value: f64, flag: &str, when: String, status: &str| {
            let mut one = result(&subject, status);
            one["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "2823-3"}], "text": "Potasio"});
            one["valueQuantity"] =
                json!({"value": value, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"});
            one["interpretation"] = json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": flag}]}]);
            one["effectiveDateTime"] = when.into();
            one
        };
        let critical = medico.create(potassium(6.9, "HH", at(90), "final")).await;
        medico.create(potassium(4.0, "N", at(30), "final")).await;
        let chart = browser.get(&format!("/paciente/{id}")).await.expect(200).text();
        assert!(chart.contains("Potasio 6,9 mmol/L, crítico alto."), "{chart}");
        let seen = format!("/paciente/{id}/visto/{}", critical["id"].as_str().unwrap());
        let page = browser.get(&format!("/paciente/{id}")).await.expect(200);
        browser.fill(&page, &seen, &[]).await.expect(303);
        let chart = browser.get(&format!("/paciente/{id}")).await.expect(200).text();
        assert!(!chart.contains("Potasio 6,9 mmol/L, crítico alto."), "{chart}");

        // What the laboratory has not released is not the physician's to correct.
        let waiting = medico.create(potassium(4.2, "N", at(20), "preliminary")).await;
        let entry = |one: &Value, part: &str| {
            format!("/paciente/{id}/registro/Observation/{}/{part}", one["id"].as_str().unwrap())
        };
        browser.get(&entry(&waiting, "corregir")).await.expect(404);
        browser.get(&entry(&waiting, "anular")).await.expect(404);

        let form = browser.get(&entry(&critical, "anular")).await.expect(200);
        browser.fill(&form, &entry(&critical, "anular"), &[("motivo", "")]).await.expect(422);
        browser.fill(&form, &entry(&critical, "anular"), &[("motivo", "Era de otra persona")]).await.expect(303);
        let path = format!("Observation/{}", critical["id"].as_str().unwrap());
        assert_eq!(medico.get(&path).await.json()["status"], "entered-in-error");
        let chart = browser.get(&format!("/paciente/{id}?todo=1")).await.expect(200).text();
        assert!(!chart.contains("value crit"), "{chart}");
    });
}

/// A patient and the browser of a physician.
async fn at_the_chart() -> (Fhir, String, Browser) {
    let medico = fhir("medico").await;
    let (id, ..) = person(&medico).await;
    let browser = Browser::of("medico").await;
    (medico, id, browser)
}

/// Fields, some of them typed differently.
fn typed<'a>(fields: &[(&'a str, &'a str)], other: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = fields.iter().filter(|(name, _)| !other.iter().any(|(known, _)| known == name));
    kept.chain(other).copied().collect()
}

/// Sends a form twice, as a double click does: both lead to the same place.
async fn twice(browser: &mut Browser, address: &str, values: &[(&str, &str)]) {
    let form = browser.get(address).await.expect(200);
    let first = browser.fill(&form, address, values).await.expect(303);
    let second = browser.fill(&form, address, values).await.expect(303);
    assert_eq!(first.header("location"), second.header("location"), "{address}");
}

#[test]
fn allergies_are_asked_recorded_and_corrected() {
    run(async {
        let (medico, id, mut browser) = at_the_chart().await;
        let (chart, none) = (format!("/paciente/{id}"), format!("/paciente/{id}/sin-alergias"));
        let address = format!("/paciente/{id}/alergia");
        let unasked = browser.get(&chart).await.expect(200);
        shows(&unasked, "Alergias sin preguntar");
        shows(&unasked, &format!("href=\"{address}\""));
        // Asked: none is known, with the day; once, whatever is sent twice, and asked again it is a new version.
        let form = browser.get(&none).await.expect(200);
        shows(&browser.fill(&form, &none, &[("fecha", "31/02/2024")]).await.expect(422), "No es una fecha");
        shows(&browser.fill(&form, &none, &[("fecha", "01/06/2999")]).await.expect(422), "fecha futura");
        twice(&mut browser, &none, &[("fecha", "01/06/2024")]).await;
        let stated = all(&medico, "AllergyIntolerance", &id).await;
        assert_eq!((stated.len(), &stated[0]["code"]["coding"][0]["code"]), (1, &json!("716186003")));
        let asked = browser.get(&chart).await.expect(200);
        shows(&asked, "Sin alergias conocidas");
        shows(&asked, "preguntado 01 jun 2024");
        twice(&mut browser, &none, &[("fecha", "02/06/2024")]).await;
        let again = all(&medico, "AllergyIntolerance", &id).await;
        assert_eq!((again.len(), &again[0]["meta"]["versionId"]), (1, &json!("2")));
        // One is found after all: the statement ends.
        let form = browser.get(&address).await.expect(200);
        let wrong = [("sustancia", ""), ("gravedad", "severe"), ("desde", "13/2011")];
        let refused = browser.fill(&form, &address, &wrong).await.expect(422);
        for text in ["Falta este dato", "Escriba cuál fue la reacción", "No es una fecha"] {
            shows(&refused, text);
        }
        let typed = [("sustancia", "Penicilina"), ("reaccion", "anafilaxia"), ("gravedad", "severe")];
        let more = [("riesgo", "high"), ("desde", "2009"), ("certeza", "confirmed")];
        twice(&mut browser, &address, &[&typed[..], &more].concat()).await;
        let kept = all(&medico, "AllergyIntolerance", &id).await;
        assert_eq!(kept.len(), 2);
        let allergy = kept.iter().find(|one| one["criticality"] == "high").unwrap();
        assert_eq!(allergy["code"]["coding"][0]["system"], "http://www.whocc.no/atc");
        assert_eq!(
            (&allergy["reaction"][0]["manifestation"][0]["coding"][0]["code"], &allergy["reaction"][0]["severity"]),
            (&json!("39579001"), &json!("severe"))
        );
        assert_eq!((&allergy["category"], &allergy["onsetDateTime"]), (&json!(["medication"]), &json!("2009")));
        let statement = kept.iter().find(|one| one["code"]["coding"][0]["code"] == "716186003").unwrap();
        assert_eq!(statement["clinicalStatus"]["coding"][0]["code"], "inactive");
        let known = browser.get(&chart).await.expect(200);
        shows(&known, "<b>Penicilina</b> · anafilaxia, grave");
        // The same again is refused, and so is "none known".
        let form = browser.get(&address).await.expect(200);
        let same = [("sustancia", "PENICILINA"), ("certeza", "confirmed")];
        shows(&browser.fill(&form, &address, &same).await.expect(422), "Ya está registrada");
        let form = browser.get(&none).await.expect(200);
        shows(&browser.fill(&form, &none, &[("fecha", "01/06/2024")]).await.expect(422), "Tiene alergias registradas");
        // Refuted by correction: a new version, and the banner says it no more.
        let entry = format!("/paciente/{id}/registro/AllergyIntolerance/{}", allergy["id"].as_str().unwrap());
        let correct = format!("{entry}/corregir");
        let form = browser.get(&correct).await.expect(200);
        shows(&form, "value=\"anafilaxia\"");
        let refuted = [&typed[..], &more, &[("estado", "refuted"), ("motivo", "Prueba negativa")]].concat();
        browser.fill(&form, &correct, &refuted).await.expect(303);
        let versions = browser.get(&entry).await.expect(200);
        for text in ["Versión 1", "Versión 2", "Prueba negativa", "descartado"] {
            shows(&versions, text);
        }
        shows(&browser.get(&chart).await.expect(200), "Alergias sin preguntar");
    });
}

#[test]
fn medication_is_ordered_stopped_and_corrected() {
    run(async {
        let (medico, id, mut browser) = at_the_chart().await;
        let subject = format!("Patient/{id}");
        medico.create(json!({"resourceType": "AllergyIntolerance", "patient": {"reference": subject}, "code": {"text": "Penicilina"}})).await;
        let (chart, address) = (format!("/paciente/{id}"), format!("/paciente/{id}/medicacion"));
        let form = browser.get(&address).await.expect(200);
        let wrong = [("medicamento", ""), ("dosis", "1.000 mg"), ("inicio", "ayer"), ("dias", "0")];
        let refused = browser.fill(&form, &address, &wrong).await.expect(422);
        for text in
            ["Falta este dato", "Escriba la coma decimal", "No es una fecha", "de 1 a 366", "value=\"1.000 mg\""]
        {
            shows(&refused, text);
        }
        let dose = [
            ("dosis", "750 mg"),
            ("via", "26643006"),
            ("frecuencia", "cada 48 horas"),
            ("inicio", "01/06/2024"),
            ("dias", "7"),
        ];
        shows(
            &browser.fill(&form, &address, &typed(&dose, &[("medicamento", "X"), ("dosis", "750")])).await.expect(422),
            "Falta la unidad",
        );
        twice(&mut browser, &address, &typed(&dose, &[("medicamento", "Levofloxacina")])).await;
        let orders = all(&medico, "MedicationRequest", &id).await;
        assert_eq!(orders.len(), 1);
        let (order, dosage) = (&orders[0], &orders[0]["dosageInstruction"][0]);
        assert_eq!(order["medicationCodeableConcept"]["coding"][0]["code"], "J01MA12");
        assert_eq!(dosage["text"], "750 mg cada 48 horas, oral");
        assert_eq!(dosage["doseAndRate"][0]["doseQuantity"]["code"], "mg");
        let repeat = &dosage["timing"]["repeat"];
        assert_eq!(
            (&repeat["period"], &repeat["periodUnit"], &repeat["boundsPeriod"]["end"]),
            (&json!(48), &json!("h"), &json!("2024-06-07"))
        );
        // Its days are over, and the chart says so.
        shows(&browser.get(&chart).await.expect(200), "era hasta 07 jun 2024");
        // What the patient is allergic to is shown once, then kept.
        let form = browser.get(&address).await.expect(200);
        let asked = typed(&dose, &[("medicamento", "Amoxicilina")]);
        let warned = browser.fill(&form, &address, &asked).await.expect(422);
        shows(&warned, "Tiene alergia registrada: Penicilina");
        browser.fill(&warned, &address, &asked).await.expect(303);
        // Corrected: what differs, and only that.
        let entry = format!("/paciente/{id}/registro/MedicationRequest/{}", order["id"].as_str().unwrap());
        let correct = format!("{entry}/corregir");
        let form = browser.get(&correct).await.expect(200);
        for text in ["value=\"750 mg\"", "value=\"cada 48 horas\"", "value=\"01/06/2024\"", "value=\"7\""] {
            shows(&form, text);
        }
        let new = typed(&dose, &[("medicamento", "Levofloxacina"), ("dosis", "500 mg"), ("motivo", "Ajuste renal")]);
        let stale = form;
        browser.fill(&stale, &correct, &new).await.expect(303);
        // Ended with a reason; what was sent from the version before shows both, and who was faster.
        let end = format!("{entry}/suspender");
        shows(&browser.get(&entry).await.expect(200), &end);
        let form = browser.get(&end).await.expect(200);
        shows(&browser.fill(&form, &end, &[("fin", "stopped")]).await.expect(422), "Falta este dato");
        twice(&mut browser, &end, &[("fin", "stopped"), ("motivo", "Potasio en aumento")]).await;
        let ended =
            medico.get(&format!("/fhir/MedicationRequest/{}", order["id"].as_str().unwrap())).await.expect(200).json();
        assert_eq!(
            (&ended["status"], &ended["statusReason"]["text"]),
            (&json!("stopped"), &json!("Potasio en aumento"))
        );
        assert_eq!(ended["dosageInstruction"][0]["text"], "500 mg cada 48 horas, oral");
        let versions = browser.get(&entry).await.expect(200);
        for text in ["Versión 3", "Ajuste renal", "Potasio en aumento", "suspendido"] {
            shows(&versions, text);
        }
        assert!(!versions.text().contains(&end));
        let mut other = Browser::of("medico").await;
        let form = other.get(&correct).await.expect(200);
        let old = typed(&new, &[("version", "2"), ("dosis", "250 mg")]);
        let both = other.fill(&form, &correct, &old).await.expect(409);
        for text in ["500 mg", "250 mg", "Julián Ñáñez Ospina guardó otra versión"] {
            shows(&both, text);
        }
    });
}

#[test]
fn a_critical_value_is_seen_until_it_changes() {
    run(async {
        let (medico, id, mut browser) = at_the_chart().await;
        let mut lab = result(&format!("Patient/{id}"), "preliminary");
        lab["interpretation"] = json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": "HH"}]}]);
        lab["note"] = json!([{"authorString": "Laboratorio", "time": "2024-06-01T13:02:00-05:00", "text": "Avisado a enfermería."}]);
        let mut lab = medico.create(lab).await;
        let (chart, observation) = (format!("/paciente/{id}"), lab["id"].as_str().unwrap().to_owned());
        let seen = format!("/paciente/{id}/visto/{observation}");
        let page = browser.get(&chart).await.expect(200);
        shows(&page, "Avisado a enfermería. (01 jun 2024, 13:02)");
        shows(&page, "Marcar como visto");
        let first = browser.fill(&page, &seen, &[]).await.expect(303);
        browser.fill(&page, &seen, &[]).await.expect(303);
        let after = browser.follow(&first).await.expect(200);
        shows(&after, "Visto por Julián Ñáñez Ospina, hoy");
        assert!(!after.text().contains("Marcar como visto"));
        let said = all(&medico, "Communication", &id).await;
        assert_eq!((said.len(), &said[0]["about"][0]["reference"]), (1, &json!(format!("Observation/{observation}"))));
        // Only what is critical can be marked, and another value is to be seen again.
        browser.post(&format!("/paciente/{id}/visto/{}", uuid()), &[("form", "x")]).await.expect(403);
        let absent = format!("/paciente/{id}/visto/{}", uuid());
        let keys = hidden(&page.text(), &seen);
        let keys: Vec<(&str, &str)> = keys.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.post(&absent, &keys).await.expect(404);
        lab["valueQuantity"]["value"] = json!(7.4);
        medico.put(&format!("/fhir/Observation/{observation}"), &lab).await.expect(200);
        shows(&browser.get(&chart).await.expect(200), "Marcar como visto");
    });
}

fn uuid() -> String {
    format!("0190{}", unique())
}

#[test]
fn only_physicians_write_and_inpatients_are_listed() {
    run(async {
        let (medico, id, mut browser) = at_the_chart().await;
        let subject = format!("Patient/{id}");
        let order = medico.create(json!({"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": {"reference": subject}, "medicationCodeableConcept": {"text": "Losartán"}})).await;
        let end = format!("/paciente/{id}/registro/MedicationRequest/{}/suspender", order["id"].as_str().unwrap());
        let pages = [
            format!("/paciente/{id}/alergia"),
            format!("/paciente/{id}/sin-alergias"),
            format!("/paciente/{id}/medicacion"),
            end,
        ];
        for page in &pages {
            browser.get(page).await.expect(200);
        }
        let (usuario, clave) = account(server(), "paciente", &format!("CC-{}", unique()), Some(&id));
        let mut own = Browser::new();
        own.sign_in(&usuario, &clave).await.expect(303);
        let mut others = vec![own];
        for role in ["admisionista", "resultados", "admin"] {
            others.push(Browser::of(role).await);
        }
        for other in &mut others {
            for page in &pages {
                other.get(page).await.expect(403);
                other.post(page, &[("motivo", "x")]).await.expect(403);
            }
            other.post(&format!("/paciente/{id}/visto/x"), &[]).await.expect(403);
            other.get("/medico/hospitalizados").await.expect(403);
        }
        let mut stay = encounter(&subject);
        stay["status"] = json!("in-progress");
        stay["class"]["code"] = json!("IMP");
        stay["location"] = json!([{"location": {"display": "Medicina interna / 401A"}, "status": "active"}]);
        medico.create(stay).await;
        let ward = browser.get("/medico/hospitalizados").await.expect(200);
        shows(&ward, &format!("href=\"/paciente/{id}\""));
        shows(&ward, "Medicina interna / 401A");
    });
}

#[test]
fn a_problem_is_of_this_life_and_stands_once() {
    run(async {
        let medico = fhir("medico").await;
        let (id, ..) = person(&medico).await;
        let mut browser = Browser::of("medico").await;
        let address = format!("/paciente/{id}/problema");
        let form = browser.get(&address).await.expect(200);
        let long = "a".repeat(201);
        for (field, value, says) in [
            ("desde", "1870", "No es una fecha"),
            ("desde", "1930", "Es anterior al nacimiento"),
            ("desde", "12/2099", "Es una fecha futura"),
            ("texto", &long, "Tiene 201 caracteres y caben 200"),
        ] {
            let typed =
                [("texto", "Asma"), ("codigo", "J459"), ("desde", ""), ("estado", "active"), ("certeza", "confirmed")];
            let typed = typed.map(|(name, usual)| (name, if name == field { value } else { usual }));
            shows(&browser.fill(&form, &address, &typed).await.expect(422), says);
        }
        let typed = [("texto", "Asma"), ("codigo", "J45.9"), ("estado", "active"), ("certeza", "confirmed")];
        browser.fill(&form, &address, &typed).await.expect(303);
        // The same code under other words: said, and what was typed stays.
        let form = browser.get(&address).await.expect(200);
        let again = [("texto", "Asma bronquial"), typed[1], typed[2], typed[3]];
        let asked = browser.fill(&form, &address, &again).await.expect(422);
        shows(&asked, "Asma ya está entre los problemas activos");
        shows(&asked, "value=\"Asma bronquial\"");
        let one = asked.text().split("name=\"seguro\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        browser.fill(&asked, &address, &[&again[..], &[("seguro", &one)]].concat()).await.expect(303);
        assert_eq!(all(&medico, "Condition", &id).await.len(), 2);
        // What is over may be entered beside it.
        let form = browser.get(&address).await.expect(200);
        let over = [again[0], again[1], ("estado", "resolved"), again[3]];
        browser.fill(&form, &address, &over).await.expect(303);
    });
}
