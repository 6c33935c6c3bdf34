//! The floor: an HTTP server on PostgreSQL that only stores or returns bytes.
//!
//! What no server with these two parts can go below: actix-web, tokio-postgres, prepared statements, a pool of 8 without
//! a ping, one table of id and body. No JSON is read, nobody is asked who they are, nothing is audited.
//!
//! | request | does |
//! |---|---|
//! | `GET /t/{id}` | the body |
//! | `POST /t` | stores the body under a new id |
//! | `PUT /t/{id}` | replaces the body |
//! | `GET /list/{prefix}` | the 20 last bodies whose id begins so, joined by commas |
//! | `POST /lines` | stores each line under a new id, in one statement |

use crate::Result;
use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use std::io::Write;
use std::sync::Arc;
use tokio_postgres::{Client, Config, NoTls, Row, Statement, types::ToSql};

/// Name of the floor's database.
pub const DATABASE: &str = "bench_floor";
pub const TABLE: &str = "create table t (id text collate \"C\" primary key, body bytea not null)";

/// Threads beside those of the HTTP workers, as many as historia has.
const THREADS: usize = 2;
const POOL: u32 = 8;

/// `floor <database url>`: prints its address when it listens, serves until it is killed.
pub fn run(arguments: &[String]) -> Result<()> {
    let url = arguments.get(1).ok_or("usage: floor DATABASE_URL")?;
    let mut config: Config = url.parse()?;
    config.dbname(DATABASE);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let mut runtime = Some(runtime);
    let system = actix_web::rt::System::with_tokio_rt(move || match runtime.take() {
        Some(runtime) => runtime,
        None => std::process::abort(),
    });
    system.block_on(serve(config))
}

async fn serve(config: Config) -> Result<()> {
    let manager = Manager(Arc::new(config));
    let pool = bb8::Pool::builder().max_size(POOL).min_idle(POOL).test_on_check_out(false).build(manager).await?;
    let data = web::Data::new(pool);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(64 << 20))
            .route("/t", web::post().to(create))
            .route("/t/{id}", web::get().to(read))
            .route("/t/{id}", web::put().to(update))
            .route("/list/{prefix}", web::get().to(list))
            .route("/lines", web::post().to(lines))
    })
    .bind("127.0.0.1:0")?;
    let address = server.addrs().first().copied().ok_or("no listener")?;
    println!("{address}");
    std::io::stdout().flush()?;
    server.run().await?;
    Ok(())
}

struct Connection {
    client: Client,
    read: Statement,
    create: Statement,
    update: Statement,
    list: Statement,
    lines: Statement,
}

struct Manager(Arc<Config>);

impl bb8::ManageConnection for Manager {
    type Connection = Connection;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> std::result::Result<Connection, Self::Error> {
        let (client, connection) = self.0.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(Connection {
            read: client.prepare("select body from t where id = $1").await?,
            create: client.prepare("insert into t (id, body) values ($1, $2)").await?,
            update: client.prepare("update t set body = $2 where id = $1").await?,
            list: client.prepare("select body from t where id >= $1 and id < $2 order by id desc limit 20").await?,
            lines: client.prepare("insert into t (id, body) select * from unnest($1::text[], $2::bytea[])").await?,
            client,
        })
    }

    async fn is_valid(&self, _: &mut Connection) -> std::result::Result<(), Self::Error> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.client.is_closed()
    }
}

type Pool = web::Data<bb8::Pool<Manager>>;
type Answer = actix_web::Result<HttpResponse>;

fn failed(error: impl std::fmt::Display) -> actix_web::Error {
    actix_web::error::ErrorInternalServerError(error.to_string())
}

async fn rows(
    pool: &Pool,
    of: fn(&Connection) -> &Statement,
    params: &[&(dyn ToSql + Sync)],
) -> actix_web::Result<Vec<Row>> {
    let connection = pool.get().await.map_err(failed)?;
    connection.client.query(of(&connection), params).await.map_err(failed)
}

async fn execute(
    pool: &Pool,
    of: fn(&Connection) -> &Statement,
    params: &[&(dyn ToSql + Sync)],
) -> actix_web::Result<u64> {
    let connection = pool.get().await.map_err(failed)?;
    connection.client.execute(of(&connection), params).await.map_err(failed)
}

fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

async fn read(pool: Pool, id: web::Path<String>) -> Answer {
    match rows(&pool, |c| &c.read, &[&id.as_str()]).await?.first() {
        Some(row) => Ok(HttpResponse::Ok().content_type("application/json").body(row.get::<_, Vec<u8>>(0))),
        None => Ok(HttpResponse::NotFound().finish()),
    }
}

async fn create(pool: Pool, body: Bytes) -> Answer {
    let id = new_id();
    execute(&pool, |c| &c.create, &[&id, &&body[..]]).await?;
    Ok(HttpResponse::Created().insert_header(("Location", format!("/t/{id}"))).body(body))
}

async fn update(pool: Pool, id: web::Path<String>, body: Bytes) -> Answer {
    match execute(&pool, |c| &c.update, &[&id.as_str(), &&body[..]]).await? {
        1 => Ok(HttpResponse::Ok().body(body)),
        _ => Ok(HttpResponse::NotFound().finish()),
    }
}

async fn list(pool: Pool, prefix: web::Path<String>) -> Answer {
    // `~` is above every character of an id.
    let end = format!("{prefix}~");
    let rows = rows(&pool, |c| &c.list, &[&prefix.as_str(), &end]).await?;
    let mut text = Vec::new();
    for row in &rows {
        text.extend_from_slice(row.get::<_, &[u8]>(0));
        text.push(b',');
    }
    Ok(HttpResponse::Ok().content_type("application/json").body(text))
}

async fn lines(pool: Pool, body: Bytes) -> Answer {
    let bodies: Vec<&[u8]> = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let ids: Vec<String> = bodies.iter().map(|_| new_id()).collect();
    execute(&pool, |c| &c.lines, &[&ids, &bodies]).await?;
    Ok(HttpResponse::Ok().body(ids.join("\n")))
}
