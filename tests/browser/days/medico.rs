//! The ward: find, read the chart, record signs, an observation, a problem; correct; the PDF.

use super::ward::ward;
use super::{DOWN, ENTER, POTASSIUM, Someone, number, picture};
use crate::harness::fhir;
use crate::person::Person;
use serde_json::json;

pub async fn medico(p: &Person) {
    let someone = Someone::admitted().await;
    someone
        .result(POTASSIUM, "final", json!(4.6), "mmol/L", (json!(3.5), json!(5.1)), "2024-05-06T07:08:09-05:00")
        .await;
    let last = someone
        .result(POTASSIUM, "final", json!(6.3), "mmol/L", (json!(3.5), json!(5.1)), "2024-08-06T07:08:09-05:00")
        .await;
    let chart = format!("/paciente/{}", someone.id);
    reads(p, &someone).await;
    p.step("find another one with the arrow and Enter");
    p.open("/medico").await;
    p.search(&someone.surname, 1).await;
    p.keys(DOWN).await;
    p.key_leads(ENTER).await;
    p.reads(&someone.surname).await;
    p.reads(&number(p, "6.3")).await;
    signs(p, &chart).await;
    observes(p, &chart).await;
    has_a_problem(p, &chart).await;
    conflicts(p, &chart, last["id"].as_str().unwrap_or_default()).await;
    ward(p, &someone, &chart).await;
    p.step("take the PDF");
    p.open(&chart).await;
    p.pdf("/exportar_pdf/").await;
    p.step("sign out");
    p.leave().await;
}

async fn reads(p: &Person, someone: &Someone) {
    p.step("sign in");
    p.enter("medico").await;
    p.look("23", "pacientes").await;
    p.step("find by the document");
    p.search("51.999.208", 1).await;
    p.key_leads(ENTER).await;
    p.step("read the chart");
    p.reads("Muñoz Peñaranda").await;
    for key in ["chart.results", "chart.signs", "chart.problems", "chart.medication"] {
        p.sees(key).await;
    }
    p.reads_no(&someone.surname).await;
    p.finds("svg.trend[role=img][aria-label]").await;
    p.look(picture(p, "06", "07"), "historia").await;
    p.step("look at one result through time");
    p.follow("main a[href*=\"/registro/Observation/\"]").await;
    p.sees("versions.title").await;
    p.look("24", "resultado-en-el-tiempo").await;
}

/// By the action of the patient, or by the page of all that can be added.
pub async fn add(p: &Person, chart: &str, what: &str) {
    p.open(chart).await;
    let direct = format!("a[href^=\"{chart}/{what}\"]");
    const SHOWN: &str = "return [...document.querySelectorAll(arguments[0])].some((e) => e.checkVisibility())";
    if p.ask(SHOWN, serde_json::json!([direct])).await != true {
        p.follow(&format!("a[href=\"{chart}/agregar\"]")).await;
        p.look("24", "agregar").await;
    }
    p.follow(&direct).await;
}

async fn signs(p: &Person, chart: &str) {
    p.step("begin with vital signs");
    add(p, chart, "signos").await;
    p.step("write a temperature that no one has");
    p.fill(&[("sistolica", "142"), ("diastolica", "86"), ("respiratoria", "32"), ("temperatura", "368")]).await;
    p.send("temperatura").await;
    p.sees_with("signs.impossible", &[("value", "368"), ("unit", "°C")]).await;
    p.sees_with("signs.meant", &[("value", &number(p, "36.8"))]).await;
    p.holds("sistolica", "142").await;
    p.look("08", "signos-limite-duro").await;
    p.step("be asked about an unlikely value");
    p.write("temperatura", &number(p, "36.8")).await;
    p.send("temperatura").await;
    p.sees("signs.look").await;
    p.finds("input[name=\"respiratoria\"].soft").await;
    p.look("08", "signos-limite-blando").await;
    p.step("save it, because it was measured");
    p.send("temperatura").await;
    p.sees("said.saved").await;
    p.reads("142/86").await;
}

async fn observes(p: &Person, chart: &str) {
    p.step("look for an observation while typing");
    add(p, chart, "observacion").await;
    p.write("q", "potas").await;
    let hit = format!("#hallados a[href*=\"codigo={POTASSIUM}\"]");
    p.finds(&hit).await;
    p.look("25", "buscar-observacion").await;
    p.step("choose it");
    p.follow(&hit).await;
    p.step("write what is no number");
    p.fill(&[("valor", "cinco"), ("minimo", &number(p, "3.5")), ("maximo", &number(p, "5.1"))]).await;
    p.send("valor").await;
    p.sees("number.none").await;
    p.holds("valor", "cinco").await;
    p.look("25", "observacion").await;
    p.step("record it");
    p.write("valor", &number(p, "5.8")).await;
    p.send("valor").await;
    p.sees("said.saved").await;
    p.reads(&number(p, "5.8")).await;
}

async fn has_a_problem(p: &Person, chart: &str) {
    p.step("record a problem with a wrong code");
    add(p, chart, "problema").await;
    p.fill(&[("texto", "Neumonía"), ("codigo", "189")]).await;
    p.send("texto").await;
    p.sees("problem.code_wrong").await;
    p.look("26", "problema").await;
    p.step("record it");
    p.write("codigo", "J18.9").await;
    p.send("texto").await;
    p.sees("said.saved").await;
    p.reads("Neumonía").await;
    p.step("open the problem");
    p.follow("main a[href*=\"/registro/Condition/\"]").await;
    let entry = p.address().await;
    p.step("correct it without a reason");
    p.follow("a[href$=\"/corregir\"]").await;
    p.write("texto", "Neumonía leve").await;
    p.send("texto").await;
    p.finds("[name=\"motivo\"][aria-invalid=\"true\"]").await;
    p.look("26", "corregir").await;
    p.step("correct it");
    p.write("motivo", "Era leve").await;
    p.send("texto").await;
    p.sees("said.saved").await;
    p.step("read the old version");
    p.open(&entry).await;
    p.sees_with("versions.saved", &[("n", "1")]).await;
    p.sees_with("versions.saved", &[("n", "2")]).await;
    p.reads("Era leve").await;
    p.look("24", "versiones").await;
}

/// Somebody else corrects the same result meanwhile.
async fn conflicts(p: &Person, chart: &str, id: &str) {
    p.step("correct a result that somebody else changes");
    p.open(&format!("{chart}/registro/Observation/{id}/corregir")).await;
    let api = fhir("medico").await;
    let mut stored = api.get(&format!("Observation/{id}")).await.expect(200).json();
    stored["valueQuantity"]["value"] = serde_json::json!(6.1);
    api.put(&format!("Observation/{id}"), &stored).await.expect(200);
    p.fill(&[("valor", &number(p, "6.2")), ("motivo", "Otra lectura")]).await;
    p.send("valor").await;
    p.sees("conflict.title").await;
    p.reads(&number(p, "6.1")).await;
    p.reads(&number(p, "6.2")).await;
    p.look("14", "conflicto").await;
    p.step("choose one of both");
    p.follow("main form button[type=submit]").await;
    p.sees("said.saved").await;
}
