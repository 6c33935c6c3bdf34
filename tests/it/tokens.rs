//! Accounts, tokens and sessions: how one gets in, and that one is out at once, everywhere
//! (<https://www.rfc-editor.org/rfc/rfc6749>, <https://www.rfc-editor.org/rfc/rfc9068>).

use crate::harness::data::patient;
use crate::harness::fhir::{account, client_credentials, login, signed_in};
use crate::harness::{Fhir, Reply, Start, anonymous, fhir, run, server, skip, unique};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::time::Duration;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn sign_in(body: &Value) -> Reply {
    anonymous().send("POST", "/login", &[JSON], Some(body.to_string().into_bytes())).await
}

async fn token(form: &str, headers: &[(&str, &str)]) -> Reply {
    let headers: Vec<(&str, &str)> = [FORM].into_iter().chain(headers.iter().copied()).collect();
    anonymous().send("POST", "/oauth/token", &headers, Some(form.as_bytes().to_vec())).await
}

/// Whether the token still opens something.
async fn lives(caller: &Fhir) -> bool {
    match caller.get("Organization?_count=1").await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

/// Whether the token dies within a second: a notice has to make its way to the other processes.
async fn dies(caller: &Fhir) -> bool {
    for _ in 0..20 {
        if !lives(caller).await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[test]
fn a_login_gives_what_the_contract_says() {
    run(async {
        let (usuario, clave) = server().login("medico");
        let reply = sign_in(&json!({"usuario": usuario, "clave": clave})).await.expect(200);
        let body = reply.json();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["rol"], "medico");
        assert!(body["expires_in"].is_u64() && body["scope"].is_string() && body["documento_id"].is_string(), "{body}");
        assert_eq!(reply.header("cache-control"), "no-store");
        // Spaces, case and accents of the name are the person's own business; the password is exact.
        sign_in(&json!({"usuario": usuario, "clave": clave.to_uppercase()})).await.expect(401);
        sign_in(&json!({"usuario": usuario, "clave": format!("{clave} ")})).await.expect(401);
        sign_in(&json!({"usuario": usuario, "clave": clave, "rol": "admin"})).await.expect(400);
        sign_in(&json!({"usuario": usuario})).await.expect(400);
        anonymous().send("POST", "/login", &[("content-type", "text/plain")], Some(b"{}".to_vec())).await.expect(415);
    });
}

#[test]
fn a055_wrong_unknown_and_disabled_are_one_answer() {
    run(async {
        let (usuario, clave) = account(server(), "medico", &format!("CC-{}", unique()), None);
        let wrong = sign_in(&json!({"usuario": usuario, "clave": "otra cosa"})).await.expect(401);
        let unknown =
            sign_in(&json!({"usuario": format!("nadie-{}", unique()), "clave": "otra cosa"})).await.expect(401);
        let output = server().command(&["user", "disable", "--usuario", &usuario]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let disabled = sign_in(&json!({"usuario": usuario, "clave": clave})).await.expect(401);
        assert_eq!(wrong.json()["error"], "invalid_grant");
        assert_eq!(wrong.text(), unknown.text());
        assert_eq!(wrong.text(), disabled.text());
    });
}

#[test]
fn a_client_gets_a_token_by_form_or_by_basic_and_nothing_else() {
    run(async {
        let (id, secret) = server().client();
        let granted = token(&format!("grant_type=client_credentials&client_id={id}&client_secret={secret}"), &[])
            .await
            .expect(200)
            .json();
        assert_eq!(granted["token_type"], "Bearer");
        assert!(granted["expires_in"].is_u64() && granted["rol"].is_null());
        let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        token("grant_type=client_credentials", &[("authorization", &basic)]).await.expect(200);
        let both = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let (usuario, clave) = server().login("medico");
        for (form, headers, status, error) in [
            (format!("grant_type=client_credentials&client_id={id}&client_secret=x"), &[][..], 401, "invalid_client"),
            (
                format!("grant_type=client_credentials&client_id=nadie&client_secret={secret}"),
                &[],
                401,
                "invalid_client",
            ),
            (format!("grant_type=password&username={usuario}&password={clave}"), &[], 400, "unsupported_grant_type"),
            ("grant_type=client_credentials&grant_type=client_credentials".to_owned(), &[], 400, "invalid_request"),
            (String::new(), &[], 400, "invalid_request"),
            (both, &[("authorization", basic.as_str())], 400, "invalid_request"),
        ] {
            let reply = token(&form, headers).await.expect(status);
            assert_eq!(reply.json()["error"], error, "{form}");
            assert_eq!(reply.header("cache-control"), "no-store");
        }
    });
}

/// The three parts of a token.
fn parts(token: &str) -> Vec<String> {
    token.split('.').map(str::to_owned).collect()
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

async fn refused(token: String, what: &str) {
    let caller = Fhir { token: Some(token), ..anonymous() };
    let reply = caller.get("Organization?_count=1").await;
    assert_eq!(reply.status, 401, "{what}");
    assert_eq!(reply.codes(), ["login"], "{what}");
}

#[test]
fn a001_a009_a_token_that_was_touched_is_no_token() {
    run(async {
        let good = signed_in(server(), "medico").await.token.unwrap();
        let [header, claims, signature] = <[String; 3]>::try_from(parts(&good)).unwrap();
        assert!(lives(&Fhir { token: Some(good.clone()), ..anonymous() }).await);
        let head = decoded(&header);
        assert_eq!((head["alg"].as_str(), head["typ"].as_str()), (Some("ES256"), Some("at+jwt")));
        let with = |changes: &[(&str, Value)]| {
            let mut head = head.clone();
            changes.iter().for_each(|(name, value)| head[name] = value.clone());
            format!("{}.{claims}.{signature}", encoded(&head))
        };
        refused(with(&[("alg", "none".into())]), "alg none").await;
        refused(format!("{}.{claims}.", encoded(&json!({"alg": "none", "typ": "at+jwt"}))), "no signature").await;
        refused(with(&[("alg", "HS256".into())]), "another algorithm").await;
        refused(with(&[("kid", "../../etc/passwd".into())]), "kid of a path").await;
        refused(with(&[("kid", "' or 1=1 --".into())]), "kid of SQL").await;
        refused(with(&[("kid", "x".repeat(10_000).into())]), "long kid").await;
        refused(with(&[("jku", "http://127.0.0.1:1/jwks".into())]), "jku").await;
        for (name, value) in [
            ("rol", json!("admin")),
            ("role", json!("admin")),
            ("sub", json!("usuario/x")),
            ("exp", json!(4_000_000_000_u64)),
            ("exp", json!("4000000000")),
            ("aud", json!("x")),
            ("iss", json!("http://x")),
        ] {
            let mut changed = decoded(&claims);
            changed[name] = value;
            refused(format!("{header}.{}.{signature}", encoded(&changed)), name).await;
        }
        for n in (0..signature.len()).step_by(7) {
            let mut broken: Vec<char> = signature.chars().collect();
            broken[n] = if broken[n] == 'A' { 'B' } else { 'A' };
            refused(format!("{header}.{claims}.{}", broken.into_iter().collect::<String>()), "signature").await;
        }
        refused("x".repeat(20_000), "a long one").await;
        refused(String::new(), "an empty one").await;
        let named = anonymous().get(&format!("Organization?access_token={good}&_count=1")).await;
        assert_eq!(named.status, 401);
        let basic = anonymous().get_with("Organization", &[("authorization", "Basic bWVkaWNvOng=")]).await;
        assert_eq!(basic.status, 401);
    });
}

#[test]
fn the_keys_are_public_and_only_public() {
    run(async {
        let reply = anonymous().get("/oauth/jwks").await.expect(200);
        let keys = reply.json()["keys"].as_array().unwrap().clone();
        assert!(!keys.is_empty());
        let token = signed_in(server(), "medico").await.token.unwrap();
        let kid = decoded(&parts(&token)[0])["kid"].clone();
        assert!(keys.iter().any(|key| key["kid"] == kid && key["alg"] == "ES256"));
        for key in keys {
            assert!(["d", "p", "q", "k"].iter().all(|name| key[name].is_null()), "{key}");
        }
    });
}

/// A second server on the same database; none where the database cannot be shared.
fn second(name: &str) -> Option<crate::harness::Instance> {
    if std::env::var("HISTORIA_TEST_URL").is_ok() {
        skip(name, "HISTORIA_TEST_URL: a second instance is not started beside a running server");
        return None;
    }
    let start = Start::serve(&server().database_url())
        .with("HISTORIA_HTTP__PUBLIC_URL", &server().http())
        .with("HISTORIA_MLLP__LISTEN", "off");
    Some(start.ready())
}

#[test]
fn a013_a084_what_is_ended_here_is_dead_everywhere() {
    run(async {
        let Some(second) = second("a013_a084_what_is_ended_here_is_dead_everywhere") else { return };
        let there = |caller: &Fhir| Fhir::new(&second.http(), caller.token.clone());
        // logout
        let caller = signed_in(server(), "medico").await;
        let other = signed_in(server(), "medico").await;
        assert!(lives(&caller).await && lives(&there(&caller)).await);
        caller.send("POST", "/logout", &[], None).await.expect(204);
        assert!(!lives(&caller).await && dies(&there(&caller)).await, "logout");
        assert!(lives(&other).await && lives(&there(&other)).await, "another session of the same person");
        caller.send("POST", "/logout", &[], None).await.expect(401);
        // logout at the second
        there(&other).send("POST", "/logout", &[], None).await.expect(204);
        assert!(dies(&other).await, "logout at the other instance");
        // a disabled account
        let (usuario, clave) = account(server(), "medico", &format!("CC-{}", unique()), None);
        let caller = login(&server().http(), &usuario, &clave).await;
        assert!(lives(&caller).await && lives(&there(&caller)).await);
        assert!(server().command(&["user", "disable", "--usuario", &usuario]).status.success());
        assert!(dies(&caller).await && dies(&there(&caller)).await, "disabled");
        // a new password
        let (usuario, clave) = account(server(), "medico", &format!("CC-{}", unique()), None);
        let caller = login(&server().http(), &usuario, &clave).await;
        let output = server().command(&["user", "reset", "--usuario", &usuario]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(dies(&caller).await && dies(&there(&caller)).await, "reset");
        // a disabled client
        let id = format!("cliente-{}", unique());
        let output = server().command(&[
            "client",
            "add",
            "--id",
            &id,
            "--tipo",
            "confidential",
            "--rol",
            "integracion",
            "--json",
        ]);
        let made: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
        let caller = client_credentials(&server().http(), &id, made["secret"].as_str().unwrap()).await;
        assert!(lives(&caller).await && lives(&there(&caller)).await);
        assert!(server().command(&["client", "disable", "--id", &id]).status.success());
        assert!(dies(&caller).await && dies(&there(&caller)).await, "disabled client");
    });
}

#[test]
fn a_patient_that_is_deleted_is_signed_out() {
    run(async {
        let medico = fhir("medico").await;
        let id = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        let (usuario, clave) = account(server(), "paciente", &format!("CC-{}", unique()), Some(&id));
        let caller = login(&server().http(), &usuario, &clave).await;
        caller.get(&format!("Patient/{id}")).await.expect(200);
        medico.delete(&format!("Patient/{id}")).await.expect(204);
        assert!(dies(&caller).await);
        sign_in(&json!({"usuario": usuario, "clave": clave})).await.expect(401);
    });
}

#[test]
fn a081_a087_a_cookie_is_for_the_pages_of_this_server() {
    run(async {
        let (usuario, clave) = server().login("medico");
        let root = server().http();
        let form = format!("usuario={usuario}&clave={clave}").into_bytes();
        let reply =
            anonymous().send("POST", "/login", &[FORM, ("origin", &root)], Some(form.clone())).await.expect(303);
        let set = reply.header("set-cookie").to_owned();
        for attribute in ["__Host-", "Path=/", "Secure", "HttpOnly", "SameSite="] {
            assert!(set.contains(attribute), "{attribute}: {set}");
        }
        let cookie = set.split(';').next().unwrap().to_owned();
        let with = |headers: &[(&'static str, &str)]| {
            let mut all = vec![("cookie".to_owned(), cookie.clone())];
            all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            all
        };
        let send = async |method: &str, path: &str, headers: Vec<(String, String)>, body: Option<Vec<u8>>| {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            anonymous().send(method, path, &headers, body).await
        };
        send("GET", "Patient?_count=1", with(&[]), None).await.expect(200);
        let body = || Some(patient().to_string().into_bytes());
        let fhir_json = ("content-type", "application/fhir+json");
        send("POST", "Patient", with(&[fhir_json]), body()).await.expect(403);
        send("POST", "Patient", with(&[fhir_json, ("origin", "http://example.org")]), body()).await.expect(403);
        send("POST", "Patient", with(&[fhir_json, ("origin", &root)]), body()).await.expect(201);
        // Somebody else's page signs nobody in or out.
        anonymous().send("POST", "/login", &[FORM, ("origin", "http://example.org")], Some(form)).await.expect(403);
        send("POST", "/logout", with(&[("origin", "http://example.org")]), None).await.expect(403);
        let out = send("POST", "/logout", with(&[("origin", &root)]), None).await.expect(303);
        assert_eq!(out.header("location"), "/login");
        send("GET", "Patient?_count=1", with(&[]), None).await.expect(401);
    });
}

#[test]
fn a020_the_sign_in_leads_nowhere_else() {
    run(async {
        let (usuario, clave) = server().login("medico");
        for (next, expected) in [
            ("/paciente/x", "/paciente/x"),
            ("http://example.org/", "/"),
            ("//example.org", "/"),
            ("/\\example.org", "/"),
            ("javascript:alert(1)", "/"),
        ] {
            let form = format!("usuario={usuario}&clave={clave}&next={next}").into_bytes();
            let reply =
                anonymous().send("POST", "/login", &[FORM, ("origin", &server().http())], Some(form)).await.expect(303);
            assert_eq!(reply.header("location"), expected, "{next}");
        }
        let page = anonymous().get("/login?next=%22%3E%3Cscript%3E").await.expect(200);
        assert!(!page.text().contains("\"><script>"));
    });
}

#[test]
fn lists_show_no_secret() {
    run(async {
        let (usuario, _) = account(server(), "medico", &format!("CC-{}", unique()), None);
        for arguments in [&["user", "list", "--json"][..], &["client", "list", "--json"]] {
            let output = server().command(arguments);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let rows: Value = serde_json::from_str(&text).unwrap();
            assert!(!rows.as_array().unwrap().is_empty());
            for word in ["argon2", "\"clave\"", "\"secret\"", "jwks"] {
                assert!(!text.contains(word), "{arguments:?}: {word}");
            }
        }
        let text = String::from_utf8_lossy(&server().command(&["user", "list"]).stdout).into_owned();
        assert!(text.contains(&usuario));
    });
}
