//! What the pages weigh on the wire, as a browser asks for them: none above 100 kB, and no request that a page could do
//! without. What they take in time is measured, not tested: `make bench ARGS="--only pages"`.

use crate::harness::browser::Browser;
use crate::harness::{Reply, anonymous, run};
use crate::page_list::{PAGES, link};
use std::collections::BTreeMap;

const MOST: usize = 100_000;

/// Head and body.
fn weight(reply: &Reply) -> usize {
    let head: usize = reply.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    head + reply.body.len()
}

/// The addresses that a browser fetches with a page.
fn assets(html: &str) -> Vec<String> {
    let all = html.split([' ', '>']).filter_map(|part| {
        part.strip_prefix("src=\"").or_else(|| part.strip_prefix("href=\"")).and_then(|rest| rest.split('"').next())
    });
    let mut assets: Vec<String> = all.filter(|address| address.starts_with("/assets/")).map(str::to_owned).collect();
    assets.sort();
    assets.dedup();
    assets
}

#[test]
fn no_page_is_heavy() {
    run(async {
        let mut people: BTreeMap<&str, Browser> = BTreeMap::new();
        let mut lines = vec!["page: bytes at the first visit (requests), at the next".to_owned()];
        for listed in PAGES {
            let browser = match people.entry(listed.role) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => new.insert(match listed.role {
                    "" => Browser::new(),
                    role => Browser::of(role).await,
                }),
            };
            let mut path = listed.from.to_owned();
            if !listed.link.is_empty() {
                let html = browser.get(&path).await.expect(200).text();
                let href = link(&html, listed.link).unwrap_or_else(|| panic!("{path} has no {}", listed.link));
                path = format!("{href}{}", listed.then);
            }
            let page = browser.get(&path).await.expect(200);
            let (mut first, assets) = (weight(&page), assets(&page.text()));
            for asset in &assets {
                let gzip = [("accept-encoding", "gzip, deflate, br")];
                let asset = anonymous().send("GET", asset, &gzip, None).await.expect(200);
                assert!(asset.header("cache-control").contains("immutable"), "{} is asked for again", asset.asked);
                first += weight(&asset);
            }
            let line = format!("{} {}: {first} ({}), {}", listed.role, listed.name, assets.len() + 1, weight(&page));
            assert!(first <= MOST && assets.len() <= 3, "{line}");
            lines.push(line);
        }
        println!("{}", lines.join("\n"));
    });
}
