//! The days, one file a role. Fields are found by their names, links by their addresses, texts by their keys in
//! `templates/i18n`: a style may change without a day noticing.

mod admin;
mod admisionista;
mod doors;
mod medico;
mod paciente;
mod resultados;
mod ward;

pub use admin::admin;
pub use admisionista::admisionista;
pub use doors::doors;
pub use medico::medico;
pub use paciente::paciente;
pub use resultados::resultados;

use crate::harness::data::{encounter, patient_with};
use crate::harness::{fhir, unique};
use crate::person::{Person, Size};
use historia::i18n::Language;
use serde_json::{Value, json};

pub const ENTER: &str = "\u{E007}";
pub const DOWN: &str = "\u{E015}";
pub const TAB: &str = "\u{E004}";
pub const POTASSIUM: &str = "2823-3";

/// The number of the picture in the design: of the one for this size.
pub fn picture(person: &Person, desk: &'static str, phone: &'static str) -> &'static str {
    match person.size {
        Size::Desk => desk,
        Size::Phone => phone,
    }
}

/// A number as the reader writes it.
pub fn number(person: &Person, digits: &str) -> String {
    match person.language {
        Language::Es => digits.replace('.', ","),
        Language::En => digits.to_owned(),
    }
}

/// A surname of letters that nobody else has.
pub fn surname() -> String {
    let letters: String = unique().bytes().map(|digit| char::from(b'a' + digit % 26)).collect();
    format!("Ñu{letters}")
}

/// Somebody in the hospital, of this day alone.
pub struct Someone {
    pub id: String,
    pub number: String,
    pub surname: String,
}

impl Someone {
    pub async fn admitted() -> Someone {
        let (number, surname) = (unique(), surname());
        let mut patient = patient_with(&number);
        patient["name"][0]["family"] = format!("{surname} Güiza").into();
        let medico = fhir("medico").await;
        let id = medico.create(patient).await["id"].as_str().expect("an id").to_owned();
        medico.create(encounter(&format!("Patient/{id}"))).await;
        Someone { id, number, surname }
    }

    pub fn subject(&self) -> Value {
        json!({"reference": format!("Patient/{}", self.id)})
    }

    pub async fn result(
        &self,
        code: &str,
        status: &str,
        value: Value,
        unit: &str,
        range: (Value, Value),
        when: &str,
    ) -> Value {
        let flag = if value.as_f64() > range.1.as_f64() { "H" } else { "N" };
        let made = json!({
            "resourceType": "Observation",
            "status": status,
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "subject": self.subject(),
            "effectiveDateTime": when,
            "valueQuantity": {"value": value, "unit": unit},
            "referenceRange": [{"low": {"value": range.0, "unit": unit}, "high": {"value": range.1, "unit": unit}}],
            "interpretation": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": flag}]}]
        });
        fhir("medico").await.create(made).await
    }
}

impl Person {
    /// Types into the live search, and waits for exactly what it found.
    pub async fn search(&self, typed: &str, found: usize) {
        self.write("q", typed).await;
        const COUNT: &str = "return document.querySelectorAll('#hallados [data-option]').length";
        self.until(&format!("{found} found"), async || self.ask(COUNT, json!([])).await == found).await;
    }

    /// That a link leads to a document of pages: it is fetched as the browser would, with its cookie.
    pub async fn pdf(&self, href: &str) {
        const FETCH: &str = "const done = arguments[1];
            fetch(arguments[0]).then(async (r) => done([r.status, r.headers.get('content-type'), (await r.text()).slice(0, 5)]))
            .catch((e) => done(String(e)))";
        self.finds(&format!("a[href^=\"{href}\"]")).await;
        let address = self.attribute(&format!("a[href^=\"{href}\"]"), "href").await;
        let got = self.session.script_async(FETCH, json!([address])).await;
        if got != Ok(json!([200, "application/pdf", "%PDF-"])) {
            self.fail(&format!("{address} is {got:?}")).await;
        }
    }
}
