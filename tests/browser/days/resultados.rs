//! The laboratory: the worklist, a result entered, a critical value told, validated, corrected.

use super::{POTASSIUM, Someone, picture};
use crate::harness::fhir;
use crate::person::Person;
use serde_json::json;

pub async fn resultados(p: &Person) {
    let someone = Someone::admitted().await;
    let order = json!({
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": someone.subject(),
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": POTASSIUM}], "text": "Potasio"},
        "authoredOn": "2020-03-01T08:00:00-05:00"
    });
    let order = fhir("medico").await.create(order).await["id"].as_str().unwrap_or_default().to_owned();
    p.step("sign in");
    p.enter("resultados").await;
    p.step("read the worklist");
    p.reads(&someone.surname).await;
    p.look(picture(p, "09", "10"), "lista-de-trabajo").await;
    enters(p, &order).await;
    let found = fhir("medico").await.get(&format!("Observation?patient={}", someone.id)).await.expect(200).ids();
    let result = format!("/resultados/{}", found.first().map(String::as_str).unwrap_or_default());
    validates(p, &result).await;
    corrects(p, &result).await;
    p.step("read the chart, which it may not write");
    p.open(&format!("/paciente/{}", someone.id)).await;
    p.reads(&someone.surname).await;
    if p.has("a[href$=\"/signos\"]").await {
        p.fail("the laboratory may record vital signs").await;
    }
    p.step("take the PDF");
    p.pdf("/exportar_pdf/").await;
    p.step("sign out");
    p.leave().await;
}

async fn enters(p: &Person, order: &str) {
    p.step("open the order that waits longest");
    p.link(&format!("/resultados/orden/{order}")).await;
    p.step("write what is no number");
    p.fill(&[("valor", "alto"), ("desde", "3,5"), ("hasta", "5,1")]).await;
    p.send("valor").await;
    p.sees("lab.number_wrong").await;
    p.holds("desde", "3,5").await;
    p.look(picture(p, "09", "10"), "ingresar-resultado").await;
    p.step("enter a critical value");
    p.write("valor", "6,9").await;
    p.tick("critico").await;
    p.send("valor").await;
    p.sees("said.saved").await;
}

async fn validates(p: &Person, result: &str) {
    p.step("open the critical result");
    p.open("/resultados").await;
    p.link(result).await;
    p.sees("lab.notice").await;
    p.step("validate without having told anybody");
    p.send("valor").await;
    p.finds("[name=\"aviso\"][aria-invalid=\"true\"]").await;
    p.sees("lab.read_back_missing").await;
    p.look(picture(p, "09", "10"), "validar-critico").await;
    p.step("tell, and validate");
    p.fill(&[("aviso", "Dra. Ortegón"), ("hora", "07:20")]).await;
    p.tick("repitio").await;
    p.send("valor").await;
    p.sees("said.saved").await;
}

async fn corrects(p: &Person, result: &str) {
    p.step("correct without a reason");
    p.open("/resultados").await;
    p.link(result).await;
    p.write("valor", "6,7").await;
    p.send("valor").await;
    p.finds("[name=\"motivo\"][aria-invalid=\"true\"]").await;
    p.holds("valor", "6,7").await;
    p.look(picture(p, "09", "10"), "corregir-resultado").await;
    p.step("correct");
    p.write("motivo", "Dilución").await;
    p.send("valor").await;
    p.sees("said.saved").await;
}
