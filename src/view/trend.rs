//! Trends: values of one unit over time as geometry, for the page (SVG) and for the PDF. Pure.
//!
//! Values stand at equal distances in their order, so that none hides another; the scale holds values and reference band.
//! Colours and fonts are not here.

use crate::view::format::Reader;
use serde::Serialize;

/// Values of one line; earlier ones are left out.
pub const MOST: usize = 24;
/// Values of a large chart: each has its number and its date.
pub const MOST_LARGE: usize = 6;

const SMALL: (f64, f64) = (104.0, 26.0);
const LARGE: (f64, f64) = (360.0, 190.0);

/// One value: its number, and how it and its date are written.
#[derive(Clone, Debug)]
pub struct Value {
    pub number: f64,
    pub text: String,
    pub date: String,
}

/// A label of a chart has room for so many characters.
const LABEL: usize = 8;

impl Value {
    /// The value as it stands beside its point: a fraction of many figures by its first four, the table has them all.
    pub fn label(&self) -> String {
        let plain = self.text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ',' | '.'));
        if self.text.chars().count() <= LABEL || !plain || self.number.fract() == 0.0 || self.number.abs() >= 1e6 {
            return self.text.clone();
        }
        let places = (3.0 - self.number.abs().log10().floor()).clamp(0.0, 6.0) as usize;
        let text = format!("{:.places$}", self.number);
        if self.text.contains(',') { text.replace('.', ",") } else { text }
    }
}

/// The reference; a missing side is open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Band {
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// What the last value is: shape and word, not only colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    #[default]
    Normal,
    High,
    Low,
    Crit,
}

/// The geometry, in the units of a `width` x `height` field, y downwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    pub width: f64,
    pub height: f64,
    pub points: Vec<(f64, f64)>,
    /// Top and bottom of the reference.
    pub band: Option<(f64, f64)>,
    pub mark: Mark,
}

/// Left, right, top, bottom of the field that values use.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

/// Places the last values in a frame; none with fewer than two.
pub fn plot(values: &[Value], band: Band, mark: Mark, size: (f64, f64), frame: Frame, most: usize) -> Option<Plot> {
    let shown = values.get(values.len().saturating_sub(most)..)?;
    if shown.len() < 2 || shown.iter().any(|value| !value.number.is_finite()) {
        return None;
    }
    let ends = shown.iter().map(|value| value.number).chain(band.low).chain(band.high);
    let (low, high) = ends.fold((f64::MAX, f64::MIN), |(low, high), n| (low.min(n), high.max(n)));
    let span = if high > low { high - low } else { 1.0 };
    let y = |n: f64| frame.bottom - (n - low) / span * (frame.bottom - frame.top);
    let step = (frame.right - frame.left) / (shown.len() - 1) as f64;
    let points = shown.iter().enumerate().map(|(n, value)| (frame.left + step * n as f64, y(value.number))).collect();
    let open = band.low.is_none() && band.high.is_none();
    let band = (!open).then(|| (band.high.map_or(frame.top, y), band.low.map_or(frame.bottom, y)));
    Some(Plot { width: size.0, height: size.1, points, band, mark })
}

/// The shape of the last value around a point, as the path of an SVG.
fn shape(mark: Mark, (x, y): (f64, f64), r: f64) -> String {
    match mark {
        Mark::Normal => {
            format!("M{} {}a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 -{} 0z", n(x - r), n(y), n(2.0 * r), n(2.0 * r))
        }
        Mark::High => format!("M{} {}l{} {}h-{}z", n(x), n(y - r * 1.2), n(r * 1.3), n(r * 2.2), n(r * 2.6)),
        Mark::Low => format!("M{} {}l{} -{}h-{}z", n(x), n(y + r * 1.2), n(r * 1.3), n(r * 2.2), n(r * 2.6)),
        Mark::Crit => format!(
            "M{} {}l{} {}l-{} {}l-{} -{}z",
            n(x),
            n(y - r * 1.5),
            n(r * 1.5),
            n(r * 1.5),
            n(r * 1.5),
            n(r * 1.5),
            n(r * 1.5),
            n(r * 1.5)
        ),
    }
}

/// One decimal is a tenth of a pixel.
fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn line(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", n(*x), n(*y))).collect::<Vec<_>>().join(" ")
}

#[derive(Clone, Debug, Serialize)]
pub struct End {
    pub kind: Mark,
    pub path: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct BandModel {
    pub y: String,
    pub height: String,
    pub marks: Vec<Label>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Label {
    pub x: String,
    pub y: String,
    pub text: String,
    pub last: bool,
}

/// The model of the partial `trend`.
#[derive(Clone, Debug, Serialize)]
pub struct Small {
    pub width: String,
    pub height: String,
    pub band: Option<BandModel>,
    pub line: String,
    pub end: End,
    pub sentence: String,
}

/// The small trend of a row.
pub fn small(values: &[Value], band: Band, mark: Mark, sentence: String) -> Option<Small> {
    let frame = Frame { left: 4.0, right: SMALL.0 - 7.0, top: 5.0, bottom: SMALL.1 - 5.0 };
    let plot = plot(values, band, mark, SMALL, frame, MOST)?;
    let end = *plot.points.last()?;
    Some(Small {
        width: n(plot.width),
        height: n(plot.height),
        band: plot.band.map(|(top, bottom)| band_model(top, bottom, Vec::new())),
        line: line(&plot.points),
        end: End { kind: mark, path: shape(mark, end, 3.0) },
        sentence,
    })
}

/// A band is seen even when the values are so far away that the scale makes it a hair.
fn band_model(top: f64, bottom: f64, marks: Vec<Label>) -> BandModel {
    BandModel { y: n(top), height: n((bottom - top).max(2.0)), marks }
}

/// The model of the partial `chart`: every value and date is printed.
#[derive(Clone, Debug, Serialize)]
pub struct Large {
    pub width: String,
    pub height: String,
    pub left: String,
    pub right: String,
    pub inner: String,
    pub base: String,
    pub band: Option<BandModel>,
    pub line: String,
    pub points: Vec<Label>,
    pub end: End,
    pub labels: Vec<Label>,
    pub dates: Vec<Label>,
    pub sentence: String,
}

/// The large chart; `ends`: how the two ends of the reference are written.
pub fn large(
    values: &[Value],
    band: Band,
    mark: Mark,
    ends: (Option<String>, Option<String>),
    sentence: String,
) -> Option<Large> {
    let (left, right, base) = (8.0, LARGE.0 - 44.0, LARGE.1 - 24.0);
    let frame = Frame { left: left + 22.0, right: right - 22.0, top: 34.0, bottom: base - 12.0 };
    let plot = plot(values, band, mark, LARGE, frame, MOST_LARGE)?;
    let shown = values.get(values.len().saturating_sub(plot.points.len())..)?;
    let (last, before) = plot.points.split_last()?;
    let label = |x: f64, y: f64, text: &str, last: bool| Label { x: n(x), y: n(y), text: text.to_owned(), last };
    let placed = || plot.points.iter().zip(shown).enumerate();
    let is_last = |at: usize| at + 1 == shown.len();
    let marks = |top: f64, bottom: f64| {
        let high = ends.1.as_deref().map(|text| label(right + 6.0, top + 4.0, text, false));
        let low = ends.0.as_deref().map(|text| label(right + 6.0, bottom + 4.0, text, false));
        high.into_iter().chain(low).collect()
    };
    Some(Large {
        width: n(plot.width),
        height: n(plot.height),
        left: n(left),
        right: n(right),
        inner: n(right - left),
        base: n(base),
        band: plot.band.map(|(top, bottom)| band_model(top, bottom, marks(top, bottom))),
        line: line(&plot.points),
        points: before.iter().map(|(x, y)| label(*x, *y, "", false)).collect(),
        end: End { kind: mark, path: shape(mark, *last, 4.5) },
        labels: placed().map(|(at, ((x, y), value))| label(*x, y - 10.0, &value.label(), is_last(at))).collect(),
        dates: placed().map(|(_, ((x, _), value))| label(*x, base + 18.0, &value.date, false)).collect(),
        sentence,
    })
}

/// "Potasio: 5 valores, de 4,6 a 6,3 mmol/L, sube".
pub fn sentence(reader: &Reader, name: &str, values: &[Value], unit: &str) -> String {
    let by_number = |a: &&Value, b: &&Value| a.number.total_cmp(&b.number);
    let least = values.iter().min_by(by_number).map_or("", |value| value.text.as_str());
    let most = values.iter().max_by(by_number).map_or("", |value| value.text.as_str());
    let direction = match (values.first(), values.last()) {
        (Some(first), Some(last)) if last.number > first.number + first.number.abs() * 0.03 => "trend.rises",
        (Some(first), Some(last)) if last.number < first.number - first.number.abs() * 0.03 => "trend.falls",
        _ => "trend.level",
    };
    let places = [
        ("name", name),
        ("n", &values.len().to_string()),
        ("least", least),
        ("most", most),
        ("unit", unit),
        ("direction", reader.text(direction)),
    ];
    reader.fill("trend.sentence", &places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Language;
    use jiff::Timestamp;
    use jiff::tz::Offset;

    fn values(numbers: &[f64]) -> Vec<Value> {
        numbers
            .iter()
            .map(|n| Value { number: *n, text: n.to_string().replace('.', ","), date: String::new() })
            .collect()
    }

    fn placed(numbers: &[f64], band: Band) -> Option<Plot> {
        let frame = Frame { left: 0.0, right: 100.0, top: 0.0, bottom: 10.0 };
        plot(&values(numbers), band, Mark::Normal, (100.0, 10.0), frame, MOST)
    }

    #[test]
    fn the_scale_holds_values_and_band() {
        let found = placed(&[4.0, 6.0], Band { low: Some(2.0), high: Some(5.0) }).unwrap();
        assert_eq!(found.points, [(0.0, 5.0), (100.0, 0.0)]);
        assert_eq!(found.band, Some((2.5, 10.0)));
        let open = placed(&[4.0, 6.0], Band { low: None, high: Some(5.0) }).unwrap();
        assert_eq!(open.band, Some((5.0, 10.0)));
        assert_eq!(placed(&[4.0, 6.0], Band::default()).unwrap().band, None);
        // All equal: no division by nothing.
        assert_eq!(placed(&[3.0, 3.0], Band::default()).unwrap().points, [(0.0, 10.0), (100.0, 10.0)]);
        assert_eq!(placed(&[3.0], Band::default()), None);
        assert_eq!(placed(&[3.0, f64::NAN], Band::default()), None);
    }

    #[test]
    fn a_label_has_four_figures_of_a_long_fraction() {
        let label = |number: f64, text: &str| Value { number, text: text.into(), date: String::new() }.label();
        assert_eq!(label(92.70089468448165, "92,70089468448165"), "92,70");
        assert_eq!(label(0.0012345678, "0.0012345678"), "0.001235");
        assert_eq!(label(-3.18741471, "-3,18741471"), "-3,187");
        assert_eq!(label(142.9738273281042, "142,9738273281042"), "143,0");
        assert_eq!(label(1_250_000.0, "1.250.000"), "1.250.000");
        assert_eq!(label(6.30, "6,30"), "6,30");
        assert_eq!(label(0.00001, "< 0,00001"), "< 0,00001");
    }

    #[test]
    fn only_the_last_values_are_shown() {
        let many: Vec<f64> = (0..100).map(f64::from).collect();
        let found = placed(&many, Band::default()).unwrap();
        assert_eq!(found.points.len(), MOST);
        assert_eq!(found.points.last(), Some(&(100.0, 0.0)));
        let chart = large(&values(&many), Band::default(), Mark::Crit, (None, None), String::new()).unwrap();
        assert_eq!(chart.labels.len(), MOST_LARGE);
        assert_eq!((chart.labels[5].text.as_str(), chart.labels[5].last), ("99", true));
        assert_eq!(chart.points.len(), MOST_LARGE - 1);
    }

    #[test]
    fn the_sentence_tells_range_and_direction() {
        let reader = Reader { language: Language::Es, offset: Offset::UTC, now: Timestamp::UNIX_EPOCH };
        let check = |numbers: &[f64], expected: &str| {
            assert_eq!(sentence(&reader, "Potasio", &values(numbers), "mmol/L"), expected);
        };
        check(&[4.6, 4.9, 5.2, 5.6, 6.3], "Potasio: 5 valores, de 4,6 a 6,3 mmol/L, sube");
        check(&[6.3, 4.6], "Potasio: 2 valores, de 4,6 a 6,3 mmol/L, baja");
        check(&[5.0, 5.1], "Potasio: 2 valores, de 5 a 5,1 mmol/L, estable");
    }
}
