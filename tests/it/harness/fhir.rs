//! The HTTP client of the tests: reqwest, a third party's, with what FHIR adds.

use crate::harness::instance::{Instance, command, server};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    builder.timeout(Duration::from_secs(120)).build().expect("an HTTP client")
});

pub const FHIR_JSON: &str = "application/fhir+json";

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// What was asked, for messages.
    pub asked: String,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{}: no JSON ({e}): {}", self.asked, self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Fails with the answer in hand when the status is another one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        let text = self.text();
        let start: String = text.chars().take(2000).collect();
        assert_eq!(self.status, status, "{}: {start}", self.asked);
        self
    }

    /// `expect`, and that the body is an OperationOutcome with an issue of this code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Reply {
        let reply = self.expect(status);
        let outcome = reply.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{}", reply.asked);
        let codes = reply.codes();
        assert!(codes.iter().any(|c| c == code), "{}: {code} is not among {codes:?}", reply.asked);
        reply
    }

    fn issues(&self, member: &str) -> Vec<String> {
        let outcome = self.json();
        let issues = outcome["issue"].as_array().cloned().unwrap_or_default();
        let of = |issue: &Value| match &issue[member] {
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            value => value.as_str().unwrap_or_default().to_owned(),
        };
        issues.iter().map(of).collect()
    }

    pub fn codes(&self) -> Vec<String> {
        self.issues("code")
    }

    pub fn expressions(&self) -> Vec<String> {
        self.issues("expression")
    }

    pub fn diagnostics(&self) -> String {
        self.issues("diagnostics").join("\n")
    }

    /// The logical id of the resource in the body.
    #[track_caller]
    pub fn id(&self) -> String {
        self.json()["id"].as_str().unwrap_or_else(|| panic!("{}: no id: {}", self.asked, self.text())).to_owned()
    }

    pub fn version(&self) -> i64 {
        let etag = self.header("etag");
        etag.trim_start_matches("W/")
            .trim_matches('"')
            .parse()
            .unwrap_or_else(|_| panic!("{}: ETag {etag}", self.asked))
    }

    /// Resources of a Bundle.
    pub fn resources(&self) -> Vec<Value> {
        let bundle = self.json();
        bundle["entry"].as_array().into_iter().flatten().map(|entry| entry["resource"].clone()).collect()
    }

    pub fn ids(&self) -> Vec<String> {
        self.resources().iter().filter_map(|resource| resource["id"].as_str().map(str::to_owned)).collect()
    }

    pub fn total(&self) -> Option<u64> {
        self.json()["total"].as_u64()
    }

    /// Address of a link of a Bundle.
    pub fn link(&self, relation: &str) -> Option<String> {
        let bundle = self.json();
        let links = bundle["link"].as_array()?;
        links.iter().find(|link| link["relation"] == relation)?["url"].as_str().map(str::to_owned)
    }
}

/// One caller: a base address and perhaps a token.
#[derive(Clone, Debug)]
pub struct Fhir {
    /// `http://127.0.0.1:8080`
    pub root: String,
    pub token: Option<String>,
}

impl Fhir {
    pub fn new(root: &str, token: Option<String>) -> Fhir {
        Fhir { root: root.trim_end_matches('/').to_owned(), token }
    }

    /// `path` starts with `/` for an address under the root, with `http` for a whole one; else it is under `/fhir`.
    fn url(&self, path: &str) -> String {
        match path {
            _ if path.starts_with("http") => path.to_owned(),
            _ if path.starts_with('/') => format!("{}{path}", self.root),
            "" => format!("{}/fhir", self.root),
            _ => format!("{}/fhir/{path}", self.root),
        }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Reply {
        self.attempt(method, path, headers, body).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// The same, where the connection may break.
    pub async fn attempt(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Reply, String> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let url = self.url(path);
        let mut request = CLIENT.request(method.clone(), &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.map_err(|e| format!("{e:?}"))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.map_err(|e| e.to_string())?.to_vec();
        Ok(Reply { status, headers, body, asked: format!("{method} {url}") })
    }

    /// The same, where the server may die in the middle.
    pub async fn try_send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Option<u16> {
        let mut request = CLIENT.request(Method::from_bytes(method.as_bytes()).expect("a method"), self.url(path));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", FHIR_JSON).body(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        response.bytes().await.ok().map(|_| status)
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], None).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", path, headers, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        self.raw("POST", path, headers, &body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.put_with(path, &[], body).await
    }

    pub async fn put_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        self.raw("PUT", path, headers, &body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], None).await
    }

    /// A FHIR JSON body as it is written: digits and order of members are the test's.
    pub async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut all = vec![("content-type", FHIR_JSON)];
        all.extend_from_slice(headers);
        self.send(method, path, &all, Some(body.as_bytes().to_vec())).await
    }

    /// Creates and gives back the resource as it is stored.
    pub async fn create(&self, resource: Value) -> Value {
        let resource_type = resource["resourceType"].as_str().expect("resourceType").to_owned();
        self.post(&resource_type, &resource).await.expect(201).json()
    }

    /// All resources of a search, following `next` to the end. The pages are as the server cuts them.
    pub async fn all(&self, path: &str) -> Vec<Vec<Value>> {
        let mut pages = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = self.get(&path).await.expect(200);
            pages.push(page.resources());
            next = page.link("next");
            assert!(pages.len() < 1000, "{path}: the pages do not end");
        }
        pages
    }
}

impl Fhir {
    /// Waits until pollers are told of what was written at this time: other tests write too, and slowly.
    pub async fn told(&self, updated: &str) {
        let started = Instant::now();
        loop {
            let history = self.get("Patient/_history?_count=1").await.expect(200).json();
            let until = history["meta"]["lastUpdated"].as_str().unwrap_or_default().to_owned();
            let time = |text: &str| text.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
            // A process that joins promises a little less than now.
            if time(&until) >= time(updated) + 300 {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "pollers are told of nothing younger than {until}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Nobody.
pub fn anonymous() -> Fhir {
    Fhir::new(&server().http(), None)
}

/// Younger than this a token of any configuration is good.
const FRESH: Duration = Duration::from_secs(200);

/// The login of a role on the shared server (integracion: its client).
pub async fn fhir(rol: &str) -> Fhir {
    static TOKENS: LazyLock<Mutex<HashMap<String, (Fhir, Instant)>>> = LazyLock::new(Mutex::default);
    let mut tokens = TOKENS.lock().await;
    if let Some((fhir, made)) = tokens.get(rol)
        && made.elapsed() < FRESH
    {
        return fhir.clone();
    }
    let fhir = signed_in(server(), rol).await;
    tokens.insert(rol.to_owned(), (fhir.clone(), Instant::now()));
    fhir
}

/// A new token of the login of a role.
pub async fn signed_in(instance: &Instance, rol: &str) -> Fhir {
    if rol == "integracion" {
        let (id, secret) = instance.client();
        return client_credentials(&instance.http(), &id, &secret).await;
    }
    let (usuario, clave) = instance.login(rol);
    login(&instance.http(), &usuario, &clave).await
}

pub async fn client_credentials(root: &str, id: &str, secret: &str) -> Fhir {
    let nobody = Fhir::new(root, None);
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let reply = nobody.send("POST", "/oauth/token", &headers, Some(form.into_bytes())).await.expect(200);
    Fhir { token: reply.json()["access_token"].as_str().map(str::to_owned), ..nobody }
}

pub async fn login(root: &str, usuario: &str, clave: &str) -> Fhir {
    let nobody = Fhir::new(root, None);
    let body = json!({"usuario": usuario, "clave": clave}).to_string();
    let reply = nobody
        .send("POST", "/login", &[("content-type", "application/json")], Some(body.into_bytes()))
        .await
        .expect(200);
    Fhir { token: reply.json()["access_token"].as_str().map(str::to_owned), ..nobody }
}

/// An account of a test's own, with its password, made at the command line.
pub fn account(instance: &Instance, rol: &str, documento: &str, patient: Option<&str>) -> (String, String) {
    let (usuario, clave) = (format!("{rol}-{}", crate::harness::unique()), "una frase bastante larga 7".to_owned());
    let mut arguments = vec![
        "user",
        "add",
        "--rol",
        rol,
        "--usuario",
        &usuario,
        "--documento",
        documento,
        "--nombre",
        "De Prueba",
        "--clave-stdin",
    ];
    if let Some(patient) = patient {
        arguments.extend(["--paciente", patient]);
    }
    let data_dir = instance.data_dir.to_str().unwrap();
    let output = command(&arguments, &[("HISTORIA_DATA_DIR", data_dir)], &format!("{clave}\n"));
    assert!(output.status.success(), "user add: {}", String::from_utf8_lossy(&output.stderr));
    (usuario, clave)
}

/// Signs in as the patient.
pub async fn as_patient(patient: &str) -> Fhir {
    let documento = format!("CC-{}", crate::harness::unique());
    let (usuario, clave) = account(server(), "paciente", &documento, Some(patient));
    login(&server().http(), &usuario, &clave).await
}
