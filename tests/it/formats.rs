//! XML beside JSON, compression both ways, and what is refused at the door (docs/api/formats.md).
//!
//! fhirbolt, by another hand, writes and reads the XML; what it loses (white space and comments of narratives) is
//! compared without, and by our own reader, which loses nothing.

use crate::harness::data::{bundle, content, entry, json_files, json_of, patient, unpacked, weight};
use crate::harness::fhir::{Fhir, Reply, signed_in};
use crate::harness::{Start, anonymous, fhir, run, skip};
use crate::official::REFUSED;
use fhirbolt::FhirReleases;
use fhirbolt::element::Element;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, StreamExt};
use historia::fhir::format::{Limits, parse_xml};
use historia::fhir::resource::semantically_equal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};

const XML: &str = "application/fhir+xml";
const BOTH: &[(&str, &str)] = &[("content-type", XML), ("accept", XML)];

/// XML of a resource, by fhirbolt, which wants the type first, and leaves line breaks in attributes as they are, where XML
/// wants them written as references.
fn xml(resource: &Value) -> Result<Vec<u8>, String> {
    let mut resource = resource.clone();
    type_first(&mut resource);
    let element: Element<{ FhirReleases::R4 }> =
        fhirbolt::json::from_str(&resource.to_string(), None).map_err(|e| e.to_string())?;
    let written = fhirbolt::xml::to_string(&element, None).map_err(|e| e.to_string())?;
    let mut text = String::with_capacity(written.len());
    for (n, part) in written.split("value=\"").enumerate() {
        text.push_str(if n == 0 { "" } else { "value=\"" });
        let (value, rest) = part.split_once('"').filter(|_| n > 0).unwrap_or(("", part));
        let value = value.replace('\r', "&#13;").replace('\n', "&#10;").replace('\t', "&#9;");
        text.push_str(&value);
        text.push_str(if n == 0 { "" } else { "\"" });
        text.push_str(rest);
    }
    Ok(text.into_bytes())
}

fn type_first(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(resource_type) = members.shift_remove("resourceType") {
                members.shift_insert(0, "resourceType".to_owned(), resource_type);
            }
            members.values_mut().for_each(type_first);
        }
        Value::Array(items) => items.iter_mut().for_each(type_first),
        _ => {}
    }
}

/// A resource of its XML, by fhirbolt.
fn value(xml: &[u8]) -> Result<Value, String> {
    // It refuses an encoding in the declaration.
    let text = String::from_utf8(xml.to_vec()).map_err(|e| e.to_string())?.replace(" encoding=\"UTF-8\"", "");
    let element: Element<{ FhirReleases::R4 }> = fhirbolt::xml::from_str(&text, None).map_err(|e| e.to_string())?;
    let json = fhirbolt::json::to_string(&element, None).map_err(|e| e.to_string())?;
    serde_json::from_str(&json).map_err(|e| e.to_string())
}

/// The XML of an answer.
#[track_caller]
fn shown(reply: &Reply) -> Value {
    assert_eq!(reply.header("content-type"), "application/fhir+xml; charset=utf-8", "{}", reply.asked);
    value(&reply.body).unwrap_or_else(|e| panic!("{}: {e}: {}", reply.asked, reply.text()))
}

async fn send(fhir: &Fhir, method: &str, path: &str, resource: &Value) -> Reply {
    fhir.send(method, path, BOTH, Some(xml(resource).unwrap())).await
}

#[test]
fn xml_in_and_out_on_every_interaction() {
    run(async {
        let fhir = fhir("medico").await;
        let sent = patient();
        let made = send(&fhir, "POST", "Patient", &sent).await.expect(201);
        let created = shown(&made);
        assert_eq!(content(&created), content(&sent));
        let path = format!("Patient/{}", created["id"].as_str().unwrap());
        assert_eq!(fhir.get(&path).await.expect(200).json(), created);
        assert_eq!(shown(&fhir.get_with(&path, &[("accept", XML)]).await.expect(200)), created);
        assert_eq!(shown(&fhir.get(&format!("{path}?_format=xml")).await.expect(200)), created);
        let mut changed = created.clone();
        changed["active"] = false.into();
        let updated = shown(&send(&fhir, "PUT", &path, &changed).await.expect(200));
        assert_eq!((&updated["active"], &updated["meta"]["versionId"]), (&false.into(), &"2".into()));

        let same = async |path: &str| {
            let separator = if path.contains('?') { '&' } else { '?' };
            let as_json = fhir.get(path).await.expect(200).json();
            let as_xml =
                shown(&fhir.get(&format!("{path}{separator}_format=application/fhir%2Bxml")).await.expect(200));
            assert_eq!(as_json["resourceType"], as_xml["resourceType"]);
            assert_eq!(as_json["entry"].as_array().map(Vec::len), as_xml["entry"].as_array().map(Vec::len), "{path}");
            (as_json, as_xml)
        };
        let (as_json, as_xml) = same(&format!("{path}/_history/1")).await;
        assert_eq!(as_json, as_xml);
        let (as_json, as_xml) = same(&format!("{path}/_history")).await;
        assert_eq!(as_json["entry"], as_xml["entry"]);
        let (as_json, as_xml) = same("metadata").await;
        assert_eq!(as_json["rest"], as_xml["rest"]);
        let id = created["id"].as_str().unwrap();
        let (as_json, as_xml) = same(&format!("Patient?_id={id}")).await;
        assert_eq!(as_json["entry"], as_xml["entry"]);
        let (as_json, as_xml) = same(&format!("{path}/$everything")).await;
        assert_eq!(as_json["entry"], as_xml["entry"]);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("_id={id}&_format=xml").into_bytes();
        let found = shown(&fhir.send("POST", "Patient/_search", &form, Some(body)).await.expect(200));
        assert_eq!(found["entry"].as_array().map(Vec::len), Some(1));

        let parts = vec![
            entry("POST", "Patient", Some("urn:uuid:8f9d6f5e-6d0d-4d6a-a3b4-1d2e3f405162"), Some(patient())),
            entry(
                "POST",
                "Observation",
                None,
                Some(weight("urn:uuid:8f9d6f5e-6d0d-4d6a-a3b4-1d2e3f405162", "2026-01-02")),
            ),
        ];
        let done = shown(&send(&fhir, "POST", "", &bundle("transaction", parts)).await.expect(200));
        assert_eq!(done["type"], "transaction-response");
        assert_eq!(done["entry"][1]["response"]["status"], "201 Created");
        let parts = vec![entry("GET", &path, None, None), entry("GET", "Patient/nadie", None, None)];
        let done = shown(&send(&fhir, "POST", "", &bundle("batch", parts)).await.expect(200));
        assert_eq!(done["entry"][0]["resource"]["id"], id);
        assert_eq!(done["entry"][1]["response"]["outcome"]["issue"][0]["code"], "not-found");

        let accept = [("accept", XML)];
        assert_eq!(fhir.send("DELETE", &path, &accept, None).await.status, 204);
        let gone = fhir.get_with(&path, &accept).await.expect(410);
        assert_eq!(shown(&gone)["issue"][0]["code"], "deleted");
        let denied = anonymous().get_with(&path, &accept).await.expect(401);
        assert_eq!(shown(&denied)["issue"][0]["code"], "login");
        let bad =
            send(&fhir, "POST", "Patient", &serde_json::json!({"resourceType": "Patient", "birthDate": "ayer"})).await;
        assert_eq!(shown(&bad.expect(400))["issue"][0]["expression"][0], "Patient.birthDate");
    });
}

#[test]
fn formats_are_negotiated() {
    run(async {
        let fhir = fhir("medico").await;
        let path = format!("Patient/{}", fhir.create(patient()).await["id"].as_str().unwrap());
        let check = async |query: &str, accept: &str, expected: &str| {
            let reply = fhir.get_with(&format!("{path}{query}"), &[("accept", accept)]).await;
            let media = reply.header("content-type").trim_start_matches("application/fhir+");
            let media = media.split(';').next().unwrap_or_default();
            assert_eq!(format!("{} {media}", reply.status), expected, "{query} {accept}");
            let vary: Vec<_> = reply.headers.get_all("vary").iter().filter_map(|v| v.to_str().ok()).collect();
            let vary = vary.join(",").to_ascii_lowercase();
            assert!(vary.contains("accept") && vary.contains("accept-encoding"), "{query} {accept}: {vary}");
        };
        check("", "*/*", "200 json").await;
        check("", "application/fhir+xml", "200 xml").await;
        check("", "text/xml", "200 xml").await;
        check("", "application/xml;q=0.3, application/json;q=0.8", "200 json").await;
        check("", "application/xml, application/json;q=0.8", "200 xml").await;
        check("?_format=json", "application/fhir+xml", "200 json").await;
        check("?_format=xml", "application/fhir+json", "200 xml").await;
        check("?_format=application/fhir+xml", "text/turtle", "200 xml").await;
        check("", "text/turtle", "406 json").await;
        check("?_format=ttl", "*/*", "406 json").await;
        check("", "application/fhir+json; fhirVersion=3.0", "406 json").await;
        let pretty = fhir.get(&format!("{path}?_pretty=true")).await.expect(200);
        assert!(pretty.text().starts_with("{\n  \"resourceType\": \"Patient\",\n"), "{}", pretty.text());
        let pretty = fhir.get(&format!("{path}?_pretty=true&_format=xml")).await.expect(200);
        assert!(pretty.text().contains("\n<Patient xmlns=\"http://hl7.org/fhir\">\n  <id value="), "{}", pretty.text());
        assert!(!fhir.get(&path).await.expect(200).text().contains('\n'));

        let body = || Some(xml(&patient()).unwrap());
        for media in [
            "application/fhir+xml",
            "application/xml; charset=UTF-8",
            "text/xml",
            "application/fhir+xml;fhirVersion=4.0",
        ] {
            // Who does not say what it wants gets what it sent.
            shown(&fhir.send("POST", "Patient", &[("content-type", media)], body()).await.expect(201));
            let accept = [("content-type", media), ("accept", "application/json")];
            fhir.send("POST", "Patient", &accept, body()).await.expect(201).json();
        }
        for media in
            ["text/plain", "application/fhir+xml; charset=iso-8859-1", "application/fhir+xml; fhirVersion=5.0", ""]
        {
            fhir.send("POST", "Patient", &[("content-type", media)], body()).await.refused(415, "not-supported");
        }
    });
}

#[test]
fn hostile_xml_is_refused_with_its_place() {
    run(async {
        let fhir = fhir("medico").await;
        let check = async |text: String, status: u16, expected: &str| {
            let headers = [("content-type", XML), ("accept", "application/json")];
            let reply = fhir.send("POST", "Patient", &headers, Some(text.into_bytes())).await.expect(status);
            let told = format!("{} {}", reply.expressions().join(" "), reply.diagnostics());
            assert!(told.contains(expected), "{expected}: {told}");
        };
        let whole = |inner: &str| format!("<Patient xmlns=\"http://hl7.org/fhir\">{inner}</Patient>");
        let lol: String =
            (1..10).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
        check(format!("<!DOCTYPE x [<!ENTITY l0 \"lol\">{lol}]><Patient>&l9;</Patient>"), 400, "document type").await;
        check(format!("<!DOCTYPE x SYSTEM \"file:///etc/passwd\">{}", whole("")), 400, "document type").await;
        check(format!("<?xml-stylesheet href='http://x/'?>{}", whole("")), 400, "processing instructions").await;
        check(whole("<active value='&xxe;'/>"), 400, "Patient.active an entity").await;
        check(whole(&"<extension url='x'>".repeat(10_000)), 400, "limits.depth").await;
        check(whole(&"<nada>".repeat(10_000)), 400, "limits.depth").await;
        check(whole("<nada/><name><nombre/></name>"), 400, "Patient.nada Patient.name[0].nombre").await;
        check(whole("<active xmlns='urn:x' value='true'/>"), 400, "Patient.active must be in the namespace").await;
        check(whole("<gender value='male'/><gender value='male'/>"), 400, "Patient.gender must not stand twice").await;
        check(whole("") + "<Patient/>", 400, "after the end").await;
        check(format!("<?xml version='1.0' encoding='UTF-16'?>{}", whole("")), 400, "UTF-8").await;
        check("{}".to_owned(), 400, "an XML element is expected").await;
        check(String::new(), 400, "an XML element is expected").await;
        check("<Observation xmlns=\"http://hl7.org/fhir\"/>".to_owned(), 400, "the body is another type").await;
        let utf16: Vec<u8> = whole("").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let headers = [("content-type", XML)];
        assert_eq!(
            shown(&fhir.send("POST", "Patient", &headers, Some(utf16)).await.expect(400))["issue"][0]["code"],
            "structure"
        );
    });
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bodies_come_and_go_compressed() {
    run(async {
        let fhir = fhir("medico").await;
        let plain = {
            let mut long = patient();
            long["name"][0]["text"] = "Peña ".repeat(1_000).into();
            long
        };
        let coded = [("content-type", "application/fhir+json"), ("content-encoding", "gzip")];
        let text = plain.to_string();
        let made = fhir.send("POST", "Patient", &coded, Some(gzip(text.as_bytes()))).await.expect(201);
        assert_eq!(content(&made.json()), content(&plain));
        let path = format!("Patient/{}", made.id());
        let two = [gzip(&text.as_bytes()[..100]), gzip(&text.as_bytes()[100..])].concat();
        fhir.send("POST", "Patient", &coded, Some(two)).await.expect(201);
        let short = gzip(text.as_bytes());
        let broken = [short[..short.len() - 3].to_vec(), [short.clone(), vec![1, 2, 3]].concat(), b"{}".to_vec()];
        for body in broken {
            fhir.send("POST", "Patient", &coded, Some(body)).await.refused(400, "invalid");
        }
        for coding in ["br", "deflate", "gzip, gzip", "nada"] {
            let coded = [("content-type", "application/fhir+json"), ("content-encoding", coding)];
            fhir.send("POST", "Patient", &coded, Some(gzip(text.as_bytes()))).await.refused(415, "not-supported");
        }

        let whole = fhir.get(&path).await.expect(200);
        for (accept, coding) in [
            ("gzip", "gzip"),
            ("br;q=0.2, gzip", "gzip"),
            ("gzip;q=0.1, br", "br"),
            ("zstd", "zstd"),
            ("identity", ""),
            ("gzip;q=0", ""),
            ("nada", ""),
            ("identity;q=0, nada", ""),
        ] {
            let reply = fhir.get_with(&path, &[("accept-encoding", accept)]).await.expect(200);
            assert_eq!(reply.header("content-encoding"), coding, "{accept}");
            let vary: Vec<_> = reply.headers.get_all("vary").iter().filter_map(|v| v.to_str().ok()).collect();
            assert!(vary.contains(&"accept-encoding"), "{accept}: {vary:?}");
            match coding {
                "" => assert_eq!(reply.body, whole.body),
                _ => assert!(reply.body.len() < whole.body.len() / 2, "{accept}: {}", reply.body.len()),
            }
            if coding == "gzip" {
                let mut inflated = Vec::new();
                flate2::read::GzDecoder::new(reply.body.as_slice()).read_to_end(&mut inflated).unwrap();
                assert_eq!(inflated, whole.body);
                assert_eq!(reply.header("etag"), whole.header("etag"));
            }
        }
        // One packet is not made smaller.
        let small = fhir.get_with("Patient/nadie", &[("accept-encoding", "gzip")]).await.expect(404);
        assert_eq!(small.header("content-encoding"), "");
    });
}

/// 2 GB of spaces in 2 MB: refused by what it inflates to, before it has.
#[test]
fn a_bomb_is_too_long_and_takes_no_memory() {
    let instance = Start::dev().with("HISTORIA_LIMITS__BODY", "1 MB").ready();
    run(async {
        let medico = signed_in(&instance, "medico").await;
        let mut bomb = Vec::new();
        let megabyte = gzip(&vec![b' '; 1 << 20]);
        while bomb.len() + megabyte.len() < 900_000 {
            bomb.extend_from_slice(&megabyte);
        }
        let members = bomb.len() / megabyte.len();
        assert!(members > 500, "{members}");
        let coded = [("content-type", "application/fhir+json"), ("content-encoding", "gzip")];
        let before = instance.memory();
        assert!(before > 0);
        for _ in 0..4 {
            let reply = medico.send("POST", "Patient", &coded, Some(bomb.clone())).await.refused(413, "too-long");
            assert!(reply.diagnostics().contains("limits.body"), "{}", reply.diagnostics());
        }
        let grown = instance.memory().saturating_sub(before);
        assert!(grown < 32 << 20, "{grown} bytes more");
    });
}

#[test]
fn a_binary_is_also_what_it_holds() {
    run(async {
        let fhir = fhir("integracion").await;
        let data: Vec<u8> = (0..=255).collect();
        let subject = format!("Patient/{}", fhir.create(patient()).await["id"].as_str().unwrap());
        let headers = [("content-type", "image/png"), ("x-security-context", subject.as_str())];
        let made = fhir.send("POST", "Binary", &headers, Some(data.clone())).await.expect(201);
        let resource = made.json();
        assert_eq!(
            (&resource["contentType"], &resource["securityContext"]["reference"]),
            (&"image/png".into(), &subject.as_str().into())
        );
        let path = format!("Binary/{}", made.id());
        for (address, accept) in [(path.clone(), "image/png"), (format!("{path}/_history/1"), "image/*, */*;q=0.1")] {
            let raw = fhir.get_with(&address, &[("accept", accept)]).await.expect(200);
            assert_eq!((raw.header("content-type"), &raw.body), ("image/png", &data));
            assert_eq!(
                (raw.header("x-content-type-options"), raw.header("content-disposition")),
                ("nosniff", "attachment")
            );
            assert_eq!(raw.header("etag"), "W/\"1\"");
        }
        for accept in ["*/*", "application/fhir+json, image/png;q=0.9", "application/json"] {
            assert_eq!(fhir.get_with(&path, &[("accept", accept)]).await.expect(200).json(), resource, "{accept}");
        }
        assert_eq!(shown(&fhir.get_with(&path, &[("accept", XML)]).await.expect(200)), resource);
        fhir.get_with(&path, &[("accept", "application/pdf")]).await.refused(406, "not-supported");
        fhir.get(&format!("{path}?_format=png")).await.refused(406, "not-supported");
        fhir.get_with("Binary/nada", &[("accept", "image/png")]).await.refused(404, "not-found");
        anonymous().get_with(&path, &[("accept", "image/png")]).await.refused(401, "login");
        let page = [("content-type", "text/html")];
        let put = fhir.send("PUT", &path, &page, Some(b"<script>".to_vec())).await.expect(200);
        assert_eq!(put.version(), 2);
        let raw = fhir.get_with(&path, &[("accept", "text/html")]).await.expect(200);
        assert_eq!((raw.body.as_slice(), raw.header("content-type")), (b"<script>".as_slice(), "text/html"));
        assert!(raw.header("content-security-policy").starts_with("sandbox"));
        // A resource stays one.
        let whole = serde_json::json!({"resourceType": "Binary", "contentType": "text/plain", "data": "aGkK"});
        let made = send(&fhir, "POST", "Binary", &whole).await.expect(201);
        assert_eq!(content(&shown(&made)), whole);
    });
}

/// `div` without white space and comments: fhirbolt does not keep them.
fn without_space(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                match value {
                    Value::String(text) if name == "div" => {
                        while let Some((before, comment)) = text.split_once("<!--") {
                            *text = format!("{before}{}", comment.split_once("-->").map_or("", |(_, after)| after));
                        }
                        text.retain(|c| !c.is_whitespace());
                    }
                    value => without_space(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_space),
        _ => {}
    }
}

/// The first difference between two resources, but for the white space of narratives.
fn difference(a: &Value, b: &Value) -> Option<String> {
    let (mut a, mut b) = (content(a), content(b));
    without_space(&mut a);
    without_space(&mut b);
    first(&a, &b)
}

fn first(a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        _ if semantically_equal(a, b) => None,
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let member = |name: &&String| Some(format!(".{name}{}", first(a.get(*name)?, b.get(*name)?)?));
            let missing = |name: &&String| a.contains_key(*name) != b.contains_key(*name);
            let found = names.iter().find_map(member);
            found.or_else(|| names.into_iter().find(missing).map(|name| format!(".{name} on one side only")))
        }
        (Value::Array(a), Value::Array(b)) => {
            let item = |(n, (a, b)): (usize, (&Value, &Value))| Some(format!("[{n}]{}", first(a, b)?));
            let found = a.iter().zip(b).enumerate().find_map(item);
            Some(found.unwrap_or_else(|| format!(": {} and {} items", a.len(), b.len())))
        }
        _ => Some(format!(": {a} | {b}")),
    }
}

/// Sends one example as XML and reads it in both formats; what is wrong, if anything.
async fn there_and_back(writer: &Fhir, reader: &Fhir, name: &str, example: &Value) -> Result<(), String> {
    let resource_type = example["resourceType"].as_str().unwrap();
    let sent = xml(example)?;
    let headers = [("content-type", XML), ("accept", "application/fhir+json")];
    let reply = writer.send("POST", resource_type, &headers, Some(sent)).await;
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        let told =
            format!("{} {} {}", reply.status, reply.expressions().join(" "), reply.diagnostics().replace('\n', "; "));
        return if told.starts_with('4') && told.contains(reason) { Ok(()) } else { Err(told) };
    }
    if reply.status != 201 {
        return Err(format!("{} {} {}", reply.status, reply.expressions().join(" "), reply.diagnostics()));
    }
    let path = format!("{resource_type}/{}", reply.id());
    let as_json = reader.get(&path).await.expect(200).json();
    let as_xml = reader.get_with(&path, &[("accept", XML)]).await.expect(200);
    let ours = parse_xml(&as_xml.body, &Limits::default()).map_err(|e| e.to_string())?;
    let theirs = value(&as_xml.body)?;
    let found = [
        ("stored", difference(&as_json, example)),
        ("its XML, read by fhirbolt", difference(&theirs, example)),
        ("its XML, read by us", (ours != as_json).then(|| "not its JSON".to_owned())),
    ];
    let wrong: Vec<String> =
        found.into_iter().filter_map(|(what, wrong)| Some(format!("{what}: {}", wrong?))).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

#[test]
fn official_examples_there_and_back_in_xml() {
    let Some(folder) = unpacked("r4-examples-instances") else {
        return skip("official_examples_there_and_back_in_xml", "no r4-examples-instances in HISTORIA_SHARED");
    };
    let instance = Start::dev().with("HISTORIA_FHIR__REFERENCES", "off").with("HISTORIA_TOKENS__CLIENT", "1 h").ready();
    run(async {
        let (integracion, admin) = (signed_in(&instance, "integracion").await, signed_in(&instance, "admin").await);
        let examples = json_files(&folder).into_iter().map(|file| (file.clone(), json_of(&file)));
        let examples: Vec<_> = examples.filter(|(_, example)| example["resourceType"].is_string()).collect();
        let results: Vec<(String, Result<(), String>)> = stream::iter(&examples)
            .map(async |(file, example)| {
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                let reader = if example["resourceType"] == "AuditEvent" { &admin } else { &integracion };
                let result = there_and_back(&integracion, reader, &name, example).await;
                (name, result)
            })
            .buffer_unordered(4)
            .collect()
            .await;
        let wrong: Vec<String> =
            results.iter().filter_map(|(name, result)| Some(format!("{name}: {}", result.as_ref().err()?))).collect();
        println!("{} examples, {} refused by the standard", results.len(), REFUSED.len());
        assert!(results.len() > 700, "{} examples", results.len());
        assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    });
}
