-- no-transaction
-- Answers "which device has this serial number", whatever its length. The index has a hash of 8 bytes: a B-tree takes no
-- entry above 2,704 bytes, and nothing bounds the serial number that a parser takes. Queries compare the serial number
-- itself, too. Hash partitioning rests on `hashtextextended`, so its values stay the same across versions of Postgres.
--
-- Built beside live work, so outside a transaction: this file holds one statement only. `muster migrate` drops what a
-- build that was cut off left behind.
create index concurrently if not exists certificates_by_serial
    on registrations (hashtextextended(encode(serial, 'hex'), 0))
    where serial is not null;
