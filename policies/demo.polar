# Who may see what in the demo. As base.polar, but with rows and fields that depend on who asks: consumers see the
# public data sets, and of the shop only what belongs to their region, without cards. The demo writes this file into
# its data directory, as `policies/demo.polar`; change it there while the demo runs.

# --- Roles -----------------------------------------------------------------------------------------------------------

has_role(user: User, role) if role in user.roles;
has_role(user: User, _role) if "admin" in user.roles;

# --- Rows ------------------------------------------------------------------------------------------------------------

allow(user: User, "read", _: Row) if has_role(user, "steward");

allow(user: User, "read", _: GeoEarthquake) if has_role(user, "consumer");
allow(user: User, "read", _: AviationAirport) if has_role(user, "consumer");
allow(user: User, "read", _: AviationFlight) if has_role(user, "consumer");

allow(user: User, "read", row: ShopOrder) if has_role(user, "consumer") and row.region = user.region;
allow(user: User, "read", row: ShopPayment) if has_role(user, "consumer") and row.region = user.region;
allow(user: User, "read", row: ShopShipment) if has_role(user, "consumer") and row.region = user.region;

# --- Fields ----------------------------------------------------------------------------------------------------------

allow_field(user: User, "read", _: Row, field: Field) if has_role(user, "steward") and field.published;
allow_field(user: User, "read", _: Row, field: Field)
  if has_role(user, "consumer") and field.classified and not card(field);

# What has no published type (`_rest`, `_record.rescued`) can hold anything.
allow_field(user: User, "read", _: Row, _: Field) if has_role(user, "steward") and has_role(user, "pii");

card(field: Field) if field.name = "card";
card(field: Field) if "card" in field.parents;

# --- Masks -----------------------------------------------------------------------------------------------------------

# A code that is the same for the same value; of a card its last four digits.
mask_field(user: User, _: Row, field: Field, "hash")
  if "pii" in field.tags and not card(field) and not has_role(user, "pii");
mask_field(user: User, _: Row, field: Field, {keep_last: 4})
  if "pii" in field.tags and card(field) and not has_role(user, "pii");

# --- Actions ---------------------------------------------------------------------------------------------------------

# A source sends and takes back records: of every category, or only of those that its claim `categories` lists.
allow(user: User, "source", source: Source) if has_role(user, "source") and may_send(user, source);
allow(user: User, "retract", source: Source) if has_role(user, "source") and may_send(user, source);

may_send(user: User, source: Source) if source.category in user.categories;
may_send(user: User, _: Source) if user.categories = nil;

allow(user: User, "steward", _: Source) if has_role(user, "steward");
allow(user: User, "administer", _: Source) if has_role(user, "admin");
