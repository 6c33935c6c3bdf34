//! What is the same for everybody: signing in, a session that ends, language, colours, no mouse, no scripts.

use super::{DOWN, ENTER, Someone, TAB};
use crate::harness::browser::Browser;
use crate::harness::fhir::account;
use crate::harness::{server, unique};
use crate::person::Person;
use historia::i18n::{Language, catalogue};
use serde_json::{Value, json};

pub async fn doors(p: &Person) {
    let someone = Someone::admitted().await;
    signs_in(p).await;
    choices(p).await;
    session_ends(p).await;
    by_keys(p, &someone).await;
    without_scripts(p, &someone).await;
}

async fn signs_in(p: &Person) {
    p.step("open the front door");
    p.open("/").await;
    p.sees("login.needed").await;
    p.open("/login").await;
    p.look("01", "ingreso").await;
    p.step("mistake the password");
    p.sign_in("medico", "no es esta").await;
    p.sees("login.wrong").await;
    p.holds("usuario", "medico").await;
    p.holds("clave", "").await;
    p.look("01", "ingreso-no-coincide").await;
    p.step("look at what one types");
    p.write("clave", "a la vista").await;
    p.press("button[data-show=\"clave\"]").await;
    p.finds("input[name=\"clave\"][type=\"text\"]").await;
    p.step("ask what to do without a password");
    p.link("/login/olvido").await;
    p.sees("forgotten.patients").await;
    p.look("20", "olvide-mi-clave").await;
    p.step("want a page, sign in, be there");
    let (usuario, clave) = server().login("medico");
    p.open("/medico?q=munoz").await;
    p.sees("login.needed").await;
    p.sign_in(&usuario, &clave).await;
    if p.address().await != "/medico?q=munoz" {
        p.fail("this is not the wanted page").await;
    }
    p.reads("Muñoz Peñaranda").await;
    p.step("ask for what is not there");
    p.open("/paciente/CC-0000000").await;
    p.sees("error.not_found").await;
    p.look("14", "error-no-esta").await;
}

async fn choices(p: &Person) {
    p.step("choose dark");
    p.open("/cuenta").await;
    p.follow("a[href^=\"/tema/oscuro\"]").await;
    p.finds("html[data-theme=\"dark\"]").await;
    p.look("27", "mi-cuenta-oscura").await;
    p.step("choose light again");
    p.follow("a[href^=\"/tema/claro\"]").await;
    p.finds("html[data-theme=\"light\"]").await;
    p.step("choose the other language");
    let other = match p.language {
        Language::Es => Language::En,
        Language::En => Language::Es,
    };
    p.follow(&format!("a[href^=\"/idioma/{}\"]", other.code())).await;
    p.reads(&catalogue(other)["account.title"]).await;
    p.finds(&format!("html[lang=\"{}\"]", other.tag())).await;
    p.step("and back");
    p.follow(&format!("a[href^=\"/idioma/{}\"]", p.language.code())).await;
    p.sees("account.title").await;
    p.leave().await;
}

/// The session is ended from elsewhere while a form is being filled.
async fn session_ends(p: &Person) {
    let (usuario, clave) = account(server(), "admisionista", &format!("CC-{}", unique()), None);
    p.step("fill a form until the session has ended");
    p.sign_in(&usuario, &clave).await;
    p.open("/admision/registrar").await;
    p.fill(&[("numero", "1234567"), ("apellido1", "Peña Ñungo"), ("nombre1", "Óscar")]).await;
    let cookies = p.session.call("GET", "cookie", &Value::Null).await.expect("cookies");
    let mut elsewhere = Browser::new();
    for cookie in cookies.as_array().into_iter().flatten() {
        let of = |name: &str| cookie[name].as_str().unwrap_or_default().to_owned();
        if of("name") == "__Host-historia" && (cookie["secure"] != true || cookie["httpOnly"] != true) {
            p.fail(&format!("the session's cookie is {cookie}")).await;
        }
        elsewhere.cookies.insert(of("name"), of("value"));
    }
    elsewhere.post("/logout", &[]).await.expect(303);
    p.send("apellido1").await;
    p.sees("login.ended").await;
    p.sees("login.draft_kept").await;
    p.look("01", "ingreso-sesion-terminada").await;
    p.step("sign in, and find everything as it was typed");
    p.sign_in(&usuario, &clave).await;
    p.sees("form.refilled").await;
    p.holds("apellido1", "Peña Ñungo").await;
    p.holds("numero", "1234567").await;
    p.leave().await;
}

async fn focused(p: &Person) -> String {
    const ASK: &str = "const e = document.activeElement; return e.id || e.getAttribute('href') || e.name || e.tagName";
    p.ask(ASK, json!([])).await.as_str().unwrap_or_default().to_owned()
}

/// Tab until this has the focus; wherever it goes on the way, it can be seen.
async fn tab_to(p: &Person, wanted: &str) {
    // It has an outline, and nothing lies over its middle (WCAG 2.2, 2.4.7 and 2.4.11).
    const SEEN: &str = "const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
        if (e === document.body) return true;
        const top = document.elementFromPoint((b.left + b.right) / 2, (b.top + b.bottom) / 2);
        return parseFloat(s.outlineWidth) >= 2 && s.outlineStyle !== 'none' && top !== null && (e.contains(top) || top.contains(e))";
    for _ in 0..40 {
        if focused(p).await == wanted {
            return;
        }
        p.keys(TAB).await;
        if p.ask(SEEN, json!([])).await != true {
            p.fail(&format!("the focus on {} cannot be seen", focused(p).await)).await;
        }
    }
    p.fail(&format!("Tab never comes to {wanted}")).await;
}

async fn by_keys(p: &Person, someone: &Someone) {
    let (usuario, clave) = server().login("medico");
    p.step("sign in by keys alone");
    p.open("/login").await;
    p.keys(&format!("{usuario}{TAB}{clave}")).await;
    p.key_leads(ENTER).await;
    p.sees("medico.find").await;
    p.step("skip what is on every page");
    p.open("/cuenta").await;
    p.keys(TAB).await;
    if focused(p).await != "#main" {
        p.fail(&format!("the first Tab comes to {}", focused(p).await)).await;
    }
    p.keys(ENTER).await;
    p.until("at the content", async || p.ask("return location.hash", json!([])).await == "#main").await;
    p.step("reach the password, and see the focus on the way");
    tab_to(p, "f-clave").await;
    p.step("walk through a long form, and see the focus on the way");
    p.open(&format!("/paciente/{}/signos", someone.id)).await;
    tab_to(p, "f-hora").await;
    p.step("find a patient and open the chart by keys");
    p.open("/medico").await;
    tab_to(p, "q").await;
    p.keys(&someone.surname).await;
    const FOUND: &str = "return document.querySelectorAll('#hallados [data-option][data-selected]').length === 1
        && document.querySelectorAll('#hallados [data-option]').length === 1";
    p.until("found", async || p.ask(FOUND, json!([])).await == true).await;
    p.keys(DOWN).await;
    p.key_leads(ENTER).await;
    p.reads(&someone.surname).await;
    p.leave().await;
}

async fn without_scripts(p: &Person, someone: &Someone) {
    p.session.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    p.step("sign in without scripts");
    p.enter("medico").await;
    p.step("find a patient without scripts");
    p.write("q", &someone.number).await;
    p.key_leads(ENTER).await;
    p.follow(&format!("main a[href=\"/paciente/{}\"]", someone.id)).await;
    p.step("record a sign without scripts, a wrong one first");
    p.open(&format!("/paciente/{}/signos", someone.id)).await;
    p.write("temperatura", "368").await;
    p.send("temperatura").await;
    p.sees_with("signs.impossible", &[("value", "368"), ("unit", "°C")]).await;
    p.write("temperatura", "37").await;
    p.send("temperatura").await;
    p.sees("said.saved").await;
    p.step("sign out without scripts");
    p.leave().await;
    p.session.devtools("Emulation.setScriptExecutionDisabled", json!({"value": false})).await;
}
