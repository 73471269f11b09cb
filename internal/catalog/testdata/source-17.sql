CREATE TABLE app.to_later (a int, b int, PRIMARY KEY (a, b));
CREATE COLLATION app.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE app.later (
  id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED, x int, y int,
  CONSTRAINT l_u UNIQUE NULLS NOT DISTINCT (x), FOREIGN KEY (x, y) REFERENCES app.to_later ON DELETE SET NULL (y), m app.floats_multirange, c text COLLATE app.nocase);
CREATE UNIQUE INDEX l_x ON app.later (y) NULLS NOT DISTINCT;
