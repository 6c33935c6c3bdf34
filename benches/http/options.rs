//! What may be said on the command line (`make bench ARGS="..."`).

use crate::Result;
use std::path::PathBuf;

const USAGE: &str = "\
usage: make bench ARGS=\"[--only SHAPE]... [--connections N]... [--repeats N] [--patients N] [--percent N] [--binary FILE] [--data FOLDER] [--size N]... [--alone]\"
  --only         read, create, update, search or import; all of them by default; or pages or sizes, which stand alone
  --connections  8 and 32 by default (import always sends 4 Bundles at once)
  --repeats      interleaved repeats of each measurement, 5 by default
  --patients     records that are there before, of 300 resources each; 100 by default
  --percent      of the usual number of requests; 100 by default
  --binary       another build of historia than the one made with this bench
  --data         where the data are kept for another run; a folder that is removed at the end by default
  --size         of sizes: patients, ascending; 700 and 7000 by default
  --alone        no turns for the floor and no vacuum between: for a profiler";

pub struct Options {
    pub only: Vec<String>,
    pub connections: Vec<usize>,
    pub repeats: usize,
    pub patients: usize,
    pub percent: usize,
    pub binary: Option<PathBuf>,
    pub data: Option<PathBuf>,
    pub sizes: Vec<usize>,
    pub alone: bool,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Options> {
        let mut options = Options {
            only: Vec::new(),
            connections: Vec::new(),
            repeats: 5,
            patients: 100,
            percent: 100,
            binary: None,
            data: None,
            sizes: Vec::new(),
            alone: false,
        };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            // cargo adds it.
            if name == "--bench" {
                continue;
            }
            if name == "--alone" {
                options.alone = true;
                continue;
            }
            let value = arguments.next().ok_or(USAGE)?;
            match name.as_str() {
                "--only"
                    if matches!(
                        value.as_str(),
                        "read" | "create" | "update" | "search" | "import" | "pages" | "sizes"
                    ) =>
                {
                    options.only.push(value.clone());
                }
                "--connections" => options.connections.push(number(value, 256)?),
                "--repeats" => options.repeats = number(value, 100)?,
                "--patients" => options.patients = number(value, 10_000)?,
                "--percent" => options.percent = number(value, 10_000)?,
                "--data" => options.data = Some(value.into()),
                "--size" => options.sizes.push(number(value, 1_000_000)?),
                "--binary" => options.binary = Some(value.into()),
                _ => return Err(USAGE.into()),
            }
        }
        if options.connections.is_empty() {
            options.connections = vec![8, 32];
        }
        if options.sizes.is_empty() {
            options.sizes = vec![700, 7_000];
        }
        Ok(options)
    }

    pub fn wants(&self, shape: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == shape)
    }

    /// The usual number of requests, as asked for on the command line.
    pub fn count(&self, usual: usize) -> usize {
        (usual * self.percent / 100).max(1)
    }
}

fn number(text: &str, most: usize) -> Result<usize> {
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| USAGE.into())
}
