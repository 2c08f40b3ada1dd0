//! The reads on SQLite: prepared statements on connections that are kept; children parent by parent, as the library is
//! no server and a statement costs microseconds.

use std::sync::Mutex;

use rusqlite::{Connection, OpenFlags, Row, Statement, ToSql, types::ValueRef};

use super::{
    Asked, Read,
    write::{self, Cells},
};
use crate::{data, workloads::Workload};

const LOOKUP: &str =
    "select order_no, status, total, placed_at, quantity from orders where order_no = ?1 and market = ?2";
const LIST: &str = "select order_no, status, channel, currency, total, quantity, placed_at, priority, note, \
     customer_name from orders where market = ?1 and status = ?2 and placed_at < ?3 order by placed_at desc limit ?4";
const GROUPS: &str = "select status, channel, count(*), sum(total), avg(quantity) from orders \
     where market = ?1 group by status, channel order by status, channel";
const PARENTS: &str =
    "select customer_no, name, city from customers where customer_no >= ?1 order by customer_no limit 20";
const CHILDREN: &str = "select order_no, status, total, placed_at, quantity from orders \
     where customer_no = ?1 and market = ?2 order by placed_at desc limit 10";

/// As many as there are requests at once.
pub struct Connections {
    path: String,
    kept: Mutex<Vec<Connection>>,
}

impl Connections {
    pub fn new(path: &str) -> Connections {
        Connections { path: path.to_owned(), kept: Mutex::default() }
    }

    pub fn with(&self, work: impl FnOnce(&Connection)) {
        let kept = self.kept.lock().unwrap().pop();
        let connection = kept.unwrap_or_else(|| {
            Connection::open_with_flags(
                &self.path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )
            .unwrap()
        });
        work(&connection);
        self.kept.lock().unwrap().push(connection);
    }
}

pub fn read(connection: &Connection, read: Read, asked: &Asked, market: &str, out: &mut Vec<u8>) {
    match read {
        Read::Lookup => {
            each(connection, LOOKUP, &[&asked.id, &market], out, |row, out| write::five(row, 0, out))
        }
        Read::List => {
            let params: [&dyn ToSql; 4] = [&market, &asked.status, &asked.before, &asked.first];
            each(connection, LIST, &params, out, |row, out| write::ten(row, out));
        }
        Read::Groups => each(connection, GROUPS, &[&market], out, |row, out| write::group(row, out)),
        Read::Related => each(connection, PARENTS, &[&asked.from], out, |row, out| {
            write::parent(row, out);
            let customer = Cells::text(row, 0);
            each(connection, CHILDREN, &[&customer, &market], out, |row, out| write::five(row, 0, out));
            out.extend_from_slice(b"]}");
        }),
    }
}

fn each(
    connection: &Connection,
    sql: &str,
    params: &[&dyn ToSql],
    out: &mut Vec<u8>,
    write: impl Fn(&Row<'_>, &mut Vec<u8>),
) {
    let mut statement = connection.prepare_cached(sql).unwrap();
    let mut rows = statement.query(params).unwrap();
    let mut first = true;
    while let Some(row) = rows.next().unwrap() {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write(row, out);
    }
}

impl Cells for Row<'_> {
    fn text(&self, at: usize) -> &str {
        self.get_ref_unwrap(at).as_str().unwrap()
    }

    fn int(&self, at: usize) -> i64 {
        self.get_ref_unwrap(at).as_i64().unwrap()
    }

    fn float(&self, at: usize) -> f64 {
        match self.get_ref_unwrap(at) {
            ValueRef::Integer(int) => int as f64,
            other => other.as_f64().unwrap(),
        }
    }

    fn bool(&self, at: usize) -> bool {
        self.get_unwrap(at)
    }

    fn time(&self, at: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(Cells::text(self, at).as_bytes());
    }
}

/// Runs what the n-th request of a workload runs and looks at each cell; how many there were.
pub fn looked_at(connection: &Connection, workload: Workload, n: u64, rows: u64) -> usize {
    let [id, status, before, from] = workload.parameters(n, rows);
    let market = data::MARKET;
    let prepared = |sql: &str| connection.prepare_cached(sql).unwrap();
    match workload {
        Workload::Lookup => cells(&mut prepared(LOOKUP), &[&id, &market]),
        Workload::List => cells(&mut prepared(LIST), &[&market, &status, &before, &50]),
        Workload::Long => cells(&mut prepared(LIST), &[&market, &status, &before, &1_000]),
        Workload::Groups => cells(&mut prepared(GROUPS), &[&market]),
        Workload::Related => {
            let (mut parents, mut children) = (prepared(PARENTS), prepared(CHILDREN));
            let mut found = parents.query([&from]).unwrap();
            let mut seen = 0;
            while let Some(row) = found.next().unwrap() {
                let customer = Cells::text(row, 0);
                seen += 3 + cells(&mut children, &[&customer, &market]);
            }
            seen
        }
    }
}

fn cells(statement: &mut Statement<'_>, params: &[&dyn ToSql]) -> usize {
    let columns = statement.column_count();
    let mut rows = statement.query(params).unwrap();
    let mut seen = 0;
    while let Some(row) = rows.next().unwrap() {
        for at in 0..columns {
            seen += usize::from(!matches!(row.get_ref_unwrap(at), ValueRef::Null));
        }
    }
    seen
}
