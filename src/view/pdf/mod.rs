//! The clinical history as PDF: the only place that names printpdf, with a small layout of its own.
//!
//! It draws the same [`Record`] as the page, so that screen and paper cannot differ. Letter, Noto Sans, everything in
//! one pass; the foot of each page is added when their number is known. No PDF/A and no tags: the library has neither.
//!
//! * [`font`]: widths and line breaks. [`sheet`]: drawing on one page. [`paper`]: pages, head and foot.
//! * [`table`], [`chart`]: what sections are made of. [`sections`]: the record, section by section.

mod chart;
mod font;
mod paper;
mod sections;
mod sheet;
mod table;

use crate::config::Institution;
use crate::error::{Error, Result};
use crate::view::format::Reader;
use crate::view::record::Record;
use crate::view::record::clinical::AllergyState;
use crate::view::record::words::joined;
use font::Fonts;
use paper::{Margins, Paper};
use printpdf::{PdfDocument, PdfSaveOptions};

/// Who takes the record out of the house, and from which.
pub struct Export<'e> {
    pub reader: &'e Reader,
    pub institution: &'e Institution,
    /// Name of the person.
    pub by: &'e str,
    /// Code of the role.
    pub role: &'e str,
    /// By which the audit trail finds this document.
    pub code: &'e str,
}

pub struct Document {
    pub bytes: Vec<u8>,
    pub pages: usize,
    /// Characters that none of the fonts has: each was printed as its code, and the last line says so.
    pub missing: usize,
}

/// Draws the record.
pub fn render(record: &Record, export: &Export<'_>) -> Result<Document> {
    let fonts = Fonts::get().ok_or_else(|| Error::internal("the fonts of the PDF cannot be read"))?;
    let mut paper = Paper::new(fonts, margins(record, export));
    sections::draw(&mut paper, record, export.reader);
    if paper.missing() > 0 {
        paper.gap(6.0);
        paper.paragraph(paper::SECOND, export.reader.text("pdf.codes"));
    }
    let (pages, missing) = paper.finish();
    let count = pages.len();
    let mut document = PdfDocument::new(export.reader.text("pdf.title"));
    fonts.embed(&mut document);
    document.metadata.info.creator = "historia".to_owned();
    document.metadata.info.producer = "historia".to_owned();
    document.metadata.info.author = export.institution.name.clone();
    document.metadata.info.identifier = export.code.to_owned();
    document.with_pages(pages);
    let mut warnings = Vec::new();
    let bytes = document.save(&PdfSaveOptions { image_optimization: None, ..PdfSaveOptions::default() }, &mut warnings);
    Ok(Document { bytes, pages: count, missing })
}

fn margins(record: &Record, export: &Export<'_>) -> Margins {
    let (reader, house, who) = (export.reader, export.institution, &record.who);
    let say = |key: &str| reader.text(key);
    let titled =
        |key: &str, text: &str| if text.is_empty() { String::new() } else { reader.fill(key, &[("text", text)]) };
    let numbers = joined([titled("pdf.nit", &house.nit), titled("pdf.provider_code", &house.code)], " · ");
    let reach = joined([&house.address, &house.telephone], " · ");
    let allergies = match record.allergies.state {
        AllergyState::Hidden => String::new(),
        AllergyState::NotAsked => say("pdf.allergies_not_asked").to_owned(),
        AllergyState::NoneKnown => say("pdf.allergies_none").to_owned(),
        AllergyState::Known => {
            let names = record.allergies.items.iter().filter(|item| item.active).map(|item| item.what.to_lowercase());
            titled("pdf.allergies_are", &joined(names, ", "))
        }
    };
    let person = joined([who.sex.as_str(), &who.age], ", ");
    let rest = joined([who.document(), &person, &allergies], " · ");
    let by = reader.fill(
        "pdf.exported_by",
        &[("name", export.by), ("role", &say(&format!("role.{}", export.role)).to_lowercase())],
    );
    let date = format!("{}, {}", reader.date(reader.today()), reader.time(reader.now));
    let code = reader.fill("pdf.code", &[("code", export.code)]);
    Margins {
        institution: house.name.clone(),
        letterhead: [numbers, reach].into_iter().filter(|line| !line.is_empty()).collect(),
        title: say("pdf.title").to_owned(),
        subtitle: say("pdf.subtitle").to_owned(),
        running: (who.full_name(), format!("· {rest}")),
        continued: say("pdf.continued").to_owned(),
        foot: vec![joined([by, date, code], " · "), say("pdf.reserve").to_owned()],
        page: say("pdf.page"),
        continues: say("pdf.continues"),
    }
}

#[cfg(test)]
mod tests;
