//! One sheet of paper as drawing operations. Points, from the top left corner, y downwards.

use crate::view::pdf::font::{Fonts, Piece, Weight, printable};
use crate::view::trend::Mark;
use printpdf::{
    Color, Line, LinePoint, Mm, Op, PaintMode, PdfFontHandle, PdfPage, Point, Polygon, PolygonRing, Pt, Rgb, TextItem,
    WindingOrder,
};

/// Letter (carta).
pub const WIDTH: f32 = 612.0;
pub const HEIGHT: f32 = 792.0;

/// The few inks; everything but headings and the rule reads in grey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Text,
    Second,
    Accent,
    Line,
    Edge,
    Sunken,
    Band,
    Paper,
}

impl Ink {
    fn color(self) -> Color {
        let hex: u32 = match self {
            Ink::Text => 0x0013_262B,
            Ink::Second => 0x004B_5E64,
            Ink::Accent => 0x000A_5C69,
            Ink::Line => 0x00C4_D0D2,
            Ink::Edge => 0x006E_8085,
            Ink::Sunken => 0x00EA_F0F0,
            Ink::Band => 0x00D9_E3E1,
            Ink::Paper => 0x00FF_FFFF,
        };
        let part = |shift: u32| ((hex >> shift) & 0xFF) as f32 / 255.0;
        Color::Rgb(Rgb::new(part(16), part(8), part(0), None))
    }
}

/// How text is set.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub size: f32,
    pub weight: Weight,
    pub ink: Ink,
}

impl Style {
    pub const fn new(size: f32, weight: Weight, ink: Ink) -> Style {
        Style { size, weight, ink }
    }
}

/// A box by its top left corner.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

pub struct Sheet {
    fonts: &'static Fonts,
    ops: Vec<Op>,
    /// Characters that were printed as their codes.
    pub missing: usize,
}

fn point(x: f32, y: f32) -> Point {
    Point { x: Pt(x), y: Pt(HEIGHT - y) }
}

fn corner(x: f32, y: f32) -> LinePoint {
    LinePoint { p: point(x, y), bezier: false }
}

fn handle(x: f32, y: f32) -> LinePoint {
    LinePoint { p: point(x, y), bezier: true }
}

/// How far the handles of a quarter of a circle stand out.
const QUARTER: f32 = 0.552_3;

impl Sheet {
    pub fn new(fonts: &'static Fonts) -> Sheet {
        Sheet { fonts, ops: Vec::new(), missing: 0 }
    }

    pub fn finish(self) -> PdfPage {
        PdfPage::new(Mm::from(Pt(WIDTH)), Mm::from(Pt(HEIGHT)), self.ops)
    }

    /// Text whose baseline starts at `x`, `y`; returns where it ends.
    pub fn text(&mut self, x: f32, y: f32, style: Style, text: &str) -> f32 {
        let mut at = x;
        for piece in self.fonts.pieces(style.weight, &printable(text)) {
            match piece {
                Piece::Text { face, text, width } => {
                    self.ops.extend([
                        Op::StartTextSection,
                        Op::SetFillColor { col: style.ink.color() },
                        Op::SetFont { font: PdfFontHandle::External(face.id()), size: Pt(style.size) },
                        Op::SetTextCursor { pos: point(at, y) },
                        Op::ShowText { items: vec![TextItem::Text(text)] },
                        Op::EndTextSection,
                    ]);
                    at += width * style.size;
                }
                Piece::Missing { code } => {
                    self.missing += 1;
                    at = self.text(at, y, style, &code);
                }
            }
        }
        at
    }

    /// Text that ends at `x`.
    pub fn text_right(&mut self, x: f32, y: f32, style: Style, text: &str) {
        let width = self.fonts.width(style.weight, style.size, &printable(text));
        self.text(x - width, y, style, text);
    }

    /// Text around `x`, moved so that it stays between `left` and `right`.
    pub fn text_middle(&mut self, x: f32, y: f32, style: Style, text: &str, (left, right): (f32, f32)) {
        let width = self.fonts.width(style.weight, style.size, &printable(text));
        let start = (x - width / 2.0).min(right - width).max(left);
        self.text(start, y, style, text);
    }

    pub fn line(&mut self, points: &[(f32, f32)], width: f32, ink: Ink) {
        let points = points.iter().map(|(x, y)| corner(*x, *y)).collect();
        self.ops.extend([
            Op::SetOutlineColor { col: ink.color() },
            Op::SetOutlineThickness { pt: Pt(width) },
            Op::DrawLine { line: Line { points, is_closed: false } },
        ]);
    }

    pub fn fill(&mut self, area: Area, ink: Ink) {
        self.shape(outline(area, 0.0), ink);
    }

    /// A filled area with round corners.
    pub fn chip(&mut self, area: Area, radius: f32, ink: Ink) {
        self.shape(outline(area, radius), ink);
    }

    pub fn frame(&mut self, area: Area, radius: f32, width: f32, ink: Ink) {
        self.ops.extend([Op::SetOutlineColor { col: ink.color() }, Op::SetOutlineThickness { pt: Pt(width) }]);
        self.draw(outline(area, radius), PaintMode::Stroke);
    }

    fn shape(&mut self, points: Vec<LinePoint>, ink: Ink) {
        self.ops.push(Op::SetFillColor { col: ink.color() });
        self.draw(points, PaintMode::Fill);
    }

    fn draw(&mut self, points: Vec<LinePoint>, mode: PaintMode) {
        let polygon = Polygon { rings: vec![PolygonRing { points }], mode, winding_order: WindingOrder::NonZero };
        self.ops.push(Op::DrawPolygon { polygon });
    }

    pub fn disc(&mut self, x: f32, y: f32, radius: f32, ink: Ink) {
        self.chip(Area { x: x - radius, y: y - radius, width: 2.0 * radius, height: 2.0 * radius }, radius, ink);
    }

    pub fn triangle(&mut self, x: f32, y: f32, radius: f32, up: bool, ink: Ink) {
        let tip = if up { -radius } else { radius };
        self.shape(vec![corner(x - radius, y - tip * 0.8), corner(x + radius, y - tip * 0.8), corner(x, y + tip)], ink);
    }

    pub fn octagon(&mut self, x: f32, y: f32, radius: f32, ink: Ink) {
        let (r, s) = (radius, radius * 0.414);
        let points = [(-s, -r), (s, -r), (r, -s), (r, s), (s, r), (-s, r), (-r, s), (-r, -s)];
        self.shape(points.iter().map(|(dx, dy)| corner(x + dx, y + dy)).collect(), ink);
    }

    /// The last point of a trend: dot normal, triangle high or low, diamond critical.
    pub fn mark(&mut self, x: f32, y: f32, radius: f32, mark: Mark) {
        match mark {
            Mark::Normal => self.disc(x, y, radius * 0.8, Ink::Text),
            Mark::High => self.triangle(x, y, radius * 1.2, true, Ink::Text),
            Mark::Low => self.triangle(x, y, radius * 1.2, false, Ink::Text),
            Mark::Crit => {
                let r = radius * 1.3;
                self.shape(vec![corner(x, y - r), corner(x + r, y), corner(x, y + r), corner(x - r, y)], Ink::Text);
            }
        }
    }
}

/// The outline of a box, clockwise from the top left.
fn outline(area: Area, radius: f32) -> Vec<LinePoint> {
    let (left, top, right, bottom) = (area.x, area.y, area.x + area.width, area.y + area.height);
    if radius <= 0.0 {
        return vec![corner(left, top), corner(right, top), corner(right, bottom), corner(left, bottom)];
    }
    let r = radius.min(area.width / 2.0).min(area.height / 2.0);
    let k = r * (1.0 - QUARTER);
    vec![
        corner(left + r, top),
        corner(right - r, top),
        handle(right - k, top),
        handle(right, top + k),
        corner(right, top + r),
        corner(right, bottom - r),
        handle(right, bottom - k),
        handle(right - k, bottom),
        corner(right - r, bottom),
        corner(left + r, bottom),
        handle(left + k, bottom),
        handle(left, bottom - k),
        corner(left, bottom - r),
        corner(left, top + r),
        handle(left, top + k),
        handle(left + k, top),
        corner(left + r, top),
    ]
}
