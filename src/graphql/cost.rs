//! What a document asks for, in rows times fields. Must not decide what is too much.

use super::coerce::Variables;
use super::model::TypeRef;
use super::plan::Node;
use crate::config;
use crate::record::Json;

/// What so many of a field come to with all that is below it: pages within it multiply.
pub(super) fn weight(node: &Node, count: u64, variables: &Variables, limits: &config::Graphql) -> u64 {
    let below = node.children.iter().map(|child| {
        let each = if child.paged { rows(child, variables, limits) } else { 1 };
        weight(child, count.saturating_mul(each), variables, limits)
    });
    below.fold(count, u64::saturating_add)
}

/// How many rows a root field, or a page within rows, asks for.
pub(super) fn rows(node: &Node, variables: &Variables, limits: &config::Graphql) -> u64 {
    let number = |name: &str| {
        let (_, template, _) = node.arguments.iter().find(|(argument, _, _)| &**argument == name)?;
        match template.fill(variables) {
            Ok(Some(Json::Number(text))) => text.parse::<u64>().ok(),
            _ => None,
        }
    };
    match number("first").or_else(|| number("last")) {
        Some(rows) => rows.max(1),
        None if ["Connection", "History"].iter().any(|suffix| node.ty.name().ends_with(suffix)) => {
            limits.page_default as u64
        }
        None if matches!(node.ty.nullable(), TypeRef::List(_)) => limits.page_max as u64,
        None => 1,
    }
}

/// The most rows of a page that any of these asks for; 0 without pages.
pub(super) fn page(nodes: &[Node], variables: &Variables, limits: &config::Graphql) -> u64 {
    let of = |node: &Node| {
        let own = if node.paged { rows(node, variables, limits) } else { 0 };
        own.max(page(&node.children, variables, limits))
    };
    nodes.iter().map(of).max().unwrap_or(0)
}
