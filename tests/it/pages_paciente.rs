//! `/mi-historia`: what a patient sees of the own record, and nothing of anybody else's.

use crate::harness::browser::Browser;
use crate::harness::data::{encounter, patient_with, result};
use crate::harness::fhir::account;
use crate::harness::{Fhir, Reply, fhir, run, server, unique};
use serde_json::{Value, json};

const PAGES: [&str; 4] = ["/mi-historia", "/mi-historia/resultados", "/mi-historia/visitas", "/mi-historia/accesos"];

#[track_caller]
fn shows(reply: &Reply, text: &str) {
    assert!(reply.text().contains(text), "{}: no {text:?} in {}", reply.asked, reply.text());
}

#[track_caller]
fn hides(reply: &Reply, text: &str) {
    assert!(!reply.text().contains(text), "{}: {text:?} in {}", reply.asked, reply.text());
}

/// A patient that the physician has recorded; the id.
async fn someone(medico: &Fhir, family: &str) -> String {
    let mut person = patient_with(&unique());
    person["name"][0]["family"] = family.into();
    medico.create(person).await["id"].as_str().unwrap().to_owned()
}

/// Signed in as the patient.
async fn patient(id: &str) -> Browser {
    let (usuario, clave) = account(server(), "paciente", &format!("CC-{}", unique()), Some(id));
    let mut browser = Browser::new();
    browser.sign_in(&usuario, &clave).await.expect(303);
    browser
}

fn glucose(subject: &str, status: &str, value: u32, when: &str) -> Value {
    let mut glucose = result(subject, status);
    glucose["effectiveDateTime"] = when.into();
    glucose["valueQuantity"] = json!({"value": value, "unit": "mg/dL"});
    glucose["referenceRange"] =
        json!([{"low": {"value": 70, "unit": "mg/dL"}, "high": {"value": 100, "unit": "mg/dL"}}]);
    glucose
}

#[test]
fn a_patient_reads_the_own_record() {
    run(async {
        let medico = fhir("medico").await;
        let id = someone(&medico, "Ñúñez Güiza").await;
        let subject = format!("Patient/{id}");
        medico.create(glucose(&subject, "final", 90, "2024-05-06T07:08:09-05:00")).await;
        let last = medico.create(glucose(&subject, "final", 141, "2024-08-06T07:08:09-05:00")).await;
        medico.create(glucose(&subject, "preliminary", 977, "2024-09-06T07:08:09-05:00")).await;
        medico.create(encounter(&subject)).await;
        medico.create(json!({"resourceType": "Condition", "subject": {"reference": subject}, "code": {"text": "Migraña crónica"}})).await;
        let mut browser = patient(&id).await;
        assert_eq!(browser.get("/").await.expect(303).header("location"), "/mi-historia");
        let home = browser.get("/mi-historia").await.expect(200);
        for text in [
            "Hola, Ana María",
            "Migraña crónica",
            "Azúcar en la sangre",
            "Más alto de lo esperado",
            "aria-current=\"page\"",
        ] {
            shows(&home, text);
        }
        shows(&home, &format!("/exportar_pdf/{id}"));
        let list = browser.get("/mi-historia/resultados").await.expect(200);
        // What is not final is not there, neither as the last value nor as a point of the trend.
        hides(&list, "977");
        let address = format!("/mi-historia/resultados/{}/0", last["id"].as_str().unwrap());
        shows(&list, &address);
        let one = browser.get(&address).await.expect(200);
        for text in [
            "<span class=\"big\">141</span>",
            "Más alto de lo esperado (70 a 100)",
            "Subió de 90 a 141",
            "Háblelo con su médico",
            "<svg class=\"large\"",
        ] {
            shows(&one, text);
        }
        hides(&one, "977");
        browser.get(&format!("{}/9", address.trim_end_matches("/0"))).await.expect(404);
        browser.get("/mi-historia/resultados/no-existe/0").await.expect(404);
        shows(&browser.get("/mi-historia/visitas").await.expect(200), "Consulta externa");
        let pdf = browser.get(&format!("/exportar_pdf/{id}")).await.expect(200);
        assert!(pdf.body.starts_with(b"%PDF"), "no PDF");
        browser.language = "en".to_owned();
        shows(&browser.get(&address).await.expect(200), "Higher than expected");
    });
}

#[test]
fn a_patient_sees_who_looked() {
    run(async {
        let medico = fhir("medico").await;
        let id = someone(&medico, "Peña").await;
        let other = someone(&medico, "Otra").await;
        let mut browser = patient(&id).await;
        medico.get(&format!("Patient/{id}")).await.expect(200);
        medico.get(&format!("Patient/{id}/$everything")).await.expect(200);
        let seen = browser.get("/mi-historia/accesos").await.expect(200);
        for text in ["Médico", "Vio: datos personales", "Vio su historia completa", "Registró: datos personales"] {
            shows(&seen, text);
        }
        // The own entries are not told as those of others, and nothing of another patient is.
        let mut of_other = patient(&other).await;
        of_other.get("/mi-historia").await.expect(200);
        let theirs = of_other.get("/mi-historia/accesos").await.expect(200);
        hides(&theirs, "Vio su historia completa");
        shows(&theirs, "Registró: datos personales");
    });
}

#[test]
fn from_the_code_of_admission_to_the_first_page() {
    run(async {
        let (medico, mut clerk) = (fhir("medico").await, Browser::of("admisionista").await);
        let number = unique();
        let mut person = patient_with(&number);
        person["birthDate"] = "1990-02-01".into();
        person["address"] =
            json!([{"use": "home", "city": "Soacha", "district": "25754", "state": "Cundinamarca", "country": "COL"}]);
        let id = medico.create(person).await["id"].as_str().unwrap().to_owned();
        let page = clerk.get(&format!("/admision/paciente/{id}")).await.expect(200);
        let shown = clerk.fill(&page, &format!("/paciente/{id}/codigo"), &[]).await.expect(200);
        let code =
            shown.text().split("class=\"code\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
        // Sent twice, it is the same code; asked for again, one is told that there is one.
        let twice = clerk.fill(&page, &format!("/paciente/{id}/codigo"), &[]).await.expect(200);
        assert_eq!(twice.text(), shown.text());
        let page = clerk.get(&format!("/admision/paciente/{id}")).await.expect(200);
        let asked = clerk.fill(&page, &format!("/paciente/{id}/codigo"), &[]).await.expect(200);
        shows(&asked, "Hay un código que todavía sirve");
        hides(&asked, &code);
        let (mut browser, clave) = (Browser::new(), "una frase bastante larga 8");
        let document = format!("CC {number}");
        let typed = [
            ("documento_id", document.as_str()),
            ("fecha_nacimiento", "01/02/1990"),
            ("codigo", code.as_str()),
            ("clave", clave),
        ];
        let wrong =
            browser.post("/registro", &[typed[0], ("fecha_nacimiento", "02/02/1990"), typed[2], typed[3]]).await;
        assert_eq!(wrong.status, 403);
        browser.post("/registro", &typed).await.expect(303);
        // It is used: now another is made at once, and then only after the question.
        let page = clerk.get(&format!("/admision/paciente/{id}")).await.expect(200);
        clerk.fill(&page, &format!("/paciente/{id}/codigo"), &[]).await.expect(200);
        let page = clerk.get(&format!("/admision/paciente/{id}")).await.expect(200);
        let asked = clerk.fill(&page, &format!("/paciente/{id}/codigo"), &[]).await.expect(200);
        let other = clerk.fill(&asked, &format!("/paciente/{id}/codigo"), &[]).await.expect(200);
        shows(&other, "class=\"code\"");
        browser.sign_in(&document, clave).await.expect(303);
        // Nothing is in it yet: each page says what will be.
        let home = browser.get("/mi-historia").await.expect(200);
        for text in
            ["Su historia ya está abierta", "Todavía no le han preguntado por alergias", "Soacha, Cundinamarca (25754)"]
        {
            shows(&home, text);
        }
        hides(&home, "COL");
        shows(&browser.get("/mi-historia/resultados").await.expect(200), "Todavía no hay resultados");
        shows(&browser.get("/mi-historia/visitas").await.expect(200), "Todavía no hay visitas");
        shows(&browser.get("/mi-historia/accesos").await.expect(200), "Hizo su código de activación");
        medico.create(encounter(&format!("Patient/{id}"))).await;
        hides(&browser.get("/mi-historia").await.expect(200), "Su historia ya está abierta");
    });
}

#[test]
fn only_patients_have_these_pages() {
    run(async {
        for page in PAGES {
            Browser::new().get(page).await.expect(401);
        }
        for role in ["medico", "admisionista", "resultados", "admin"] {
            let mut browser = Browser::of(role).await;
            for page in PAGES {
                browser.get(page).await.expect(403);
            }
            browser.get("/mi-historia/resultados/x/0").await.expect(403);
        }
        let medico = fhir("medico").await;
        let (id, other) = (someone(&medico, "Una").await, someone(&medico, "Otra").await);
        let theirs =
            medico.create(glucose(&format!("Patient/{other}"), "final", 90, "2024-05-06T07:08:09-05:00")).await;
        let mut browser = patient(&id).await;
        browser.get(&format!("/mi-historia/resultados/{}/0", theirs["id"].as_str().unwrap())).await.expect(404);
        browser.get(&format!("/exportar_pdf/{other}")).await.expect(404);
    });
}

#[test]
fn markup_in_a_record_is_inert_on_its_pages() {
    run(async {
        let medico = fhir("medico").await;
        let payloads = [
            "<script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "{{page.csrf}}",
            "'-alert(1)-'",
            "<svg/onload=alert(1)>",
        ];
        for payload in payloads {
            let id = someone(&medico, payload).await;
            let subject = json!({"reference": format!("Patient/{id}")});
            let mut value = result(&format!("Patient/{id}"), "final");
            value["code"] = json!({"text": payload});
            value["note"] = json!([{"text": payload}]);
            value["valueQuantity"] = json!({"value": 1, "unit": payload});
            let value = medico.create(value).await;
            medico.create(json!({"resourceType": "Condition", "subject": subject, "code": {"text": payload}})).await;
            medico
                .create(json!({"resourceType": "AllergyIntolerance", "patient": subject, "code": {"text": payload}}))
                .await;
            let mut visit = encounter(&format!("Patient/{id}"));
            visit["reasonCode"] = json!([{"text": payload}]);
            medico.create(visit).await;
            let mut browser = patient(&id).await;
            let one = format!("/mi-historia/resultados/{}/0", value["id"].as_str().unwrap());
            for page in PAGES.into_iter().chain([one.as_str()]) {
                let shown = browser.get(page).await.expect(200);
                for bad in ["<script>", "<img", "<svg/", "onerror=alert(1)>"] {
                    hides(&shown, bad);
                }
            }
        }
    });
}
