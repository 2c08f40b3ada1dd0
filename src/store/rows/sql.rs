//! Filters, orders and columns as SQL, for both databases. What is said here must be what
//! `query::Filter::eval` says: two-valued, text by code point, numbers of mixed kinds as floats.

use std::collections::{BTreeSet, HashMap};

use super::{items, linked, table};
use crate::error::{Error, Result};
use crate::query::{
    Collection, ColumnRef, Comparison, FieldRef, Filter, Literal, Narrowing, Operand, Order, PageCursor,
    Source, write,
};
use crate::shape::Scalar;
use crate::store::db::{Dialect, Value};

/// A statement that is being written, with its parameters.
pub(super) struct Sql {
    pub(super) dialect: Dialect,
    pub(super) params: Vec<Value>,
    /// The table whose rows are asked for.
    root: String,
    /// How many related rows the condition that is being written is within.
    pub(super) within: usize,
    /// The collections of related rows, with the versions of their shapes that it was planned for.
    pub(super) related: BTreeSet<(i64, u32)>,
    /// Whether it finds no rows where a shape is another than it was planned for; else it tells the version.
    pub(super) gated: bool,
    /// What columns of related rows are as values of a row; the same text wherever one is named.
    pub(super) beyond: Vec<(Source, String)>,
    /// Fields whose words an index leads by, with its name.
    pub(super) words: Vec<(u32, String)>,
}

/// The name of a column. On SQLite a column is there before it is known what its field will be.
pub(super) fn column(dialect: Dialect, column: &ColumnRef) -> String {
    column_of(dialect, "", column)
}

/// The same of the table that is named by what stands before, such as `r1.`.
pub(super) fn column_of(dialect: Dialect, table: &str, column: &ColumnRef) -> String {
    let name = match column {
        ColumnRef::Presence(id) if dialect == Dialect::Postgres => return format!("{table}p{id}"),
        ColumnRef::Field(id) | ColumnRef::Presence(id) => return format!("{table}f{id}"),
        ColumnRef::Narrowed(id, narrowing) => return narrowed(dialect, &format!("{table}f{id}"), *narrowing),
        // Told by `items`; alone it is no column.
        ColumnRef::Item(..) | ColumnRef::EntryKey(_) => return "null".into(),
        ColumnRef::Of(number, own) => {
            return column_of(dialect, &format!("{}.", linked::alias(*number)), own);
        }
        ColumnRef::Grouped(place) => return format!("g{place}"),
        ColumnRef::Key => "key",
        ColumnRef::Revision => "rev",
        ColumnRef::RecordId => "record_id",
        ColumnRef::SourceName => "source_name",
        ColumnRef::SourceUid => "source_uid",
        ColumnRef::Author => "author",
        ColumnRef::IngestedAt => "ingested_at",
        ColumnRef::OccurredAt => "occurred_at",
        ColumnRef::Purposes => "purposes",
    };
    format!("{table}{name}")
}

/// What of a column fits a narrower type, else null; as `Narrowing::number` says.
fn narrowed(dialect: Dialect, name: &str, narrowing: Narrowing) -> String {
    let (least, most) = narrowing.bounds();
    let fits = format!("{name} between {least} and {most}");
    match (narrowing.is_float(), dialect) {
        (false, _) => format!("(case when {fits} then {name} end)"),
        (true, Dialect::Postgres) => {
            format!("(case when {fits} and {name} = trunc({name}) then cast({name} as bigint) end)")
        }
        (true, Dialect::Sqlite) => {
            format!(
                "(case when {fits} and {name} = cast({name} as integer) then cast({name} as integer) end)"
            )
        }
    }
}

impl Sql {
    pub(super) fn new(dialect: Dialect, collection: &Collection) -> Self {
        let root = table(collection);
        let (params, related, beyond, words) = (Vec::new(), BTreeSet::new(), Vec::new(), Vec::new());
        Sql { dialect, params, root, within: 0, related, gated: false, beyond, words }
    }

    /// The mark of a new parameter.
    pub(super) fn param(&mut self, value: Value) -> String {
        self.params.push(value);
        format!("${}", self.params.len())
    }

    /// What a read plan wants in one column.
    pub(super) fn source(&mut self, source: &Source) -> Result<String> {
        Ok(match source {
            Source::Column(reference) => self.column(reference),
            Source::Rescued => "rescued".into(),
            Source::Rest => "rest".into(),
            Source::Condition(filter) => self.condition(filter, true)?,
            Source::Beyond(through, field) => self.beyond(source, through, field)?,
        })
    }

    /// A condition. Where null counts as false it may be left so, and indexes can be used; else it is made
    /// two-valued.
    pub(super) fn condition(&mut self, filter: &Filter, exact: bool) -> Result<String> {
        Ok(match filter {
            Filter::Const(holds) => holds.to_string(),
            Filter::And(inner) => {
                let parts: Vec<String> =
                    inner.iter().map(|filter| self.condition(filter, exact)).collect::<Result<_>>()?;
                joined(&parts, " and ", "true")
            }
            Filter::Or(inner) => self.alternatives(inner, exact)?,
            Filter::Not(inner) => format!("not {}", self.condition(inner, true)?),
            Filter::IsNull(field) => match field.column.own() {
                ColumnRef::Presence(_) => format!("(not {})", self.field(field)),
                _ => format!("({} is null)", self.field(field)),
            },
            Filter::Contains(field, literal) => self.contains(field, &[literal]),
            Filter::HasKey(field, key) => self.has_key(&self.field(field), key),
            Filter::Length(list, comparison, length) => {
                let (count, mark) = (self.length(list), self.param((*length).into()));
                two_valued(&format!("{count} {} {mark}", symbol(*comparison)), exact)
            }
            Filter::Place(list, area) => two_valued(&self.place(list, area), exact),
            Filter::At(field, path, test) => two_valued(&self.at(field, path, test), exact),
            Filter::SomeItem(list, number, when) => self.some_item(list, *number, when)?,
            Filter::Related(link, number, when) => self.related(link, *number, when)?,
            leaf => two_valued(&self.leaf(leaf)?, exact),
        })
    }

    /// Alternatives; those that ask one field for equality are asked as one.
    fn alternatives(&mut self, inner: &[Filter], exact: bool) -> Result<String> {
        let mut places: HashMap<(bool, &ColumnRef), usize> = HashMap::new();
        let mut folded: Vec<Alternative<'_>> = Vec::new();
        for filter in inner {
            let (contains, field, literals) = match filter {
                Filter::Compare(
                    left @ Operand::Field(field),
                    Comparison::Eq,
                    right @ Operand::Literal(literal),
                ) if is_float(left) == is_float(right) => (false, field, std::slice::from_ref(literal)),
                Filter::In(field, literals) => (false, field, literals.as_slice()),
                Filter::Contains(field, literal) => (true, field, std::slice::from_ref(literal)),
                other => {
                    folded.push(Alternative::Other(other));
                    continue;
                }
            };
            let place = *places.entry((contains, &field.column)).or_insert(folded.len());
            match folded.get_mut(place) {
                Some(Alternative::Equal(_, known) | Alternative::Contains(_, known)) => {
                    known.extend(literals)
                }
                _ if contains => folded.push(Alternative::Contains(field, literals.iter().collect())),
                _ => folded.push(Alternative::Equal(field, literals.iter().collect())),
            }
        }
        let mut parts = Vec::with_capacity(folded.len());
        for alternative in folded {
            parts.push(match alternative {
                Alternative::Equal(field, literals) => two_valued(&self.one_of(field, &literals)?, exact),
                Alternative::Contains(field, literals) => self.contains(field, &literals),
                Alternative::Other(filter) => self.condition(filter, exact)?,
            });
        }
        Ok(joined(&parts, " or ", "false"))
    }

    fn one_of(&mut self, field: &FieldRef, literals: &[&Literal]) -> Result<String> {
        let marks: Vec<String> =
            literals.iter().map(|literal| self.literal(field, literal)).collect::<Result<_>>()?;
        Ok(format!("{} in ({})", self.field(field), marks.join(",")))
    }

    fn leaf(&mut self, filter: &Filter) -> Result<String> {
        Ok(match filter {
            Filter::Compare(left, comparison, right) => {
                let mixed = is_float(left) != is_float(right);
                let (one, other) = (self.operand(left, mixed, right)?, self.operand(right, mixed, left)?);
                format!("{one} {} {other}", symbol(*comparison))
            }
            Filter::In(field, literals) => self.one_of(field, &literals.iter().collect::<Vec<_>>())?,
            Filter::Like(field, pattern) => match self.dialect {
                Dialect::Postgres => {
                    format!("{} like {}", self.field(field), self.param(pattern.as_str().into()))
                }
                // SQLite's LIKE ignores case; GLOB does not, and can say all that LIKE can.
                Dialect::Sqlite => {
                    format!("{} glob {}", self.field(field), self.param(Value::from(glob(pattern))))
                }
            },
            Filter::StartsWith(field, prefix) => self.begins(&self.field(field), prefix),
            Filter::Search(field, search) => self.search(field, search),
            _ => return Err(Error::internal("a condition is none that SQL knows")),
        })
    }

    pub(super) fn field(&self, field: &FieldRef) -> String {
        match field.column {
            ColumnRef::Item(number, _) => items::member(self.dialect, number, field),
            ColumnRef::EntryKey(number) => items::key(self.dialect, number),
            _ => self.column(&field.column),
        }
    }

    /// A column as conditions and read plans have it: an object that was never there is not there.
    fn column(&self, reference: &ColumnRef) -> String {
        let name = self.named(reference);
        if matches!(reference.own(), ColumnRef::Presence(_)) {
            format!("coalesce({name}, false)")
        } else {
            name
        }
    }

    /// A column by a name that is no other's where the condition stands: related rows have columns of the same names.
    pub(super) fn named(&self, reference: &ColumnRef) -> String {
        match reference {
            ColumnRef::Of(..) => column(self.dialect, reference),
            _ if self.within == 0 => column(self.dialect, reference),
            _ => column_of(self.dialect, &format!("{}.", self.root), reference),
        }
    }

    /// Whether a text begins so.
    pub(super) fn begins(&mut self, text: &str, prefix: &str) -> String {
        let prefix = self.param(prefix.into());
        match self.dialect {
            Dialect::Postgres => format!("starts_with({text}, {prefix})"),
            Dialect::Sqlite => format!("substr({text}, 1, length({prefix})) = {prefix}"),
        }
    }

    fn operand(&mut self, operand: &Operand, mixed: bool, other: &Operand) -> Result<String> {
        let text = match (operand, other) {
            (Operand::Field(field), _) => self.field(field),
            (Operand::Literal(literal), Operand::Field(field)) => self.literal(field, literal)?,
            (Operand::Literal(literal), Operand::Literal(_)) => self.constant(literal),
        };
        Ok(if mixed { format!("cast({text} as double precision)") } else { text })
    }

    /// A parameter whose type nothing beside it tells.
    fn constant(&mut self, literal: &Literal) -> String {
        let ty = match literal {
            Literal::Bool(_) => "boolean",
            Literal::Int(_) => "bigint",
            Literal::Float(_) => "double precision",
            Literal::Text(_) => "text",
        };
        format!("cast({} as {ty})", self.param(value(literal)))
    }

    fn literal(&mut self, field: &FieldRef, literal: &Literal) -> Result<String> {
        let value = of_column(&field.column, literal)?;
        Ok(self.param(value))
    }

    /// Whether a list has one of these items.
    fn has_key(&mut self, name: &str, key: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => {
                let key = self.param(key.into());
                format!("exists (select 1 from json_each({name}) where key = {key})")
            }
            Dialect::Postgres => {
                // It does not read U+0000, which no key has, but a value may. What stands for it here is the text of
                // others, too, so the key must also be there as it was written.
                let nul = |text: &str| text.replace("\\u0000", "\\u0001");
                let mut written = Vec::new();
                write::text(key, &mut written);
                written.push(b':');
                let written = self.param(String::from_utf8_lossy(&written).into_owned().into());
                let key = self.param(nul(key).into());
                let keys = format!("json_object_keys(replace({name}, '\\u0000', '\\u0001')::json)");
                let exists = format!("exists (select 1 from {keys} item where item = {key})");
                format!("({exists} and strpos({name}, {written}) > 0)")
            }
        }
    }

    /// The mark of a constant that items of a list are compared with.
    pub(super) fn item(&mut self, scalar: Scalar, literal: &Literal) -> String {
        let value = match (self.dialect, literal) {
            (Dialect::Postgres, literal) if scalar == Scalar::Float => return self.constant(literal),
            (Dialect::Postgres, literal) => json_text(scalar, literal).into(),
            (Dialect::Sqlite, Literal::Int(number)) if scalar == Scalar::BigInt => number.to_string().into(),
            (Dialect::Sqlite, literal) => value(literal),
        };
        self.param(value)
    }

    /// What rows are ordered by, part for part.
    pub(super) fn ordered(&mut self, order: &[Order]) -> Result<Vec<String>> {
        order.iter().map(|part| self.source(&part.source())).collect()
    }

    /// `order by …`, turned round for a page from the end; `columns` are what stands for each part.
    pub(super) fn order(order: &[Order], backward: bool, columns: &[String], row_id: &str) -> String {
        let mut parts: Vec<String> = Vec::with_capacity(order.len() + 1);
        for (part, column) in order.iter().zip(columns) {
            let direction = if part.descending == backward { "asc" } else { "desc" };
            let nulls = if part.nulls_first == backward { "last" } else { "first" };
            parts.push(format!("{column} {direction} nulls {nulls}"));
        }
        parts.push(format!("{row_id} {}", if backward { "desc" } else { "asc" }));
        format!("order by {}", parts.join(", "))
    }

    /// The rows behind (or, backward, before) a cursor in this order.
    pub(super) fn keyset(&mut self, order: &[Order], cursor: &PageCursor, backward: bool) -> Result<String> {
        Ok(format!("({})", self.ranges(order, cursor, backward)?.join(" or ")))
    }

    /// The same as ranges that have no row in common and that an index leads to one by one; no row of a later one comes
    /// before one of an earlier.
    pub(super) fn ranges(
        &mut self,
        order: &[Order],
        cursor: &PageCursor,
        backward: bool,
    ) -> Result<Vec<String>> {
        let mut ranges = Vec::with_capacity(2 * order.len() + 1);
        let mut equal: Vec<String> = Vec::new();
        for (part, value) in order.iter().zip(&cursor.values) {
            let name = self.source(&part.source())?;
            let (descending, nulls_first) = (part.descending != backward, part.nulls_first != backward);
            let mut beyond = Vec::new();
            match value {
                None if nulls_first => beyond.push(format!("{name} is not null")),
                None => {}
                Some(literal) => {
                    if !nulls_first {
                        beyond.push(format!("{name} is null"));
                    }
                    let mark = self.literal(&part.field, literal)?;
                    beyond.push(format!("{name} {} {mark}", if descending { "<" } else { ">" }));
                }
            }
            for beyond in beyond {
                let all: Vec<&str> = equal.iter().chain([&beyond]).map(String::as_str).collect();
                ranges.push(format!("({})", all.join(" and ")));
            }
            equal.push(match value {
                None => format!("{name} is null"),
                Some(literal) => format!("{name} = {}", self.literal(&part.field, literal)?),
            });
        }
        let row_id = self.param(cursor.row_id.into());
        equal.push(format!("row_id {} {row_id}", if backward { "<" } else { ">" }));
        ranges.push(format!("({})", equal.join(" and ")));
        ranges.reverse();
        Ok(ranges)
    }
}

/// What [`Sql::alternatives`] makes of alternatives.
enum Alternative<'a> {
    /// The field has one of these values.
    Equal(&'a FieldRef, Vec<&'a Literal>),
    /// The list has one of these items.
    Contains(&'a FieldRef, Vec<&'a Literal>),
    Other(&'a Filter),
}

/// How many conditions may stand in one chain: SQLite takes a chain as an expression as deep as it is long, and bounds
/// that.
const CHAIN_MAX: usize = 16;

/// Conditions as one, long chains as a balanced tree.
fn joined(parts: &[String], word: &str, none: &str) -> String {
    if parts.is_empty() {
        return none.into();
    }
    if parts.len() <= CHAIN_MAX {
        return format!("({})", parts.join(word));
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    format!("({}{word}{})", joined(left, word, none), joined(right, word, none))
}

fn two_valued(condition: &str, exact: bool) -> String {
    if exact { format!("coalesce({condition}, false)") } else { format!("({condition})") }
}

pub(super) fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Eq => "=",
        Comparison::Lt => "<",
        Comparison::Lte => "<=",
        Comparison::Gt => ">",
        Comparison::Gte => ">=",
    }
}

fn is_float(operand: &Operand) -> bool {
    match operand {
        Operand::Field(field) => field.scalar == Scalar::Float,
        Operand::Literal(literal) => matches!(literal, Literal::Float(_)),
    }
}

pub(super) fn value(literal: &Literal) -> Value {
    match literal {
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Float(value) => Value::Float(*value),
        Literal::Text(value) => Value::Text(value.clone()),
    }
}

/// A constant as the column holds it: the id of a record is no text in the database.
fn of_column(column: &ColumnRef, literal: &Literal) -> Result<Value> {
    match (column.own(), literal) {
        (ColumnRef::RecordId, Literal::Text(text)) => {
            let id = text.parse().map_err(|_| Error::bad_request(format!("`{text}` is not a UUID")))?;
            Ok(Value::Uuid(id))
        }
        _ => Ok(value(literal)),
    }
}

/// An item as it stands in the text of a list.
fn json_text(scalar: Scalar, literal: &Literal) -> String {
    let mut out = Vec::new();
    match literal {
        Literal::Bool(value) => write::bool(*value, &mut out),
        Literal::Int(value) if scalar == Scalar::BigInt => write::big_int(*value, &mut out),
        Literal::Int(value) => write::int(*value, &mut out),
        Literal::Float(value) => write::float(*value, &mut out),
        Literal::Text(text) => write::text(text, &mut out),
    }
    String::from_utf8(out).unwrap_or_default()
}

/// A pattern of LIKE as one of GLOB.
fn glob(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '%' => {
                out.push('*');
                continue;
            }
            '_' => {
                out.push('?');
                continue;
            }
            '\\' => chars.next().unwrap_or('\\'),
            c => c,
        };
        if matches!(plain, '*' | '?' | '[') {
            out.extend(['[', plain, ']']);
        } else {
            out.push(plain);
        }
    }
    out
}
