CREATE TABLE app.to_later (a int, b int, PRIMARY KEY (a, b));
CREATE COLLATION app.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE app.later (
  id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED, x int, y int,
  CONSTRAINT l_u UNIQUE NULLS NOT DISTINCT (x), FOREIGN KEY (x, y) REFERENCES app.to_later ON DELETE SET NULL (y), m app.floats_multirange, c text COLLATE app.nocase);
CREATE UNIQUE INDEX l_x ON app.later (y) NULLS NOT DISTINCT;
CREATE TABLE app.whole (id int PRIMARY KEY) PARTITION BY LIST (id);
CREATE TABLE app.whole_1 PARTITION OF app.whole FOR VALUES IN (1);
CREATE TABLE app.of_whole (id int PRIMARY KEY, whole int CONSTRAINT of_whole_fk REFERENCES app.whole, parent int CONSTRAINT of_parent_fk REFERENCES app.parent) PARTITION BY LIST (id);
CREATE TABLE app.of_whole_1 PARTITION OF app.of_whole FOR VALUES IN (1);
