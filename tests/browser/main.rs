//! The day of each role, played in headless Chromium: real keys and clicks, with what the person then sees.
//!
//! Every day is played in Spanish and in English, on a phone (360x740) and at a desk (1440x900). Each page that is come
//! past is judged (`page`): axe, one first heading, no sideways scroll at 320 px, nothing on the console; its picture lies
//! in `target/screens/`. All days share one server and one chromedriver; each has a browser and a patient of its own.
//! Without chromedriver the days are skipped by name. `make test` installs what is missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod days;
mod driver;
#[allow(dead_code, unused_imports)]
#[path = "../it/harness/mod.rs"]
mod harness;
mod lan;
mod page;
#[path = "../../benches/http/page_list.rs"]
mod page_list;
mod person;
mod weight;

use historia::i18n::Language::{En, Es};
use person::Size::{Desk, Phone};

macro_rules! days {
    ($($day:ident)*) => { $(
        mod $day {
            use super::*;
            #[test] fn on_a_phone() { person::play("phone", stringify!($day), Phone, Es, days::$day); }
            #[test] fn at_a_desk() { person::play("desk", stringify!($day), Desk, Es, days::$day); }
            #[test] fn on_a_phone_in_english() { person::play("phone_in_english", stringify!($day), Phone, En, days::$day); }
            #[test] fn at_a_desk_in_english() { person::play("desk_in_english", stringify!($day), Desk, En, days::$day); }
        }
    )* };
}

days!(admisionista medico resultados paciente admin doors);
