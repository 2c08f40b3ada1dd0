//! Wellspring under measurement: served as anybody would serve it, with policies on, its rows sourced through its own
//! door, its relation accepted by a steward, and the indexes that the tables made by hand have.

use serde_json::{Value, json};
use sqlx::Row;

use crate::{
    data,
    peers::{Peer, address},
    process::{Server, Services},
    workloads::Kind,
};

/// A rule for rows and a mask; both become part of the statement or of what is written of its rows.
const POLICY: &str = r#"
has_role(user: User, role) if role in user.roles;

allow(user: User, "read", _: Row) if has_role(user, "admin");
allow(user: User, "read", row: ShopOrder) if has_role(user, "clerk") and row.market = user.market;
allow(user: User, "read", _: CrmCustomer) if has_role(user, "clerk");
allow_field(_: User, "read", _: Row, _: Field);
mask_field(user: User, _: Row, field: Field, {keep_first: 3})
    if has_role(user, "clerk") and field.name = "customer.name";

allow(user: User, _, _: Source) if has_role(user, "admin");
"#;

/// An index of a collection: the keys of its fields, and the direction of the last.
pub type Index = (&'static str, &'static [&'static str], &'static str);

/// Those that the tables made by hand have.
pub const BY_HAND: &[Index] = &[
    ("shopOrder", &["market", "status", "placedAt"], " desc"),
    ("shopOrder", &["customerNo", "placedAt"], " desc"),
    ("crmCustomer", &["customerNo"], ""),
];

pub struct Wellspring {
    pub server: Server,
    /// May see one market's orders.
    pub clerk: String,
}

impl Wellspring {
    /// Serves, and has all rows.
    pub async fn start(services: &Services, rows: u64) -> Wellspring {
        let policies = services.data.path().join("policies");
        std::fs::create_dir_all(&policies).unwrap();
        std::fs::write(policies.join("load.polar"), POLICY).unwrap();
        let server = Server::start(services).await;
        let clerk = server.token_of("clerk", &[&format!("market=\"{}\"", data::MARKET)]);
        let this = Wellspring { server, clerk };
        this.server
            .source("crm/customer/bench?key=/customerNo", data::customers(rows), data::customer_text)
            .await;
        this.settled("crmCustomer", data::customers(rows)).await;
        let from = std::time::Instant::now();
        this.server.source("shop/order/bench?key=/orderNo", rows, move |n| data::order(n, rows).text).await;
        let sent = from.elapsed().as_secs_f64();
        this.settled("shopOrder", rows).await;
        println!(
            "sourced {rows} orders in {sent:.1} s, typed {:.1} s later",
            from.elapsed().as_secs_f64() - sent
        );
        this.relate().await;
        this
    }

    pub fn peer(&self) -> Peer {
        Peer {
            name: "Wellspring",
            kind: Kind::Wellspring,
            address: address(&self.server.url),
            pid: self.server.pid(),
            token: self.clerk.clone(),
        }
    }

    async fn settled(&self, collection: &str, rows: u64) {
        let from = std::time::Instant::now();
        loop {
            let answer = self.server.graphql(&format!("{{ {collection}(first: 1) {{ totalCount }} }}")).await;
            if answer["data"][collection]["totalCount"].as_u64().unwrap_or(0) >= rows {
                return;
            }
            assert!(from.elapsed().as_secs() < 3_600, "rows do not come: {answer}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn relate(&self) {
        let end = |collection: &str| json!({"collection": collection, "path": "/customerNo"});
        let input = json!({
            "from": end("shopOrder"), "to": end("crmCustomer"), "name": "buyer", "inverseName": "orders",
        });
        let query =
            "mutation($input: AcceptRelationInput!) { acceptRelation(input: $input) { inverseName } }";
        let request = self.server.client.post(format!("{}/graphql", self.server.url));
        let body = json!({"query": query, "variables": {"input": input}});
        let answer = request.bearer_auth(&self.server.token).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["data"]["acceptRelation"]["inverseName"], "orders", "{answer}");
    }

    /// Gives the tables these indexes.
    pub async fn index(&self, services: &Services, indexes: &[Index]) {
        let mut statements = Vec::new();
        for (number, (collection, keys, direction)) in indexes.iter().enumerate() {
            let found = Found::of(services, collection).await;
            let mut columns: Vec<String> = keys.iter().map(|key| found.column(key)).collect();
            if let Some(last) = columns.last_mut() {
                let nulls =
                    if services.postgres.is_some() && !direction.is_empty() { " nulls last" } else { "" };
                last.push_str(&format!("{direction}{nulls}"));
            }
            let (table, columns) = (found.table, columns.join(", "));
            statements.push(format!("create index by_hand_{number} on {table}({columns}, row_id)"));
        }
        let settled = match services.postgres {
            Some(_) => ["vacuum analyze", "checkpoint"].as_slice(),
            None => ["analyze", "pragma wal_checkpoint(truncate)"].as_slice(),
        };
        statements.extend(settled.iter().map(|sql| (*sql).to_owned()));
        execute(services, statements).await;
    }

    /// Takes them away again.
    pub async fn unindex(&self, services: &Services, indexes: &[Index]) {
        let names = (0..indexes.len()).map(|number| format!("drop index by_hand_{number}"));
        execute(services, names.collect()).await;
    }
}

async fn execute(services: &Services, statements: Vec<String>) {
    match services.postgres_url() {
        None => sqlite(services).execute_batch(&statements.join("; ")).unwrap(),
        Some(url) => {
            let pool = sqlx::PgPool::connect(&url).await.unwrap();
            for statement in statements {
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&pool).await.unwrap();
            }
        }
    }
}

/// The database of an embedded server.
pub fn sqlite(services: &Services) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(services.data.path().join("wellspring.db")).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    db
}

/// The table of a collection.
pub struct Found {
    pub table: String,
    /// Its columns but for the row's number.
    pub columns: Vec<String>,
    /// The number of its last row.
    pub last: i64,
    shape: Value,
}

impl Found {
    pub async fn of(services: &Services, collection: &str) -> Found {
        let find = format!(
            "select c.id, c.generation, v.published from collection c join shape_version v \
             on v.collection_id = c.id and v.version = c.shape_version where c.field_name = '{collection}'"
        );
        let columns = |table: &str| match services.postgres {
            Some(_) => format!(
                "select column_name::text from information_schema.columns where table_name = '{table}' \
                 order by ordinal_position"
            ),
            None => format!("select name from pragma_table_info('{table}')"),
        };
        let last = |table: &str| format!("select max(row_id) from {table}");
        let (table, published, mut columns, last): (String, String, Vec<String>, i64) = match services
            .postgres_url()
        {
            None => {
                let db = sqlite(services);
                let (id, generation, published): (i64, i64, String) =
                    db.query_row(&find, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
                let table = format!("c_{id}_g{generation}");
                let mut named = db.prepare(&columns(&table)).unwrap();
                let named = named.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
                let last = db.query_row(&last(&table), [], |row| row.get(0)).unwrap();
                (table, published, named, last)
            }
            Some(url) => {
                let pool = sqlx::PgPool::connect(&url).await.unwrap();
                let all =
                    async |sql: String| sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
                let row = &all(find).await[0];
                let table = format!("c_{}_g{}", row.get::<i64, _>(0), row.get::<i64, _>(1));
                let named = all(columns(&table)).await.iter().map(|row| row.get(0)).collect();
                let last = all(last(&table)).await[0].get(0);
                (table, row.get(2), named, last)
            }
        };
        columns.retain(|column| column != "row_id");
        Found { table, columns, last, shape: serde_json::from_str(&published).unwrap() }
    }

    /// The column of the field with this key.
    pub fn column(&self, key: &str) -> String {
        let mut fields = self.shape["fields"].as_array().unwrap().iter();
        format!("f{}", fields.find(|field| field["key"] == key).unwrap()["id"])
    }
}
