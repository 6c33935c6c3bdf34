use super::*;
use serde_json::json;
use std::collections::BTreeMap;

const STYLE: &str = include_str!("../../../templates/assets/historia.css");

#[test]
fn every_template_compiles_and_speaks_known_texts() {
    for pages in [&ES, &EN] {
        assert!(pages.as_ref().is_ok(), "{:?}", pages.as_ref().err());
    }
    for (name, text) in PARTIALS.iter().chain(PAGES) {
        for key in text.split("{{t \"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(i18n::find(Language::Es, key).is_some(), "{name}: {key}");
        }
        for icon in text.split("{{icon \"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(ICONS.contains(&format!("\"{icon}\"")), "{name}: {icon}");
        }
        assert!(
            !text.contains("style=") && !text.contains("{{{") && !text.contains("onclick"),
            "{name}: the policy forbids it"
        );
    }
}

#[test]
fn texts_have_their_places_filled_and_everything_is_escaped() {
    let mut pages = pages(Language::Es).unwrap();
    pages
        .register_template_string(
            "x",
            "{{t \"age.years.many\" n=who}} {{icon \"plus\"}}{{#if icon}}{{icon icon}}{{/if}}",
        )
        .unwrap();
    let html = pages.render("x", &json!({"who": "<script>\"'&", "icon": "up"})).unwrap();
    assert!(html.starts_with("&lt;script&gt;&quot;&#x27;&amp; años <svg"), "{html}");
    assert_eq!(html.matches("<svg").count(), 2);
    let refused = |template: &str| {
        let mut pages = super::pages(Language::Es).unwrap();
        pages.register_template_string("y", template).unwrap();
        pages.render("y", &json!({"a": 1})).is_err()
    };
    assert!(refused("{{b}}") && refused("{{t \"no.such\"}}") && refused("{{icon \"none\"}}"));
}

/// Custom properties of the block that starts with `selector`.
fn tokens(selector: &str) -> BTreeMap<String, [f64; 3]> {
    let block = STYLE.split_once(&format!("{selector} {{")).unwrap().1;
    let block = block.split_once('}').unwrap().0;
    let pairs = block.split(';').filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
    pairs.filter(|(_, hex)| hex.len() == 6).map(|(name, hex)| (name.to_owned(), channels(hex))).collect()
}

fn channels(hex: &str) -> [f64; 3] {
    [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0)
}

/// Relative luminance and contrast of WCAG 2 (<https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>).
fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
    let luminance = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn colours_keep_their_contrast_light_and_dark() {
    assert!((contrast(channels("FFFFFF"), channels("000000")) - 21.0).abs() < 0.01);
    // Blanks that only lay it out do not count: a reader needs them, and gzip takes them away.
    let weight: usize = STYLE.split_whitespace().map(str::len).sum();
    assert!(weight < 25 * 1024, "{weight} bytes");
    let light = tokens(":root");
    let dark = tokens(":root[data-theme=\"dark\"]");
    assert_eq!(dark, tokens(":root:not([data-theme=\"light\"])"), "the two dark blocks differ");
    assert_eq!(light.keys().collect::<Vec<_>>(), dark.keys().collect::<Vec<_>>());
    let grounds = ["bg", "surface", "sunken", "accent-soft", "crit-soft", "warn-soft", "ok-soft", "info-soft"];
    let mut pairs: Vec<(&str, &str, f64)> = Vec::new();
    for ground in grounds {
        pairs.extend([("ink", ground, 7.0), ("ink-2", ground, 4.5), ("accent", ground, 4.5), ("focus", ground, 3.0)]);
    }
    for ground in ["bg", "surface", "sunken"] {
        pairs.extend(["crit", "warn", "ok", "info"].map(|tone| (tone, ground, 4.5)));
        pairs.push(("edge", ground, 3.0));
    }
    for tone in ["crit", "warn", "ok", "info"] {
        pairs.push((tone, Box::leak(format!("{tone}-soft").into_boxed_str()), 4.5));
    }
    pairs.extend([
        ("on-accent", "accent", 4.5),
        ("on-crit", "crit", 4.5),
        ("spark", "band", 3.0),
        ("ink", "hit", 4.5),
        ("spark", "surface", 3.0),
    ]);
    for (theme, tokens) in [("light", &light), ("dark", &dark)] {
        for (front, back, least) in &pairs {
            let found = contrast(tokens[*front], tokens[*back]);
            assert!(found >= *least, "{theme}: {front} on {back} has {found:.2}, needs {least}");
        }
    }
}

/// Text keys in the code of pages: a string that looks like one must be one.
#[test]
fn texts_named_in_code_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let areas: std::collections::BTreeSet<&str> =
        i18n::catalogue(Language::Es).keys().filter_map(|key| key.split('.').next()).collect();
    let mut files = Vec::new();
    for folder in ["view", "http/web"] {
        let mut open = vec![root.join(folder)];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() { open.push(entry) } else { files.push(entry) }
            }
        }
    }
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for literal in text.split('"').skip(1).step_by(2) {
            let Some((area, rest)) = literal.split_once('.') else { continue };
            let clean = |part: &str| {
                !part.is_empty()
                    && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'))
            };
            if !areas.contains(area)
                || !clean(rest)
                || rest.ends_with('.')
                || matches!(rest, "rs" | "hbs" | "json" | "css" | "js")
            {
                continue;
            }
            seen += 1;
            // A whole key, one with a plural, or the beginning of keys that end in a code.
            let family = format!("{literal}.");
            let known = i18n::find(Language::Es, literal).is_some()
                || i18n::catalogue(Language::Es).keys().any(|key| key.starts_with(&family));
            assert!(known, "{}: {literal}", file.display());
        }
    }
    assert!(seen > 40, "only {seen} keys were found");
}

/// Every partial with everything it may have: nothing is missing, nothing of a record is markup.
#[test]
fn partials_render_and_escape() {
    let bad = "<script>alert(1)</script>\"'{{x}}";
    let banner = json!({
        "surnames": bad, "names": bad,
        "facts": [{"term": "Edad", "hidden": "Edad", "text": bad, "desk": true}, {"term": null, "hidden": "Sexo", "text": "Mujer", "desk": false}],
        "allergies": {"kind": "has", "icon": "triangle", "label": "Alergias", "items": [{"substance": bad, "reaction": bad}, {"substance": "x", "reaction": null}], "note": bad, "link": {"href": "/a?b=1&c=2", "label": bad}},
        "actions": [{"href": "/x", "label": bad, "icon": "page", "primary": true}, {"href": "/y", "label": "B", "icon": null, "primary": false}]
    });
    let row = json!({
        "href": "/paciente/1", "first": true, "surnames": [{"text": bad, "hit": true}, {"text": "ñaranda", "hit": false}], "names": [{"text": bad, "hit": false}],
        "lines": [[{"text": bad, "hit": true}, {"text": bad, "hit": false}]], "badge": {"kind": "info", "icon": null, "label": bad}, "act": bad
    });
    let end = json!({"kind": "crit", "path": "M0 0"});
    let trend = json!({"width": "104", "height": "26", "band": {"y": "1", "height": "2", "marks": []}, "line": "0,0 1,1", "end": end, "sentence": bad});
    let result = json!({
        "critical": true, "href": null, "name": bad, "tone": "crit", "value": bad, "unit": bad, "flag": {"crit": true, "icon": "octagon", "label": bad},
        "reference": bad, "trend": trend, "status": {"kind": "warn", "icon": "half", "label": bad}
    });
    let label = json!({"x": "1", "y": "2", "text": bad, "last": true});
    let chart = json!({
        "width": "360", "height": "190", "left": "1", "right": "2", "inner": "3", "base": "4", "band": {"y": "1", "height": "2", "marks": [label]},
        "line": "0,0 1,1", "points": [label], "end": end, "labels": [label], "dates": [label], "sentence": bad
    });
    let empty = json!({"icon": "flask", "title": bad, "text": bad, "action": {"href": "/x", "label": bad}});
    let message = json!({"kind": "crit", "icon": "octagon", "alert": true, "strong": bad, "text": bad, "link": {"href": "/x", "label": bad}, "items": [{"href": "#f-x", "label": bad}, {"href": null, "label": bad}]});
    for language in [Language::Es, Language::En] {
        for (name, model) in [
            ("banner", &banner),
            ("row", &row),
            ("trend", &trend),
            ("result", &result),
            ("chart", &chart),
            ("empty", &empty),
            ("message", &message),
        ] {
            let html = render(language, name, model).unwrap_or_else(|e| panic!("{name}: {:?}", e.source));
            assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{name}: {html}");
            assert!(!html.contains("\"'{{x}}"), "{name}: {html}");
        }
    }
}

#[test]
fn a_conflict_shows_both_versions() {
    let page = json!({
        "lang": "es-CO", "theme": null, "title": "x", "body": "", "bare": false, "site": "H", "back": {"href": "/", "label": "Historia"}, "sections": [],
        "person": null, "banner": null, "session": 1800, "message": null, "assets": {"css": "/a", "js": "/b", "icon": "/c"}, "csrf": "t", "form": "k.t",
        "switch": {"href": "/idioma/en", "label": "English"}
    });
    let model = json!({
        "page": page, "action": "/p", "pairs": [{"name": "peso", "label": "Peso", "stored": "71,4", "stored_shown": "71,4 kg", "typed": "<b>", "typed_shown": "<b> kg"}],
        "carried": [{"name": "version", "value": "3"}], "stored_by": "Guardado por Yolanda, 14:03", "keep": {"href": "/q", "label": "Dejar la guardada"}
    });
    let html = render(Language::Es, "conflict", &model).unwrap_or_else(|e| panic!("{:?}", e.source));
    for part in [
        "value=\"71,4\"",
        "value=\"&lt;b&gt;\" checked",
        "name=\"version\" value=\"3\"",
        "Yolanda",
        "name=\"csrf\" value=\"t\"",
        "‹ Historia",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
}
