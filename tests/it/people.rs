//! People at work on the same thing, and what happens to a form when something comes between: two clerks at once, the
//! session that ends, another person at the screen, the form sent twice, the server that dies. Nothing is lost, and nothing
//! happens twice (issue 4, Must show 7). Every form of every role is in [`cases`].

use crate::harness::browser::{Browser, hidden};
use crate::harness::data::{encounter, patient_with, result};
use crate::harness::fhir::{account, signed_in};
use crate::harness::html::controls;
use crate::harness::instance::Folder;
use crate::harness::{Fhir, Instance, Reply, Start, fhir, run, server, skip, unique};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

#[track_caller]
fn shows(reply: &Reply, text: &str) {
    assert!(reply.text().contains(text), "{}: no {text:?} in {}", reply.asked, reply.text());
}

/// Letters that nobody else has.
fn letters() -> String {
    unique().bytes().map(|digit| char::from(b'a' + digit % 26)).collect()
}

// ------------------------------------------------------------------ the forms

/// What tells how often a form was done.
enum Effect {
    /// Resources that a search finds.
    Found(String),
    /// Versions after the first.
    Changed(String),
    /// Lines of a page of the administrator.
    Listed(String, String),
    /// The account has this password now.
    Password(String, &'static str),
}

/// A form: who fills it, where it stands, where it goes, what is typed, and what it does.
struct Case {
    name: &'static str,
    role: &'static str,
    /// Signs in as this one, else with the login of the role.
    login: Option<(String, String)>,
    page: String,
    action: String,
    typed: Vec<(&'static str, String)>,
    effect: Effect,
}

/// One server, and who works there.
struct World<'i> {
    instance: &'i Instance,
    clinic: Fhir,
    admin: Browser,
}

impl World<'_> {
    async fn of(instance: &Instance) -> World<'_> {
        let mut admin = Browser::at(&instance.http());
        let (usuario, clave) = instance.login("admin");
        admin.sign_in(&usuario, &clave).await.expect(303);
        World { instance, clinic: signed_in(instance, "integracion").await, admin }
    }

    fn login(&self, case: &Case) -> (String, String) {
        case.login.clone().unwrap_or_else(|| self.instance.login(case.role))
    }

    async fn person(&self, case: &Case) -> Browser {
        let mut browser = Browser::at(&self.instance.http());
        let (usuario, clave) = self.login(case);
        browser.sign_in(&usuario, &clave).await.expect(303);
        browser
    }

    async fn id(&self, resource: Value) -> String {
        self.clinic.create(resource).await["id"].as_str().unwrap().to_owned()
    }

    async fn patient(&self) -> String {
        self.id(patient_with(&unique())).await
    }

    async fn stay(&self, patient: &str, status: &str) -> String {
        let mut stay = encounter(&format!("Patient/{patient}"));
        stay["class"]["code"] = "IMP".into();
        stay["status"] = status.into();
        self.id(stay).await
    }

    async fn times(&self, case: &Case) -> usize {
        match &case.effect {
            Effect::Found(query) => self.clinic.get(query).await.expect(200).ids().len(),
            Effect::Changed(path) => usize::try_from(self.clinic.get(path).await.expect(200).version() - 1).unwrap(),
            Effect::Listed(page, line) => {
                self.admin.clone().get(page).await.expect(200).text().matches(line.as_str()).count()
            }
            Effect::Password(usuario, clave) => {
                let reply = Browser::at(&self.instance.http()).sign_in(usuario, clave).await;
                usize::from(reply.status == 303)
            }
        }
    }
}

fn case<const N: usize>(
    name: &'static str,
    role: &'static str,
    address: &str,
    typed: [(&'static str, &str); N],
    effect: Effect,
) -> Case {
    let (page, action) = (address.to_owned(), address.split('?').next().unwrap_or_default().to_owned());
    let typed = typed.map(|(name, value)| (name, value.to_owned())).to_vec();
    Case { name, role, login: None, page, action, typed, effect }
}

const NEW: &str = "una frase nueva y larga 8";

fn personal<'t>(number: &'t str, surname: &'t str, city: &'t str) -> [(&'static str, &'t str); 10] {
    [
        ("tipo", "CC"),
        ("numero", number),
        ("apellido1", surname),
        ("apellido2", "Güiza"),
        ("nombre1", "María"),
        ("nacimiento", "14/03/1968"),
        ("sexo", "female"),
        ("municipio", city),
        ("celular", "3009994120"),
        ("direccion", "Calle 0 # 0-0"),
    ]
}

/// Every form, each on people of its own.
async fn cases(world: &World<'_>) -> Vec<Case> {
    let mut all = admission_cases(world).await;
    all.extend(chart_cases(world).await);
    all.extend(laboratory_cases(world).await);
    all.extend(account_cases(world));
    all
}

async fn admission_cases(world: &World<'_>) -> Vec<Case> {
    let who = "admisionista";
    let (bed, second) = (letters(), letters());
    let stay = |bed| [("clase", "IMP"), ("servicio", "Medicina interna"), ("cama", bed), ("motivo", "Fiebre «alta»")];
    let patient = world.patient().await;
    let admit = format!("/admision/paciente/{patient}/ingresar");
    let mut all = vec![case("admit", who, &admit, stay(&bed), Effect::Found(format!("Encounter?patient={patient}")))];
    let expected = world.stay(&world.patient().await, "planned").await;
    let receive = format!("/admision/encuentro/{expected}/ingresar");
    all.push(case("receive", who, &receive, stay(&second), Effect::Changed(format!("Encounter/{expected}"))));
    let of = async |what: &str| {
        let id = world.stay(&world.patient().await, "in-progress").await;
        (format!("/admision/encuentro/{id}/{what}"), Effect::Changed(format!("Encounter/{id}")))
    };
    let (address, effect) = of("trasladar").await;
    all.push(case("transfer", who, &address, [("servicio", "Cirugía"), ("cama", &letters())], effect));
    let (address, effect) = of("egresar").await;
    all.push(case("discharge", who, &address, [("destino", "home")], effect));
    let (address, effect) = of("cancelar").await;
    all.push(case("cancel", who, &address, [], effect));
    let (number, surname) = (unique(), letters());
    let effect = Effect::Found(format!("Patient?identifier={number}"));
    all.push(case("register", who, "/admision/registrar", personal(&number, &surname, "Soacha"), effect));
    let patient = world.patient().await;
    let effect = Effect::Changed(format!("Patient/{patient}"));
    let (number, surname) = (unique(), letters());
    let address = format!("/admision/paciente/{patient}/datos");
    all.push(case("data", who, &address, personal(&number, &surname, "Chía"), effect));
    all
}

async fn chart_cases(world: &World<'_>) -> Vec<Case> {
    let who = "medico";
    let mut all = Vec::new();
    for (name, part, typed, kind) in [
        ("signs", "signos", vec![("temperatura", "36,8")], "Observation"),
        ("observation", "observacion?codigo=2823-3", vec![("valor", "4,5"), ("nota", "Una\nnota")], "Observation"),
        ("problem", "problema", vec![("texto", "Neumonía"), ("codigo", "J189")], "Condition"),
    ] {
        let patient = world.patient().await;
        let effect = Effect::Found(format!("{kind}?patient={patient}"));
        let typed = typed.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        all.push(Case { typed, ..case(name, who, &format!("/paciente/{patient}/{part}"), [], effect) });
    }
    let patient = world.patient().await;
    let value = world.id(result(&format!("Patient/{patient}"), "final")).await;
    let address = format!("/paciente/{patient}/registro/Observation/{value}/corregir");
    let effect = Effect::Changed(format!("Observation/{value}"));
    all.push(case("correct", who, &address, [("valor", "71,5"), ("motivo", "Digitación")], effect));
    all
}

async fn laboratory_cases(world: &World<'_>) -> Vec<Case> {
    let who = "resultados";
    let subject = format!("Patient/{}", world.patient().await);
    let order = world.id(order(&subject)).await;
    let effect = Effect::Found(format!("Observation?based-on=ServiceRequest/{order}"));
    let typed = [("valor-2823-3", "4,5"), ("fecha", "06/05/2024"), ("hora", "07:10")];
    let mut all = vec![case("enter", who, &format!("/resultados/orden/{order}"), typed, effect)];
    let waiting = world.id(result(&subject, "preliminary")).await;
    let effect = Effect::Changed(format!("Observation/{waiting}"));
    all.push(case("validate", who, &format!("/resultados/{waiting}"), [("valor", "72,5")], effect));
    let released = world.id(result(&subject, "final")).await;
    let effect = Effect::Changed(format!("Observation/{released}"));
    let typed = [("valor", "80"), ("motivo", "Muestra repetida")];
    all.push(case("amend", who, &format!("/resultados/{released}"), typed, effect));
    all
}

fn order(subject: &str) -> Value {
    json!({
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": {"reference": subject},
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}], "text": "Potasio"}
    })
}

fn account_cases(world: &World<'_>) -> Vec<Case> {
    let name = format!("ana-{}", letters());
    let listed = Effect::Listed(format!("/admin?q={name}"), format!("/admin/cuentas/{name}/clave"));
    let typed = [("nombre", "Ana Niño"), ("rol", "medico"), ("usuario", &name), ("documento", "CC-123456")];
    let mut all = vec![case("account", "admin", "/admin/cuentas/nueva", typed, listed)];
    let name = format!("lab-{}", letters());
    let listed = Effect::Listed("/admin/clientes".to_owned(), format!("/admin/clientes/{name}/deshabilitar"));
    let typed = [("id", name.as_str()), ("tipo", "confidential"), ("integracion", "1"), ("scope", "")];
    all.push(case("client", "admin", "/admin/clientes/nuevo", typed, listed));
    let (usuario, clave) = account(world.instance, "medico", &format!("CC-{}", unique()), None);
    let typed = [("clave", clave.as_str()), ("clave_nueva", NEW)];
    let effect = Effect::Password(usuario.clone(), NEW);
    all.push(Case { login: Some((usuario, clave.clone())), ..case("password", "medico", "/cuenta", typed, effect) });
    all
}

impl Case {
    fn typed(&self) -> Vec<(&str, &str)> {
        self.typed.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// What must be typed again: passwords never wait anywhere.
    fn secrets(&self) -> Vec<(&str, &str)> {
        self.typed().into_iter().filter(|(name, _)| name.starts_with("clave")).collect()
    }

    /// A form that is done leads somewhere, or shows a secret once.
    #[track_caller]
    fn is_done(&self, reply: &Reply) {
        let shows_once = matches!(self.name, "account" | "client");
        let done = reply.status == 303 || (shows_once && reply.status == 200);
        assert!(done, "{}: {} {}", self.name, reply.status, reply.text());
    }

    /// The form holds what was typed, as a browser would send it.
    fn holds(&self, page: &Reply) {
        let shown = controls(&page.text(), &self.action);
        for (name, value) in self.typed().into_iter().filter(|(name, _)| !name.starts_with("clave")) {
            let found = shown.iter().find(|(known, _)| known == name).map(|(_, value)| value.replace("\r\n", "\n"));
            assert_eq!(found.as_deref().unwrap_or_default(), value, "{}: {name} in {}", self.name, page.text());
        }
    }
}

// ------------------------------------------------------------------ the session ends

#[test]
fn a_session_that_ends_in_the_middle_of_a_form_loses_nothing() {
    run(async {
        let world = World::of(server()).await;
        for case in cases(&world).await {
            let name = case.name;
            let mut person = world.person(&case).await;
            let form = person.get(&case.page).await.expect(200);
            // Ended from elsewhere: by the person, an administrator, or the clock.
            person.clone().post("/logout", &[]).await.expect(303);
            let gone = person.send_shown(&form, &case.action, &case.typed()).await.expect(401);
            assert_eq!(gone.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{name}");
            shows(&gone, "Lo que escribió sigue ahí");
            for (_, secret) in case.secrets() {
                assert!(!gone.text().contains(secret), "{name}: a password in the page");
            }
            assert_eq!(world.times(&case).await, 0, "{name}");
            // Somebody else at this screen gets nothing of it.
            let other = if case.role == "resultados" { "medico" } else { "resultados" };
            let (usuario, clave) = world.instance.login(other);
            let typed = [("usuario", usuario.as_str()), ("clave", clave.as_str())];
            let mut stranger = Browser::at(&world.instance.http());
            let led = stranger.fill(&gone, "/login", &typed).await.expect(303);
            assert!(!led.header("location").contains("borrador"), "{name}: {}", led.header("location"));
            // The same person finds the form as it was, and it is saved once.
            let (usuario, clave) = world.login(&case);
            let typed = [("usuario", usuario.as_str()), ("clave", clave.as_str())];
            let into = person.fill(&gone, "/login", &typed).await.expect(303);
            let again = person.follow(&into).await.expect(200);
            case.holds(&again);
            let stolen = stranger.get(into.header("location")).await;
            assert!(!stolen.text().contains("Lo que escribió sigue aquí"), "{name}");
            case.is_done(&person.send_shown(&again, &case.action, &case.secrets()).await);
            assert_eq!(world.times(&case).await, 1, "{name}");
            if case.name != "password" {
                person.send_shown(&again, &case.action, &case.secrets()).await;
                assert_eq!(world.times(&case).await, 1, "{name}: twice");
            }
        }
    });
}

// ------------------------------------------------------------------ sent twice

#[test]
fn a_form_that_is_sent_ten_times_at_once_is_done_once() {
    run(async {
        let world = World::of(server()).await;
        for case in cases(&world).await {
            let name = case.name;
            let mut person = world.person(&case).await;
            let form = person.get(&case.page).await.expect(200);
            let sendings = (0..10).map(|_| {
                let mut hand = person.clone();
                let (form, case) = (&form, &case);
                async move { hand.send_shown(form, &case.action, &case.typed()).await }
            });
            let answers = join_all(sendings).await;
            assert_eq!(world.times(&case).await, 1, "{name}");
            for reply in &answers {
                case.is_done(reply);
                assert_eq!(reply.header("location"), answers[0].header("location"), "{name}");
                // What is shown once is shown to all of them: the browser may have kept any.
                assert!(reply.status == 303 || reply.text() == answers[0].text(), "{name}");
            }
        }
    });
}

// ------------------------------------------------------------------ two at once

#[test]
fn a_form_that_is_sent_again_with_something_else_is_told_and_shows_both() {
    run(async {
        let world = World::of(server()).await;
        let (mut clerk, patient) = (Browser::of("admisionista").await, world.patient().await);
        let address = format!("/admision/paciente/{patient}/ingresar");
        let form = clerk.get(&address).await.expect(200);
        let (bed, other) = (letters(), letters());
        let typed = |class, bed| [("clase", class), ("servicio", "Cirugía"), ("cama", bed), ("motivo", "Fiebre")];
        let first = clerk.fill(&form, &address, &typed("IMP", &bed)).await.expect(303);
        // The same again is the same answer; something else is none.
        let same = clerk.fill(&form, &address, &typed("IMP", &bed)).await.expect(303);
        assert_eq!(same.header("location"), first.header("location"));
        let changed = clerk.fill(&form, &address, &typed("EMER", &other)).await.expect(303);
        let both = clerk.follow(&changed).await.expect(200);
        for text in [
            "Este formulario ya se había guardado",
            &format!("Se guardó: {bed}"),
            "Se guardó: Hospitalización",
            &format!("value=\"{other}\""),
            &format!("href=\"/admision/paciente/{patient}\""),
        ] {
            shows(&both, text);
        }
        assert!(!both.text().contains("Se guardó: Cirugía"), "what is the same is not told");
        assert_eq!(world.clinic.get(&format!("Encounter?patient={patient}")).await.expect(200).ids().len(), 1);
        // Sent on purpose, it is a form of its own: here the patient is in the hospital already.
        let refused = clerk.send_shown(&both, &address, &[]).await.expect(409);
        shows(&refused, "Ya estaba en el hospital");
        shows(&refused, &format!("value=\"{other}\""));
        // What was typed can be the transfer.
        let transfer = refused.text().split("href=\"").find_map(|rest| {
            let to = rest.split('"').next()?;
            to.contains("/trasladar?borrador").then(|| to.replace("&#x3D;", "="))
        });
        let transfer = transfer.expect("a way to the transfer");
        let shown = clerk.get(&transfer).await.expect(200);
        shows(&shown, &format!("value=\"{other}\""));
        let action = transfer.split('?').next().unwrap();
        clerk.send_shown(&shown, action, &[]).await.expect(303);
    });
}

#[test]
fn two_clerks_admit_the_same_patient_fifty_times_and_make_fifty_stays() {
    run(async {
        let world = World::of(server()).await;
        let (mut one, mut two) = (Browser::of("admisionista").await, Browser::of("admisionista").await);
        for round in 0..50 {
            let patient = world.patient().await;
            let address = format!("/admision/paciente/{patient}");
            let admit = format!("{address}/ingresar");
            let (a, b) = tokio::join!(one.get(&admit), two.get(&admit));
            let (my_bed, their_bed) = (letters(), letters());
            let typed = |bed| [("clase", "IMP"), ("servicio", "Medicina interna"), ("cama", bed), ("motivo", "Fiebre")];
            let (mine, theirs) = (typed(&my_bed), typed(&their_bed));
            let (first, second) = tokio::join!(one.fill(&a, &admit, &mine), two.fill(&b, &admit, &theirs));
            let stays = world.clinic.get(&format!("Encounter?patient={patient}")).await.expect(200).resources();
            assert_eq!(stays.len(), 1, "round {round}: {} {}", first.text(), second.text());
            let (late, early, bed) = match (first.status, second.status) {
                (409, 303) => (first, second, &my_bed),
                (303, 409) => (second, first, &their_bed),
                other => panic!("round {round}: {other:?} {} {}", first.text(), second.text()),
            };
            assert_eq!(early.header("location"), address);
            // Who was second sees the stay of the first, and what was typed.
            for text in
                ["Ya estaba en el hospital", stays[0]["location"][0]["location"]["display"].as_str().unwrap(), bed]
            {
                shows(&late, text);
            }
        }
    });
}

#[test]
fn two_clerks_register_the_same_person_fifty_times_and_make_fifty_patients() {
    run(async {
        const ADDRESS: &str = "/admision/registrar";
        let clinic = fhir("integracion").await;
        let (mut one, mut two) = (Browser::of("admisionista").await, Browser::of("admisionista").await);
        for round in 0..50 {
            let (number, surname) = (unique(), letters());
            let (a, b) = tokio::join!(one.get(ADDRESS), two.get(ADDRESS));
            let fields = personal(&number, &surname, "Soacha");
            let (first, second) = tokio::join!(one.fill(&a, ADDRESS, &fields), two.fill(&b, ADDRESS, &fields));
            let found = clinic.get(&format!("Patient?identifier={number}")).await.expect(200).ids();
            assert_eq!(found.len(), 1, "round {round}: {} {}", first.text(), second.text());
            let address = format!("/admision/paciente/{}", found[0]);
            let told = |reply: &Reply| {
                reply.header("location") == format!("{address}?ya=registro")
                    || (reply.status == 422 && reply.text().contains(&format!("href=\"{address}\"")))
            };
            let made = |reply: &Reply| reply.header("location") == address;
            let right = (made(&first) && told(&second)) || (told(&first) && made(&second));
            assert!(right, "round {round}: {} {}", first.text(), second.text());
        }
    });
}

#[test]
fn what_somebody_else_changed_meanwhile_is_never_overwritten_unseen() {
    run(async {
        let world = World::of(server()).await;
        let (mut one, mut two) = (Browser::of("admisionista").await, Browser::of("admisionista").await);
        let (usuario, clave) = server().login("admisionista");
        for ends in [false, true] {
            let (number, surname) = (unique(), letters());
            let patient = world.patient().await;
            let stay = world.stay(&patient, "in-progress").await;
            let data = (
                format!("/admision/paciente/{patient}/datos"),
                personal(&number, &surname, "Chía").to_vec(),
                personal(&number, &surname, "Soacha").to_vec(),
                ("celular", "1"),
            );
            let (theirs, mine) = (letters(), letters());
            let transfer = (
                format!("/admision/encuentro/{stay}/trasladar"),
                vec![("servicio", "Cirugía"), ("cama", theirs.as_str())],
                vec![("servicio", "UCI"), ("cama", mine.as_str())],
                ("cama", ""),
            );
            for (address, changed, typed, (field, wrong)) in [data, transfer] {
                let (a, b) = (one.get(&address).await.expect(200), two.get(&address).await.expect(200));
                two.fill(&b, &address, &changed).await.expect(303);
                let again = if ends {
                    one.clone().post("/logout", &[]).await.expect(303);
                    let gone = one.send_shown(&a, &address, &typed).await.expect(401);
                    let into = one.fill(&gone, "/login", &[("usuario", &usuario), ("clave", &clave)]).await;
                    one.follow(&into).await.expect(200)
                } else {
                    let mut slip = typed.clone();
                    slip.iter_mut().filter(|(name, _)| *name == field).for_each(|(_, value)| *value = wrong);
                    one.send_shown(&a, &address, &slip).await.expect(422)
                };
                let conflict = one.send_shown(&again, &address, &typed).await.expect(409);
                let (stored, typed) = if field == "celular" { ("Chía", "Soacha") } else { (&*theirs, &*mine) };
                shows(&conflict, stored);
                shows(&conflict, &format!("value=\"{typed}\""));
                one.send_shown(&conflict, &address, &[]).await.expect(303);
            }
        }
    });
}

// ------------------------------------------------------------------ the server dies

#[test]
fn a_server_that_dies_in_the_middle_of_a_form_loses_nothing() {
    if std::env::var("HISTORIA_TEST_DATABASE_URL").is_ok() || std::env::var("HISTORIA_TEST_URL").is_ok() {
        return skip("a_server_that_dies_in_the_middle_of_a_form_loses_nothing", "the server is not of its own");
    }
    run(async {
        let folder = Folder::new();
        let mut instance = Start::dev().within(&folder.path).ready();
        let mut open = Vec::new();
        {
            let world = World::of(&instance).await;
            for case in cases(&world).await {
                let mut person = world.person(&case).await;
                let form = person.get(&case.page).await.expect(200);
                open.push((case, person, form));
            }
        }
        // While the forms are on their way: some are done and not answered, some not done, some never arrive.
        let sendings: Vec<_> = open
            .iter()
            .map(|(case, person, form)| {
                let mut fields = hidden(&form.text(), &case.action);
                fields.retain(|(name, _)| !case.typed.iter().any(|(typed, _)| typed == name));
                fields.extend(case.typed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
                let (mut person, action) = (person.clone(), case.action.clone());
                tokio::spawn(async move {
                    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                    person.try_post(&action, &fields).await.is_ok()
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(60)).await;
        instance.signal("KILL");
        let mut answered = 0;
        for sending in sendings {
            answered += usize::from(sending.await.unwrap());
        }
        instance.ended(Duration::from_secs(20));
        println!("{answered} of {} forms were answered before the server died", open.len());
        let instance = Start::dev().within(&folder.path).ready();
        let world = World::of(&instance).await;
        for (case, mut person, form) in open {
            person.moved_to(&instance.http());
            let before = world.times(&case).await;
            assert!(before <= 1, "{}", case.name);
            let reply = person.send_shown(&form, &case.action, &case.typed()).await;
            // An account or a client that is there already says so; everything else is answered as if it were the first time.
            match (case.name, before) {
                ("account" | "client", 1) => assert!(matches!(reply.status, 303 | 422), "{}", reply.text()),
                ("password", 1) => assert!(matches!(reply.status, 303 | 422), "{}", reply.text()),
                _ => case.is_done(&reply),
            }
            assert_eq!(world.times(&case).await, 1, "{}", case.name);
        }
    });
}
