//! The fonts of the document: widths, line breaks, and what is in none of them.
//!
//! `templates/fonts/README.md` says what they hold. A character that none holds is printed as its code, `[U+0E01]`, so that
//! nothing is lost, and is counted.

use printpdf::{FontId, ParsedFont, PdfDocument, PdfFont};
use std::sync::LazyLock;
use unicode_normalization::UnicodeNormalization;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Regular,
    Bold,
}

/// Which font a piece of text is set in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    Regular,
    Bold,
    Math,
}

impl Face {
    /// Its name inside the document; none of the names of the built-in fonts.
    pub fn id(self) -> FontId {
        FontId(
            match self {
                Face::Regular => "NotoSansRegular",
                Face::Bold => "NotoSansBold",
                Face::Math => "NotoSansMath",
            }
            .to_owned(),
        )
    }
}

/// A part of a line: text in one font, or the code of a character that there is no glyph for.
#[derive(Debug, PartialEq)]
pub enum Piece {
    Text { face: Face, text: String, width: f32 },
    Missing { code: String },
}

/// What stands for a character that no font has.
fn code(c: char) -> String {
    format!("[U+{:04X}]", u32::from(c))
}

pub struct Fonts {
    regular: ParsedFont,
    bold: ParsedFont,
    math: ParsedFont,
}

static FONTS: LazyLock<Option<Fonts>> = LazyLock::new(|| {
    let read = |bytes: &[u8]| ParsedFont::from_bytes(bytes, 0, &mut Vec::new());
    Some(Fonts {
        regular: read(include_bytes!("../../../templates/fonts/NotoSans-Regular.ttf"))?,
        bold: read(include_bytes!("../../../templates/fonts/NotoSans-Bold.ttf"))?,
        math: read(include_bytes!("../../../templates/fonts/NotoSansMath.ttf"))?,
    })
});

/// Composed, in one line, without what only steers: control characters, marks of direction, soft hyphens.
pub fn printable(text: &str) -> String {
    let steers = |c: char| matches!(c, '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}' | '\u{FE00}'..='\u{FE0F}');
    let blank = |c: char| if c.is_control() || c.is_whitespace() && c != '\u{A0}' { ' ' } else { c };
    text.chars().filter(|c| !steers(*c)).map(blank).nfc().collect()
}

impl Fonts {
    pub fn get() -> Option<&'static Fonts> {
        FONTS.as_ref()
    }

    pub fn embed(&self, document: &mut PdfDocument) {
        for (face, font) in [(Face::Regular, &self.regular), (Face::Bold, &self.bold), (Face::Math, &self.math)] {
            document.resources.fonts.map.insert(face.id(), PdfFont::new(font.clone()));
        }
    }

    /// The font and width (in em) of a character.
    fn glyph(&self, weight: Weight, c: char) -> Option<(Face, f32)> {
        let own = match weight {
            Weight::Regular => (Face::Regular, &self.regular),
            Weight::Bold => (Face::Bold, &self.bold),
        };
        [own, (Face::Math, &self.math)].into_iter().find_map(|(face, font)| {
            let glyph = font.lookup_glyph_index(u32::from(c)).filter(|glyph| *glyph != 0)?;
            let width = f32::from(font.get_glyph_width(glyph)?) / f32::from(font.units_per_em.max(1));
            Some((face, width))
        })
    }

    /// Width of a character, or of its code, in em.
    fn advance(&self, weight: Weight, c: char) -> f32 {
        let width = |c: char| self.glyph(weight, c).map_or(0.0, |(_, width)| width);
        self.glyph(weight, c).map_or_else(|| code(c).chars().map(width).sum(), |(_, width)| width)
    }

    /// Printable text in runs of one font.
    pub fn pieces(&self, weight: Weight, text: &str) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for c in text.chars() {
            match (self.glyph(weight, c), pieces.last_mut()) {
                (Some((face, width)), Some(Piece::Text { face: last, text, width: sum })) if *last == face => {
                    text.push(c);
                    *sum += width;
                }
                (Some((face, width)), _) => pieces.push(Piece::Text { face, text: c.to_string(), width }),
                (None, _) => pieces.push(Piece::Missing { code: code(c) }),
            }
        }
        pieces
    }

    /// Width of printable text in points.
    pub fn width(&self, weight: Weight, size: f32, text: &str) -> f32 {
        text.chars().map(|c| self.advance(weight, c)).sum::<f32>() * size
    }

    /// At most so many lines; where there would be more, the last one says so.
    pub fn lines(&self, weight: Weight, size: f32, text: &str, most: f32, count: usize) -> Vec<String> {
        let mut lines = self.wrap(weight, size, text, most);
        if lines.len() > count {
            lines.truncate(count);
            if let Some(last) = lines.last_mut() {
                while self.width(weight, size, last) + self.width(weight, size, "…") > most && last.pop().is_some() {}
                last.push('…');
            }
        }
        lines
    }

    /// Lines of at most `most` points, broken at blanks, a longer word wherever it must be. At least one.
    pub fn wrap(&self, weight: Weight, size: f32, text: &str, most: f32) -> Vec<String> {
        let text = printable(text);
        let mut lines = Vec::new();
        let (mut line, mut used) = (String::new(), 0.0);
        let blank = self.width(weight, size, " ");
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let width = self.width(weight, size, word);
            if !line.is_empty() && used + blank + width <= most {
                line.push(' ');
                line.push_str(word);
                used += blank + width;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            used = 0.0;
            for c in word.chars() {
                let wide = self.width(weight, size, c.encode_utf8(&mut [0; 4]));
                if used + wide > most && !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                    used = 0.0;
                }
                line.push(c);
                used += wide;
            }
        }
        if !line.is_empty() || lines.is_empty() {
            lines.push(line);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latin_letter_has_a_glyph_in_both_weights() {
        let fonts = Fonts::get().unwrap();
        let latin = ('\u{A1}'..='\u{17F}').chain('\u{1E00}'..='\u{1EFF}').filter(|c| *c != '\u{AD}');
        for c in (' '..='~').chain(latin).chain("−≥≤≠≈±×µ°³⁶₂–—‘’“”…•€→αβγδΩ".chars())
        {
            for weight in [Weight::Regular, Weight::Bold] {
                assert!(fonts.glyph(weight, c).is_some(), "U+{:04X} {weight:?}", u32::from(c));
            }
        }
        assert_eq!(fonts.glyph(Weight::Bold, '−').map(|(face, _)| face), Some(Face::Math));
        for figure in '0'..='9' {
            assert_eq!(
                fonts.glyph(Weight::Regular, figure),
                fonts.glyph(Weight::Regular, '0').map(|(_, w)| (Face::Regular, w))
            );
        }
    }

    #[test]
    fn what_has_no_glyph_is_its_code() {
        let fonts = Fonts::get().unwrap();
        let pieces = fonts.pieces(Weight::Regular, "a漢≥");
        assert!(
            matches!(
                pieces.as_slice(),
                [Piece::Text { face: Face::Regular, .. }, Piece::Missing { code }, Piece::Text { face: Face::Math, .. }]
                    if code == "[U+6F22]"
            ),
            "{pieces:?}"
        );
        let width = |text: &str| fonts.width(Weight::Bold, 10.0, text);
        assert_eq!((width("漢"), code('ก').as_str()), (width("[U+6F22]"), "[U+0E01]"));
    }

    #[test]
    fn text_is_composed_and_cleaned() {
        assert_eq!(printable("Mun\u{303}oz\u{7}\u{200F}\t\u{202E}x"), "Muñoz  x");
    }

    #[test]
    fn lines_break_at_blanks_and_long_words_anywhere() {
        let fonts = Fonts::get().unwrap();
        assert_eq!(fonts.wrap(Weight::Regular, 10.0, "uno dos  tres", 45.0), ["uno dos", "tres"]);
        assert_eq!(fonts.wrap(Weight::Regular, 10.0, "", 45.0), [""]);
        let broken = fonts.wrap(Weight::Regular, 10.0, &"x".repeat(40), 45.0);
        assert!(broken.len() > 3 && broken.concat() == "x".repeat(40), "{broken:?}");
        assert!(broken.iter().all(|line| fonts.width(Weight::Regular, 10.0, line) <= 45.0));
        assert_eq!(fonts.wrap(Weight::Regular, 10.0, "漢漢", 1.0).len(), 2);
        assert_eq!(fonts.lines(Weight::Regular, 10.0, "uno dos tres cuatro", 45.0, 9), ["uno dos", "tres", "cuatro"]);
        assert_eq!(fonts.lines(Weight::Regular, 10.0, "uno dos tres cuatro", 45.0, 1), ["uno do…"]);
    }
}
