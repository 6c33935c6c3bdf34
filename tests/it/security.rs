//! Requirements of input hardening (F130 to F154) that have no other home; `docs/security-coverage.md` lists them all.

use crate::contract::raw_http;
use crate::harness::data::{bundle, entry, patient};
use crate::harness::{Start, anonymous, fhir, run, server, unique};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

#[test]
fn f130_conditions_in_bundles_and_headers_are_values() {
    run(async {
        let medico = fhir("medico").await;
        let kept = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        for hostile in [
            "' or 1=1 --",
            "'; drop table resource; --",
            "1) or (1=1",
            "$1",
            "%",
            "\\",
            "x') union select body from resource --",
        ] {
            let value = utf8_percent_encode(hostile, NON_ALPHANUMERIC).to_string();
            let mut twin = entry("POST", "Patient", None, Some(patient()));
            twin["request"]["ifNoneExist"] = format!("identifier={value}").into();
            let answer = medico.post("", &bundle("transaction", vec![twin])).await.expect(200).json();
            assert_eq!(answer["entry"][0]["response"]["status"], "201 Created", "{hostile}: it matched something");
            let mut pointing = patient();
            pointing["managingOrganization"] = json!({"reference": format!("Organization?name={value}")});
            let entries = vec![entry("POST", "Patient", None, Some(pointing))];
            medico.post("", &bundle("transaction", entries)).await.refused(422, "business-rule");
            for query in [
                "_elements",
                "_summary",
                "_include",
                "_revinclude",
                "_has:Observation:patient:code",
                "_filter",
                "_content",
                "_list",
            ] {
                let reply = medico.get(&format!("Patient?_id={kept}&{query}={value}")).await;
                assert!(matches!(reply.status, 200 | 400), "{query}={hostile}: {} {}", reply.status, reply.text());
            }
        }
        medico.get(&format!("Patient/{kept}")).await.expect(200);
    });
}

/// More than a million members, in one object and in many; many that refer to many: answered soon, by a server that goes on.
#[test]
fn f134_wide_json_costs_no_more_than_its_length() {
    run(async {
        let medico = fhir("integracion").await;
        let wide: String = (0..1_100_000).map(|n| format!(",\"k{n}\":1")).collect();
        let many = vec!["{\"a\":1}"; 1_100_000].join(",");
        let inside = 60_000;
        let contained: Vec<String> = (0..inside)
            .map(|n| format!("{{\"resourceType\":\"Basic\",\"id\":\"c{n}\",\"code\":{{\"text\":\"x\"}}}}"))
            .collect();
        let named: Vec<String> =
            (0..inside).map(|n| format!("{{\"item\":{{\"reference\":\"#c{}\"}}}}", inside - 1 - n)).collect();
        let list = format!(
            "{{\"resourceType\":\"List\",\"status\":\"current\",\"mode\":\"working\",\"contained\":[{}],\"entry\":[{}],\"colour\":1}}",
            contained.join(","),
            named.join(",")
        );
        for (path, text) in [
            ("Patient", format!("{{\"resourceType\":\"Patient\"{wide}}}")),
            ("Patient", format!("{{\"resourceType\":\"Patient\",\"name\":[{many}]}}")),
            ("Patient", format!("{{\"resourceType\":\"Patient\",\"_birthDate\":{{\"extension\":[{many}]}}}}")),
            ("List", list),
        ] {
            let started = Instant::now();
            let reply = medico.raw("POST", path, &[], &text).await.refused(400, "structure");
            assert!(reply.body.len() < 100_000, "an outcome of {} bytes", reply.body.len());
            assert!(started.elapsed() < Duration::from_secs(30), "{path}: {:?}", started.elapsed());
        }
        medico.get("Patient?_count=1").await.expect(200);
    });
}

#[test]
fn f138_an_id_is_no_path() {
    run(async {
        let token = fhir("medico").await.token.unwrap();
        for id in [
            "..%2f..%2fetc%2fpasswd",
            "%2e%2e%2fmetadata",
            "a%00",
            "%00",
            "a%2fb",
            "a%5cb",
            "%c0%ae%c0%ae%2f",
            "%e0%80%ae",
            "a%0d%0ab",
            "a%20b",
            "%25",
            "a_b",
            "%C3%B1",
            "%f0%9f%98%80",
            "..;",
            "a%3bb",
            "%",
        ] {
            for path in [
                format!("Patient/{id}"),
                format!("Patient/{id}/_history"),
                format!("Patient/{id}/_history/1"),
                format!("Patient/x/_history/{id}"),
                format!("{id}/x"),
            ] {
                let answer = raw_http(&format!(
                    "GET /fhir/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
                ))
                .await;
                let status = answer.get(9..12).unwrap_or_default();
                assert!(matches!(status, "400" | "404"), "{path}: {answer}");
                assert!(!answer.contains("root:"), "{path}");
            }
        }
        let medico = fhir("medico").await;
        for id in ["../x", "a/b", "a\\b", "a\u{0}b", "a b", "ñ", &"a".repeat(65)] {
            let mut one = patient();
            one["id"] = id.into();
            let reply = medico.raw("PUT", "Patient/x", &[], &one.to_string()).await;
            assert_eq!(reply.status, 400, "{id}: {}", reply.text());
        }
        // Long addresses, deep addresses, dots that a router may resolve.
        for path in ["../../../../etc/passwd", "./Patient/./x", "Patient/../../livez", "//Patient//x//"] {
            let answer = raw_http(&format!(
                "GET /fhir/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            ))
            .await;
            assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        }
    });
}

#[test]
fn f139_narratives_are_refused_by_an_allow_list() {
    run(async {
        let medico = fhir("medico").await;
        // What parsers of HTML and of XML read differently (mutation XSS), beside the plain kinds of `fhir::narrative`.
        let inside = [
            "<svg><p><style><img src=x onerror=alert(1)></style></p></svg>",
            "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
            "<noscript><p title=\"&lt;/noscript&gt;&lt;img src=x onerror=alert(1)&gt;\">x</p></noscript>",
            "<form><math><mtext></mtext></math></form>",
            "<p><!--<img src=\"--><img src=x onerror=alert(1)//\"></p>",
            "<p><![CDATA[<img src=x onerror=alert(1)>]]></p>",
            "<a href=\"jav&#x61;script:alert(1)\">x</a>",
            "<a href=\"&#x6A;&#x61;vascript&#x3A;alert(1)\">x</a>",
            "<a href=\"data:text/html;base64,PHNjcmlwdD4=\">x</a>",
            "<a xlink:href=\"javascript:alert(1)\">x</a>",
            "<img src=\"data:image/svg+xml;base64,PHN2Zz4=\"/>",
            "<p style=\"background-image:url(https://x.invalid/a)\">x</p>",
            "<p style=\"background-image:\\75rl(https://x.invalid/a)\">x</p>",
            "<p style=\"width:expression(alert(1))\">x</p>",
            "<p ONCLICK=\"alert(1)\">x</p>",
            "<p/onclick=\"alert(1)\">x</p>",
            "<img src=\"x\" srcset=\"https://x.invalid/a\"/>",
            "<link rel=\"stylesheet\" href=\"https://x.invalid/a\"/>",
            "<base href=\"https://x.invalid/\"/>",
            "<meta http-equiv=\"refresh\" content=\"0\"/>",
            "<template><p>x</p></template>",
            "<audio src=\"x\"/>",
            "<x:script xmlns:x=\"http://www.w3.org/1999/xhtml\">alert(1)</x:script>",
            "<p xmlns=\"http://www.w3.org/2000/svg\">x</p>",
            "<p>&undeclared;</p>",
            "<p>\u{0}</p>",
        ];
        for inside in inside {
            let mut one = patient();
            let div = format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inside}</div>");
            one["text"] = json!({"status": "generated", "div": div});
            let reply = medico.post("Patient", &one).await;
            assert_eq!(reply.status, 400, "{inside}: {}", reply.text());
            // In a contained resource, and in an entry.
            let mut outer = patient();
            one["resourceType"] = "Patient".into();
            one["id"] = "c".into();
            outer["contained"] = json!([one]);
            outer["link"] = json!([{"other": {"reference": "#c"}, "type": "seealso"}]);
            let reply =
                medico.post("", &bundle("transaction", vec![entry("POST", "Patient", None, Some(outer))])).await;
            assert_eq!(reply.status, 400, "{inside}: {}", reply.text());
        }
    });
}

#[test]
fn f141_what_is_attached_is_never_served_as_a_page() {
    run(async {
        let integracion = fhir("integracion").await;
        let html = "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==";
        let binary = json!({"resourceType": "Binary", "contentType": "text/html", "data": html});
        let id = integracion.create(binary).await["id"].as_str().unwrap().to_owned();
        let mut one = patient();
        one["photo"] = json!([{"contentType": "image/svg+xml", "data": html}]);
        let patient = integracion.create(one).await["id"].as_str().unwrap().to_owned();
        for path in [format!("Binary/{id}"), format!("Patient/{patient}"), format!("Patient?_id={patient}")] {
            for accept in ["*/*", "text/html", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "image/svg+xml"] {
                let reply = integracion.get_with(&path, &[("accept", accept)]).await;
                assert!(matches!(reply.status, 200 | 406), "{path} {accept}: {}", reply.status);
                let media = reply.header("content-type");
                assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path} {accept}");
                // A Binary goes out as what it holds to who asks for that: to be saved, never shown.
                if media == "text/html" && path.starts_with("Binary") {
                    assert_eq!(reply.header("content-disposition"), "attachment", "{path} {accept}");
                    assert!(reply.header("content-security-policy").starts_with("sandbox"), "{path} {accept}");
                    continue;
                }
                assert!(media.starts_with("application/fhir+"), "{path} {accept}: {media}");
                assert!(!reply.text().contains("<script"), "{path} {accept}");
            }
        }
        // Refusals, pages, probes: every answer says so.
        for path in ["/fhir/Patient/x", "/login", "/livez", "/nowhere", "/fhir/metadata", "/oauth/jwks"] {
            assert_eq!(anonymous().get(path).await.header("x-content-type-options"), "nosniff", "{path}");
        }
    });
}

#[test]
fn f144_filters_and_paths_have_limits() {
    run(async {
        let medico = fhir("medico").await;
        let deep = format!("{}family eq \"a\"{}", "(".repeat(5_000), ")".repeat(5_000));
        let long = vec!["family eq \"a\""; 600].join(" or ");
        let nots = format!("{}(family eq \"a\")", "not ".repeat(3_000));
        for filter in [deep, long, nots] {
            let form = format!("_filter={}", utf8_percent_encode(&filter, NON_ALPHANUMERIC));
            let started = Instant::now();
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let reply = medico.send("POST", "Patient/_search", &headers, Some(form.into_bytes())).await;
            assert_eq!(reply.status, 400, "{}", reply.text());
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        }
        let chain = ["subject:Patient.link"; 12].join(".");
        let reply = medico.get(&format!("Observation?{chain}=x")).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
    });
}

/// Everything that holds an address points at a listener of the test: nobody comes.
#[test]
fn f145_no_address_in_data_is_fetched() {
    run(async {
        let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", canary.local_addr().unwrap());
        let integracion = fhir("integracion").await;
        let url = |path: &str| format!("{root}/{path}");
        let subject = integracion.create(patient()).await["id"].as_str().unwrap().to_owned();
        let subject = json!({"reference": format!("Patient/{subject}")});
        let attachment = json!({"contentType": "application/pdf", "url": url("attachment")});
        let resources = [
            json!({"resourceType": "Subscription", "status": "requested", "reason": "x", "criteria": "Patient?active=true",
                "channel": {"type": "rest-hook", "endpoint": url("hook"), "payload": "application/fhir+json"}}),
            json!({"resourceType": "Endpoint", "status": "active", "address": url("endpoint"), "payloadType": [{"text": "x"}],
                "connectionType": {"system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "code": "hl7-fhir-rest"}}),
            json!({"resourceType": "DocumentReference", "status": "current", "subject": subject, "content": [{"attachment": attachment}]}),
            json!({"resourceType": "Patient", "photo": [{"url": url("photo")}], "meta": {"profile": [url("profile")]},
                "implicitRules": url("rules"), "managingOrganization": {"reference": url("fhir/Organization/1")},
                "text": {"status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><img src=\"{}\"/>x</div>", url("img"))}}),
            json!({"resourceType": "ValueSet", "status": "active", "url": url("vs"), "compose": {"include": [{"valueSet": [url("other")]}, {"system": url("cs")}]}}),
            json!({"resourceType": "StructureDefinition", "status": "draft", "url": url("sd"), "name": "X", "kind": "resource", "abstract": false,
                "type": "Patient", "baseDefinition": url("base")}),
            json!({"resourceType": "Questionnaire", "status": "draft", "derivedFrom": [url("q")]}),
        ];
        for resource in resources {
            let made = integracion.create(resource.clone()).await;
            let path = format!("{}/{}", made["resourceType"].as_str().unwrap(), made["id"].as_str().unwrap());
            integracion.get(&path).await.expect(200);
            integracion.get(&format!("{path}/$validate?profile={}", url("asked"))).await.expect(200);
        }
        for query in [
            "Observation?code:in=@",
            "Observation?subject=@",
            "Patient?_profile=@",
            "Patient?organization=@",
            "ValueSet?url=@",
        ] {
            let reply = integracion
                .get(&query.replace('@', &utf8_percent_encode(&url("x"), NON_ALPHANUMERIC).to_string()))
                .await;
            assert!(reply.status < 500, "{query}: {}", reply.text());
        }
        let token = json!({"alg": "ES256", "jku": url("jku"), "x5u": url("x5u")}).to_string();
        let forged = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(token));
        anonymous().get_with("Patient/x", &[("authorization", &format!("Bearer {forged}"))]).await.expect(401);
        let came = tokio::time::timeout(Duration::from_secs(2), canary.accept()).await;
        assert!(came.is_err(), "somebody came");
    });
}

#[test]
fn f145_the_keys_of_a_client_are_not_fetched() {
    run(async {
        let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = canary.local_addr().unwrap().to_string();
        let instance = Start::dev().ready();
        let id = format!("jwks-{}", unique());
        // http is refused; an https address is kept, and not looked at.
        for scheme in ["http", "https"] {
            let jwks = format!("{scheme}://{address}/keys");
            let output = instance.command(&["client", "add", "--id", &id, "--tipo", "asymmetric", "--jwks", &jwks]);
            assert_eq!(output.status.success(), scheme == "https", "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert!(tokio::time::timeout(Duration::from_secs(1), canary.accept()).await.is_err(), "somebody came");
    });
}

#[test]
fn f147_no_header_says_what_a_client_made_up() {
    run(async {
        let token = fhir("medico").await.token.unwrap();
        let id = fhir("medico").await.create(patient()).await["id"].as_str().unwrap().to_owned();
        let injection = "x%0d%0aInjected:%20yes%0d%0a";
        for (method, path) in [
            ("GET", format!("Patient/{injection}")),
            ("GET", format!("Patient?name={injection}&_count=1")),
            ("GET", format!("Patient?{injection}=1")),
            ("GET", format!("Patient/{id}?_format={injection}")),
            ("GET", format!("Patient/{id}/_history/{injection}")),
            ("GET", format!("{injection}/1")),
            ("POST", format!("{injection}/_search")),
        ] {
            let answer = raw_http(&format!(
                "{method} /fhir/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nX-Request-Id: a%0d%0aInjected\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ))
            .await;
            let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
            assert!(head.starts_with("http/1.1 ") && !head.contains("injected"), "{path}: {head}");
        }
        let login =
            raw_http("GET /login?next=/%0d%0aInjected:%20yes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(!login.split("\r\n\r\n").next().unwrap().to_lowercase().contains("injected"), "{login}");
    });
}

#[test]
fn f154_nothing_but_the_open_routes_answers_without_a_token() {
    run(async {
        let nobody = anonymous();
        for path in [
            "/fhir/$loadIG",
            "/fhir/$reindex",
            "/fhir/$expunge",
            "/fhir/$explain",
            "/fhir/$export",
            "/fhir/Patient",
            "/fhir/_history",
            "/fhir",
            "/fhir/Patient/$validate",
            "/fhir/OperationDefinition",
            "/metrics",
            "/admin",
            "/admin/clientes",
            "/actuator/env",
            "/debug/pprof",
            "/swagger",
            "/swagger-ui/index.html",
            "/console",
            "/loadIG",
            "/h2-console",
            "/server-status",
            "/.git/config",
            "/.env",
            "/ready.json",
            "/fhir/../ready.json",
            "/static/../ready.json",
            "/cuenta",
            "/exportar_pdf/1",
            "/paciente/1",
            "/hl7v2",
        ] {
            for method in ["GET", "POST"] {
                let headers = [("content-type", "application/json")];
                let body = (method == "POST").then(|| b"{}".to_vec());
                let reply = nobody.send(method, path, &headers, body).await;
                assert!(
                    matches!(reply.status, 401 | 403 | 404 | 405),
                    "{method} {path}: {} {}",
                    reply.status,
                    reply.text()
                );
                assert!(!reply.text().contains("clave\":"), "{method} {path}");
            }
        }
        // The metrics are on a listener of their own, on loopback.
        let ops = server().ops();
        assert!(ops.starts_with("http://127.0.0.1:"), "{ops}");
        let statement: Value = nobody.get("metadata").await.expect(200).json();
        assert!(!statement.to_string().contains("postgres"));
    });
}
