//! A page as a browser reads it: tags with their attributes, text without its entities, and what a form would send.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{HtmlString, Token, Tokenizer};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Tag {
        name: String,
        attributes: BTreeMap<String, String>,
    },
    End(String),
    Text(String),
    Comment(String),
    /// Something that a browser must guess about.
    Fault(String),
}

fn text(bytes: &HtmlString) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads a page; what is in script and style is text, as in a browser.
pub fn read(page: &str) -> Vec<Node> {
    let mut emitter: DefaultEmitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let tokens = Tokenizer::new_with_emitter(page, emitter).map(|token| token.expect("a page in memory"));
    let node = |token: Token| {
        Some(match token {
            Token::StartTag(tag) => Node::Tag {
                name: text(&tag.name),
                attributes: tag.attributes.iter().map(|(name, value)| (text(name), text(value))).collect(),
            },
            Token::EndTag(tag) => Node::End(text(&tag.name)),
            Token::String(found) => Node::Text(text(&found)),
            Token::Comment(found) => Node::Comment(text(&found)),
            Token::Error(fault) => Node::Fault(fault.value.to_string()),
            Token::Doctype(_) => return None,
        })
    };
    tokens.filter_map(node).collect()
}

/// The text of a page, each piece on its own line, and the values of its attributes.
pub fn words(nodes: &[Node]) -> String {
    let mut words = String::new();
    for node in nodes {
        match node {
            Node::Text(text) => words.push_str(text),
            Node::Tag { attributes, .. } => attributes.values().for_each(|value| {
                words.push('\n');
                words.push_str(value);
                words.push('\n');
            }),
            _ => {}
        }
    }
    words
}

/// What a browser would send of the form with this action, in its order, without the names of its buttons.
pub fn controls(page: &str, action: &str) -> Vec<(String, String)> {
    let mut sent: Vec<(String, String)> = Vec::new();
    let (mut inside, mut open): (bool, Option<Open>) = (false, None);
    for node in read(page) {
        match node {
            Node::Tag { name, attributes } if name == "form" => {
                inside = attributes.get("action").is_some_and(|to| to == action);
            }
            Node::End(name) if inside && name == "form" => return sent,
            _ if !inside => {}
            Node::Tag { name, attributes } => control(&name, &attributes, &mut sent, &mut open),
            Node::End(name) if name == "select" || name == "textarea" => {
                if let Some(done) = open.take() {
                    sent.push((done.name, done.chosen.or(done.first).unwrap_or_default()));
                }
            }
            Node::Text(text) => {
                if let Some(area) = open.as_mut().filter(|open| open.is_text) {
                    area.chosen.get_or_insert_default().push_str(&text);
                }
            }
            _ => {}
        }
    }
    panic!("no form {action} in {page}");
}

/// A select or a textarea that is being read.
struct Open {
    name: String,
    is_text: bool,
    first: Option<String>,
    chosen: Option<String>,
}

fn control(
    tag: &str,
    attributes: &BTreeMap<String, String>,
    sent: &mut Vec<(String, String)>,
    open: &mut Option<Open>,
) {
    let of = |name: &str| attributes.get(name).cloned();
    match tag {
        "input" => {
            let Some(name) = of("name") else { return };
            let ticked = !matches!(of("type").as_deref(), Some("radio" | "checkbox")) || of("checked").is_some();
            if ticked {
                sent.push((name, of("value").unwrap_or_default()));
            }
        }
        "select" | "textarea" => {
            let name = of("name").expect("a name");
            *open = Some(Open { name, is_text: tag == "textarea", first: None, chosen: None });
        }
        "option" => {
            if let Some(select) = open.as_mut() {
                let value = of("value").unwrap_or_default();
                if of("selected").is_some() {
                    select.chosen = Some(value.clone());
                }
                select.first.get_or_insert(value);
            }
        }
        _ => {}
    }
}
