//! The same data in tables as somebody would make them by hand who knows all that is asked: columns of natural types,
//! nothing nullable, the indexes that the reads want.

use crate::{
    data::{self, Order},
    process::Services,
};

/// Where SQLite's tables are, beside the server's.
pub fn path(services: &Services) -> std::path::PathBuf {
    services.data.path().join("by-hand.db")
}

const CUSTOMERS: &str = "customer_no text primary key, name text not null, city text not null, \
     tier text not null, email text not null";
const ORDERS: &str = "order_no text primary key, status text not null, channel text not null, market text not null, \
     currency text not null, total float8 not null, quantity integer not null, placed_at timestamptz not null, \
     priority boolean not null, customer_no text not null references customers, customer_name text not null, \
     customer_city text not null, customer_tier text not null, customer_since date not null, \
     shipping_method text not null, shipping_street text not null, shipping_city text not null, \
     shipping_zip text not null, note text not null, warehouse text not null, weight float8 not null, \
     discount integer not null, items text not null";
const INDEXES: [&str; 2] = [
    "create index orders_listed on orders(market, status, placed_at desc)",
    "create index orders_of on orders(customer_no, placed_at desc)",
];

pub async fn fill(services: &Services, rows: u64) {
    match services.postgres_url() {
        Some(url) => postgres(&url, rows).await,
        None => sqlite(&path(services), rows),
    }
}

async fn postgres(url: &str, rows: u64) {
    let by_code_point = |columns: &str| columns.replace(" text", " text collate \"C\"");
    let mut statements = vec![
        "create schema by_hand".to_owned(),
        "set search_path to by_hand".to_owned(),
        format!("create table customers({})", by_code_point(CUSTOMERS)),
        format!("create table orders({})", by_code_point(ORDERS)),
    ];
    let customers: Vec<u64> = (0..data::customers(rows)).collect();
    for part in customers.chunks(1_000) {
        let values: Vec<String> = part.iter().map(|n| quoted(&data::customer_cells(*n))).collect();
        statements.push(format!("insert into customers values {}", values.join(",")));
    }
    let orders: Vec<u64> = (0..rows).collect();
    for part in orders.chunks(1_000) {
        let values: Vec<String> = part.iter().map(|n| quoted(&cells(&data::order(*n, rows)))).collect();
        statements.push(format!("insert into orders values {}", values.join(",")));
    }
    statements.extend(INDEXES.map(str::to_owned));
    statements.push("vacuum analyze customers".to_owned());
    statements.push("vacuum analyze orders".to_owned());
    statements.push("checkpoint".to_owned());
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.unwrap();
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
}

fn sqlite(path: &std::path::Path, rows: u64) {
    let mut connection = rusqlite::Connection::open(path).unwrap();
    let natural = |columns: &str| columns.replace("timestamptz", "text").replace(" date ", " text ");
    connection
        .execute_batch(&format!(
            "pragma journal_mode = wal; create table customers({}); create table orders({})",
            natural(CUSTOMERS),
            natural(ORDERS)
        ))
        .unwrap();
    let transaction = connection.transaction().unwrap();
    for n in 0..data::customers(rows) {
        let sql = format!("insert into customers values {}", quoted(&data::customer_cells(n)));
        transaction.execute(&sql, []).unwrap();
    }
    for n in 0..rows {
        let sql = format!("insert into orders values {}", quoted(&cells(&data::order(n, rows))));
        transaction.execute(&sql, []).unwrap();
    }
    transaction.commit().unwrap();
    connection.execute_batch(&format!("{}; analyze", INDEXES.join("; "))).unwrap();
}

fn cells(order: &Order) -> [String; 23] {
    [
        order.number.clone(),
        order.status.into(),
        order.channel.into(),
        order.market.into(),
        "EUR".into(),
        order.total.to_string(),
        order.quantity.to_string(),
        order.placed_at.clone(),
        u8::from(order.priority).to_string(),
        data::customer_number(order.customer),
        data::customer_name(order.customer),
        order.city.into(),
        order.tier.into(),
        order.since.clone(),
        order.method.into(),
        order.street.clone(),
        order.city.into(),
        order.zip.clone(),
        order.note.clone(),
        order.warehouse.clone(),
        order.weight.to_string(),
        order.discount.to_string(),
        order.items.clone(),
    ]
}

fn quoted(cells: &[String]) -> String {
    format!("('{}')", cells.join("','"))
}
