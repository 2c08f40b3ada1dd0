//! What policies and contracts cost: a list whose condition a rule says, beside the same list of somebody who may see
//! everything and says the condition itself, and beside a bare handler with the ideal SQL; and how soon a contract that
//! is applied is asked under.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    bare,
    load::{self, Cost},
    process::{Mode, Server, Services, cpu_ms, spread},
};

const POLICY: &str = r#"
has_role(user: User, role) if role in user.roles;

allow(user: User, "read", _: Row) if has_role(user, "admin");
allow(user: User, "read", _: Row) if has_role(user, "partner");
allow(user: User, "read", row: BulkOrder) if row.status = user.status and row.placedAt < user.before;
allow_field(_: User, "read", _: Row, _: Field);

allow(user: User, _, _: Source) if has_role(user, "admin");
"#;
const FIELDS: &str =
    "orderNo status channel currency total quantity placedAt priority note customer { name }";

pub async fn figures(mode: Mode, quick: bool) {
    println!("\n## {mode:?}, policies and contracts");
    let services = Services::start(mode);
    let policies = services.data.path().join("policies");
    std::fs::create_dir_all(&policies).unwrap();
    std::fs::write(policies.join("bench.polar"), POLICY).unwrap();
    let server = Server::start(&services).await;
    let rows = if quick { 5_000 } else { 100_000 };
    load::batches(&server, rows).await;
    load::settled(&server, rows).await;
    services.index_by_hand("bulkOrder").await;
    let bare = bare::Bare::start(&services, rows).await;
    lists(&server, &services, &bare, if quick { 200 } else { 2_000 }).await;
    applied(&server, if quick { 20 } else { 100 }).await;
}

async fn lists(server: &Server, services: &Services, bare: &bare::Bare, requests: usize) {
    let claims = ["status=\"paid\"", "before=\"2026-10-01T00:00:00.000000Z\""];
    let clerk = server.token_of("clerk", &claims);
    for first in [50, 1_000] {
        let order = format!("orderBy: [{{placedAt: DESC}}], first: {first}");
        let ruled = format!("{{ bulkOrder({order}) {{ nodes {{ {FIELDS} }} }} }}");
        let condition = r#"where: {status: {eq: "paid"}, placedAt: {lt: "2026-10-01T00:00:00Z"}}"#;
        let said = format!("{{ bulkOrder({condition}, {order}) {{ nodes {{ {FIELDS} }} }} }}");
        assert_eq!(ask(server, &clerk, &ruled).await, ask(server, &server.token, &said).await);
        let count = (requests * 50 / first).max(20);
        let (mut policy, mut where_, mut ideal) = (Vec::new(), Vec::new(), Vec::new());
        // In turns, so that whatever else the machine does is shared.
        for _ in 0..5 {
            let cpu = || server.cpu_ms();
            let ask = async |token: &str, query: &str| {
                Cost::measure(services, cpu, count / 5, async || ask(server, token, query).await.len()).await
            };
            policy.push(ask(&clerk, &ruled).await);
            where_.push(ask(&server.token, &said).await);
            let path = format!("/list/{first}");
            let get = async || bare.get(&path).await;
            ideal.push(Cost::measure(services, || cpu_ms(bare.pid()), count / 5, get).await);
        }
        let (policy, where_, ideal) = (Cost::mean(&policy), Cost::mean(&where_), Cost::mean(&ideal));
        println!(
            "list of {first}: by a rule {policy}; by `where` {where_}; bare handler {ideal}; rule to `where`: time \
             {:.3}, CPU {:.3}, database CPU {:.3}; rule to bare: time {:.2}, CPU {:.2}, database CPU {:.2}",
            policy.p50 / where_.p50,
            policy.cpu() / where_.cpu(),
            policy.database_us / where_.database_us,
            policy.p50 / ideal.p50,
            policy.cpu() / ideal.cpu(),
            policy.database_us / ideal.database_us,
        );
    }
}

async fn ask(server: &Server, token: &str, query: &str) -> String {
    let request = server.client.post(format!("{}/graphql", server.url)).bearer_auth(token);
    let answer = request.json(&json!({ "query": query })).send().await.unwrap().text().await.unwrap();
    assert!(!answer.starts_with(r#"{"errors"#), "{answer}");
    answer
}

/// From sending a contract to the first answer under it.
async fn applied(server: &Server, tries: usize) {
    let mut times = Vec::new();
    for n in 0..tries {
        let token = server.token_of("partner", &[&format!("client=\"c{n}\"")]);
        let contract = json!({
            "name": format!("c{n}"), "version": 1, "consumers": [{"claim": "client", "value": format!("c{n}")}],
            "collections": {"bulkOrder": {
                "fields": ["orderNo", "total", "customer.name"], "rename": {"total": "amount"},
                "where": {"status": {"eq": "paid"}}, "masks": {"customer.name": {"keep_first": 3}},
            }},
        });
        let apply = "mutation($text: String!) { applyContract(input: {text: $text}) { applied } }";
        let body = json!({"query": apply, "variables": {"text": contract.to_string()}});
        let from = Instant::now();
        let request = server.client.post(format!("{}/graphql", server.url)).bearer_auth(&server.token);
        let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["data"]["applyContract"]["applied"], true, "{answer}");
        let query = "{ bulkOrder(first: 10) { nodes { orderNo amount customer { name } } } }";
        ask(server, &token, query).await;
        times.push(from.elapsed().as_secs_f64() * 1e3);
    }
    println!("sending a contract to the first answer under it: {}", spread(&mut times, "ms"));
}
