//! Tables: the head repeats on every page with the word that it goes on, a row is never split, and the title of a group
//! never stands alone at the foot. Only a row that is taller than a page breaks, between its lines.

use crate::view::pdf::font::Weight;
use crate::view::pdf::paper::{HEADING, INNER, LEFT, PAGE, Paper, RIGHT, SECOND, STRONG, TEXT};
use crate::view::pdf::sheet::{Area, Ink, Style};
use crate::view::record::results::{Flag, Reading};
use crate::view::trend::{self, Band, Frame, Mark, Plot, Value};

/// Line height of text and of second lines, and what is above and below the lines of a row.
const LINE: f32 = 11.4;
const SECOND_LINE: f32 = 9.6;
const PAD: f32 = 3.1;
const HEAD: f32 = 15.0;
const GROUP: f32 = 16.0;
const GROUP_TITLE: Style = Style { size: 8.2, ..STRONG };
/// The title of a group leaves room for its rows.
const GROUP_LINES: usize = 20;
const GAP: f32 = 6.0;
/// The field of a small trend.
const SPARK: (f32, f32) = (62.0, 13.0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

pub struct Column {
    pub head: String,
    /// Share of the width.
    pub share: f32,
    pub align: Align,
}

impl Column {
    pub fn left(head: &str, share: f32) -> Column {
        Column { head: head.to_owned(), share, align: Align::Left }
    }

    pub fn right(head: &str, share: f32) -> Column {
        Column { align: Align::Right, ..Column::left(head, share) }
    }
}

#[derive(Default)]
pub enum Cell {
    #[default]
    Empty,
    Text(String),
    Strong(String),
    /// A text with a quiet second one under it.
    Two(String, String),
    /// As `Two`, the first one strong.
    StrongTwo(String, String),
    /// Shape and word.
    Flag(Flag, String),
    /// A state that is not the usual one: framed.
    Framed(String),
    Spark(Plot),
    /// A number in the type of the text.
    Figure(String),
    /// A text over several columns, from the left; the cells that it covers are empty.
    Span(String, usize),
}

impl Cell {
    pub fn flag(reading: &Reading) -> Cell {
        match (reading.flag, reading.flag_text.as_str()) {
            (_, "") => Cell::Empty,
            (flag, word) => Cell::Flag(flag, word.to_owned()),
        }
    }

    pub fn spark(values: &[Value], band: Band, mark: Mark) -> Cell {
        let (width, height) = (f64::from(SPARK.0), f64::from(SPARK.1));
        let frame = Frame { left: 2.0, right: width - 5.0, top: 3.0, bottom: height - 3.0 };
        trend::plot(values, band, mark, (width, height), frame, trend::MOST).map_or(Cell::Empty, Cell::Spark)
    }
}

pub enum Row {
    /// The title of those that follow.
    Group(String),
    Cells(Vec<Cell>),
}

/// A cell in lines.
struct Set {
    lines: Vec<(Style, String)>,
    kind: Cell,
}

impl Set {
    fn height(&self) -> f32 {
        self.lines.iter().map(|(style, _)| if style.size < TEXT.size { SECOND_LINE } else { LINE }).sum()
    }
}

pub struct Table<'p> {
    paper: &'p mut Paper,
    title: String,
    note: String,
    columns: Vec<Column>,
    /// The title of the group in work, repeated where it goes on.
    group: Option<String>,
}

impl<'p> Table<'p> {
    /// A section that is one table.
    pub fn draw(paper: &'p mut Paper, title: &str, note: &str, columns: Vec<Column>, rows: Vec<Row>) {
        let mut table = Table { paper, title: title.to_owned(), note: note.to_owned(), columns, group: None };
        table.rows(rows);
        paper.gap(11.0);
    }

    fn rows(&mut self, rows: Vec<Row>) {
        let mut title: Option<String> = None;
        let mut started = false;
        for row in rows {
            let cells = match row {
                Row::Group(text) => {
                    title = Some(text);
                    continue;
                }
                Row::Cells(cells) => cells,
            };
            let sets = self.set(cells);
            let height = row_height(&sets);
            let above = title.as_ref().map_or(0.0, |title| self.group_height(title));
            if !started {
                // Heading, head, the title of the group and its first row stay together.
                self.paper.room((17.0 + HEAD + above + height).min(PAGE));
                let (heading, note) = (self.title.clone(), self.note.clone());
                self.paper.heading(&heading, &note);
                self.head();
                started = true;
            } else if above + height > self.paper.left() {
                self.go_on();
                if title.is_none() {
                    title = self.group.clone();
                }
            }
            if let Some(text) = title.take() {
                self.group_title(&text);
                self.group = Some(text);
            }
            self.row(sets, height);
        }
    }

    fn go_on(&mut self) {
        self.paper.page();
        let (title, note) = (self.title.clone(), self.paper.continued());
        self.paper.heading(&title, &note);
        self.head();
    }

    /// The left edge and the width of each column.
    fn edges(&self) -> Vec<(f32, f32)> {
        let total: f32 = self.columns.iter().map(|column| column.share).sum();
        let mut x = LEFT;
        self.columns
            .iter()
            .map(|column| {
                let (left, width) = (x, column.share / total * INNER);
                x += width;
                (left + 4.0, width - GAP - 2.0)
            })
            .collect()
    }

    fn head(&mut self) {
        let (y, edges) = (self.paper.y, self.edges());
        let fonts = self.paper.fonts;
        let sheet = self.paper.sheet();
        sheet.fill(Area { x: LEFT, y, width: INNER, height: HEAD }, Ink::Sunken);
        for (column, (x, width)) in self.columns.iter().zip(edges) {
            let wide = fonts.width(HEADING.weight, HEADING.size, &column.head);
            // A head that is wider than its column is set smaller, never cut.
            let style = if wide > width + GAP {
                Style { size: (HEADING.size * (width + GAP) / wide).max(5.5), ..HEADING }
            } else {
                HEADING
            };
            match column.align {
                Align::Left => drop(sheet.text(x, y + 10.0, style, &column.head)),
                Align::Right => sheet.text_right(x + width, y + 10.0, style, &column.head),
            }
        }
        sheet.line(&[(LEFT, y + HEAD), (RIGHT, y + HEAD)], 0.7, Ink::Edge);
        self.paper.y += HEAD;
    }

    fn group_lines(&self, text: &str) -> Vec<String> {
        self.paper.fonts.lines(GROUP_TITLE.weight, GROUP_TITLE.size, text, INNER - 8.0, GROUP_LINES)
    }

    fn group_height(&self, text: &str) -> f32 {
        GROUP + self.group_lines(text).len().saturating_sub(1) as f32 * SECOND_LINE
    }

    fn group_title(&mut self, text: &str) {
        let mut y = self.paper.y + 11.0 - SECOND_LINE;
        for line in self.group_lines(text) {
            y += SECOND_LINE;
            self.paper.sheet().text(LEFT + 4.0, y, GROUP_TITLE, &line);
        }
        y += GROUP - 11.0;
        self.paper.sheet().line(&[(LEFT, y), (RIGHT, y)], 0.7, Ink::Edge);
        self.paper.y = y;
    }

    /// Breaks the texts of a row into the lines of their columns.
    fn set(&self, cells: Vec<Cell>) -> Vec<Set> {
        let fonts = self.paper.fonts;
        let edges = self.edges();
        let wrapped = |style: Style, text: &str, width: f32| -> Vec<(Style, String)> {
            if text.is_empty() {
                return Vec::new();
            }
            fonts.wrap(style.weight, style.size, text, width).into_iter().map(|line| (style, line)).collect()
        };
        cells
            .into_iter()
            .zip(edges.iter().enumerate())
            .map(|(kind, (n, (x, width)))| {
                let width = *width;
                let lines = match &kind {
                    Cell::Empty | Cell::Spark(_) => Vec::new(),
                    Cell::Text(text) => wrapped(TEXT, text, width),
                    Cell::Span(text, over) => {
                        let end = edges.get(n + over.saturating_sub(1)).map_or(x + width, |(x, width)| x + width);
                        wrapped(STRONG, text, end - x)
                    }
                    Cell::Strong(text) if !text.contains(' ') => self.figure(STRONG, text, width),
                    Cell::Figure(text) if !text.contains(' ') => self.figure(TEXT, text, width),
                    Cell::Figure(text) => wrapped(TEXT, text, width),
                    Cell::Strong(text) => wrapped(STRONG, text, width),
                    Cell::Two(first, second) => [wrapped(TEXT, first, width), wrapped(SECOND, second, width)].concat(),
                    Cell::StrongTwo(first, second) => {
                        [wrapped(STRONG, first, width), wrapped(SECOND, second, width)].concat()
                    }
                    Cell::Flag(flag, text) => {
                        let style = Style {
                            ink: if flag.is_critical() { Ink::Paper } else { Ink::Text },
                            size: 8.6,
                            weight: Weight::Bold,
                        };
                        wrapped(style, text, width - 12.0)
                    }
                    Cell::Framed(text) => wrapped(Style { size: 7.8, ..TEXT }, text, width - 8.0),
                };
                Set { lines, kind }
            })
            .collect()
    }

    /// A number is not broken, but a pair of them after its stroke: a long one is set smaller.
    fn figure(&self, style: Style, text: &str, width: f32) -> Vec<(Style, String)> {
        let wide = |text: &str| self.paper.fonts.width(style.weight, style.size, text);
        let parts: Vec<&str> = if wide(text) > width { text.split_inclusive('/').collect() } else { vec![text] };
        let widest = parts.iter().map(|part| wide(part)).fold(width, f32::max);
        let style = Style { size: (style.size * width / widest).max(4.5), ..style };
        let fonts = self.paper.fonts;
        parts
            .into_iter()
            .flat_map(|part| fonts.wrap(style.weight, style.size, part, width + 0.1))
            .map(|line| (style, line))
            .collect()
    }

    fn row(&mut self, sets: Vec<Set>, height: f32) {
        if height > PAGE - HEAD - GROUP - 20.0 {
            return self.tall_row(sets);
        }
        let (y, edges) = (self.paper.y, self.edges());
        for ((set, column), (x, width)) in sets.into_iter().zip(&self.columns).zip(edges) {
            let align = if matches!(set.kind, Cell::Span(..)) { Align::Left } else { column.align };
            draw(self.paper, &set, align, Area { x, y, width, height });
        }
        self.paper.sheet().line(&[(LEFT, y + height), (RIGHT, y + height)], 0.4, Ink::Line);
        self.paper.y += height;
    }

    /// A row that no page holds: its lines go on where they must.
    fn tall_row(&mut self, sets: Vec<Set>) {
        let mut rest: Vec<std::collections::VecDeque<(Style, String)>> =
            sets.into_iter().map(|set| set.lines.into()).collect();
        while rest.iter().any(|lines| !lines.is_empty()) {
            if self.paper.left() < LINE + 2.0 * PAD {
                self.go_on();
            }
            let edges = self.edges();
            let y = self.paper.y;
            for ((lines, column), (x, width)) in rest.iter_mut().zip(&self.columns).zip(edges) {
                let Some((style, text)) = lines.pop_front() else { continue };
                match column.align {
                    Align::Left => drop(self.paper.sheet().text(x, y + 8.5, style, &text)),
                    Align::Right => self.paper.sheet().text_right(x + width, y + 8.5, style, &text),
                }
            }
            self.paper.y += LINE;
        }
        let y = self.paper.y + PAD;
        self.paper.sheet().line(&[(LEFT, y), (RIGHT, y)], 0.4, Ink::Line);
        self.paper.y = y;
    }
}

fn row_height(sets: &[Set]) -> f32 {
    let lines = sets.iter().map(Set::height).fold(LINE, f32::max);
    lines + 2.0 * PAD
}

fn draw(paper: &mut Paper, set: &Set, align: Align, area: Area) {
    let fonts = paper.fonts;
    let sheet = paper.sheet();
    let first = area.y + PAD + 8.6;
    match &set.kind {
        Cell::Spark(plot) => return spark(paper, plot, area),
        Cell::Flag(flag, _) if flag.is_critical() => {
            let wide =
                set.lines.iter().map(|(style, text)| fonts.width(style.weight, style.size, text)).fold(0.0, f32::max);
            let chip = Area { x: area.x - 3.0, y: area.y + PAD - 1.0, width: wide + 20.0, height: set.height() + 2.0 };
            sheet.chip(chip, 2.0, Ink::Text);
            sheet.octagon(area.x + 4.5, first - 3.1, 3.7, Ink::Paper);
            sheet.text(area.x + 3.4, first - 0.7, Style { size: 6.6, weight: Weight::Bold, ink: Ink::Text }, "!");
        }
        Cell::Flag(Flag::High, _) => sheet.triangle(area.x + 4.0, first - 3.0, 3.6, true, Ink::Text),
        Cell::Flag(Flag::Low, _) => sheet.triangle(area.x + 4.0, first - 3.0, 3.6, false, Ink::Text),
        Cell::Framed(_) => {
            let wide =
                set.lines.iter().map(|(style, text)| fonts.width(style.weight, style.size, text)).fold(0.0, f32::max);
            let frame = Area { x: area.x - 1.0, y: area.y + PAD - 0.6, width: wide + 8.0, height: set.height() + 0.8 };
            sheet.frame(frame, 1.8, 0.7, Ink::Text);
        }
        _ => {}
    }
    let indent = match &set.kind {
        Cell::Flag(Flag::None | Flag::Abnormal, _) => 0.0,
        Cell::Flag(..) => 11.0,
        Cell::Framed(_) => 3.0,
        _ => 0.0,
    };
    let mut y = first;
    for (n, (style, text)) in set.lines.iter().enumerate() {
        if n > 0 {
            y += if style.size < TEXT.size { SECOND_LINE } else { LINE };
        }
        match align {
            Align::Left => drop(sheet.text(area.x + indent, y, *style, text)),
            Align::Right => sheet.text_right(area.x + area.width, y, *style, text),
        }
    }
}

fn spark(paper: &mut Paper, plot: &Plot, area: Area) {
    let (left, top) = (area.x, area.y + (area.height - SPARK.1) / 2.0);
    let at = |(x, y): (f64, f64)| (left + x as f32, top + y as f32);
    let sheet = paper.sheet();
    if let Some((upper, lower)) = plot.band {
        let height = ((lower - upper) as f32).max(1.4);
        sheet.fill(Area { x: left, y: top + upper as f32, width: SPARK.0, height }, Ink::Band);
    }
    let points: Vec<(f32, f32)> = plot.points.iter().map(|point| at(*point)).collect();
    sheet.line(&points, 0.8, Ink::Second);
    if let Some((x, y)) = points.last() {
        sheet.mark(*x, *y, 2.2, plot.mark);
    }
}
