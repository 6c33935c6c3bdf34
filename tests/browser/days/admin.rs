//! The administrator: accounts, clients, message counts, the audit list.

use crate::harness::unique;
use crate::person::Person;

pub async fn admin(p: &Person) {
    p.step("sign in");
    p.enter("admin").await;
    p.sees("admin.users").await;
    p.look("28", "cuentas").await;
    let usuario = format!("ana-{}", unique());
    let secret = adds(p, &usuario).await;
    first_time(p, &usuario, &secret).await;
    ends(p, &usuario).await;
    clients(p).await;
    reads(p).await;
    p.step("sign out");
    p.leave().await;
}

async fn adds(p: &Person, usuario: &str) -> String {
    p.step("add an account whose name is taken");
    p.link("/admin/cuentas/nueva").await;
    p.fill(&[("nombre", "Ana Quiñones"), ("usuario", "medico"), ("documento", &format!("CC-{}", unique()))]).await;
    p.choose("rol", "medico").await;
    p.send("nombre").await;
    p.sees("admin.usuario_taken").await;
    p.holds("nombre", "Ana Quiñones").await;
    p.look("28", "cuenta-nueva").await;
    p.step("add it under another name");
    p.write("usuario", usuario).await;
    p.send("nombre").await;
    p.sees("admin.password_title").await;
    p.look("28", "clave-para-entregar").await;
    p.text_of("main .code").await
}

async fn first_time(p: &Person, usuario: &str, secret: &str) {
    p.step("the new person signs in and must change the password");
    p.leave().await;
    p.sign_in(usuario, secret).await;
    p.sees("account.must_change").await;
    p.look("27", "cambiar-la-clave").await;
    p.fill(&[("clave", secret), ("clave_nueva", "una frase de Ana bien larga 3")]).await;
    p.send("clave_nueva").await;
    p.sees("said.password").await;
    p.step("and is at the desk of the role");
    p.open("/").await;
    p.sees("medico.find").await;
    p.leave().await;
}

async fn ends(p: &Person, usuario: &str) {
    p.step("find the account while typing");
    p.enter("admin").await;
    p.write("q", usuario).await;
    p.sees_with("admin.accounts.one", &[("n", "1")]).await;
    p.reads("Ana Quiñones").await;
    p.step("ask for a new password, and go back");
    p.link(&format!("/admin/cuentas/{usuario}/clave")).await;
    p.sees("admin.reset_1").await;
    p.look("28", "clave-nueva").await;
    p.follow("main a.btn[href^=\"/admin\"]").await;
    p.step("disable the account");
    p.open(&format!("/admin?q={usuario}")).await;
    p.link(&format!("/admin/cuentas/{usuario}/deshabilitar")).await;
    p.look("28", "deshabilitar-cuenta").await;
    p.follow("main form[action$=\"/deshabilitar\"] button[type=submit]").await;
    p.sees("said.user_disabled").await;
}

async fn clients(p: &Person) {
    p.step("see the clients");
    p.link("/admin/clientes").await;
    p.look("29", "clientes").await;
    p.step("add a client that does not fit its type");
    let id = format!("app-{}", unique());
    p.link("/admin/clientes/nuevo").await;
    p.write("id", &id).await;
    p.choose("tipo", "public").await;
    p.send("id").await;
    p.sees("admin.type_wrong").await;
    p.look("29", "cliente-nuevo").await;
    p.step("add it");
    p.choose("tipo", "confidential").await;
    p.send("id").await;
    p.sees("admin.secret_title").await;
    p.step("disable it");
    p.open("/admin/clientes").await;
    p.link(&format!("/admin/clientes/{id}/deshabilitar")).await;
    p.sees("admin.disable_client_1").await;
    p.follow("main form[action$=\"/deshabilitar\"] button[type=submit]").await;
    p.sees("said.client_disabled").await;
}

async fn reads(p: &Person) {
    p.step("count the messages");
    p.link("/admin/mensajes").await;
    p.sees("admin.messages_title").await;
    p.look("30", "mensajes").await;
    p.step("count those of a month");
    p.follow("main a[href*=\"dias=30\"]").await;
    p.step("read the audit list");
    p.link("/admin/auditoria").await;
    p.sees("admin.audit_title").await;
    p.look("31", "auditoria").await;
    p.step("filter it by role");
    p.choose("rol", "admin").await;
    p.send("rol").await;
    p.sees("action.login").await;
    p.step("filter for what nobody did");
    p.write("quien", "nadie-de-este-nombre").await;
    p.send("rol").await;
    p.sees("admin.audit_none").await;
    p.look("31", "auditoria-vacia").await;
}
