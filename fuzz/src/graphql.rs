//! What of `graphql` makes schemas and reads documents, without what answers by them.

#[path = "../../src/graphql/called.rs"]
mod called;
#[path = "../../src/graphql/coerce.rs"]
mod coerce;
#[path = "../../src/graphql/collection.rs"]
mod collection;
#[path = "../../src/graphql/describe.rs"]
mod describe;
#[path = "../../src/graphql/enums.rs"]
mod enums;
#[path = "../../src/graphql/guard.rs"]
mod guard;
#[path = "../../src/graphql/literals.rs"]
mod literals;
#[path = "../../src/graphql/maps.rs"]
mod maps;
#[path = "../../src/graphql/model.rs"]
mod model;
#[path = "../../src/graphql/names.rs"]
mod names;
#[path = "../../src/graphql/plan.rs"]
mod plan;
#[path = "../../src/graphql/reach.rs"]
mod reach;
#[path = "../../src/graphql/schema.rs"]
mod schema;
#[path = "../../src/graphql/sdl.rs"]
mod sdl;
#[path = "../../src/graphql/unions.rs"]
mod unions;
#[path = "../../src/graphql/words.rs"]
mod words;

#[path = "../schema.rs"]
pub mod properties;
