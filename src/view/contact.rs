//! Whom to call for a patient: the three fields of the desk and the first `Patient.contact` behind them. Pure.

use crate::oauth::form::Form;
use crate::view::encounter;
use crate::view::record::who::name_parts;
use crate::view::record::words::joined;
use crate::view::sheet::{Problems, Sheet};
use crate::view::visit::Visit;
use serde_json::{Map, Value, json};

/// Code C, emergency contact (<http://terminology.hl7.org/CodeSystem/v2-0131>).
const V2_0131: &str = "http://terminology.hl7.org/CodeSystem/v2-0131";
const FIELDS: [&str; 3] = ["contacto_nombre", "contacto_parentesco", "contacto_celular"];
const KIN: [&str; 8] = ["mother", "father", "child", "spouse", "sibling", "grandparent", "relative", "friend"];
const LONGEST: usize = 80;

pub fn fields(visit: &Visit, sheet: &mut Sheet<'_>) {
    let kin = KIN.iter().map(|kin| visit.text(&format!("register_patient.kin_{kin}")).to_owned()).collect();
    sheet.line("contacto_nombre", "register_patient.contact_name", "").optional().longest(LONGEST);
    sheet.line("contacto_parentesco", "register_patient.contact_kin", "").optional().longest(40).suggest(kin);
    sheet.line("contacto_celular", "register_patient.contact_phone", "").optional().digits().longest(20);
}

/// The digits of a telephone of ten; the code of the country before them is left out (`+57 300 123 4567`, `0057...`).
pub fn mobile(typed: &str) -> String {
    let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
    let own = digits.strip_prefix("0057").or_else(|| digits.strip_prefix("57")).filter(|own| own.len() == 10);
    own.map_or_else(|| digits.clone(), str::to_owned)
}

/// Somebody has a name, and can be called.
pub fn problems(visit: &Visit, form: &Form, problems: &mut Problems) {
    let [name, kin, phone] = FIELDS.map(|field| form.typed(field));
    if name.is_empty() && !(kin.is_empty() && phone.is_empty()) {
        problems.add("contacto_nombre", visit.text("form.missing"));
    }
    if phone.is_empty() && !name.is_empty() {
        problems.add("contacto_celular", visit.text("form.missing"));
    }
    let digits = mobile(phone).len();
    if !phone.is_empty() && digits != 10 {
        let n = i64::try_from(digits).unwrap_or(0);
        problems.add("contacto_celular", visit.reader.count("register_patient.phone_wrong", n));
    }
    if name.chars().count() > LONGEST {
        problems.add("contacto_nombre", visit.reader.fill("admission.too_long", &[("n", &LONGEST.to_string())]));
    }
}

/// What the form shows of a contact: name, relationship, telephone.
pub fn stored(contact: Option<&Value>) -> [String; 3] {
    let Some(contact) = contact else { return Default::default() };
    let (family, given) = contact.get("name").map(name_parts).unwrap_or_default();
    let kin = contact.get("relationship").and_then(|all| encounter::concept(all.get(0)?)).unwrap_or_default();
    let points = contact.get("telecom").and_then(Value::as_array).into_iter().flatten();
    let phone = points.filter_map(|point| point.get("value")?.as_str()).next().unwrap_or_default();
    [joined([given, family], " "), kin.to_owned(), phone.to_owned()]
}

/// The contact with what was typed; what was not changed stays as it is. None when the fields were left empty.
pub fn merged(before: Option<&Value>, form: &Form) -> Option<Value> {
    let [name, kin, phone] = FIELDS.map(|field| form.typed(field));
    if name.is_empty() {
        return None;
    }
    let mut contact = before.and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    let [name_before, kin_before, phone_before] = stored(before);
    if kin != kin_before || before.is_none() {
        let mut relationship = json!({"coding": [{"system": V2_0131, "code": "C", "display": "Emergency Contact"}]});
        if let Some(object) = relationship.as_object_mut().filter(|_| !kin.is_empty()) {
            object.insert("text".into(), json!(kin));
        }
        contact.insert("relationship".into(), json!([relationship]));
    }
    if name != name_before {
        contact.insert("name".into(), json!({"text": name}));
    }
    if phone != phone_before {
        let digits = mobile(phone);
        contact.insert("telecom".into(), json!([{"system": "phone", "value": digits, "use": "mobile"}]));
    }
    Some(Value::Object(contact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mobile_is_ten_digits_with_or_without_the_country() {
        for typed in ["300 123 4567", "+57 300 123 4567", "573001234567", "0057 300-1234567"] {
            assert_eq!(mobile(typed), "3001234567", "{typed}");
        }
        assert_eq!((mobile("5712345678"), mobile("3001")), ("5712345678".to_owned(), "3001".to_owned()));
    }

    #[test]
    fn a_contact_keeps_what_was_not_changed() {
        let before = json!({
            "relationship": [{"coding": [{"system": V2_0131, "code": "C"}], "text": "Hijo"}], "gender": "male",
            "name": {"family": "Pinzón", "given": ["José"]}, "telecom": [{"system": "phone", "value": "3000001202"}]
        });
        let form = |name: &'static str, kin: &'static str, phone: &'static str| {
            Form::of(FIELDS.into_iter().zip([name, kin, phone]))
        };
        let same = merged(Some(&before), &form("José Pinzón", "Hijo", "3000001202"));
        assert_eq!(same.as_ref(), Some(&before));
        let called = merged(Some(&before), &form("José Pinzón", "Hijo", "300 000 1203")).unwrap();
        assert_eq!((&called["telecom"][0]["value"], &called["name"]), (&json!("3000001203"), &before["name"]));
        let new = merged(None, &form("Ana Ruiz", "Madre", "3000001204")).unwrap();
        assert_eq!(stored(Some(&new)), ["Ana Ruiz", "Madre", "3000001204"].map(str::to_owned));
        assert_eq!(merged(Some(&before), &form("", "", "")), None);
    }
}
