//! The table of roles of docs/contract.md on every way by which a person or a program reads and writes (issue 4, Must show
//! 4): pages, JSON and PDF alike. The table and the routes are read from where they stand, so that neither can drift.

use crate::access::ROLES;
use crate::contract::table_after;
use crate::harness::browser::Browser;
use crate::harness::data::{encounter, patient_with, result};
use crate::harness::fhir::{account, login};
use crate::harness::{Fhir, Reply, anonymous, fhir, run, server, skip, unique};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

// ------------------------------------------------------------------ the table

/// What a role may do with a column, by the words of its cell.
struct Table {
    columns: Vec<String>,
    rows: BTreeMap<String, Vec<String>>,
}

impl Table {
    fn read() -> Table {
        let (header, rows) = table_after("## Roles", "Patient");
        let columns = header[1..].iter().map(|cell| cell.split(':').next().unwrap().to_owned()).collect();
        Table { columns, rows: rows.into_iter().map(|row| (row[0].clone(), row[1..].to_vec())).collect() }
    }

    fn cell(&self, role: &str, column: &str) -> &str {
        let n = self.columns.iter().position(|known| known == column).unwrap_or_else(|| panic!("no column {column}"));
        &self.rows[role][n]
    }

    fn reads(&self, role: &str, column: &str) -> bool {
        self.cell(role, column).contains("read")
    }

    fn writes(&self, role: &str, column: &str) -> bool {
        self.cell(role, column).contains("write")
    }

    fn exports(&self, role: &str) -> bool {
        matches!(self.cell(role, "PDF"), "yes" | "own")
    }
}

// ------------------------------------------------------------------ a record with a mark in every column

/// Words that stand nowhere else: one for each column, and those that are not released.
struct Record {
    id: String,
    number: String,
    /// Column, the word, the resource.
    marks: Vec<(&'static str, String, String)>,
    waiting: Vec<(String, String)>,
}

fn word(start: &str) -> String {
    let letters: String = unique().bytes().map(|digit| char::from(b'a' + digit % 26)).collect();
    format!("{start}{letters}")
}

impl Record {
    async fn new() -> Record {
        let clinic = fhir("integracion").await;
        let (number, family) = (unique(), word("Apellido"));
        let mut patient = patient_with(&number);
        patient["name"][0]["family"] = family.as_str().into();
        let id = clinic.create(patient).await["id"].as_str().unwrap().to_owned();
        let subject = format!("Patient/{id}");
        let path = async |resource: Value| {
            let made = clinic.create(resource).await;
            format!("{}/{}", made["resourceType"].as_str().unwrap(), made["id"].as_str().unwrap())
        };
        let names = ["Servicio", "Problema", "Examen", "Espera", "Conclusion", "Borrador"].map(word);
        let [service, problem, test, waits, conclusion, draft] = &names;
        let mut stay = encounter(&subject);
        stay["serviceType"] = json!({"text": service});
        let of = |status: &str, code: &str| {
            let mut one = result(&subject, status);
            one["code"] = json!({"text": code});
            one
        };
        let report = |status: &str, text: &str| {
            json!({"resourceType": "DiagnosticReport", "status": status, "subject": {"reference": subject}, "code": {"text": text},
                "conclusion": format!("{text} dice")})
        };
        let condition =
            json!({"resourceType": "Condition", "subject": {"reference": subject}, "code": {"text": problem}});
        let marks = vec![
            ("Patient", family, subject.clone()),
            ("admission", service.clone(), path(stay).await),
            ("clinical", problem.clone(), path(condition).await),
            ("results", test.clone(), path(of("final", test)).await),
            ("results", conclusion.clone(), path(report("final", conclusion)).await),
        ];
        let waiting = vec![
            (waits.clone(), path(of("preliminary", waits)).await),
            (draft.clone(), path(report("preliminary", draft)).await),
        ];
        Record { id, number, marks, waiting }
    }

    /// The three ways of naming the patient.
    fn names(&self) -> [String; 3] {
        [self.id.clone(), format!("CC-{}", self.number), self.number.clone()]
    }

    /// A page, a Bundle or a document says what the table lets it say.
    #[track_caller]
    fn is_shown(&self, table: &Table, role: &str, what: &str, text: &str) {
        for (column, mark, _) in &self.marks {
            assert_eq!(text.contains(mark), table.reads(role, column), "{role} {what}: {column} ({mark})");
        }
        let all = table.reads(role, "results") && !table.cell(role, "results").contains("only as final");
        for (mark, _) in &self.waiting {
            assert_eq!(text.contains(mark), all, "{role} {what}: not released ({mark})");
        }
    }
}

/// A caller of each role, with a browser where people of the role have one.
struct Caller {
    api: Fhir,
    browser: Option<Browser>,
}

impl Caller {
    async fn of(role: &str, own: &Record) -> Caller {
        let (usuario, clave) = match role {
            "integracion" => return Caller { api: fhir(role).await, browser: None },
            "paciente" => account(server(), role, &format!("CC-{}", unique()), Some(&own.id)),
            _ => server().login(role),
        };
        let mut browser = Browser::new();
        browser.sign_in(&usuario, &clave).await.expect(303);
        Caller { api: login(&server().http(), &usuario, &clave).await, browser: Some(browser) }
    }

    async fn page(&mut self, path: &str) -> Reply {
        match &mut self.browser {
            Some(browser) => browser.get(path).await,
            None => self.api.get_with(path, &[("accept", "text/html")]).await,
        }
    }
}

/// The text of a PDF without its breaks; none where poppler is not installed.
fn text_of(pdf: &[u8]) -> Option<String> {
    let path = std::env::temp_dir().join(format!("historia-it-{}.pdf", unique()));
    std::fs::write(&path, pdf).unwrap();
    let run = Command::new("pdftotext").args(["-raw", &path.display().to_string(), "-"]).output();
    let _ = std::fs::remove_file(&path);
    Some(String::from_utf8_lossy(&run.ok()?.stdout).split_whitespace().collect())
}

#[test]
fn each_role_reads_what_the_table_says_as_page_as_json_and_as_pdf() {
    run(async {
        let table = Table::read();
        assert_eq!(table.rows.len(), ROLES.len());
        let (own, other) = (Record::new().await, Record::new().await);
        for role in ROLES {
            let mut caller = Caller::of(role, &own).await;
            let sees = table.reads(role, "Patient");
            let status = if sees { 200 } else { 403 };
            for name in own.names() {
                let page = caller.page(&format!("/paciente/{name}")).await.expect(status);
                own.is_shown(&table, role, "page", &page.text());
                let json = caller.api.get(&format!("/paciente/{name}")).await.expect(status);
                own.is_shown(&table, role, "JSON", &json.text());
                let pdf = caller.api.get(&format!("/exportar_pdf/{name}")).await;
                if !table.exports(role) {
                    pdf.refused(403, "forbidden");
                    continue;
                }
                match text_of(&pdf.expect(200).body) {
                    Some(text) => own.is_shown(&table, role, "PDF", &text),
                    None => {
                        skip("each_role_reads_what_the_table_says_as_page_as_json_and_as_pdf", "there is no pdftotext")
                    }
                }
            }
            let bundle = caller.api.get(&format!("Patient/{}/$everything", own.id)).await.expect(status);
            own.is_shown(&table, role, "$everything", &bundle.text());
            // How a search is carried out is the business of whoever runs the database; it shows no record.
            let explain = format!("$explain?url=Patient%3F_id%3D{}&analyze=true", own.id);
            let reply = caller.api.get(&explain).await.expect(if role == "admin" { 200 } else { 403 });
            assert!(own.marks.iter().all(|(_, mark, _)| !reply.text().contains(mark)), "{role}: {}", reply.text());
            for (column, _, path) in &own.marks {
                let status = if table.reads(role, column) { 200 } else { 403 };
                caller.api.get(path).await.expect(status);
            }
            // What is not released is as if it were not there; whoever may not read the type is told so.
            for (_, path) in &own.waiting {
                let status = match table.cell(role, "results") {
                    cell if cell.contains("only as final") => 404,
                    cell if cell.contains("read") => 200,
                    _ => 403,
                };
                caller.api.get(path).await.expect(status);
            }
            // Another person's record: who reads only the own has never heard of it.
            if table.cell(role, "Patient").contains("own") {
                for name in other.names() {
                    caller.page(&format!("/paciente/{name}")).await.expect(404);
                    caller.api.get(&format!("/paciente/{name}")).await.refused(404, "not-found");
                    caller.api.get(&format!("/exportar_pdf/{name}")).await.refused(404, "not-found");
                    caller.page(&format!("/exportar_pdf/{name}")).await.expect(404);
                }
                for (_, _, path) in &other.marks {
                    caller.api.get(path).await.refused(404, "not-found");
                }
            }
        }
    });
}

#[test]
fn each_role_writes_what_the_table_says() {
    run(async {
        let table = Table::read();
        let own = Record::new().await;
        let subject = json!({"reference": format!("Patient/{}", own.id)});
        let new = |column: &str| match column {
            "Patient" => patient_with(&unique()),
            "admission" => encounter(&format!("Patient/{}", own.id)),
            "clinical" => json!({"resourceType": "Condition", "subject": subject, "code": {"text": "Asma"}}),
            _ => json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": subject}),
        };
        for role in ROLES {
            let caller = Caller::of(role, &own).await.api;
            for column in ["Patient", "admission", "clinical", "results"] {
                let resource = new(column);
                let kind = resource["resourceType"].as_str().unwrap().to_owned();
                let made = caller.post(&kind, &resource).await;
                if table.writes(role, column) {
                    let made = made.expect(201).json();
                    let path = format!("{kind}/{}", made["id"].as_str().unwrap());
                    caller.put(&path, &made).await.expect(200);
                    caller.delete(&path).await.expect(204);
                } else {
                    made.refused(403, "forbidden");
                    let path = &own.marks.iter().find(|(known, ..)| *known == column).unwrap().2;
                    let stored = fhir("integracion").await.get(path).await.expect(200).json();
                    // Its type is denied, or nothing but reading is.
                    caller.put(path, &stored).await.expect(403);
                    caller.delete(path).await.expect(403);
                }
            }
        }
    });
}

#[test]
fn audit_desk_and_accounts_are_for_whom_the_table_says() {
    run(async {
        let table = Table::read();
        let own = Record::new().await;
        for role in ROLES {
            let mut caller = Caller::of(role, &own).await;
            let says = |column: &str, words: &str| if table.cell(role, column) == words { 200 } else { 403 };
            for (path, status) in [
                ("/admin/auditoria", says("audit", "read")),
                ("/mi-historia/accesos", says("audit", "who saw me")),
                ("/admin/mensajes", says("HL7 desk", "states, no content")),
                ("/admin", says("accounts, clients", "read, write")),
                ("/admin/cuentas/nueva", says("accounts, clients", "read, write")),
                ("/admin/clientes", says("accounts, clients", "read, write")),
                ("/admin/clientes/nuevo", says("accounts, clients", "read, write")),
            ] {
                assert_eq!(caller.page(path).await.status, status, "{role} {path}");
                assert_eq!(caller.api.get_with(path, &[("accept", "text/html")]).await.status, status, "{role} {path}");
            }
            let code = caller.api.send("POST", &format!("/paciente/{}/codigo", own.id), &[], None).await;
            assert_eq!(code.status, says("accounts, clients", "activation codes of patients"), "{role}: code");
            let message = b"MSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.5\r".to_vec();
            let push =
                caller.api.send("POST", "/hl7v2", &[("content-type", "application/hl7-v2")], Some(message)).await;
            assert_eq!(push.status, says("HL7 desk", "push"), "{role}: HL7");
        }
    });
}

// ------------------------------------------------------------------ every page there is

/// The sources of the routes of pages.
fn sources(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The text of a constant that a route is written with: `lab::DESK`.
fn constant(name: &str) -> String {
    let (module, name) = name.split_once("::").unwrap_or_else(|| panic!("{name} is no constant of a page"));
    let view = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/view");
    let folders = std::fs::read_dir(&view).unwrap().map(|entry| entry.unwrap().path());
    let inner = folders.filter(|path| path.is_dir()).map(|folder| folder.join(format!("{module}.rs")));
    let places = [view.join(format!("{module}.rs")), view.join(module).join("mod.rs")].into_iter().chain(inner);
    let start = format!("pub const {name}: &str = \"");
    let sources = places.filter_map(|path| std::fs::read_to_string(path).ok());
    let found = sources.filter_map(|source| Some(source.split_once(&start)?.1.to_owned())).next();
    let value = found.unwrap_or_else(|| panic!("no {module}::{name}"));
    value.split('"').next().unwrap().to_owned()
}

/// The addresses of all pages that need a session, as the route table of the code has them.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for file in sources("src/http/web") {
        let source = std::fs::read_to_string(&file).unwrap();
        for rest in source.split(".service(screen(").skip(1).chain(source.split(".service(form(").skip(1)) {
            let first = rest.split(',').next().unwrap().trim();
            pages.push(match first.strip_prefix('"') {
                Some(literal) => literal.trim_end_matches('"').to_owned(),
                None => constant(first),
            });
        }
    }
    pages.sort();
    assert!(pages.len() >= 35, "{} pages were found in the code", pages.len());
    pages
}

/// Who has the pages of an address; everybody who is signed in where it is not said.
fn role_of(page: &str) -> Option<&'static str> {
    let part = page.split('/').nth(1).unwrap();
    match part {
        "admision" => Some("admisionista"),
        "resultados" => Some("resultados"),
        "mi-historia" => Some("paciente"),
        "admin" => Some("admin"),
        "medico" => Some("medico"),
        "paciente" if page.ends_with("}") => None,
        "paciente" => Some("medico"),
        "" | "sesion" | "cuenta" | "exportar_pdf" => None,
        _ => panic!("{page}: whose page is it?"),
    }
}

/// What the variable parts of the addresses stand for.
struct Things {
    own: Record,
    open: String,
    planned: String,
    order: String,
    medicine: String,
    usuario: String,
    client: String,
}

impl Things {
    async fn new() -> Things {
        let own = Record::new().await;
        let clinic = fhir("integracion").await;
        let subject = format!("Patient/{}", own.id);
        let id = async |resource: Value| clinic.create(resource).await["id"].as_str().unwrap().to_owned();
        let mut planned = encounter(&subject);
        planned["status"] = "planned".into();
        let order = json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": {"reference": subject}});
        let medicine = json!({"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": {"reference": subject}, "medicationCodeableConcept": {"text": "Losartán"}});
        Things {
            medicine: id(medicine).await,
            open: id(encounter(&subject)).await,
            planned: id(planned).await,
            order: id(order).await,
            usuario: account(server(), "medico", &format!("CC-{}", unique()), None).0,
            client: server().client().0,
            own,
        }
    }

    fn concrete(&self, page: &str) -> String {
        let last = |path: &str| path.split('/').next_back().unwrap().to_owned();
        let (test, waits) = (last(&self.own.marks[3].2), last(&self.own.waiting[0].1));
        let id = match page.split('/').collect::<Vec<_>>().as_slice() {
            ["", "admision", "encuentro", _, "ingresar"] => self.planned.clone(),
            ["", "admision", "encuentro", ..] => self.open.clone(),
            ["", "resultados", "orden", ..] => self.order.clone(),
            ["", "resultados", "nuevo", ..] => self.own.id.clone(),
            ["", "resultados", ..] => waits,
            ["", "mi-historia", ..] => test.clone(),
            ["", "admin", "clientes", ..] => self.client.clone(),
            _ => self.own.id.clone(),
        };
        // Only an order of a medicine can be ended.
        let (tipo, rid) =
            if page.ends_with("/suspender") { ("MedicationRequest", &self.medicine) } else { ("Observation", &test) };
        let page = page.replace("{id}", &id).replace("{tipo}", tipo).replace("{rid}", rid);
        let page = page.replace("{n}", "0").replace("{usuario}", &self.usuario);
        // News are asked for since a moment.
        let page = if page.ends_with("/nuevas") { format!("{page}?desde=2026-01-01T00:00:00Z") } else { page };
        assert!(!page.contains('{'), "{page}: a part that this test does not know");
        page
    }
}

#[test]
fn without_a_session_every_page_is_the_sign_in_form_and_then_the_wanted_page() {
    run(async {
        let things = Things::new().await;
        let own = account(server(), "paciente", &format!("CC-{}", unique()), Some(&things.own.id));
        for page in pages() {
            let address = things.concrete(&page);
            let address = format!("{address}{}x=aqui", if address.contains('?') { '&' } else { '?' });
            let mut person = Browser::new();
            let needed = person.get(&address).await.expect(401);
            assert_eq!(needed.header("www-authenticate"), "Bearer", "{page}");
            assert!(needed.text().contains("name=\"clave\""), "{page}: no sign-in form");
            for (_, mark, _) in &things.own.marks {
                assert!(!needed.text().contains(mark.as_str()), "{page} tells of the record");
            }
            let reply = anonymous().get(&address).await.refused(401, "login");
            assert_eq!(reply.header("www-authenticate"), "Bearer", "{page}");
            let (usuario, clave) = match role_of(&page).unwrap_or("medico") {
                "paciente" => own.clone(),
                role => server().login(role),
            };
            let into = person.fill(&needed, "/login", &[("usuario", &usuario), ("clave", &clave)]).await.expect(303);
            // What only programs of a page ask for is none to be led to.
            let is_page = !matches!(page.as_str(), "/sesion" | "/admision/municipios" | "/admision/llegadas/nuevas");
            assert_eq!(into.header("location"), if is_page { &address } else { "/" }, "{page}");
            let shown = person.get(&address).await;
            let wanted = if page == "/" { 303 } else { 200 };
            assert_eq!(shown.status, wanted, "{page}: {}", shown.text());
            // A form is not taken without a session either.
            let sent = Browser::new().post(&things.concrete(&page), &[]).await;
            assert!(matches!(sent.status, 401 | 405), "{page}: {}", sent.status);
        }
    });
}

#[test]
fn each_page_is_for_its_role_and_for_no_other() {
    run(async {
        let things = Things::new().await;
        let table = Table::read();
        for role in ROLES {
            let mut caller = Caller::of(role, &things.own).await;
            for page in pages() {
                let address = things.concrete(&page);
                let sees = match page.as_str() {
                    "/exportar_pdf/{id}" => table.exports(role),
                    "/paciente/{id}" => table.reads(role, "Patient"),
                    "/paciente/{id}/registro/{tipo}/{rid}" => table.reads(role, "results"),
                    page => role_of(page).is_none_or(|whose| whose == role),
                };
                let status = caller.page(&address).await.status;
                let right = if sees { matches!(status, 200 | 303) } else { status == 403 };
                assert!(right, "{role} {page}: {status}");
                // No form does what the role may not do.
                let sent = match &mut caller.browser {
                    Some(browser) => browser.post(&address, &[]).await.status,
                    None => caller.api.send("POST", &address, &[("accept", "text/html")], None).await.status,
                };
                let done = caller.browser.is_none() && sees;
                assert!(done || matches!(sent, 403 | 405), "{role} POST {page}: {sent}");
            }
        }
    });
}
