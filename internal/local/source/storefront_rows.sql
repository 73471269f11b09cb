-- Fills a storefront. storefront.seed and storefront.rows are the session's: the same two make the same values. Rows come in
-- an order that no key has.
BEGIN;
SET CONSTRAINTS ALL DEFERRED;

-- A number from 0 on for row i of something.
CREATE FUNCTION pg_temp.chance(what text, i bigint) RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT hashint8extended(i, hashtextextended(what, current_setting('storefront.seed')::bigint)) & 9223372036854775807 $$;
-- A part of all rows, in thousandths, and no fewer than some.
CREATE FUNCTION pg_temp.share(thousandths integer, fewest integer) RETURNS integer LANGUAGE sql STABLE AS
$$ SELECT greatest(fewest, (current_setting('storefront.rows')::bigint * thousandths / 1000)::integer) $$;

INSERT INTO categories (id, parent, name)
SELECT i, CASE WHEN i > 6 THEN 1 + pg_temp.chance('parent', i) % (i - 1) END, 'Category ' || i
FROM generate_series(1, 40) AS i ORDER BY pg_temp.chance('category', i);

INSERT INTO products (id, sku, category_id, name, price, weight, active, attributes, picture)
SELECT i, 'SKU-' || lpad(i::text, 8, '0'), 1 + pg_temp.chance('of', i) % 40, 'Product "' || i || E'"\t' || substr(md5(i::text), 1, 6),
  (pg_temp.chance('price', i) % 1000000) / 100.0, CASE WHEN i % 5 > 0 THEN (pg_temp.chance('weight', i) % 100000) / 7.0 END, i % 9 > 0,
  jsonb_build_object('colour', (ARRAY['red', 'grün', '蓝'])[1 + i % 3], 'sizes', jsonb_build_array(i % 7, i % 11 / 4.0, NULL), 'n', pg_temp.chance('n', i)),
  CASE WHEN i % 4 = 0 THEN decode(md5(i::text), 'hex') WHEN i % 4 = 1 THEN '\x'::bytea END
FROM generate_series(1, pg_temp.share(10, 60)) AS i ORDER BY pg_temp.chance('product', i);

INSERT INTO customers (id, email, name, phone, referred_by, credit, joined)
SELECT i, 'c' || i || '@example.com', 'Customer ' || i || CASE i % 5 WHEN 0 THEN E' \\N "quoted", \n line' WHEN 1 THEN ' žluťoučký 😀' ELSE '' END,
  CASE WHEN i % 3 > 0 THEN '+' || (1000000000 + pg_temp.chance('phone', i) % 8999999999) END,
  CASE WHEN i % 4 = 0 THEN 1 + pg_temp.chance('referred', i) % pg_temp.share(100, 20) END,
  (pg_temp.chance('credit', i) % 100000) / 100.0, timestamptz '2019-01-01 00:00+00' + (pg_temp.chance('joined', i) % 157680000000000) * interval '1 microsecond'
FROM generate_series(1, pg_temp.share(100, 20)) AS i ORDER BY pg_temp.chance('customer', i);

INSERT INTO orders (id, customer_id, status, total, placed, wanted, note)
SELECT i, 1 + pg_temp.chance('by', i) % pg_temp.share(100, 20), (enum_range(NULL::order_status))[1 + pg_temp.chance('status', i) % 4],
  CASE WHEN i % 20 > 0 THEN (pg_temp.chance('total', i) % 10000000) / 100.0 END,
  timestamptz '2024-01-01 00:00+00' + (pg_temp.chance('placed', i) % 63072000000) * interval '1 millisecond',
  CASE WHEN i % 3 = 0 THEN date '2024-02-29' + (i % 500)::integer END,
  CASE i % 6 WHEN 0 THEN '' WHEN 1 THEN repeat(md5(i::text), (1 + i % 9)::integer) WHEN 2 THEN E'tab\tand \\ backslash' END
FROM generate_series(1, pg_temp.share(250, 40)) AS i ORDER BY pg_temp.chance('order', i);

UPDATE customers c SET last_order = o.id FROM (SELECT customer_id, max(id) AS id FROM orders GROUP BY customer_id) AS o WHERE o.customer_id = c.id;

INSERT INTO order_items (order_id, line, product_id, quantity, price)
SELECT o.id, line, 1 + pg_temp.chance('item', o.id * 10 + line) % pg_temp.share(10, 60), 1 + pg_temp.chance('quantity', o.id * 10 + line) % 9, (pg_temp.chance('paid', o.id * 10 + line) % 100000) / 100.0
FROM orders AS o, generate_series(1, 1 + pg_temp.chance('lines', o.id) % 3) AS line ORDER BY pg_temp.chance('line', o.id * 10 + line);

INSERT INTO shipments (parcel, order_id, line, sent)
SELECT md5('parcel' || pg_temp.chance('parcel', order_id * 10 + line))::uuid, order_id, line,
  CASE WHEN order_id % 4 > 0 THEN timestamp '2024-03-31 02:30' + (pg_temp.chance('sent', order_id) % 1000000) * interval '1 minute' END
FROM order_items WHERE pg_temp.chance('shipped', order_id * 10 + line) % 10 = 0;

INSERT INTO reviews (sku, author, stars, words)
SELECT DISTINCT ON (p.sku, c) p.sku, c, 1 + pg_temp.chance('stars', p.id) % 5, CASE WHEN p.id % 2 = 0 THEN 'words of ' || c END
FROM products AS p, generate_series(1, 3) AS n, LATERAL (SELECT 1 + pg_temp.chance('author', p.id * 10 + n) % pg_temp.share(100, 20) AS c) AS a;

INSERT INTO stock.warehouses (code, manager, place) SELECT 'W' || i, i * 3, CASE WHEN i > 1 THEN 'place ' || i END FROM generate_series(1, 5) AS i;
INSERT INTO stock.staff (id, warehouse, name) SELECT i, 'W' || 1 + i % 5, 'Staff ' || i FROM generate_series(1, 20) AS i;
INSERT INTO stock.levels (warehouse, product_id, quantity, counted)
SELECT 'W' || w, p.id, pg_temp.chance('level', p.id * 10 + w) % 100000, CASE WHEN p.id % 3 = 0 THEN time '23:59:59.999999' - (p.id % 80000) * interval '1 second' END
FROM products AS p, generate_series(1, 5) AS w WHERE pg_temp.chance('kept', p.id * 10 + w) % 2 = 0;

INSERT INTO visits (customer_id, page, seen)
SELECT CASE WHEN i % 3 > 0 THEN pg_temp.chance('visitor', i) % 1000 END, '/page/' || i % 20, timestamptz '2025-06-01 00:00+00' + (pg_temp.chance('seen', i) % 2592000000) * interval '1 millisecond'
FROM generate_series(1, pg_temp.share(80, 25)) AS i;

INSERT INTO readings
SELECT md5('reading' || pg_temp.chance('reading', i))::uuid, CASE i % 3 WHEN 0 THEN -32768 WHEN 1 THEN 32767 END, (pg_temp.chance('medium', i) % 4294967296 - 2147483648)::integer,
  CASE i % 4 WHEN 0 THEN 9223372036854775807 WHEN 1 THEN -9223372036854775808 WHEN 2 THEN pg_temp.chance('large', i) END,
  CASE i % 5 WHEN 0 THEN 0.10 WHEN 1 THEN 12345678901234567890.0123456789 WHEN 2 THEN -0.0000000001 WHEN 3 THEN pg_temp.chance('exact', i) / 1000.0 END,
  CASE i % 7 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' ELSE (pg_temp.chance('single', i) % 1000000) / 3.0 END::real,
  CASE i % 8 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' WHEN 2 THEN 1e-300 WHEN 3 THEN '-0' ELSE pg_temp.chance('double', i) / 3.0 END::double precision,
  CASE WHEN i % 3 > 0 THEN i % 2 = 0 END, CASE i % 3 WHEN 0 THEN 'ab' WHEN 1 THEN '' END,
  CASE i % 7 WHEN 0 THEN '' WHEN 1 THEN E'tab\t"quote" \\ newline\n return\r' WHEN 2 THEN 'žluťoučký 😀' WHEN 3 THEN 'null' WHEN 4 THEN '\N' WHEN 5 THEN repeat('ä', 3000) END,
  CASE i % 3 WHEN 0 THEN '\x'::bytea WHEN 1 THEN decode(md5(i::text) || '00ff5c', 'hex') END, date '1582-10-04' + (pg_temp.chance('day', i) % 300000)::integer,
  CASE i % 4 WHEN 0 THEN time '24:00' WHEN 1 THEN time '00:00' + (i % 86400) * interval '1 second' WHEN 2 THEN time '12:34:56.789012' END,
  timestamp '1999-12-31 23:59:59.999999' + (pg_temp.chance('local', i) % 1000000) * interval '1 minute', timestamptz '2000-02-29 12:00:00.5+00' + (pg_temp.chance('at', i) % 100000) * interval '1 hour',
  CASE i % 4 WHEN 0 THEN interval '1 year 2 mons -3 days +04:05:06.789' WHEN 1 THEN interval '0' WHEN 2 THEN i * interval '1 second' END,
  CASE i % 3 WHEN 0 THEN jsonb_build_object('a', jsonb_build_array(1, '2', NULL), 'n', 1.50, 'ä"\', i) WHEN 1 THEN 'null'::jsonb END
FROM generate_series(1, pg_temp.share(20, 40)) AS i;

-- Where the numbers of keys go on.
SELECT setval(pg_get_serial_sequence('customers', 'id'), (SELECT max(id) FROM customers)), setval(pg_get_serial_sequence('orders', 'id'), (SELECT max(id) FROM orders)),
  setval(pg_get_serial_sequence('categories', 'id'), (SELECT max(id) FROM categories)), setval(pg_get_serial_sequence('products', 'id'), (SELECT max(id) FROM products) + 100);
COMMIT;
ANALYZE;
