//! A load that does not give up: lanes, one a key, each sending its records one after the other, every one repeated
//! with its idempotency key until it is answered. What was answered is the truth that the oracle holds a server to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

use super::{
    oracle,
    server::{Server, Stand},
};
use crate::support::soon;

/// Lanes, and so keys.
pub const LANES: usize = 8;

/// Records of each lane of a load that runs through.
pub const EACH: usize = 60;

/// Pause before a request that was not answered is repeated.
const PAUSE: Duration = Duration::from_millis(20);

/// What one lane was answered: the receipts' ids, in the order of its records.
pub type Answered = Vec<String>;

/// A running load.
pub struct Load {
    lanes: JoinSet<(usize, Answered)>,
    url: watch::Sender<String>,
    allowed: watch::Sender<usize>,
    done: Arc<AtomicUsize>,
    each: usize,
    /// Its sender's, an administrator's.
    pub token: String,
}

impl Load {
    /// A load of [`EACH`] records in each lane, without a stop.
    pub fn running(stand: &Stand, server: &Server) -> Self {
        let load = Load::start(stand, server, EACH);
        load.allow(100);
        load
    }

    /// Begins a load of so many records in each lane; it sends what [`Load::allow`] allows.
    pub fn start(stand: &Stand, server: &Server, each: usize) -> Self {
        let token = stand.token();
        let (url, urls) = watch::channel(server.url.clone());
        let (allowed, allowance) = watch::channel(0);
        let (done, mut lanes) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        for lane in 0..LANES {
            let (urls, allowance, client) = (urls.clone(), allowance.clone(), Client::new());
            let lane = Lane { lane, token: token.clone(), urls, allowance, client };
            lanes.spawn(lane.run(each, Arc::clone(&done)));
        }
        Load { lanes, url, allowed, done, each, token }
    }

    /// Lets each lane send up to so many hundredths of its records.
    pub fn allow(&self, hundredths: usize) {
        self.allowed.send_replace(self.each * hundredths / 100);
    }

    /// Tells the lanes where the server is now.
    pub fn moved(&self, server: &Server) {
        self.url.send_replace(server.url.clone());
    }

    /// Waits until so many hundredths of all records were answered.
    pub async fn reaches(&self, hundredths: usize) {
        let wanted = self.each * LANES * hundredths / 100;
        soon("the load gets on", async {
            while self.done.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// Waits until all is answered, and has the oracle judge this server.
    pub async fn judged(self, stand: &Stand, server: &Server) {
        let token = self.token.clone();
        oracle::judge(stand, server, &token, &self.finish().await).await;
    }

    /// Waits until all is answered; the answers by lane.
    async fn finish(mut self) -> Vec<Answered> {
        let mut all = vec![Answered::new(); LANES];
        while let Some(lane) = soon("the load ends", self.lanes.join_next()).await {
            let (lane, answered) = lane.unwrap();
            all[lane] = answered;
        }
        all
    }
}

/// The document of a record.
pub fn document(lane: usize, n: usize) -> Value {
    // Every tenth record widens a type or brings a field: shapes are published amid the faults.
    let price = if n.is_multiple_of(10) { json!(n as f64 + 0.5) } else { json!(n) };
    let mut document = json!({"lane": format!("lane {lane}"), "n": n, "price": price});
    if n % 10 == 7 {
        document[format!("extra{}", n / 10)] = json!(true);
    }
    document
}

struct Lane {
    lane: usize,
    token: String,
    urls: watch::Receiver<String>,
    allowance: watch::Receiver<usize>,
    client: Client,
}

impl Lane {
    async fn run(mut self, each: usize, done: Arc<AtomicUsize>) -> (usize, Answered) {
        let mut answered = Answered::new();
        for n in 0..each {
            self.allowance.wait_for(|allowed| n < *allowed).await.unwrap();
            let receipt = loop {
                match self.send(n).await {
                    Some(receipt) => break receipt,
                    None => tokio::time::sleep(PAUSE).await,
                }
            };
            assert_eq!(receipt["revision"], n + 1, "lane {}, record {n}: {receipt}", self.lane);
            answered.push(receipt["id"].as_str().unwrap().to_owned());
            done.fetch_add(1, Ordering::Relaxed);
        }
        (self.lane, answered)
    }

    /// The receipt; `None` when there was no answer, or one that asks to come again.
    async fn send(&self, n: usize) -> Option<Value> {
        let url = self.urls.borrow().clone();
        let request = self
            .client
            .post(format!("{url}/source/order/clothing/shop/{}", self.lane))
            .bearer_auth(&self.token)
            .header("Idempotency-Key", format!("{}-{n}", self.lane))
            .timeout(Duration::from_secs(20))
            .json(&document(self.lane, n));
        let answer = request.send().await.ok()?;
        let status = answer.status();
        let body: Value = answer.json().await.ok()?;
        let again =
            [StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        if again.contains(&status) {
            return None;
        }
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        Some(body)
    }
}
