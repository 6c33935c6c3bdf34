//! CPU time of processes, from `/proc/<pid>/stat` (user + system, milliseconds).

use crate::Result;
use std::fs;

/// What one side of a comparison has used.
#[derive(Clone, Copy, Default)]
pub struct Used {
    pub server: f64,
    pub postgres: f64,
}

impl Used {
    /// Of the process `server` and of PostgreSQL: the postmaster `postmaster`, its children, and those it has reaped.
    pub fn now(server: u32, postmaster: u32) -> Result<Used> {
        let tick = tick()?;
        let of_server = Stat::of(server).ok_or("the server has ended")?;
        let mother = Stat::of(postmaster).ok_or("PostgreSQL has ended")?;
        let mut postgres = mother.own + mother.reaped;
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(stat) = Stat::of(pid)
                && stat.parent == postmaster
            {
                postgres += stat.own;
            }
        }
        Ok(Used { server: of_server.own as f64 * tick, postgres: postgres as f64 * tick })
    }

    pub fn since(self, before: Used) -> Used {
        Used { server: self.server - before.server, postgres: self.postgres - before.postgres }
    }
}

/// The fields of `/proc/<pid>/stat` that count, in clock ticks (proc(5)).
struct Stat {
    parent: u32,
    own: u64,
    reaped: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program may hold blanks and brackets.
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        let ticks = |n: usize| fields.get(n)?.parse::<u64>().ok();
        let parent = fields.get(1)?.parse().ok()?;
        Some(Stat { parent, own: ticks(11)? + ticks(12)?, reaped: ticks(13)? + ticks(14)? })
    }
}

/// Milliseconds of a clock tick.
fn tick() -> Result<f64> {
    let hertz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.ok_or("the machine has no clock ticks")?;
    Ok(1000.0 / hertz as f64)
}
