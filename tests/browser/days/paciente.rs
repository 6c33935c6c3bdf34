//! At home: the account opened with the code of admission, the own record in plain words, and who looked at it.

use super::Someone;
use crate::harness::browser::Browser;
use crate::harness::fhir;
use crate::person::Person;
use serde_json::json;

const CLAVE: &str = "una frase mía bien larga 4";
const NEW: &str = "otra frase mía más larga 5";

pub async fn paciente(p: &Person) {
    let someone = Someone::admitted().await;
    someone.result("2345-7", "final", json!(90), "mg/dL", (json!(70), json!(100)), "2024-05-06T07:08:09-05:00").await;
    someone.result("2345-7", "final", json!(141), "mg/dL", (json!(70), json!(100)), "2024-08-06T07:08:09-05:00").await;
    someone
        .result("718-7", "preliminary", json!(9.7), "g/dL", (json!(12), json!(16)), "2024-09-06T07:08:09-05:00")
        .await;
    let migraine =
        json!({"resourceType": "Condition", "subject": someone.subject(), "code": {"text": "Migraña crónica"}});
    fhir("medico").await.create(migraine).await;
    let code = code_of(&someone.id).await;
    activates(p, &someone, &code).await;
    reads_it(p).await;
    account(p, &someone).await;
    p.step("sign in as the patient of the samples");
    p.enter("paciente").await;
    p.look("11", "mi-historia").await;
    p.follow("main a[href=\"/mi-historia/resultados\"]").await;
    p.follow("main a[href^=\"/mi-historia/resultados/\"]").await;
    p.look("11", "un-resultado").await;
    p.step("sign out");
    p.leave().await;
}

/// What admission printed.
async fn code_of(id: &str) -> String {
    let mut clerk = Browser::of("admisionista").await;
    let page = clerk.get(&format!("/admision/paciente/{id}")).await.expect(200);
    let shown = clerk.fill(&page, &format!("/paciente/{id}/codigo"), &[]).await.expect(200).text();
    let code = shown.split("class=\"code\">").nth(1).and_then(|rest| rest.split('<').next());
    code.unwrap_or_else(|| panic!("no code in {shown}")).to_owned()
}

async fn activates(p: &Person, someone: &Someone, code: &str) {
    p.step("follow the link for patients");
    p.open("/login").await;
    p.link("/registro").await;
    p.sees("register.title").await;
    p.look("20", "registro").await;
    p.step("type another birth date than that of the record");
    let document = format!("CC-{}", someone.number);
    let typed =
        [("documento_id", document.as_str()), ("fecha_nacimiento", "01/03/1984"), ("codigo", code), ("clave", CLAVE)];
    p.fill(&typed).await;
    p.send("codigo").await;
    p.sees("register.refused").await;
    p.holds("documento_id", &document).await;
    p.look("20", "registro-rechazado").await;
    p.step("activate the account");
    p.fill(&[("fecha_nacimiento", "29/02/1984"), ("codigo", code), ("clave", CLAVE)]).await;
    p.send("codigo").await;
    p.sees("login.opened").await;
    p.step("sign in for the first time");
    p.sign_in(&document, CLAVE).await;
    p.sees_with("own.hello", &[("name", "Ana María")]).await;
    p.reads("Migraña crónica").await;
}

async fn reads_it(p: &Person) {
    p.step("see all results, the released ones alone");
    p.follow("main a[href=\"/mi-historia/resultados\"]").await;
    p.sees("own.name.2345-7").await;
    p.sees("own.high").await;
    p.reads_no("9,7").await;
    p.reads_no(p.word("own.name.718-7")).await;
    p.look("11", "mis-resultados").await;
    p.step("understand one result");
    p.follow("main a[href^=\"/mi-historia/resultados/\"]").await;
    p.reads("141").await;
    p.sees_with("own.rose", &[("from", "90"), ("to", "141")]).await;
    p.sees("own.talk").await;
    p.finds("svg.large[role=img][aria-label]").await;
    p.look("11", "resultado-con-tendencia").await;
    p.step("see the visits");
    p.open("/mi-historia").await;
    p.link("/mi-historia/visitas").await;
    p.sees("own.visits_help").await;
    p.sees("class.AMB").await;
    p.look("11", "mis-visitas").await;
    p.step("see who looked");
    p.link("/mi-historia/accesos").await;
    p.sees("own.seen_help").await;
    p.sees("role.medico").await;
    p.look("11", "quien-la-vio").await;
    p.step("take the PDF");
    p.open("/mi-historia").await;
    p.pdf("/exportar_pdf/").await;
    p.step("be kept out of the desk of others");
    p.open("/admision").await;
    p.sees("error.forbidden").await;
    p.look("14", "error-sin-permiso").await;
}

async fn account(p: &Person, someone: &Someone) {
    p.step("mistake the present password");
    p.open("/cuenta").await;
    p.fill(&[("clave", "no es esta clave"), ("clave_nueva", NEW)]).await;
    p.send("clave_nueva").await;
    p.sees("account.present_wrong").await;
    p.look("27", "mi-cuenta").await;
    p.step("change the password");
    p.fill(&[("clave", CLAVE), ("clave_nueva", NEW)]).await;
    p.send("clave_nueva").await;
    p.sees("said.password").await;
    p.step("sign out, and in with the new one");
    p.leave().await;
    p.sign_in(&format!("CC-{}", someone.number), NEW).await;
    p.sees_with("own.hello", &[("name", "Ana María")]).await;
    p.leave().await;
}
