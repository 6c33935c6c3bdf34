//! `--only pages`: what the pages cost when 50 people use them at once.
//!
//! First one person alone asks for each page in turn: what it costs the processor. Then two turns: everybody asks for a page each second (busy people), and everybody asks again at once (nobody does: how far
//! it is to the edge). The client is on the same machine, so it takes part of the cores.

use crate::Result;
use crate::cpu::Used;
use crate::load::{Connection, request};
use crate::page_list::{Listed, PAGES, link};
use crate::server::Historia;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const USERS: usize = 50;
const EACH: Duration = Duration::from_secs(1);
/// How often a page is asked for to know its CPU: the clock of a process ticks each 10 ms.
const ALONE: usize = 100;

/// A page as it is asked for.
struct Found {
    listed: &'static Listed,
    path: String,
    bytes: usize,
}

type Times = BTreeMap<usize, Vec<f64>>;

pub async fn bench(historia: &Historia, percent: usize) -> Result<()> {
    let roles = roles();
    let mut cookies = Vec::new();
    for role in &roles {
        // More than one session of a role: no page is served to one person alone.
        let mut own = Vec::new();
        for _ in 0..USERS.div_ceil(roles.len()) {
            own.push(sign_in(historia, role).await?);
        }
        cookies.push(own);
    }
    let mut pages = Vec::new();
    for listed in PAGES {
        let at = roles.iter().position(|role| *role == listed.role).unwrap_or(0);
        let headers = cookies.get(at).and_then(|own| own.first()).cloned().unwrap_or_default();
        pages.push(found(historia.address, listed, &headers).await?);
    }
    let pages = Arc::new(pages);
    let users: Vec<(&str, String)> = (0..USERS)
        .filter_map(|n| {
            let at = n % roles.len();
            Some((*roles.get(at)?, cookies.get(at)?.get(n / roles.len())?.clone()))
        })
        .collect();
    let used = alone(historia, &pages, &cookies, &roles, (ALONE * percent / 100).max(10)).await?;
    let seconds = |usual: u64| Duration::from_millis(usual * 10 * u64::try_from(percent).unwrap_or(100));
    // Caches and plans as on any day.
    turn(historia.address, &pages, &users, seconds(5), Duration::ZERO).await?;
    let busy = turn(historia.address, &pages, &users, seconds(60), EACH).await?;
    let before = Used::now(historia.pid, historia.postgres_pid)?;
    let edge = turn(historia.address, &pages, &users, seconds(20), Duration::ZERO).await?;
    let during = Used::now(historia.pid, historia.postgres_pid)?.since(before);
    print(&pages, &used, &busy, &edge, during);
    Ok(())
}

fn roles() -> Vec<&'static str> {
    let mut roles: Vec<&str> = PAGES.iter().map(|page| page.role).filter(|role| !role.is_empty()).collect();
    roles.dedup();
    roles
}

/// The header of a session.
async fn sign_in(historia: &Historia, role: &str) -> Result<String> {
    let login = historia.login(role)?;
    let text = |name: &str| login.get(name).and_then(Value::as_str).unwrap_or_default();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let form = [("usuario", text("usuario")), ("clave", text("clave"))];
    let post = client.post(format!("http://{}/login", historia.address)).header("sec-fetch-site", "same-origin");
    let answer = post.form(&form).send().await?;
    let cookie = answer.headers().get("set-cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match cookie.split(';').next() {
        Some(pair) if answer.status().as_u16() == 303 => Ok(format!("cookie: {pair}\r\naccept: text/html\r\n")),
        _ => Err(format!("{role} was answered {} at the sign-in", answer.status()).into()),
    }
}

async fn get(connection: &mut Connection, path: &str, headers: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    request("GET", path, headers, "", &mut bytes);
    let answer = connection.exchange(&bytes).await?;
    match answer.status {
        200 => Ok(answer.body.to_vec()),
        status => Err(format!("{path} was answered {status}").into()),
    }
}

async fn found(to: SocketAddr, listed: &'static Listed, headers: &str) -> Result<Found> {
    let mut connection = Connection::open(to).await?;
    let mut path = listed.from.to_owned();
    if !listed.link.is_empty() {
        let html = String::from_utf8(get(&mut connection, listed.from, headers).await?)?;
        let href = link(&html, listed.link).ok_or_else(|| format!("{} has no {}", listed.from, listed.link))?;
        path = format!("{href}{}", listed.then);
    }
    let bytes = get(&mut connection, &path, headers).await?.len();
    Ok(Found { listed, path, bytes })
}

/// CPU of each page, in milliseconds of the server and of PostgreSQL, when one person has them for itself.
async fn alone(
    historia: &Historia,
    pages: &[Found],
    cookies: &[Vec<String>],
    roles: &[&str],
    times: usize,
) -> Result<Vec<Used>> {
    let mut all = Vec::new();
    let mut connection = Connection::open(historia.address).await?;
    for page in pages {
        let at = roles.iter().position(|role| *role == page.listed.role).unwrap_or(0);
        let headers = cookies.get(at).and_then(|own| own.first()).ok_or("nobody is signed in")?;
        // Caches and plans as on any day.
        for _ in 0..10 {
            get(&mut connection, &page.path, headers).await?;
        }
        let before = Used::now(historia.pid, historia.postgres_pid)?;
        for _ in 0..times {
            get(&mut connection, &page.path, headers).await?;
        }
        let used = Used::now(historia.pid, historia.postgres_pid)?.since(before);
        all.push(Used { server: used.server / times as f64, postgres: used.postgres / times as f64 });
    }
    Ok(all)
}

/// Everybody walks through the pages of the role for a time.
async fn turn(
    to: SocketAddr,
    pages: &Arc<Vec<Found>>,
    users: &[(&'static str, String)],
    long: Duration,
    each: Duration,
) -> Result<Times> {
    let until = Instant::now() + long;
    let mut walking = Vec::new();
    for (n, (role, headers)) in users.iter().cloned().enumerate() {
        let pages = pages.clone();
        walking.push(tokio::spawn(async move {
            let of_role = |(_, page): &(usize, &Found)| page.listed.role == role || page.listed.role.is_empty();
            let mine: Vec<usize> = pages.iter().enumerate().filter(of_role).map(|(at, _)| at).collect();
            let mut times: Vec<(usize, f64)> = Vec::new();
            let mut connection = Connection::open(to).await?;
            // Not all in the same moment.
            tokio::time::sleep(each.mul_f64(n as f64 / USERS as f64)).await;
            for at in mine.iter().cycle().skip(n) {
                let started = Instant::now();
                if started > until {
                    break;
                }
                let Some(page) = pages.get(*at) else { continue };
                get(&mut connection, &page.path, &headers).await?;
                times.push((*at, started.elapsed().as_secs_f64() * 1_000.0));
                tokio::time::sleep(each.saturating_sub(started.elapsed())).await;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(times)
        }));
    }
    let mut all = Times::new();
    for one in walking {
        for (at, time) in one.await?? {
            all.entry(at).or_default().push(time);
        }
    }
    all.values_mut().for_each(|times| times.sort_by(f64::total_cmp));
    Ok(all)
}

fn share(times: Option<&Vec<f64>>, share: f64) -> f64 {
    let Some(times) = times else { return 0.0 };
    let last = times.len().saturating_sub(1);
    times.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

fn print(pages: &[Found], used: &[Used], busy: &Times, edge: &Times, during: Used) {
    let count = |times: &Times| times.values().map(Vec::len).sum::<usize>();
    println!("{USERS} people; one page a second each: {} pages; back to back: {} pages", count(busy), count(edge));
    let each = |ms: f64| ms / count(edge).max(1) as f64;
    println!(
        "back to back a page costs {:.2} ms of CPU of the server and {:.2} of PostgreSQL",
        each(during.server),
        each(during.postgres)
    );
    println!();
    println!(
        "| role | page | bytes | CPU ms | of PostgreSQL | median ms | p95 ms | back to back: median ms | p95 ms |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|");
    for (at, (page, used)) in pages.iter().zip(used).enumerate() {
        let role = if page.listed.role.is_empty() { "–" } else { page.listed.role };
        let (busy, edge) = (busy.get(&at), edge.get(&at));
        println!(
            "| {role} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} |",
            page.listed.name,
            page.bytes,
            used.server,
            used.postgres,
            share(busy, 0.5),
            share(busy, 0.95),
            share(edge, 0.5),
            share(edge, 0.95)
        );
    }
}
