//! Pages that everybody has: signing in and out, sessions and forms, one's own account, registration, administration.

use crate::harness::browser::{Browser, encoded, hidden, value_of};
use crate::harness::data::patient_with;
use crate::harness::fhir::{account, signed_in};
use crate::harness::{Fhir, Reply, Start, anonymous, fhir, run, server, skip, unique};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const SESSION: &str = "__Host-historia";

#[track_caller]
fn shows(reply: &Reply, text: &str) {
    assert!(reply.text().contains(text), "{}: no {text:?} in {}", reply.asked, reply.text());
}

#[test]
fn a_page_is_guarded_by_its_headers() {
    run(async {
        let mut browser = Browser::new();
        let page = browser.get("/login").await.expect(200);
        let policy = page.header("content-security-policy").to_owned();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("content-language", "es"),
        ] {
            assert_eq!(page.header(name), value);
        }
        let text = page.text();
        for forbidden in [" style=", "<script>", " onclick=", "http://", "https://"] {
            assert!(!text.contains(forbidden), "{forbidden} in {text}");
        }
        // Assets: named by their content, kept for ever, compressed.
        let css = text
            .split("href=\"")
            .find_map(|rest| rest.split('"').next().filter(|href| href.ends_with(".css")))
            .unwrap()
            .to_owned();
        let style = anonymous().send("GET", &css, &[("accept-encoding", "gzip")], None).await.expect(200);
        assert_eq!(
            (style.header("content-encoding"), style.header("content-type")),
            ("gzip", "text/css; charset=utf-8")
        );
        assert!(
            style.header("cache-control").contains("immutable") && style.body.len() < 10_000,
            "{}",
            style.body.len()
        );
        let plain = anonymous().send("GET", &css, &[], None).await.expect(200);
        assert!(plain.text().contains(":root") && plain.header("content-encoding").is_empty());
        assert!(
            !anonymous().get("/assets/historia.css").await.expect(200).header("cache-control").contains("immutable")
        );
        anonymous().get("/assets/../Cargo.toml").await.expect(404);
    });
}

#[test]
fn one_signs_in_and_out() {
    run(async {
        let (usuario, clave) = server().login("admin");
        let mut browser = Browser::new();
        let needed = browser.get("/admin/auditoria?rol=admin").await.expect(401);
        shows(&needed, "Entre para ver esta página");
        assert_eq!(needed.header("www-authenticate"), "Bearer");
        let wrong = browser.fill(&needed, "/login", &[("usuario", "nadie<b>"), ("clave", "x")]).await.expect(401);
        shows(&wrong, "Usuario o clave no coinciden");
        shows(&wrong, "value=\"nadie&lt;b&gt;\"");
        let unknown = browser.fill(&needed, "/login", &[("usuario", &usuario), ("clave", "x")]).await.expect(401);
        shows(&unknown, "Usuario o clave no coinciden");
        let into = browser.fill(&wrong, "/login", &[("usuario", &usuario), ("clave", &clave)]).await.expect(303);
        assert_eq!(into.header("location"), "/admin/auditoria?rol=admin");
        let cookie = into.header("set-cookie").to_owned();
        for part in ["__Host-historia=", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(cookie.contains(part) && !cookie.contains("Domain"), "{cookie}");
        }
        shows(&browser.follow(&into).await.expect(200), "<h1>Auditoría</h1>");
        // The desk of the role; nobody is led to another host.
        assert_eq!(browser.get("/").await.expect(303).header("location"), "/admin");
        let led = browser
            .post("/login", &[("usuario", &usuario), ("clave", &clave), ("next", "//evil.example")])
            .await
            .expect(303);
        assert_eq!(led.header("location"), "/");
        let kept = browser.clone();
        assert_eq!(browser.post("/logout", &[]).await.expect(303).header("location"), "/login");
        assert!(!browser.cookies.contains_key(SESSION));
        let gone = kept.clone().get("/admin").await.expect(401);
        shows(&gone, "La sesión terminó");
        // From another site nobody is signed in or out.
        let foreign = [("sec-fetch-site", "cross-site"), ("content-type", "application/x-www-form-urlencoded")];
        let body = format!("usuario={usuario}&clave={}", encoded(&clave)).into_bytes();
        anonymous().send("POST", "/login", &foreign, Some(body)).await.expect(403);
    });
}

#[test]
fn language_and_colours_are_chosen() {
    run(async {
        let mut browser = Browser::new();
        browser.language = "en-GB,en;q=0.9".to_owned();
        shows(&browser.get("/login").await, "<h1>Sign in</h1>");
        assert_eq!(browser.get("/idioma/es?volver=/login").await.expect(303).header("location"), "/login");
        browser.get("/tema/oscuro?volver=https://evil.example").await.expect(303);
        let page = browser.get("/login").await;
        shows(&page, "<html lang=\"es-CO\" data-theme=\"dark\">");
        browser.get("/idioma/xx").await.expect(404);
    });
}

#[test]
fn forms_have_keys_and_are_done_once() {
    run(async {
        let (usuario, clave) = account(server(), "resultados", &format!("CC-{}", unique()), None);
        let mut browser = Browser::new();
        browser.sign_in(&usuario, &clave).await.expect(303);
        let page = browser.get("/cuenta").await.expect(200);
        let new = "otra frase bien larga 9";
        let typed = [("clave", clave.as_str()), ("clave_nueva", new)];
        // No keys, keys of somebody else, another site.
        browser.post("/cuenta", &typed).await.expect(403);
        let mut other = Browser::of("medico").await;
        let theirs = other.get("/cuenta").await;
        browser.fill(&theirs, "/cuenta", &typed).await.expect(403);
        let mut keys = hidden(&page.text(), "/cuenta");
        assert_eq!(keys.len(), 2);
        keys.extend(typed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let body: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let cookie = format!("{SESSION}={}", browser.cookies[SESSION]);
        let headers = [
            ("cookie", cookie.as_str()),
            ("accept", "text/html"),
            ("sec-fetch-site", "cross-site"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        anonymous().send("POST", "/cuenta", &headers, Some(body.join("&").into_bytes())).await.expect(403);
        // Wrong: the same page, 422, with the error beside the field and no password in it.
        let wrong = browser.fill(&page, "/cuenta", &[("clave", "no es"), ("clave_nueva", new)]).await.expect(422);
        shows(&wrong, "aria-invalid=\"true\"");
        shows(&wrong, "href=\"#f-clave\"");
        assert!(!wrong.text().contains(new));
        // Right, and sent twice: the second gets the answer of the first, although the old password is wrong by then.
        let done = browser.fill(&wrong, "/cuenta", &typed).await.expect(303);
        let again = browser.fill(&wrong, "/cuenta", &typed).await.expect(303);
        assert_eq!((done.header("location"), again.header("location")), ("/cuenta", "/cuenta"));
        shows(&browser.follow(&done).await.expect(200), "Clave cambiada");
        assert!(!browser.get("/cuenta").await.text().contains("Clave cambiada"), "it is said once");
        Browser::new().sign_in(&usuario, &clave).await.expect(401);
        Browser::new().sign_in(&usuario, new).await.expect(303);
    });
}

#[test]
fn what_was_typed_survives_the_end_of_the_session() {
    run(async {
        let (usuario, clave) = server().login("admin");
        let mut browser = Browser::of("admin").await;
        let page = browser.get("/admin/cuentas/nueva").await.expect(200);
        let mut twin = browser.clone();
        twin.post("/logout", &[]).await.expect(303);
        let name = format!("ana-{}", unique());
        let typed = [
            ("nombre", "Ana <script>alert(1)</script> Ñ"),
            ("rol", "medico"),
            ("usuario", name.as_str()),
            ("documento", "CC-1"),
        ];
        let gone = browser.fill(&page, "/admin/cuentas/nueva", &typed).await.expect(401);
        shows(&gone, "Lo que escribió sigue ahí");
        assert!(!gone.text().contains("<script>alert"));
        // A wrong password keeps it too; then the form is there as it was.
        let gone = browser.fill(&gone, "/login", &[("usuario", &usuario), ("clave", "x")]).await.expect(401);
        let into = browser.fill(&gone, "/login", &[("usuario", &usuario), ("clave", &clave)]).await.expect(303);
        let form = browser.follow(&into).await.expect(200);
        shows(&form, "Lo que escribió sigue aquí");
        assert_eq!(value_of(&form.text(), "usuario").as_deref(), Some(name.as_str()));
        assert_eq!(value_of(&form.text(), "nombre").as_deref(), Some(typed[0].1));
        // Somebody else gets nothing of it.
        let mut other = Browser::new();
        let (medico, secret) = server().login("medico");
        let led = other.fill(&gone, "/login", &[("usuario", &medico), ("clave", &secret)]).await.expect(303);
        assert!(!led.header("location").contains("borrador"), "{}", led.header("location"));
        let address = into.header("location").to_owned();
        let mut second = Browser::of("admin").await;
        shows(&second.get(&address).await.expect(200), "Lo que escribió sigue aquí");
        // A page of an older session of the same account: shown again, not done.
        let old = twin_page(&mut second).await;
        let mut newer = Browser::of("admin").await;
        let shown = newer.fill(&old, "/admin/cuentas/nueva", &typed).await.expect(303);
        assert!(shown.header("location").contains("borrador="));
    });
}

async fn twin_page(browser: &mut Browser) -> Reply {
    browser.get("/admin/cuentas/nueva").await.expect(200)
}

#[test]
fn an_account_of_the_administrator_must_change_its_password() {
    run(async {
        let mut admin = Browser::of("admin").await;
        let page = admin.get("/admin/cuentas/nueva").await.expect(200);
        let name = format!("luis-{}", unique());
        let payload = "<img src=x onerror=alert(1)>\"'{{7*7}}";
        let wrong = admin
            .fill(
                &page,
                "/admin/cuentas/nueva",
                &[
                    ("nombre", payload),
                    ("rol", "medico"),
                    ("usuario", "a b"),
                    ("documento", "no es"),
                    ("paciente", "x"),
                ],
            )
            .await
            .expect(422);
        // All at once.
        for field in ["usuario", "documento", "paciente"] {
            shows(&wrong, &format!("href=\"#f-{field}\""));
        }
        assert_eq!(value_of(&wrong.text(), "nombre").as_deref(), Some(payload));
        let made = admin
            .fill(
                &wrong,
                "/admin/cuentas/nueva",
                &[("nombre", payload), ("rol", "medico"), ("usuario", &name), ("documento", "cc 123.456")],
            )
            .await
            .expect(200);
        // A second sending makes no second account and says no "taken".
        let again = [("nombre", payload), ("rol", "medico"), ("usuario", name.as_str()), ("documento", "cc 123.456")];
        let again = admin.fill(&wrong, "/admin/cuentas/nueva", &again).await.expect(200);
        assert_eq!(again.text(), made.text());
        let clave =
            made.text().split("class=\"code\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
        let list = admin.get(&format!("/admin?q={name}")).await.expect(200);
        assert!(!list.text().contains("<img") && list.text().contains("&lt;img src"), "{}", list.text());
        shows(&list, "CC 123.456");
        // Taken: said at the field.
        let page = admin.get("/admin/cuentas/nueva").await;
        let taken = admin
            .fill(
                &page,
                "/admin/cuentas/nueva",
                &[("nombre", "x"), ("rol", "medico"), ("usuario", &name), ("documento", "CC-123456")],
            )
            .await
            .expect(422);
        shows(&taken, "Este usuario ya existe");
        // The made password opens nothing but the change of it.
        let body = json!({"usuario": name, "clave": clave}).to_string().into_bytes();
        anonymous().send("POST", "/login", &[JSON], Some(body)).await.expect(401);
        let mut person = Browser::new();
        person.sign_in(&name, &clave).await.expect(303);
        assert_eq!(person.get("/").await.expect(303).header("location"), "/cuenta");
        let cookie = format!("{SESSION}={}", person.cookies[SESSION]);
        anonymous().send("GET", "/fhir/Patient?_count=1", &[("cookie", cookie.as_str())], None).await.expect(403);
        let own = person.get("/cuenta").await.expect(200);
        shows(&own, "Cambie su clave antes de seguir");
        person.fill(&own, "/cuenta", &[("clave", &clave), ("clave_nueva", "una frase propia 11")]).await.expect(303);
        let mut person = Browser::new();
        person.sign_in(&name, "una frase propia 11").await.expect(303);
        assert!(!person.get("/cuenta").await.expect(200).text().contains("Cambie su clave"));
        // Disabled by the dialog: out at once.
        let dialog = admin.get(&format!("/admin/cuentas/{name}/deshabilitar")).await.expect(200);
        let done = admin.fill(&dialog, &format!("/admin/cuentas/{name}/deshabilitar"), &[]).await.expect(303);
        shows(&admin.follow(&done).await, "Cuenta deshabilitada");
        person.get("/cuenta").await.expect(401);
    });
}

#[test]
fn the_first_change_ends_the_must() {
    run(async {
        let (usuario, _) = account(server(), "medico", &format!("CC-{}", unique()), None);
        let mut admin = Browser::of("admin").await;
        let address = format!("/admin/cuentas/{usuario}/clave");
        let dialog = admin.get(&address).await.expect(200);
        let made = admin.fill(&dialog, &address, &[]).await.expect(200);
        let clave =
            made.text().split("class=\"code\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
        let mut person = Browser::new();
        person.sign_in(&usuario, &clave).await.expect(303);
        let own = person.get("/cuenta").await.expect(200);
        person.fill(&own, "/cuenta", &[("clave", &clave), ("clave_nueva", "una frase propia 12")]).await.expect(303);
        // In the very same session.
        assert!(!person.get("/cuenta").await.expect(200).text().contains("Cambie su clave antes"));
    });
}

#[test]
fn clients_are_kept_by_the_administrator() {
    run(async {
        let mut admin = Browser::of("admin").await;
        let id = format!("lab-{}", unique());
        let page = admin.get("/admin/clientes/nuevo").await.expect(200);
        let made = admin
            .fill(&page, "/admin/clientes/nuevo", &[("id", &id), ("tipo", "confidential"), ("integracion", "1")])
            .await
            .expect(200);
        let secret =
            made.text().split("class=\"code\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}").into_bytes();
        let token = || async {
            anonymous()
                .send(
                    "POST",
                    "/oauth/token",
                    &[("content-type", "application/x-www-form-urlencoded")],
                    Some(form.clone()),
                )
                .await
        };
        token().await.expect(200);
        let list = admin.get("/admin/clientes").await.expect(200);
        shows(&list, &id);
        assert!(!list.text().contains(&secret));
        let address = format!("/admin/clientes/{id}/deshabilitar");
        let dialog = admin.get(&address).await.expect(200);
        admin.fill(&dialog, &address, &[]).await.expect(303);
        token().await.expect(401);
    });
}

#[test]
fn the_administrators_pages_are_for_administrators() {
    run(async {
        for role in ["medico", "admisionista", "resultados", "paciente"] {
            let mut browser = Browser::of(role).await;
            for path in [
                "/admin",
                "/admin/cuentas/nueva",
                "/admin/clientes",
                "/admin/mensajes",
                "/admin/auditoria",
                "/admin/cuentas/medico/clave",
            ] {
                let page = browser.get(path).await.expect(403);
                shows(&page, "Su rol no permite esto");
            }
            browser.post("/admin/cuentas/medico/clave", &[]).await.expect(403);
        }
        let medico = signed_in(server(), "medico").await;
        medico.get("/admin").await.refused(403, "forbidden");
        anonymous().get("/admin").await.refused(401, "login");
    });
}

#[test]
fn the_audit_list_finds_and_pages() {
    run(async {
        let number = unique();
        let made = fhir("medico").await.post("Patient", &patient_with(&number)).await.expect(201);
        for _ in 0..55 {
            fhir("medico").await.get(&format!("Patient/{}", made.id())).await.expect(200);
        }
        let mut admin = Browser::of("admin").await;
        let first =
            admin.get(&format!("/admin/auditoria?paciente={}&rol=medico&accion=read", made.id())).await.expect(200);
        let rows = |page: &Reply| page.text().matches("<tr><td").count();
        assert_eq!(rows(&first), 50);
        assert!(!first.text().contains(&number) && !first.text().contains("Peña Ruiz"), "no content of the record");
        let older = first
            .text()
            .split("<footer><a href=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap()
            .replace("&amp;", "&")
            .replace("&#x3D;", "=");
        let second = admin.get(&older).await.expect(200);
        assert_eq!(rows(&second), 5);
        let none = admin.get(&format!("/admin/auditoria?paciente={}&resultado=8", made.id())).await.expect(200);
        assert_eq!(rows(&none), 0);
        shows(&none, "Ningún registro coincide");
        for (query, says) in [
            ("antes=x", "No es un lugar de esta lista"),
            ("desde=31/02/2026", "No es una fecha"),
            ("hasta=ayer", "value=\"ayer\""),
            ("desde=02/01/2026&hasta=01/01/2026", "Es anterior a la primera fecha"),
            ("accion=zz", "No es una opción"),
            ("resultado=zz", "No es una opción"),
            ("rol=zz", "No es una opción"),
        ] {
            let wrong = admin.get(&format!("/admin/auditoria?{query}")).await.expect(400);
            shows(&wrong, says);
            // Nothing is listed as if it were what was asked for.
            assert_eq!(rows(&wrong), 0, "{query}");
        }
        admin.get("/admin/mensajes?dias=zz").await.expect(400);
        admin.get("/admin?rol=zz").await.expect(400);
        shows(&admin.get("/admin/mensajes?dias=30").await.expect(200), "Mensajes HL7");
    });
}

async fn register(body: &Value) -> Reply {
    anonymous().send("POST", "/registro", &[JSON], Some(body.to_string().into_bytes())).await
}

async fn code(caller: &Fhir, id: &str) -> Reply {
    caller.send("POST", &format!("/paciente/{id}/codigo"), &[("accept", "application/json")], None).await
}

#[test]
fn a_patient_opens_an_account_with_the_code_of_admission() {
    run(async {
        let admission = fhir("admisionista").await;
        let number = unique();
        let id = admission.post("Patient", &patient_with(&number)).await.expect(201).id();
        for role in ["medico", "resultados", "admin", "paciente"] {
            code(&fhir(role).await, &id).await.refused(403, "forbidden");
        }
        code(&anonymous(), &id).await.refused(401, "login");
        code(&admission, &format!("CC-{}", unique())).await.refused(404, "not-found");
        // By document as well as by id; the later code takes the place of the earlier.
        let early = code(&admission, &format!("CC-{number}")).await.expect(200).json();
        let made = code(&admission, &id).await.expect(200).json();
        let members: Vec<&String> = made.as_object().unwrap().keys().collect();
        assert_eq!(members, ["codigo", "vence"]);
        let good = json!({"documento_id": format!("CC-{number}"), "fecha_nacimiento": "1984-02-29", "codigo": made["codigo"], "clave": "mi clave segura 5"});
        let with = |name: &str, value: Value| {
            let mut body = good.clone();
            body[name] = value;
            body
        };
        let refused = register(&with("codigo", json!("0000-0000-0000"))).await.expect(403);
        for body in [
            with("codigo", early["codigo"].clone()),
            with("documento_id", json!(format!("CC-{}", unique()))),
            with("documento_id", json!(format!("TI-{number}"))),
            with("documento_id", json!("x")),
            with("fecha_nacimiento", json!("1984-02-28")),
        ] {
            assert_eq!(register(&body).await.expect(403).text(), refused.text(), "{body}");
        }
        register(&with("clave", json!("corta"))).await.expect(422);
        register(&json!({"codigo": "x"})).await.expect(400);
        register(&good).await.expect(201);
        register(&good).await.expect(403);
        let body = json!({"usuario": format!("CC {number}"), "clave": "mi clave segura 5"}).to_string().into_bytes();
        let own = anonymous().send("POST", "/login", &[JSON], Some(body)).await.expect(200).json();
        assert_eq!(own["rol"], "paciente");
        let own = Fhir { token: own["access_token"].as_str().map(str::to_owned), ..anonymous() };
        own.get(&format!("Patient/{id}")).await.expect(200);

        // The page: what was typed stays, except the password; a new code gives the same account a new password.
        let again = code(&admission, &id).await.expect(200).json();
        let again = again["codigo"].as_str().unwrap().to_uppercase().replace('-', " ");
        let mut browser = Browser::new();
        browser.get("/registro").await.expect(200);
        let document = format!("CC-{number}");
        let wrong = browser
            .post(
                "/registro",
                &[
                    ("documento_id", &document),
                    ("fecha_nacimiento", "29/02/1984"),
                    ("codigo", "nada"),
                    ("clave", "otra clave segura 6"),
                ],
            )
            .await
            .expect(403);
        shows(&wrong, "El código no sirve con estos datos");
        assert_eq!(value_of(&wrong.text(), "documento_id").as_deref(), Some(document.as_str()));
        assert!(!wrong.text().contains("otra clave segura"));
        let opened = browser
            .post(
                "/registro",
                &[
                    ("documento_id", &document),
                    ("fecha_nacimiento", "29/02/1984"),
                    ("codigo", &again),
                    ("clave", "otra clave segura 6"),
                ],
            )
            .await;
        shows(&browser.follow(&opened).await.expect(200), "Su cuenta está lista");
        browser.sign_in(&document, "mi clave segura 5").await.expect(401);
        browser.sign_in(&document, "otra clave segura 6").await.expect(303);
    });
}

#[test]
fn who_guesses_waits() {
    run(async {
        let (usuario, clave) = account(server(), "medico", &format!("CC-{}", unique()), None);
        let mut browser = Browser::new();
        for n in 1..=5 {
            let wrong = browser.sign_in(&usuario, "x").await.expect(401);
            assert!(wrong.header("retry-after").is_empty(), "{n}");
        }
        let waits = browser.sign_in(&usuario, "x").await.expect(401);
        assert_eq!(waits.header("retry-after"), "1");
        browser.sign_in(&usuario, "x").await;
        // Now the right one waits as well, and the answer is that of a wrong one.
        let held = browser.sign_in(&usuario, &clave).await;
        if held.status == 401 {
            shows(&held, "Usuario o clave no coinciden");
            let seconds: u64 = held.header("retry-after").parse().expect("seconds");
            assert!((1..=3).contains(&seconds));
        }
        let start = std::time::Instant::now();
        while browser.sign_in(&usuario, &clave).await.status != 303 {
            assert!(start.elapsed().as_secs() < 10, "the owner is locked out");
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    });
}

#[test]
fn who_guesses_codes_waits_and_is_told() {
    run(async {
        let body = json!({"documento_id": format!("CC-{}", unique()), "fecha_nacimiento": "1984-02-29", "codigo": "x", "clave": "mi clave segura 5"});
        for _ in 1..=5 {
            assert!(register(&body).await.expect(403).header("retry-after").is_empty());
        }
        assert_eq!(register(&body).await.expect(403).header("retry-after"), "1");
        let held = register(&body).await.expect(429);
        assert_eq!(held.json()["error"], "slow_down");
        assert!((1..=2).contains(&held.header("retry-after").parse::<u64>().expect("seconds")));
        let document = body["documento_id"].as_str().unwrap();
        let typed = [
            ("documento_id", document),
            ("fecha_nacimiento", "29/02/1984"),
            ("codigo", "x"),
            ("clave", "mi clave segura 5"),
        ];
        let page = Browser::new().post("/registro", &typed).await.expect(429);
        shows(&page, "Este no se revisó.");
        shows(&page, "Espere");
        assert_eq!(value_of(&page.text(), "documento_id").as_deref(), Some(document));
    });
}

#[test]
fn a_sign_in_ends_the_session_that_the_browser_had() {
    run(async {
        let mut browser = Browser::of("medico").await;
        let former = browser.clone();
        let (usuario, clave) = server().login("resultados");
        // A wrong one ends nothing.
        browser.sign_in(&usuario, "x").await.expect(401);
        former.clone().get("/medico").await.expect(200);
        let led = browser.post("/login", &[("usuario", &usuario), ("clave", &clave), ("next", "/logout")]).await;
        assert_eq!(led.expect(303).header("location"), "/");
        former.clone().get("/medico").await.expect(401);
        browser.get("/resultados").await.expect(200);
        let unknown = browser.get("/idioma/zz").await.expect(404);
        shows(&unknown, "<h1>No está</h1>");
    });
}

#[test]
fn a_session_that_is_not_used_ends() {
    run(async {
        let Some(url) = server().ready["database_url"].as_str().map(str::to_owned) else {
            return skip("a_session_that_is_not_used_ends", "the server is not ours");
        };
        let instance = Start::serve(&url).with("HISTORIA_SESSIONS__IDLE", "2 s").ready();
        let (usuario, clave) = server().login("admin");
        let mut browser = Browser::at(&instance.http());
        browser.sign_in(&usuario, &clave).await.expect(303);
        for _ in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(900)).await;
            browser.get("/cuenta").await.expect(200);
        }
        tokio::time::sleep(std::time::Duration::from_millis(2_600)).await;
        let gone = browser.get("/cuenta").await.expect(401);
        shows(&gone, "sin uso");
        browser.get("/cuenta").await.expect(401);
    });
}

#[test]
fn errors_are_pages_with_a_number_to_dictate() {
    run(async {
        let mut browser = Browser::new();
        let absent = browser.get("/no/hay").await.expect(404);
        shows(&absent, "<h1>No está</h1>");
        let id = absent.header("x-request-id").to_uppercase();
        let grouped = [&id[0..4], &id[4..8], &id[8..12]].join("-");
        shows(&absent, &grouped);
        anonymous().get("/no/hay").await.refused(404, "not-found");
        let named = browser.get("/no/hay?x=<script>").await.expect(404);
        assert!(!named.text().contains("<script>"));
    });
}
