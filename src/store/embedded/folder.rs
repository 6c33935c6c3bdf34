//! The data folder: made, closed to everybody else (0700), owned by the user that PostgreSQL runs as, locked by one historia.

use crate::clock;
use crate::config::ConfigError;
use nix::unistd::{Uid, User};
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use tokio::process::Command;

const KEY: &str = "data_dir";
const LOCK: &str = "historia.lock";
/// The path of a Unix socket has 107 bytes on Linux; the contract keeps below 100.
const SOCKET_LIMIT: usize = 100;

/// Who lives in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// The embedded PostgreSQL: the folder belongs to its user.
    PostgreSql,
    /// Only our own files (`ready.json`), because the database is elsewhere.
    OwnFiles,
}

/// The unprivileged user that PostgreSQL runs as when root starts historia.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

/// The folder `data_dir`, held by this process until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    account: Option<Account>,
    /// Held for its lock; the kernel lets go of it even after kill -9.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder when it is not there, checks who may enter it, and locks it.
    pub fn open(path: &Path, tenant: Tenant) -> Result<DataFolder, ConfigError> {
        let (path, made) = make(path)?;
        let account = match tenant {
            Tenant::PostgreSql if Uid::effective().is_root() => Some(account_for(&path)?),
            _ => None,
        };
        if let Some(account) = &account
            && let Some(closed) = closed_parent(&path, account)
        {
            if made {
                // Nothing is left behind where it cannot be used.
                let _ = std::fs::remove_dir(&path);
            }
            return Err(closed_error(&path, &closed, account));
        }
        foreign(&path)?;
        let lock = lock(&path)?;
        close(&path, account.as_ref())?;
        Ok(DataFolder { path, account, _lock: lock })
    }

    /// Absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The user that PostgreSQL runs as, when it is not our own.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Names the PostgreSQL of this folder in process titles, so that its processes are found after a crash.
    pub fn cluster_name(&self) -> String {
        format!("historia-{}", self.digest())
    }

    fn digest(&self) -> String {
        clock::base32(&Sha256::digest(self.path.as_os_str().as_bytes()), 10)
    }

    /// A folder inside for the user of PostgreSQL.
    pub fn own_folder(&self, name: &str) -> Result<PathBuf, ConfigError> {
        let path = self.path.join(name);
        make_closed(&path).map_err(|e| cannot(&path, "make", &e))?;
        self.give(&path)?;
        Ok(path)
    }

    /// The folder of the sockets, and whether it lies outside because the path would be too long for `file`.
    pub fn sockets(&self, file: &str) -> Result<(PathBuf, bool), ConfigError> {
        let inside = self.path.join("run");
        if inside.as_os_str().len() + 1 + file.len() < SOCKET_LIMIT {
            return Ok((self.own_folder("run")?, false));
        }
        let base = if Uid::effective().is_root() { "/run" } else { "/tmp" };
        let short = Path::new(base).join(format!("historia-{}-{}", Uid::effective(), self.digest()));
        make_closed(&short).map_err(|e| cannot(&short, "make", &e))?;
        // /tmp is everybody's: a folder that somebody else put there is not used.
        let meta = std::fs::symlink_metadata(&short).map_err(|e| cannot(&short, "look at", &e))?;
        let owners = [Uid::effective().as_raw(), self.account.as_ref().map_or(Uid::effective().as_raw(), |a| a.uid)];
        if !meta.is_dir() || !owners.contains(&meta.uid()) || meta.mode() & 0o077 != 0 {
            let sentence = format!("needs {} for its sockets, but that belongs to somebody else", short.display());
            return Err(ConfigError::new(KEY, sentence));
        }
        self.give(&short)?;
        Ok((short, true))
    }

    /// Lets a command run as the user of PostgreSQL, in the folder, with nothing of our environment.
    pub fn run_as_owner(&self, command: &mut Command) {
        command.current_dir(&self.path).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
    }

    fn give(&self, path: &Path) -> Result<(), ConfigError> {
        match &self.account {
            Some(account) => {
                chown(path, Some(account.uid), Some(account.gid)).map_err(|e| cannot(path, "hand over", &e))
            }
            None => Ok(()),
        }
    }
}

/// The absolute path, and whether the folder was made now.
fn make(path: &Path) -> Result<(PathBuf, bool), ConfigError> {
    let made = !path.exists();
    if made {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(|e| cannot(path, "make", &e))?;
        }
        make_closed(path).map_err(|e| cannot(path, "make", &e))?;
    }
    if !path.is_dir() {
        return Err(ConfigError::new(KEY, format!("{} is not a folder", path.display())));
    }
    Ok((path.canonicalize().map_err(|e| cannot(path, "find", &e))?, made))
}

fn make_closed(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The owner of the folder when it is not root's (an earlier start by that user), else `postgres`, else `nobody`.
fn account_for(path: &Path) -> Result<Account, ConfigError> {
    let owner = std::fs::metadata(path).map_err(|e| cannot(path, "look at", &e))?.uid();
    let by_owner = (owner != 0).then(|| User::from_uid(Uid::from_raw(owner))).transpose().ok().flatten().flatten();
    let by_name = |name: &str| User::from_name(name).ok().flatten().filter(|user| !user.uid.is_root());
    let user = by_owner.or_else(|| by_name("postgres")).or_else(|| by_name("nobody"));
    let user = user.ok_or_else(|| {
        ConfigError::new(KEY, "PostgreSQL does not run as root, and there is neither a user postgres nor nobody: start historia as an ordinary user")
    })?;
    Ok(Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

/// The first folder above `path` that `account` cannot enter.
fn closed_parent(path: &Path, account: &Account) -> Option<PathBuf> {
    let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
    parents.reverse();
    let closed = parents.into_iter().find(|parent| {
        let Ok(meta) = std::fs::metadata(parent) else { return true };
        let bit = match (meta.uid() == account.uid, meta.gid() == account.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        meta.mode() & bit == 0
    });
    closed.map(Path::to_owned)
}

fn closed_error(path: &Path, closed: &Path, account: &Account) -> ConfigError {
    let (path, closed, user) = (path.display(), closed.display(), &account.name);
    ConfigError::new(
        KEY,
        format!(
            "PostgreSQL does not run as root; it would run as {user}, and {user} cannot enter {closed}, above {path}. Put \
             the data elsewhere by starting the same command with HISTORIA_DATA_DIR=/var/lib/historia before it, or start \
             historia as an ordinary user"
        ),
    )
}

/// A folder with other people's files in it is not taken over: closing it would lock them out.
fn foreign(path: &Path) -> Result<(), ConfigError> {
    if path.join(LOCK).exists() {
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(|e| cannot(path, "read", &e))?;
    let mut names = entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name()));
    // Volumes are born with lost+found; `historia certs` may have come first.
    if names.all(|name| name == "lost+found" || name == "historia.toml" || name == "tls") {
        return Ok(());
    }
    Err(ConfigError::new(KEY, format!("{} holds files that are not historia's: name an empty folder", path.display())))
}

const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Locks the folder; the file holds the process id for the sentence that the next one gets.
fn lock(path: &Path) -> Result<File, ConfigError> {
    let name = path.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&name).map_err(|e| cannot(path, "write into", &e))?;
    let mut tries = 0;
    match loop {
        match file.try_lock() {
            // A child that is just being started holds our files for a moment, and so the lock of who has gone.
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => tries += 1,
            result => break result,
        }
        std::thread::sleep(LOCK_PAUSE);
    } {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = std::fs::read_to_string(&name).unwrap_or_default();
            let sentence = format!("{} is in use by another historia (process {})", path.display(), pid.trim());
            return Err(ConfigError::new(KEY, sentence));
        }
        Err(TryLockError::Error(e)) => return Err(cannot(path, "lock", &e)),
    }
    let pid = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(pid.as_bytes())).map_err(|e| cannot(path, "write into", &e))?;
    Ok(file)
}

/// 0700, for its owner. On a volume that belongs to somebody else and that we may only write to, the mode stays.
fn close(path: &Path, account: Option<&Account>) -> Result<(), ConfigError> {
    if let Some(account) = account {
        chown(path, Some(account.uid), Some(account.gid)).map_err(|e| cannot(path, "hand over", &e))?;
    }
    let meta = std::fs::metadata(path).map_err(|e| cannot(path, "look at", &e))?;
    let own = Uid::effective().is_root() || meta.uid() == Uid::effective().as_raw();
    if own && meta.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(|e| cannot(path, "close", &e))?;
    }
    Ok(())
}

/// The error of an operation on a folder, with the way out for the usual cause.
pub fn cannot(path: &Path, verb: &str, error: &io::Error) -> ConfigError {
    let path_text = path.display();
    let owner = std::fs::metadata(path).ok().map(|meta| meta.uid()).filter(|uid| *uid != Uid::effective().as_raw());
    let name = owner.and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten()).map(|user| user.name);
    let hint = match (error.kind(), name) {
        (io::ErrorKind::PermissionDenied, Some(name)) => {
            format!("; it belongs to {name}: start historia as {name} or root, or set data_dir to a folder of your own")
        }
        (io::ErrorKind::PermissionDenied, None) => "; set data_dir to a folder of your own".to_owned(),
        _ => String::new(),
    };
    ConfigError::new(KEY, format!("cannot {verb} {path_text}: {error}{hint}"))
}
