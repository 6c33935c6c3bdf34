//! Somebody at a browser: what a hand does, and what an eye waits for.

use crate::driver::{ELEMENT, Session, missing};
use crate::harness::{run, server, skip};
use crate::page;
use historia::i18n::{Language, catalogue};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::time::{Duration, Instant};

/// Longer than this nobody waits for a page.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(25);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Phone,
    Desk,
}

impl Size {
    pub fn width(self) -> u32 {
        match self {
            Size::Phone => 360,
            Size::Desk => 1440,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Size::Phone => "phone",
            Size::Desk => "desk",
        }
    }
}

pub struct Person {
    pub session: Session,
    pub size: Size,
    pub language: Language,
    /// The address of the server.
    base: String,
    step: RefCell<String>,
    steps: Cell<usize>,
    /// Pages that were judged.
    pub seen: Cell<usize>,
}

/// Plays a day; `name` is that of the test, as libtest prints it.
pub fn play(name: &str, day: &str, size: Size, language: Language, work: impl AsyncFnOnce(&Person)) {
    if let Some(reason) = missing() {
        return skip(&format!("{day}::{name}"), reason);
    }
    // Before the browser: its start takes long.
    server();
    run(async {
        let person = Person::at(server().http(), size, language).await;
        let started = Instant::now();
        work(&person).await;
        person.session.close().await;
        let (steps, seen, seconds) = (person.steps.get(), person.seen.get(), started.elapsed().as_secs_f32());
        println!("{day} {name}: {steps} steps, {seen} pages judged, {seconds:.1} s");
    });
}

/// What stands where in a text of the catalogue: its parts between the values that a day does not know.
fn parts(text: &str, known: &[(&str, &str)]) -> Vec<String> {
    let mut text = text.to_owned();
    for (name, value) in known {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    let literal = text.split('{').enumerate().map(|(n, part)| match n {
        0 => part,
        _ => part.split_once('}').map_or(part, |(_, rest)| rest),
    });
    literal.map(plain).filter(|part| !part.is_empty()).collect()
}

/// Capitals and spaces are the style sheet's.
fn plain(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn holds(shown: &str, parts: &[String]) -> bool {
    let mut rest = shown;
    parts.iter().all(|part| {
        rest.find(part.as_str()).is_some_and(|at| {
            rest = &rest[at + part.len()..];
            true
        })
    })
}

impl Person {
    /// Somebody with a new browser in front of a server.
    pub async fn at(base: String, size: Size, language: Language) -> Person {
        let session = Session::open(language).await;
        session.screen(size, size.width(), 0).await;
        let (step, steps, seen) = (RefCell::default(), Cell::new(0), Cell::new(0));
        let person = Person { session, size, language, base, step, steps, seen };
        page::prefers(&person, "light").await;
        person
    }

    /// What is done next: for the count, and for the message of what fails.
    pub fn step(&self, what: &str) {
        self.steps.set(self.steps.get() + 1);
        self.step.replace(what.to_owned());
    }

    /// A text of the catalogue in this person's language.
    pub fn word(&self, key: &str) -> &'static str {
        catalogue(self.language).get(key).unwrap_or_else(|| panic!("no text {key}"))
    }

    pub async fn fail(&self, why: &str) -> ! {
        let address = self.address().await;
        let shown = self.shown().await;
        let name = format!("failed-{}", self.step.borrow().replace([' ', '/', ','], "-"));
        page::shoot(self, &name, "").await;
        panic!(
            "step {} ({}), {}, {}: {why}\nat {address}:\n{}",
            self.steps.get(),
            self.step.borrow(),
            self.size.name(),
            self.language.code(),
            shown.chars().take(2500).collect::<String>()
        );
    }

    /// Waits until it is so.
    pub async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        self.until_in(PATIENCE, what, is).await;
    }

    pub async fn until_in(&self, patience: Duration, what: &str, is: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !is().await {
            if started.elapsed() > patience {
                self.fail(&format!("never {what}")).await;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// A script whose failure is no answer yet: the page may be changing.
    pub async fn ask(&self, script: &str, arguments: Value) -> Value {
        self.session.script(script, arguments).await.unwrap_or(Value::Null)
    }

    pub async fn address(&self) -> String {
        self.ask("return location.pathname + location.search", json!([])).await.as_str().unwrap_or_default().to_owned()
    }

    pub async fn shown(&self) -> String {
        self.ask("return document.body.innerText", json!([])).await.as_str().unwrap_or_default().to_owned()
    }

    /// Types an address.
    pub async fn open(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        if let Err(error) = self.session.call("POST", "url", &json!({"url": url})).await {
            self.fail(&error).await;
        }
        self.ready().await;
    }

    async fn ready(&self) {
        self.until("loaded", async || self.ask("return document.readyState", json!([])).await == "complete").await;
    }

    /// The first such element that can be seen, brought to the middle of the screen.
    async fn element(&self, css: &str) -> String {
        const FIND: &str = "for (const e of document.querySelectorAll(arguments[0])) {
            if (!e.checkVisibility({visibilityProperty: true}) || e.getClientRects().length === 0) continue;
            const box = e.getBoundingClientRect();
            if (box.top < 120 || box.bottom > innerHeight - 120) e.scrollIntoView({block: 'center', behavior: 'instant'});
            return e;
        } return null";
        let started = Instant::now();
        loop {
            if let Some(id) = self.ask(FIND, json!([css])).await[ELEMENT].as_str() {
                return id.to_owned();
            }
            if started.elapsed() > PATIENCE {
                self.fail(&format!("there is no {css} to be seen")).await;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn hand(&self, id: &str, what: &str, body: Value) {
        if let Err(error) = self.session.call("POST", &format!("element/{id}/{what}"), &body).await {
            self.fail(&error).await;
        }
    }

    /// A click that changes this page.
    pub async fn press(&self, css: &str) {
        let id = self.element(css).await;
        self.hand(&id, "click", json!({})).await;
    }

    /// Something that leads to another page, and the wait for it.
    async fn leads(&self, what: impl Future<Output = ()>) {
        let before = self.ask("return performance.timeOrigin", json!([])).await;
        what.await;
        self.until("another page", async || {
            let now = self.ask("return document.readyState === 'complete' ? performance.timeOrigin : null", json!([]));
            let now = now.await;
            !now.is_null() && now != before
        })
        .await;
    }

    /// A click that leads to another page.
    pub async fn follow(&self, css: &str) {
        self.leads(self.press(css)).await;
    }

    pub async fn link(&self, href: &str) {
        self.follow(&format!("a[href=\"{href}\"]")).await;
    }

    /// Sends the form in which the field of this name stands, by its first button (not by that of a possible duplicate).
    pub async fn send(&self, name: &str) {
        self.follow(&format!("main form:has([name=\"{name}\"]) button[type=submit]:not([aria-hidden], [name=otra])"))
            .await;
    }

    /// Writes into a field; what was in it goes.
    pub async fn write(&self, name: &str, text: &str) {
        let id = self.element(&format!("main [name=\"{name}\"]:not([type=hidden])")).await;
        self.hand(&id, "clear", json!({})).await;
        if !text.is_empty() {
            self.hand(&id, "value", json!({"text": text})).await;
        }
    }

    pub async fn fill(&self, fields: &[(&str, &str)]) {
        for (name, text) in fields {
            self.write(name, text).await;
        }
    }

    /// Chooses one of a list or of several buttons.
    pub async fn choose(&self, name: &str, value: &str) {
        let list = format!("main select[name=\"{name}\"]");
        if self.ask("return document.querySelector(arguments[0]) !== null", json!([list])).await == true {
            self.element(&list).await;
            const PICK: &str = "return document.querySelector(arguments[0])";
            let option = format!("{list} option[value=\"{value}\"]");
            match self.ask(PICK, json!([option])).await[ELEMENT].as_str() {
                Some(id) => return self.hand(id, "click", json!({})).await,
                None => self.fail(&format!("no choice {value} of {name}")).await,
            }
        }
        self.press(&format!("main label:has(> input[name=\"{name}\"][value=\"{value}\"])")).await;
    }

    pub async fn tick(&self, name: &str) {
        self.press(&format!("main input[type=checkbox][name=\"{name}\"]")).await;
    }

    /// Keys to whatever has the focus.
    pub async fn keys(&self, text: &str) {
        let focused = self.session.call("GET", "element/active", &Value::Null).await.unwrap_or_default();
        match focused[ELEMENT].as_str() {
            Some(id) => self.hand(id, "value", json!({"text": text})).await,
            None => self.fail("nothing has the focus").await,
        }
    }

    /// A key that leads to another page.
    pub async fn key_leads(&self, text: &str) {
        self.leads(self.keys(text)).await;
    }

    /// Waits until this text stands on the page.
    pub async fn reads(&self, text: &str) {
        self.reads_parts(text, &[]).await;
    }

    /// Waits until a text of the catalogue stands on the page, whatever its values.
    pub async fn sees(&self, key: &str) {
        self.reads_parts(self.word(key), &[]).await;
    }

    /// The same with values.
    pub async fn sees_with(&self, key: &str, known: &[(&str, &str)]) {
        self.reads_parts(self.word(key), known).await;
    }

    async fn reads_parts(&self, text: &str, known: &[(&str, &str)]) {
        let parts = parts(text, known);
        self.until(&format!("{parts:?}"), async || holds(&plain(&self.shown().await), &parts)).await;
    }

    /// What must not be there is not.
    pub async fn reads_no(&self, text: &str) {
        if plain(&self.shown().await).contains(&plain(text)) {
            self.fail(&format!("{text:?} is shown")).await;
        }
    }

    /// What stands in a field.
    pub async fn holds(&self, name: &str, text: &str) {
        const VALUE: &str = "const e = document.querySelector(arguments[0]); return e ? e.value : null";
        let field = format!("main [name=\"{name}\"]:not([type=hidden])");
        let value = self.ask(VALUE, json!([field])).await;
        if value != text {
            self.fail(&format!("{name} holds {value}, not {text:?}")).await;
        }
    }

    /// Whether something of this kind is on the page.
    pub async fn has(&self, css: &str) -> bool {
        self.ask("return document.querySelector(arguments[0]) !== null", json!([css])).await == true
    }

    /// Waits for something of this kind.
    pub async fn finds(&self, css: &str) {
        self.until(&format!("{css} there"), async || self.has(css).await).await;
    }

    /// An attribute of the first such element.
    pub async fn attribute(&self, css: &str, name: &str) -> String {
        const READ: &str =
            "const e = document.querySelector(arguments[0]); return e ? e.getAttribute(arguments[1]) : null";
        match self.ask(READ, json!([css, name])).await.as_str() {
            Some(text) => text.to_owned(),
            None => self.fail(&format!("no {css} with {name}")).await,
        }
    }

    /// The text of the first such element.
    pub async fn text_of(&self, css: &str) -> String {
        const READ: &str = "const e = document.querySelector(arguments[0]); return e ? e.innerText : null";
        match self.ask(READ, json!([css])).await.as_str() {
            Some(text) => text.trim().to_owned(),
            None => self.fail(&format!("no {css}")).await,
        }
    }

    /// Signs in at the form that is shown.
    pub async fn sign_in(&self, usuario: &str, clave: &str) {
        self.fill(&[("usuario", usuario), ("clave", clave)]).await;
        self.send("clave").await;
    }

    /// Opens the front door and signs in with the login of a role.
    pub async fn enter(&self, role: &str) {
        let (usuario, clave) = server().login(role);
        self.open("/login").await;
        self.sign_in(&usuario, &clave).await;
    }

    /// Signs out: at the desk in the top bar, on a phone at the foot of one's account.
    pub async fn leave(&self) {
        self.open("/cuenta").await;
        self.follow("form[action=\"/logout\"] button").await;
        self.sees("login.title").await;
    }

    /// Judges the page, and takes its picture.
    pub async fn look(&self, number: &str, name: &str) {
        page::judge(self, number, name).await;
        self.seen.set(self.seen.get() + 1);
    }
}
