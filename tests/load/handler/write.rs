//! Rows as JSON, written cell by cell.

/// The cells of a row by their places.
pub trait Cells {
    fn text(&self, at: usize) -> &str;
    fn int(&self, at: usize) -> i64;
    fn float(&self, at: usize) -> f64;
    fn bool(&self, at: usize) -> bool;
    /// Appends a moment without quotes.
    fn time(&self, at: usize, out: &mut Vec<u8>);
}

fn text(value: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).unwrap();
}

fn int(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn float(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
}

/// Number, status, total, time and quantity of an order, from this place on.
pub fn five(cells: &impl Cells, at: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"orderNo":"#);
    text(cells.text(at), out);
    out.extend_from_slice(br#","status":"#);
    text(cells.text(at + 1), out);
    out.extend_from_slice(br#","total":"#);
    float(cells.float(at + 2), out);
    out.extend_from_slice(br#","placedAt":""#);
    cells.time(at + 3, out);
    out.extend_from_slice(br#"","quantity":"#);
    int(cells.int(at + 4), out);
    out.push(b'}');
}

/// Ten fields of an order, the customer's name masked.
pub fn ten(cells: &impl Cells, out: &mut Vec<u8>) {
    for (at, name) in
        [r#"{"orderNo":"#, r#","status":"#, r#","channel":"#, r#","currency":"#].iter().enumerate()
    {
        out.extend_from_slice(name.as_bytes());
        text(cells.text(at), out);
    }
    out.extend_from_slice(br#","total":"#);
    float(cells.float(4), out);
    out.extend_from_slice(br#","quantity":"#);
    int(cells.int(5), out);
    out.extend_from_slice(br#","placedAt":""#);
    cells.time(6, out);
    out.extend_from_slice(br#"","priority":"#);
    out.extend_from_slice(if cells.bool(7) { b"true" } else { b"false" });
    out.extend_from_slice(br#","note":"#);
    text(cells.text(8), out);
    out.extend_from_slice(br#","customer":{"name":""#);
    let name = cells.text(9);
    let end = name.char_indices().nth(3).map_or(name.len(), |(end, _)| end);
    out.extend_from_slice(&name.as_bytes()[..end]);
    out.extend_from_slice("…\"}}".as_bytes());
}

/// Status, channel, count, sum and mean.
pub fn group(cells: &impl Cells, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"group":{"status":"#);
    text(cells.text(0), out);
    out.extend_from_slice(br#","channel":"#);
    text(cells.text(1), out);
    out.extend_from_slice(br#"},"count":"#);
    int(cells.int(2), out);
    out.extend_from_slice(br#","sum":{"total":"#);
    float(cells.float(3), out);
    out.extend_from_slice(br#"},"avg":{"quantity":"#);
    float(cells.float(4), out);
    out.extend_from_slice(b"}}");
}

/// Number, name and city of a customer, and the beginning of its orders.
pub fn parent(cells: &impl Cells, out: &mut Vec<u8>) {
    for (at, name) in [r#"{"customerNo":"#, r#","name":"#, r#","city":"#].iter().enumerate() {
        out.extend_from_slice(name.as_bytes());
        text(cells.text(at), out);
    }
    out.extend_from_slice(br#","orders":["#);
}
