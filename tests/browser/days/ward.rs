//! More of the ward: allergies, orders, what is critical, who lies where.

use super::medico::add;
use super::{Someone, picture};
use crate::harness::fhir;
use crate::person::Person;
use serde_json::json;

pub async fn ward(p: &Person, someone: &Someone, chart: &str) {
    sees_what_is_critical(p, someone, chart).await;
    asks_about_allergies(p, chart).await;
    orders(p, chart).await;
    p.step("see who lies where");
    p.open("/medico").await;
    p.link("/medico/hospitalizados").await;
    p.sees("medico.bed").await;
    p.reads_no(&someone.surname).await;
    p.look("23", "hospitalizados").await;
}

async fn sees_what_is_critical(p: &Person, someone: &Someone, chart: &str) {
    let range = (json!(136), json!(145));
    let mut sodium = someone.result("2951-2", "final", json!(165), "mmol/L", range, "2024-08-06T07:08:09-05:00").await;
    sodium["interpretation"][0]["coding"][0]["code"] = "HH".into();
    let address = format!("Observation/{}", sodium["id"].as_str().unwrap_or_default());
    fhir("medico").await.put(&address, &sodium).await.expect(200);
    p.step("mark a critical value as seen");
    p.open(chart).await;
    p.sees("flag.critical_high").await;
    p.look(picture(p, "06", "07"), "historia-critico").await;
    p.follow("main form[action*=\"/visto/\"] button").await;
    p.sees("said.seen").await;
}

async fn asks_about_allergies(p: &Person, chart: &str) {
    p.step("see that nobody asked about allergies");
    p.open(chart).await;
    p.sees("banner.allergies_unasked").await;
    p.step("record an allergy without its substance");
    add(p, chart, "alergia").await;
    p.write("reaccion", "anafilaxia").await;
    p.send("sustancia").await;
    p.finds("[name=\"sustancia\"][aria-invalid=\"true\"]").await;
    p.holds("reaccion", "anafilaxia").await;
    p.look("26", "alergia").await;
    p.step("record it");
    p.write("sustancia", "Penicilina").await;
    p.choose("gravedad", "severe").await;
    p.send("sustancia").await;
    p.sees("said.saved").await;
    p.reads("Penicilina").await;
}

async fn orders(p: &Person, chart: &str) {
    p.step("order a medicine without the unit of its dose");
    add(p, chart, "medicacion").await;
    p.fill(&[("medicamento", "Penicilina"), ("dosis", "500"), ("frecuencia", p.word("prescribe.every8"))]).await;
    p.choose("via", "26643006").await;
    p.send("dosis").await;
    p.sees("prescribe.unit_missing").await;
    p.look("26", "orden").await;
    p.step("be told of the allergy");
    p.write("dosis", "500 mg").await;
    p.send("dosis").await;
    p.sees("prescribe.look").await;
    p.sees("prescribe.allergic").await;
    p.look("08", "orden-con-alergia").await;
    p.step("order it all the same");
    p.send("dosis").await;
    p.sees("said.saved").await;
    p.step("end the order without a reason");
    p.follow("main a[href*=\"/registro/MedicationRequest/\"]").await;
    p.follow("a[href$=\"/suspender\"]").await;
    p.choose("fin", "stopped").await;
    p.send("motivo").await;
    p.finds("[name=\"motivo\"][aria-invalid=\"true\"]").await;
    p.look("26", "suspender").await;
    p.step("end it");
    p.write("motivo", "Es alérgica").await;
    p.send("motivo").await;
    p.sees("said.saved").await;
}
