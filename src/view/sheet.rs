//! Forms: fields with what was typed, what is wrong beside them, and the summary above. The partial `field`.
//!
//! A form page builds its [`Sheet`] twice: empty (or from stored values, or from a draft) for GET, and from the posted
//! [`Form`] with its [`Problems`] when something is wrong. Nothing that was typed is lost, except passwords.

use crate::oauth::form::Form;
use crate::view::format::Reader;
use crate::view::page::{Item, Message, Tone};
use serde::Serialize;
use std::collections::BTreeMap;

/// Longest value of a line.
const LONGEST: usize = 200;
/// The longest note and the longest value in words.
const LONGEST_TEXT: usize = 4000;

/// Of a draft whose form was saved before, and says something else: where that leads, when it was, and before the names of
/// the fields that were saved otherwise.
pub const SAVED: &str = "guardado";
pub const SAVED_AT: &str = "guardado_a";

#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    pub value: String,
    pub label: String,
    pub chosen: bool,
}

/// One field. Everything that a template asks for is there, so that the strict mode has nothing to say.
#[derive(Clone, Debug, Serialize)]
pub struct Field {
    pub id: String,
    pub name: &'static str,
    pub label: String,
    pub value: String,
    pub kind: &'static str,
    pub hint: Option<String>,
    pub error: Option<String>,
    /// Unlikely, but may be saved.
    pub soft: Option<String>,
    pub optional: bool,
    pub options: Vec<Choice>,
    /// Radios instead of a list: up to three choices.
    pub segments: bool,
    pub check: bool,
    pub lines: bool,
    pub longest: usize,
    pub autocomplete: Option<&'static str>,
    pub inputmode: Option<&'static str>,
    /// Not a word: no capital, no spelling.
    pub plain: bool,
    /// Suggestions.
    pub list: Vec<String>,
    /// Where a page asks for suggestions while somebody types.
    pub ask: Option<&'static str>,
    pub unit: Option<String>,
    /// Ids of hint, warning and error.
    pub described: Option<String>,
}

impl Field {
    fn new(name: &'static str, label: &str, value: &str) -> Field {
        Field {
            id: format!("f-{name}"),
            name,
            label: label.to_owned(),
            value: value.to_owned(),
            kind: "text",
            hint: None,
            error: None,
            soft: None,
            optional: false,
            options: Vec::new(),
            segments: false,
            check: false,
            lines: false,
            longest: LONGEST,
            autocomplete: None,
            inputmode: None,
            plain: false,
            list: Vec::new(),
            ask: None,
            unit: None,
            described: None,
        }
    }

    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Field {
        self.hint = Some(hint.into());
        self
    }

    pub fn optional(&mut self) -> &mut Field {
        self.optional = true;
        self
    }

    pub fn soft(&mut self, warning: impl Into<String>) -> &mut Field {
        self.soft = Some(warning.into());
        self
    }

    pub fn unit(&mut self, unit: impl Into<String>) -> &mut Field {
        self.unit = Some(unit.into());
        self.inputmode = Some("decimal");
        self
    }

    pub fn digits(&mut self) -> &mut Field {
        self.inputmode = Some("numeric");
        self.plain = true;
        self
    }

    pub fn plain(&mut self) -> &mut Field {
        self.plain = true;
        self
    }

    pub fn autocomplete(&mut self, what: &'static str) -> &mut Field {
        self.autocomplete = Some(what);
        self
    }

    pub fn longest(&mut self, characters: usize) -> &mut Field {
        self.longest = characters;
        self
    }

    pub fn suggest(&mut self, list: Vec<String>) -> &mut Field {
        self.list = list;
        self
    }

    pub fn ask(&mut self, address: &'static str) -> &mut Field {
        self.ask = Some(address);
        self
    }

    fn described(&mut self) {
        let parts = [("hint", self.hint.is_some()), ("soft", self.soft.is_some()), ("error", self.error.is_some())];
        let ids: Vec<String> =
            parts.iter().filter(|(_, there)| *there).map(|(part, _)| format!("{}-{part}", self.id)).collect();
        self.described = (!ids.is_empty()).then(|| ids.join(" "));
    }
}

/// What is wrong with what was typed, by field, in the order of the form.
#[derive(Clone, Debug, Default)]
pub struct Problems(Vec<(&'static str, String)>);

impl Problems {
    pub fn add(&mut self, field: &'static str, text: impl Into<String>) {
        if self.of(field).is_none() {
            self.0.push((field, text.into()));
        }
    }

    /// Lines that are longer than a line is: a browser keeps to that, another program may not.
    pub fn long(&mut self, reader: &Reader, form: &Form, names: &[&'static str]) {
        self.above(LONGEST, reader, form, names);
    }

    /// Texts that are longer than a page of paper holds.
    pub fn long_text(&mut self, reader: &Reader, form: &Form, names: &[&'static str]) {
        self.above(LONGEST_TEXT, reader, form, names);
    }

    fn above(&mut self, most: usize, reader: &Reader, form: &Form, names: &[&'static str]) {
        for name in names {
            let n = form.typed(name).chars().count();
            if n > most {
                let places = [("n", n.to_string()), ("most", most.to_string())];
                let places = places.each_ref().map(|(name, value)| (*name, value.as_str()));
                self.add(name, reader.fill("form.too_long", &places));
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn of(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, text)| text.as_str())
    }
}

/// The fields of a form under their names: `fields` of a model.
pub type Fields = BTreeMap<&'static str, Field>;

/// The choices of a form, by field: code and key of the text.
pub type Options = [(&'static str, &'static [(&'static str, &'static str)])];

/// The choices of a field.
pub fn options_of(options: &Options, name: &str) -> &'static [(&'static str, &'static str)] {
    options.iter().find(|(field, _)| *field == name).map_or(&[], |(_, options)| options)
}

/// Fields in the order of a form.
pub fn in_order(mut fields: Fields, names: &[&'static str]) -> Vec<Field> {
    names.iter().filter_map(|name| fields.remove(name)).collect()
}

/// How a field was saved before, when it says something else now.
fn saved<'f>(form: &'f Form, name: &str) -> Option<&'f str> {
    let is_of = |known: &str| known.strip_prefix(SAVED).and_then(|rest| rest.strip_prefix('.')) == Some(name);
    form.pairs().find(|(known, _)| is_of(known)).map(|(_, value)| value)
}

pub struct Sheet<'a> {
    reader: &'a Reader,
    typed: Option<&'a Form>,
    problems: Problems,
    fields: Fields,
}

impl<'a> Sheet<'a> {
    pub fn new(reader: &'a Reader, typed: Option<&'a Form>, problems: Problems) -> Sheet<'a> {
        Sheet { reader, typed, problems, fields: Fields::new() }
    }

    fn add(&mut self, name: &'static str, label: &str, stored: &str) -> &mut Field {
        let typed = self.typed.map(|form| form.typed(name));
        let mut field = Field::new(name, self.reader.text(label), typed.unwrap_or(stored));
        field.error = self.problems.of(name).map(str::to_owned);
        let saved = self.typed.and_then(|form| saved(form, name)).filter(|_| !name.starts_with("clave"));
        field.soft = saved.map(|value| self.saved_as(value));
        self.fields.entry(name).insert_entry(field).into_mut()
    }

    fn saved_as(&self, value: &str) -> String {
        let value = if value.is_empty() { self.reader.text("correct.empty") } else { value };
        self.reader.fill("form.saved_as", &[("value", value)])
    }

    /// A line. `label` is the key of a text; `stored` is shown when nothing was typed yet.
    pub fn line(&mut self, name: &'static str, label: &str, stored: &str) -> &mut Field {
        self.add(name, label, stored)
    }

    /// A password: never shown again.
    pub fn secret(&mut self, name: &'static str, label: &str, autocomplete: &'static str) -> &mut Field {
        let field = self.add(name, label, "");
        field.value.clear();
        field.kind = "password";
        field.longest = 128;
        field.autocomplete(autocomplete)
    }

    pub fn text(&mut self, name: &'static str, label: &str, stored: &str) -> &mut Field {
        let field = self.add(name, label, stored);
        field.lines = true;
        field.longest(4_000)
    }

    /// Pairs of value and label, of which one is chosen.
    pub fn choice(&mut self, name: &'static str, label: &str, stored: &str, options: &[(&str, &str)]) -> &mut Field {
        let saved = self.typed.and_then(|form| saved(form, name));
        let saved = saved.and_then(|saved| options.iter().find(|(value, _)| *value == saved));
        let soft = saved.map(|(_, label)| self.saved_as(label));
        let field = self.add(name, label, stored);
        field.soft = soft.or(field.soft.take());
        let chosen = field.value.clone();
        let option = |(value, label): &(&str, &str)| Choice {
            value: (*value).to_owned(),
            label: (*label).to_owned(),
            chosen: *value == chosen,
        };
        field.options = options.iter().map(option).collect();
        field
    }

    /// The same as radios side by side.
    pub fn segments(&mut self, name: &'static str, label: &str, stored: &str, options: &[(&str, &str)]) -> &mut Field {
        let field = self.choice(name, label, stored, options);
        field.segments = true;
        field
    }

    /// The choices of a form as radios.
    pub fn choose(&mut self, options: &Options, name: &'static str, label: &str, stored: &str) -> &mut Field {
        let options: Vec<_> =
            options_of(options, name).iter().map(|(code, key)| (*code, self.reader.text(key))).collect();
        self.segments(name, label, stored, &options)
    }

    /// The choices of a form as a list, of which none may be chosen.
    pub fn perhaps(&mut self, options: &Options, name: &'static str, label: &str, stored: &str) -> &mut Field {
        let none = ("", self.reader.text("form.unknown"));
        let some = options_of(options, name).iter().map(|(code, key)| (*code, self.reader.text(key)));
        let options: Vec<_> = std::iter::once(none).chain(some).collect();
        self.choice(name, label, stored, &options).optional()
    }

    pub fn check(&mut self, name: &'static str, label: &str, stored: bool) -> &mut Field {
        let said = if self.typed.and_then(|form| saved(form, name)) == Some("1") { "rec.yes" } else { "rec.no" };
        let soft = self.saved_as(self.reader.text(said));
        let field = self.add(name, label, if stored { "1" } else { "" });
        field.check = true;
        field.soft = field.soft.take().map(|_| soft);
        field
    }

    /// "Faltan por corregir 2 datos", with a link to each field; none when nothing is wrong.
    pub fn summary(&self) -> Option<Message> {
        if self.problems.is_empty() {
            return None;
        }
        let label = |name: &str| self.fields.get(name).map_or("", |field| field.label.as_str());
        let item = |(name, text): &(&'static str, String)| Item {
            href: self.fields.contains_key(name).then(|| format!("#f-{name}")),
            label: if label(name).is_empty() { text.clone() } else { format!("{}: {text}", label(name)) },
        };
        let strong = self.reader.count("form.to_correct", i64::try_from(self.problems.0.len()).unwrap_or(1));
        let message = Message::new(Tone::Crit, strong, self.reader.text("form.rest_kept"));
        Some(Message { items: self.problems.0.iter().map(item).collect(), ..message })
    }

    pub fn fields(mut self) -> Fields {
        self.fields.values_mut().for_each(Field::described);
        self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Language;
    use jiff::Timestamp;
    use jiff::tz::Offset;

    #[test]
    fn what_was_typed_stays_and_errors_stand_beside_it() {
        let reader = Reader { language: Language::Es, offset: Offset::UTC, now: Timestamp::UNIX_EPOCH };
        let form = Form::parse(b"usuario=+ana+&clave=geheim&rol=medico").unwrap();
        let mut problems = Problems::default();
        problems.add("usuario", "corto");
        problems.add("usuario", "otra vez");
        let mut sheet = Sheet::new(&reader, Some(&form), problems);
        sheet.line("usuario", "login.usuario", "stored").hint("así");
        sheet.secret("clave", "login.clave", "new-password");
        sheet.line("nombre", "login.usuario", "stored");
        sheet.segments("rol", "login.usuario", "admin", &[("admin", "A"), ("medico", "M")]);
        let summary = sheet.summary().unwrap();
        assert_eq!((summary.items.len(), summary.items[0].href.as_deref()), (1, Some("#f-usuario")));
        assert!(summary.items[0].label.ends_with(": corto"));
        let fields = sheet.fields();
        assert_eq!((fields["usuario"].value.as_str(), fields["usuario"].error.as_deref()), ("ana", Some("corto")));
        assert_eq!(fields["usuario"].described.as_deref(), Some("f-usuario-hint f-usuario-error"));
        assert_eq!(fields["clave"].value, "");
        // A field that was sent empty, or not at all, is not filled from what is stored.
        assert_eq!(fields["nombre"].value, "");
        assert_eq!(fields["rol"].options.iter().map(|o| o.chosen).collect::<Vec<_>>(), [false, true]);
        let mut empty = Sheet::new(&reader, None, Problems::default());
        assert_eq!(empty.line("nombre", "login.usuario", "stored").value, "stored");
        assert!(empty.summary().is_none());
    }
}
