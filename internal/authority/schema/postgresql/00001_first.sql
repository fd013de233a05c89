-- +goose Up

-- What the authority is: its id, its epoch, sealed online keys.
CREATE TABLE settings (
	name  TEXT PRIMARY KEY,
	value BYTEA NOT NULL
);

-- Every version of every program file that was ever in force (rule P14).
CREATE TABLE programs (
	program     TEXT    NOT NULL,
	version     BIGINT  NOT NULL,
	valid_from  TEXT    NOT NULL,
	file        BYTEA    NOT NULL,
	imported_at BIGINT  NOT NULL,
	PRIMARY KEY (program, version)
);

CREATE TABLE operators (
	id         TEXT PRIMARY KEY,
	name       TEXT    NOT NULL UNIQUE,
	roles      TEXT    NOT NULL, -- words joined by blanks
	tenant     TEXT    NOT NULL DEFAULT '', -- a customer's id, '*' for the vendor's staff
	partner    TEXT    NOT NULL DEFAULT '',
	created_at BIGINT  NOT NULL,
	ended_at   BIGINT  NOT NULL DEFAULT 0
);

CREATE TABLE tokens (
	id         TEXT PRIMARY KEY,
	digest     BYTEA    NOT NULL UNIQUE,
	operator   TEXT    NOT NULL REFERENCES operators (id),
	scopes     TEXT    NOT NULL,
	created_at BIGINT  NOT NULL,
	expires_at BIGINT  NOT NULL,
	revoked_at BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX tokens_operator ON tokens (operator);

CREATE TABLE customers (
	id             TEXT PRIMARY KEY,
	name           TEXT    NOT NULL,
	folded         TEXT    NOT NULL UNIQUE, -- the name as it is compared
	tenant_id      TEXT    NOT NULL DEFAULT '',
	country        TEXT    NOT NULL DEFAULT '',
	language       TEXT    NOT NULL DEFAULT 'en',
	contact        TEXT    NOT NULL DEFAULT '',
	qualifications TEXT    NOT NULL DEFAULT '', -- words joined by blanks
	version        BIGINT  NOT NULL DEFAULT 0, -- locks the customer's holdings
	created_at     BIGINT  NOT NULL
);
CREATE UNIQUE INDEX customers_tenant_id ON customers (tenant_id) WHERE tenant_id <> '';

CREATE TABLE partners (
	id         TEXT PRIMARY KEY,
	name       TEXT    NOT NULL,
	folded     TEXT    NOT NULL UNIQUE,
	kind       TEXT    NOT NULL, -- direct, provider, reseller, licensing, oem
	provider   TEXT    NOT NULL DEFAULT '',
	country    TEXT    NOT NULL DEFAULT '',
	contact    TEXT    NOT NULL DEFAULT '',
	channels   TEXT    NOT NULL DEFAULT '', -- for which it is registered
	created_at BIGINT  NOT NULL
);

CREATE TABLE agreements (
	id         TEXT PRIMARY KEY,
	customer   TEXT    NOT NULL REFERENCES customers (id),
	program    TEXT    NOT NULL,
	channel    TEXT    NOT NULL,
	number     TEXT    NOT NULL UNIQUE,
	partner    TEXT    NOT NULL DEFAULT '',
	contract   TEXT    NOT NULL DEFAULT '',
	holder     TEXT    NOT NULL DEFAULT '', -- who holds the contract: oem or customer
	valid_from TEXT    NOT NULL DEFAULT '', -- the contract's days; '' is open
	valid_last TEXT    NOT NULL DEFAULT '',
	created_at BIGINT  NOT NULL
);
CREATE INDEX agreements_customer ON agreements (customer);

CREATE TABLE orders (
	id        TEXT PRIMARY KEY,
	customer  TEXT    NOT NULL REFERENCES customers (id),
	program   TEXT    NOT NULL,
	version   BIGINT  NOT NULL, -- of the program file that priced it
	track     TEXT    NOT NULL,
	channel   TEXT    NOT NULL,
	seller    TEXT    NOT NULL DEFAULT '',
	provider  TEXT    NOT NULL DEFAULT '',
	agreement TEXT    NOT NULL DEFAULT '',
	contract  TEXT    NOT NULL DEFAULT '',
	holder    TEXT    NOT NULL DEFAULT '', -- of the contract (rule P6)
	currency  TEXT    NOT NULL,
	total     BIGINT  NOT NULL,
	day       TEXT    NOT NULL, -- in the program's time zone
	placed_at BIGINT  NOT NULL,
	actor     TEXT    NOT NULL
);
CREATE INDEX orders_customer ON orders (customer, program, track);
CREATE INDEX orders_placed ON orders (placed_at, id);
CREATE INDEX orders_seller ON orders (seller, customer) WHERE seller <> '';
CREATE INDEX orders_provider ON orders (provider, customer) WHERE provider <> '';

CREATE TABLE order_lines (
	order_id TEXT    NOT NULL REFERENCES orders (id),
	year     BIGINT  NOT NULL,
	sku      TEXT    NOT NULL,
	quantity BIGINT  NOT NULL CHECK (quantity > 0),
	returned BIGINT  NOT NULL DEFAULT 0 CHECK (returned >= 0 AND returned <= quantity),
	unit     BIGINT  NOT NULL,
	amount   BIGINT  NOT NULL,
	PRIMARY KEY (order_id, year)
);

CREATE TABLE order_returns (
	id          TEXT PRIMARY KEY,
	order_id    TEXT    NOT NULL REFERENCES orders (id),
	year        BIGINT  NOT NULL,
	quantity    BIGINT  NOT NULL CHECK (quantity > 0),
	amount      BIGINT  NOT NULL,
	day         TEXT    NOT NULL,
	returned_at BIGINT  NOT NULL,
	actor       TEXT    NOT NULL
);
CREATE INDEX order_returns_order ON order_returns (order_id);

-- What seals the product keys, itself sealed by a key from outside the data folder.
CREATE TABLE keysets (
	id         TEXT PRIMARY KEY,
	sealed     BYTEA NOT NULL,
	created_at BIGINT NOT NULL
);

-- One key per customer, track and year (rule K1). A key that is being counted
-- is locked by raising its version.
CREATE TABLE product_keys (
	id         TEXT PRIMARY KEY,
	customer   TEXT    NOT NULL REFERENCES customers (id),
	program    TEXT    NOT NULL,
	track      TEXT    NOT NULL,
	year       BIGINT  NOT NULL,
	ref        BYTEA    NOT NULL UNIQUE,
	sealed     BYTEA    NOT NULL, -- the key itself, encrypted
	last_five  TEXT    NOT NULL,
	seats      BIGINT  NOT NULL CHECK (seats >= 0),
	allowance  BIGINT  NOT NULL DEFAULT 0 CHECK (allowance >= 0),
	raised     BIGINT  NOT NULL DEFAULT 0 CHECK (raised >= 0),
	used       BIGINT  NOT NULL DEFAULT 0 CHECK (used >= 0),
	blocked    TEXT    NOT NULL DEFAULT '', -- the reason, or nothing
	version    BIGINT  NOT NULL DEFAULT 0,
	created_at BIGINT  NOT NULL,
	UNIQUE (customer, program, track, year)
);

-- Requests for another limit, and what became of them (rules K6, K18).
CREATE TABLE limit_requests (
	id         TEXT PRIMARY KEY,
	key_id     TEXT NOT NULL REFERENCES product_keys (id),
	kind       TEXT NOT NULL, -- raise, correct
	state      TEXT NOT NULL, -- open, granted, refused
	wanted     BIGINT NOT NULL,
	granted    BIGINT NOT NULL DEFAULT 0,
	reason     TEXT NOT NULL,
	region     TEXT NOT NULL DEFAULT '',
	contact    TEXT NOT NULL DEFAULT '',
	asked_at   BIGINT NOT NULL,
	asked_by   TEXT NOT NULL,
	decided_at BIGINT NOT NULL DEFAULT 0,
	decided_by TEXT NOT NULL DEFAULT '',
	decision   TEXT NOT NULL DEFAULT '' -- in the words of who decided
);
CREATE INDEX limit_requests_key ON limit_requests (key_id);

CREATE TABLE activations (
	key_id       TEXT    NOT NULL REFERENCES product_keys (id),
	ordinal      BIGINT  NOT NULL, -- of the seat, from 1
	fingerprint  BYTEA    NOT NULL,
	public_key   BYTEA    NOT NULL,
	license_id   TEXT    NOT NULL UNIQUE,
	license      TEXT    NOT NULL,
	kind         TEXT    NOT NULL,
	facts        BYTEA    NOT NULL, -- digest
	activated_at BIGINT  NOT NULL,
	PRIMARY KEY (key_id, fingerprint),
	UNIQUE (key_id, ordinal)
);
CREATE INDEX activations_fingerprint ON activations (fingerprint);

CREATE TABLE facts (
	digest BYTEA PRIMARY KEY,
	body   BYTEA NOT NULL
);

-- What installations say of themselves in their reports. A row is locked by
-- raising its version; last_seen and counter may lag an hour behind.
CREATE TABLE installations (
	fingerprint BYTEA   PRIMARY KEY,
	public_key  BYTEA   NOT NULL, -- bound by the first report
	program     TEXT    NOT NULL,
	facts       BYTEA   NOT NULL, -- digest
	licenses    BYTEA   NOT NULL, -- digest
	counter     BIGINT  NOT NULL, -- the highest that it reported
	cloned_at   BIGINT  NOT NULL DEFAULT 0, -- when two branches of the counter were seen last
	first_seen  BIGINT  NOT NULL,
	last_seen   BIGINT  NOT NULL,
	version     BIGINT  NOT NULL DEFAULT 0
);

-- The licenses that an installation showed last, unverified, one a line. Apart,
-- so that the rows that are written every hour stay small.
CREATE TABLE installation_licenses (
	fingerprint BYTEA   PRIMARY KEY REFERENCES installations (fingerprint),
	licenses    TEXT    NOT NULL
);

-- Keys that nobody was sold: one row a minute, however many guesses.
CREATE TABLE unknown_keys (
	minute BIGINT  PRIMARY KEY,
	tries  BIGINT  NOT NULL
);

CREATE TABLE releases (
	program     TEXT    NOT NULL,
	update_id   TEXT    NOT NULL,
	state       TEXT    NOT NULL, -- staged, queued, released, withdrawn
	manifest    BYTEA    NOT NULL, -- sealed until the release instant
	instant     BIGINT  NOT NULL,
	staged_at   BIGINT  NOT NULL,
	released_at BIGINT  NOT NULL DEFAULT 0,
	history     BIGINT  NOT NULL DEFAULT 0, -- 1: imported, not published here
	actor       TEXT    NOT NULL,
	PRIMARY KEY (program, update_id)
);

CREATE TABLE no_releases (
	program TEXT    NOT NULL,
	month   TEXT    NOT NULL, -- YYYY-MM in which nothing was in coverage (rule D3)
	at      BIGINT  NOT NULL,
	actor   TEXT    NOT NULL,
	PRIMARY KEY (program, month)
);

-- The next version of a program's role while publishers sign it, sealed.
CREATE TABLE role_drafts (
	program TEXT    NOT NULL,
	version BIGINT  NOT NULL,
	instant BIGINT  NOT NULL,
	state   TEXT    NOT NULL, -- open, signed
	body    BYTEA    NOT NULL,
	PRIMARY KEY (program, version, instant)
);

-- One row: what the room's acts compare and swap.
CREATE TABLE repository (
	id        BIGINT  PRIMARY KEY CHECK (id = 1),
	epoch     BIGINT  NOT NULL, -- raised by a restore
	version   BIGINT  NOT NULL, -- raised by every act
	published BIGINT  NOT NULL, -- raised by every publication
	floor     BYTEA NOT NULL -- versions by role, seen in public before a restore
);

-- The signed metadata as it is served. Files that are no longer listed stay for those
-- who are on their way through.
CREATE TABLE metadata (
	name    TEXT PRIMARY KEY, -- of the file
	epoch   BIGINT  NOT NULL,
	body    BYTEA NOT NULL,
	at      BIGINT  NOT NULL,
	listed  BIGINT  NOT NULL
);
CREATE INDEX metadata_listed ON metadata (listed);

CREATE TABLE audit (
	writer   TEXT    NOT NULL,
	seq      BIGINT  NOT NULL,
	previous BYTEA    NOT NULL,
	hash     BYTEA    NOT NULL,
	at       BIGINT  NOT NULL,
	actor    TEXT    NOT NULL,
	act      TEXT    NOT NULL,
	object   TEXT    NOT NULL,
	tenant   TEXT    NOT NULL,
	detail   BYTEA    NOT NULL,
	PRIMARY KEY (writer, seq)
);
CREATE INDEX audit_object ON audit (object);

CREATE TABLE audit_heads (
	writer  TEXT PRIMARY KEY,
	seq     BIGINT  NOT NULL,
	hash    BYTEA    NOT NULL,
	version BIGINT  NOT NULL DEFAULT 0
);

-- Answers to writes that carried an Idempotency-Key.
CREATE TABLE idempotency (
	principal TEXT    NOT NULL,
	route     TEXT    NOT NULL,
	key       TEXT    NOT NULL,
	request   BYTEA    NOT NULL, -- digest of the body
	status    BIGINT  NOT NULL,
	response  BYTEA    NOT NULL,
	at        BIGINT  NOT NULL,
	PRIMARY KEY (principal, route, key)
);
