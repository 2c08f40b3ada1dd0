//! Values of enums whose names begin with `true`, `false` or `null`. To GraphQL they are names like all others, but the
//! parser stops after the word: it reads `[nullable]` as `[null, able]` and refuses `nullable` where one value stands.
//! So the guard notes where they are, the parser gets a document with other letters there, and what it has read gets
//! its own back. Must not know what the names mean.

use std::borrow::Cow;

use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::parser::{self, parse_query};
use async_graphql::{Name, Positioned, Value as ConstValue};
use async_graphql_value::Value;

use crate::error::{Error, Result};

const WORDS: [&str; 3] = ["true", "false", "null"];

/// The beginnings of names that the parser gets other letters for: as many, so that what it says of places holds.
const BEGINNINGS: [(u8, &str); 3] = [(b't', "true"), (b'f', "fals"), (b'n', "null")];

/// Finds such values among the tokens of a document.
#[derive(Debug, Default)]
pub(super) struct Words<'a> {
    last: &'a [u8],
    before_last: &'a [u8],
    parentheses: usize,
    /// Between a variable's `:` and what ends its type.
    in_type: bool,
    /// Where one begins unless it is the name of an argument or a member, which the next token tells.
    open: Option<usize>,
    found: Vec<usize>,
}

impl<'a> Words<'a> {
    /// Takes the next token, which begins at this byte.
    pub(super) fn token(&mut self, at: usize, token: &'a [u8]) {
        self.found.extend(self.open.take().filter(|_| token != b":"));
        match token {
            b"(" => self.parentheses += 1,
            b")" => {
                self.parentheses = self.parentheses.saturating_sub(1);
                self.in_type = false;
            }
            b":" => self.in_type |= self.before_last == b"$",
            b"=" | b"@" | b"$" => self.in_type = false,
            _ if self.parentheses > 0 && !self.in_type && self.last != b"$" && self.last != b"@" => {
                let begins = |word: &str| token.len() > word.len() && token.starts_with(word.as_bytes());
                self.open = WORDS.into_iter().any(begins).then_some(at);
            }
            _ => {}
        }
        (self.before_last, self.last) = (self.last, token);
    }

    /// What the parser can read of the text whose tokens these were.
    ///
    /// # Errors
    /// `BAD_REQUEST` when no letters are left that stand for others.
    pub(super) fn readable(mut self, text: &'a str) -> Result<Readable<'a>> {
        self.found.extend(self.open);
        if self.found.is_empty() {
            return Ok(Readable { text: Cow::Borrowed(text), mark: None });
        }
        let letters = ('0'..='z').filter(char::is_ascii_alphanumeric);
        let mark = letters.map(|letter| format!("__{letter}")).find(|mark| !text.contains(mark));
        let mark = mark.ok_or_else(|| {
            let why = "the document has values that begin with `true`, `false` or `null`; send them in the variables";
            Error::bad_request(why)
        })?;
        let mut bytes = text.as_bytes().to_vec();
        for at in self.found {
            if let Some([first, second, third, fourth]) = bytes.get_mut(at..at + 4) {
                let word = *first;
                for (byte, own) in [first, second, third].into_iter().zip(mark.bytes()) {
                    *byte = own;
                }
                *fourth = word;
            }
        }
        let text = String::from_utf8(bytes).map_err(Error::internal)?;
        Ok(Readable { text: Cow::Owned(text), mark: Some(mark) })
    }
}

/// A document that the parser reads as GraphQL means it.
#[derive(Debug)]
pub(super) struct Readable<'a> {
    text: Cow<'a, str>,
    /// What stands before the letter that tells a value's beginning; nothing else in the text contains it.
    mark: Option<String>,
}

impl Readable<'_> {
    /// What the document says.
    ///
    /// # Errors
    /// What the parser says.
    pub(super) fn parse(&self) -> Result<ExecutableDocument, parser::Error> {
        let mut document = parse_query(&self.text)?;
        if let Some(mark) = &self.mark {
            let operations: Vec<&mut Positioned<OperationDefinition>> = match &mut document.operations {
                DocumentOperations::Single(one) => vec![one],
                DocumentOperations::Multiple(all) => all.values_mut().collect(),
            };
            for operation in operations {
                for variable in &mut operation.node.variable_definitions {
                    directives(&mut variable.node.directives, mark);
                    variable.node.default_value.iter_mut().for_each(|value| constant(&mut value.node, mark));
                }
                directives(&mut operation.node.directives, mark);
                selection(&mut operation.node.selection_set.node, mark);
            }
            for fragment in document.fragments.values_mut() {
                directives(&mut fragment.node.directives, mark);
                selection(&mut fragment.node.selection_set.node, mark);
            }
        }
        Ok(document)
    }
}

fn selection(set: &mut SelectionSet, mark: &str) {
    for item in &mut set.items {
        directives(item.node.directives_mut(), mark);
        match &mut item.node {
            Selection::Field(field) => {
                field.node.arguments.iter_mut().for_each(|(_, argument)| value(&mut argument.node, mark));
                selection(&mut field.node.selection_set.node, mark);
            }
            Selection::InlineFragment(inline) => selection(&mut inline.node.selection_set.node, mark),
            Selection::FragmentSpread(_) => {}
        }
    }
}

fn directives(all: &mut [Positioned<Directive>], mark: &str) {
    let arguments = all.iter_mut().flat_map(|directive| &mut directive.node.arguments);
    arguments.for_each(|(_, argument)| value(&mut argument.node, mark));
}

fn value(given: &mut Value, mark: &str) {
    match given {
        Value::Enum(name) => restore(name, mark),
        Value::List(items) => items.iter_mut().for_each(|item| value(item, mark)),
        Value::Object(members) => members.values_mut().for_each(|member| value(member, mark)),
        _ => {}
    }
}

fn constant(value: &mut ConstValue, mark: &str) {
    match value {
        ConstValue::Enum(name) => restore(name, mark),
        ConstValue::List(items) => items.iter_mut().for_each(|item| constant(item, mark)),
        ConstValue::Object(members) => members.values_mut().for_each(|member| constant(member, mark)),
        _ => {}
    }
}

fn restore(name: &mut Name, mark: &str) {
    let Some(changed) = name.as_str().strip_prefix(mark) else { return };
    let own = BEGINNINGS.iter().find_map(|(letter, beginning)| {
        changed.strip_prefix(char::from(*letter)).map(|rest| format!("{beginning}{rest}"))
    });
    if let Some(own) = own {
        *name = Name::new(own);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config;
    use crate::graphql::guard::scan;

    fn read(text: &str) -> Result<ExecutableDocument, String> {
        let readable = scan(text, &config::Graphql::default()).map_err(|error| error.message().to_owned())?;
        readable.parse().map_err(|error| error.to_string())
    }

    /// Documents with `NAME` wherever names stand.
    const DOCUMENTS: [&str; 9] = [
        "{ a(x: NAME) }",
        "{ a(x: [NAME]) b(x: [NAME, NAME NAME]) }",
        "{ NAME: NAME(NAME: NAME, y: {NAME: NAME, z: [NAME {NAME: [NAME]}]}) { NAME: NAME NAME } }",
        "query NAME($NAME: NAME = NAME, $b: [NAME!]! @NAME(NAME: NAME) $c: [NAME] = [NAME]) @NAME(NAME: NAME)
            { ...NAME @NAME(NAME: NAME) ... on NAME @NAME(NAME: NAME) { a(NAME: $NAME, NAME: NAME) } }
            fragment NAME on NAME @NAME(NAME: NAME) { NAME(NAME: NAME) }",
        "query A { a(x: NAME) } query B($x: T @d = NAME) { b(NAME: $x NAME: NAME) }",
        "{ a(x: \"NAME\", y: \"\"\"x: NAME\"\"\", z: NAME) # (x: NAME\n b(x:NAME)c(x:NAME,)}",
        "subscription { a(x: {y: NAME}) { b } }",
        "mutation { a(x: true y: [false null NAME true NAME]) @include(if: true) { __typename } }",
        "query($a: Int) { a(x: $a, NAME: {NAME: $a}, y: [$a NAME $a]) }",
    ];

    #[test]
    fn names_are_read_as_the_same_whatever_they_begin_with() {
        for document in DOCUMENTS {
            for name in
                ["nullable", "null_", "null1", "trueColor", "true_", "falsePositive", "false0", "nullnull"]
            {
                // Another name of the same length is read by the parser alone.
                let other = format!("x{}", name.get(1..).unwrap());
                let plain = parse_query(document.replace("NAME", &other)).unwrap();
                let found = read(&document.replace("NAME", name)).unwrap();
                // Maps have no order.
                let told = |document: &ExecutableDocument| {
                    let operations: Vec<_> = document.operations.iter().collect();
                    let mut told: Vec<String> = operations.iter().map(|one| format!("{one:?}")).collect();
                    told.extend(document.fragments.iter().map(|one| format!("{one:?}")));
                    told.sort();
                    told.concat()
                };
                assert_eq!(told(&found), told(&plain).replace(&other, name), "{document} {name}");
            }
        }
    }

    #[test]
    fn the_parser_alone_reads_words_instead() {
        let alone = parse_query("{ a(x: [nullable, trueColor]) }").unwrap();
        assert!(
            format!("{alone:?}")
                .contains("[Null, Enum(Name(\"able\")), Boolean(true), Enum(Name(\"Color\"))]")
        );
        assert!(parse_query("{ a(x: nullable) }").is_err());
    }

    #[test]
    fn what_is_marked_is_told_from_what_a_document_says() {
        let document = read("{ a(x: [nullable, __0nable, __1nable, __0]) }").unwrap();
        let told = format!("{document:?}");
        for name in ["nullable", "__0nable", "__1nable", "__0"] {
            assert!(told.contains(&format!("Enum(Name(\"{name}\"))")), "{told}");
        }
        let all: String =
            ('0'..='z').filter(char::is_ascii_alphanumeric).map(|c| format!("__{c} ")).collect();
        let refused = read(&format!("{{ a(x: nullable, y: [{all}]) }}")).unwrap_err();
        assert!(refused.contains("send them in the variables"), "{refused}");
        assert!(read(&format!("{{ a(x: null, y: [{all}]) }}")).is_ok());
    }

    #[test]
    fn mistakes_are_told_where_they_are() {
        let error = parse_query("{ a(x: [xullable yrueColor) }").unwrap_err();
        let ours =
            scan("{ a(x: [nullable trueColor) }", &config::Graphql::default()).unwrap().parse().unwrap_err();
        assert_eq!(ours.positions().collect::<Vec<_>>(), error.positions().collect::<Vec<_>>());
    }
}
