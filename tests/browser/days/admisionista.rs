//! The desk of admission: find, register, admit, transfer, discharge, cancel, hand out a code, see who comes by HL7.

use super::{ENTER, Someone, picture, surname};
use crate::harness::hl7::{Visit, accepted};
use crate::harness::mllp::Mllp;
use crate::harness::{server, unique};
use crate::person::{Person, Size};
use historia::i18n::Language;
use std::time::Duration;

/// The page asks what is new every half minute.
const POLLED: Duration = Duration::from_secs(60);

pub async fn admisionista(p: &Person) {
    let known = Someone::admitted().await;
    finds(p, &known).await;
    let registered = registers(p, &known).await;
    stays(p, &registered).await;
    p.step("make an activation code");
    p.open(&registered).await;
    p.follow("form[action$=\"/codigo\"] button").await;
    p.sees("activation.title").await;
    let code = p.text_of("main .code").await;
    if code.replace(['-', ' '], "").len() != 12 {
        p.fail(&format!("the code is {code}")).await;
    }
    p.look("22", "codigo-de-activacion").await;
    somebody_comes(p).await;
    p.step("sign out");
    p.leave().await;
}

async fn finds(p: &Person, known: &Someone) {
    p.step("sign in");
    p.enter("admisionista").await;
    if p.address().await != "/admision" {
        p.fail("this is not the desk").await;
    }
    p.step("look at the arrivals of today");
    p.link("/admision/llegadas").await;
    p.sees("admission.arrivals_today").await;
    p.look(picture(p, "02", "03"), "llegadas").await;
    p.step("find by a surname while typing, without its accents");
    p.open("/admision?q=").await;
    p.search("munoz", 4).await;
    p.reads("Muñoz Peñaranda").await;
    p.look(picture(p, "02", "03"), "buscar").await;
    p.step("find nobody");
    p.search("zzzznadie", 0).await;
    p.sees_with("admission.found.many", &[("n", "0")]).await;
    p.step("find by the document");
    p.search(&known.number, 1).await;
    p.sees_with("admission.found.one", &[("n", "1")]).await;
    p.step("open the first with Enter");
    p.key_leads(ENTER).await;
    p.reads(&known.surname).await;
    p.sees("admission.current").await;
    p.look("20", "paciente-en-admision").await;
}

async fn registers(p: &Person, known: &Someone) -> String {
    p.step("begin to register");
    p.open("/admision").await;
    p.link("/admision/registrar").await;
    p.sees("register_patient.title").await;
    p.look(picture(p, "04", "05"), "registrar").await;
    p.step("send a telephone number that is too short");
    let number = unique();
    p.choose("tipo", "CC").await;
    p.fill(&[("numero", &number), ("apellido1", &known.surname), ("apellido2", "Güiza"), ("nombre1", "Ana")]).await;
    p.write("nacimiento", "29/02/1984").await;
    p.choose("sexo", "female").await;
    if p.has("main [name=\"municipio_codigo\"]:not([type=hidden])").await {
        p.fill(&[("municipio", "Soacha"), ("municipio_codigo", "25754")]).await;
    } else {
        p.write("municipio", "25754").await;
    }
    p.write("celular", "300999412").await;
    p.send("apellido1").await;
    p.sees_with("register_patient.phone_wrong.many", &[("n", "9")]).await;
    p.sees("form.to_correct.one").await;
    p.holds("apellido1", &known.surname).await;
    p.finds("[name=\"celular\"][aria-invalid=\"true\"]").await;
    p.step("be led to the field by the summary");
    p.press("#errors a").await;
    const FOCUSED: &str = "return document.activeElement.name";
    p.until("in the field", async || p.ask(FOCUSED, serde_json::json!([])).await == "celular").await;
    p.look(picture(p, "04", "05"), "registrar-con-error").await;
    p.step("be shown a possible duplicate");
    p.write("celular", "3009994120").await;
    p.send("apellido1").await;
    p.sees("duplicate.title").await;
    p.reads(&known.surname).await;
    p.look(picture(p, "04", "05"), "registrar-posible-duplicado").await;
    p.step("say that it is another person");
    p.follow("main button[name=\"otra\"]").await;
    p.sees("said.registered").await;
    p.reads("3009994120").await;
    p.address().await.split('?').next().unwrap_or_default().to_owned()
}

/// The four days are played at once, and a bed that is taken is asked about.
fn bed(p: &Person, number: u16) -> String {
    format!("{number}-{}-{}", p.size.name(), p.language.code())
}

async fn stays(p: &Person, patient: &str) {
    let (bed, other) = (bed(p, 417), bed(p, 309));
    p.step("admit without a reason");
    p.follow("main a[href$=\"/ingresar\"]").await;
    p.choose("clase", "IMP").await;
    p.fill(&[("servicio", "Medicina interna"), ("cama", &bed)]).await;
    p.send("servicio").await;
    p.finds("[name=\"motivo\"][aria-invalid=\"true\"]").await;
    p.holds("cama", &bed).await;
    p.look("21", "ingresar").await;
    p.step("admit");
    p.write("motivo", "Neumonía").await;
    p.send("servicio").await;
    p.sees("said.admitted").await;
    p.reads(&bed).await;
    p.step("transfer");
    p.follow("main a[href$=\"/trasladar\"]").await;
    p.fill(&[("servicio", "Cirugía"), ("cama", &other)]).await;
    p.send("servicio").await;
    p.sees("said.transferred").await;
    p.reads(&other).await;
    p.step("discharge");
    p.follow("main a[href$=\"/egresar\"]").await;
    p.choose("destino", "home").await;
    p.look("21", "egresar").await;
    p.send("destino").await;
    p.sees("said.discharged").await;
    p.step("admit by mistake");
    p.open(&format!("{patient}/ingresar")).await;
    p.choose("clase", "AMB").await;
    p.fill(&[("servicio", "Pediatría"), ("motivo", "Control")]).await;
    p.send("servicio").await;
    p.sees("said.admitted").await;
    p.step("cancel what was a mistake");
    p.follow("main a[href$=\"/cancelar\"]").await;
    p.sees("admission.cancel_3").await;
    p.look("21", "cancelar-ingreso").await;
    p.follow("main form[action$=\"/cancelar\"] button[type=submit]").await;
    p.sees("said.cancelled").await;
}

/// An admission comes by HL7 while the arrivals are open: it is told, and shown when one asks for it.
async fn somebody_comes(p: &Person) {
    p.step("keep the arrivals open");
    p.open("/admision/llegadas").await;
    let visit = Visit { family: surname().to_uppercase(), ..Visit::new() };
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(-5)));
    let (today, time) = (now.strftime("%Y%m%d").to_string(), now.strftime("%H%M%S").to_string());
    let control = unique();
    let message = visit.a01(&control).replace("20240301", &today).replace("081000", &time).replace("081500", &time);
    accepted(&Mllp::connect(&server().mllp()).await.ask(message.as_bytes()).await, &control);
    p.step("see who came by HL7");
    // The page asks every half minute: one of the four days waits for it, the others look again.
    if (p.size, p.language) == (Size::Desk, Language::Es) {
        p.until_in(POLLED, "told", async || p.has("#llegadas-nuevas:not([hidden])").await).await;
        p.reads_no(&visit.family).await;
        p.press("#llegadas-nuevas").await;
    } else {
        p.open("/admision/llegadas").await;
    }
    p.reads(&visit.family).await;
    p.look(picture(p, "02", "03"), "llegada-por-hl7").await;
}
