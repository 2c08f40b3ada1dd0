//! Rows beside those of another query: for all of its keys at once, in one statement for each portion of them.
//! Nothing is read here but through a [`Scoped`] query.

use super::list::Page;
use super::paged::{Beside, have_places};
use super::planned;
use super::read::{Cells, gate, plan, rows_filter, select_list};
use super::sql::{Sql, column};
use crate::error::{Error, Result};
use crate::policy::Scoped;
use crate::query::{Ask, Budget, FieldRef, Found, Join, Joined, List, Node, Query, Source};
use crate::record::Signer;
use crate::shape::{Scalar, SqlType};
use crate::store::Store;
use crate::store::db::{Dialect, RowRef, Type, Value};

/// The most keys in one statement.
const KEYS_MAX: usize = 4_096;

/// What a join is read with.
#[derive(Clone, Copy)]
struct Around<'a> {
    query: &'a Scoped<Query>,
    key: &'a FieldRef,
    signer: &'a Signer,
    budget: &'a Budget,
}

impl Store {
    /// The rows with each of these keys, in the form that the join asks for; what is written is taken from the budget.
    ///
    /// # Errors
    /// `TOO_COMPLEX` when the budget does not go far enough.
    pub async fn join(
        &self,
        query: &Scoped<Query>,
        keys: impl Iterator<Item = &str>,
        signer: &Signer,
        budget: &Budget,
    ) -> Result<Found> {
        let Ask::Join(Join { key, rows }) = query.get().ask() else {
            return Err(Error::internal("a join was asked for something else"));
        };
        let around = Around { query, key, signer, budget };
        let keys: Vec<Value> = keys.filter_map(|text| value(key.scalar, text)).collect();
        let mut found = Found::default();
        match rows {
            Joined::One(nodes) => {
                found.none = b"null".to_vec();
                for portion in keys.chunks(KEYS_MAX) {
                    self.join_one(around, nodes, portion, &mut found).await?;
                }
            }
            Joined::Many(list) => {
                // From before the rows are read: who goes on from there misses nothing.
                let position = match Beside::of(list).position {
                    true => self.position(query.get().collection().id).await?,
                    false => 0,
                };
                let mut none = Page::new(query, list, signer, budget).0;
                none.position = position;
                none.write(&mut found.none)?;
                for portion in keys.chunks(KEYS_MAX) {
                    self.join_many(around, (list, position), portion, &mut found).await?;
                }
            }
        }
        Ok(found)
    }

    async fn join_one(
        &self,
        around: Around<'_>,
        nodes: &[Node],
        keys: &[Value],
        found: &mut Found,
    ) -> Result<()> {
        let Around { query, key, signer, budget } = around;
        let (mut sql, mut sources) = (Sql::new(self.db.dialect(), query.get().collection()), Vec::new());
        let plan = plan(query, nodes, &mut sources);
        let columns = named(select_list(&mut sql, &sources)?);
        let collection = query.get().collection();
        let (table, name) = (planned(collection), column(sql.dialect, &key.column));
        let filter = sql.condition(&rows_filter(query), false)?;
        let wanted = one_of(&mut sql, &name, keys);
        let gate = gate(&mut sql, collection);
        let select = format!(
            "q.k{} from (select {name} as k{columns}, row_number() over (partition by {name} order by row_id) as n \
             from {table} where {filter} and {wanted}{gate}) q where q.n = 1",
            outer(sources.len()),
        );
        let mut each = |row: &RowRef<'_>| {
            let mut out = Vec::with_capacity(256);
            plan.write(&Cells { row, offset: 1 }, signer, budget, &mut out)?;
            found.rows += 1;
            found.by_key.insert(text(key.scalar, row)?, out);
            Ok(())
        };
        self.read_planned(collection, &select, &sql, false, &mut each).await
    }

    async fn join_many(
        &self,
        around: Around<'_>,
        (list, position): (&List, i64),
        keys: &[Value],
        found: &mut Found,
    ) -> Result<()> {
        let Around { query, key, signer, budget } = around;
        let mut sql = Sql::new(self.db.dialect(), query.get().collection());
        let (mut page, sources) = Page::new(query, list, signer, budget);
        page.position = position;
        let led = (sql.dialect == Dialect::Postgres || !Beside::of(list).counts())
            && self.is_led(query.get().collection(), &column(sql.dialect, &key.column)).await?;
        let select = statement(&mut sql, around, list, (&sources, keys), led)?;
        let total = Beside::of(list).exactly().total;
        let mut at: Option<String> = None;
        let mut each = |row: &RowRef<'_>| {
            if at.is_none() || !is_key(key.scalar, row, at.as_deref())? {
                if let Some(done) = at.replace(text(key.scalar, row)?) {
                    found.rows += page.count;
                    page.write(found.by_key.entry(done).or_default())?;
                    page.clear();
                }
                if total {
                    page.total = row.i64(1)?.unwrap_or_default();
                }
            }
            page.row(&Cells { row, offset: 1 + usize::from(total) })
        };
        self.read_planned(query.get().collection(), &select, &sql, false, &mut each).await?;
        if let Some(done) = at {
            found.rows += page.count;
            page.write(found.by_key.entry(done).or_default())?;
        }
        Ok(())
    }
}

/// The statement of pages, one a key, behind its `select`: key, total where it is asked, then the page's columns. Where
/// an index leads to the rows of a key they are looked up key by key, so that not all of them are read and numbered.
fn statement(
    sql: &mut Sql,
    around: Around<'_>,
    list: &List,
    (sources, keys): (&[Source], &[Value]),
    led: bool,
) -> Result<String> {
    let Around { query, key, .. } = around;
    let collection = query.get().collection();
    let (table, name) = (planned(collection), column(sql.dialect, &key.column));
    let mut columns = select_list(sql, sources)?;
    if have_places(query.get(), list) {
        columns.push("row_id".into());
    }
    let outer = outer(columns.len());
    let condition = sql.condition(&rows_filter(query), false)?;
    let (all, wanted) = match led {
        true => (listed(sql, key.scalar, keys), format!("{name} = k.k")),
        false => (String::new(), one_of(sql, &name, keys)),
    };
    let beyond = match &list.from {
        Some(from) => format!(" and {}", sql.keyset(&list.order, from, list.backward)?),
        None => String::new(),
    };
    // The index of all numbers is not to lead where that of the key should.
    let row_id = if led && list.order.is_empty() { "row_id + 0" } else { "row_id" };
    let order = Sql::order(&list.order, list.backward, &sql.ordered(&list.order)?, row_id);
    let gate = gate(sql, collection);
    let filter = format!("{condition} and {wanted}{gate}");
    // One more than asked tells whether there is more.
    let limit = list.limit + 1;
    let columns = named(columns);
    if led && sql.dialect == Dialect::Sqlite {
        // It has no `lateral`, but finds rows by the numbers that a query beside each key gives.
        let page = format!("select row_id from {table} where {filter}{beyond} {order} limit {limit}");
        let of_all = order.replacen("order by", "order by k.k,", 1);
        return Ok(format!("k.k{columns} from {all} cross join {table} on row_id in ({page}) {of_all}"));
    }
    if led {
        let rows = format!(
            "lateral (select row_number() over ({order}) as n{columns} from {table} \
             where {filter}{beyond} {order} limit {limit}) q"
        );
        return Ok(match Beside::of(list).exactly().total {
            false => format!("k.k{outer} from {all} cross join {rows} order by k.at, q.n"),
            true => format!(
                "k.k, t.total{outer} from {all} cross join lateral (select count(*) as total from {table} \
                 where {filter}) t left join {rows} on true where t.total > 0 order by k.at, q.n"
            ),
        });
    }
    let rows = format!(
        "select {name} as k{columns}, row_number() over (partition by {name} {order}) as n \
         from {table} where {filter}{beyond}"
    );
    Ok(match Beside::of(list).exactly().total {
        false => format!("q.k{outer} from ({rows}) q where q.n <= {limit} order by q.k, q.n"),
        true => format!(
            "t.k, t.total{outer} from (select {name} as k, count(*) as total from {table} \
             where {filter} group by {name}) t left join ({rows}) q on q.k = t.k and q.n <= {limit} \
             order by t.k, q.n"
        ),
    })
}

/// The keys as the table `k`: on PostgreSQL with their places, of one list, so that one text and one plan are for any
/// number of them; on SQLite filled up with nulls, which equal nothing, to a power of two.
fn listed(sql: &mut Sql, scalar: Scalar, keys: &[Value]) -> String {
    let (ty, kind) = match scalar.sql() {
        SqlType::Int => ("bigint", Type::Int),
        _ => ("text", Type::Text),
    };
    if sql.dialect == Dialect::Postgres {
        let keys = sql.param(Value::List(kind, keys.to_vec()));
        return format!("unnest({keys}::{ty}[]) with ordinality k(k, at)");
    }
    let padding = keys.len().next_power_of_two() - keys.len();
    let keys = keys.iter().cloned().chain(std::iter::repeat_n(Value::Null(kind), padding));
    let marks: Vec<String> = keys.map(|key| format!("(cast({} as {ty}))", sql.param(key))).collect();
    format!("(select column1 as k from (values {})) k", marks.join(","))
}

/// Columns behind others, by the names `c0`, `c1`, ….
fn named(columns: Vec<String>) -> String {
    columns.iter().enumerate().map(|(index, column)| format!(", {column} as c{index}")).collect()
}

/// The same columns of the table `q`.
fn outer(count: usize) -> String {
    (0..count).map(|index| format!(", q.c{index}")).collect()
}

/// Whether the column has one of these values. The last is repeated up to a power of two: few statement texts, so that
/// plans are reused.
fn one_of(sql: &mut Sql, name: &str, keys: &[Value]) -> String {
    let padding = keys.len().next_power_of_two() - keys.len();
    let keys = keys.iter().chain(keys.last().into_iter().cycle().take(padding));
    let marks: Vec<String> = keys.map(|key| sql.param(key.clone())).collect();
    format!("{name} in ({})", marks.join(","))
}

/// A key as the column has it; none when it can have no such value.
fn value(scalar: Scalar, key: &str) -> Option<Value> {
    match scalar.sql() {
        // Only the one text that a number is written as is equal to it.
        SqlType::Int => key.parse::<i64>().ok().filter(|number| number.to_string() == key).map(Value::Int),
        _ => (!key.contains('\0')).then(|| key.into()),
    }
}

/// Whether the key of a row is this one.
fn is_key(scalar: Scalar, row: &RowRef<'_>, key: Option<&str>) -> Result<bool> {
    match scalar.sql() {
        SqlType::Int => Ok(row.i64(0)?.map(|number| number.to_string()).as_deref() == key),
        _ => Ok(row.text(0)? == key),
    }
}

/// The key of a row, as marks have it.
fn text(scalar: Scalar, row: &RowRef<'_>) -> Result<String> {
    let text = match scalar.sql() {
        SqlType::Int => row.i64(0)?.map(|number| number.to_string()),
        _ => row.text(0)?.map(str::to_owned),
    };
    text.ok_or_else(|| Error::internal("a row has no key that was found by its key"))
}
