//! What a page must not let pass in silence: an order against an allergy however it is typed, doses that are none, a death,
//! two who correct one patient, the document of another patient.

use crate::harness::browser::{Browser, hidden};
use crate::harness::data::patient_with;
use crate::harness::fhir::account;
use crate::harness::{Fhir, fhir, run, server, unique};
use crate::pages_admission::{shows, surname};
use serde_json::{Value, json};

async fn with_allergies(medico: &Fhir, substances: &[&str]) -> String {
    let id = medico.create(patient_with(&unique())).await["id"].as_str().unwrap().to_owned();
    let patient = json!({"reference": format!("Patient/{id}")});
    for substance in substances {
        let allergy = json!({"resourceType": "AllergyIntolerance", "patient": patient, "code": {"text": substance}});
        medico.create(allergy).await;
    }
    id
}

const DOSE: [(&str, &str); 4] =
    [("dosis", "500 mg"), ("via", "26643006"), ("frecuencia", "cada 8 horas"), ("inicio", "01/06/2024")];

fn order<'a>(medicine: &'a str, other: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all: Vec<(&str, &str)> = DOSE.to_vec();
    all.retain(|(name, _)| !other.iter().any(|(known, _)| known == name));
    all.push(("medicamento", medicine));
    all.extend_from_slice(other);
    all
}

async fn orders(medico: &Fhir, id: &str) -> Vec<Value> {
    medico.get(&format!("MedicationRequest?patient={id}&_count=100")).await.expect(200).resources()
}

#[test]
fn an_order_against_an_allergy_is_asked_however_it_is_typed() {
    run(async {
        let (medico, mut browser) = (fhir("medico").await, Browser::of("medico").await);
        let id = with_allergies(&medico, &["Penicilina", "Dipirona"]).await;
        let address = format!("/paciente/{id}/medicacion");
        for (medicine, said) in [
            ("AMOXICILINA 500", "Tiene alergia registrada: Penicilina"),
            ("Amoxicilina/ácido clavulánico", "Tiene alergia registrada: Penicilina"),
            ("Bencilpenicilina", "Tiene alergia registrada: Penicilina"),
            ("Augmentin", "Tiene alergia registrada: Penicilina"),
            ("Amoxiclina", "Tiene alergia registrada: Penicilina"),
            ("Dipirona 1 g", "Tiene alergia registrada: Dipirona"),
            ("Metamizol", "Tiene alergia registrada: Dipirona"),
            ("Novalgina", "Tiene alergia registrada: Dipirona"),
            ("Cefalexina", "Puede haber reacción cruzada"),
            ("Jarabe de la abuela", "no se pudo comparar con sus alergias (Dipirona, Penicilina)"),
        ] {
            let form = browser.get(&address).await.expect(200);
            shows(&browser.fill(&form, &address, &order(medicine, &[])).await.expect(422), said);
        }
        assert_eq!(orders(&medico, &id).await.len(), 0);
        // What is said once is saved by sending it again, and another medicine is another question.
        let form = browser.get(&address).await.expect(200);
        let warned = browser.fill(&form, &address, &order("Augmentin", &[])).await.expect(422);
        let other = browser.fill(&warned, &address, &order("Novalgina", &[])).await.expect(422);
        browser.fill(&other, &address, &order("Novalgina", &[])).await.expect(303);
        // What has nothing to do with them is saved at once; the same one again, by another name, is asked.
        let form = browser.get(&address).await.expect(200);
        browser.fill(&form, &address, &order("Metformina", &[])).await.expect(303);
        let form = browser.get(&address).await.expect(200);
        let twice = browser.fill(&form, &address, &order("Metformin", &[])).await.expect(422);
        shows(&twice, "Ya tiene una orden en curso");
    });
}

#[test]
fn a_corrected_order_and_a_new_allergy_are_compared_too() {
    run(async {
        let (medico, mut browser) = (fhir("medico").await, Browser::of("medico").await);
        let id = with_allergies(&medico, &["Penicilina"]).await;
        let address = format!("/paciente/{id}/medicacion");
        let form = browser.get(&address).await.expect(200);
        browser.fill(&form, &address, &order("Losartán", &[])).await.expect(303);
        let made = orders(&medico, &id).await[0]["id"].as_str().unwrap().to_owned();
        let correct = format!("/paciente/{id}/registro/MedicationRequest/{made}/corregir");
        let form = browser.get(&correct).await.expect(200);
        let other = order("Amoxicilina 500", &[("motivo", "Otro medicamento")]);
        let asked = browser.fill(&form, &correct, &other).await.expect(422);
        shows(&asked, "Tiene alergia registrada: Penicilina");
        assert!(!asked.text().contains("Ya tiene una orden en curso"), "the order is compared with itself");
        browser.fill(&asked, &correct, &other).await.expect(303);
        // Nothing of the medicine is changed: nothing is asked.
        let form = browser.get(&correct).await.expect(200);
        let longer = order("Amoxicilina 500", &[("motivo", "Más días"), ("dias", "7")]);
        browser.fill(&form, &correct, &longer).await.expect(303);
        let allergy = format!("/paciente/{id}/alergia");
        let form = browser.get(&allergy).await.expect(200);
        let typed = [("sustancia", "Ampicilina"), ("certeza", "confirmed")];
        let asked = browser.fill(&form, &allergy, &typed).await.expect(422);
        shows(&asked, "Tiene una orden en curso que no va con esta alergia: Amoxicilina 500");
        browser.fill(&asked, &allergy, &typed).await.expect(303);
    });
}

#[test]
fn doses_that_are_none_are_refused_and_large_ones_asked() {
    run(async {
        let (medico, mut browser) = (fhir("medico").await, Browser::of("medico").await);
        let id = with_allergies(&medico, &[]).await;
        let address = format!("/paciente/{id}/medicacion");
        let long = "a".repeat(201);
        for (field, typed, said) in [
            ("dosis", "0 mg", "mayor que cero"),
            ("dosis", "-5 mg", "mayor que cero"),
            ("frecuencia", "cada 0 horas", "entre 1 y 720 horas"),
            ("frecuencia", "cada 900 horas", "entre 1 y 720 horas"),
            ("indicacion", long.as_str(), "Tiene 201 caracteres"),
        ] {
            let form = browser.get(&address).await.expect(200);
            let refused = browser.fill(&form, &address, &order("Losartán", &[(field, typed)])).await.expect(422);
            shows(&refused, said);
            browser.fill(&refused, &address, &order("Losartán", &[(field, typed)])).await.expect(422);
        }
        let form = browser.get(&address).await.expect(200);
        let much = order("Losartán", &[("dosis", "5000000 mg")]);
        let asked = browser.fill(&form, &address, &much).await.expect(422);
        shows(&asked, "La dosis es muy alta: 5000000 mg");
        browser.fill(&asked, &address, &much).await.expect(303);
        // The day on which it begins stands in the chart, not the day of the order.
        let form = browser.get(&address).await.expect(200);
        browser.fill(&form, &address, &order("Furosemida", &[("inicio", "31/12/2090")])).await.expect(303);
        shows(&browser.get(&format!("/paciente/{id}?todo=1")).await.expect(200), "empieza 31 dic 2090");
        let (usuario, clave) = account(server(), "paciente", &format!("CC-{}", unique()), Some(&id));
        let mut own = Browser::new();
        own.sign_in(&usuario, &clave).await.expect(303);
        let page = own.get("/mi-historia").await.expect(200);
        shows(&page, "empieza 31 dic 2090");
        shows(&page, "01 jun 2024");
    });
}

/// The page of a patient who is admitted, and the address of what is to be done with the stay.
async fn admitted(clerk: &mut Browser, id: &str, more: &[(&str, &str)]) -> crate::harness::Reply {
    let admit = format!("/admision/paciente/{id}/ingresar");
    let form = clerk.get(&admit).await.expect(200);
    let bed = format!("C{}", unique());
    let mut typed =
        vec![("clase", "IMP"), ("servicio", "Medicina interna"), ("cama", bed.as_str()), ("motivo", "Neumonía")];
    typed.extend_from_slice(more);
    clerk.fill(&form, &admit, &typed).await
}

#[test]
fn a_death_is_asked_recorded_and_remembered() {
    run(async {
        let (api, mut clerk) = (fhir("admisionista").await, Browser::of("admisionista").await);
        let id = api.create(patient_with(&unique())).await["id"].as_str().unwrap().to_owned();
        let page = format!("/admision/paciente/{id}");
        admitted(&mut clerk, &id, &[]).await.expect(303);
        let text = clerk.get(&page).await.expect(200).text();
        let leave = text.split("href=\"").find(|rest| rest.split('"').next().unwrap().ends_with("/egresar")).unwrap();
        let leave = leave.split('"').next().unwrap().to_owned();
        let form = clerk.get(&leave).await.expect(200);
        let asked = clerk.fill(&form, &leave, &[("destino", "exp")]).await.expect(422);
        shows(&asked, "Se registrará que la persona falleció");
        assert!(api.get(&format!("Patient/{id}")).await.expect(200).json().get("deceasedDateTime").is_none());
        clerk.fill(&asked, &leave, &[("destino", "exp"), ("seguro", "exp")]).await.expect(303);
        let patient = api.get(&format!("Patient/{id}")).await.expect(200).json();
        let stay = api.get(&format!("Encounter?patient={id}")).await.expect(200).resources();
        assert_eq!(patient["deceasedDateTime"], stay[0]["period"]["end"]);
        let shown = clerk.get(&page).await.expect(200);
        shows(&shown, "Falleció");
        shows(&shown, "Fallecido");
        let again = admitted(&mut clerk, &id, &[]).await.expect(422);
        shows(&again, "Figura como fallecido");
        admitted(&mut clerk, &id, &[("seguro", "exp")]).await.expect(303);
    });
}

#[test]
fn two_who_correct_one_patient_lose_nothing() {
    run(async {
        let (api, mut one, mut other) =
            (fhir("admisionista").await, Browser::of("admisionista").await, Browser::of("admisionista").await);
        let (number, name) = (unique(), surname());
        let fields = |phone: &'static str, given: &'static str| {
            [
                ("tipo", "CC"),
                ("nacimiento", "14/03/1968"),
                ("sexo", "female"),
                ("municipio", "25754"),
                ("nombre1", given),
                ("celular", phone),
            ]
        };
        let mut typed = fields("+57 300 999 4120", "María").to_vec();
        typed.extend([("numero", number.as_str()), ("apellido1", name.as_str())]);
        let new = "/admision/registrar";
        let form = one.get(new).await.expect(200);
        let address = one.fill(&form, new, &typed).await.expect(303).header("location").to_owned();
        let id = address.rsplit('/').next().unwrap().to_owned();
        let data = format!("{address}/datos");
        let (first, second) = (one.get(&data).await.expect(200), other.get(&data).await.expect(200));
        shows(&first, "value=\"3009994120\"");
        one.send_shown(&first, &data, &[("celular", "573009994121")]).await.expect(303);
        let conflict = other.send_shown(&second, &data, &[("nombre1", "Mariana")]).await.expect(409);
        shows(&conflict, "value=\"3009994121\"");
        shows(&conflict, "value=\"Mariana\"");
        other.send_shown(&conflict, &data, &[]).await.expect(303);
        let stored = api.get(&format!("Patient/{id}")).await.expect(200).json();
        assert_eq!(
            (&stored["telecom"][0]["value"], &stored["name"][0]["given"][0]),
            (&json!("3009994121"), &json!("Mariana"))
        );
        // Both changed the same: what was typed, and beside it what is stored.
        let (first, second) = (one.get(&data).await.expect(200), other.get(&data).await.expect(200));
        one.send_shown(&first, &data, &[("celular", "3009994122")]).await.expect(303);
        let conflict = other.send_shown(&second, &data, &[("celular", "3009994123")]).await.expect(409);
        shows(&conflict, "value=\"3009994123\"");
        shows(&conflict, "3009994122");
        shows(&conflict, "id=\"f-celular-soft\"");
    });
}

#[test]
fn a_number_is_first_of_the_one_whose_document_it_is_and_zeros_before_it_are_asked() {
    run(async {
        let (api, mut clerk) = (fhir("admisionista").await, Browser::of("admisionista").await);
        let seed: u64 = unique().parse().unwrap();
        let number = format!("7{:07}", seed % 10_000_000);
        let mut owner = patient_with(&number);
        owner["name"] = json!([{"use": "official", "family": "Zúñiga", "given": ["Zoe"]}]);
        let owner = api.create(owner).await;
        let mut second = patient_with(&unique());
        second["name"] = json!([{"use": "official", "family": "Abril", "given": ["Ana"]}]);
        let mut further = owner["identifier"][0].clone();
        further["use"] = json!("old");
        second["identifier"].as_array_mut().unwrap().push(further);
        api.create(second).await;
        let found = clerk.get(&format!("/admision?q={number}")).await.expect(200);
        let text = found.text();
        assert!(text.find("Zúñiga").unwrap() < text.find("Abril").unwrap(), "{text}");
        shows(&found, "Lo tuvo antes: CC");
        shows(&clerk.get(&format!("/admision?q=0{number}")).await.expect(200), "Zúñiga");
        let new = "/admision/registrar";
        let form = clerk.get(new).await.expect(200);
        let (zeros, other) = (format!("0{number}"), surname());
        let typed = [
            ("tipo", "CC"),
            ("numero", zeros.as_str()),
            ("apellido1", other.as_str()),
            ("nombre1", "María"),
            ("nacimiento", "14/03/1968"),
            ("sexo", "female"),
            ("municipio", "25754"),
        ];
        let asked = clerk.fill(&form, new, &typed).await.expect(422);
        shows(&asked, "Mismo número, sin contar los ceros de adelante");
        shows(&asked, "Es esta persona: abrir");
    });
}

#[test]
fn nobody_disables_the_own_account_and_is_told_so() {
    run(async {
        let mut admin = Browser::of("admin").await;
        let (usuario, _) = server().login("admin");
        let address = format!("/admin/cuentas/{usuario}/deshabilitar");
        let told = admin.get(&address).await;
        shows(&admin.follow(&told).await.expect(200), "Es su propia cuenta");
        // The form of another account, sent to the own one.
        let (other, _) = server().login("medico");
        let others = format!("/admin/cuentas/{other}/deshabilitar");
        let dialog = admin.get(&others).await.expect(200);
        let hidden = hidden(&dialog.text(), &others);
        let fields: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let told = admin.post(&address, &fields).await;
        shows(&admin.follow(&told).await.expect(200), "Es su propia cuenta");
    });
}
