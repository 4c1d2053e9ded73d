-- The shop of examples/support_desk.py. May be run any number of times: what is there stays as it is.
-- Days count back from the day on which the file is made, so that "in time" and "too late" stay true for whoever tries it.
BEGIN IMMEDIATE;

CREATE TABLE IF NOT EXISTS orders (
    id         TEXT PRIMARY KEY,
    customer   TEXT NOT NULL,
    product    TEXT NOT NULL,
    quantity   INTEGER NOT NULL,
    total      TEXT NOT NULL,              -- a decimal; money is no float
    ordered_on TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS products (
    name     TEXT PRIMARY KEY,
    category TEXT NOT NULL,
    stock    INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS return_policies (
    category TEXT PRIMARY KEY,
    days     INTEGER NOT NULL              -- 0: not taken back
);
CREATE TABLE IF NOT EXISTS refunds (
    key         TEXT PRIMARY KEY,          -- the idempotency key: the same refund, sent twice, is one refund
    order_id    TEXT NOT NULL REFERENCES orders (id),
    amount      TEXT NOT NULL,
    refunded_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

INSERT OR IGNORE INTO products VALUES
    ('desk lamp Aino',      'lamps',      14),
    ('floor lamp Ilta',     'lamps',       0),
    ('standing desk Koivu', 'furniture',   3),
    ('stool Pöllö',         'furniture',   0),
    ('gift card',           'gift cards', 999),
    ('wool blanket',        'textiles',   27);

INSERT OR IGNORE INTO return_policies VALUES
    ('lamps',      30),
    ('furniture',  60),
    ('textiles',   14),
    ('gift cards',  0);

INSERT OR IGNORE INTO orders VALUES
    ('A-1042', 'ana.duarte@example.org',  'desk lamp Aino',      2,  '79.80', date('now', '-12 days')),
    ('A-1043', 'j.okafor@example.net',    'standing desk Koivu', 1, '489.00', date('now', '-41 days')),
    ('A-1044', 'mette@example.dk',        'floor lamp Ilta',     1, '129.50', date('now', '-95 days')),
    ('A-1045', 'lukas.brandt@example.de', 'stool Pöllö',         4, '196.00', date('now', '-6 days')),
    ('A-1046', 'priya.raman@example.com', 'gift card',           1,  '50.00', date('now', '-2 days')),
    ('A-1047', 'priya.raman@example.com', 'wool blanket',        3, '147.00', date('now', '-9 days')),
    ('A-1048', 'tom.h@example.org',       'desk lamp Aino',      1,  '39.90', date('now', '-25 days'));

PRAGMA user_version = 1;
COMMIT;
