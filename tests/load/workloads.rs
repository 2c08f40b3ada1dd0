//! The five reads, as each peer is asked for them. Must not know how they are answered.

use serde_json::{Value, json};

use crate::data;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// One order by its number, five fields.
    Lookup,
    /// 50 orders by status and time, the newest first, ten fields, one of them nested and masked.
    List,
    /// The same with 1,000 orders.
    Long,
    /// Count, sum and mean of all that may be seen, by status and channel.
    Groups,
    /// 20 customers, each with its ten newest orders.
    Related,
}

pub const ALL: [Workload; 5] =
    [Workload::Lookup, Workload::List, Workload::Long, Workload::Groups, Workload::Related];

/// Who is asked: what its requests look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Wellspring,
    Handler,
    PostGraphile,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Workload::Lookup => "lookup by id, 5 fields",
            Workload::List => "list of 50, 10 fields",
            Workload::Long => "list of 1,000, 10 fields",
            Workload::Groups => "group by over all",
            Workload::Related => "20 parents, 10 children each",
        }
    }

    /// How many requests one by one tell its CPU, in one round.
    pub fn count(self, quick: bool) -> usize {
        let count = match self {
            Workload::Lookup => 2_000,
            Workload::List => 1_000,
            Workload::Long => 100,
            Workload::Groups => 20,
            Workload::Related => 500,
        };
        if quick { (count / 20).max(5) } else { count }
    }

    fn document(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Workload::Lookup, Kind::PostGraphile) => {
                "query($id: String!) { row: orderByOrderNo(orderNo: $id) \
                 { orderNo status total placedAt quantity } }"
            }
            (Workload::Lookup, _) => {
                "query($id: String!) { row: shopOrderByKey(sourceName: \"bench\", sourceUid: $id) \
                 { orderNo status total placedAt quantity } }"
            }
            (Workload::List | Workload::Long, Kind::PostGraphile) => {
                "query($status: String!, $before: Datetime!, $first: Int!, $market: String!) { rows: allOrders(\
                 filter: {market: {equalTo: $market}, status: {equalTo: $status}, placedAt: {lessThan: $before}}, \
                 orderBy: [PLACED_AT_DESC], first: $first) { nodes { \
                 orderNo status channel currency total quantity placedAt priority note customerName } } }"
            }
            (Workload::List | Workload::Long, _) => {
                "query($status: String!, $before: DateTime!, $first: Int!) { rows: shopOrder(\
                 where: {status: {eq: $status}, placedAt: {lt: $before}}, \
                 orderBy: [{placedAt: DESC}], first: $first) { nodes { \
                 orderNo status channel currency total quantity placedAt priority note customer { name } } } }"
            }
            (Workload::Groups, Kind::PostGraphile) => {
                "query($market: String!) { rows: allOrders(filter: {market: {equalTo: $market}}) { \
                 groupedAggregates(groupBy: [STATUS, CHANNEL]) { keys sum { total } average { quantity } } } }"
            }
            (Workload::Groups, _) => {
                "{ rows: shopOrderAggregate(groupBy: [status, channel]) { group { status channel } count \
                 sum { total } avg { quantity } } }"
            }
            (Workload::Related, Kind::PostGraphile) => {
                "query($from: String!, $market: String!) { rows: allCustomers(\
                 filter: {customerNo: {greaterThanOrEqualTo: $from}}, \
                 orderBy: [CUSTOMER_NO_ASC], first: 20) { nodes { customerNo name city \
                 orders: ordersByCustomerNo(filter: {market: {equalTo: $market}}, orderBy: [PLACED_AT_DESC], \
                 first: 10) { nodes { orderNo status total placedAt quantity } } } } }"
            }
            (Workload::Related, _) => {
                "query($from: String!) { rows: crmCustomer(where: {customerNo: {gte: $from}}, \
                 orderBy: [{customerNo: ASC}], first: 20) { nodes { customerNo name city \
                 orders(orderBy: [{placedAt: DESC}], first: 10) \
                 { nodes { orderNo status total placedAt quantity } } } } }"
            }
        }
    }

    /// What is asked for the n-th time: in turns, so that nobody answers out of one place.
    fn variables(self, kind: Kind, n: u64, rows: u64) -> Value {
        let mut variables = match self {
            Workload::Lookup => json!({"id": data::order_number(seen(n, rows))}),
            Workload::List | Workload::Long => {
                let first = if self == Workload::List { 50 } else { 1_000 };
                json!({"status": data::status(n), "before": before(n), "first": first})
            }
            Workload::Groups => json!({}),
            Workload::Related => json!({"from": data::customer_number(from(n, rows))}),
        };
        if kind == Kind::PostGraphile && self != Workload::Lookup {
            variables["market"] = data::MARKET.into();
        }
        variables
    }

    /// Number, status, time and customer that the n-th request may ask for.
    pub fn parameters(self, n: u64, rows: u64) -> [String; 4] {
        let number = data::order_number(seen(n, rows));
        [number, data::status(n).to_owned(), before(n), data::customer_number(from(n, rows))]
    }

    /// The n-th request as bytes of HTTP.
    pub fn request(self, kind: Kind, token: &str, n: u64, rows: u64) -> Vec<u8> {
        let authorization = match token {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        if kind == Kind::Handler {
            let path = match self {
                Workload::Lookup => format!("/lookup?id={}", data::order_number(seen(n, rows))),
                Workload::List => format!("/list?status={}&before={}&first=50", data::status(n), before(n)),
                Workload::Long => format!("/list?status={}&before={}&first=1000", data::status(n), before(n)),
                Workload::Groups => "/groups".to_owned(),
                Workload::Related => format!("/related?from={}", data::customer_number(from(n, rows))),
            };
            return format!("GET {path} HTTP/1.1\r\nhost: load\r\n{authorization}\r\n").into_bytes();
        }
        let body =
            json!({"query": self.document(kind), "variables": self.variables(kind, n, rows)}).to_string();
        let length = body.len();
        format!(
            "POST /graphql HTTP/1.1\r\nhost: load\r\n{authorization}accept: application/json\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

fn seen(n: u64, rows: u64) -> u64 {
    let order = data::scatter(n) % rows;
    if data::is_seen(order) { order } else { order + 1 }
}

fn before(n: u64) -> String {
    format!("2026-{:02}-01T00:00:00.000000Z", 8 + n % 5)
}

fn from(n: u64, rows: u64) -> u64 {
    data::scatter(n) % data::customers(rows).saturating_sub(20).max(1)
}
