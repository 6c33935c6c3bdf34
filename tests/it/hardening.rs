//! Requests that nobody sends in good faith: they are refused or find nothing, and never end in a 5xx.

use crate::contract::raw_http;
use crate::harness::data::{patient, patient_with};
use crate::harness::{anonymous, fhir, run, server, unique};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

const HOSTILE: [&str; 16] = [
    "' or 1=1 --",
    "'; drop table resource; --",
    "\" or \"\"=\"",
    "1) or (1=1",
    "$1",
    "%",
    "_",
    "%%",
    "\\",
    "\u{0}",
    "../../etc/passwd",
    "${jndi:x}",
    "{{7*7}}",
    "\u{202e}",
    "x\r\nSet-Cookie: a=b",
    "\u{10ffff}",
];

#[test]
fn f130_hostile_values_are_values() {
    run(async {
        let medico = fhir("medico").await;
        let kept = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        for hostile in HOSTILE {
            let value = utf8_percent_encode(hostile, NON_ALPHANUMERIC).to_string();
            for query in [
                format!("Patient?family={value}"),
                format!("Patient?family:exact={value}"),
                format!("Patient?identifier={value}"),
                format!("Patient?identifier={value}|{value}"),
                format!("Patient?birthdate={value}"),
                format!("Patient?general-practitioner={value}"),
                format!("Patient?_id={value}"),
                format!("Patient?_lastUpdated={value}"),
                format!("Patient?_tag={value}"),
                format!("Patient?_profile={value}"),
                format!("Patient?_sort={value}"),
                format!("Patient?_count={value}"),
                format!("Patient?_page={value}"),
                format!("Patient?_total={value}"),
                format!("Patient?{value}=x"),
                format!("Patient?family:{value}=x"),
                format!("Patient/{value}"),
                format!("Patient/{value}/_history/{value}"),
                value.clone(),
                format!("Patient/{kept}/_history?_count={value}"),
                format!("Patient/{kept}?_format={value}"),
            ] {
                let reply = medico.get(&query).await;
                assert!(
                    matches!(reply.status, 200 | 400 | 404 | 405 | 406),
                    "{query}: {} {}",
                    reply.status,
                    reply.text()
                );
                if reply.status == 200 && query.starts_with("Patient?") {
                    assert!(!reply.ids().contains(&kept), "{query} finds everything");
                }
            }
            for header in ["if-none-exist", "if-match", "prefer", "x-request-id", "accept-language"] {
                if hostile.chars().all(|c| c.is_ascii() && !c.is_control()) {
                    let reply = medico
                        .send(
                            "POST",
                            "Patient",
                            &[("content-type", "application/fhir+json"), (header, hostile)],
                            Some(patient().to_string().into_bytes()),
                        )
                        .await;
                    assert!(reply.status < 500, "{header}: {hostile}: {}", reply.text());
                    assert!(reply.header("set-cookie").is_empty());
                }
            }
        }
        medico.get(&format!("Patient/{kept}")).await.expect(200);
    });
}

#[test]
fn f131_wildcards_of_sql_are_letters() {
    run(async {
        let medico = fhir("medico").await;
        let mut one = patient();
        let name = format!("Zacarías{}", unique());
        one["name"][0]["family"] = name.as_str().into();
        let id = medico.create(one).await["id"].as_str().unwrap().to_owned();
        for (query, found) in [
            (format!("family={name}"), true),
            (format!("family={}%25", &name[..4]), true),
            (format!("family=Z%25{}", &name[name.len() - 6..]), false),
            ("family=Z_carias".to_owned(), false),
        ] {
            let reply = medico.get(&format!("Patient?{query}&_id={id}")).await.expect(200);
            assert_eq!(!reply.ids().is_empty(), found, "{query}");
        }
    });
}

#[test]
fn f134_json_is_strict() {
    run(async {
        let medico = fhir("medico").await;
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let number =
            format!("{{\"resourceType\":\"Observation\",\"valueQuantity\":{{\"value\":{}}}}}", "9".repeat(1_000_000));
        for text in [
            "",
            " ",
            "null",
            "1",
            "\"x\"",
            "{",
            "{}",
            "[]",
            "{\"resourceType\":\"Patient\",}",
            "{\"resourceType\":\"Patient\"} x",
            "{\"resourceType\":\"Patient\",\"resourceType\":\"Patient\"}",
            "{\"resourceType\":\"Patient\",\"active\":NaN}",
            "{\"resourceType\":\"Patient\",\"id\":\"\\ud800\"}",
            "{\"resourceType\":\"Patient\",\"language\":\"a\\u0000\"}",
            "\u{feff}{\"resourceType\":\"Patient\"}",
            "{\"resourceType\":\"Patient\",\"multipleBirthInteger\":1e400000}",
            "{'resourceType':'Patient'}",
            "{\"resourceType\":\"Patient\" /* x */}",
            &deep,
            &number,
        ] {
            let reply = medico.raw("POST", "Patient", &[], text).await;
            assert_eq!(
                reply.status,
                400,
                "{}: {}",
                text.chars().take(60).collect::<String>(),
                reply.text().chars().take(300).collect::<String>()
            );
        }
        let latin = medico
            .send(
                "POST",
                "Patient",
                &[("content-type", "application/fhir+json")],
                Some(b"{\"resourceType\":\"Patient\",\"language\":\"\xf1\"}".to_vec()),
            )
            .await;
        latin.expect(400);
    });
}

#[test]
fn f139_scripts_in_narratives_are_refused() {
    run(async {
        let medico = fhir("medico").await;
        for div in [
            "<div xmlns=\"http://www.w3.org/1999/xhtml\"><script>alert(1)</script></div>",
            "<div xmlns=\"http://www.w3.org/1999/xhtml\"><img src=\"x\" onerror=\"alert(1)\"/></div>",
            "<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"javascript:alert(1)\">x</a></div>",
            "<div xmlns=\"http://www.w3.org/1999/xhtml\"><iframe src=\"http://example.org\"/></div>",
            "<div xmlns=\"http://www.w3.org/1999/xhtml\"><form action=\"/x\"/></div>",
        ] {
            let mut one = patient();
            one["text"] = serde_json::json!({"status": "generated", "div": div});
            let reply = medico.post("Patient", &one).await;
            assert!(matches!(reply.status, 400 | 422), "{div}: {}", reply.status);
        }
    });
}

#[test]
fn f148_addresses_are_those_of_the_configuration() {
    run(async {
        let token = fhir("medico").await.token.unwrap();
        let tag = unique();
        let body = patient_with(&tag).to_string();
        let answer = raw_http(&format!(
            "POST /fhir/Patient HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nAuthorization: Bearer {token}\r\nContent-Type: application/fhir+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await;
        assert!(answer.starts_with("HTTP/1.1 201") && !answer.contains("evil.example"), "{answer}");
        assert!(answer.to_lowercase().contains(&format!("location: {}/fhir/", server().http())), "{answer}");
    });
}

#[test]
fn f071_a_method_is_the_method_of_its_line() {
    run(async {
        let medico = fhir("medico").await;
        let id = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        for header in ["x-http-method-override", "x-method-override", "x-http-method"] {
            medico.get_with(&format!("Patient/{id}"), &[(header, "DELETE")]).await.expect(200);
        }
        medico.get(&format!("Patient/{id}?_method=DELETE")).await;
        medico.get(&format!("Patient/{id}")).await.expect(200);
    });
}

#[test]
fn a093_requests_that_two_readers_read_differently_are_refused() {
    run(async {
        let start = format!(
            "POST /fhir/Patient HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/fhir+json\r\nConnection: close\r\n",
            fhir("medico").await.token.unwrap()
        );
        for head in [
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            "Content-Length: +2\r\n\r\n{}",
            "Transfer-Encoding: chunked, identity\r\n\r\n{}",
        ] {
            let answer = raw_http(&format!("{start}{head}")).await;
            assert!(answer.starts_with("HTTP/1.1 4") || answer.is_empty(), "{head}: {answer}");
        }
    });
}

#[test]
fn a094_f154_nothing_of_the_inside_is_told() {
    run(async {
        let nobody = anonymous();
        for path in ["/metrics", "/.env", "/debug", "/actuator", "/fhir/../metrics", "/admin"] {
            let reply = nobody.get(path).await;
            assert!(matches!(reply.status, 401 | 404), "{path}: {}", reply.status);
        }
        let reply = nobody.get("metadata").await.expect(200);
        assert!(reply.header("server").is_empty(), "{}", reply.header("server"));
        let wrong = fhir("medico")
            .await
            .raw("POST", "Patient", &[], "{\"resourceType\":\"Patient\",\"x\":1}")
            .await
            .expect(400)
            .text();
        for word in ["src/", ".rs", "postgres", "SQLSTATE", "tokio"] {
            assert!(!wrong.contains(word), "{word}: {wrong}");
        }
    });
}
