//! Positions within areas as SQL. What is said here must be what `query::Area` says, step for step.

use super::sql::Sql;
use crate::query::{Area, FieldRef, HAIR, haversine_max};
use crate::store::db::{Dialect, Value};

/// The latitude of a position, by the text of its list. An index on it is made of this expression, as it stands: a
/// condition that says it in other words is led to by none.
pub(super) fn latitude(dialect: Dialect, text: &str) -> String {
    degrees(dialect, text, 1)
}

fn degrees(dialect: Dialect, text: &str, place: u8) -> String {
    match dialect {
        Dialect::Sqlite => format!("cast(json_extract({text}, '$[{place}]') as real)"),
        Dialect::Postgres => format!("(({text})::json->>{place})::double precision"),
    }
}

impl Sql {
    /// Whether a list is a position in an area.
    pub(super) fn place(&mut self, list: &FieldRef, area: &Area) -> String {
        let text = self.text(list);
        let latitude = latitude(self.dialect, &text);
        let (south, north) = area.latitudes();
        let ((least, most), within) = match self.dialect {
            Dialect::Sqlite => (wider(south, north), self.within(&text, area)),
            Dialect::Postgres => ((south, north), self.computed(&latitude, &text, area)),
        };
        let [least, most] = [least, most].map(|bound| self.param(Value::Float(bound)));
        format!("{latitude} between {least} and {most} and {within}")
    }

    /// On SQLite, by the function that looks at values in memory, too.
    fn within(&mut self, text: &str, area: &Area) -> String {
        let (name, numbers) = match *area {
            Area::Box { west, south, east, north } => ("wellspring_within", vec![west, south, east, north]),
            Area::Circle { longitude, latitude, meters } => {
                ("wellspring_near", vec![longitude, latitude, meters])
            }
        };
        let marks: Vec<String> = numbers.into_iter().map(|number| self.param(Value::Float(number))).collect();
        format!("{name}({text}, {})", marks.join(", "))
    }

    /// On PostgreSQL, what more must hold between the latitudes of an area.
    fn computed(&mut self, latitude: &str, text: &str, area: &Area) -> String {
        let longitude = degrees(self.dialect, text, 0);
        match *area {
            Area::Box { west, east, .. } => {
                let (from, to) = (self.param(Value::Float(west)), self.param(Value::Float(east)));
                match west <= east {
                    true => format!("{longitude} between {from} and {to}"),
                    false => {
                        format!("({longitude} between {from} and 180 or {longitude} between -180 and {to})")
                    }
                }
            }
            Area::Circle { longitude: x, latitude: y, meters } => {
                let [x, y, shrunk, most] = [x, y, (y.abs() + HAIR).to_radians().cos(), haversine_max(meters)]
                    .map(|number| self.param(Value::Float(number)));
                let half = |of: &str, from: &str| {
                    format!("power(sin(radians(abs({of} - {from}) + {HAIR:e}) / 2), 2)")
                };
                let (north, east) = (half(latitude, &y), half(&longitude, &x));
                let haversine =
                    format!("{north} + {shrunk} * cos(radians(abs({latitude}) + {HAIR:e})) * {east}");
                format!("{longitude} between -180 and 180 and {haversine} <= {most}")
            }
        }
    }
}

/// SQLite reads numbers to the last digit but one: what is left out here must be out for certain.
fn wider(south: f64, north: f64) -> (f64, f64) {
    (south - 1e-9, north + 1e-9)
}
