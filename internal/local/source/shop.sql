-- The tables of a small shop, without what the target gets at the cut-over only.
CREATE SCHEMA shop;

-- Rows with a value that is stored apart: an update of another column leaves it out of the log, and only the whole old row
-- has it.
CREATE TABLE shop.customer (
  id      bigint PRIMARY KEY,
  email   character varying(60) NOT NULL,
  name    text NOT NULL,
  about   text,
  joined  timestamp with time zone NOT NULL
);

CREATE TABLE shop.orders (
  customer bigint NOT NULL,
  number   integer NOT NULL,
  status   character(8) NOT NULL,
  total    numeric(12,2),
  placed   timestamp without time zone NOT NULL,
  PRIMARY KEY (customer, number)
);

-- Who sits where: two who change places exchange values that are unique.
CREATE TABLE shop.seat (
  id       integer PRIMARY KEY,
  customer bigint
);

CREATE TABLE shop.reading (
  id       uuid PRIMARY KEY,
  small    smallint,
  medium   integer,
  large    bigint,
  exact    numeric,
  single   real,
  double   double precision,
  yes      boolean,
  fixed    character(5),
  words    text,
  raw      bytea,
  day      date,
  at_time  time without time zone,
  at_local timestamp(3) without time zone,
  at       timestamp with time zone,
  doc      jsonb
);

-- No key.
CREATE TABLE shop.visit (
  customer bigint NOT NULL,
  page     integer NOT NULL,
  seen     timestamp with time zone NOT NULL
);
