//! A phone on the local network: its browser trusts the authority of `historia certs`, and no other way leads in.

use crate::driver::{Session, missing, program, trust};
use crate::harness::instance::Start;
use crate::harness::{run, skip};
use crate::page::target;
use crate::person::{Person, Size};
use historia::i18n::Language;
use serde_json::json;
use std::process::Command;

const NAME: &str = "lan::a_phone_that_trusts_the_authority_comes_in";

#[test]
fn a_phone_that_trusts_the_authority_comes_in() {
    let lacks = missing().or_else(|| program("certutil").is_none().then_some("certutil is not installed"));
    if let Some(reason) = lacks {
        return skip(NAME, reason);
    }
    run(async {
        let instance = Start::dev().with("HISTORIA_HTTP__TLS_LISTEN", "127.0.0.1:0").ready();
        let url = instance.ready["https"].as_str().expect("https").to_owned();
        let stranger = Session::open(Language::Es).await;
        // The driver may tell of the warning that the browser shows instead of the page, or leave it to be read.
        let told = stranger.call("POST", "url", &json!({"url": url})).await.err().unwrap_or_default();
        let shown = stranger.script("return document.documentElement.textContent", json!([])).await.unwrap_or_default();
        let refused = format!("{told} {shown}");
        assert!(refused.contains("ERR_CERT_AUTHORITY_INVALID"), "nobody vouches for it: {refused}");
        stranger.close().await;

        trust(&instance.data_dir.join("tls/ca.crt"));
        for language in [Language::Es, Language::En] {
            let p = Person::at(url.clone(), Size::Phone, language).await;
            p.step("see how a phone is connected");
            p.open("/conectar").await;
            p.sees("connect.ios").await;
            p.look("30", "conectar").await;
            if language == Language::Es {
                for colours in ["", "-dark"] {
                    scanned(colours, &url);
                }
            }
            p.step("sign in");
            let (usuario, clave) = instance.login("medico");
            p.link("/login").await;
            p.look("30", "conectar-ingreso").await;
            p.sign_in(&usuario, &clave).await;
            p.sees("medico.patients").await;
            let secure = p.ask("return [isSecureContext, location.protocol]", json!([])).await;
            assert_eq!(secure, json!([true, "https:"]));
            p.step("take the PDF of a patient");
            let logins = instance.ready["logins"].as_array().expect("logins");
            let patient = logins.iter().find(|login| login["rol"] == "paciente").expect("a patient");
            let document = patient["documento_id"].as_str().expect("a document");
            p.open(&format!("/paciente/{document}")).await;
            p.pdf("/exportar_pdf/").await;
            p.look("30", "conectar-historia").await;
            p.session.close().await;
        }
        // Whoever runs the server vouches for it: nothing that the browsers did was worth a line.
        assert!(!instance.log().contains("WARN") && !instance.log().contains("ERROR"), "{}", instance.log());
        println!("a phone that trusts the authority: signed in and took the PDF at {url}");
    });
}

/// The picture of the page as a phone in front of it would read it.
fn scanned(colours: &str, url: &str) {
    let picture = target().join(format!("screens/30-conectar-phone{colours}.png"));
    match Command::new("zbarimg").args(["--quiet", "--raw"]).arg(&picture).output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), url, "{}", picture.display()),
        Err(_) => skip(NAME, "zbarimg is not installed: the QR was not read"),
    }
}
