//! Whether all peers give the same rows: what each answers, in one form.

use serde_json::{Value, json};

use crate::{
    data,
    peers::Peer,
    workloads::{ALL, Kind, Workload},
};

/// Asks all of them the same and ends the bench when one tells something else.
pub fn compare(peers: &[Peer], rows: u64) {
    for workload in ALL {
        for n in 0..5 {
            let told: Vec<Value> = peers.iter().map(|peer| told(peer, workload, n, rows)).collect();
            for (peer, other) in peers.iter().zip(&told).skip(1) {
                let first = &told[0];
                assert!(alike(first, other), "{workload:?}: {}\n{first}\n{other}", peer.name);
            }
            let found = told[0].as_array().unwrap();
            assert!(!found.is_empty() && !found[0].is_null(), "{workload:?} finds nothing");
        }
    }
    println!("all {} give the same rows", peers.len());
}

fn told(peer: &Peer, workload: Workload, n: u64, rows: u64) -> Value {
    let mut connection = peer.connect();
    connection.ask(&peer.request(workload, n, rows));
    let mut answer: Value = serde_json::from_slice(&connection.body).unwrap();
    let data = &mut answer["data"];
    let list = match (workload, peer.kind) {
        (_, Kind::Handler) => data.take(),
        (Workload::Lookup, _) => json!([data["row"].take()]),
        (Workload::Groups, Kind::Wellspring) => data["rows"].take(),
        (Workload::Groups, _) => data["rows"]["groupedAggregates"].take(),
        _ => data["rows"]["nodes"].take(),
    };
    let mut list: Vec<Value> =
        list.as_array().unwrap().iter().map(|row| one_form(row, workload, peer.kind)).collect();
    if workload == Workload::Groups {
        list.sort_by_key(|group| group[0].to_string() + &group[1].to_string());
    }
    list.into()
}

fn one_form(row: &Value, workload: Workload, kind: Kind) -> Value {
    let fields =
        |row: &Value, names: &[&str]| names.iter().map(|name| plain(&row[*name])).collect::<Vec<_>>();
    let five = ["orderNo", "status", "total", "placedAt", "quantity"];
    match workload {
        Workload::Lookup => fields(row, &five).into(),
        Workload::List | Workload::Long => {
            let names = [
                "orderNo", "status", "channel", "currency", "total", "quantity", "placedAt", "priority",
                "note",
            ];
            let mut values = fields(row, &names);
            values.push(match kind {
                // It has no masks.
                Kind::PostGraphile => data::masked(row["customerName"].as_str().unwrap()).into(),
                _ => row["customer"]["name"].clone(),
            });
            values.into()
        }
        Workload::Groups => match kind {
            Kind::PostGraphile => {
                json!([
                    row["keys"][0],
                    row["keys"][1],
                    plain(&row["sum"]["total"]),
                    plain(&row["average"]["quantity"])
                ])
            }
            _ => {
                let (group, figure) = (&row["group"], |of: &str, name: &str| plain(&row[of][name]));
                json!([group["status"], group["channel"], figure("sum", "total"), figure("avg", "quantity")])
            }
        },
        Workload::Related => {
            let orders = row["orders"].as_array().or_else(|| row["orders"]["nodes"].as_array()).unwrap();
            let orders: Vec<Value> = orders.iter().map(|order| fields(order, &five).into()).collect();
            let mut values = fields(row, &["customerNo", "name", "city"]);
            values.push(orders.into());
            values.into()
        }
    }
}

/// Numbers that come as texts are numbers; times have one form.
fn plain(value: &Value) -> Value {
    let Some(text) = value.as_str() else { return value.clone() };
    if let Ok(number) = text.parse::<f64>() {
        return number.into();
    }
    match text.strip_suffix("+00:00") {
        Some(time) => {
            let (whole, part) = time.split_once('.').unwrap_or((time, ""));
            format!("{whole}.{part:0<6}Z").into()
        }
        None => value.clone(),
    }
}

/// Equal but for the last digits of floats.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-9 * a.abs().max(1.0)
        }
        _ => one == other,
    }
}
