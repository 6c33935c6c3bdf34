//! Compiles the municipalities of Colombia from tables of the DANE's DIVIPOLA.
//!
//! Input: a folder of CSV files with the columns `nombre_departamento, codigo_municipio, nombre_municipio`, as the DANE
//! publishes its populated places. Output, on standard output: `codigo;municipio;departamento`, one municipality a line, by
//! code, the names written as in a sentence. Nothing else of the tables is kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

/// Words that stay small inside a name.
const SMALL: [&str; 7] = ["de", "del", "la", "las", "los", "el", "y"];

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: divipola FOLDER_OF_CSV > fhir-profiles/local/divipola.csv");
        return ExitCode::from(2);
    };
    match compiled(Path::new(&folder)) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("divipola: {text}");
            ExitCode::FAILURE
        }
    }
}

fn compiled(folder: &Path) -> Result<String, String> {
    let mut all: BTreeMap<String, (String, String)> = BTreeMap::new();
    let told = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut files: Vec<_> =
        std::fs::read_dir(folder).map_err(told)?.filter_map(|file| Some(file.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    for file in &files {
        let text = std::fs::read_to_string(file).map_err(told)?;
        let mut lines = text.trim_start_matches('\u{feff}').lines().map(columns);
        let head = lines.next().unwrap_or_default();
        let at = |name: &str| {
            let at = head.iter().position(|column| column == name);
            at.ok_or_else(|| format!("{}: no column {name}", file.display()))
        };
        let (department, code, name) = (at("nombre_departamento")?, at("codigo_municipio")?, at("nombre_municipio")?);
        for line in lines {
            let column = |at: usize| line.get(at).map(|text| text.trim()).unwrap_or_default();
            if column(code).len() == 5 {
                // The first line of a municipality is its seat, with the name that is in force.
                all.entry(column(code).to_owned())
                    .or_insert_with(|| (written(column(name)), written(column(department))));
            }
        }
    }
    eprintln!("{} municipalities", all.len());
    let lines = all.iter().map(|(code, (name, department))| format!("{code};{name};{department}\n"));
    Ok(format!("codigo;municipio;departamento\n{}", lines.collect::<String>()))
}

/// The columns of a line, commas inside quotes kept.
fn columns(line: &str) -> Vec<String> {
    let mut columns = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => columns.push(String::new()),
            _ => columns.last_mut().into_iter().for_each(|column| column.push(c)),
        }
    }
    columns
}

/// `SAN JOSÉ DE LA MONTAÑA` as `San José de la Montaña`.
fn written(name: &str) -> String {
    let word = |(n, word): (usize, &str)| {
        let low = word.to_lowercase();
        if n > 0 && SMALL.contains(&low.as_str()) {
            return low;
        }
        let mut letters = low.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
    };
    let words: Vec<String> = name.replace("D.C.", "D. C.").split(' ').enumerate().map(word).collect();
    words.join(" ")
}
