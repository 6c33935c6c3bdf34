//! What people, machines and enemies write is text wherever it is shown (issue 4, Must show 5): [`payloads`] in every text
//! field of the resources that pages show, and of an HL7 v2 message; every page of every role in both languages, and the PDF.
//!
//! A page is read as a browser reads it and must have exactly the tags and attributes of its twin, which is the same page of
//! a patient whose texts are plain words.

use crate::harness::browser::{Browser, encoded};
use crate::harness::data::patient_with;
use crate::harness::fhir::account;
use crate::harness::hl7::accepted;
use crate::harness::hostile::{PLAIN, Record, payloads};
use crate::harness::html::{Node, read, words};
use crate::harness::mllp::Mllp;
use crate::harness::{Reply, anonymous, fhir, run, server, skip, unique};
use std::process::Command;

/// Texts that stand together in a field.
const GROUP: usize = 26;
/// The most characters of a name in a message.
const LONGEST_NAME: usize = 200;

/// All payloads, as many together as fit into a name of a message.
fn names() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for payload in payloads() {
        let payload: String = payload.chars().take(LONGEST_NAME).collect();
        match names.last_mut() {
            Some(last) if last.chars().count() + payload.chars().count() + 3 <= LONGEST_NAME => {
                last.push_str(" \u{b7} ");
                last.push_str(&payload);
            }
            _ => names.push(payload),
        }
    }
    names
}

/// Without what a page or a line may leave out of a text: kinds of blank.
fn flat(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Tags and attributes of a page, in their order.
fn bones(nodes: &[Node]) -> Vec<String> {
    let mut bones = Vec::new();
    for node in nodes {
        match node {
            Node::Tag { name, attributes } => {
                bones.push(format!("<{name} {}>", attributes.keys().cloned().collect::<Vec<_>>().join(" ")));
            }
            Node::End(name) => bones.push(format!("</{name}>")),
            Node::Comment(text) => bones.push(format!("<!--{text}-->")),
            Node::Fault(what) => bones.push(format!("fault {what}")),
            Node::Text(_) => {}
        }
    }
    bones
}

/// Nothing on a page runs, loads or leads anywhere but what its template says.
#[track_caller]
fn is_quiet(reply: &Reply) -> Vec<Node> {
    let asked = &reply.asked;
    for (name, value) in &reply.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        assert!(!name.as_str().contains("inyectada") && !value.contains("inyectada"), "{asked}: {name}: {value}");
    }
    let nodes = read(&reply.text());
    let mut in_script = false;
    for node in &nodes {
        match node {
            Node::Tag { name, attributes } => {
                let known = !matches!(
                    name.as_str(),
                    "style" | "iframe" | "object" | "embed" | "base" | "img" | "math" | "animate"
                );
                assert!(known, "{asked}: <{name}>");
                in_script = name == "script";
                for (attribute, value) in attributes {
                    assert!(!attribute.starts_with("on") && attribute != "style", "{asked}: <{name} {attribute}>");
                    let leads = matches!(attribute.as_str(), "href" | "src" | "action" | "formaction" | "data");
                    assert!(
                        !leads || value.starts_with(['/', '#']) && !value.starts_with("//"),
                        "{asked}: {attribute}={value}"
                    );
                }
            }
            Node::Text(text) => assert!(!in_script || text.trim().is_empty(), "{asked}: a script of its own: {text}"),
            Node::End(_) => in_script = false,
            Node::Comment(text) => panic!("{asked}: a comment: {text}"),
            Node::Fault(what) => panic!("{asked}: {what}"),
        }
    }
    nodes
}

async fn browser_of(role: &str, record: &Record) -> Browser {
    if role != "paciente" {
        return Browser::of(role).await;
    }
    let (usuario, clave) = account(server(), "paciente", &format!("CC-{}", unique()), Some(&record.id));
    let mut browser = Browser::new();
    browser.sign_in(&usuario, &clave).await.expect(303);
    browser
}

#[test]
fn what_a_record_says_is_text_on_every_page_in_both_languages() {
    run(async {
        let payloads = payloads();
        assert!(payloads.len() >= 70);
        let plain = Record::store(PLAIN.to_owned()).await;
        let mut twins = Vec::new();
        let mut twin_of = std::collections::HashMap::new();
        for (role, page) in plain.pages() {
            if !twin_of.contains_key(role) {
                twin_of.insert(role, browser_of(role, &plain).await);
            }
            for language in ["es", "en"] {
                let browser = twin_of.get_mut(role).unwrap();
                browser.language = language.to_owned();
                twins.push(bones(&is_quiet(&browser.get(&page).await.expect(200))));
            }
        }
        for (n, group) in payloads.chunks(GROUP).enumerate() {
            let record = Record::store(group.join(" \u{b7} ")).await;
            let own = browser_of("paciente", &record).await;
            twin_of.insert("paciente", own);
            let mut twins = twins.iter();
            for (role, page) in record.pages() {
                let mut untold: Vec<String> = Vec::new();
                for (language, twin) in [("es", twins.next().unwrap()), ("en", twins.next().unwrap())] {
                    // The other language has the same templates: one group of texts is enough for it.
                    if language == "en" && n > 0 {
                        continue;
                    }
                    let browser = twin_of.get_mut(role).unwrap();
                    browser.language = language.to_owned();
                    let reply = browser.get(&page).await.expect(200);
                    let nodes = is_quiet(&reply);
                    same_bones(&reply, twin, &bones(&nodes));
                    let shown = flat(&words(&nodes));
                    untold.extend(group.iter().filter(|payload| !shown.contains(&flat(payload))).cloned());
                }
                // A page that names the patient or an entry shows all of it.
                let names_nobody = page.starts_with("/mi-historia/") && !page.contains("resultados");
                assert!(untold.is_empty() || names_nobody, "{role} {page} does not show {untold:?}");
            }
        }
    });
}

#[track_caller]
fn same_bones(reply: &Reply, expected: &[String], found: &[String]) {
    // What others do at the same time is on these pages too.
    let shared = ["/admision?", "/medico?", "/mi-historia/accesos", "/resultados/"];
    if shared.iter().any(|page| reply.asked.contains(&format!("{}{page}", server().http()))) {
        return;
    }
    let differs = expected.iter().zip(found).position(|(one, other)| one != other);
    let at = differs.or((expected.len() != found.len()).then(|| expected.len().min(found.len())));
    if let Some(at) = at {
        let around =
            |bones: &[String]| bones[at.saturating_sub(6).min(bones.len())..(at + 6).min(bones.len())].join(" ");
        panic!("{}: tags differ: {} but {}", reply.asked, around(expected), around(found));
    }
}

#[test]
fn what_is_typed_or_asked_is_text_where_it_is_shown_again() {
    run(async {
        let plain = Record::store(PLAIN.to_owned()).await;
        let id = &plain.id;
        let mut admin = Browser::of("admin").await;
        let mut clerk = Browser::of("admisionista").await;
        let mut medico = Browser::of("medico").await;
        let laboratory = Browser::of("resultados").await;
        let mut nobody = Browser::new();
        for payload in payloads() {
            let asked = encoded(&payload);
            for page in [
                format!("/admin?q={asked}"),
                format!("/admin/auditoria?quien={asked}&paciente={asked}&desde={asked}&rol={asked}"),
                format!("/admin/mensajes?dias={asked}"),
            ] {
                is_quiet(&admin.get(&page).await);
            }
            is_quiet(&clerk.get(&format!("/admision?q={asked}&filtro={asked}")).await);
            is_quiet(&medico.get(&format!("/medico?q={asked}")).await);
            is_quiet(&medico.get(&format!("/paciente/{id}/observacion?q={asked}&codigo={asked}")).await);
            is_quiet(&medico.get(&format!("/paciente/{asked}")).await);
            is_quiet(&nobody.get(&format!("/login?next={asked}")).await);
            is_quiet(&nobody.get(&format!("/no/hay/{asked}?{asked}={asked}")).await);
            let chosen = nobody.get(&format!("/idioma/es?volver={asked}")).await;
            assert_eq!(chosen.header("set-cookie").matches("inyectada").count(), 0);
            let led = chosen.header("location");
            assert!(led.starts_with('/') && !led.starts_with("//"), "{led}");
        }
        // Forms that are wrong come back with what was typed, as text.
        for group in payloads().chunks(GROUP) {
            let text = group.join(" \u{b7} ");
            let forms: [(&Browser, String, Vec<&str>); 7] = [
                (&admin, "/admin/cuentas/nueva".into(), vec!["nombre", "usuario", "documento", "paciente"]),
                (&admin, "/admin/clientes/nuevo".into(), vec!["id", "redirect", "scope", "jwks"]),
                (
                    &clerk,
                    "/admision/registrar".into(),
                    vec!["numero", "apellido1", "apellido2", "nombre1", "municipio", "eps"],
                ),
                (&clerk, format!("/admision/paciente/{id}/datos"), vec!["numero", "apellido1", "direccion"]),
                (&clerk, format!("/admision/paciente/{id}/ingresar"), vec!["servicio", "cama", "motivo"]),
                (&medico, format!("/paciente/{id}/problema"), vec!["texto", "codigo", "desde"]),
                (&laboratory, format!("/resultados/nuevo/{id}?codigo=2823-3"), vec!["valor-2823-3", "fecha", "hora"]),
            ];
            for (browser, address, names) in forms {
                let mut browser = browser.clone();
                let form = browser.get(&address).await.expect(200);
                let typed: Vec<(&str, &str)> = names.iter().map(|name| (*name, text.as_str())).collect();
                let action = address.split('?').next().unwrap();
                let wrong = browser.send_shown(&form, action, &typed).await.expect(422);
                let shown = flat(&words(&is_quiet(&wrong)));
                for payload in group {
                    assert!(shown.contains(&flat(payload)), "{address}: {payload}");
                }
            }
            let typed = [("usuario", text.as_str()), ("clave", "x")];
            let wrong = nobody.post("/login", &typed).await.expect(401);
            assert!(flat(&words(&is_quiet(&wrong))).contains(&flat(&group[0])));
        }
    });
}

/// A text in a field of ER7 (HL7 v2.5.1, 2.7).
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\E\\"),
            '|' => out.push_str("\\F\\"),
            '^' => out.push_str("\\S\\"),
            '&' => out.push_str("\\T\\"),
            '~' => out.push_str("\\R\\"),
            '\r' => out.push_str("\\X0D\\"),
            '\n' => out.push_str("\\X0A\\"),
            c => out.push(c),
        }
    }
    out
}

#[test]
fn what_a_message_says_is_text_on_every_page() {
    run(async {
        let Some(address) = server().ready["mllp"].as_str().map(|mllp| mllp.trim_start_matches("mllp://").to_owned())
        else {
            return skip("what_a_message_says_is_text_on_every_page", "the server has no MLLP listener");
        };
        let mut mllp = Mllp::connect(&address).await;
        let clinic = fhir("integracion").await;
        let mut clerk = Browser::of("admisionista").await;
        let mut medico = Browser::of("medico").await;
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(-5)));
        let time = now.strftime("%Y%m%d%H%M%S").to_string();
        let plain = unique();
        let mut twins = Vec::new();
        for text in std::iter::once(PLAIN.to_owned()).chain(names()) {
            // Marks that nobody sees, or that turn the direction of writing, are refused, as at the desk.
            let marks = ['\u{AD}', '\u{61C}', '\u{FEFF}'];
            let turns = text.chars().any(|c| {
                marks.contains(&c)
                    || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
            });
            let number = if text == PLAIN { plain.clone() } else { unique() };
            for event in ["A01", "A08"] {
                let (t, control) = (escaped(&text), unique());
                let message = format!(
                    "MSH|^~\\&|HIS|HOSPITAL|HISTORIA|RED|{time}-0500||ADT^{event}^ADT_A01|{control}|P|2.5.1|||||COL|UNICODE UTF-8\r\
                     EVN|{event}|{time}-0500\r\
                     PID|1||{number}^^^RNEC^CC||{t}^{t}^{t}^^^^L||19840229|F|||{t}^{t}^{t}^{t}^^COL^H||{t}||||||||||{t}\r\
                     PV1|1|I|{t}^{t}^{t}|E|||||||||||||||V-{number}^^^HOSPITAL^VN|||||||||||||||||||||||||{time}\r\
                     PV2|||{t}^{t}\r"
                );
                let ack = mllp.ask(message.as_bytes()).await;
                match turns {
                    true => assert!(String::from_utf8_lossy(ack.as_ref()).contains("control-character"), "{text:?}"),
                    false => accepted(&ack, &control),
                }
            }
            if turns {
                continue;
            }
            let patient = clinic.get(&format!("Patient?identifier={number}")).await.expect(200).resources().remove(0);
            let id = patient["id"].as_str().unwrap();
            let family = patient["name"][0]["family"].as_str().unwrap();
            assert!(flat(family).contains(&flat(&text)), "{family:?} is not {text:?}");
            let pages = [
                format!("/admision?q={number}"),
                format!("/admision/paciente/{id}"),
                format!("/admision/paciente/{id}/datos"),
                format!("/paciente/{id}"),
            ];
            for (n, page) in pages.iter().enumerate() {
                let browser = if n == 3 { &mut medico } else { &mut clerk };
                let reply = browser.get(page).await.expect(200);
                let nodes = is_quiet(&reply);
                if text == PLAIN {
                    twins.push(bones(&nodes));
                    continue;
                }
                same_bones(&reply, &twins[n], &bones(&nodes));
                assert!(flat(&words(&nodes)).contains(&flat(&text)), "{page}: {text}");
            }
            is_quiet(&clerk.get("/admision/llegadas?todas=1").await.expect(200));
        }
    });
}

// ------------------------------------------------------------------ paper

/// Letters and signs that the fonts of the document have for certain, without blanks: breaks of lines fall anywhere.
fn solid(text: &str) -> String {
    let known = |c: &char| c.is_ascii_graphic() || ('\u{C0}'..='\u{17F}').contains(c);
    text.chars().filter(known).collect()
}

fn poppler(tool: &str, options: &[&str], pdf: &[u8]) -> Option<String> {
    let path = std::env::temp_dir().join(format!("historia-it-{}.pdf", unique()));
    std::fs::write(&path, pdf).unwrap();
    let run = Command::new(tool).args(options).arg(&path).arg("-").output();
    let _ = std::fs::remove_file(&path);
    let output = run.ok()?;
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn what_a_record_says_is_text_in_the_pdf_and_stays_on_its_page() {
    run(async {
        let medico = fhir("medico").await;
        for group in payloads().chunks(GROUP) {
            let record = Record::store(group.join(" \u{b7} ")).await;
            let pdf = medico.get(&format!("/exportar_pdf/{}", record.id)).await.expect(200).body;
            let raw = String::from_utf8_lossy(&pdf).into_owned();
            for live in ["/JS", "/JavaScript", "/OpenAction", "/AA", "/URI", "/Launch", "/EmbeddedFile", "/SubmitForm"]
            {
                assert!(!raw.contains(live), "{live} in the PDF of {}", record.text);
            }
            let Some(text) = poppler("pdftotext", &["-raw"], &pdf) else {
                return skip("what_a_record_says_is_text_in_the_pdf_and_stays_on_its_page", "there is no pdftotext");
            };
            // What no font has stands there as its code.
            let parts =
                text.split("[U+").map(|part| {
                    part.split_once(']').map_or(part, |(code, rest)| {
                        if code.chars().all(|c| c.is_ascii_hexdigit()) { rest } else { part }
                    })
                });
            let shown = solid(&parts.collect::<String>());
            for payload in group {
                assert!(shown.contains(&solid(payload)), "{payload:?} is not in {text}");
            }
            let boxes = poppler("pdftotext", &["-bbox"], &pdf).unwrap();
            let side = |word: &str, name: &str| -> f32 {
                word.split(&format!("{name}=\""))
                    .nth(1)
                    .and_then(|rest| rest.split('"').next())
                    .unwrap()
                    .parse()
                    .unwrap()
            };
            for word in boxes.lines().filter(|line| line.contains("<word ")) {
                let inside = side(word, "xMin") >= 20.0 && side(word, "xMax") <= 592.0;
                assert!(inside && side(word, "yMin") >= 0.0 && side(word, "yMax") <= 792.0, "{word}");
            }
        }
    });
}

// ------------------------------------------------------------------ what is no text at all

#[test]
fn control_characters_are_refused_by_every_entrance() {
    run(async {
        let medico = fhir("medico").await;
        for code in ["\\u0000", "\\u0007", "\\u000b", "\\u001b", "\\ud800"] {
            let body = patient_with(&unique()).to_string().replace("Peña Ruiz", &format!("Peña{code}Ruiz"));
            let reply = medico.raw("POST", "Patient", &[], &body).await.expect(400);
            assert_eq!(reply.json()["resourceType"], "OperationOutcome", "{code}");
        }
        let mut clerk = Browser::of("admisionista").await;
        let form = clerk.get("/admision/registrar").await.expect(200);
        for text in ["Peña\0Ruiz", "Peña\u{7}Ruiz", "Peña\u{1b}[31mRuiz", "Peña\u{b}Ruiz"] {
            let number = unique();
            let typed = [
                ("tipo", "CC"),
                ("numero", number.as_str()),
                ("apellido1", text),
                ("nombre1", "Ana"),
                ("nacimiento", "14/03/1968"),
                ("sexo", "female"),
                ("municipio", "Soacha"),
            ];
            let reply = clerk.send_shown(&form, "/admision/registrar", &typed).await;
            assert!(matches!(reply.status, 400 | 422), "{text:?}: {} {}", reply.status, reply.text());
            assert!(medico.get(&format!("Patient?identifier={number}")).await.ids().is_empty(), "{text:?}");
            clerk.get(&format!("/admision?q={}", encoded(text))).await;
        }
        let reply = anonymous().get("/login?next=/%00%0d%0aSet-Cookie:%20inyectada=1").await;
        assert!(!reply.headers.values().any(|value| value.to_str().is_ok_and(|value| value.contains("inyectada"))));
    });
}
