//! A subscription over `graphql-transport-ws`.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::app::soon;

/// One open subscription on a socket of its own.
pub struct Subscription {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Subscription {
    pub async fn open(url: &str, token: &str, query: &str) -> Self {
        Self::open_under(url, token, None, query).await
    }

    pub async fn open_under(url: &str, token: &str, contract: Option<&str>, query: &str) -> Self {
        let mut subscription = Self::begun(url, token, contract).await;
        assert_eq!(subscription.receive().await["type"], "connection_ack");
        subscription.send(json!({"id": "1", "type": "subscribe", "payload": {"query": query}})).await;
        subscription
    }

    /// A socket that has said who it is, and has no answer yet.
    pub async fn begun(url: &str, token: &str, contract: Option<&str>) -> Self {
        let mut request = format!("{}/graphql", url.replacen("http", "ws", 1)).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut subscription = Subscription { socket };
        let mut payload = json!({"authorization": format!("Bearer {token}")});
        if let Some(contract) = contract {
            payload["contract"] = json!(contract);
        }
        subscription.send(json!({"type": "connection_init", "payload": payload})).await;
        subscription
    }

    /// The next change: the value of the only root field.
    pub async fn next(&mut self) -> Value {
        let mut message = self.receive().await;
        assert_eq!(message["type"], "next", "{message}");
        assert!(message["payload"].get("errors").is_none(), "{message}");
        let data = message["payload"]["data"].take();
        let mut fields = data.as_object().expect("an object").clone().into_iter();
        fields.next().expect("a root field").1
    }

    /// The next change that `wanted` wants; those before it are passed over.
    pub async fn next_where(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let change = self.next().await;
            if wanted(&change) {
                return change;
            }
        }
    }

    /// Changes up to and without the one whose `op` is this.
    pub async fn until_op(&mut self, op: &str) -> Vec<Value> {
        let mut changes = Vec::new();
        loop {
            let change = self.next().await;
            if change["op"] == op {
                return changes;
            }
            changes.push(change);
        }
    }

    /// The code by which the other side closes it; what comes before is passed over.
    pub async fn closed(mut self) -> u16 {
        soon("the end of the socket", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map_or(1005, |frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => return 1006,
                }
            }
        })
        .await
    }

    async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message, whatever it is.
    pub async fn receive(&mut self) -> Value {
        soon("a message on the socket", async {
            loop {
                match self.socket.next().await.expect("the socket should stay open").unwrap() {
                    Message::Text(text) => {
                        let message: Value = serde_json::from_str(&text).unwrap();
                        match message["type"].as_str() {
                            Some("ping") => self.send(json!({"type": "pong"})).await,
                            Some("pong") => {}
                            _ => return message,
                        }
                    }
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("the socket said {other:?}"),
                }
            }
        })
        .await
    }
}
