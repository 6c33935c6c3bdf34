//! The desk of admission, from outside: find, register, admit, transfer, discharge, cancel; two clerks at once; who may; and
//! that nothing a record says is markup.

use crate::harness::browser::{Browser, value_of};
use crate::harness::data::patient_with;
use crate::harness::fhir::account;
use crate::harness::{Reply, anonymous, fhir, run, server, unique};
use serde_json::json;

#[track_caller]
pub fn shows(reply: &Reply, text: &str) {
    assert!(reply.text().contains(text), "{}: no {text:?} in {}", reply.asked, reply.text());
}

/// A surname that nobody else has: letters only.
pub fn surname() -> String {
    let letters: String = unique().bytes().map(|digit| char::from(b'a' + digit % 26)).collect();
    format!("Ñu{letters}")
}

fn typed<'t>(number: &'t str, surname: &'t str) -> Vec<(&'t str, &'t str)> {
    vec![
        ("tipo", "CC"),
        ("numero", number),
        ("apellido1", surname),
        ("apellido2", "Güiza"),
        ("nombre1", "María"),
        ("nombre2", ""),
        ("nacimiento", "14/03/1968"),
        ("sexo", "female"),
        ("municipio", "soacha"),
        ("celular", "3009994120"),
        ("direccion", ""),
        ("contacto_nombre", "Luz Güiza"),
        ("contacto_parentesco", "Madre"),
        ("contacto_celular", "3009994121"),
        ("eps", "EPS de Prueba"),
        ("regimen", "subsidiado"),
    ]
}

fn with<'t>(mut fields: Vec<(&'t str, &'t str)>, name: &str, value: &'t str) -> Vec<(&'t str, &'t str)> {
    fields.iter_mut().filter(|(known, _)| *known == name).for_each(|field| field.1 = value);
    fields
}

const NEW: &str = "/admision/registrar";

/// Registers and returns the address of the patient.
async fn registered(clerk: &mut Browser, number: &str, surname: &str) -> String {
    let form = clerk.get(NEW).await.expect(200);
    clerk.fill(&form, NEW, &typed(number, surname)).await.expect(303).header("location").to_owned()
}

fn id(address: &str) -> String {
    address.rsplit('/').next().unwrap().to_owned()
}

/// The address of the encounter on the page of a patient, with what is to be done.
fn encounter(page: &Reply, what: &str) -> String {
    let text = page.text();
    let found = text
        .split("href=\"")
        .find(|rest| rest.starts_with("/admision/encuentro/") && rest.split('"').next().unwrap().ends_with(what));
    found.unwrap_or_else(|| panic!("no {what} in {text}")).split('"').next().unwrap().to_owned()
}

#[test]
fn a_clerk_registers_and_finds_a_patient() {
    run(async {
        let mut clerk = Browser::of("admisionista").await;
        let (number, name) = (unique(), surname());
        let form = clerk.get(NEW).await.expect(200);
        // Wrong: everything typed stays, each error beside its field.
        let wrong = clerk
            .fill(&form, NEW, &with(with(typed(&number, &name), "celular", "300999412"), "nacimiento", "31/02/1968"))
            .await
            .expect(422);
        for text in ["value=\"300999412\"", "Hay 9 dígitos", "href=\"#f-nacimiento\"", "value=\"EPS de Prueba\"", &name]
        {
            shows(&wrong, text);
        }
        // Unlikely: said once, then saved.
        let young = clerk.fill(&wrong, NEW, &with(typed(&number, &name), "nacimiento", "14/03/2015")).await.expect(422);
        shows(&young, "La CC es desde los 18 años");
        assert_eq!(value_of(&young.text(), "avisado").as_deref(), Some("register_patient.cc_age"));
        let done = clerk.fill(&young, NEW, &with(typed(&number, &name), "nacimiento", "14/03/2015")).await.expect(303);
        let again = clerk.fill(&young, NEW, &with(typed(&number, &name), "nacimiento", "14/03/2015")).await.expect(303);
        assert_eq!(done.header("location"), again.header("location"));
        let page = clerk.follow(&done).await.expect(200);
        for text in [
            "Paciente registrado",
            "Soacha, Cundinamarca (25754)",
            "Luz Güiza · Madre · 3009994121",
            "EPS de Prueba · Régimen subsidiado",
            "14 mar 2015",
        ] {
            shows(&page, text);
        }
        let api = fhir("admisionista").await;
        let patient = api.get(&format!("/fhir/Patient/{}", id(done.header("location")))).await.expect(200).json();
        assert_eq!(patient["name"][0]["_family"]["extension"][1]["valueString"], "Güiza");
        assert_eq!(
            (&patient["address"][0]["district"], &patient["identifier"][0]["value"]),
            (&json!("25754"), &json!(number))
        );
        // Found by what people type, accents or not; the names stand in no address.
        let folded = name.replace('Ñ', "n");
        let (start, pointed) = (&number[..number.len() - 2], format!("{}.{}", &number[..3], &number[3..]));
        for q in [
            folded.as_str(),
            number.as_str(),
            start,
            &pointed,
            &format!("CC {number}"),
            &format!("{folded} 14/03/2015"),
            &format!("{folded} 2015"),
            &format!("mar {folded}"),
        ] {
            let found = clerk.get(&format!("/admision?q={}", crate::harness::browser::encoded(q))).await.expect(200);
            shows(&found, &format!("href=\"{}\"", done.header("location")));
            shows(&found, "1 paciente<");
        }
        shows(&clerk.get("/admision?q=zzzznadie").await.expect(200), "0 pacientes");
        // While somebody types, those found and nobody else.
        let live = clerk.get(&format!("/admision?solo=1&q={start}")).await.expect(200);
        shows(&live, &format!("CC <mark>{}", &number[..1]));
        assert!(!live.text().contains("id=\"llegadas\""));
    });
}

#[test]
fn possible_duplicates_say_why_and_have_three_exits() {
    run(async {
        let mut clerk = Browser::of("admisionista").await;
        let (number, name) = (unique(), surname());
        let first = registered(&mut clerk, &number, &name).await;
        let form = clerk.get(NEW).await;
        // The same document is the same person: there is no "another".
        let same = clerk.fill(&form, NEW, &typed(&number, &name)).await.expect(422);
        shows(&same, "Mismo documento");
        shows(&same, &format!("href=\"{first}\""));
        assert!(!same.text().contains("name=\"otra\""));
        // Another document, a letter of the surname differs: alike.
        let (other, alike) = (unique(), format!("{name}a"));
        let found = clerk.fill(&form, NEW, &typed(&other, &alike)).await.expect(422);
        for text in [
            "≈",
            "Apellidos parecidos",
            "Misma fecha de nacimiento: 14 mar 1968",
            "Otro documento",
            "target=\"_blank\"",
            "Es otra persona",
        ] {
            shows(&found, text);
        }
        let mut fields = typed(&other, &alike);
        let first_id = id(&first);
        fields.push(("otra", &first_id));
        let done = clerk.fill(&found, NEW, &fields).await.expect(303);
        assert_ne!(done.header("location"), first);
        // Correcting into a document that somebody else has is refused; a new one makes the former old.
        let data = format!("{first}/datos");
        let mut other_clerk = Browser::of("admisionista").await;
        let (page, theirs) = (clerk.get(&data).await.expect(200), other_clerk.get(&data).await.expect(200));
        shows(&page, &format!("value=\"{number}\""));
        let taken = clerk.fill(&page, &data, &typed(&other, &name)).await.expect(422);
        shows(&taken, "Otro paciente tiene este documento");
        let next = unique();
        clerk.fill(&taken, &data, &typed(&next, &name)).await.expect(303);
        let patient = fhir("admisionista").await.get(&format!("/fhir/Patient/{first_id}")).await.expect(200).json();
        assert_eq!(
            (&patient["identifier"][0]["value"], &patient["identifier"][1]["use"]),
            (&json!(next), &json!("old"))
        );
        // Somebody was first: what is stored and what was typed stand side by side, and nothing is lost.
        let stale =
            other_clerk.fill(&theirs, &data, &with(typed(&next, &name), "municipio", "25175")).await.expect(409);
        for text in ["Alguien cambió estos datos", "Soacha, Cundinamarca (25754)", "value=\"25175\""] {
            shows(&stale, text);
        }
        other_clerk.fill(&stale, &data, &with(typed(&next, &name), "municipio", "25175")).await.expect(303);
    });
}

#[test]
fn two_clerks_register_and_admit_the_same_patient_at_once() {
    run(async {
        let (mut one, mut two) = (Browser::of("admisionista").await, Browser::of("admisionista").await);
        let (number, name) = (unique(), surname());
        let (a, b) = (one.get(NEW).await, two.get(NEW).await);
        let fields = typed(&number, &name);
        let (first, second) = tokio::join!(one.fill(&a, NEW, &fields), two.fill(&b, NEW, &fields));
        let api = fhir("admisionista").await;
        let patients = api.get(&format!("/fhir/Patient?identifier={number}")).await.expect(200).ids();
        assert_eq!(patients.len(), 1, "{} {}", first.status, second.status);
        let address = format!("/admision/paciente/{}", patients[0]);
        for reply in [&first, &second] {
            assert!(reply.status == 422 || reply.header("location").starts_with(&address), "{}", reply.text());
        }
        let admit = format!("{address}/ingresar");
        let (a, b) = (one.get(&admit).await, two.get(&admit).await);
        let stay = |class| {
            [("clase", class), ("servicio", "Medicina interna"), ("cama", number.as_str()), ("motivo", "Fiebre")]
        };
        let (emergency, inpatient) = (stay("EMER"), stay("IMP"));
        let (first, second) = tokio::join!(one.fill(&a, &admit, &emergency), two.fill(&b, &admit, &inpatient));
        let encounters = api.get(&format!("/fhir/Encounter?patient={}", patients[0])).await.expect(200).ids();
        assert_eq!(encounters.len(), 1, "{} {}", first.text(), second.text());
        let told: Vec<Reply> = [first, second].into_iter().filter(|reply| reply.status == 409).collect();
        assert_eq!(told.len(), 1);
        shows(&told[0], "Ya estaba en el hospital");
        shows(&two.get(&admit).await.expect(200), "Ya está en el hospital");
    });
}

#[test]
fn a_stay_is_changed_by_the_version_that_was_seen() {
    run(async {
        let (mut clerk, mut other) = (Browser::of("admisionista").await, Browser::of("admisionista").await);
        let address = registered(&mut clerk, &unique(), &surname()).await;
        let [first_bed, second_bed, third_bed] = [surname(), surname(), surname()];
        let admit = format!("{address}/ingresar");
        let form = clerk.get(&admit).await.expect(200);
        let missing =
            clerk.fill(&form, &admit, &[("clase", "IMP"), ("servicio", "Medicina interna")]).await.expect(422);
        shows(&missing, "href=\"#f-motivo\"");
        let done = clerk
            .fill(
                &missing,
                &admit,
                &[("clase", "IMP"), ("servicio", "Medicina interna"), ("cama", &first_bed), ("motivo", "Neumonía")],
            )
            .await
            .expect(303);
        let page = clerk.follow(&done).await.expect(200);
        shows(&page, &format!("Medicina interna · {first_bed}"));
        let transfer = encounter(&page, "trasladar");
        let (mine, theirs) = (clerk.get(&transfer).await.expect(200), other.get(&transfer).await.expect(200));
        other.fill(&theirs, &transfer, &[("servicio", "Cirugía"), ("cama", &second_bed)]).await.expect(303);
        let conflict = clerk.fill(&mine, &transfer, &[("servicio", "UCI"), ("cama", &third_bed)]).await.expect(409);
        for text in
            ["Alguien cambió este ingreso", &format!("Cirugía · {second_bed}"), &format!("value=\"{third_bed}\"")]
        {
            shows(&conflict, text);
        }
        clerk.fill(&conflict, &transfer, &[("servicio", "UCI"), ("cama", &third_bed)]).await.expect(303);
        let again = clerk.get(&transfer).await.expect(200);
        let same = clerk.fill(&again, &transfer, &[("servicio", "uci"), ("cama", &third_bed)]).await.expect(422);
        shows(&same, "Ya está en esa cama");
        let encounter_id = transfer.split('/').nth(3).unwrap().to_owned();
        let api = fhir("admisionista").await;
        let stored = api.get(&format!("/fhir/Encounter/{encounter_id}")).await.expect(200).json();
        let places: Vec<(&str, &str)> = stored["location"]
            .as_array()
            .unwrap()
            .iter()
            .map(|place| (place["location"]["display"].as_str().unwrap(), place["status"].as_str().unwrap()))
            .collect();
        assert_eq!(
            places,
            [
                (&*format!("Medicina interna / {first_bed}"), "completed"),
                (&*format!("Cirugía / {second_bed}"), "completed"),
                (&*format!("UCI / {third_bed}"), "active")
            ]
        );
        let (leave, cancel) = (transfer.replace("trasladar", "egresar"), transfer.replace("trasladar", "cancelar"));
        let (form, late) = (clerk.get(&leave).await.expect(200), other.get(&cancel).await.expect(200));
        shows(&clerk.fill(&form, &leave, &[("destino", "")]).await.expect(422), "Falta este dato");
        clerk.fill(&form, &leave, &[("destino", "home")]).await.expect(303);
        shows(&other.fill(&late, &cancel, &[]).await.expect(409), "Este ingreso ya se cerró");
        let stored = api.get(&format!("/fhir/Encounter/{encounter_id}")).await.expect(200).json();
        assert_eq!(
            (&stored["status"], &stored["hospitalization"]["dischargeDisposition"]["coding"][0]["code"]),
            (&json!("finished"), &json!("home"))
        );
        assert!(stored["period"]["end"].is_string() && stored["location"][2]["period"]["end"].is_string());
        // One that was a mistake is cancelled, not deleted.
        let form = clerk.get(&admit).await;
        let done = clerk
            .fill(&form, &admit, &[("clase", "AMB"), ("servicio", "Pediatría"), ("cama", ""), ("motivo", "Control")])
            .await
            .expect(303);
        let cancel = encounter(&clerk.follow(&done).await, "cancelar");
        let dialog = clerk.get(&cancel).await.expect(200);
        let done = clerk.fill(&dialog, &cancel, &[]).await.expect(303);
        shows(&clerk.follow(&done).await, "Cancelado");
    });
}

#[test]
fn a_bed_that_somebody_has_is_asked_about() {
    run(async {
        let mut clerk = Browser::of("admisionista").await;
        let (first, bed) = (surname(), surname());
        let stay = [("clase", "IMP"), ("servicio", "Cirugía"), ("cama", bed.as_str()), ("motivo", "Fiebre")];
        let admit = format!("{}/ingresar", registered(&mut clerk, &unique(), &first).await);
        let form = clerk.get(&admit).await.expect(200);
        clerk.fill(&form, &admit, &stay).await.expect(303);
        // However it is written, it is the same bed; it says who lies there, and nothing is lost.
        let admit = format!("{}/ingresar", registered(&mut clerk, &unique(), &surname()).await);
        let form = clerk.get(&admit).await.expect(200);
        let upper = bed.to_uppercase();
        let typed = [stay[0], ("servicio", "cirugia"), ("cama", &upper), stay[3]];
        let asked = clerk.fill(&form, &admit, &typed).await.expect(422);
        for text in [&format!("La cama {upper} la ocupa"), &first, "Compartir la cama", &format!("value=\"{upper}\"")] {
            shows(&asked, text);
        }
        // Going on is about this one stay, not about any bed.
        clerk.fill(&asked, &admit, &[&typed[..], &[("seguro", "otro")]].concat()).await.expect(422);
        let button =
            asked.text().split("name=\"seguro\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        clerk.fill(&asked, &admit, &[&typed[..], &[("seguro", &button)]].concat()).await.expect(303);
    });
}

#[test]
fn municipalities_come_from_the_list() {
    run(async {
        let mut clerk = Browser::of("admisionista").await;
        let found = clerk.get("/admision/municipios?q=soa").await.expect(200).json();
        assert_eq!(found, json!(["Soatá, Boyacá (15753)", "Soacha, Cundinamarca (25754)"]));
        let (number, name) = (unique(), surname());
        let form = clerk.get(NEW).await.expect(200);
        let several = clerk.fill(&form, NEW, &with(typed(&number, &name), "municipio", "san carlos")).await.expect(422);
        for text in
            ["¿Cuál?", "San Carlos, Córdoba (23678)", "<datalist id=\"f-municipio-list\"", "value=\"san carlos\""]
        {
            shows(&several, text);
        }
        let unknown = clerk.fill(&several, NEW, &with(typed(&number, &name), "municipio", "Caracas")).await.expect(422);
        shows(&unknown, "No está en la lista de municipios");
        let done = clerk.fill(&unknown, NEW, &with(typed(&number, &name), "municipio", "23678")).await.expect(303);
        let api = fhir("admisionista").await;
        let patient = api.get(&format!("/fhir/Patient/{}", id(done.header("location")))).await.expect(200).json();
        let address = &patient["address"][0];
        assert_eq!(
            (&address["city"], &address["district"], &address["state"]),
            (&json!("San Carlos"), &json!("23678"), &json!("Córdoba"))
        );
    });
}

#[test]
fn contact_and_insurer_are_corrected_and_an_address_outside_the_list_stays() {
    run(async {
        let (mut clerk, api) = (Browser::of("admisionista").await, fhir("admisionista").await);
        let (number, name) = (unique(), surname());
        let data = format!("{}/datos", registered(&mut clerk, &number, &name).await);
        let patient = id(data.trim_end_matches("/datos"));
        let coverage = async || {
            let found = api.get(&format!("/fhir/Coverage?patient={patient}")).await.expect(200).json();
            assert_eq!(found["total"], 1);
            found["entry"][0]["resource"].clone()
        };
        let (page, late) = (clerk.get(&data).await.expect(200), clerk.get(&data).await.expect(200));
        for text in
            ["value=\"Luz Güiza\"", "value=\"Madre\"", "value=\"EPS de Prueba\"", "value=\"subsidiado\" selected"]
        {
            shows(&page, text);
        }
        let fields = with(with(typed(&number, &name), "eps", "Otra EPS"), "contacto_celular", "3009994122");
        let fields = with(fields, "regimen", "contributivo");
        clerk.fill(&page, &data, &fields).await.expect(303);
        let cover = coverage().await;
        assert_eq!(
            (&cover["payor"][0]["display"], &cover["type"]["text"], &cover["meta"]["versionId"]),
            (&json!("Otra EPS"), &json!("Régimen contributivo"), &json!("2"))
        );
        let stored = api.get(&format!("/fhir/Patient/{patient}")).await.expect(200).json();
        assert_eq!(stored["contact"][0]["telecom"][0]["value"], "3009994122");
        // Made from the versions before: told, not overwritten.
        clerk.fill(&late, &data, &typed(&number, &name)).await.expect(409);
        let wrong = with(with(fields.clone(), "eps", ""), "contacto_nombre", "");
        let page = clerk.get(&data).await.expect(200);
        let wrong = clerk.fill(&page, &data, &wrong).await.expect(422);
        for text in ["Escriba la EPS de este régimen", "href=\"#f-contacto_nombre\""] {
            shows(&wrong, text);
        }
        // No insurance any more.
        let none = with(with(fields, "eps", ""), "regimen", "ninguno");
        clerk.fill(&wrong, &data, &none).await.expect(303);
        assert_eq!(coverage().await["status"], "cancelled");
        let mut foreign = patient_with(&unique());
        foreign["address"] = json!([{"use": "home", "city": "Caracas", "country": "VEN"}]);
        let foreign = api.create(foreign).await["id"].as_str().unwrap().to_owned();
        let data = format!("/admision/paciente/{foreign}/datos");
        let page = clerk.get(&data).await.expect(200);
        let fields = with(typed(&number, &name), "municipio", "Caracas");
        let new = unique();
        clerk.fill(&page, &data, &with(fields, "numero", &new)).await.expect(303);
        let stored = api.get(&format!("/fhir/Patient/{foreign}")).await.expect(200).json();
        assert_eq!(
            (&stored["address"][0]["city"], &stored["address"][0]["country"]),
            (&json!("Caracas"), &json!("VEN"))
        );
    });
}

#[test]
fn a_number_under_another_type_leads_to_the_change_of_the_document() {
    run(async {
        let (mut clerk, name) = (Browser::of("admisionista").await, surname());
        let number = unique();
        let form = clerk.get(NEW).await.expect(200);
        let child = with(with(typed(&number, &name), "tipo", "TI"), "nacimiento", "14/03/2010");
        let address = clerk.fill(&form, NEW, &child).await.expect(303).header("location").to_owned();
        // Asked while somebody types: said beside the number, nothing is done and the key of the form is not used up.
        let form = clerk.get(NEW).await.expect(200);
        let mut asked = typed(&number, "");
        asked.push(("mirar", "1"));
        let seen = clerk.fill(&form, NEW, &with(asked, "nacimiento", "")).await.expect(200);
        for text in ["Mismo número, con otro tipo: TI", "Es ella: abrir y cambiar a CC", "name=\"otra\""] {
            shows(&seen, text);
        }
        assert!(!seen.text().contains("role=\"alert\"") && !seen.text().contains("Otra fecha"));
        let by_number = seen.text().split("id=\"parecidos-numero\"").nth(1).unwrap().to_owned();
        assert!(by_number.split("id=\"parecidos-nombre\"").next().unwrap().contains("Posible duplicado"));
        let data = format!("{address}/datos");
        shows(&seen, &format!("href=\"{data}?tipo&#x3D;CC\""));
        let page = clerk.get(&format!("{data}?tipo=CC")).await.expect(200);
        shows(&page, "value=\"CC\" selected");
        shows(&page, &format!("value=\"{number}\""));
        clerk.fill(&page, &data, &with(typed(&number, &name), "nacimiento", "14/03/2005")).await.expect(303);
        let stored =
            fhir("admisionista").await.get(&format!("/fhir/Patient/{}", id(&address))).await.expect(200).json();
        let kinds: Vec<&str> = stored["identifier"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["type"]["coding"][1]["code"].as_str().unwrap())
            .collect();
        assert_eq!((kinds, &stored["identifier"][1]["use"]), (vec!["CC", "TI"], &json!("old")));
    });
}

#[test]
fn what_a_stay_does_not_allow_is_said() {
    run(async {
        let (mut clerk, api) = (Browser::of("admisionista").await, fhir("admisionista").await);
        let address = registered(&mut clerk, &unique(), &surname()).await;
        let planned = api
            .create(json!({
                "resourceType": "Encounter", "status": "planned", "class": {"code": "AMB"}, "serviceType": {"text": "Pediatría"},
                "subject": {"reference": format!("Patient/{}", id(&address))}
            }))
            .await["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let of = |what: &str| format!("/admision/encuentro/{planned}/{what}");
        shows(&clerk.get(&of("egresar")).await.expect(200), "todavía no ha ingresado");
        shows(&clerk.get(&of("trasladar")).await.expect(200), "todavía no ha ingresado");
        let (form, twin) = (clerk.get(&of("ingresar")).await.expect(200), clerk.get(&of("ingresar")).await.expect(200));
        let fields = [("clase", "AMB"), ("servicio", "Pediatría"), ("cama", ""), ("motivo", "Control")];
        clerk.fill(&form, &of("ingresar"), &fields).await.expect(303);
        shows(&clerk.fill(&twin, &of("ingresar"), &fields).await.expect(409), "ya ingresó");
        let (form, twin) = (clerk.get(&of("cancelar")).await.expect(200), clerk.get(&of("cancelar")).await.expect(200));
        clerk.fill(&form, &of("cancelar"), &[]).await.expect(303);
        shows(&clerk.fill(&twin, &of("cancelar"), &[]).await.expect(409), "Este ingreso ya se cerró");
        shows(&clerk.get(&of("egresar")).await.expect(200), "Este ingreso ya se cerró");
    });
}

#[test]
fn news_are_asked_for_without_showing_anybody() {
    run(async {
        let (usuario, clave) = account(server(), "admisionista", &format!("CC-{}", unique()), None);
        let mut clerk = Browser::new();
        clerk.sign_in(&usuario, &clave).await.expect(303);
        let address = registered(&mut clerk, &unique(), &surname()).await;
        let look = |page: &Reply| {
            page.text()
                .split("data-look=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .replace("&amp;", "&")
                .replace("&#x3D;", "=")
        };
        let before = look(&clerk.get("/admision/llegadas").await.expect(200));
        let admit = format!("{address}/ingresar");
        let form = clerk.get(&admit).await.expect(200);
        clerk
            .fill(&form, &admit, &[("clase", "AMB"), ("servicio", "Pediatría"), ("cama", ""), ("motivo", "Control")])
            .await
            .expect(303);
        let news = clerk.get(&before).await.expect(200).json();
        assert!(news["text"].as_str().unwrap().contains("mostrar"), "{news}");
        clerk.get("/admision/llegadas/nuevas?desde=ayer").await.expect(400);
        // Of nobody it is told that the clerk has looked.
        let seen = async || {
            let mut admin = Browser::of("admin").await;
            let address = format!("/admin/auditoria?paciente={}&quien={usuario}", id(&address));
            admin.get(&address).await.expect(200).text().matches("<tr").count()
        };
        let count = seen().await;
        clerk.get(&before).await.expect(200);
        assert_eq!(seen().await, count);
    });
}

#[test]
fn the_desk_is_for_clerks() {
    run(async {
        let mut clerk = Browser::of("admisionista").await;
        assert_eq!(clerk.get("/").await.expect(303).header("location"), "/admision");
        let address = registered(&mut clerk, &unique(), &surname()).await;
        let pages = [
            "/admision".to_owned(),
            "/admision/llegadas".to_owned(),
            NEW.to_owned(),
            address.clone(),
            format!("{address}/ingresar"),
            format!("{address}/datos"),
        ];
        for role in ["medico", "resultados", "paciente", "admin"] {
            let mut other = Browser::of(role).await;
            for page in &pages {
                other.get(page).await.expect(403);
            }
        }
        for page in &pages {
            let nobody = anonymous().send("GET", page, &[("accept", "text/html")], None).await.expect(401);
            shows(&nobody, "name=\"clave\"");
            assert!(!nobody.text().contains("Güiza"));
        }
        clerk.get("/admision/paciente/nobody0001").await.expect(404);
        clerk.get("/admision/encuentro/nobody0001/trasladar").await.expect(404);
    });
}

#[test]
fn nothing_that_a_record_says_is_markup() {
    run(async {
        let payloads = [
            "<script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "{{page.csrf}}{{{name}}}",
            "'-alert(1)-'",
            "<svg/onload=alert(1)>",
        ];
        let api = fhir("admisionista").await;
        let mut clerk = Browser::of("admisionista").await;
        let now = jiff::Timestamp::now().to_string();
        for payload in payloads {
            let number = unique();
            let mut patient = patient_with(&number);
            patient["name"][0] = json!({"use": "official", "family": payload, "given": [payload]});
            patient["address"] = json!([{"city": payload, "line": [payload], "district": payload}]);
            patient["telecom"] = json!([{"system": "phone", "value": payload}]);
            let patient = api.create(patient).await["id"].as_str().unwrap().to_owned();
            let subject = json!({"reference": format!("Patient/{patient}")});
            api.create(json!({"resourceType": "Coverage", "status": "active", "beneficiary": subject, "payor": [{"display": payload}], "type": {"text": payload}})).await;
            let stay = api.create(json!({
                "resourceType": "Encounter", "status": "in-progress", "class": {"code": "IMP", "display": payload}, "subject": subject, "period": {"start": now},
                "serviceType": {"text": payload}, "reasonCode": [{"text": payload}], "location": [{"location": {"display": payload}, "status": "active"}],
                "priority": {"text": payload}
            })).await["id"].as_str().unwrap().to_owned();
            let of = |what: &str| format!("/admision/encuentro/{stay}/{what}");
            let pages = [
                format!("/admision?q={number}&todas=1"),
                format!("/admision/paciente/{patient}"),
                format!("/admision/paciente/{patient}/datos"),
                of("trasladar"),
                of("egresar"),
                of("cancelar"),
            ];
            for page in pages {
                let text = clerk.get(&page).await.expect(200).text();
                for live in ["<script>alert", "<img src=x", "<svg/onload", "onerror=alert(1)>"] {
                    assert!(!text.contains(live), "{page}: {live}");
                }
                assert!(text.contains("alert(1)") || text.contains("{{page.csrf}}"), "{page} does not show {payload}");
            }
            let typed = with(with(typed(&number, payload), "eps", payload), "municipio", payload);
            let form = clerk.get(NEW).await;
            let text = clerk.fill(&form, NEW, &typed).await.expect(422).text();
            assert!(!text.contains("<script>alert") && !text.contains("<img src=x") && !text.contains("<svg/onload"));
        }
    });
}
