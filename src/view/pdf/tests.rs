//! The document of the composed patient: its text by poppler's pdftotext where that is installed, its pages anyway.

use super::*;
use crate::fhir::documento::Systems;
use crate::i18n::Language;
use crate::view::record::{Sees, tests::SAMPLE};
use jiff::tz::Offset;
use std::process::Command;

fn house() -> Institution {
    let text = str::to_owned;
    Institution {
        name: text("Hospital Cerro Claro"),
        nit: text("000.000.000-0"),
        code: text("0000000000-01"),
        address: text("Calle 00 # 00-00, Bogotá, D. C."),
        telephone: text("(601) 000 0000"),
    }
}

fn reader(language: Language) -> Reader {
    Reader { language, offset: Offset::from_seconds(-5 * 3600).unwrap(), now: "2026-11-23T19:05:00Z".parse().unwrap() }
}

fn document(bundle: &str, language: Language) -> Document {
    let (reader, house) = (reader(language), house());
    let sees = Sees { admission: true, clinical: true, results: true };
    let record = Record::of(bundle.as_bytes(), &reader, &Systems::default(), "http://h/fhir", sees).unwrap();
    render(
        &record,
        &Export {
            reader: &reader,
            institution: &house,
            by: "Julián Ñáñez Ospina",
            role: "medico",
            code: "7F3K-92QD-M4XA",
        },
    )
    .unwrap()
}

/// The text of a document, blanks made one; none when poppler is not here.
fn text(document: &Document) -> Option<String> {
    let path = std::env::temp_dir().join(format!("historia-{}.pdf", crate::clock::uuid()));
    std::fs::write(&path, &document.bytes).unwrap();
    let run = Command::new("pdftotext").args(["-raw", &path.display().to_string(), "-"]).output();
    // For people who want to look at it.
    if let Ok(folder) = std::env::var("HISTORIA_TEST_PDF") {
        let _ = std::fs::copy(&path, format!("{folder}/{}-pages.pdf", document.pages));
    }
    let _ = std::fs::remove_file(&path);
    let text = String::from_utf8(run.ok()?.stdout).unwrap();
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn the_document_holds_every_datum() {
    let document = document(SAMPLE, Language::Es);
    assert!(document.bytes.starts_with(b"%PDF-") && document.pages >= 3, "{} pages", document.pages);
    assert_eq!(document.missing, 0);
    let Some(text) = text(&document) else {
        println!("SKIP the_document_holds_every_datum: pdftotext is not installed");
        return;
    };
    let wanted = [
        "Hospital Cerro Claro",
        "NIT 000.000.000-0 · Código de prestador 0000000000-01",
        "Muñoz Peñaranda, Gloria Inés",
        "CC 51.999.208",
        "14 mar 1968 · 58 años",
        "Bogotá, D. C. (11001)",
        "Penicilina: anafilaxia, grave, riesgo alto (2009)",
        "Neumonía adquirida en la comunidad",
        "J189",
        "750 mg cada 48 h, oral",
        "día 4 de 7",
        "suspendido",
        "Química sanguínea · 23 nov 2026, 12:48",
        "crítico alto",
        "3,5 a 5,1",
        "menos de 5",
        "10³/µL",
        "preliminar",
        "corregido",
        "Sin crecimiento a las 72",
        "negativo",
        "Presión arterial",
        "118/70",
        "142/86",
        "72,50",
        "SpO₂",
        "Hemoglobina A1c, % · ref. 4,0 a 6,0",
        "14 a 19 ene 2025",
        "20 nov 2026, 12:32, en curso",
        "Consolidación basal derecha con broncograma aéreo",
        "Colecistectomía laparoscópica",
        "Influenza, trivalente",
        "lote LT-0042",
        "Potasio de control",
        "Consentimiento informado",
        "Plan de diabetes",
        "Nunca ha fumado",
        "Lucía Ñáñez Muñoz · hija · 300 000 0418",
        "Exportó: Julián Ñáñez Ospina, médico · 23 nov 2026, 14:05 · Código 7F3K-92QD-M4XA",
        "Documento reservado (Ley 23 de 1981, art. 34)",
        "continuación",
        "Continúa en la página 2.",
        "1 registro hecho por error no se muestra",
    ];
    let missing: Vec<&str> = wanted.into_iter().filter(|wanted| !text.contains(wanted)).collect();
    assert!(missing.is_empty(), "{missing:?}\n{text}");
    assert!(text.contains(&format!("Página {0} de {0}", document.pages)) && !text.contains("No debe verse"));
}

#[test]
fn what_has_no_glyph_is_counted_and_nothing_breaks() {
    let long = "palabra ".repeat(9_000);
    let bundle = format!(
        r#"{{"entry": [{{"resource": {{"resourceType": "Patient", "id": "p", "name": [{{"family": "漢字\u0007 ≥ −5"}}]}}, "search": {{"mode": "match"}}}},
        {{"resource": {{"resourceType": "Condition", "id": "c", "code": {{"text": "{long}"}}}}, "search": {{"mode": "match"}}}},
        {{"resource": {{"resourceType": "Condition", "id": "d", "code": {{"text": "{}"}}}}, "search": {{"mode": "match"}}}}]}}"#,
        "x".repeat(3_000)
    );
    let document = document(&bundle, Language::En);
    // The name stands in the block and in the head of each later page.
    assert_eq!(document.missing, 2 * document.pages);
    assert!(document.pages > 5, "{} pages", document.pages);
    let Some(text) = text(&document) else { return };
    assert_eq!(text.matches("palabra").count(), 9_000);
    assert!(text.contains("≥ −5") && text.contains("No medication is recorded."), "{text}");
    assert!(text.contains("[U+6F22][U+5B57]") && text.contains("printed as their code"), "{text}");
}
