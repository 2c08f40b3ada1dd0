//! What a consumer is shown of real data sets is what somebody has looked at and found right. Renders each schema of
//! `tests/snapshots` from what is kept beside it: documents of our own, or the shape of a set that is not.

#[path = "../../examples/sets/mod.rs"]
#[expect(dead_code, reason = "shared by examples")]
mod sets;

#[path = "../../examples/snapshots/render.rs"]
mod render;

use std::fs;

#[test]
fn schemas_are_those_that_were_found_right() {
    let sets = render::kept();
    let schemas = fs::read_dir(render::directory()).unwrap().map(|entry| entry.unwrap().path());
    let schemas = schemas.filter(|path| path.extension().is_some_and(|of| of == "graphql")).count();
    assert!(sets.len() >= 8 && sets.len() == schemas, "{schemas} schemas of {} sets", sets.len());
    let differences: Vec<String> = sets
        .iter()
        .map(|(set, shape)| {
            let path = render::directory().join(set).with_extension("graphql");
            let rendered = render::sdl(set, render::published(shape));
            let difference = render::difference(&fs::read_to_string(path).unwrap(), &rendered);
            if difference.is_empty() { difference } else { format!("== {set}\n{difference}\n") }
        })
        .collect();
    let differences = differences.concat();
    assert!(differences.is_empty(), "{differences}if that is right: {}", render::ACCEPT);
}

#[test]
fn a_difference_is_told_type_by_type() {
    let was = "\"A row.\"\ntype A {\n  \"`/x`\"\n  x: Int\n  y: Int\n}\n\nscalar B\n";
    let is = "\"A row.\"\ntype A {\n  \"`/x` (url)\"\n  x: Int\n  y: Int\n}\n";
    let told = "scalar B\n-   scalar B\ntype A {\n-   \"`/x`\" x: Int\n+   \"`/x` (url)\" x: Int\n";
    assert_eq!(render::difference(was, is), told);
    assert_eq!(render::difference(was, was), "");
    let turned = was.replace("  y: Int\n", "").replace("type A {\n", "type A {\n  y: Int\n");
    assert_eq!(render::difference(was, &turned), "type A {\n    the same members in another order\n");
}
