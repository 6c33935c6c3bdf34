//! Large trends in pairs: every value that is drawn has its number and its date, the band is the reference.

use crate::view::pdf::font::Weight;
use crate::view::pdf::paper::{INNER, LABEL, LEFT, Paper, STRONG};
use crate::view::pdf::sheet::{Area, Ink, Style};
use crate::view::record::results::Row;
use crate::view::trend::{self, Frame, Plot, Value};

const GAP: f32 = 18.0;
const HEIGHT: f32 = 104.0;
const NUMBER: Style = Style::new(7.4, Weight::Regular, Ink::Text);

/// One chart: its title, and the row whose values it shows.
pub struct Chart<'r> {
    pub title: String,
    pub row: &'r Row,
}

/// A section of charts, two beside each other.
pub fn pairs(paper: &mut Paper, title: &str, note: &str, charts: &[Chart<'_>]) {
    let width = (INNER - GAP) / 2.0;
    for (n, pair) in charts.chunks(2).enumerate() {
        let heading = if n == 0 { 17.0 } else { 0.0 };
        let began = paper.room(heading + HEIGHT);
        if n == 0 {
            paper.heading(title, note);
        } else if began {
            let continued = paper.continued();
            paper.heading(title, &continued);
        }
        let y = paper.y;
        for (n, chart) in pair.iter().enumerate() {
            let x = LEFT + if n == 0 { 0.0 } else { width + GAP };
            draw(paper, chart, Area { x, y, width, height: HEIGHT });
        }
        paper.gap(HEIGHT + 10.0);
    }
    paper.gap(4.0);
}

fn draw(paper: &mut Paper, chart: &Chart<'_>, area: Area) {
    let fonts = paper.fonts;
    let row = chart.row;
    let sheet = paper.sheet();
    sheet.frame(area, 4.0, 0.7, Ink::Line);
    let size = fit(fonts.width(STRONG.weight, 8.4, &chart.title), 8.4, area.width - 18.0);
    let title = fonts.lines(STRONG.weight, size, &chart.title, area.width - 17.9, 1).concat();
    sheet.text(area.x + 9.0, area.y + 13.5, Style { size, ..STRONG }, &title);
    let (left, right) = (area.x + 9.0, area.x + area.width - 36.0);
    let base = area.y + HEIGHT - 19.0;
    let frame = Frame {
        left: f64::from(left + 14.0),
        right: f64::from(right - 14.0),
        top: f64::from(area.y + 36.0),
        bottom: f64::from(base - 14.0),
    };
    let Some(plot) = trend::plot(&row.series, row.band, row.mark, (0.0, 0.0), frame, trend::MOST_LARGE) else { return };
    if let Some((upper, lower)) = plot.band {
        band(paper, (upper as f32, lower as f32), (left, right), &row.ends);
    }
    let sheet = paper.sheet();
    sheet.line(&[(left, base), (right, base)], 0.6, Ink::Edge);
    let points: Vec<(f32, f32)> = plot.points.iter().map(|(x, y)| (*x as f32, *y as f32)).collect();
    sheet.line(&points, 1.0, Ink::Second);
    let shown = row.series.get(row.series.len().saturating_sub(points.len())..).unwrap_or_default();
    values(paper, &plot, &points, shown, (left, right), base);
}

/// The reference, and its ends at the right.
fn band(
    paper: &mut Paper,
    (upper, lower): (f32, f32),
    (left, right): (f32, f32),
    ends: &(Option<String>, Option<String>),
) {
    let sheet = paper.sheet();
    sheet.fill(Area { x: left, y: upper, width: right - left, height: (lower - upper).max(1.4) }, Ink::Band);
    if let Some(high) = &ends.1 {
        sheet.text(right + 4.0, upper + 2.6, LABEL, high);
    }
    if let Some(low) = &ends.0 {
        // Not on top of the other end.
        let y = if ends.1.is_some() { (lower + 2.6).max(upper + 10.6) } else { lower + 2.6 };
        sheet.text(right + 4.0, y, LABEL, low);
    }
}

fn values(paper: &mut Paper, plot: &Plot, points: &[(f32, f32)], shown: &[Value], edges: (f32, f32), base: f32) {
    let sheet = paper.sheet();
    for (n, ((x, y), value)) in points.iter().zip(shown).enumerate() {
        let last = n + 1 == points.len();
        if last {
            sheet.mark(*x, *y, 3.4, plot.mark);
        } else {
            sheet.disc(*x, *y, 2.1, Ink::Text);
            sheet.disc(*x, *y, 1.4, Ink::Paper);
        }
        let style = if last { Style { size: 8.4, weight: Weight::Bold, ..NUMBER } } else { NUMBER };
        // Below a valley, where no line runs.
        let higher = |at: Option<usize>| at.and_then(|at| points.get(at)).is_some_and(|(_, other)| *other < *y - 4.0);
        let valley = higher(n.checked_sub(1)) && higher(Some(n + 1));
        let text = if valley { *y + 10.5 } else { *y - 6.5 };
        sheet.text_middle(*x, text, style, &value.label(), (edges.0, edges.1 + 30.0));
        // Values of one month or day share a date, which stands under the last of them.
        if shown.get(n + 1).is_none_or(|next| next.date != value.date) {
            sheet.text_middle(*x, base + 10.5, LABEL, &value.date, (edges.0 - 6.0, edges.1 + 34.0));
        }
    }
}

/// A size at which something fits, as long as it can be read: the table has the whole name.
fn fit(width: f32, size: f32, most: f32) -> f32 {
    if width > most { (size * most / width).max(5.5) } else { size }
}
