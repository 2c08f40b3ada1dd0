//! The simulated shop: three systems that tell, event by event, how orders live. The same seed tells the same
//! story; after a while it changes what its documents look like, as real systems do. Pure: no I/O, no clock.

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

/// Where the three systems send to: category, subcategory and source name.
pub(super) const SOURCES: [(&str, &str); 3] =
    [("webshop", "shop/order/webshop"), ("psp", "shop/payment/psp"), ("carrier", "shop/shipment/carrier")];

/// From this event on the documents drift: every now and then one looks unlike those before.
const DRIFT_FROM: u64 = 70;
/// So many events after one drift the next is due.
const DRIFT_EVERY: u64 = 40;
/// What the webshop begins to send, one after the other; each stays.
const NEW_FIELDS: [&str; 9] = [
    "giftWrap",
    "loyaltyPoints",
    "couponCode",
    "newsletter",
    "carbonGrams",
    "giftMessage",
    "express",
    "parcels",
    "deliveryNote",
];
/// So many orders are open at once.
const OPEN_MAX: usize = 12;

/// One thing that happened.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    /// Which system tells it, by its place in [`SOURCES`].
    pub(super) system: usize,
    /// The system's own number for what it is about.
    pub(super) uid: String,
    /// What it is like now; `None` when the system takes it back.
    pub(super) document: Option<Value>,
    /// What is new about the document.
    pub(super) drift: Option<Drift>,
}

/// A document that looks unlike those before.
#[derive(Debug, PartialEq)]
pub(super) struct Drift {
    /// The field that it is about.
    pub(super) field: &'static str,
    /// What the shop did, for people who watch.
    pub(super) said: String,
}

/// The shop and its open orders.
pub(super) struct Shop {
    dice: StdRng,
    number: i64,
    told: u64,
    drifts: u64,
    /// How many of [`NEW_FIELDS`] it sends.
    fields: usize,
    open: VecDeque<Order>,
}

struct Order {
    number: i64,
    step: usize,
    region: &'static str,
    customer: Person,
    document: Value,
    total: f64,
    shipped: Vec<Value>,
}

#[derive(Clone, Copy)]
struct Person {
    name: &'static str,
    email: &'static str,
    phone: &'static str,
    card: &'static str,
    city: &'static str,
}

const EUROPEANS: [Person; 4] = [
    person("Ada Moreau", "ada.moreau@example.com", "+44 7700 900123", "4242 4242 4242 4242", "Lyon"),
    person("Jonas Berg", "jonas@example.org", "+44 7700 900456", "5555 5555 5555 4444", "Bergen"),
    person("Ilse de Wit", "ilse.dewit@example.net", "+44 7700 900789", "4012 8888 8888 1881", "Utrecht"),
    person("Marek Nowak", "m.nowak@example.com", "+44 7700 900321", "4242 4242 4242 4242", "Gdynia"),
];
const AMERICANS: [Person; 4] = [
    person("Grace Lee", "grace.lee@example.com", "+1 202-555-0143", "4111 1111 1111 1111", "Portland"),
    person("Omar Diaz", "omar@example.org", "+1 202-555-0178", "5105 1051 0510 5100", "Austin"),
    person("Ruth Cole", "ruth.cole@example.net", "+1 202-555-0112", "4111 1111 1111 1111", "Duluth"),
    person("Sam Okoye", "sam.okoye@example.com", "+1 202-555-0199", "4012 8888 8888 1881", "Boise"),
];
const WARES: [(&str, &str, i32); 6] = [
    ("TEA-1", "Green tea", 890),
    ("MUG-4", "Stoneware mug", 1450),
    ("HAT-2", "Wool hat", 2900),
    ("PEN-7", "Fountain pen", 4200),
    ("MAP-3", "Star map", 1900),
    ("OIL-5", "Olive oil", 1275),
];

const fn person(
    name: &'static str,
    email: &'static str,
    phone: &'static str,
    card: &'static str,
    city: &'static str,
) -> Person {
    Person { name, email, phone, card, city }
}

impl Shop {
    /// A shop that opens at `now_us` and numbers its orders from then on. It has sent some fields before: those that
    /// are `known`.
    pub(super) fn open(seed: u64, now_us: i64, known: impl Fn(&str) -> bool) -> Self {
        // A later run starts at a higher number than an earlier one has reached.
        let number = (now_us / 1_000_000).rem_euclid(100_000_000);
        let fields = NEW_FIELDS.iter().take_while(|field| known(field)).count();
        let dice = StdRng::seed_from_u64(seed);
        Shop { dice, number, told: 0, drifts: 0, fields, open: VecDeque::new() }
    }

    /// The next thing that happens.
    pub(super) fn tell(&mut self, now_us: i64) -> Event {
        self.told += 1;
        let at = moment(now_us);
        let new = self.open.len() < 3 || (self.open.len() < OPEN_MAX && self.dice.random_bool(0.3));
        if new {
            return self.place(&at);
        }
        let chosen = self.dice.random_range(0..self.open.len());
        let Some(mut order) = self.open.remove(chosen) else { return self.place(&at) };
        if order.step == 0 && self.dice.random_bool(0.12) {
            return Event { system: 0, uid: uid("W", order.number), document: None, drift: None };
        }
        let event = order.advance(&at);
        order.step += 1;
        if order.step < STEPS.len() {
            self.open.push_back(order);
        }
        event
    }

    fn place(&mut self, at: &str) -> Event {
        let european = self.dice.random_bool(0.5);
        let (region, currency, people) =
            if european { ("eu", "EUR", &EUROPEANS) } else { ("us", "USD", &AMERICANS) };
        let customer = *people.choose(&mut self.dice).unwrap_or(&EUROPEANS[0]);
        let mut items = Vec::new();
        let (mut pieces, mut cents) = (0, 0);
        for (sku, name, price) in WARES.sample(&mut self.dice, 2) {
            let count = self.dice.random_range(1..=3);
            pieces += count;
            cents += count * price;
            items.push(json!({"sku": sku, "name": name, "price": money(*price), "quantity": count}));
        }
        self.number += 1;
        let number = self.number;
        let mut document = json!({
            "orderNo": uid("W", number), "status": "PLACED", "region": region, "placedAt": at, "updatedAt": at,
            "customer": {"name": customer.name, "email": customer.email, "phone": customer.phone},
            "email": customer.email, "items": items, "quantity": pieces, "total": money(cents), "currency": currency,
        });
        let drift = self.drift(pieces, &mut document);
        let order =
            Order { number, step: 0, region, customer, document, total: money(cents), shipped: Vec::new() };
        let event = Event { system: 0, uid: uid("W", number), document: Some(order.document.clone()), drift };
        self.open.push_back(order);
        event
    }

    /// What the webshop has come to send, and when it is due something that it never sent: in turn a number that is
    /// no longer whole, a new field, a number as text.
    fn drift(&mut self, pieces: i32, document: &mut Value) -> Option<Drift> {
        let fields = document.as_object_mut()?;
        let order = format!("order {}", uid("W", self.number));
        let due = self.told >= DRIFT_FROM + self.drifts * DRIFT_EVERY;
        let drift = due.then(|| match (self.drifts % 3, NEW_FIELDS.get(self.fields)) {
            (1, Some(field)) => {
                self.fields += 1;
                Drift { field, said: format!("the webshop sends a new field `{field}`, first in {order}") }
            }
            (2, _) => {
                let text = format!("{pieces} pcs");
                let said = format!(
                    "a clerk wrote `{text}` as the `quantity` of {order}; it is taken, the text stands in \
                     `_record {{ rescued }}`"
                );
                fields.insert("quantity".into(), json!(text));
                Drift { field: "quantity", said }
            }
            _ => {
                let weight = f64::from(pieces) + 0.5;
                fields.insert("quantity".into(), json!(weight));
                let said = format!("something was sold by weight: the `quantity` of {order} is {weight}");
                Drift { field: "quantity", said }
            }
        });
        self.drifts += u64::from(due);
        for field in NEW_FIELDS.iter().take(self.fields) {
            fields.insert((*field).into(), of_new_field(field, pieces));
        }
        drift
    }
}

fn of_new_field(field: &str, pieces: i32) -> Value {
    match field {
        "giftWrap" | "newsletter" | "express" => json!(pieces > 3),
        "loyaltyPoints" | "carbonGrams" | "parcels" => json!(pieces * 10),
        _ => json!(format!("{field} {pieces}")),
    }
}

/// How an order lives after it was placed: who tells it, and what state it is in then.
const STEPS: [(usize, &str); 8] = [
    (1, "AUTHORISED"),
    (0, "PAID"),
    (2, "PACKED"),
    (0, "SHIPPED"),
    (2, "IN_TRANSIT"),
    (1, "CAPTURED"),
    (2, "DELIVERED"),
    (0, "DELIVERED"),
];

impl Order {
    fn advance(&mut self, at: &str) -> Event {
        let (system, status) = STEPS.get(self.step).copied().unwrap_or((0, "DELIVERED"));
        let (uid, document) = match system {
            1 => (uid("P", self.number), self.payment(status, at)),
            2 => (uid("S", self.number), self.shipment(status, at)),
            _ => {
                if let Some(fields) = self.document.as_object_mut() {
                    fields.insert("status".into(), json!(status));
                    fields.insert("updatedAt".into(), json!(at));
                }
                (uid("W", self.number), self.document.clone())
            }
        };
        Event { system, uid, document: Some(document), drift: None }
    }

    fn payment(&self, status: &str, at: &str) -> Value {
        json!({
            "paymentId": uid("P", self.number), "orderNo": uid("W", self.number), "region": self.region,
            "amount": self.total, "status": status, "at": at, "ip": format!("203.0.113.{}", self.number % 250 + 1),
            "card": {"number": self.customer.card, "holder": self.customer.name},
        })
    }

    fn shipment(&mut self, status: &str, at: &str) -> Value {
        self.shipped.push(json!({"status": status, "at": at}));
        json!({
            "trackingNo": uid("S", self.number), "orderNo": uid("W", self.number), "region": self.region,
            "status": status, "to": {"city": self.customer.city, "phone": self.customer.phone},
            "events": self.shipped,
        })
    }
}

fn uid(letter: &str, number: i64) -> String {
    format!("{letter}{number}")
}

fn money(cents: i32) -> f64 {
    f64::from(cents) / 100.0
}

fn moment(now_us: i64) -> String {
    jiff::Timestamp::from_microsecond(now_us).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a test that fails should stop")]

    use super::*;

    fn story(seed: u64, known: impl Fn(&str) -> bool) -> Vec<Event> {
        let mut shop = Shop::open(seed, 1_700_000_000_000_000, known);
        (0..600).map(|n| shop.tell(1_700_000_000_000_000 + n * 600_000)).collect()
    }

    fn drifts(story: &[Event]) -> Vec<&'static str> {
        story.iter().filter_map(|event| Some(event.drift.as_ref()?.field)).collect()
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        assert_eq!(story(7, |_| false), story(7, |_| false));
        assert_ne!(story(7, |_| false), story(8, |_| false));
    }

    #[test]
    fn every_system_speaks_and_drift_comes_again_and_again() {
        for seed in 0..20 {
            let story = story(seed, |_| false);
            for system in 0..SOURCES.len() {
                assert!(story.iter().filter(|event| event.system == system).count() > 40, "seed {seed}");
            }
            assert!(
                story.iter().any(|event| event.document.is_none()),
                "seed {seed}: nothing was taken back"
            );
            let drifts = drifts(&story);
            assert!(drifts.len() > 9, "seed {seed}: {drifts:?}");
            assert_eq!(drifts[..5], ["quantity", "giftWrap", "quantity", "quantity", "loyaltyPoints"]);
        }
    }

    #[test]
    fn a_drift_is_in_its_document_and_what_is_known_is_no_drift() {
        for event in story(1, |_| false) {
            let (Some(drift), Some(order)) = (&event.drift, &event.document) else { continue };
            assert!(drift.said.contains(order["orderNo"].as_str().unwrap_or("no number")), "{drift:?}");
            let value = &order[drift.field];
            assert!(!value.is_null() && (drift.field != "quantity" || !value.is_i64()), "{order}");
        }
        let later = story(1, |field| field == "giftWrap");
        assert_eq!(drifts(&later)[..2], ["quantity", "loyaltyPoints"]);
        assert!(later[0].document.as_ref().is_some_and(|order| order["giftWrap"].is_boolean()));
        assert!(later[..60].iter().all(|event| event.drift.is_none()), "the shop opens with what is known");
    }
}
