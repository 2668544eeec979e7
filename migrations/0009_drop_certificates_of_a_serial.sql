-- no-transaction
-- `certificates_by_serial` answers its question. It refused every row with a long serial number (SQLSTATE 54000). A program
-- of an older version still answers `muster show SERIAL`, but reads the whole table for it.
drop index concurrently if exists certificates_of_a_serial;
