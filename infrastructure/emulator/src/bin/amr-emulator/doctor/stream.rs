//! A TCP connection on which no wait outlasts its time, however slowly the other side sends.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Every read and write must be done by `until`.
pub(super) struct Timed {
    tcp: TcpStream,
    until: Instant,
}

impl Timed {
    pub(super) fn connect(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let until = Instant::now() + patience;
        let tcp = TcpStream::connect_timeout(&address, patience)?;
        tcp.set_nodelay(true)?;
        Ok(Timed { tcp, until })
    }

    /// From now on there is this much time again.
    pub(super) fn allow(&mut self, patience: Duration) {
        self.until = Instant::now() + patience;
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

/// The system reports the end of its own time limit as "would block".
fn timed<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|e| if e.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { e })
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(self.left()?)?;
        timed(self.tcp.read(buffer))
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(self.left()?)?;
        timed(self.tcp.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}
