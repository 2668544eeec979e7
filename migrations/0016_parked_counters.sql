-- no-transaction
-- Answers "how much is parked, and why", over all batches.
--
-- Built beside live work, so outside a transaction: this file holds one statement only.
create index concurrently if not exists parked_counters on batch_counters (code) where status = 'parked';
