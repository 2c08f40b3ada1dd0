//! Accepts connections, as many as may be open at once, and ends those on which nothing moves. Must not look
//! into what they carry.

use std::{
    future::Future as _,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};

use super::{Services, router};
use crate::error::{Error, Result};
use crate::telemetry::{Metrics, Open};

/// Serves until `services.stopping` is cancelled and what was open then has ended.
///
/// # Errors
/// `INTERNAL` when the listener breaks.
pub async fn serve(listener: TcpListener, services: Services) -> Result<()> {
    let stopping = services.stopping.clone();
    let sockets = services.sockets.clone();
    let accept = Accept {
        listener,
        permits: Arc::new(Semaphore::new(services.config.server.connections_max)),
        idle: Duration::from_millis(services.config.server.idle_timeout_ms),
        metrics: services.metrics.clone(),
    };
    axum::serve(accept, router(services))
        .with_graceful_shutdown(stopping.cancelled_owned())
        .await
        .map_err(Error::internal)?;
    sockets.close();
    sockets.wait().await;
    Ok(())
}

struct Accept {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    idle: Duration,
    metrics: Metrics,
}

impl axum::serve::Listener for Accept {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else {
                // The semaphore is never closed; were it, nothing more could be accepted.
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Small answers must not wait for each other; without the option they are only slower.
                    let _ = stream.set_nodelay(true);
                    let connection = Connection {
                        _permit: permit,
                        _open: self.metrics.connection_open(),
                        idle: self.idle,
                        moved: Instant::now(),
                        deadline: Box::pin(tokio::time::sleep(self.idle)),
                        stream,
                    };
                    return (connection, address);
                }
                Err(error) => {
                    // Most often too many open files: closing connections makes room.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection, which ends when nothing has moved on it for the idle time.
struct Connection {
    stream: TcpStream,
    idle: Duration,
    moved: Instant,
    deadline: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
    _open: Open,
}

impl Connection {
    /// Something moved. The deadline is put off lazily, when it fires.
    fn moved(&mut self) {
        self.moved = Instant::now();
    }

    /// Ready when nothing has moved for too long.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.deadline.as_mut().poll(context));
            let until = self.moved + self.idle;
            if until <= Instant::now() {
                return Poll::Ready(io::Error::from(io::ErrorKind::TimedOut));
            }
            self.deadline.as_mut().reset(until);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.poll_idle(context).map(Err),
            ready => {
                self.moved();
                ready
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.poll_idle(context).map(Err),
            ready => {
                self.moved();
                ready
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, bytes) {
            Poll::Pending => self.poll_idle(context).map(Err),
            ready => {
                self.moved();
                ready
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
