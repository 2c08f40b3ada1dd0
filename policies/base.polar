# Who may see and do what, when no policies of your own are given. Nothing is allowed that no rule here allows.
#
# Write your own: copy this file into a directory, name that directory as `policy.directory` (or call it `policies`
# within the data directory), and change it; it is read again while the system runs, and a file with a mistake never
# replaces one without. All `*.polar` files of the directory count together.
#
#   user      who asks: `user.subject`, `user.roles` and every claim of the token; a claim that is missing is equal
#             to nothing
#   row       one row of a collection, by its published field names: `row.region`, `row.address.city`,
#             `row._record.sourceName`, `row._record.occurredAt`, `row._record.purposes` (a list); the class is the
#             collection's type, such as `OrderClothing`, and every one of them is a `Row`. Of lists: `"a" in row.tags`,
#             `item in row.items and item.kind = user.kind`, `forall(tag in user.tags, tag in row.tags)`; of texts:
#             `row.code.starts_with(user.prefix)`
#   field     one field: `field.name` (`address.city`), `field.path` (`/address/city`), `field.tags` (`pii.email` is
#             there as `pii` too), `field.parents` (`address`), and what is known of it:
#               `field.published`   it has a type; without one (`_rest`, `_record.rescued`) it can hold anything
#               `field.classified`  it is published, and not kept back: with `shape.exposure` guarded, what is new is,
#                                   until a rule, its tags or a steward classifies it; with open nothing is, but what
#                                   a steward has hidden (`decideField`)
#             A field that was renamed has all its names: `field.name` equals each, and `row` knows it by each
#             The record's envelope has fields, too (`_record.sourceUid`, `_record.author`), classified with the first
#             field of their collection; a uid, name or author that looks like personal data is tagged so, and the key
#             is shown at most as the uid is
#   request   how somebody asks, see the last section
#   source    where records come from: `source.category`, `source.subcategory`, `source.source_name`

# --- Roles -----------------------------------------------------------------------------------------------------------

# An admin has every role.
has_role(user: User, role) if role in user.roles;
has_role(user: User, _role) if "admin" in user.roles;

reader(user: User) if has_role(user, "steward");
reader(user: User) if has_role(user, "consumer");

# --- Rows: allow(user, "read", row) ----------------------------------------------------------------------------------

allow(user: User, "read", _: Row) if reader(user);

# One collection, some rows. See policies/examples for more:
#   allow(user: User, "read", row: OrderClothing) if row.region = user.region;
# Or by rows that accepted relations lead to, whether the user may see those or not:
#   allow(user: User, "read", row: OrderClothing) if row.customer.region = user.region;
#   allow(user: User, "read", row: CrmCustomer) if order in row.orders and order.status = "open";

# --- Fields: allow_field(user, "read", row, field) -------------------------------------------------------------------

# Readers see every field that is classified; stewards also what waits for them to classify it (`classifyFields`).
allow_field(user: User, "read", _: Row, field: Field) if reader(user) and field.classified;
allow_field(user: User, "read", _: Row, field: Field) if has_role(user, "steward") and field.published;

# What is not published can hold anything, or tell whether it is there: `_rest`, `_record.rescued` with the exact texts
# that did not fit, and `metaData`, `dataTracker`, `idempotencyKey`, `payloadHash` and `shape` of `_record`. Those of
# `_record` are shown only to who sees every other field as it is, in every row.
allow_field(user: User, "read", _: Row, _: Field) if has_role(user, "steward") and has_role(user, "pii");

# --- Masks: mask_field(user, row, field, mask) -----------------------------------------------------------------------

# Personal data is replaced by a code that is the same for the same value. Other masks: "null", {keep_first: 2},
# {keep_last: 4}, {round: 100}, {truncate: "month"}; the strictest one holds.
mask_field(user: User, _: Row, field: Field, "hash") if "pii" in field.tags and not has_role(user, "pii");

# --- Actions: allow(user, action, source) ----------------------------------------------------------------------------

# A source sends and takes back records: of every category, or only of those that its claim `categories` lists.
allow(user: User, "source", source: Source) if has_role(user, "source") and may_send(user, source);
allow(user: User, "retract", source: Source) if has_role(user, "source") and may_send(user, source);

may_send(user: User, source: Source) if source.category in user.categories;
may_send(user: User, _: Source) if user.categories = nil;

# A steward looks after shapes, dead letters and raw records; an admin does everything.
allow(user: User, "steward", _: Source) if has_role(user, "steward");
allow(user: User, "administer", _: Source) if has_role(user, "admin");

# --- Requests: allow_request(user, request) --------------------------------------------------------------------------

# Without such a rule everybody may ask in every way. With one, each request by GraphQL or `GET /data/…` needs one that
# holds for it, or is FORBIDDEN before anything is read: `request.transport` ("http", "sse", "websocket", "rest"),
# `request.format` ("json", "ndjson", "csv", "xml"), `request.operation` ("query", "mutation", "subscription"),
# `request.page` (the most rows of a page that it asks for, 0 without pages), `request.depth` (fields inside each other)
# and `request.contract` (its name, if it is asked under one). Rates are limits of contracts.
#   allow_request(user: User, _: Request) if has_role(user, "steward");
#   allow_request(user: User, request: Request) if reader(user) and request.transport != "rest" and request.page <= 100;
