//! Who appears in the demo: those who send, and those who look on. They come in by the door.

use std::{convert::Infallible, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::door::Door;
use super::shop::{Event, SOURCES, Shop};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::telemetry::Clock;

/// How often the demo looks whether its collections are queryable.
const LOOK: Duration = Duration::from_millis(20);
/// How much of the shop's day has passed when it opens.
const OPENING_EVENTS: usize = 50;

/// How long the collections may take to become queryable.
const PATIENCE: Duration = Duration::from_secs(120);

/// A data set of the repository.
struct Sample {
    name: &'static str,
    path_and_query: &'static str,
    media_type: &'static str,
    body: &'static str,
}

const SAMPLES: [Sample; 3] = [
    Sample {
        name: "earthquakes, NDJSON",
        path_and_query: "geo/earthquake/usgs?key=/id",
        media_type: "application/x-ndjson",
        body: include_str!("../../../samples/earthquakes.ndjson"),
    },
    Sample {
        name: "airports, CSV",
        path_and_query: "aviation/airport/bts?key=/iata",
        media_type: "text/csv",
        body: include_str!("../../../samples/airports.csv"),
    },
    Sample {
        name: "flights between them, CSV",
        path_and_query: "aviation/flight/bts",
        media_type: "text/csv",
        body: include_str!("../../../samples/flights-airport.csv"),
    },
];

/// All that the demo promises to be queryable once it is ready.
const PROMISED: &str = "{ geoEarthquake { totalCount } aviationAirport { totalCount } aviationFlight { totalCount } \
    shopOrder { totalCount } shopPayment { totalCount } shopShipment { totalCount } lag { outbox pending } }";

/// Who looks on: name, what to expect, claims.
fn audience() -> [(&'static str, &'static str, Value); 5] {
    [
        ("admin", "everything, unmasked", json!({"roles": ["admin"]})),
        ("steward", "all rows; personal data as codes", json!({"roles": ["steward"]})),
        (
            "consumer-eu",
            "public data, the shop's region eu; no cards",
            json!({"roles": ["consumer"], "region": "eu"}),
        ),
        (
            "consumer-us",
            "public data, the shop's region us; no cards",
            json!({"roles": ["consumer"], "region": "us"}),
        ),
        ("source", "may only send", json!({"roles": ["source"]})),
    ]
}

/// What each of them can paste.
const TO_PASTE: &str = r#"
The same query, asked as different people, has different rows, fields and masks:

  { shopOrder(first: 5, orderBy: [{placedAt: DESC}]) { totalCount nodes { orderNo region email customer { phone } } } }
  { shopPayment(first: 5) { totalCount nodes { paymentId amount card { number holder } } } }  # consumers have no card
  { shopOrderAggregate(groupBy: [region, status]) { group { region status } count sum { total } } }
  { geoEarthquake(first: 5, where: {properties: {mag: {gte: 4}}}) { nodes { properties { mag place } } } }

Watch it live. Twice a minute the shop changes what its documents look like, and this terminal tells; whatever is open
goes on:

  subscription { shopOrder(snapshot: true) { op cursor node { orderNo status quantity region } before { status } } }

The rules are in `policies/demo.polar` of the data directory. Ctrl-C ends the demo; its data stays.
"#;

/// Everybody in the demo.
pub(super) struct People {
    audience: Vec<(&'static str, &'static str, Door)>,
    librarian: Door,
    systems: Vec<Door>,
    observer: Door,
}

impl People {
    /// Gives everybody a token.
    ///
    /// # Errors
    /// As [`Door::new`].
    pub(super) fn new(app: &App, now_us: i64) -> Result<Self> {
        let door = |subject: &str, mut claims: Value| {
            if let Some(claims) = claims.as_object_mut() {
                claims.insert("sub".into(), json!(subject));
            }
            Door::new(app.address(), app.keys(), claims, now_us)
        };
        let sender =
            |subject, category: Value| door(subject, json!({"roles": ["source"], "categories": category}));
        let mut looking_on = Vec::new();
        for (name, sees, claims) in audience() {
            looking_on.push((name, sees, door(name, claims)?));
        }
        Ok(People {
            audience: looking_on,
            librarian: sender("librarian", json!(["geo", "aviation"]))?,
            systems: SOURCES.iter().map(|(name, _)| sender(name, json!(["shop"]))).collect::<Result<_>>()?,
            observer: door("observer", json!({"roles": ["admin"]}))?,
        })
    }

    /// Sends the sample data and the shop's opening; returns once all of it is queryable.
    ///
    /// # Errors
    /// `UNAVAILABLE` when something is not accepted, `TIMEOUT` when it does not become queryable.
    pub(super) async fn fill(
        &self,
        shop: &mut Shop,
        clock: &Clock,
        say: &mut impl FnMut(&str),
    ) -> Result<()> {
        let begun = Instant::now();
        for sample in &SAMPLES {
            let sent =
                self.librarian.source_batch(sample.path_and_query, sample.media_type, sample.body).await?;
            say(&format!("sourced {sent} {} to /source/{}", sample.name, sample.path_and_query));
        }
        for _ in 0..OPENING_EVENTS {
            self.send(&shop.tell(clock.now_us()), say).await?;
        }
        say(&format!(
            "sourced {OPENING_EVENTS} events of a small shop as {}",
            SOURCES.map(|(_, path)| path).join(", ")
        ));
        self.wait_until_queryable().await?;
        say(&format!("all of it is typed and queryable after {:.1} s", begun.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Lets the shop go on; what cannot be sent now is lost to it, as for any visitor, and the next event comes.
    pub(super) async fn keep(
        &self,
        shop: &mut Shop,
        clock: &Clock,
        pace: Duration,
        say: &mut impl FnMut(&str),
    ) -> Infallible {
        let mut pace = interval(pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            if let Err(error) = self.send(&shop.tell(clock.now_us()), say).await {
                tracing::warn!(%error, cause = error.cause().map(tracing::field::display), "the shop was not heard");
            }
        }
    }

    /// What people read once it is ready.
    pub(super) fn welcome(&self) -> String {
        let mut text = format!("\nready: {}/graphiql\n\nopen it as\n", self.observer.url());
        for (name, sees, door) in &self.audience {
            text.push_str(&format!("  {name:<12} {sees}\n    {}\n", door.playground()));
        }
        text.push_str("\n(the token is what follows `#token=`; send it as `Authorization: Bearer …`)\n");
        text.push_str(TO_PASTE);
        text
    }

    /// What the shop's orders are published with: fields with their types, none before there is one.
    ///
    /// # Errors
    /// `UNAVAILABLE` when there is no answer.
    pub(super) async fn published(&self) -> Result<Vec<(String, String)>> {
        let query = "{ collections { name shape { fields { name type } } } }";
        let answer = self.observer.graphql(query, json!({})).await?;
        let text = |value: &Value, part: &str| value.get(part).and_then(Value::as_str).map(str::to_owned);
        let collections = answer.get("collections").and_then(Value::as_array).into_iter().flatten();
        let orders =
            collections.filter(|collection| text(collection, "name").as_deref() == Some("shopOrder"));
        let fields = orders.filter_map(|orders| orders.pointer("/shape/fields")?.as_array()).flatten();
        Ok(fields.filter_map(|field| Some((text(field, "name")?, text(field, "type")?))).collect())
    }

    async fn type_of(&self, field: &str) -> Result<Option<String>> {
        Ok(self.published().await?.into_iter().find(|(name, _)| name == field).map(|(_, kind)| kind))
    }

    async fn send(&self, event: &Event, say: &mut impl FnMut(&str)) -> Result<()> {
        let Some(((_, path), door)) = SOURCES.get(event.system).zip(self.systems.get(event.system)) else {
            return Ok(());
        };
        let Some(drift) = &event.drift else {
            return match &event.document {
                Some(document) => door.source(path, &event.uid, document).await,
                None => door.retract(path, &event.uid).await,
            };
        };
        let before = self.type_of(drift.field).await?;
        if let Some(document) = &event.document {
            door.source(path, &event.uid, document).await?;
        }
        self.wait_until_queryable().await?;
        // What became of it is asked, not foretold: an earlier run may have seen the same.
        let (field, now) = (drift.field, self.type_of(drift.field).await?);
        let became = match (before, now) {
            (None, Some(now)) => format!("`{field}: {now}` can be selected from now on"),
            (Some(before), Some(now)) if before != now => {
                format!("`{field}` was {before}, from now on it is {now}")
            }
            (_, Some(now)) => format!("`{field}` stays {now}"),
            (_, None) => format!("`{field}` is not published"),
        };
        say(&format!("drift: {}; {became}", drift.said));
        Ok(())
    }

    async fn wait_until_queryable(&self) -> Result<()> {
        let begun = Instant::now();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let answer = self.observer.graphql(PROMISED, json!({})).await;
            let settled = answer.as_ref().is_ok_and(|data| {
                let none = |pointer: &str| data.pointer(pointer).is_some_and(|count| count == "0");
                none("/lag/outbox") && none("/lag/pending")
            });
            if settled {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let late = Error::new(Code::Timeout, "the demo's data does not become queryable");
                return Err(match answer {
                    Err(error) => late.with_cause(error),
                    Ok(data) => late.with_cause(data.to_string()),
                });
            }
        }
    }
}
