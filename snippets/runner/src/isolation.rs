//! Cuts this process, and so every listing it starts, off from all networks but loopback. The test of the listings calls
//! it after everything is prepared, while the process still has one thread.

use anyhow::Result;

/// Set in a copy of this program that only tries [`isolate`] and says how it went.
const PROBE: &str = "AMR_BOOK_PROBE_ISOLATION";

/// To be called first in `main` of a program that calls [`isolate`].
pub fn answer_probe() {
    if std::env::var_os(PROBE).is_some() {
        match cut_off() {
            Ok(()) => std::process::exit(0),
            Err(error) => {
                println!("{error:#}");
                std::process::exit(1);
            }
        }
    }
}

/// Leaves the machine's networks for good. Fails, changing nothing, where the system does not permit that.
pub fn isolate() -> Result<()> {
    // A copy tries first: a process that is half cut off could not go back.
    let probe = std::process::Command::new(std::env::current_exe()?).env(PROBE, "1").output()?;
    if !probe.status.success() {
        anyhow::bail!("{}", String::from_utf8_lossy(&probe.stdout).trim());
    }
    cut_off()
}

#[cfg(not(target_os = "linux"))]
fn cut_off() -> Result<()> {
    anyhow::bail!("network namespaces exist on Linux only")
}

#[cfg(target_os = "linux")]
fn cut_off() -> Result<()> {
    linux::new_network_namespace()?;
    linux::loopback_up()?;
    linux::loopback_works()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io::{self, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::time::Duration;

    use anyhow::{Context, Result, ensure};
    use rustix::process::{getgid, getuid};
    use rustix::thread::{UnshareFlags, unshare_unsafe};

    const HINT: &str = "The system does not let this user make a network namespace. On Ubuntu 24.04 and later \
         `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0` permits it; in a container, `--privileged` or a \
         seccomp profile that lets `unshare` through";

    pub(super) fn new_network_namespace() -> Result<()> {
        let (user, group) = (getuid().as_raw(), getgid().as_raw());
        // SAFETY: the caller has one thread, and no file descriptor of this process changes its meaning.
        unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) }.context(HINT)?;
        // Without a map every file would seem to belong to nobody. Groups may be mapped only after setgroups is denied.
        fs::write("/proc/self/setgroups", "deny").context(HINT)?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1")).context(HINT)?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1")).context(HINT)
    }

    /// A new namespace has a loopback interface that is down.
    pub(super) fn loopback_up() -> Result<()> {
        // SAFETY: a plain system call; the result is checked.
        let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        ensure!(socket >= 0, "cannot open a socket: {}", io::Error::last_os_error());
        // SAFETY: `socket` was opened above and nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };

        // SAFETY: all zeros is a valid `ifreq`.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        let flags = libc::IFF_UP | libc::IFF_RUNNING;
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).expect("the flags are small");
        // SAFETY: SIOCSIFFLAGS reads an `ifreq` whose name is zero-terminated and whose flags are set.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) };
        ensure!(done == 0, "cannot bring loopback up: {}. {HINT}", io::Error::last_os_error());
        Ok(())
    }

    pub(super) fn loopback_works() -> Result<()> {
        let talk = || -> io::Result<[u8; 2]> {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let mut client = TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_secs(5))?;
            let (mut server, _) = listener.accept()?;
            client.write_all(b"ok")?;
            let mut heard = [0; 2];
            server.read_exact(&mut heard)?;
            Ok(heard)
        };
        let heard = talk().context("loopback does not work in the new network namespace")?;
        ensure!(&heard == b"ok", "loopback garbles what is sent over it");
        Ok(())
    }
}
