//! Accepts connections, as many as may be open at once, and ends those on which nothing moves or no request
//! comes to its end. Must not look into what they carry.

use std::{
    error::Error,
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{
    body::{Body, Incoming},
    server::conn::http1::{self, UpgradeableConnection},
    service::HttpService,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};
use tokio_util::sync::CancellationToken;

use super::{Services, router};
use crate::error::Result;
use crate::telemetry::{Metrics, Open};

/// Serves until `services.stopping` is cancelled and what was open then has ended.
///
/// # Errors
/// None by now; a listener that cannot accept tries again.
pub async fn serve(listener: TcpListener, services: Services) -> Result<()> {
    let (stopping, connections) = (services.stopping.clone(), services.connections.clone());
    let accept = Accept {
        listener,
        permits: Arc::new(Semaphore::new(services.config.server.connections_max)),
        idle: Duration::from_millis(services.config.server.idle_timeout_ms),
        metrics: services.metrics.clone(),
    };
    let mut http = http1::Builder::new();
    let head_timeout = Duration::from_millis(services.config.server.head_timeout_ms);
    http.timer(TokioTimer::new()).header_read_timeout(head_timeout);
    let router = TowerToHyperService::new(router(services));
    loop {
        let connection = tokio::select! {
            () = stopping.cancelled() => break,
            connection = accept.next() => connection,
        };
        let served = http.serve_connection(TokioIo::new(connection), router.clone()).with_upgrades();
        connections.spawn(until_stopped(served, stopping.clone()));
    }
    drop(accept);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// Drives one connection to its end; once the node stops, to the end of the request that is in work.
async fn until_stopped<S, B>(served: UpgradeableConnection<TokioIo<Connection>, S>, stop: CancellationToken)
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        // The client left, or said what is not HTTP, or nothing for too long.
        tracing::debug!(%error, cause = error.source().map(tracing::field::display), "a connection broke off");
    }
}

struct Accept {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    idle: Duration,
    metrics: Metrics,
}

impl Accept {
    /// The next connection, as soon as there may be one more.
    async fn next(&self) -> Connection {
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else {
                // The semaphore is never closed; were it, nothing more could be accepted.
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Small answers must not wait for each other; without the option they are only slower.
                    let _ = stream.set_nodelay(true);
                    return Connection {
                        _permit: permit,
                        _open: self.metrics.connection_open(),
                        idle: self.idle,
                        moved: Instant::now(),
                        deadline: Box::pin(tokio::time::sleep(self.idle)),
                        stream,
                    };
                }
                Err(error) => {
                    // Most often too many open files: closing connections makes room.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
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
