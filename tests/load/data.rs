//! Orders of about 700 bytes and their customers, the same for every run. Must not know who is given them.

const STATUSES: [&str; 5] = ["new", "paid", "packed", "shipped", "returned"];
const CHANNELS: [&str; 3] = ["web", "store", "phone"];
const CITIES: [&str; 6] = ["Lisboa", "Kraków", "Austin", "Osaka", "Wellington", "Nairobi"];
const TIERS: [&str; 3] = ["gold", "silver", "none"];
const METHODS: [&str; 3] = ["parcel", "letter", "collect"];
const NOTE: &str = "please leave the parcel with the neighbours on the second floor";

/// The market whose rows the clerk of the bench may see: nine orders of ten.
pub const MARKET: &str = "eu";
/// How many orders a customer has.
const ORDERS_EACH: u64 = 20;

/// A number that looks random and is not.
pub fn scatter(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

pub fn customers(orders: u64) -> u64 {
    (orders / ORDERS_EACH).max(1)
}

pub fn customer_number(n: u64) -> String {
    format!("C-{n:07}")
}

pub fn order_number(n: u64) -> String {
    format!("O-{n:08}")
}

/// The statuses that lists ask for, in turns.
pub fn status(n: u64) -> &'static str {
    STATUSES[(n % 5) as usize]
}

pub fn is_seen(n: u64) -> bool {
    !n.is_multiple_of(10)
}

pub struct Order {
    pub number: String,
    pub status: &'static str,
    pub channel: &'static str,
    pub market: &'static str,
    pub total: f64,
    pub quantity: u64,
    pub placed_at: String,
    pub priority: bool,
    pub customer: u64,
    pub city: &'static str,
    pub tier: &'static str,
    pub since: String,
    pub method: &'static str,
    pub street: String,
    pub zip: String,
    pub note: String,
    pub warehouse: String,
    pub weight: f64,
    pub discount: u64,
    pub items: String,
    /// The document.
    pub text: String,
}

/// One of `orders`; 23 leaves and three or four items.
pub fn order(n: u64, orders: u64) -> Order {
    let r = scatter(n);
    let items: Vec<String> = (0..3 + n % 2)
        .map(|i| {
            let item = scatter(n + i);
            format!(
                r#"{{"sku":"SKU-{:05}","qty":{},"price":{}.5}}"#,
                item % 90_000,
                1 + (n + i) % 4,
                3 + (n + i) % 90
            )
        })
        .collect();
    let placed_at = format!(
        "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        1 + (r >> 24) % 12,
        1 + (r >> 16) % 28,
        (r >> 32) % 24,
        (r >> 40) % 60,
        (r >> 48) % 60,
        n % 1_000_000
    );
    let mut order = Order {
        number: order_number(n),
        status: STATUSES[(r % 5) as usize],
        channel: CHANNELS[(n % 3) as usize],
        market: if is_seen(n) { MARKET } else { "us" },
        total: ((r >> 8) % 100_000) as f64 / 100.0,
        quantity: 1 + n % 9,
        placed_at,
        priority: n.is_multiple_of(7),
        customer: scatter(r) % customers(orders),
        city: CITIES[(r % 6) as usize],
        tier: TIERS[(r % 3) as usize],
        since: format!("20{:02}-05-17", 10 + r % 15),
        method: METHODS[(r % 3) as usize],
        street: format!("{} Harbour Road", 1 + r % 400),
        zip: format!("{:05}", r % 100_000),
        note: format!("{NOTE} {}", r % 1_000),
        warehouse: format!("W{}", r % 12),
        weight: ((r >> 12) % 5_000) as f64 / 100.0 + 0.005,
        discount: r % 30,
        items: format!("[{}]", items.join(",")),
        text: String::new(),
    };
    order.text = text(&order);
    order
}

pub fn customer_name(n: u64) -> String {
    format!("Customer {}", scatter(n) % 20_000)
}

fn text(order: &Order) -> String {
    let Order { status, channel, market, total, quantity, placed_at, priority, city, tier, since, .. } =
        order;
    let (number, customer) = (&order.number, customer_number(order.customer));
    let name = customer_name(order.customer);
    let Order { method, street, zip, note, warehouse, weight, discount, items, .. } = order;
    format!(
        concat!(
            r#"{{"orderNo":"{}","status":"{}","channel":"{}","market":"{}","currency":"EUR","total":{},"quantity":{},"#,
            r#""placedAt":"{}","priority":{},"customerNo":"{}","#,
            r#""customer":{{"name":"{}","city":"{}","tier":"{}","since":"{}"}},"#,
            r#""shipping":{{"method":"{}","street":"{}","city":"{}","zip":"{}"}},"#,
            r#""note":"{}","warehouse":"{}","weight":{},"discount":{},"items":{}}}"#
        ),
        number,
        status,
        channel,
        market,
        total,
        quantity,
        placed_at,
        priority,
        customer,
        name,
        city,
        tier,
        since,
        method,
        street,
        city,
        zip,
        note,
        warehouse,
        weight,
        discount,
        items
    )
}

/// The document of a customer.
pub fn customer_text(n: u64) -> String {
    let r = scatter(n);
    format!(
        r#"{{"customerNo":"{}","name":"{}","city":"{}","tier":"{}","email":"c{n}@example.com"}}"#,
        customer_number(n),
        customer_name(n),
        CITIES[(r % 6) as usize],
        TIERS[(r % 3) as usize]
    )
}

/// As [`customer_text`] has it: number, name, city, tier, mail.
pub fn customer_cells(n: u64) -> [String; 5] {
    let r = scatter(n);
    let (city, tier) = (CITIES[(r % 6) as usize], TIERS[(r % 3) as usize]);
    [customer_number(n), customer_name(n), city.to_owned(), tier.to_owned(), format!("c{n}@example.com")]
}

/// What the mask of the policy leaves of a text.
pub fn masked(text: &str) -> String {
    let mut left: String = text.chars().take(3).collect();
    if text.chars().count() > 3 {
        left.push('…');
    }
    left
}
