//! The laboratory: the worklist, a result entered, a critical value told, validated, corrected.

use super::{POTASSIUM, Someone, number, picture};
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
    p.reads("Muñoz Peñaranda").await;
    p.sees("flag.critical_high").await;
    p.look(picture(p, "09", "10"), "lista-de-trabajo").await;
    p.step("see what is pending alone");
    p.follow("a[href*=\"filtro=pendientes\"]").await;
    p.reads(&someone.surname).await;
    enters(p, &order).await;
    let found = fhir("medico").await.get(&format!("Observation?patient={}", someone.id)).await.expect(200).ids();
    let result = format!("/resultados/{}", found.first().map(String::as_str).unwrap_or_default());
    validates(p, &result).await;
    corrects(p, &result).await;
    finds(p, &someone).await;
    p.step("sign out");
    p.leave().await;
}

async fn enters(p: &Person, order: &str) {
    p.step("open the order that waits longest");
    p.follow(&format!("a[href^=\"/resultados/orden/{order}\"]")).await;
    p.look(picture(p, "09", "10"), "ingresar-resultado").await;
    p.step("write what is no number");
    let (value, low, high) = (format!("valor-{POTASSIUM}"), format!("desde-{POTASSIUM}"), format!("hasta-{POTASSIUM}"));
    p.fill(&[(&value, "alto"), (&low, "3,5"), (&high, "5,1")]).await;
    p.send(&value).await;
    p.sees("number.none").await;
    p.holds(&low, "3,5").await;
    p.look(picture(p, "09", "10"), "ingresar-con-error").await;
    p.step("enter a critical value, and be led to its notice");
    p.write(&value, "6,9").await;
    p.send(&value).await;
    p.sees("said.lab_critical").await;
    p.sees("lab.notice").await;
}

async fn validates(p: &Person, result: &str) {
    p.step("open the critical result from the list");
    p.open("/resultados").await;
    p.follow(&format!("a[href^=\"{result}\"]")).await;
    p.sees("lab.notice").await;
    p.step("validate without having told anybody");
    p.follow("button[name=\"hacer\"][value=\"final\"]").await;
    p.sees("lab.notice_missing").await;
    p.look(picture(p, "09", "10"), "validar-critico").await;
    p.step("tell, and validate");
    p.fill(&[("aviso", "Dra. Ortegón"), ("hora", "00:00")]).await;
    p.tick("repitio").await;
    p.follow("button[name=\"hacer\"][value=\"final\"]").await;
    p.sees("said.lab_final").await;
}

async fn corrects(p: &Person, result: &str) {
    p.step("correct without a reason");
    p.open(result).await;
    p.write("valor", "4,7").await;
    p.send("valor").await;
    p.finds("[name=\"motivo\"][aria-invalid=\"true\"]").await;
    p.holds("valor", "4,7").await;
    p.look(picture(p, "09", "10"), "corregir-resultado").await;
    p.step("correct");
    p.write("motivo", "Dilución").await;
    p.send("valor").await;
    p.sees("said.lab_corrected").await;
    p.step("read what it was before");
    p.open(result).await;
    p.follow("a[href*=\"/registro/Observation/\"]").await;
    p.sees_with("versions.saved", &[("n", "1")]).await;
    p.reads(&number(p, "6.9")).await;
    p.look("24", "versiones-de-un-resultado").await;
}

async fn finds(p: &Person, someone: &Someone) {
    p.step("find a patient");
    p.open("/resultados").await;
    p.link("/resultados/pacientes").await;
    p.search(&someone.surname, 1).await;
    p.look("23", "pacientes-del-laboratorio").await;
    p.step("read the chart, which it may not write");
    p.follow("#hallados [data-option] a").await;
    p.reads(&someone.surname).await;
    if p.has("a[href$=\"/signos\"]").await {
        p.fail("the laboratory may record vital signs").await;
    }
    p.step("take the PDF");
    p.pdf("/exportar_pdf/").await;
    p.step("begin with a result that nobody ordered");
    p.open("/resultados").await;
    p.link("/resultados/nuevo").await;
    p.search(&someone.surname, 1).await;
    p.follow("#hallados [data-option] a").await;
    p.sees("lab.find_exam").await;
    p.write("q", "hemog").await;
    p.finds("#hallados [data-option] a").await;
    p.look(picture(p, "09", "10"), "buscar-examen").await;
    p.step("see the finals of a day");
    p.open("/resultados").await;
    p.link("/resultados/historico").await;
    p.sees("lab.history_title").await;
    p.look(picture(p, "09", "10"), "historico").await;
}
