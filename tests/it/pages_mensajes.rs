//! What comes by HL7 v2 at the desk of admission: among the arrivals, and as messages with what was wrong.

use crate::harness::browser::Browser;
use crate::harness::hl7::{Visit, accepted};
use crate::harness::mllp::Mllp;
use crate::harness::{run, server, unique};
use crate::pages_admission::{shows, surname};

#[test]
fn who_comes_by_hl7_is_among_the_arrivals() {
    run(async {
        let Some(address) =
            server().ready["mllp"].as_str().and_then(|mllp| mllp.strip_prefix("mllp://")).map(str::to_owned)
        else {
            return;
        };
        let visit = Visit { family: surname().to_uppercase(), ..Visit::new() };
        let control = unique();
        let today = jiff::Timestamp::now()
            .to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(-5)))
            .strftime("%Y%m%d")
            .to_string();
        let message =
            visit.a01(&control).replace("20240301", &today).replace("081000", "000100").replace("081500", "000200");
        accepted(&Mllp::connect(&address).await.ask(message.as_bytes()).await, &control);
        let mut clerk = Browser::of("admisionista").await;
        let arrivals = clerk.get("/admision/llegadas?todas=1&filtro=hospitalizacion").await.expect(200).text();
        let row =
            arrivals.split("<tr>").find(|row| row.contains(&visit.family)).unwrap_or_else(|| panic!("{arrivals}"));
        assert!(row.contains("badge origin") && row.contains("HL7") && row.contains("00:01"), "{row}");
        assert!(
            !clerk.get("/admision/llegadas?todas=1&filtro=consulta").await.expect(200).text().contains(&visit.family)
        );
    });
}

#[test]
fn messages_of_today_are_listed_with_what_was_wrong() {
    run(async {
        let Some(address) =
            server().ready["mllp"].as_str().and_then(|mllp| mllp.strip_prefix("mllp://")).map(str::to_owned)
        else {
            return;
        };
        let (good, bad) = (unique(), unique());
        let visit = Visit { family: surname().to_uppercase(), ..Visit::new() };
        accepted(&Mllp::connect(&address).await.ask(visit.a01(&good).as_bytes()).await, &good);
        let pid = |message: String| {
            let segments = message.split('\r').map(|segment| match segment.starts_with("PID|") {
                true => "PID|1||||NADIE^NADIE",
                false => segment,
            });
            segments.collect::<Vec<_>>().join("\r")
        };
        Mllp::connect(&address).await.ask(pid(Visit::new().a01(&bad)).as_bytes()).await;
        let mut clerk = Browser::of("admisionista").await;
        let all = clerk.get("/admision/mensajes").await.expect(200);
        shows(&all, &good);
        let failed = clerk.get("/admision/mensajes?error=1").await.expect(200);
        shows(&failed, &bad);
        shows(&failed, "PID-3: ");
        assert!(!failed.text().contains(&good) && !failed.text().contains("NADIE"));
        shows(&clerk.get("/admision").await.expect(200), "con error</a>");
        Browser::of("medico").await.get("/admision/mensajes").await.expect(403);
    });
}
