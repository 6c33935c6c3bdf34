//! Three instances against one cluster are one server.

use crate::harness::cluster::cluster;
use crate::harness::data::patient_with;
use crate::harness::database::{connect, count};
use crate::harness::fhir::signed_in;
use crate::harness::hl7::{Visit, accepted};
use crate::harness::{Fhir, Start, run, skip, unique};

const CREATES: usize = 100;

#[test]
fn three_instances_are_one_server() {
    let Some(cluster) = cluster() else { return skip("three_instances_are_one_server", "extension not installed") };
    let first = Start::dev().with("DATABASE_URL", &cluster.url).ready();
    let others = [Start::serve(&cluster.url).ready(), Start::serve(&cluster.url).ready()];
    run(async {
        let integracion = signed_in(&first, "integracion").await;
        let everywhere = |token: &Fhir| -> Vec<Fhir> {
            let at = |root: String| Fhir::new(&root, token.token.clone());
            std::iter::once(first.http()).chain(others.iter().map(|other| other.http())).map(at).collect()
        };
        let all = everywhere(&integracion);
        one_resource(&all).await;
        one_effect(&all, &cluster.url).await;
        let medico = signed_in(&first, "medico").await;
        for at in everywhere(&medico) {
            at.get("Patient?_count=1").await.expect(200);
        }
        everywhere(&medico)[1].send("POST", "/logout", &[], None).await.expect(204);
        for at in everywhere(&medico) {
            at.get("Patient?_count=1").await.expect(401);
        }
    });
}

/// Of a hundred conditional creates of one person, one creates.
async fn one_resource(all: &[Fhir]) {
    let number = unique();
    let (person, criteria) = (patient_with(&number), format!("identifier=https://www.registraduria.gov.co|{number}"));
    let mut asked = Vec::new();
    for n in 0..CREATES {
        let (fhir, person, criteria) = (all[n % all.len()].clone(), person.clone(), criteria.clone());
        asked.push(tokio::spawn(async move {
            // Who waits too long behind the others is told to come again.
            loop {
                let status = fhir.post_with("Patient", &[("If-None-Exist", &criteria)], &person).await.status;
                if status != 503 {
                    return status;
                }
            }
        }));
    }
    let mut statuses = Vec::new();
    for answer in asked {
        statuses.push(answer.await.unwrap());
    }
    let of = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((of(201), of(200)), (1, CREATES - 1), "{statuses:?}");
    for fhir in all {
        assert_eq!(fhir.get(&format!("Patient?{criteria}")).await.expect(200).ids().len(), 1);
    }
}

/// One message at all of them at once is applied once, and answered by the same bytes.
async fn one_effect(all: &[Fhir], url: &str) {
    let (visit, control) = (Visit::new(), unique());
    let message = visit.a01(&control).into_bytes();
    let send = |fhir: &Fhir| {
        let (fhir, message) = (fhir.clone(), message.clone());
        tokio::spawn(async move {
            fhir.send("POST", "/hl7v2", &[("content-type", "application/hl7-v2")], Some(message)).await.expect(200).body
        })
    };
    let sent: Vec<_> = all.iter().chain(all).map(send).collect();
    let mut answers = Vec::new();
    for answer in sent {
        answers.push(answer.await.unwrap());
    }
    accepted(&answers[0], &control);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "each gets the same acknowledgement");
    let client = connect(url).await.unwrap();
    assert_eq!(count(&client, "select count(*) from hl7_message where control_id = $1", &[&control]).await, 1);
    assert_eq!(all[2].get(&format!("Patient?identifier={}", visit.document)).await.expect(200).ids().len(), 1);
}
