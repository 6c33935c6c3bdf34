//! The record, section by section, in the order of the chart.

use crate::view::format::Reader;
use crate::view::pdf::chart::{self, Chart};
use crate::view::pdf::font::{Weight, printable};
use crate::view::pdf::paper::{INNER, LABEL, LEFT, PAGE, Paper, SECOND, STRONG, TEXT};
use crate::view::pdf::sheet::{Area, Ink, Style};
use crate::view::pdf::table::{Cell, Column, Row as Line, Table};
use crate::view::record::Record;
use crate::view::record::clinical::{AllergyState, Item};
use crate::view::record::results::{Group, Reading, Row, Signs};
use crate::view::record::words::{When, joined};

/// Charts of one document; the values of the others stand in the tables.
const CHARTS: usize = 8;

/// What the column of a number holds in its size.
const FIGURES: usize = 11;

/// Everything; a section that the role may not see is not there, one that is empty says so or is left out.
pub fn draw(paper: &mut Paper, record: &Record, reader: &Reader) {
    patient(paper, record, reader);
    if record.allergies.state != AllergyState::Hidden {
        allergies(paper, record, reader);
    }
    let mut drawer = Drawer { paper, reader };
    let sees = record.sees;
    if sees.clinical {
        drawer.problems(&record.problems);
        drawer.medication(&record.medication);
    }
    if sees.results {
        drawer.items("pdf.orders", "pdf.order", &record.orders);
        drawer.results(&record.results);
    }
    if sees.clinical {
        drawer.signs(&record.signs);
    }
    drawer.trends(record);
    if sees.admission {
        drawer.visits(&record.visits);
    }
    drawer.items("pdf.reports", "pdf.report", &record.reports);
    drawer.items("pdf.procedures", "pdf.procedure", &record.procedures);
    drawer.items("pdf.vaccines", "pdf.vaccine", &record.vaccines);
    drawer.observations(&record.observations);
    for section in &record.others {
        drawer.titled(&section.title, reader.text("pdf.what"), &section.items);
    }
    drawer.items("pdf.documents", "pdf.document", &record.documents);
    drawer.earlier(record);
    drawer.counted(record);
}

// ---------------------------------------------------------------------- the person

/// Text in several styles, broken into lines of a width.
fn rich(paper: &Paper, parts: &[(Style, String)], most: f32) -> Vec<Vec<(Style, String, f32)>> {
    let mut lines: Vec<Vec<(Style, String, f32)>> = vec![Vec::new()];
    let mut used = 0.0;
    for (style, text) in parts {
        for word in printable(text).split_inclusive(' ') {
            for piece in paper.fonts.wrap(style.weight, style.size, word.trim_end(), most) {
                let blank = if word.ends_with(' ') { " " } else { "" };
                let piece = format!("{piece}{blank}");
                let width = paper.fonts.width(style.weight, style.size, &piece);
                let tight = paper.fonts.width(style.weight, style.size, piece.trim_end());
                if used + tight > most && used > 0.0 {
                    lines.push(Vec::new());
                    used = 0.0;
                }
                if let Some(line) = lines.last_mut() {
                    // Words of one style are one piece of text, so that a search in the document finds them.
                    match line.last_mut() {
                        Some((last, text, sum))
                            if last.size == style.size && last.weight == style.weight && last.ink == style.ink =>
                        {
                            text.push_str(&piece);
                            *sum += width;
                        }
                        _ => line.push((*style, piece, width)),
                    }
                }
                used += width;
            }
        }
    }
    lines
}

fn draw_rich(paper: &mut Paper, x: f32, mut y: f32, leading: f32, lines: Vec<Vec<(Style, String, f32)>>) {
    for line in lines {
        let mut at = x;
        for (style, text, width) in line {
            paper.sheet().text(at, y, style, text.trim_end());
            at += width;
        }
        y += leading;
    }
}

/// Lines that go on over as many pages as they need.
fn flow(paper: &mut Paper, x: f32, leading: f32, lines: Vec<Vec<(Style, String, f32)>>) {
    for line in lines {
        paper.room(leading);
        paper.y += leading;
        let y = paper.y - leading * 0.25;
        draw_rich(paper, x, y, leading, vec![line]);
    }
}

/// One field of the patient block: its label, and its value in lines.
struct Field {
    label: &'static str,
    x: f32,
    lines: Vec<Vec<(Style, String, f32)>>,
    leading: f32,
}

fn patient(paper: &mut Paper, record: &Record, reader: &Reader) {
    let who = &record.who;
    let inner = INNER - 22.0;
    let left = LEFT + 11.0;
    let strong = Style { size: 9.0, ..STRONG };
    let field = |paper: &Paper, key: &str, from: f32, to: f32, parts: Vec<(Style, String)>| Field {
        label: reader.text(key),
        x: left + from * inner,
        leading: parts.first().map_or(11.0, |(style, _)| style.size * 1.22),
        lines: rich(paper, &parts, (to - from) * inner - 8.0),
    };
    let name = Style { size: 12.0, ..STRONG };
    let comma = if who.names.is_empty() { "" } else { ", " };
    let died = who.deceased.as_ref().map(|when| joined([reader.text("pdf.deceased"), when.as_str()], " "));
    let birth = joined([who.birth.text.as_str(), &who.age], " · ");
    let or_unknown =
        |text: &str| if text.is_empty() { reader.text("pdf.not_recorded").to_owned() } else { text.to_owned() };
    let quiet = |text: String| vec![(Style { size: 9.0, ..TEXT }, text)];
    let mut first = vec![
        field(
            paper,
            "pdf.patient",
            0.0,
            0.525,
            vec![
                (name, format!("{}{comma}", who.surnames)),
                (Style { weight: Weight::Regular, ..name }, who.names.clone()),
            ],
        ),
        field(paper, "pdf.document_id", 0.525, 0.71, vec![(strong, or_unknown(&joined(&who.documents, ", ")))]),
        field(paper, "pdf.birth", 0.71, 1.0, vec![(strong, or_unknown(&birth))]),
    ];
    if let Some(died) = died
        && let Some(birth) = first.last_mut()
    {
        birth.lines.extend(rich(paper, &[(strong, died)], 0.29 * inner - 8.0));
    }
    let mut second = vec![
        field(paper, "pdf.municipality", 0.0, 0.28, quiet(or_unknown(&who.municipality))),
        field(paper, "pdf.sex", 0.525, 0.71, quiet(or_unknown(&who.sex))),
    ];
    if record.sees.admission {
        second.push(field(
            paper,
            "pdf.place",
            0.28,
            0.525,
            quiet(if who.place.is_empty() { reader.text("pdf.not_admitted").to_owned() } else { who.place.clone() }),
        ));
        second.push(field(paper, "pdf.insurance", 0.71, 1.0, quiet(or_unknown(&joined(&who.insurance, "; ")))));
    }
    let mut more = Vec::new();
    let reach = [("pdf.address", who.address.clone()), ("pdf.telephone", joined(&who.telephones, ", "))];
    let reach =
        reach.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (reader.text(key).to_owned(), text));
    for (term, text) in reach.chain(who.more.iter().map(|fact| (fact.term.clone(), fact.text.clone()))) {
        more.push((SECOND, format!("{term}: ")));
        more.push((Style { ink: Ink::Text, ..SECOND }, format!("{text}    ")));
    }
    let more = if more.is_empty() { Vec::new() } else { rich(paper, &more, inner) };
    block(paper, vec![first, second], more, left);
}

/// The frame of the patient block around its fields.
fn block(paper: &mut Paper, rows: Vec<Vec<Field>>, more: Vec<Vec<(Style, String, f32)>>, left: f32) {
    let height = |field: &Field| 11.0 + field.lines.len() as f32 * field.leading + 4.0;
    let rows: Vec<(f32, Vec<Field>)> =
        rows.into_iter().map(|row| (row.iter().map(height).fold(0.0, f32::max), row)).collect();
    let last = if more.is_empty() { 0.0 } else { more.len() as f32 * 10.0 + 3.0 };
    let whole = rows.iter().map(|(height, _)| height).sum::<f32>() + last + 9.0;
    if whole > paper.left() {
        // What no frame holds stands one under the other.
        for field in rows.into_iter().flat_map(|(_, row)| row) {
            let label = vec![vec![(LABEL, field.label.to_owned(), 0.0)]];
            flow(paper, left, 10.0, label);
            flow(paper, left, field.leading, field.lines);
        }
        flow(paper, left, 10.0, more);
        return paper.gap(8.0);
    }
    let top = paper.y;
    let (x, width) = (LEFT, INNER);
    paper.sheet().frame(Area { x, y: top, width, height: whole }, 5.0, 0.8, Ink::Edge);
    let mut y = top + 6.0;
    for (height, row) in rows {
        for field in row {
            paper.sheet().text(field.x, y + 7.0, LABEL, field.label);
            draw_rich(paper, field.x, y + 8.0 + field.leading, field.leading, field.lines);
        }
        y += height;
    }
    draw_rich(paper, left, y + 8.0, 10.0, more);
    paper.y = top + whole + 8.0;
}

fn allergies(paper: &mut Paper, record: &Record, reader: &Reader) {
    let allergies = &record.allergies;
    let plain = Style { size: 9.0, ..TEXT };
    let strong = Style { size: 9.0, ..STRONG };
    let mut parts = Vec::new();
    let mut one = |item: &Item| {
        parts.push((strong, item.what.clone()));
        let detail = if item.detail.is_empty() { String::new() } else { format!(": {}", item.detail) };
        let since = if item.when.text.is_empty() { String::new() } else { format!(" ({})", item.when.text) };
        let status = if item.active { String::new() } else { format!(", {}", item.status) };
        parts.push((plain, format!("{detail}{since}{status}     ")));
    };
    let (active, past): (Vec<&Item>, Vec<&Item>) = allergies.items.iter().partition(|item| item.active);
    active.into_iter().for_each(&mut one);
    match allergies.state {
        AllergyState::NoneKnown => {
            let asked =
                if allergies.asked.text.is_empty() { String::new() } else { format!(" ({})", allergies.asked.text) };
            parts.push((strong, format!("{}{asked}     ", reader.text("pdf.allergies_none"))));
        }
        AllergyState::NotAsked => parts.push((strong, format!("{}     ", reader.text("pdf.allergies_not_asked")))),
        AllergyState::Known | AllergyState::Hidden => {}
    }
    let mut one = |item: &Item| {
        parts.push((
            plain,
            format!("{}: {}", item.what, joined([item.detail.as_str(), &item.when.text, &item.status], ", ")) + "     ",
        ));
    };
    past.into_iter().for_each(&mut one);
    let known = allergies.state == AllergyState::Known;
    let label = Style { size: 8.0, ..STRONG };
    let word = reader.text("pdf.allergies").to_uppercase();
    let indent = paper.fonts.width(label.weight, label.size, &word) + 28.0;
    let lines = rich(paper, &parts, INNER - indent - 12.0);
    let height = lines.len() as f32 * 11.4 + 10.0;
    if height > PAGE {
        flow(paper, LEFT + 20.5, 13.4, vec![vec![(label, word, 0.0)]]);
        flow(paper, LEFT + indent, 11.4, lines);
        return paper.gap(11.0);
    }
    paper.room(height);
    let y = paper.y;
    let sheet = paper.sheet();
    sheet.frame(
        Area { x: LEFT, y, width: INNER, height },
        4.0,
        if known { 1.2 } else { 0.6 },
        if known { Ink::Text } else { Ink::Edge },
    );
    if known {
        sheet.triangle(LEFT + 13.5, y + 10.6, 3.7, true, Ink::Text);
    }
    sheet.text(LEFT + 20.5, y + 13.4, label, &word);
    draw_rich(paper, LEFT + indent, y + 13.6, 11.4, lines);
    paper.y = y + height + 11.0;
}

// ---------------------------------------------------------------------- the rest

/// A letter and two figures, perhaps more (`J189`, `I10X`): the heading may name the classification.
fn looks_like_icd(code: &str) -> bool {
    let mut bytes = code.bytes();
    let head = bytes.next().is_some_and(|b| b.is_ascii_uppercase())
        && bytes.next().is_some_and(|b| b.is_ascii_digit())
        && bytes.next().is_some_and(|b| b.is_ascii_digit());
    head && code.len() <= 7
}

struct Drawer<'p> {
    paper: &'p mut Paper,
    reader: &'p Reader,
}

impl Drawer<'_> {
    fn say(&self, key: &str) -> &'static str {
        self.reader.text(key)
    }

    /// A section that has nothing: what is not known is said.
    fn nothing(&mut self, title: &str, sentence: &str) {
        self.paper.room(34.0);
        let (title, sentence) = (self.say(title), self.say(sentence));
        self.paper.heading(title, "");
        self.paper.paragraph(TEXT, sentence);
        self.paper.gap(9.0);
    }

    fn problems(&mut self, items: &[Item]) {
        if items.is_empty() {
            return self.nothing("pdf.problems", "pdf.no_problems");
        }
        let icd = items.iter().all(|item| item.code.is_empty() || looks_like_icd(&item.code));
        let columns = vec![
            Column::left(self.say("pdf.problem"), 0.4),
            Column::left(self.say(if icd { "pdf.icd" } else { "pdf.item_code" }), 0.12),
            Column::left(self.say("pdf.since"), 0.185),
            Column::left(self.say("pdf.until"), 0.185),
            Column::left(self.say("pdf.status"), 0.11),
        ];
        let row = |item: &Item| {
            let when = |when: &When| Cell::Text(when.text.clone());
            let what = Cell::Two(item.what.clone(), item.detail.clone());
            Line::Cells(vec![
                what,
                Cell::Text(item.code.clone()),
                when(&item.when),
                when(&item.until),
                Cell::Text(item.status.clone()),
            ])
        };
        let rows = items.iter().map(row).collect();
        let title = self.say("pdf.problems");
        Table::draw(self.paper, title, "", columns, rows);
    }

    fn medication(&mut self, items: &[Item]) {
        if items.is_empty() {
            return self.nothing("pdf.medication", "pdf.no_medication");
        }
        let columns = vec![
            Column::left(self.say("pdf.medicine"), 0.31),
            Column::left(self.say("pdf.dosage"), 0.375),
            Column::left(self.say("pdf.since"), 0.19),
            Column::left(self.say("pdf.status"), 0.125),
        ];
        let row = |item: &Item| {
            let name = if item.active { Cell::Strong(item.what.clone()) } else { Cell::Text(item.what.clone()) };
            Line::Cells(vec![
                name,
                Cell::Text(item.detail.clone()),
                Cell::Text(item.when.text.clone()),
                Cell::Text(item.status.clone()),
            ])
        };
        let rows = items.iter().map(row).collect();
        let active = items.iter().filter(|item| item.active).count();
        let note = self.reader.count("pdf.active", i64::try_from(active).unwrap_or(i64::MAX));
        let title = self.say("pdf.medication");
        Table::draw(self.paper, title, &note, columns, rows);
    }

    fn visits(&mut self, items: &[Item]) {
        if items.is_empty() {
            return self.nothing("pdf.visits", "pdf.no_visits");
        }
        let columns = vec![
            Column::left(self.say("pdf.visit"), 0.2),
            Column::left(self.say("pdf.date"), 0.26),
            Column::left(self.say("pdf.service"), 0.42),
            Column::left(self.say("pdf.status"), 0.12),
        ];
        let row = |item: &Item| {
            let texts = [&item.what, &item.when.text, &item.detail, &item.status];
            Line::Cells(texts.into_iter().map(|text| Cell::Text(text.clone())).collect())
        };
        let rows = items.iter().map(row).collect();
        let title = self.say("pdf.visits");
        Table::draw(self.paper, title, "", columns, rows);
    }

    fn items(&mut self, title: &str, what: &str, items: &[Item]) {
        let (title, what) = (self.say(title), self.say(what));
        self.titled(title, what, items);
    }

    /// Lines of any kind: what, code, date, status.
    fn titled(&mut self, title: &str, what: &str, items: &[Item]) {
        if items.is_empty() {
            return;
        }
        let coded = items.iter().any(|item| !item.code.is_empty());
        let mut columns = vec![Column::left(what, if coded { 0.46 } else { 0.63 })];
        if coded {
            columns.push(Column::left(self.say("pdf.item_code"), 0.17));
        }
        columns.extend([Column::left(self.say("pdf.date"), 0.25), Column::left(self.say("pdf.status"), 0.12)]);
        let row = |item: &Item| {
            let mut cells = vec![Cell::Two(item.what.clone(), item.detail.clone())];
            if coded {
                cells.push(Cell::Text(item.code.clone()));
            }
            cells.extend([Cell::Text(item.when.text.clone()), Cell::Text(item.status.clone())]);
            Line::Cells(cells)
        };
        Table::draw(self.paper, title, "", columns, items.iter().map(row).collect());
    }

    fn result_columns(&self, first: &str, last: &str) -> Vec<Column> {
        vec![
            Column::left(self.say(first), 0.225),
            Column::right(self.say("pdf.value"), 0.125),
            Column::left(self.say("pdf.unit"), 0.09),
            Column::left(self.say("pdf.flag"), 0.15),
            Column::left(self.say("pdf.reference"), 0.135),
            Column::left(self.say(last), 0.15),
            Column::left(self.say("pdf.status"), 0.125),
        ]
    }

    fn status(reading: &Reading) -> Cell {
        match reading.status_code.as_str() {
            "final" => Cell::Text(reading.status.clone()),
            _ => Cell::Framed(reading.status.clone()),
        }
    }

    fn reading(reading: &Reading, first: Cell, sixth: Cell) -> Line {
        // A text needs more room than a number: it takes the place of the unit, and of the flag when there is none.
        // So does a number of very many figures, with its unit.
        let over = if reading.flag_text.is_empty() { 3 } else { 2 };
        let long = reading.value.chars().count() > FIGURES;
        let (value, unit) = match reading.number {
            None if reading.unit.is_empty() => (Cell::Span(reading.value.clone(), over), Cell::Empty),
            Some(_) if long => (Cell::Span(joined([&reading.value, &reading.unit], " "), over), Cell::Empty),
            _ => (Cell::Strong(reading.value.clone()), Cell::Text(reading.unit.clone())),
        };
        Line::Cells(vec![
            first,
            value,
            unit,
            Cell::flag(reading),
            Cell::Text(reading.reference.clone()),
            sixth,
            Self::status(reading),
        ])
    }

    /// Rows of groups, the last reading of each; with its own date where it differs from that of the group.
    fn groups(&self, groups: &[Group]) -> Vec<Line> {
        let mut rows = Vec::new();
        for group in groups {
            rows.push(Line::Group(joined([group.title.as_str(), &group.when.text], " · ")));
            for row in &group.rows {
                let when = if row.last.when.text == group.when.text { "" } else { row.last.when.text.as_str() };
                let name = Cell::Two(row.name.clone(), joined([when, &row.last.detail], " · "));
                rows.push(Self::reading(&row.last, name, Cell::spark(&row.series, row.band, row.mark)));
            }
        }
        rows
    }

    fn results(&mut self, groups: &[Group]) {
        if groups.is_empty() {
            return self.nothing("pdf.results", "pdf.no_results");
        }
        let (columns, rows) = (self.result_columns("pdf.test", "pdf.trend"), self.groups(groups));
        let (title, note) = (self.say("pdf.results"), self.say("pdf.results_note"));
        Table::draw(self.paper, title, note, columns, rows);
    }

    fn observations(&mut self, groups: &[Group]) {
        if !groups.is_empty() {
            let (columns, rows) = (self.result_columns("pdf.observation", "pdf.trend"), self.groups(groups));
            let title = self.say("rec.observations");
            Table::draw(self.paper, title, "", columns, rows);
        }
    }

    /// The last times as columns; a sign that was not taken then shows its last value with its date.
    fn signs(&mut self, signs: &Signs) {
        if signs.rows.is_empty() {
            return self.nothing("pdf.signs", "pdf.no_signs");
        }
        let mut columns = vec![Column::left(self.say("pdf.sign"), 0.205), Column::left(self.say("pdf.unit"), 0.09)];
        let mut before = None;
        for time in &signs.times {
            let day = self.reader.day_of(&time.iso);
            let hour = time.text.split_once(", ").map(|(_, hour)| hour).unwrap_or_default();
            let date = day
                .filter(|_| day != before || hour.is_empty())
                .map(|day| self.reader.short_date(day))
                .unwrap_or_default();
            columns.push(Column::right(&joined([date.as_str(), hour], ", "), 0.115));
            before = day;
        }
        columns.push(Column::left(self.say("pdf.flag"), 0.13));
        columns.push(Column::left(self.say("pdf.trend"), 0.14));
        let last = signs.times.len().saturating_sub(1);
        let row = |row: &Row| {
            let shown = signs.times.iter().any(|time| signs.at(row, time).is_some());
            let mut cells =
                vec![Cell::Two(row.name.clone(), row.last.detail.clone()), Cell::Text(row.last.unit.clone())];
            for (n, time) in signs.times.iter().enumerate() {
                cells.push(match signs.at(row, time) {
                    Some(reading) if n == last => Cell::Strong(reading.value.clone()),
                    Some(reading) => Cell::Figure(reading.value.clone()),
                    None if n == last && !shown => Cell::StrongTwo(row.last.value.clone(), row.last.when.text.clone()),
                    None => Cell::Empty,
                });
            }
            cells.push(Cell::flag(&row.last));
            cells.push(Cell::spark(&row.series, row.band, row.mark));
            Line::Cells(cells)
        };
        let rows = signs.rows.iter().map(row).collect();
        let title = self.say("pdf.signs");
        Table::draw(self.paper, title, "", columns, rows);
    }

    /// Large charts of results: those out of range first.
    fn trends(&mut self, record: &Record) {
        let rows = record.results.iter().flat_map(|group| &group.rows);
        let mut rows: Vec<&Row> = rows.filter(|row| row.series.len() > 1).collect();
        rows.sort_by_key(|row| {
            (!row.last.flag.is_critical(), row.last.flag_text.is_empty(), std::cmp::Reverse(row.last.when.at))
        });
        let all = rows.len();
        rows.truncate(CHARTS);
        if rows.is_empty() {
            return;
        }
        let title = |row: &Row| {
            let reference = if row.last.reference.is_empty() {
                String::new()
            } else {
                self.reader.fill("pdf.chart_reference", &[("text", &row.last.reference)])
            };
            joined([joined([row.name.as_str(), &row.last.unit], ", "), reference], " · ")
        };
        let charts: Vec<Chart<'_>> = rows.into_iter().map(|row| Chart { title: title(row), row }).collect();
        let note = match all > charts.len() {
            true => self.reader.fill("pdf.some_trends", &[("n", &charts.len().to_string()), ("all", &all.to_string())]),
            false => String::new(),
        };
        let title = self.say("pdf.trends");
        chart::pairs(self.paper, title, &note, &charts);
    }

    /// Every reading that is not the last one of its examination.
    fn earlier(&mut self, record: &Record) {
        let mut rows = Vec::new();
        let signs = &record.signs;
        let in_table = |reading: &Reading| signs.times.iter().any(|time| time.at == reading.when.at);
        let groups =
            record.results.iter().chain(&record.observations).flat_map(|group| &group.rows).map(|row| (row, false));
        for (row, is_sign) in groups.chain(signs.rows.iter().map(|row| (row, true))) {
            let earlier: Vec<&Reading> = row.earlier.iter().filter(|reading| !is_sign || !in_table(reading)).collect();
            if earlier.is_empty() {
                continue;
            }
            rows.push(Line::Group(row.name.clone()));
            rows.extend(earlier.into_iter().map(|reading| {
                let first = if reading.when.text.is_empty() {
                    self.say("pdf.not_recorded").to_owned()
                } else {
                    reading.when.text.clone()
                };
                Self::reading(reading, Cell::Text(first), Cell::Text(reading.detail.clone()))
            }));
        }
        if !rows.is_empty() {
            let (columns, title) = (self.result_columns("pdf.date", "pdf.note"), self.say("pdf.earlier"));
            Table::draw(self.paper, title, "", columns, rows);
        }
    }

    /// What is not listed is at least counted.
    fn counted(&mut self, record: &Record) {
        let mut lines: Vec<String> = record.counted.iter().map(|(what, n)| format!("{what}: {n}")).collect();
        if record.in_error > 0 {
            lines.push(self.reader.count("pdf.in_error", i64::try_from(record.in_error).unwrap_or(i64::MAX)));
        }
        if !lines.is_empty() {
            self.paper.room(30.0);
            let title = self.say("pdf.counted");
            self.paper.heading(title, "");
            self.paper.paragraph(SECOND, &joined(lines, " · "));
        }
    }
}
