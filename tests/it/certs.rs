//! HTTPS of one's own for the local network: `historia certs`, the servers that use it, `/conectar`.
//!
//! Nothing but 127.0.0.1 is listened on or talked to.

use crate::harness::instance::{Folder, Instance, Start, command};
use crate::harness::{anonymous, run, skip};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

fn certs(folder: &Folder, arguments: &[&str]) -> Output {
    let place = folder.path.to_str().unwrap();
    command(&[&["certs"], arguments].concat(), &[("HISTORIA_DATA_DIR", place)], "")
}

fn made(folder: &Folder, arguments: &[&str]) -> Value {
    let output = certs(folder, &[&["--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What openssl says, and whether it was content; none where it is not installed.
fn openssl(arguments: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("openssl").args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn certificates_are_made_kept_and_renewed() {
    let folder = Folder::new();
    let first = made(&folder, &["--name", "Sala.Local", "--address", "192.168.77.1"]);
    assert!(first["authority"]["made"] == true && first["certificate"]["made"] == true, "{first}");
    let names: Vec<&str> = first["names"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for name in ["localhost", "127.0.0.1", "::1", "sala.local", "192.168.77.1"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let addresses = first["addresses"].to_string();
    assert!(addresses.contains("https://192.168.77.1:8443") && addresses.contains("https://sala.local:8443"));
    let tls = folder.path.join("tls");
    let read = |name: &str| std::fs::read(tls.join(name)).unwrap();
    let mode = |name: &str| std::fs::metadata(tls.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("ca.key"), mode("server.key")), (0o700, 0o600, 0o600));
    let all = |names: [&str; 4]| names.map(read);
    let files = ["ca.crt", "ca.key", "server.crt", "server.key"];
    let before = all(files);

    let again = made(&folder, &[]);
    assert!(again["authority"]["made"] == false && again["certificate"]["made"] == false, "{again}");
    assert_eq!(all(files), before);
    let renewed = made(&folder, &["--renew"]);
    assert!(renewed["authority"]["made"] == false && renewed["certificate"]["made"] == true);
    assert!(renewed["names"].as_array().unwrap().iter().any(|name| name == "sala.local"), "what was asked for stays");
    let after = all(files);
    assert!(after[..2] == before[..2] && after[2] != before[2] && after[3] != before[3]);
    assert_eq!(renewed["authority"]["sha256"], first["authority"]["sha256"]);

    let shown = String::from_utf8(certs(&folder, &[]).stdout).unwrap();
    assert!(shown.contains(first["authority"]["sha256"].as_str().unwrap()) && shown.contains("kept"), "{shown}");
    for wrong in [["--name", "192.168.1.1"], ["--address", "0.0.0.0"], ["--name", "https://x"]] {
        assert_eq!(certs(&folder, &wrong).status.code(), Some(2), "{wrong:?}");
    }
    let outside = certs(&folder, &["--name", "www.example.com"]);
    let said = String::from_utf8_lossy(&outside.stderr);
    assert!(outside.status.code() == Some(3) && said.contains("may not sign for www.example.com"), "{said}");
    assert_eq!(all(files), after);
}

#[test]
fn openssl_takes_them_with_the_authority_and_not_without() {
    let folder = Folder::new();
    let first = made(&folder, &["--name", "sala.local"]);
    let (ca, leaf) = (folder.path.join("tls/ca.crt"), folder.path.join("tls/server.crt"));
    let (ca, leaf) = (text(&ca), text(&leaf));
    let Some((_, shown)) = openssl(&[
        "x509",
        "-in",
        leaf,
        "-noout",
        "-text",
        "-ext",
        "subjectAltName,extendedKeyUsage,basicConstraints,keyUsage",
    ]) else {
        return skip("certs::openssl_takes_them_with_the_authority_and_not_without", "openssl is not installed");
    };
    for part in ["DNS:localhost", "DNS:sala.local", "IP Address:127.0.0.1", "Server Authentication", "CA:FALSE"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.contains("prime256v1") && shown.contains("ecdsa-with-SHA256"), "{shown}");
    let verify = |more: &[&str]| openssl(&[&["verify", "-x509_strict"], more, &[leaf]].concat()).unwrap();
    for name in [["-verify_hostname", "sala.local"], ["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"]] {
        let (good, said) = verify(&[&["-CAfile", ca, "-purpose", "sslserver"], &name[..]].concat());
        assert!(good, "{name:?}: {said}");
    }
    assert!(!verify(&["-CAfile", ca, "-verify_hostname", "example.com"]).0);
    assert!(!verify(&["-no-CAfile", "-no-CApath", "-no-CAstore"]).0, "nobody else vouches for it");
    // In days from now: at most 398 in all, with the one before.
    let ends = |file: &str, days: u64| {
        !openssl(&["x509", "-in", file, "-noout", "-checkend", &(days * 86_400).to_string()]).unwrap().0
    };
    assert!(!ends(leaf, 394) && ends(leaf, 397), "{shown}");
    assert!(!ends(ca, 3_648) && ends(ca, 3_651));
    let (_, fingerprint) = openssl(&["x509", "-in", ca, "-noout", "-fingerprint", "-sha256"]).unwrap();
    assert!(fingerprint.contains(first["authority"]["sha256"].as_str().unwrap()), "{fingerprint}");
    let (_, constraints) = openssl(&["x509", "-in", ca, "-noout", "-ext", "nameConstraints,basicConstraints"]).unwrap();
    for part in ["CA:TRUE, pathlen:0", "IP:192.168.0.0/255.255.0.0", "DNS:local"] {
        assert!(constraints.contains(part), "{part}: {constraints}");
    }
}

fn client(authority: Option<&[u8]>) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60));
    let roots = authority.map(|der| reqwest::Certificate::from_der(der).unwrap());
    builder.tls_certs_only(roots).build().unwrap()
}

/// The matrix that an SVG of ours draws, as a picture for a scanner.
fn picture(page: &str, to: &Path) {
    let page = page.split("<svg role=\"img\"").nth(1).unwrap();
    let path = page.split("<path fill=\"#000\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    let side: usize = page.split("viewBox=\"0 0 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    const SCALE: usize = 6;
    let mut dark = vec![vec![false; side]; side];
    for run in path.split('M').filter(|run| !run.is_empty()) {
        let (x, rest) = run.split_once(' ').unwrap();
        let (y, rest) = rest.split_once('h').unwrap();
        let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
        let length: usize = rest.split('v').next().unwrap().parse().unwrap();
        dark[y][x..x + length].fill(true);
    }
    // https://netpbm.sourceforge.net/doc/pgm.html
    let mut bytes = format!("P5\n{0} {0}\n255\n", side * SCALE).into_bytes();
    for row in &dark {
        let line: Vec<u8> = row.iter().flat_map(|dark| [if *dark { 0 } else { 255 }; SCALE]).collect();
        (0..SCALE).for_each(|_| bytes.extend(&line));
    }
    std::fs::write(to, bytes).unwrap();
}

fn zbarimg(picture: &Path) -> Option<String> {
    let output = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(picture).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn https(instance: &Instance) -> String {
    instance.ready["https"].as_str().expect("https in ready.json").to_owned()
}

#[test]
fn dev_makes_its_own_and_tells_phones() {
    run(async {
        let instance = Start::dev().with("HISTORIA_HTTP__TLS_LISTEN", "127.0.0.1:0").ready();
        let url = https(&instance);
        assert_eq!(instance.ready["fhir"], format!("{url}/fhir"));
        assert!(instance.log().contains(&format!("{url}/conectar")), "{}", instance.log());
        let pem = std::fs::read(instance.data_dir.join("tls/ca.crt")).unwrap();
        let der = reqwest::Certificate::from_pem(&pem).map(|_| pem_body(&pem)).unwrap();
        let phone = client(Some(&der));
        let get = async |path: &str| phone.get(format!("{url}{path}")).send().await.expect(path);

        let reply = get("/conectar").await;
        assert_eq!(reply.status(), 200);
        let page = reply.text().await.unwrap();
        let fingerprint = {
            use sha2::Digest;
            let bytes = sha2::Sha256::digest(&der);
            bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
        };
        assert!(page.contains(&fingerprint) && page.contains(&format!(">{url}</a>")), "{page}");
        let reply = get("/conectar/ca.crt").await;
        assert_eq!(reply.headers()["content-type"], "application/x-x509-ca-cert");
        assert_eq!(reply.bytes().await.unwrap(), der);
        let metadata: Value = get("/fhir/metadata").await.json().await.unwrap();
        assert_eq!(metadata["implementation"]["url"], format!("{url}/fhir"));

        // Who does not trust it, and who does not even speak TLS, is turned away, and the log stays quiet.
        for _ in 0..3 {
            let refused = client(None).get(format!("{url}/livez")).send().await.unwrap_err();
            assert!(format!("{refused:?}").contains("UnknownIssuer"), "{refused:?}");
        }
        let plain = client(None).get(url.replace("https:", "http:")).send().await;
        assert!(plain.is_err() || plain.is_ok_and(|reply| reply.status().is_client_error()));
        assert_eq!(get("/livez").await.status(), 200);
        let log = instance.log();
        assert!(!log.contains("ERROR") && !log.contains("WARN") && !log.contains("panicked"), "{log}");

        let file = instance.data_dir.join("qr.pgm");
        picture(&page, &file);
        match zbarimg(&file) {
            Some(decoded) => assert_eq!(decoded, url),
            None => skip("certs::dev_makes_its_own_and_tells_phones", "zbarimg is not installed: the QR was not read"),
        }
    });
}

/// The bytes of the one block of a PEM.
fn pem_body(pem: &[u8]) -> Vec<u8> {
    use base64::Engine;
    let text = std::str::from_utf8(pem).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

#[test]
fn serve_wants_a_certificate_and_takes_that_of_certs() {
    run(async {
        let folder = Folder::new();
        let place = folder.path.to_str().unwrap().to_owned();
        let env = [
            ("HISTORIA_DATA_DIR", place.as_str()),
            ("HISTORIA_HTTP__LISTEN", "127.0.0.1:0"),
            ("HISTORIA_HTTP__TLS_LISTEN", "127.0.0.1:0"),
            ("HISTORIA_HTTP__PUBLIC_URL", "https://localhost:8443"),
        ];
        let refused = command(&["serve"], &env, "");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            refused.status.code() == Some(3) && said.contains("http.tls_cert") && said.contains("`historia certs`"),
            "{said}"
        );
        made(&folder, &[]);
        let config = command(&["config", "--for", "serve"], &env, "");
        assert_eq!(config.status.code(), Some(0), "{}", String::from_utf8_lossy(&config.stderr));

        let start = Start::serve_alone().within(&folder.path);
        let start = start.with("HISTORIA_HTTP__TLS_LISTEN", "127.0.0.1:0");
        let instance = start.with("HISTORIA_HTTP__PUBLIC_URL", "https://localhost:8443").ready();
        let der = pem_body(&std::fs::read(folder.path.join("tls/ca.crt")).unwrap());
        let reply = client(Some(&der)).get(format!("{}/conectar", https(&instance))).send().await.unwrap();
        let page = reply.text().await.unwrap();
        assert!(page.contains(">https://localhost:8443</a>") && page.contains("/conectar/ca.crt"), "{page}");
    });
}

#[test]
fn with_a_certificate_of_somebody_else_there_is_nothing_to_install() {
    run(async {
        let (folder, other) = (Folder::new(), Folder::new());
        made(&other, &[]);
        let file = |name: &str| -> PathBuf { other.path.join("tls").join(name) };
        let start = Start::dev().within(&folder.path).with("HISTORIA_HTTP__TLS_LISTEN", "127.0.0.1:0");
        let start = start.with("HISTORIA_HTTP__TLS_CERT", text(&file("server.crt")));
        let instance = start.with("HISTORIA_HTTP__TLS_KEY", text(&file("server.key"))).ready();
        assert!(!folder.path.join("tls").exists(), "nothing is made");
        let phone = client(Some(&pem_body(&std::fs::read(file("ca.crt")).unwrap())));
        let get = async |path: &str| phone.get(format!("{}{path}", https(&instance))).send().await.unwrap();
        let page = get("/conectar").await.text().await.unwrap();
        assert!(page.contains("<svg role=\"img\"") && !page.contains("ca.crt"), "{page}");
        assert_eq!(get("/conectar/ca.crt").await.status(), 404);
    });
}

#[test]
fn without_https_the_page_says_what_is_missing() {
    run(async {
        let page = anonymous().get_with("/conectar", &[("accept", "text/html")]).await.expect(200).text();
        if std::env::var("HISTORIA_TEST_URL").is_err() {
            assert!(page.contains("historia certs") && !page.contains("ca.crt"), "{page}");
            anonymous().get("/conectar/ca.crt").await.expect(404);
        }
        anonymous().send("POST", "/conectar", &[], None).await.expect(405);
    });
}
