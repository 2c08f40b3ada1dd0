//! The reads on PostgreSQL, one statement each, prepared once a connection.

use sqlx::{
    PgPool, Row, ValueRef,
    postgres::{PgPoolOptions, PgRow},
};

use super::{
    Asked, Read,
    write::{self, Cells},
};

const LOOKUP: &str = "select order_no, status, total, placed_at, quantity from by_hand.orders \
     where order_no = $1 and market = $2";
const LIST: &str = "select order_no, status, channel, currency, total, quantity, placed_at, priority, note, \
     customer_name from by_hand.orders where market = $1 and status = $2 and placed_at < $3::text::timestamptz \
     order by placed_at desc limit $4";
const GROUPS: &str = "select status, channel, count(*)::int4, sum(total), avg(quantity)::float8 from by_hand.orders \
     where market = $1 group by status, channel order by status, channel";
const RELATED: &str = "select c.customer_no, c.name, c.city, o.order_no, o.status, o.total, o.placed_at, o.quantity \
     from (select customer_no, name, city from by_hand.customers where customer_no >= $1 order by customer_no \
     limit 20) c left join lateral (select order_no, status, total, placed_at, quantity from by_hand.orders \
     where customer_no = c.customer_no and market = $2 order by placed_at desc limit 10) o on true \
     order by c.customer_no, o.placed_at desc";

pub async fn connect(url: &str) -> PgPool {
    // Testing a connection before each use would cost a round trip.
    PgPoolOptions::new().max_connections(16).test_before_acquire(false).connect(url).await.unwrap()
}

pub async fn read(pool: &PgPool, read: Read, asked: &Asked, market: &str, out: &mut Vec<u8>) {
    let query = match read {
        Read::Lookup => sqlx::query(LOOKUP).bind(&asked.id).bind(market),
        Read::List => {
            sqlx::query(LIST).bind(market).bind(&asked.status).bind(&asked.before).bind(asked.first)
        }
        Read::Groups => sqlx::query(GROUPS).bind(market),
        Read::Related => sqlx::query(RELATED).bind(&asked.from).bind(market),
    };
    let rows = query.fetch_all(pool).await.unwrap();
    if let Read::Related = read {
        return related(&rows, out);
    }
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match read {
            Read::Lookup => write::five(row, 0, out),
            Read::Groups => write::group(row, out),
            _ => write::ten(row, out),
        }
    }
}

fn related(rows: &[PgRow], out: &mut Vec<u8>) {
    let mut of: Option<&str> = None;
    for row in rows {
        let customer = Cells::text(row, 0);
        let first = of != Some(customer);
        if first {
            out.extend_from_slice(if of.is_some() { b"]}," } else { b"" });
            write::parent(row, out);
            of = Some(customer);
        }
        if !row.try_get_raw(3).unwrap().is_null() {
            if !first {
                out.push(b',');
            }
            write::five(row, 3, out);
        }
    }
    if of.is_some() {
        out.extend_from_slice(b"]}");
    }
}

impl Cells for PgRow {
    fn text(&self, at: usize) -> &str {
        self.get_unchecked(at)
    }

    fn int(&self, at: usize) -> i64 {
        i64::from(self.get_unchecked::<i32, _>(at))
    }

    fn float(&self, at: usize) -> f64 {
        self.get_unchecked(at)
    }

    fn bool(&self, at: usize) -> bool {
        self.get_unchecked(at)
    }

    fn time(&self, at: usize, out: &mut Vec<u8>) {
        let value = self.try_get_raw(at).unwrap();
        moment(i64::from_be_bytes(value.as_bytes().unwrap().try_into().unwrap()), out);
    }
}

/// Microseconds since the year 2000 as `2026-11-22T21:21:19.000000Z`.
fn moment(micros: i64, out: &mut Vec<u8>) {
    const DAY: i64 = 86_400_000_000;
    let (day, within) = (micros.div_euclid(DAY) + 730_425, micros.rem_euclid(DAY));
    // Days since the first of March of the year 0, in eras of 400 years.
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let date = of_year - (153 * shifted + 2) / 5 + 1;
    let mut digits = |value: i64, width: u32, behind: u8| {
        for place in (0..width).rev() {
            out.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
        }
        out.push(behind);
    };
    digits(year, 4, b'-');
    digits(month, 2, b'-');
    digits(date, 2, b'T');
    digits(within / 3_600_000_000, 2, b':');
    digits(within / 60_000_000 % 60, 2, b':');
    digits(within / 1_000_000 % 60, 2, b'.');
    digits(within % 1_000_000, 6, b'Z');
}
