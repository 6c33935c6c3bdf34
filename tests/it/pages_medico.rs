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
        let chart = browser.get(&format!("/paciente/{id}")).await.expect(200);
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
