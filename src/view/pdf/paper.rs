//! The flow of a document over its sheets: where the next thing goes, what stands at the head and foot of each page.
//!
//! Nothing is measured twice: who draws asks for room first ([`Paper::room`]), and a new page begins when there is none.

use crate::i18n;
use crate::view::pdf::font::{Fonts, Weight};
use crate::view::pdf::sheet::{Ink, Sheet, Style, WIDTH};

pub const LEFT: f32 = 42.5;
pub const RIGHT: f32 = WIDTH - 42.5;
pub const INNER: f32 = RIGHT - LEFT;
const TOP: f32 = 37.0;
/// Where the content of later pages begins, and where that of every page ends.
const HEAD: f32 = 66.0;
const FLOOR: f32 = 728.0;
const RULE: f32 = 745.0;
/// Leading of the running head, and how many lines its two parts may have: the first page has all of it.
const RUNNING: f32 = 10.5;
const RUNNING_LINES: usize = 3;
/// Height of an empty page.
pub const PAGE: f32 = FLOOR - HEAD;

pub const TEXT: Style = Style::new(9.2, Weight::Regular, Ink::Text);
pub const STRONG: Style = Style::new(9.2, Weight::Bold, Ink::Text);
pub const SECOND: Style = Style::new(7.8, Weight::Regular, Ink::Second);
pub const LABEL: Style = Style::new(7.4, Weight::Regular, Ink::Second);
pub const HEADING: Style = Style::new(7.4, Weight::Bold, Ink::Second);
const SECTION: Style = Style::new(10.5, Weight::Bold, Ink::Accent);
const TITLE: Style = Style::new(13.0, Weight::Bold, Ink::Text);
const FOOT: Style = Style::new(7.3, Weight::Regular, Ink::Second);
const PAGE_NUMBER: Style = Style::new(7.8, Weight::Bold, Ink::Text);

/// What stands on the pages beside their content; every text is finished.
pub struct Margins {
    pub institution: String,
    /// Lines under the institution's name.
    pub letterhead: Vec<String>,
    pub title: String,
    pub subtitle: String,
    /// The head of later pages: the name, and the rest.
    pub running: (String, String),
    pub continued: String,
    pub foot: Vec<String>,
    /// `Página {n} de {total}`
    pub page: &'static str,
    /// `Continúa en la página {n}.`
    pub continues: &'static str,
}

pub struct Paper {
    pub fonts: &'static Fonts,
    done: Vec<Sheet>,
    sheet: Sheet,
    margins: Margins,
    pub y: f32,
}

impl Paper {
    pub fn new(fonts: &'static Fonts, margins: Margins) -> Paper {
        let mut paper = Paper { fonts, done: Vec::new(), sheet: Sheet::new(fonts), margins, y: TOP };
        paper.letterhead();
        paper
    }

    /// The sheet in work.
    pub fn sheet(&mut self) -> &mut Sheet {
        &mut self.sheet
    }

    pub fn left(&self) -> f32 {
        FLOOR - self.y
    }

    /// Whether `height` fits here; if not, a page begins. True when one began.
    pub fn room(&mut self, height: f32) -> bool {
        if height <= self.left() || self.y <= HEAD {
            return false;
        }
        self.page();
        true
    }

    pub fn page(&mut self) {
        self.done.push(std::mem::replace(&mut self.sheet, Sheet::new(self.fonts)));
        let (name, rest) = self.margins.running.clone();
        let institution = self.margins.institution.clone();
        let most = (INNER - self.fonts.width(FOOT.weight, 8.4, &institution) - 14.0).max(120.0);
        let (strong, plain) = (Style { size: 8.8, ..STRONG }, Style { size: 8.4, ..TEXT });
        let fonts = self.fonts;
        let sheet = self.sheet();
        sheet.text_right(RIGHT, 46.0, plain, &institution);
        let (mut at, mut y) = (LEFT, 46.0 - RUNNING);
        for line in fonts.lines(strong.weight, strong.size, &name, most, RUNNING_LINES) {
            y += RUNNING;
            at = sheet.text(LEFT, y, strong, &line) + 2.4;
        }
        // What does not fit beside the name stands on lines of its own.
        let beside = LEFT + most - at;
        if beside < 60.0 {
            (at, y) = (LEFT, y + RUNNING);
        }
        let beside = if beside < 60.0 { most } else { beside };
        for line in fonts.lines(plain.weight, plain.size, &rest, beside, RUNNING_LINES) {
            sheet.text(at, y, plain, &line);
            (at, y) = (LEFT, y + RUNNING);
        }
        sheet.line(&[(LEFT, y - 3.0), (RIGHT, y - 3.0)], 0.6, Ink::Edge);
        self.y = (y + 12.0).max(HEAD);
    }

    fn letterhead(&mut self) {
        let (institution, title) = (self.margins.institution.clone(), self.margins.title.clone());
        let (lines, subtitle) = (self.margins.letterhead.clone(), self.margins.subtitle.clone());
        let most = INNER - self.fonts.width(TITLE.weight, TITLE.size, &title) - 20.0;
        let (fonts, mut y) = (self.fonts, TOP + 12.0);
        let sheet = self.sheet();
        sheet.text_right(RIGHT, y, TITLE, &title);
        sheet.text_right(RIGHT, y + 13.0, LABEL, &subtitle);
        for line in fonts.wrap(TITLE.weight, TITLE.size, &institution, most) {
            sheet.text(LEFT, y, Style { ink: Ink::Accent, ..TITLE }, &line);
            y += 14.0;
        }
        y -= 1.0;
        for line in &lines {
            sheet.text(LEFT, y, LABEL, line);
            y += 9.8;
        }
        y += 2.0;
        sheet.line(&[(LEFT, y), (RIGHT, y)], 1.4, Ink::Accent);
        self.y = y + 11.0;
    }

    /// The heading of a section, with a note at its right.
    pub fn heading(&mut self, title: &str, note: &str) {
        let y = self.y + 11.0;
        let sheet = self.sheet();
        sheet.text(LEFT, y, SECTION, title);
        sheet.text_right(RIGHT, y, LABEL, note);
        self.y += 17.0;
    }

    /// The word for a table that goes on.
    pub fn continued(&self) -> String {
        self.margins.continued.clone()
    }

    /// A paragraph.
    pub fn paragraph(&mut self, style: Style, text: &str) {
        for line in self.fonts.wrap(style.weight, style.size, text, INNER) {
            self.room(style.size * 1.3);
            self.y += style.size * 1.3;
            let y = self.y;
            self.sheet().text(LEFT, y - style.size * 0.3, style, &line);
        }
    }

    pub fn gap(&mut self, height: f32) {
        self.y += height;
    }

    /// Characters so far that had no glyph.
    pub fn missing(&self) -> usize {
        self.done.iter().map(|sheet| sheet.missing).sum::<usize>() + self.sheet.missing
    }

    /// The finished pages, each with its foot, and how many characters had no glyph.
    pub fn finish(mut self) -> (Vec<printpdf::PdfPage>, usize) {
        self.done.push(self.sheet);
        let (total, margins) = (self.done.len(), &self.margins);
        let fill = |text: &str, n: usize| i18n::filled(text, &[("n", &n.to_string()), ("total", &total.to_string())]);
        for (n, sheet) in self.done.iter_mut().enumerate() {
            if n + 1 < total {
                sheet.text(LEFT, RULE - 7.0, LABEL, &fill(margins.continues, n + 2));
            }
            sheet.line(&[(LEFT, RULE), (RIGHT, RULE)], 0.6, Ink::Line);
            sheet.text_right(RIGHT, RULE + 11.0, PAGE_NUMBER, &fill(margins.page, n + 1));
            let mut y = RULE + 10.5;
            for line in &margins.foot {
                sheet.text(LEFT, y, FOOT, line);
                y += 9.3;
            }
        }
        let missing = self.done.iter().map(|sheet| sheet.missing).sum();
        (self.done.into_iter().map(Sheet::finish).collect(), missing)
    }
}
