//! Areas of the globe that positions are looked for in: those of GeoJSON, a longitude and a latitude in degrees. What
//! is said here must be what the store says as SQL, step for step. Must not read anything.

use crate::error::{Error, Result};
use crate::record::Json;

/// The mean radius of the earth, in meters.
const RADIUS: f64 = 6_371_008.8;

/// How much wider than a circle the latitudes are between which it lies, in degrees: so they leave nothing out that is
/// within it by a rounding.
const SLACK: f64 = 1e-9;

/// What is added to every distance in degrees. PostgreSQL refuses products that are nearly nothing, and no two
/// positions are told apart by so little.
pub const HAIR: f64 = 1e-100;

/// Where a position is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// Between these meridians and parallels, in degrees, the borders too.
    Box {
        /// The meridian from which on, to the east.
        west: f64,
        /// The parallel that bounds it in the south.
        south: f64,
        /// The meridian up to which; one that is west of `west` is reached across 180 degrees.
        east: f64,
        /// The parallel that bounds it in the north.
        north: f64,
    },
    /// Not farther from a position than so many meters, along a great circle of a sphere.
    Circle {
        /// Of its middle, in degrees.
        longitude: f64,
        /// Of its middle, in degrees.
        latitude: f64,
        /// How far its border is from there.
        meters: f64,
    },
}

impl Area {
    /// The area that the members of an operator's input object say.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it is none.
    pub fn of(operator: &str, value: &Json) -> Result<Self> {
        let given = |name: &str, least: f64, most: f64| number(operator, value, (name, least, most));
        if operator == "near" {
            let (longitude, latitude) = (given("longitude", -180.0, 180.0)?, given("latitude", -90.0, 90.0)?);
            return Ok(Area::Circle { longitude, latitude, meters: given("meters", 0.0, f64::MAX)? });
        }
        let (west, east) = (given("west", -180.0, 180.0)?, given("east", -180.0, 180.0)?);
        let (south, north) = (given("south", -90.0, 90.0)?, given("north", -90.0, 90.0)?);
        if south > north {
            let text = format!("`{operator}` has its `south`, {south}, north of its `north`, {north}");
            return Err(Error::bad_request(text));
        }
        Ok(Area::Box { west, south, east, north })
    }

    /// Between which latitudes it lies: a first, cheap condition, that an index can lead to.
    pub fn latitudes(&self) -> (f64, f64) {
        match self {
            Area::Box { south, north, .. } => (*south, *north),
            Area::Circle { latitude, meters, .. } => {
                let reach = (meters / RADIUS).to_degrees() + SLACK;
                ((latitude - reach).max(-90.0), (latitude + reach).min(90.0))
            }
        }
    }

    /// Whether a list is a position that is within. What comes behind its first two numbers is not looked at.
    pub fn holds(&self, value: &Json) -> bool {
        let Some((longitude, latitude)) = position(value) else { return false };
        let (south, north) = self.latitudes();
        if !(south..=north).contains(&latitude) {
            return false;
        }
        match self {
            Area::Box { west, east, .. } if west <= east => (*west..=*east).contains(&longitude),
            Area::Box { west, east, .. } => longitude >= *west || longitude <= *east,
            Area::Circle { longitude: from, latitude: at, meters } => {
                let there = haversine((*from, *at), (longitude, latitude));
                there <= haversine_max(*meters)
            }
        }
    }
}

/// The number of an input object, which lies between these bounds.
fn number(operator: &str, value: &Json, (name, least, most): (&str, f64, f64)) -> Result<f64> {
    let number = match value.get(name) {
        Some(Json::Number(text)) => text.parse::<f64>().ok(),
        _ => None,
    };
    let wrong = || {
        let range = match name {
            "meters" => "a distance, not less than 0".to_owned(),
            _ => format!("degrees from {least} to {most}"),
        };
        Error::bad_request(format!("`{name}` of `{operator}` must be {range}"))
    };
    number.filter(|number| (least..=most).contains(number)).ok_or_else(wrong)
}

/// A longitude and a latitude, if a list begins with them.
fn position(value: &Json) -> Option<(f64, f64)> {
    let Json::Array(items) = value else { return None };
    let degrees = |place: usize, most: f64| match items.get(place)? {
        // A whole number is a string where the list once had greater ones.
        Json::Number(text) => text.parse().ok().filter(|degrees| (-most..=most).contains(degrees)),
        Json::String(text) => text.parse().ok().filter(|degrees| (-most..=most).contains(degrees)),
        _ => None,
    };
    Some((degrees(0, 180.0)?, degrees(1, 90.0)?))
}

/// How far two positions are from each other, as the haversine of the angle between them: it grows with the distance,
/// and tells the small ones apart, too.
fn haversine(from: (f64, f64), to: (f64, f64)) -> f64 {
    let half = |one: f64, other: f64| (((one - other).abs() + HAIR).to_radians() / 2.0).sin().powi(2);
    let shrunk = |latitude: f64| (latitude.abs() + HAIR).to_radians().cos();
    half(to.1, from.1) + shrunk(from.1) * shrunk(to.1) * half(to.0, from.0)
}

/// The haversine of so many meters: all positions that have a greater one are farther away. A position is as near to
/// itself as can be, though distances are greater by a hair.
pub fn haversine_max(meters: f64) -> f64 {
    let half = meters / RADIUS / 2.0;
    if half >= std::f64::consts::FRAC_PI_2 { 2.0 } else { (half.sin() + HAIR).powi(2) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn json(text: &str) -> Json {
        Json::try_from(text).unwrap()
    }

    fn holds(operator: &str, area: &str, list: &str) -> bool {
        Area::of(operator, &json(area)).unwrap().holds(&json(list))
    }

    #[test]
    fn boxes_have_their_borders_and_cross_the_antimeridian() {
        let berlin = r#"{"west":13,"south":52.25,"east":13.75,"north":52.75}"#;
        for (list, expected) in [
            ("[13.4,52.5]", true),
            ("[13,52.25]", true),
            ("[13.75,52.75,34.5]", true),
            ("[13.76,52.5]", false),
            ("[12.99,52.5]", false),
            ("[13.4,52.76]", false),
            ("[52.5,13.4]", false),
        ] {
            assert_eq!(holds("within", berlin, list), expected, "{list}");
        }
        let fiji = r#"{"west":177,"south":-20,"east":-178,"north":-12}"#;
        for (list, expected) in
            [("[178,-17]", true), ("[-179,-17]", true), ("[180,-17]", true), ("[0,-17]", false)]
        {
            assert_eq!(holds("within", fiji, list), expected, "{list}");
        }
    }

    #[test]
    fn circles_are_great_circles() {
        // From Berlin to Paris it is about 877.5 km.
        let near = |meters: u32| format!(r#"{{"longitude":13.405,"latitude":52.52,"meters":{meters}}}"#);
        assert!(holds("near", &near(878_000), "[2.3522,48.8566]"));
        assert!(!holds("near", &near(877_000), "[2.3522,48.8566]"));
        assert!(holds("near", &near(0), "[13.405,52.52]"));
        assert!(!holds("near", &near(0), "[13.4050001,52.52]"));
        // Over the pole, and half around the globe.
        let pole = r#"{"longitude":0,"latitude":89.9,"meters":22300}"#;
        assert!(holds("near", pole, "[180,89.9]") && !holds("near", pole, "[180,89.89]"));
        let all = r#"{"longitude":0,"latitude":0,"meters":20100000}"#;
        assert!(holds("near", all, "[180,0]") && holds("near", all, "[-180,-90]"));
        let most = r#"{"longitude":0,"latitude":0,"meters":20000000}"#;
        assert!(!holds("near", most, "[180,0]"));
    }

    #[test]
    fn what_is_no_position_is_nowhere() {
        let all = r#"{"west":-180,"south":-90,"east":180,"north":90}"#;
        for list in
            ["[]", "[1]", "[null,1]", "[1,null]", "[181,1]", "[1,-90.5]", "[\"x\",1]", "null", "{}", "1"]
        {
            assert!(!holds("within", all, list), "{list}");
        }
        for list in ["[1,2]", "[-180,90]", "[\"1\",\"2\"]", "[-0.0,5e-324,null]"] {
            assert!(holds("within", all, list), "{list}");
        }
    }

    #[test]
    fn areas_that_are_none_are_refused_with_what_is_wrong() {
        for (operator, area, what) in [
            ("within", r#"{"west":1,"south":2,"east":3}"#, "`north`"),
            ("within", r#"{"west":-181,"south":2,"east":3,"north":4}"#, "-180 to 180"),
            ("within", r#"{"west":1,"south":2,"east":3,"north":90.5}"#, "-90 to 90"),
            ("within", r#"{"west":1,"south":5,"east":3,"north":4}"#, "north of"),
            ("near", r#"{"longitude":1,"latitude":2,"meters":-1}"#, "`meters`"),
            ("near", r#"{"longitude":1,"latitude":2,"meters":1e999}"#, "`meters`"),
            ("near", r#"{"longitude":"1","latitude":2,"meters":1}"#, "`longitude`"),
            ("near", "null", "`longitude`"),
        ] {
            let error = Area::of(operator, &json(area)).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}
