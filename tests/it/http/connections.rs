//! Connections below HTTP: how many there may be, how long they may be silent, and sockets that do not keep to what
//! was agreed. Written byte by byte, as no client library would.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::node::Node;
use crate::support::{eventually, soon};

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

/// A connection as it is.
struct Raw(TcpStream);

impl Raw {
    async fn connect(node: &Node) -> Self {
        let address = node.url.strip_prefix("http://").unwrap();
        Raw(TcpStream::connect(address).await.unwrap())
    }

    /// One that was upgraded to a socket with this subprotocol.
    async fn socket(node: &Node, protocol: &str) -> Self {
        let mut raw = Self::connect(node).await;
        let head = format!(
            "GET /graphql HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: {protocol}\r\n\r\n"
        );
        raw.0.write_all(head.as_bytes()).await.unwrap();
        let head = raw.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// Asks `/healthz` and reads the answer.
    async fn ask(&mut self) -> String {
        self.0.write_all(GET.as_bytes()).await.unwrap();
        self.until("\r\n\r\nok").await
    }

    async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        soon(end, async {
            while !text.ends_with(end) {
                text.push(self.0.read_u8().await.unwrap().into());
            }
        })
        .await;
        text
    }

    /// Whatever still comes, until the other side ends the connection.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // Ended with a reset it is ended too.
        let _ = soon("the end of the connection", self.0.read_to_end(&mut rest)).await;
        rest
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_head_that_trickles_is_given_up() {
    let node = Node::with(|config| config.server.head_timeout_ms = 300).await;
    for first in [false, true] {
        let mut raw = Raw::connect(&node).await;
        if first {
            raw.ask().await;
        }
        let (mut read, mut write) = raw.0.split();
        let trickle = async {
            write.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.unwrap();
            // Something always moves, so that it is not idle.
            while write.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let mut rest = Vec::new();
        let ended = async { tokio::join!(trickle, read.read_to_end(&mut rest)) };
        // Ended with a reset it is ended too.
        let _ = soon("the end of the connection", ended).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_moves_is_ended() {
    let node = Node::with(|config| {
        config.server.head_timeout_ms = 3_600_000;
        config.server.request_timeout_ms = 3_600_000;
        config.server.idle_timeout_ms = 300;
        config.subscriptions.keepalive_ms = 100;
    })
    .await;
    let mut raw = Raw::connect(&node).await;
    raw.ask().await;
    assert!(raw.rest().await.is_empty(), "nothing was asked, so nothing is said");
    let mut raw = Raw::connect(&node).await;
    let head = format!(
        "POST /source/a/b/c/d HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 9\r\n\r\n{{",
        node.admin()
    );
    raw.0.write_all(head.as_bytes()).await.unwrap();
    raw.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_may_be_wait() {
    let node = Node::with(|config| config.server.connections_max = 1).await;
    let mut first = Raw::connect(&node).await;
    first.ask().await;
    let mut second = Raw::connect(&node).await;
    second.0.write_all(GET.as_bytes()).await.unwrap();
    for _ in 0..100 {
        first.ask().await;
        let mut byte = [0];
        let waiting = second.0.try_read(&mut byte);
        assert!(
            waiting.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "it was answered"
        );
    }
    drop(first);
    let answer = second.until("\r\n\r\nok").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_another_protocol_is_closed_with_4406() {
    let node = Node::start().await;
    let mut raw = Raw::socket(&node, "graphql-ws").await;
    let frame = raw.rest().await;
    assert_eq!(frame[0], 0x88, "a close frame");
    assert_eq!(u16::from_be_bytes([frame[2], frame[3]]), 4406);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_answers_no_ping_is_ended() {
    let node = Node::with(|config| {
        config.subscriptions.keepalive_ms = 50;
        config.subscriptions.init_timeout_ms = 3_600_000;
    })
    .await;
    let mut raw = Raw::socket(&node, "graphql-transport-ws").await;
    let frames = raw.rest().await;
    assert_eq!(frames, [0x89, 0, 0x89, 0, 0x89, 0], "three pings, and no more words");
    eventually("the end of the socket", async || {
        let text = node.get("/metrics").send().await.unwrap().text().await.unwrap();
        if text.contains("wellspring_sockets_open 0") { Ok(()) } else { Err(text) }
    })
    .await;
}
