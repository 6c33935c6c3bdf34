//! The pages of the laboratory: worklist, results entered by order and without, validation, notices, corrections.

use crate::harness::browser::{Browser, hidden, value_of};
use crate::harness::data::{patient_with, result};
use crate::harness::fhir::account;
use crate::harness::{Fhir, Reply, fhir, run, server, unique};
use serde_json::{Value, json};

#[track_caller]
fn shows(reply: &Reply, text: &str) {
    assert!(reply.text().contains(text), "{}: no {text:?} in {}", reply.asked, reply.text());
}

#[track_caller]
fn hides(reply: &Reply, text: &str) {
    assert!(!reply.text().contains(text), "{}: {text:?} in {}", reply.asked, reply.text());
}

/// A patient of this test: id and the folded surname that only it has.
async fn person(medico: &Fhir) -> (String, String) {
    let number = unique();
    let family: String = number.bytes().map(|digit| char::from(b'a' + digit % 26)).collect();
    let mut patient = patient_with(&number);
    patient["name"][0]["family"] = format!("Ñáñez {family}").into();
    let id = medico.create(patient).await["id"].as_str().unwrap().to_owned();
    (id, family)
}

async fn order(medico: &Fhir, patient: &str, code: &str, name: &str) -> String {
    let order = json!({
        "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": name}], "text": name},
        "subject": {"reference": format!("Patient/{patient}")},
        "authoredOn": "2024-05-06T07:00:00-05:00"
    });
    medico.create(order).await["id"].as_str().unwrap().to_owned()
}

async fn all(medico: &Fhir, kind: &str, patient: &str) -> Vec<Value> {
    medico.get(&format!("/fhir/{kind}?patient={patient}&_count=50")).await.expect(200).resources()
}

async fn one(medico: &Fhir, kind: &str, patient: &str) -> Value {
    let mut all = all(medico, kind, patient).await;
    assert_eq!(all.len(), 1, "{kind}: {all:?}");
    all.remove(0)
}

fn by_code<'v>(results: &'v [Value], code: &str) -> &'v Value {
    results.iter().find(|one| one["code"]["coding"][0]["code"] == code).unwrap_or_else(|| panic!("no {code}"))
}

fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

const TAKEN: [(&str, &str); 2] = [("fecha", "06/05/2024"), ("hora", "07:10")];

#[test]
fn an_order_becomes_preliminary_final_corrected() {
    run(async {
        let medico = fhir("medico").await;
        let (patient, _) = person(&medico).await;
        let order = order(&medico, &patient, "24321-2", "Química sanguínea").await;
        let mut lab = Browser::of("resultados").await;
        let address = format!("/resultados/orden/{order}");
        let form = lab.get(&address).await.expect(200);
        for text in ["Química sanguínea", "Potasio", "valor-2823-3", "crítico hasta 2,5 o desde 6,2"] {
            shows(&form, text);
        }
        // The reference of an adult woman is proposed.
        assert_eq!(value_of(&form.text(), "hasta-2160-0").as_deref(), Some("0,95"));
        shows(&lab.fill(&form, &address, &TAKEN).await.expect(422), "Escriba al menos un valor");
        let wrong = [&TAKEN[..], &[("valor-2823-3", "abc"), ("valor-2951-2", "140")]].concat();
        let again = lab.fill(&form, &address, &wrong).await.expect(422);
        assert_eq!(value_of(&again.text(), "valor-2951-2").as_deref(), Some("140"));
        // The comma and the point; the rest of the panel is still to come. Sent twice, done once.
        let typed = [
            &TAKEN[..],
            &[("valor-2823-3", "6,30"), ("desde-2823-3", "3,5"), ("hasta-2823-3", "5,1")],
            &[("valor-2160-0", "1.08"), ("desde-2160-0", "0,51"), ("hasta-2160-0", "0,95")],
        ]
        .concat();
        let done = lab.fill(&form, &address, &typed).await.expect(303);
        let twice = lab.fill(&form, &address, &typed).await.expect(303);
        assert_eq!(done.header("location"), twice.header("location"));
        let results = all(&medico, "Observation", &patient).await;
        assert_eq!(results.len(), 2);
        let (potassium, creatinine) = (by_code(&results, "2823-3").clone(), by_code(&results, "2160-0").clone());
        assert_eq!(potassium["valueQuantity"]["value"].to_string(), "6.30");
        assert_eq!(potassium["interpretation"][0]["coding"][0]["code"], "HH");
        assert_eq!(creatinine["interpretation"][0]["coding"][0]["code"], "H");
        assert_eq!(
            (&potassium["status"], &potassium["basedOn"][0]["reference"]),
            (&json!("preliminary"), &json!(format!("ServiceRequest/{order}")))
        );
        assert_eq!(one(&medico, "DiagnosticReport", &patient).await["status"], "partial");
        // A critical value leads to its form at once.
        let of_potassium = format!("/resultados/{}", id(&potassium));
        assert_eq!(done.header("location"), of_potassium);
        let validate = lab.follow(&done).await.expect(200);
        for text in ["crítico alto", "Aviso de valor crítico", "Es un valor crítico: avise"] {
            shows(&validate, text);
        }
        // The patient does not see what is preliminary.
        let (usuario, clave) = account(server(), "paciente", &format!("CC-{}", unique()), Some(&patient));
        let mut own = Browser::new();
        own.sign_in(&usuario, &clave).await.expect(303);
        hides(&own.get("/mi-historia/resultados").await.expect(200), "6,30");
        // Final only with the notice, read back.
        let refused = lab.fill(&validate, &of_potassium, &[("valor", "6,30"), ("hacer", "final")]).await.expect(422);
        shows(&refused, "escriba a quién avisó");
        let notice = [("valor", "6,30"), ("hacer", "final"), ("aviso", "Yolanda Cárdenas"), ("hora", "00:00")];
        shows(&lab.fill(&refused, &of_potassium, &notice).await.expect(422), "Pida que repita");
        let notice = [&notice[..], &[("repitio", "1")]].concat();
        lab.fill(&refused, &of_potassium, &notice).await.expect(303);
        let now = medico.get(&format!("/fhir/Observation/{}", id(&potassium))).await.expect(200).json();
        assert_eq!(now["status"], "final");
        let kept = &now["note"][0];
        assert_eq!(kept["extension"][0]["url"], "urn:historia:aviso-critico");
        assert_eq!(kept["extension"][0]["extension"][0]["valueString"], "Yolanda Cárdenas");
        shows(&own.get("/mi-historia/resultados").await.expect(200), "6,30");
        shows(&lab.get("/resultados?filtro=criticos&ver=600").await.expect(200), "avisado 00:00");
        // The rest of the panel: only what is missing is asked for, and what stays empty will not be done.
        let rest = lab.get(&address).await.expect(200);
        hides(&rest, "valor-2823-3");
        let typed = [&TAKEN[..], &[("valor-2951-2", "140"), ("completo", "1")]].concat();
        let done = lab.fill(&rest, &address, &typed).await.expect(303);
        assert_eq!(done.header("location"), "/resultados");
        // Who had the form open and types what is there already is told.
        let late = [&TAKEN[..], &[("valor-2823-3", "4,0")]].concat();
        let other = lab.get(&address).await.expect(200);
        let told = lab.fill(&other, &address, &[&late[..], &[("valor-2345-7", "90")]].concat()).await.expect(409);
        let name = &potassium["performer"][0]["display"].as_str().unwrap();
        for text in ["Otra persona ya ingresó", "Potasio: 6,30 mmol/L", name, "Usted escribió 4,0"] {
            shows(&told, text);
        }
        // What was typed is not lost: it is the correction of what is there, and the rest is still in the form.
        assert_eq!(value_of(&told.text(), "valor-2345-7").as_deref(), Some("90"));
        let to = told.text().split("href=\"").find_map(|rest| {
            let to = rest.split('"').next()?;
            (to.starts_with(&of_potassium) && to.contains("borrador")).then(|| to.replace("&#x3D;", "="))
        });
        let correction = lab.get(&to.expect("a way to the correction")).await.expect(200);
        assert_eq!(value_of(&correction.text(), "valor").as_deref(), Some("4,0"));
        // The last one that is made final closes report and order.
        for code in ["2160-0", "2951-2"] {
            let report = one(&medico, "DiagnosticReport", &patient).await;
            assert_eq!(report["status"], "preliminary", "{report}");
            let results = all(&medico, "Observation", &patient).await;
            let of = format!("/resultados/{}", id(by_code(&results, code)));
            let form = lab.get(&of).await.expect(200);
            let value = value_of(&form.text(), "valor").unwrap();
            lab.fill(&form, &of, &[("valor", &value), ("hacer", "final")]).await.expect(303);
        }
        assert_eq!(one(&medico, "DiagnosticReport", &patient).await["status"], "final");
        assert_eq!(one(&medico, "ServiceRequest", &patient).await["status"], "completed");
    });
}

#[test]
fn what_is_final_is_only_corrected() {
    run(async {
        let medico = fhir("medico").await;
        let (patient, family) = person(&medico).await;
        let mut glucose = result(&format!("Patient/{patient}"), "final");
        glucose["valueQuantity"] =
            json!({"value": 90, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"});
        let glucose = id(&medico.create(glucose).await);
        let report = json!({"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "Glucosa"}, "subject": {"reference": format!("Patient/{patient}")}, "result": [{"reference": format!("Observation/{glucose}")}]});
        medico.create(report).await;
        let mut lab = Browser::of("resultados").await;
        let address = format!("/resultados/{glucose}");
        let form = lab.get(&address).await.expect(200);
        shows(&form, "Corregir resultado");
        let stale = lab.get(&address).await.expect(200);
        shows(&lab.fill(&form, &address, &[("valor", "90")]).await.expect(422), "No cambió el valor");
        // Something is added: amended.
        lab.fill(&form, &address, &[("valor", "90"), ("nota", "En ayunas")]).await.expect(303);
        let now = medico.get(&format!("/fhir/Observation/{glucose}")).await.expect(200).json();
        assert_eq!((&now["status"], &now["note"][0]["text"]), (&json!("amended"), &json!("En ayunas")));
        assert_eq!(one(&medico, "DiagnosticReport", &patient).await["status"], "amended");
        // The value was wrong: corrected, with the reason. The version of before the note is stale.
        let values = [("valor", "98"), ("motivo", "Digitación")];
        let both = lab.fill(&stale, &address, &values).await.expect(409);
        shows(&both, "98");
        // Who it was is said by name.
        let named = both.text().split("Mientras usted escribía, ").nth(1).map(|rest| !rest.starts_with("se guardó"));
        assert_eq!(named, Some(true), "{}", both.text());
        assert!(hidden(&both.text(), &address).contains(&("motivo".to_owned(), "Digitación".to_owned())));
        let form = lab.get(&address).await.expect(200);
        shows(&lab.fill(&form, &address, &[("valor", "98")]).await.expect(422), "Falta este dato");
        // A value that becomes critical asks for the notice, or why there was none.
        let critical = [("valor", "45"), ("motivo", "Otra muestra")];
        let asked = lab.fill(&form, &address, &critical).await.expect(422);
        shows(&asked, "Aviso de valor crítico");
        let why = [&critical[..], &[("sinaviso", "Ya había salido")]].concat();
        lab.fill(&asked, &address, &why).await.expect(303);
        let now = medico.get(&format!("/fhir/Observation/{glucose}")).await.expect(200).json();
        assert_eq!(
            (&now["status"], &now["interpretation"][0]["coding"][0]["code"]),
            (&json!("corrected"), &json!("LL"))
        );
        assert_eq!(one(&medico, "DiagnosticReport", &patient).await["status"], "corrected");
        // The old versions are read by the same role.
        let versions = lab.get(&format!("/paciente/{patient}/registro/Observation/{glucose}")).await.expect(200);
        for text in ["90", "45", "Otra muestra", "Versión 1", "Versión 3"] {
            shows(&versions, text);
        }
        let list = lab.get("/resultados?filtro=finales&ver=600").await.expect(200);
        shows(&list, &family);
        shows(&lab.get("/resultados/historico?dia=2024-05-06").await.expect(200), &family);
        shows(&lab.get("/resultados/historico?dia=06/13/2024").await.expect(200), "aria-invalid");
    });
}

#[test]
fn what_no_limit_judges_a_person_does() {
    run(async {
        let medico = fhir("medico").await;
        let mut child = patient_with(&unique());
        child["birthDate"] = "2020-01-01".into();
        let patient = id(&medico.create(child).await);
        let mut lab = Browser::of("resultados").await;
        let address = format!("/resultados/nuevo/{patient}");
        let form = lab.get(&format!("{address}?codigo=2823-3")).await.expect(200);
        assert_eq!(value_of(&form.text(), "hasta-2823-3").as_deref(), Some(""));
        let typed = [&TAKEN[..], &[("valor-2823-3", "6,9"), ("hasta-2823-3", "5,1"), ("critico-2823-3", "1")]].concat();
        let done = lab.fill(&form, &address, &typed).await.expect(303);
        let of = done.header("location").to_owned();
        let form = lab.follow(&done).await.expect(200);
        // Preliminary with another value: it stays critical because the form says so.
        let kept = [("valor", "6,8"), ("critico", "1"), ("hacer", "preliminar")];
        lab.fill(&form, &of, &kept).await.expect(303);
        let now = one(&medico, "Observation", &patient).await;
        assert_eq!(
            (&now["status"], &now["interpretation"][0]["coding"][0]["code"]),
            (&json!("preliminary"), &json!("HH"))
        );
        // A specimen that could not be measured is measured again: a number with the unit of the examination.
        let mut lost = result(&format!("Patient/{patient}"), "preliminary");
        lost.as_object_mut().unwrap().remove("valueQuantity");
        lost["dataAbsentReason"] = json!({"text": "Muestra hemolizada"});
        let lost = id(&medico.create(lost).await);
        let of = format!("/resultados/{lost}");
        let form = lab.get(&of).await.expect(200);
        lab.fill(&form, &of, &[("valor", "92,0"), ("hacer", "final")]).await.expect(303);
        let now = medico.get(&format!("/fhir/Observation/{lost}")).await.expect(200).json();
        assert_eq!(
            (now["valueQuantity"]["value"].to_string(), &now["valueQuantity"]["code"]),
            ("92.0".to_owned(), &json!("mg/dL"))
        );
        assert!(now.get("dataAbsentReason").is_none());
    });
}

#[test]
fn two_results_made_final_at_once_leave_no_report_behind() {
    run(async {
        let medico = fhir("medico").await;
        let (patient, _) = person(&medico).await;
        let subject = format!("Patient/{patient}");
        let order = order(&medico, &patient, "24362-6", "Función renal").await;
        let (mut results, mut references) = (Vec::new(), Vec::new());
        for code in ["2160-0", "3094-0", "2951-2", "2075-0"] {
            let mut one = result(&subject, "preliminary");
            one["code"]["coding"][0]["code"] = code.into();
            one["basedOn"] = json!([{"reference": format!("ServiceRequest/{order}")}]);
            let id = id(&medico.create(one).await);
            references.push(json!({"reference": format!("Observation/{id}")}));
            results.push(id);
        }
        let report = json!({"resourceType": "DiagnosticReport", "status": "preliminary", "code": {"text": "Función renal"}, "subject": {"reference": subject}, "result": references});
        medico.create(report).await;
        let lab = Browser::of("resultados").await;
        let validations = results.iter().map(|id| {
            let (mut lab, address) = (lab.clone(), format!("/resultados/{id}"));
            async move {
                let form = lab.get(&address).await.expect(200);
                let value = value_of(&form.text(), "valor").unwrap();
                lab.fill(&form, &address, &[("valor", &value), ("hacer", "final")]).await.expect(303);
            }
        });
        futures_util::future::join_all(validations).await;
        assert_eq!(one(&medico, "DiagnosticReport", &patient).await["status"], "final");
        assert_eq!(one(&medico, "ServiceRequest", &patient).await["status"], "completed");
    });
}

#[test]
fn of_two_who_enter_the_same_at_once_the_second_is_shown_what_the_first_saved() {
    run(async {
        let medico = fhir("medico").await;
        let (mut one, mut two) = (Browser::of("resultados").await, Browser::of("resultados").await);
        for round in 0..5 {
            let (patient, _) = person(&medico).await;
            let address =
                format!("/resultados/orden/{}", order(&medico, &patient, "24321-2", "Química sanguínea").await);
            let (a, b) = (one.get(&address).await.expect(200), two.get(&address).await.expect(200));
            let mine = [&TAKEN[..], &[("valor-2951-2", "140"), ("valor-2823-3", "4,1")]].concat();
            let theirs = [&TAKEN[..], &[("valor-2823-3", "4,8"), ("valor-2345-7", "90")]].concat();
            let (first, second) = tokio::join!(one.fill(&a, &address, &mine), two.fill(&b, &address, &theirs));
            let results = all(&medico, "Observation", &patient).await;
            let potassium = results.iter().filter(|one| one["code"]["coding"][0]["code"] == "2823-3").count();
            assert_eq!((potassium, results.len()), (1, 2), "round {round}");
            assert_eq!(self::one(&medico, "DiagnosticReport", &patient).await["status"], "partial");
            let told = [&first, &second].into_iter().find(|reply| reply.status == 409).expect("the second is told");
            shows(told, "Otra persona ya ingresó parte de esta orden");
            shows(told, "Usted escribió 4,");
        }
    });
}

#[test]
fn a_result_that_nobody_ordered_is_entered() {
    run(async {
        let medico = fhir("medico").await;
        let (patient, family) = person(&medico).await;
        let mut lab = Browser::of("resultados").await;
        let found = lab.get(&format!("/resultados/nuevo?q=nanez%20{}", family.to_uppercase())).await.expect(200);
        let address = format!("/resultados/nuevo/{patient}");
        shows(&found, &address);
        let chart = lab.get(&format!("/resultados/pacientes?q={family}")).await.expect(200);
        shows(&chart, &format!("href=\"/paciente/{patient}\""));
        for typed in ["potasio", "potassium", "2823-3"] {
            shows(&lab.get(&format!("{address}?q={typed}")).await.expect(200), "codigo&#x3D;2823-3");
        }
        shows(&lab.get(&format!("{address}?q=hemograma")).await.expect(200), "codigo&#x3D;58410-2");
        // Text: a culture.
        let form = lab.get(&format!("{address}?codigo=600-7")).await.expect(200);
        let typed = [&TAKEN[..], &[("valor-600-7", "Sin crecimiento a las 48 horas")]].concat();
        lab.fill(&form, &address, &typed).await.expect(303);
        let culture = one(&medico, "Observation", &patient).await;
        assert_eq!(
            (&culture["valueString"], &culture["effectiveDateTime"]),
            (&json!("Sin crecimiento a las 48 horas"), &json!("2024-05-06T07:10:00-05:00"))
        );
        assert!(culture.get("basedOn").is_none());
        // Less than the method measures.
        let form = lab.get(&format!("{address}?codigo=89579-7")).await.expect(200);
        lab.fill(&form, &address, &[&TAKEN[..], &[("valor-89579-7", "<2,5"), ("hasta-89579-7", "34")]].concat())
            .await
            .expect(303);
        let results = all(&medico, "Observation", &patient).await;
        let troponin = by_code(&results, "89579-7");
        assert_eq!(
            (&troponin["valueQuantity"]["comparator"], &troponin["interpretation"][0]["coding"][0]["code"]),
            (&json!("<"), &json!("N"))
        );
        shows(&lab.get("/resultados?filtro=preliminares&ver=600").await.expect(200), &family);
        let form = lab.get(&format!("{address}?codigo=2823-3")).await.expect(200);
        let mut fields = hidden(&form.text(), &address);
        fields.iter_mut().filter(|(name, _)| name == "codigo").for_each(|(_, code)| *code = "29463-7".to_owned());
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        lab.post(&address, &fields).await.expect(400);
    });
}

#[test]
fn only_the_laboratory_has_these_pages_and_markup_is_inert() {
    run(async {
        let medico = fhir("medico").await;
        let (patient, _) = person(&medico).await;
        let order = order(&medico, &patient, "2823-3", "Potasio").await;
        let payload = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>";
        let mut nasty = result(&format!("Patient/{patient}"), "preliminary");
        nasty["code"] = json!({"text": payload});
        nasty["valueQuantity"] = json!({"value": 1, "unit": payload});
        nasty["note"] = json!([{"authorString": payload, "text": payload}]);
        nasty["interpretation"] = json!([{"coding": [{"code": "HH"}]}]);
        let nasty = id(&medico.create(nasty).await);
        let pages = [
            "/resultados?ver=600".to_owned(),
            "/resultados/pacientes".to_owned(),
            "/resultados/historico".to_owned(),
            "/resultados/nuevo".to_owned(),
            format!("/resultados/nuevo/{patient}"),
            format!("/resultados/orden/{order}"),
            format!("/resultados/{nasty}"),
        ];
        for page in &pages {
            Browser::new().get(page).await.expect(401);
        }
        for role in ["medico", "admisionista", "admin", "paciente"] {
            let mut browser = Browser::of(role).await;
            for page in &pages {
                browser.get(page).await.expect(403);
            }
        }
        for language in ["es-CO", "en"] {
            let mut lab = Browser::of("resultados").await;
            lab.language = language.to_owned();
            for page in pages
                .iter()
                .cloned()
                .chain([format!("/resultados/nuevo?q={}", crate::harness::browser::encoded(payload))])
            {
                let shown = lab.get(&page).await.expect(200);
                hides(&shown, "<script>alert");
                hides(&shown, "<img src=x");
            }
        }
        let mut lab = Browser::of("resultados").await;
        lab.get("/resultados/no-existe").await.expect(404);
        lab.get("/resultados/orden/no-existe").await.expect(404);
        lab.get("/resultados/nuevo/no-existe").await.expect(404);
    });
}
