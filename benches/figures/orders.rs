//! Orders of about 700 bytes, the same for every run.

pub const STATUSES: [&str; 5] = ["new", "paid", "packed", "shipped", "returned"];
pub const NOTE: &str = "please leave the parcel with the neighbours on the second floor if nobody is at home";
const CITIES: [&str; 6] = ["Lisboa", "Kraków", "Austin", "Osaka", "Wellington", "Nairobi"];

/// A number that looks random and is not.
pub fn scatter(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

pub struct Order {
    pub number: String,
    pub status: &'static str,
    pub total: f64,
    pub placed_at: String,
    pub text: String,
}

pub fn order(n: u64) -> Order {
    let r = scatter(n);
    let status = STATUSES[(r % 5) as usize];
    let total = ((r >> 8) % 100_000) as f64 / 100.0;
    let day = 1 + (r >> 16) % 28;
    let placed_at = format!(
        "2026-{:02}-{day:02}T{:02}:{:02}:00.000000Z",
        1 + (r >> 24) % 12,
        (r >> 32) % 24,
        (r >> 40) % 60
    );
    let items: Vec<String> = (0..3 + n % 2)
        .map(|i| {
            format!(
                r#"{{"sku":"SKU-{:05}","name":"Article number {}","qty":{},"price":{}.5}}"#,
                scatter(n + i) % 90_000,
                scatter(n + i) % 5_000,
                1 + (n + i) % 4,
                3 + (n + i) % 90
            )
        })
        .collect();
    let number = format!("O-{n:08}");
    let text = format!(
        concat!(
            r#"{{"orderNo":"{}","status":"{}","channel":"{}","currency":"EUR","total":{},"quantity":{},"#,
            r#""placedAt":"{}","priority":{},"#,
            r#""customer":{{"name":"Customer {}","city":"{}","tier":"{}","since":"20{:02}-05-17"}},"#,
            r#""note":"{}","warehouse":"W{}","items":[{}]}}"#
        ),
        number,
        status,
        ["web", "store", "phone"][(n % 3) as usize],
        total,
        1 + n % 9,
        placed_at,
        n.is_multiple_of(7),
        r % 20_000,
        CITIES[(r % 6) as usize],
        ["gold", "silver", "none"][(r % 3) as usize],
        10 + r % 15,
        NOTE,
        r % 12,
        items.join(",")
    );
    Order { number, status, total, placed_at, text }
}
