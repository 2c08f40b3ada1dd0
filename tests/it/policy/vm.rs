//! polar-core's own virtual machine as an oracle: it runs the same policy text for a known row. Its host answers
//! lookups from JSON; what is missing or null is an instance of its own, equal to nothing but `nil`.

use polar_core::events::QueryEvent;
use polar_core::polar::Polar;
use polar_core::sources::Source;
use polar_core::terms::{Call, ExternalInstance, Numeric, Operator, Symbol, Term, Value};
use serde_json::Value as Json;

/// What stands behind an instance.
enum Thing {
    User(Json),
    Row(Json),
    Object(Json),
    Field(Json),
    Missing,
    Nil,
}

/// A loaded policy.
pub struct Vm {
    polar: Polar,
    class: String,
}

struct Host<'a> {
    vm: &'a Vm,
    things: Vec<(u64, Thing)>,
    nil: u64,
}

fn instance(id: u64, class: Option<u64>) -> Term {
    let repr = Some(format!("#{id}"));
    Term::from(ExternalInstance {
        instance_id: id,
        constructor: None,
        repr,
        class_repr: None,
        class_id: class,
    })
}

impl Vm {
    /// Loads a policy about rows of one class.
    pub fn load(text: &str, class: &str) -> Self {
        let polar = Polar::new();
        for name in ["User", "Row", "Field", class] {
            let id = polar.get_external_id();
            polar.register_constant(Symbol::new(name), instance(id, Some(id))).unwrap();
            polar.register_mro(Symbol::new(name), vec![id]).unwrap();
        }
        polar.register_constant(Symbol::new("nil"), instance(u64::from(u32::MAX), None)).unwrap();
        polar.load(vec![Source::new_with_name("p.polar", text)]).unwrap();
        Vm { polar, class: class.to_owned() }
    }

    /// Whether `allow(user, "read", row)` holds; an error of the machine is a denial, and is told.
    pub fn allows(&self, user: &Json, row: &Json) -> Result<bool, String> {
        let things = |host: &mut Host<'_>| {
            let (user, row) = (host.make(Thing::User(user.clone())), host.make(Thing::Row(row.clone())));
            vec![user, Term::from("read".to_owned()), row]
        };
        Ok(!self.ask("allow", things, true)?.is_empty())
    }

    /// Whether `allow_field(user, "read", row, field)` holds.
    pub fn allows_field(&self, user: &Json, row: &Json, field: &Json) -> Result<bool, String> {
        let things = |host: &mut Host<'_>| {
            let (user, row) = (host.make(Thing::User(user.clone())), host.make(Thing::Row(row.clone())));
            vec![user, Term::from("read".to_owned()), row, host.make(Thing::Field(field.clone()))]
        };
        Ok(!self.ask("allow_field", things, true)?.is_empty())
    }

    /// Every mask for which `mask_field(user, row, field, mask)` holds, as Polar writes it.
    pub fn masks(&self, user: &Json, row: &Json, field: &Json) -> Result<Vec<String>, String> {
        let things = |host: &mut Host<'_>| {
            let (user, row) = (host.make(Thing::User(user.clone())), host.make(Thing::Row(row.clone())));
            let mask = Term::from(Value::Variable(Symbol::new("mask")));
            vec![user, row, host.make(Thing::Field(field.clone())), mask]
        };
        self.ask("mask_field", things, false)
    }

    /// The values of the variable `mask` in all solutions, or in the first one.
    fn ask(
        &self,
        rule: &str,
        args: impl FnOnce(&mut Host<'_>) -> Vec<Term>,
        first: bool,
    ) -> Result<Vec<String>, String> {
        let mut host = Host { vm: self, things: vec![], nil: u64::from(u32::MAX) };
        host.things.push((host.nil, Thing::Nil));
        let args = args(&mut host);
        let call = Call { name: Symbol::new(rule), args, kwargs: None };
        let mut query = self.polar.new_query_from_term(Term::from(call), false);
        let mut solutions = Vec::new();
        for _ in 0..100_000 {
            let event = query.next_event().map_err(|e| e.to_string())?;
            let done = match event {
                QueryEvent::Done { .. } => return Ok(solutions),
                QueryEvent::Result { bindings, .. } => {
                    solutions.push(bindings.get(&Symbol::new("mask")).map_or(String::new(), Term::to_string));
                    if first {
                        return Ok(solutions);
                    }
                    continue;
                }
                QueryEvent::ExternalCall { call_id, instance, attribute, args: None, .. } => {
                    let found = host.attribute(&instance, &attribute.0);
                    query.call_result(call_id, Some(found))
                }
                QueryEvent::ExternalCall { call_id, instance, attribute, args: Some(args), .. }
                    if attribute.0 == "starts_with" =>
                {
                    query.call_result(call_id, Some(Term::from(begins(&instance, &args))))
                }
                QueryEvent::ExternalIsa { call_id, instance, class_tag } => {
                    let is = host.is_a(&instance, &class_tag.0);
                    query.question_result(call_id, is)
                }
                QueryEvent::ExternalIsSubSpecializer { call_id, .. } => query.question_result(call_id, false),
                QueryEvent::ExternalIsSubclass { call_id, left_class_tag, right_class_tag } => {
                    query.question_result(call_id, left_class_tag == right_class_tag)
                }
                QueryEvent::ExternalOp { call_id, operator, args } => {
                    let holds = host.compare(operator, &args);
                    query.question_result(call_id, holds)
                }
                QueryEvent::NextExternal { call_id, .. } => query.call_result(call_id, None),
                other => return Err(format!("unexpected event {other:?}")),
            };
            done.map_err(|e| e.to_string())?;
        }
        Err("no end".to_owned())
    }
}

impl Host<'_> {
    fn make(&mut self, thing: Thing) -> Term {
        let id = self.vm.polar.get_external_id();
        self.things.push((id, thing));
        instance(id, None)
    }

    fn thing(&self, term: &Term) -> Option<&Thing> {
        let Value::ExternalInstance(ExternalInstance { instance_id, .. }) = term.value() else { return None };
        self.things.iter().find(|(id, _)| id == instance_id).map(|(_, thing)| thing)
    }

    fn attribute(&mut self, object: &Term, name: &str) -> Term {
        let found = match self.thing(object) {
            Some(Thing::User(json) | Thing::Row(json) | Thing::Object(json) | Thing::Field(json)) => {
                json.get(name).cloned()
            }
            _ => None,
        };
        self.term(found.unwrap_or(Json::Null))
    }

    fn term(&mut self, json: Json) -> Term {
        match json {
            Json::Null => self.make(Thing::Missing),
            Json::Bool(value) => Term::from(value),
            Json::Number(n) => Term::from(Value::Number(match n.as_i64() {
                Some(n) => Numeric::Integer(n),
                None => Numeric::Float(n.as_f64().unwrap()),
            })),
            Json::String(text) => Term::from(text),
            Json::Array(items) => {
                Term::from(items.into_iter().map(|item| self.term(item)).collect::<Vec<_>>())
            }
            object @ Json::Object(_) => self.make(Thing::Object(object)),
        }
    }

    fn is_a(&self, object: &Term, class: &str) -> bool {
        match self.thing(object) {
            Some(Thing::User(_)) => class == "User",
            Some(Thing::Field(_)) => class == "Field",
            Some(Thing::Row(_)) => class == "Row" || class == self.vm.class,
            _ => false,
        }
    }

    /// Comparisons with what is missing, or with an object.
    fn compare(&self, operator: Operator, args: &[Term]) -> bool {
        let nothing = |term: &Term| matches!(self.thing(term), Some(Thing::Missing | Thing::Nil));
        let nil = |term: &Term| matches!(self.thing(term), Some(Thing::Nil));
        let [left, right] = args else { return false };
        let same = nil(left) && nothing(right) || nil(right) && nothing(left);
        match operator {
            Operator::Eq | Operator::Unify => same,
            Operator::Neq => !same,
            _ => false,
        }
    }
}

/// What is missing begins with nothing.
fn begins(text: &Term, args: &[Term]) -> bool {
    match (text.value(), args) {
        (Value::String(text), [prefix]) => match prefix.value() {
            Value::String(prefix) => text.starts_with(prefix.as_str()),
            _ => false,
        },
        _ => false,
    }
}
