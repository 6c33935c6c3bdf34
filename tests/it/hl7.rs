//! HL7 v2 admissions over MLLP and HTTP (issue 3, Must show 4): exactly once in effect, whatever the network does.

use crate::harness::fhir::signed_in;
use crate::harness::hl7::{Visit, accepted, code, refusal, segment};
use crate::harness::instance::{Folder, Start};
use crate::harness::mllp::{Mllp, framed};
use crate::harness::{Fhir, Reply, fhir, run, server, skip, unique};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

async fn connect() -> Mllp {
    Mllp::connect(&server().mllp()).await
}

/// The one Patient of a document, and its Encounters.
async fn record(medico: &Fhir, document: &str) -> (Value, Vec<Value>) {
    let patients = medico.get(&format!("Patient?identifier={document}")).await.expect(200).resources();
    assert_eq!(patients.len(), 1, "Patients of the document");
    let id = patients[0]["id"].as_str().unwrap();
    let encounters = medico.get(&format!("Encounter?patient={id}")).await.expect(200).resources();
    (patients[0].clone(), encounters)
}

fn version(resource: &Value) -> &str {
    resource["meta"]["versionId"].as_str().unwrap()
}

#[test]
fn h058_h071_a01_a08_a03_of_one_visit_are_one_patient_and_one_finished_encounter() {
    run(async {
        let medico = fhir("medico").await;
        let mut mllp = connect().await;
        let visit = Visit::new();
        let [first, second, third] = [unique(), unique(), unique()];
        let a01 = visit.a01(&first);
        let ack = mllp.ask(a01.as_bytes()).await;
        accepted(&ack, &first);
        let msh = segment(&ack, "MSH");
        assert_eq!(
            (msh[3].as_str(), msh[5].as_str(), msh[9].as_str()),
            ("HISTORIA", "HIS", "ACK^A01^ACK"),
            "{}",
            String::from_utf8_lossy(&ack)
        );
        let (patient, encounters) = record(&medico, &visit.document).await;
        assert_eq!(patient["name"][0]["family"], "MUÑOZ PEÑA");
        assert_eq!(patient["birthDate"], "1984-02-29");
        assert_eq!(encounters.len(), 1);
        assert_eq!(
            (encounters[0]["status"].as_str(), encounters[0]["class"]["code"].as_str()),
            (Some("in-progress"), Some("IMP"))
        );
        assert_eq!(encounters[0]["period"]["start"], "2024-03-01T08:10:00-05:00");

        accepted(&mllp.ask(visit.a08(&second, "CARRERA 7 # 12-34").as_bytes()).await, &second);
        let (patient, _) = record(&medico, &visit.document).await;
        assert!(patient["address"].to_string().contains("CARRERA 7"), "{patient}");

        accepted(&mllp.ask(visit.a03(&third).as_bytes()).await, &third);
        let (patient, encounters) = record(&medico, &visit.document).await;
        assert_eq!(encounters.len(), 1);
        assert_eq!(encounters[0]["status"], "finished");
        assert_eq!(encounters[0]["period"]["end"], "2024-03-05T16:00:00-05:00");

        // The A01 three times more: the same bytes back, nothing changed, on this and on other connections.
        for n in 0..3 {
            let again = if n == 0 { mllp.ask(a01.as_bytes()).await } else { connect().await.ask(a01.as_bytes()).await };
            assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&ack));
        }
        let (after, encounters_after) = record(&medico, &visit.document).await;
        assert_eq!((after, encounters_after), (patient, encounters));
    });
}

#[test]
fn h100_a04_registers_an_outpatient() {
    run(async {
        let medico = fhir("medico").await;
        let (visit, control) = (Visit::new(), unique());
        accepted(&connect().await.ask(visit.a04(&control).as_bytes()).await, &control);
        let (_, encounters) = record(&medico, &visit.document).await;
        assert_eq!(encounters.len(), 1);
        assert_eq!(encounters[0]["class"]["code"], "AMB");
    });
}

#[test]
fn h002_h003_packets_are_no_messages() {
    run(async {
        let medico = fhir("medico").await;
        let mut mllp = connect().await;
        let (one, two) = (Visit::new(), Visit::new());
        let [first, second, third] = [unique(), unique(), unique()];
        // Two in one packet: two answers, in order.
        let both = [framed(one.a01(&first).as_bytes()), framed(two.a01(&second).as_bytes())].concat();
        mllp.packet(&both).await;
        accepted(&mllp.answer().await.unwrap(), &first);
        accepted(&mllp.answer().await.unwrap(), &second);
        // One in five packets, cut in the middle of a letter and of the end of the frame.
        let frame = framed(one.a08(&third, "CALLE Ñ").as_bytes());
        let letter = frame.windows(2).position(|pair| pair == "Ñ".as_bytes()).unwrap() + 1;
        let cuts = [0, 1, letter, letter + 20, frame.len() - 1, frame.len()];
        for pair in cuts.windows(2) {
            mllp.packet(&frame[pair[0]..pair[1]]).await;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        accepted(&mllp.answer().await.unwrap(), &third);
        let (patient, _) = record(&medico, &one.document).await;
        assert!(patient["address"].to_string().contains("CALLE Ñ"), "{patient}");
        record(&medico, &two.document).await;
    });
}

#[test]
fn h072_other_bytes_under_a_used_control_id_are_never_applied() {
    run(async {
        let medico = fhir("medico").await;
        let mut mllp = connect().await;
        let (visit, control) = (Visit::new(), unique());
        let ack = mllp.ask(visit.a01(&control).as_bytes()).await;
        accepted(&ack, &control);
        let before = record(&medico, &visit.document).await;
        let other = visit.a08(&control, "OTRA DIRECCIÓN");
        assert_eq!(refusal(&mllp.ask(other.as_bytes()).await), ("AE".to_owned(), "205".to_owned()));
        assert_eq!(record(&medico, &visit.document).await, before);
        // Again: refused again. The first is still answered as it was.
        assert_eq!(refusal(&mllp.ask(other.as_bytes()).await).1, "205");
        assert_eq!(mllp.ask(visit.a01(&control).as_bytes()).await, ack);
        // The key has the sender in it: the same control id of another facility is another message.
        let mut elsewhere = Visit::new();
        elsewhere.facility = "CLINICA".to_owned();
        accepted(&mllp.ask(elsewhere.a01(&control).as_bytes()).await, &control);
    });
}

#[test]
fn h034_h061_what_cannot_be_applied_is_answered_and_changes_nothing() {
    run(async {
        let mut mllp = connect().await;
        let visit = Visit::new();
        let base = || visit.a01(&unique());
        for (message, kind, name) in [
            (base().replace("ADT^A01^ADT_A01", "ORU^R01^ORU_R01"), "AR", "type"),
            (base().replace("ADT^A01^ADT_A01", "ADT^A99^ADT_A01"), "AR", "event"),
            (base().replace("|P|2.5.1", "|P|9.9"), "AR", "version"),
            (base().replace("|P|2.5.1", "|X|2.5.1"), "AR", "processing id"),
            (base().replace("PID|1|", "ZZZ|1|"), "AE", "no PID"),
            (base().replace(&format!("{}^^^RNEC^CC", visit.document), ""), "AE", "no identity"),
            (base().replace("19840229", "19840230"), "AE", "birth date"),
            (base().replace("19840229", "20990101"), "AE", "birth in the future"),
            (base().replace("MUÑOZ", &"N".repeat(201)), "AE", "a name that is none"),
        ] {
            let ack = mllp.ask(message.as_bytes()).await;
            let (got, err) = refusal(&ack);
            assert_eq!(got, kind, "{name}: {}", String::from_utf8_lossy(&ack));
            assert!(!err.is_empty(), "{name}: no ERR-3");
            let ack = String::from_utf8_lossy(&ack);
            assert!(!ack.contains("MUÑOZ") && !ack.contains("NNNN"), "{name}: values in the answer");
            if let Some((_, place)) = [("birth in the future", "PID^1^7"), ("a name that is none", "PID^1^5^1^1")]
                .iter()
                .find(|(known, _)| *known == name)
            {
                assert!(ack.contains(place), "{name}: {ack}");
            }
        }
        assert_eq!(
            fhir("medico").await.get(&format!("Patient?identifier={}", visit.document)).await.expect(200).ids().len(),
            0
        );
        // Without MSH there is nobody to answer; the connection goes on.
        mllp.packet(&framed(b"PID|1||x")).await;
        let control = unique();
        accepted(&mllp.ask(visit.a01(&control).as_bytes()).await, &control);
    });
}

#[test]
fn h003_a_message_may_be_cut_anywhere() {
    run(async {
        let (visit, control) = (Visit::new(), unique());
        let message = visit.a01(&control);
        let mut mllp = connect().await;
        let ack = mllp.ask(message.as_bytes()).await;
        accepted(&ack, &control);
        let frame = framed(message.as_bytes());
        // At the ends of the frame each offset, in between every thirtieth: a resend, so the answer is known to the byte.
        let ends = (1..6).chain(frame.len() - 6..frame.len());
        for at in ends.chain((6..frame.len() - 6).step_by(30)) {
            mllp.packet(&frame[..at]).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
            mllp.packet(&frame[at..]).await;
            assert_eq!(mllp.answer().await.as_ref(), Some(&ack), "cut at {at}");
        }
    });
}

#[test]
fn h004_h006_h009_what_is_around_a_frame_does_no_harm() {
    run(async {
        let mut mllp = connect().await;
        let (visit, first) = (Visit::new(), unique());
        mllp.packet(&[b"\r\n  basura ".as_slice(), &framed(visit.a01(&first).as_bytes())].concat()).await;
        accepted(&mllp.answer().await.unwrap(), &first);
        // A frame that was begun and never ended, then a whole one.
        let (second, third) = (unique(), unique());
        mllp.packet(&framed(visit.a08(&unique(), "A MEDIAS").as_bytes())[..60]).await;
        mllp.packet(&framed(visit.a08(&second, "ENTERA").as_bytes())).await;
        accepted(&mllp.answer().await.unwrap(), &second);
        for ending in ["\n", "\r\n"] {
            let control = unique();
            accepted(&mllp.ask(visit.a08(&control, "OTRA").replace('\r', ending).as_bytes()).await, &control);
        }
        // An acknowledgement is not acknowledged: the next answer is that of the next message.
        let ack = format!("MSH|^~\\&|HIS|HOSPITAL|HISTORIA|RED|20240301||ACK^A01^ACK|{}|P|2.5.1\rMSA|AA|1\r", unique());
        mllp.packet(&framed(ack.as_bytes())).await;
        accepted(&mllp.ask(visit.a08(&third, "FIN").as_bytes()).await, &third);
    });
}

#[test]
fn h008_a_frame_over_the_limit_is_refused_and_others_go_on() {
    run(async {
        let mut mllp = connect().await;
        let visit = Visit::new();
        let long = format!("{}NTE|1||{}\r", visit.a01(&unique()), "x".repeat(11 << 20));
        mllp.packet(&framed(long.as_bytes())[..10 << 20]).await;
        mllp.packet(&framed(long.as_bytes())[10 << 20..]).await;
        let ack = mllp.answer().await.expect("an answer: MSH was read");
        assert_eq!(code(&ack).0, "AR", "{}", String::from_utf8_lossy(&ack));
        let control = unique();
        accepted(&connect().await.ask(visit.a01(&control).as_bytes()).await, &control);
    });
}

#[test]
fn h030_other_delimiters_work() {
    run(async {
        let (visit, control) = (Visit::new(), unique());
        let message: String = visit
            .a01(&control)
            .chars()
            .map(|c| match c {
                '|' => '#',
                '^' => '*',
                '#' => ' ',
                c => c,
            })
            .collect();
        let ack = connect().await.ask(message.as_bytes()).await;
        let text = String::from_utf8_lossy(&ack).into_owned();
        assert!(text.starts_with("MSH#*") && text.contains("MSA#AA#") || text.contains("MSA|AA|"), "{text}");
        record(&fhir("medico").await, &visit.document).await;
    });
}

#[test]
fn h031_what_the_header_must_have_is_named() {
    run(async {
        let mut mllp = connect().await;
        // MSH-9, MSH-10, MSH-11, MSH-12 taken away, one at a time.
        for field in [9, 10, 11, 12] {
            let message = Visit::new().a01(&unique());
            let (head, rest) = message.split_once('\r').unwrap();
            let mut fields: Vec<&str> = head.split('|').collect();
            fields[field - 1] = "";
            let ack = mllp.ask(format!("{}\r{rest}", fields.join("|")).as_bytes()).await;
            assert_ne!(code(&ack).0, "AA", "MSH-{field}");
            assert!(
                segment(&ack, "ERR").get(2).is_some_and(|place| place.contains(&format!("MSH^1^{field}"))),
                "MSH-{field}: {}",
                String::from_utf8_lossy(&ack)
            );
        }
    });
}

#[test]
fn h073_one_message_on_two_connections_at_once_has_one_effect() {
    run(async {
        let (visit, control) = (Visit::new(), unique());
        let message = visit.a01(&control);
        let mut tasks = Vec::new();
        for _ in 0..6 {
            let message = message.clone();
            tasks.push(tokio::spawn(async move { connect().await.ask(message.as_bytes()).await }));
        }
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        accepted(&answers[0], &control);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "the answers differ");
        let (patient, encounters) = record(&fhir("medico").await, &visit.document).await;
        assert_eq!((version(&patient), encounters.len(), version(&encounters[0])), ("1", 1, "1"));
    });
}

#[test]
fn h102_another_person_under_the_same_number_is_held() {
    run(async {
        let mut mllp = connect().await;
        let (visit, control) = (Visit::new(), unique());
        accepted(&mllp.ask(visit.a01(&control).as_bytes()).await, &control);
        let other = visit
            .a08(&unique(), "X")
            .replace("MUÑOZ PEÑA^MARÍA^JOSÉ", "RÍOS SOTO^LUIS^")
            .replace("19840229|F", "19500101|M");
        let ack = mllp.ask(other.as_bytes()).await;
        assert_eq!(code(&ack).0, "AE", "{}", String::from_utf8_lossy(&ack));
        let (patient, _) = record(&fhir("medico").await, &visit.document).await;
        assert_eq!((patient["name"][0]["family"].as_str(), version(&patient)), (Some("MUÑOZ PEÑA"), "1"));
    });
}

async fn posted(caller: &Fhir, media: &str, body: Vec<u8>) -> Reply {
    caller.send("POST", "/hl7v2", &[("content-type", media)], Some(body)).await
}

#[test]
fn h070_messages_come_over_http_as_well() {
    run(async {
        let integracion = fhir("integracion").await;
        let (visit, control) = (Visit::new(), unique());
        let message = visit.a01(&control);
        for media in ["application/hl7-v2", "x-application/hl7-v2+er7", "text/plain"] {
            let reply = posted(&integracion, media, message.clone().into_bytes()).await.expect(200);
            assert!(reply.header("content-type").starts_with("application/hl7-v2"));
            accepted(&reply.body, &control);
        }
        let (_, encounters) = record(&fhir("medico").await, &visit.document).await;
        assert_eq!((encounters.len(), version(&encounters[0])), (1, "1"));
        let refused = posted(&integracion, "text/plain", visit.a08(&control, "X").into_bytes()).await.expect(200);
        assert_eq!(refusal(&refused.body), ("AE".to_owned(), "205".to_owned()));
        posted(&integracion, "text/plain", b"hola".to_vec()).await.expect(400);
        posted(&integracion, "application/json", b"{}".to_vec()).await.expect(415);
        posted(&fhir("medico").await, "text/plain", message.clone().into_bytes()).await.expect(403);
        posted(&crate::harness::anonymous(), "text/plain", message.into_bytes()).await.expect(401);
        let long = [b"MSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.5\r".to_vec(), vec![b'x'; 11 << 20]].concat();
        posted(&integracion, "text/plain", long).await.expect(413);
    });
}

#[test]
fn h037_messages_in_latin_1_are_read_as_such() {
    run(async {
        let (visit, control) = (Visit::new(), unique());
        let text = visit.a01(&control).replace("UNICODE UTF-8", "8859/1");
        let bytes: Vec<u8> =
            text.chars().map(|c| u8::try_from(u32::from(c)).expect("a letter of ISO 8859-1")).collect();
        assert!(String::from_utf8(bytes.clone()).is_err());
        accepted(&connect().await.ask(&bytes).await, &control);
        let (patient, _) = record(&fhir("medico").await, &visit.document).await;
        assert_eq!(patient["name"][0]["family"], "MUÑOZ PEÑA");
        assert_eq!(patient["name"][0]["given"][0], "MARÍA");
        // Bytes that are not in the character set that is said.
        let mut broken = visit.a01(&unique()).into_bytes();
        let at = broken.windows(2).position(|pair| pair == "Ñ".as_bytes()).unwrap();
        broken[at + 1] = b'x';
        let ack = connect().await.ask(&broken).await;
        assert_ne!(code(&ack).0, "AA");
    });
}

#[test]
fn h078_a_cut_connection_and_a_resend_are_one_effect() {
    run(async {
        let medico = fhir("medico").await;
        let (visit, control) = (Visit::new(), unique());
        let message = visit.a01(&control);
        let mut mllp = connect().await;
        mllp.packet(&framed(message.as_bytes())).await;
        drop(mllp);
        tokio::time::sleep(Duration::from_millis(300)).await;
        accepted(&connect().await.ask(message.as_bytes()).await, &control);
        let (patient, encounters) = record(&medico, &visit.document).await;
        assert_eq!((version(&patient), encounters.len(), version(&encounters[0])), ("1", 1, "1"));
        // Half a frame has no effect.
        let other = Visit::new();
        let frame = framed(other.a01(&unique()).as_bytes());
        let mut mllp = connect().await;
        mllp.packet(&frame[..frame.len() / 2]).await;
        drop(mllp);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(medico.get(&format!("Patient?identifier={}", other.document)).await.expect(200).ids().len(), 0);
    });
}

#[test]
fn h059_killed_between_commit_and_acknowledgement_a_resend_is_one_effect() {
    const NAME: &str = "h059_killed_between_commit_and_acknowledgement_a_resend_is_one_effect";
    if !cfg!(feature = "failpoints") {
        return skip(NAME, "built without the feature failpoints");
    }
    run(async {
        let folder = Folder::new();
        let (visit, control) = (Visit::new(), unique());
        let message = visit.a01(&control);
        let mut dying = Start::dev().within(&folder.path).with("HISTORIA_TEST_FAILPOINT", "hl7v2-committed").ready();
        let mut mllp = Mllp::connect(&dying.mllp()).await;
        mllp.packet(&framed(message.as_bytes())).await;
        assert_eq!(mllp.answer().await, None, "the acknowledgement left all the same");
        assert!(!dying.ended(Duration::from_secs(20)).success());
        drop(dying);

        let again = Start::dev().within(&folder.path).ready();
        let medico = signed_in(&again, "medico").await;
        let (patient, encounters) = record(&medico, &visit.document).await;
        assert_eq!(encounters.len(), 1, "it was committed");
        accepted(&Mllp::connect(&again.mllp()).await.ask(message.as_bytes()).await, &control);
        assert_eq!(record(&medico, &visit.document).await, (patient, encounters));
    });
}

#[test]
fn the_messages_of_the_repository_are_taken() {
    run(async {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hl7v2");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "hl7"))
            .collect();
        files.sort();
        assert!(files.len() >= 6);
        let mut mllp = connect().await;
        for file in files {
            let message = std::fs::read(&file).unwrap();
            let message: Vec<u8> = message.iter().map(|byte| if *byte == b'\n' { b'\r' } else { *byte }).collect();
            let ack = mllp.ask(&message).await;
            assert_eq!(code(&ack).0, "AA", "{}: {}", file.display(), String::from_utf8_lossy(&ack));
            // They are fixed messages: a second run of the suite on the same database finds their receipts.
            assert_eq!(mllp.ask(&message).await, ack, "{}", file.display());
        }
    });
}

/// A message of somebody born and called otherwise than the person of [`Visit`].
fn of_juan(visit: &Visit, identifiers: &str) -> String {
    let own = format!("{}^^^RNEC^CC", visit.document);
    visit
        .a01(&unique())
        .replace(&format!("|{own}|"), &format!("|{identifiers}|"))
        .replace("MUÑOZ PEÑA^MARÍA^JOSÉ", "QUEVEDO LARA^JUAN^")
        .replace("19840229|F", "19790112|M")
}

#[test]
fn a_message_takes_no_document_of_another_patient() {
    run(async {
        let (mut mllp, medico) = (connect().await, fhir("medico").await);
        let (gloria, control) = (Visit::new(), unique());
        accepted(&mllp.ask(gloria.a01(&control).as_bytes()).await, &control);
        let juan = Visit::new();
        let (hers, his) = (&gloria.document, &juan.document);
        let cc = |number: &str| format!("{number}^^^RNEC^CC");
        for (identifiers, name) in [
            (format!("{}~{}", cc(his), cc(hers)), "documents"),
            (format!("{}~{}", cc(hers), cc(his)), "documents"),
            (format!("{his}^^^RNEC^TI~{}", cc(hers)), "document-of-another"),
        ] {
            let ack = mllp.ask(of_juan(&juan, &identifiers).as_bytes()).await;
            let text = String::from_utf8_lossy(&ack).into_owned();
            assert_eq!(refusal(&ack), ("AE".to_owned(), "205".to_owned()), "{text}");
            assert!(text.contains("PID^1^3^2^1") && text.contains(name), "{text}");
            assert_eq!(medico.get(&format!("Patient?identifier={his}")).await.expect(200).ids().len(), 0);
        }
        let (patient, _) = record(&medico, hers).await;
        assert_eq!((version(&patient), patient["identifier"].as_array().unwrap().len()), ("1", 1));
        // One that has ended is a former one.
        let former = format!("{}^^^20200101~{}", cc(&unique()), cc(his));
        let message = of_juan(&juan, &former);
        let ack = mllp.ask(message.as_bytes()).await;
        assert_eq!(code(&ack).0, "AA", "{}", String::from_utf8_lossy(&ack));
        let (patient, _) = record(&medico, his).await;
        let official = patient["identifier"].as_array().unwrap().iter().find(|one| one["use"] == "official").unwrap();
        assert_eq!(official["value"], his.as_str());
        assert!(patient["identifier"].as_array().unwrap().iter().any(|one| one["use"] == "old"));
    });
}

#[test]
fn zeros_before_a_number_make_no_second_patient() {
    run(async {
        let (mut mllp, medico) = (connect().await, fhir("medico").await);
        let (mut visit, control) = (Visit::new(), unique());
        visit.document =
            format!("6{:07}", visit.document.bytes().fold(7_u64, |n, b| (n * 31 + u64::from(b)) % 10_000_000));
        accepted(&mllp.ask(visit.a01(&control).as_bytes()).await, &control);
        let bare = visit.document.clone();
        let again = Visit { document: format!("0{bare}"), visit: Visit::new().visit, ..visit.clone() };
        let control = unique();
        accepted(&mllp.ask(again.a01(&control).as_bytes()).await, &control);
        let (patient, encounters) = record(&medico, &bare).await;
        assert_eq!((encounters.len(), patient["identifier"].as_array().unwrap().len()), (2, 1));
        assert_eq!(medico.get(&format!("Patient?identifier=0{bare}")).await.expect(200).ids().len(), 0);
    });
}

#[test]
fn a_name_that_turns_what_stands_beside_it_and_a_visit_to_come_are_said() {
    run(async {
        let mut mllp = connect().await;
        let visit = Visit::new();
        let ack = mllp.ask(visit.a01(&unique()).replace("MUÑOZ", "MU\u{202e}ÑOZ").as_bytes()).await;
        let text = String::from_utf8_lossy(&ack).into_owned();
        assert_eq!(code(&ack).0, "AE", "{text}");
        assert!(text.contains("PID^1^5^1^1") && text.contains("control-character"), "{text}");
        let ack = mllp.ask(visit.a01(&unique()).replace("20240301081000", "20980301081000").as_bytes()).await;
        let text = String::from_utf8_lossy(&ack).into_owned();
        assert_eq!(code(&ack).0, "AA", "{text}");
        assert!(text.contains("PV1^1^44") && text.contains("visit-future"), "{text}");
    });
}
