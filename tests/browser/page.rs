//! What holds for every page that somebody comes past, and its picture in `target/screens/`.

use crate::harness::skip;
use crate::person::{Person, Size};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use historia::i18n::Language;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Narrower than any phone of today, and what a desk is at 400 % (WCAG 2.2, 1.4.10).
const NARROW: u32 = 320;

/// Screens of desks beside the one of the pictures.
const DESKS: [u32; 3] = [1024, 1280, 1366];

/// Answers that are a page of their own, and that Chromium writes on the console.
const SPOKEN: [&str; 5] = ["401", "403", "404", "409", "422"];

pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder").to_owned()
}

/// The script of axe-core, which `.ci/install test` brings; it is not part of this repository.
static AXE: LazyLock<Option<String>> = LazyLock::new(|| std::fs::read_to_string(target().join("axe.min.js")).ok());

#[test]
fn axe_is_here() {
    if AXE.is_none() {
        skip(
            "page::axe_is_here",
            "target/axe.min.js is missing, no page was judged for accessibility: .ci/install test",
        );
    }
}

/// Takes the picture of what the screen shows.
pub async fn shoot(person: &Person, name: &str, dark: &str) {
    let taken = person.session.devtools("Page.captureScreenshot", json!({"format": "png"})).await;
    let bytes = STANDARD.decode(taken["data"].as_str().unwrap_or_default()).expect("base64");
    let folder = target().join("screens");
    std::fs::create_dir_all(&folder).expect("a folder for screens");
    let language = if person.language == Language::En { "-en" } else { "" };
    std::fs::write(folder.join(format!("{name}-{}{language}{dark}.png", person.size.name())), bytes)
        .expect("a picture");
}

/// What the device prefers: these colours; and that nothing moves, so that there is nothing to wait for.
pub async fn prefers(person: &Person, colours: &str) {
    let features = json!({"features": [
        {"name": "prefers-color-scheme", "value": colours}, {"name": "prefers-reduced-motion", "value": "reduce"}
    ]});
    person.session.devtools("Emulation.setEmulatedMedia", features).await;
}

/// `number` is that of the picture in the design that the page is to be laid beside, from 20 on there is none.
pub async fn judge(person: &Person, number: &str, name: &str) {
    let name = format!("{number}-{name}");
    person.ask("scrollTo({top: 0, behavior: 'instant'})", json!([])).await;
    shoot(person, &name, "").await;
    one_heading(person).await;
    nothing_sideways(person).await;
    tables_whole(person).await;
    let is_first = person.language == Language::Es;
    if is_first {
        prefers(person, "dark").await;
        shoot(person, &name, "-dark").await;
    }
    // All of it on one screen: what sticks to the foot lies over something else at every place of a lower one.
    let whole = person.ask("return document.documentElement.scrollHeight", json!([])).await;
    person.session.screen(person.size, person.size.width(), whole.as_u64().unwrap_or(0)).await;
    if is_first {
        accessible(person, true).await;
        prefers(person, "light").await;
    }
    accessible(person, false).await;
    person.session.screen(person.size, person.size.width(), 0).await;
    quiet(person).await;
}

async fn one_heading(person: &Person) {
    const ASK: &str = "return [document.querySelectorAll('h1').length, document.documentElement.lang, document.title]";
    let found = person.ask(ASK, json!([])).await;
    if found[0] != 1 || found[1] != person.language.tag() || found[2].as_str().unwrap_or_default().len() < 9 {
        person.fail(&format!("first headings, language and title are {found}")).await;
    }
}

async fn nothing_sideways(person: &Person) {
    const ASK: &str = "const wide = document.documentElement.scrollWidth;
        return wide <= innerWidth ? null : [wide, innerWidth, ...[...document.querySelectorAll('body *')]
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 120)).slice(0, 4)]";
    if person.size == Size::Phone {
        person.session.screen(person.size, NARROW, 0).await;
    }
    let found = person.ask(ASK, json!([])).await;
    if person.size == Size::Phone {
        person.session.screen(person.size, person.size.width(), 0).await;
    }
    if !found.is_null() {
        person.fail(&format!("it scrolls sideways: {found:#}")).await;
    }
}

/// Desks of less than the widest screen: no cell of a table lies outside its panel.
async fn tables_whole(person: &Person) {
    const ASK: &str = "return [...document.querySelectorAll('.panel td, .panel th')].filter((cell) => {
            const [own, panel] = [cell.getBoundingClientRect(), cell.closest('.panel').getBoundingClientRect()];
            return own.width > 1 && (own.right > panel.right + 1 || own.left < panel.left - 1);
        }).map((cell) => cell.outerHTML.slice(0, 120)).slice(0, 4)";
    if person.size == Size::Phone {
        return;
    }
    for width in DESKS {
        person.session.screen(person.size, width, 0).await;
        let found = person.ask(ASK, json!([])).await;
        if found.as_array().is_none_or(|found| !found.is_empty()) {
            person.fail(&format!("at {width} px cells of a table lie outside their panel: {found:#}")).await;
        }
    }
    person.session.screen(person.size, person.size.width(), 0).await;
}

/// <https://github.com/dequelabs/axe-core>: no violation of WCAG 2.2 AA, none of the best practices.
async fn accessible(person: &Person, dark: bool) {
    const RUN: &str = "const done = arguments[arguments.length - 1];
        axe.run(document, {runOnly: arguments[0], resultTypes: ['violations']}).then((found) => done(found.violations.map(
            (v) => v.id + ': ' + v.nodes.slice(0, 4).map((n) => n.target.join(' ') + ' ' + n.failureSummary).join('\\n'))),
            (error) => done([String(error)]))";
    let Some(axe) = AXE.as_ref() else { return };
    let rules = if dark {
        json!({"type": "rule", "values": ["color-contrast"]})
    } else {
        json!({"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]})
    };
    if person.ask("return typeof axe", json!([])).await != "object" {
        person.session.script(axe, json!([])).await.unwrap_or_else(|e| panic!("axe cannot be loaded: {e}"));
    }
    let found = person.session.script_async(RUN, json!([rules])).await;
    match found {
        Ok(Value::Array(found)) if found.is_empty() => {}
        other => person.fail(&format!("axe (dark: {dark}) found {other:#?}")).await,
    }
}

async fn quiet(person: &Person) {
    let lines = person.session.call("POST", "se/log", &json!({"type": "browser"})).await.unwrap_or_default();
    let is_page = |line: &Value| {
        let text = line["message"].as_str().unwrap_or_default();
        line["source"] == "network"
            && !text.contains("/assets/")
            && SPOKEN.iter().any(|status| text.contains(&format!("a status of {status}")))
    };
    let loud: Vec<&Value> = lines
        .as_array()
        .into_iter()
        .flatten()
        .filter(|line| (line["level"] == "SEVERE" || line["level"] == "WARNING") && !is_page(line))
        .collect();
    if !loud.is_empty() {
        person.fail(&format!("on the console: {loud:#?}")).await;
    }
}
