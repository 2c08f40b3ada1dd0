//! Names: from source keys and categories to GraphQL. A name is given once; nothing here may depend on
//! anything but its arguments, so that a name can be found again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::{Field, Kind, Published};

/// Names that no field may have, at any depth: members of rows and filters, and what GraphQL reads as
/// literals.
pub(super) const RESERVED_FIELDS: [&str; 8] =
    ["_record", "_rest", "and", "or", "not", "true", "false", "null"];

/// Whether no field may be called so.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED_FIELDS.contains(&name)
}

/// The management part of the API: its types and root fields are its own.
const MANAGEMENT: &str = include_str!("../../schema.graphql");

/// Root fields that the management part is to have.
const PLANNED_ROOTS: [&str; 10] = [
    "receipts",
    "plugin",
    "explainRouting",
    "deadLetter",
    "contract",
    "contracts",
    "events",
    "node",
    "nodes",
    "policy",
];

/// Types that are not in the text of the management part: scalars of GraphQL, what is planned, and classes that
/// policies know.
const OTHER_TYPES: [&str; 14] = [
    "Subscription",
    "String",
    "Int",
    "Float",
    "Boolean",
    "ID",
    "Decimal",
    "DecimalFilter",
    "User",
    "Row",
    "Field",
    "Integer",
    "List",
    "Dictionary",
];

/// The types that no collection may have: a constant that takes work, which would otherwise be most of what it costs to
/// name anything.
static RESERVED_TYPES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let keywords = ["type ", "input ", "enum ", "scalar ", "interface ", "union "];
    let defined =
        MANAGEMENT.lines().filter_map(|line| keywords.iter().find_map(|word| line.strip_prefix(word)));
    defined.filter_map(|rest| rest.split_whitespace().next()).chain(OTHER_TYPES).collect()
});

/// The root fields that no collection may have: those of all three operations, as a name is given to each.
static RESERVED_ROOTS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let roots = ["type Query ", "type Mutation ", "type Subscription "];
    let mut within = false;
    let fields = MANAGEMENT.lines().filter_map(move |line| {
        within = if line.starts_with(' ') { within } else { roots.iter().any(|root| line.starts_with(root)) };
        let field = line.strip_prefix("  ").filter(|_| within)?;
        let name = field.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        (!name.is_empty()).then_some(name)
    });
    fields.chain(PLANNED_ROOTS).chain(RESERVED_FIELDS).collect()
});

/// Names of collections and types are cut to so many bytes before they are numbered: with what derives from them they
/// stand in an index, which takes no more than about 2,700.
const NAME_BYTES_MAX: usize = 256;

/// What the types of a collection are called after its own; whoever makes or reserves such names uses this list.
pub const TYPE_SUFFIXES: [&str; 30] = [
    "Connection",
    "Edge",
    "Filter",
    "ListFilter",
    "Order",
    "Field",
    "Aggregate",
    "Group",
    "GroupPart",
    "AggregateOrder",
    "GroupOrder",
    "NumberOrder",
    "ValueOrder",
    "Number",
    "Having",
    "CountHaving",
    "SumHaving",
    "NumberHaving",
    "ValueHaving",
    "Sum",
    "Avg",
    "Min",
    "Max",
    "CountDistinct",
    "Change",
    "History",
    "HistoryEntry",
    "RecordMeta",
    "RecordMetaFilter",
    "RecordMetaOrder",
];

/// What the root fields of a collection are called after its own.
pub const FIELD_SUFFIXES: [&str; 3] = ["ByKey", "Aggregate", "History"];

/// The name that a source's key asks for: itself when GraphQL can read it, else its words in camel case.
pub(super) fn wanted(key: &str) -> String {
    let bytes = key.as_bytes();
    let readable = bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && bytes.first().is_some_and(|b| !b.is_ascii_digit())
        && !key.starts_with("__");
    if readable { key.to_owned() } else { camel(key, "field") }
}

/// `text` in Latin letters. A sign that leads a number is a word, as nothing else tells `+1` from `-1`.
pub(super) fn latin(text: &str) -> Cow<'_, str> {
    let latin = deunicode::deunicode_with_tofu_cow(text, " ");
    let signed = [('+', "plus"), ('-', "minus")].into_iter().find_map(|(sign, word)| {
        let number = latin.strip_prefix(sign)?;
        number.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("{word} {number}"))
    });
    signed.map_or(latin, Cow::Owned)
}

/// The words of `text` in Latin letters, split at what is not alphanumeric, in camel case; `empty` when there are none.
fn camel(text: &str, empty: &str) -> String {
    let text = latin(text);
    let mut name = String::with_capacity(text.len());
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        // `US` is an abbreviation, `userId` has its own humps.
        let shouted = !word.bytes().any(|b| b.is_ascii_lowercase());
        let first_word = name.is_empty();
        for (index, c) in word.chars().enumerate() {
            name.push(match index {
                0 if first_word => c.to_ascii_lowercase(),
                0 => c.to_ascii_uppercase(),
                _ if shouted => c.to_ascii_lowercase(),
                _ => c,
            });
        }
    }
    if name.is_empty() {
        return empty.to_owned();
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// Whether a field can have this name, given by a person: GraphQL can read it, and it is not reserved.
pub(super) fn is_given(name: &str) -> bool {
    wanted(name) == name && name.len() <= NAME_BYTES_MAX && !RESERVED_FIELDS.contains(&name)
}

/// `name` with a capital first letter; a leading `_` stays.
pub(super) fn pascal(name: &str) -> String {
    let mut capital = false;
    name.chars()
        .map(|c| {
            let first = !capital && c.is_ascii_alphabetic();
            capital |= c.is_ascii_alphanumeric();
            if first { c.to_ascii_uppercase() } else { c }
        })
        .collect()
}

/// `name`, or `name` with the first number from 2 on that is free.
pub(super) fn numbered(name: String, from: &mut u64, taken: impl Fn(&str) -> bool) -> String {
    if !taken(&name) {
        return name;
    }
    loop {
        let candidate = format!("{name}{from}");
        *from += 1;
        if !taken(&candidate) {
            return candidate;
        }
    }
}

/// Gives names to the new fields of one object.
#[derive(Debug, Default)]
pub(super) struct Namer {
    taken: BTreeSet<String>,
    /// The next number of a name that is taken; keeps ten thousand equal names from being counted from 2
    /// each.
    next: BTreeMap<String, u64>,
}

impl Namer {
    /// A namer that keeps off all names that these fields have or had.
    pub(super) fn of(fields: &[Field]) -> Self {
        let unions = fields.iter().filter_map(|field| field.decided.union.as_ref());
        let names = fields.iter().flat_map(Field::names_ever).chain(unions.map(|union| union.name.as_str()));
        Namer { taken: names.map(str::to_owned).collect(), next: BTreeMap::new() }
    }

    /// The name for `key`; `refused` says what is taken elsewhere.
    pub(super) fn name(&mut self, key: &str, refused: impl Fn(&str) -> bool) -> String {
        let wanted = wanted(key);
        let taken = |name: &str| self.taken.contains(name) || is_reserved(name) || refused(name);
        let name = numbered(wanted.clone(), self.next.entry(wanted).or_insert(2), taken);
        self.taken.insert(name.clone());
        name
    }
}

/// Field name (`orderClothing`) and type name (`OrderClothing`) of a collection. Neither they nor any name
/// that derives from them is reserved or `taken`; `taken` should know the nested types of other collections
/// too.
pub fn collection_names(category: &str, subcategory: &str, taken: &dyn Fn(&str) -> bool) -> (String, String) {
    let base = base(category, subcategory);
    let number = (1_u64..).find(|number| {
        let (field, ty) = with_number(&base, *number);
        let derived_fields = FIELD_SUFFIXES.iter().map(|suffix| format!("{field}{suffix}"));
        let derived_types = TYPE_SUFFIXES.iter().map(|suffix| format!("{ty}{suffix}"));
        let free_field = |name: &str| !RESERVED_ROOTS.contains(name) && !taken(name);
        let free_type = |name: &str| !RESERVED_TYPES.contains(name) && !taken(name);
        free_field(&field)
            && derived_fields.into_iter().all(|name| free_field(&name))
            && free_type(&ty)
            && derived_types.into_iter().all(|name| free_type(&name))
    });
    with_number(&base, number.unwrap_or_default())
}

/// What the names that [`collection_names`] may give begin with: those of fields, and those of types.
pub fn names_wanted(category: &str, subcategory: &str) -> [String; 2] {
    let (field, ty) = with_number(&base(category, subcategory), 1);
    [field, ty]
}

/// What the names that [`name_types`] may give begin with.
pub fn types_wanted(type_name: &str) -> &str {
    type_name.get(..NAME_BYTES_MAX).unwrap_or(type_name)
}

fn base(category: &str, subcategory: &str) -> String {
    let mut base = camel(&format!("{category} {subcategory}"), "data");
    base.truncate(NAME_BYTES_MAX);
    base
}

fn with_number(base: &str, number: u64) -> (String, String) {
    let field = if number == 1 { base.to_owned() } else { format!("{base}{number}") };
    let ty = pascal(&field);
    (field, ty)
}

/// `pull_request` as `PullRequest`.
fn words(name: &str) -> String {
    let words: String = name.split('_').map(pascal).collect();
    if words.is_empty() { "Field".to_owned() } else { words }
}

/// What the inputs of an object are called after its type, also of one that is an item of a list.
const OBJECT_SUFFIXES: &[&str] = &["Filter", "Order", "ListFilter"];
/// What the inputs of an enum, or of a map after the type of its entries, are called after its type.
const ENUM_SUFFIXES: &[&str] = &["Filter", "ListFilter"];

/// The names of a type and of those that derive from it by these suffixes: all of them must be free for it to be given.
/// `maps` stand in each other there, each with a type for its entries.
fn with_derived(name: &str, suffixes: &'static [&'static str], maps: usize) -> impl Iterator<Item = String> {
    let inputs = suffixes.iter().map(move |suffix| format!("{name}{suffix}"));
    let entries = (1..=maps).flat_map(move |depth| {
        [""].iter().chain(ENUM_SUFFIXES).map(move |suffix| entry_type(name, depth) + suffix)
    });
    std::iter::once(name.to_owned()).chain(inputs).chain(entries)
}

/// The type of the entries of the map that is the `depth`th in a field whose type is called `name`.
pub fn entry_type(name: &str, depth: usize) -> String {
    format!("{name}{}", "Entry".repeat(depth))
}

/// Names the types of nested objects, enums, maps and variants that have none yet: the parent's type and the field's
/// name in Pascal case, numbered when that or what derives from it is reserved, of the collection itself, or `taken`.
/// Returns what has been given, derived names included.
pub fn name_types(published: &mut Published, type_name: &str, taken: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut unions = Vec::new();
    published.unions_mut(&mut |_, union| {
        unions.extend(union.names_mut().map(|(_, name)| name.clone()));
    });
    let mut parents: BTreeMap<u32, Parent<'_>> = BTreeMap::new();
    collect(&published.fields, None, &mut parents);
    let names = &mut published.type_names;
    let maps = |id: &u32| parents.get(id).map_or(0, |of| of.maps);
    let mut given: BTreeSet<String> = own_types(type_name).collect();
    for (id, name) in names.iter() {
        given.extend(with_derived(name, OBJECT_SUFFIXES, maps(id)));
        given.extend(with_derived(name, ENUM_SUFFIXES, 0));
    }
    given.extend(unions);
    let mut new = Vec::new();
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    // A parent has its id before its children, so its name is known when theirs is made.
    for (id, Parent { parent, name, suffixes, maps }) in parents {
        if names.contains_key(&id) {
            continue;
        }
        let parent = parent.and_then(|id| names.get(&id)).map_or(type_name, String::as_str);
        let mut wanted = format!("{parent}{}", words(name));
        wanted.truncate(NAME_BYTES_MAX);
        let refused = |name: &str| given.contains(name) || RESERVED_TYPES.contains(name) || taken(name);
        let refused = |name: &str| with_derived(name, suffixes, maps).any(|name| refused(&name));
        let name = numbered(wanted.clone(), next.entry(wanted).or_insert(2), refused);
        new.extend(with_derived(&name, suffixes, maps));
        given.extend(with_derived(&name, suffixes, maps));
        names.insert(id, name);
    }
    let objects = names.clone();
    let mut name = |wanted: String, slot: &mut String| {
        if slot.is_empty() {
            let refused = |name: &str| given.contains(name) || RESERVED_TYPES.contains(name) || taken(name);
            let wanted: String = wanted.chars().take(NAME_BYTES_MAX).collect();
            let name = numbered(wanted, &mut 2, refused);
            new.push(name.clone());
            given.insert(name.clone());
            *slot = name;
        }
    };
    published.unions_mut(&mut |id, union| {
        let object = id.and_then(|id| objects.get(&id)).map_or(type_name, String::as_str);
        for (value, slot) in union.names_mut() {
            let last = value.map_or_else(|| "Variant".to_owned(), |value| words(&wanted(value)));
            name(format!("{object}{last}"), slot);
        }
    });
    new
}

/// The type of a collection with those that derive from it.
pub fn own_types(type_name: &str) -> impl Iterator<Item = String> {
    std::iter::once(type_name.to_owned())
        .chain(TYPE_SUFFIXES.iter().map(move |suffix| format!("{type_name}{suffix}")))
}

/// What a field that needs a type's name is called, where it stands, and what derives from the type.
struct Parent<'a> {
    parent: Option<u32>,
    name: &'a str,
    suffixes: &'static [&'static str],
    maps: usize,
}

fn collect<'a>(fields: &'a [Field], parent: Option<u32>, out: &mut BTreeMap<u32, Parent<'a>>) {
    for field in fields {
        let (name, children, maps) = (field.name.as_str(), field.children(), field.kind.maps());
        if maps > 0 || !children.is_empty() || matches!(field.kind, Kind::Object(_)) {
            out.insert(field.id, Parent { parent, name, suffixes: OBJECT_SUFFIXES, maps });
            collect(children, Some(field.id), out);
        } else if field.enumeration().is_some() {
            out.insert(field.id, Parent { parent, name, suffixes: ENUM_SUFFIXES, maps });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_names() {
        for (key, name) in [
            ("Title", "Title"),
            ("_id", "_id"),
            ("snake_case", "snake_case"),
            ("US Gross", "usGross"),
            ("US DVD Sales", "usDvdSales"),
            ("Running Time min", "runningTimeMin"),
            ("user-agent", "userAgent"),
            ("geo.userId", "geoUserId"),
            ("__typename", "typename"),
            ("__", "field"),
            ("2nd place", "_2ndPlace"),
            ("3", "_3"),
            ("+1", "plus1"),
            ("-1", "minus1"),
            ("\u{2212}1.5 °C", "minus15DegC"),
            ("-x", "x"),
            ("- 1", "_1"),
            ("1-2", "_12"),
            ("", "field"),
            ("\0", "field"),
            ("価格", "jiaGe"),
            ("größe", "grosse"),
            ("Größe (cm)", "grosseCm"),
            ("ключ", "kliuch"),
            ("naïve_café", "naiveCafe"),
            ("\u{e000}", "field"),
        ] {
            assert_eq!(wanted(key), name, "{key}");
        }
    }

    #[test]
    fn collisions_and_reserved_names_are_numbered() {
        let mut namer = Namer::default();
        let mut name = |key| namer.name(key, |name| name == "a_b");
        assert_eq!(name("a b"), "aB");
        assert_eq!(name("a-b"), "aB2");
        assert_eq!(name("aB3"), "aB3");
        assert_eq!(name("a.b"), "aB4");
        assert_eq!(name("and"), "and2");
        assert_eq!(name("_rest"), "_rest2");
        assert_eq!(name("null"), "null2");
        assert_eq!(name("a_b"), "a_b2");
    }

    #[test]
    fn collections_keep_off_every_derived_name() {
        let free = |_: &str| false;
        let names = |category, subcategory, taken: &dyn Fn(&str) -> bool| {
            collection_names(category, subcategory, taken)
        };
        let pair = |field: &str, ty: &str| (field.to_owned(), ty.to_owned());
        assert_eq!(names("order", "clothing", &free), pair("orderClothing", "OrderClothing"));
        assert_eq!(names("held", "web_hooks", &free), pair("heldWebHooks", "HeldWebHooks"));
        assert_eq!(names("GEO", "2024 quakes", &free), pair("geo2024Quakes", "Geo2024Quakes"));
        assert_eq!(names("2024", "x", &free), pair("_2024X", "_2024X"));
        assert_eq!(names("日本", "語", &free), pair("riBenYu", "RiBenYu"));
        assert_eq!(names("sources", "", &free), pair("sources2", "Sources2"));
        // `PageInfo` and `StringFilter` are types already.
        assert_eq!(names("page", "info", &free), pair("pageInfo2", "PageInfo2"));
        assert_eq!(names("string", "", &free), pair("string2", "String2"));
        assert_eq!(names("shape", "version", &free), pair("shapeVersion2", "ShapeVersion2"));
        assert_eq!(names("dead", "letters", &free), pair("deadLetters2", "DeadLetters2"));
        assert_eq!(names("source", "many", &free), pair("sourceMany2", "SourceMany2"));
        let long = collection_names(&"x".repeat(200), &"y".repeat(200), &|name| name.len() == 256);
        assert!(long.0.len() == 257 && long.0.ends_with("yy2"), "{long:?}");
        let taken = |name: &str| name == "OrderClothingEdge" || name == "orderClothing2ByKey";
        assert_eq!(names("order", "clothing", &taken), pair("orderClothing3", "OrderClothing3"));
    }

    #[test]
    fn nested_types_are_named_in_the_order_of_ids() {
        let object = |id, name: &str, children| Field {
            id,
            key: name.to_owned(),
            path: format!("/{name}"),
            name: name.to_owned(),
            kind: Kind::Object(children),
            tags: Default::default(),
            unclassified: false,
            decided: Default::default(),
        };
        let fields = vec![
            object(5, "aB", vec![object(6, "c", Vec::new())]),
            object(1, "a", vec![object(2, "bC", Vec::new())]),
            object(3, "edge", Vec::new()),
            object(4, "_x_y", Vec::new()),
        ];
        let mut published = Published { version: 1, last_field_id: 6, fields, ..Published::default() };
        let new = name_types(&mut published, "Row1", &|name| name == "Row1XYOrder");
        let names = |published: &Published| published.type_names.values().cloned().collect::<Vec<_>>();
        assert_eq!(names(&published), ["Row1A", "Row1ABC", "Row1Edge2", "Row1XY2", "Row1AB", "Row1ABC2"]);
        assert!(new.len() == 24 && new.contains(&"Row1ABC2Filter".to_owned()), "{new:?}");
        // What has a name keeps it, whatever is taken now, and what comes later keeps off what derives from it.
        published.fields.extend([object(7, "aFilter", Vec::new()), object(8, "pull_request", Vec::new())]);
        published.fields.push(object(9, "__", Vec::new()));
        let new = name_types(&mut published, "Row1", &|name| name == "Row1A");
        assert!(
            names(&published)
                .ends_with(&["Row1AFilter2", "Row1PullRequest", "Row1Field2"].map(str::to_owned))
        );
        assert_eq!(new.len(), 12);
    }
}
