# An example beside the base policy: what each role of a shop's staff sees of its orders. Copy it into your policies
# directory together with base.polar (and take the base's rule for consumers out, or they see every row).
#
#   wellspring token --subject ana --role clerk --claim region=eu
#   wellspring token --subject bo --role courier --claim region=us

# A clerk sees the orders of the own region: all fields, the customer's email as a code, amounts as they are.
allow(user: User, "read", order: ShopOrder) if "clerk" in user.roles and order.region = user.region;

# A courier sees what is under way, and nothing of it that is not needed for that.
allow(user: User, "read", order: ShopOrder) if
  "courier" in user.roles and under_way(order) and order.region = user.region;

under_way(order) if order.status in ["paid", "shipped"];

allow_field(user: User, "read", _: ShopOrder, field: Field) if "clerk" in user.roles and field.classified;
allow_field(user: User, "read", _: ShopOrder, field: Field) if
  "courier" in user.roles and field.name in ["orderNo", "status", "region", "customer.name", "placedAt"];

mask_field(user: User, _: ShopOrder, field: Field, "hash") if
  "clerk" in user.roles and field.name = "customer.email";

# A courier knows the day, not the hour, and whom to ask for by the first letters.
mask_field(user: User, _: ShopOrder, field: Field, {truncate: "day"}) if
  "courier" in user.roles and field.name = "placedAt";
mask_field(user: User, _: ShopOrder, field: Field, {keep_first: 3}) if
  "courier" in user.roles and field.name = "customer.name";
